// Owns what surrounds the CPU engine: the choice of the vector level, threads over shots, and their workspaces.
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <new>
#include <type_traits>

#include "acoustic/cpu.h"
#include "common/cpu_level.h"
#include "common/threads.h"

namespace seisfast {
namespace {

// Calls run(p, job, workspace) for every job of the call, `threads` at a time; a thread allocates its workspace once.
template <class T>
void over_jobs(const Acoustic<T>& p, int threads, int64_t workspace, CpuRun<T> run) {
  std::atomic<int> next{0};
  run_threads(std::min(threads, p.count), [&] {
    const std::unique_ptr<T, decltype(&std::free)> memory(
        static_cast<T*>(std::aligned_alloc(64, (workspace * sizeof(T) + 63) / 64 * 64)), &std::free);
    if (!memory) throw std::bad_alloc();
    for (int i = next++; i < p.count; i = next++) run(p, p.first + i, memory.get());
  });
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
  if constexpr (std::is_same_v<T, float>)
    return SEISFAST_AT_BEST_LEVEL(cpu_engine_f32(order));
  else
    return SEISFAST_AT_BEST_LEVEL(cpu_engine_f64(order));
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
