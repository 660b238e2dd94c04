// Owns what surrounds the CPU engine: the choice of the vector level, threads over shots, and their workspaces.
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <type_traits>
#include <vector>

#include "acoustic/cpu.h"

namespace seisfast {
namespace {

#if defined(__x86_64__) && !defined(SEISFAST_ONLY_BASELINE)
enum class Level { baseline, avx2, avx512 };

Level level() {
  static const Level found = [] {
    __builtin_cpu_init();
    const bool fma = __builtin_cpu_supports("fma") && __builtin_cpu_supports("avx2");
    if (fma && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
      return Level::avx512;
    return fma ? Level::avx2 : Level::baseline;
  }();
  return found;
}
#endif

// Calls run(p, job, workspace) for every job of the call, `threads` at a time; a thread allocates its workspace once.
template <class T>
void over_jobs(const Acoustic<T>& p, int threads, int64_t workspace, CpuRun<T> run) {
  std::atomic<int> next{0};
  std::exception_ptr failure;
  std::mutex guard;
  auto work = [&] {
    try {
      const std::unique_ptr<T, decltype(&std::free)> memory(
          static_cast<T*>(std::aligned_alloc(64, (workspace * sizeof(T) + 63) / 64 * 64)), &std::free);
      if (!memory) throw std::bad_alloc();
      for (int i = next++; i < p.count; i = next++) run(p, p.first + i, memory.get());
    } catch (...) {
      const std::lock_guard<std::mutex> lock(guard);
      failure = std::current_exception();
    }
  };
  std::vector<std::thread> others;
  others.reserve(size_t(std::max(threads, 1)));
  try {
    for (int i = 1; i < std::min(threads, p.count); ++i) others.emplace_back(work);
  } catch (const std::system_error&) {  // no more threads to be had: those that started do the work
  }
  work();
  for (std::thread& other : others) other.join();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace

template <class T>
int64_t cpu_workspace(const Acoustic<T>& p, bool adjoint) {
  const Grid& g = p.grid;
  const int64_t field = int64_t(g.nz_p() + 2 * p.reach()) * (g.row() + 32), line = g.row() + 32;
  const int64_t column = g.nz_p() + 2 * p.reach() + kBlock;
  int64_t size = (p.sponge ? 4 : 7) * field + 3 * line + 2 * column;
  if (!adjoint) return size + (p.half ? g.cells() * p.channels() : 0);
  size += (p.sponge ? 2 : 6) * field + g.cells() * p.channels() + p.per_shot + 2 * kBlock;
  const int64_t steps = p.keep == Keep::checkpoints ? p.segment : p.half ? 1 : 0;
  return size + steps * g.cells() * p.channels();
}

template <class T>
CpuEngine<T> cpu_engine(int order) {
  auto pick = [&](auto single, auto twice) {
    if constexpr (std::is_same_v<T, float>)
      return single(order);
    else
      return twice(order);
  };
#if defined(__x86_64__) && !defined(SEISFAST_ONLY_BASELINE)
  if (level() == Level::avx512) return pick(avx512::cpu_engine_f32, avx512::cpu_engine_f64);
  if (level() == Level::avx2) return pick(avx2::cpu_engine_f32, avx2::cpu_engine_f64);
#endif
  return pick(baseline::cpu_engine_f32, baseline::cpu_engine_f64);
}

const char* cpu_level() {
#if defined(__x86_64__) && !defined(SEISFAST_ONLY_BASELINE)
  return level() == Level::avx512 ? "avx512" : level() == Level::avx2 ? "avx2" : "baseline";
#else
  return "baseline";
#endif
}

template <class T>
void cpu_forward(const Acoustic<T>& p, int threads) {
  over_jobs(p, threads, cpu_workspace(p, false), cpu_engine<T>(p.order).forward);
}

template <class T>
void cpu_adjoint(const Acoustic<T>& p, int threads) {
  over_jobs(p, threads, cpu_workspace(p, true), cpu_engine<T>(p.order).adjoint);
}

template CpuEngine<float> cpu_engine<float>(int);
template CpuEngine<double> cpu_engine<double>(int);
template int64_t cpu_workspace<float>(const Acoustic<float>&, bool);
template int64_t cpu_workspace<double>(const Acoustic<double>&, bool);
template void cpu_forward<float>(const Acoustic<float>&, int);
template void cpu_forward<double>(const Acoustic<double>&, int);
template void cpu_adjoint<float>(const Acoustic<float>&, int);
template void cpu_adjoint<double>(const Acoustic<double>&, int);

}  // namespace seisfast
