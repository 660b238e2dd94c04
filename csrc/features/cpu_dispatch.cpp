// Owns what surrounds the feature operators' CPU engine: the vector level, the threads and their workspaces.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <type_traits>
#include <vector>

#include "common/cpu_level.h"
#include "common/threads.h"
#include "features/cpu.h"

namespace seisfast {
namespace {

template <class S, class A>
FeatureEngine<S, A> features() {
  if constexpr (std::is_same_v<S, double>)
    return SEISFAST_AT_BEST_LEVEL(features_f64());
  else if constexpr (std::is_same_v<S, float>)
    return SEISFAST_AT_BEST_LEVEL(features_f32());
  else
    return SEISFAST_AT_BEST_LEVEL(features_bf16());
}

constexpr int64_t kWorthAThread = 32768;  // numbers; a thread takes as long to start as a few of these

int useful(int threads, int64_t jobs, int64_t elements) {
  return int(std::min<int64_t>({int64_t(threads), jobs, 1 + elements / kWorthAThread}));
}

}  // namespace

template <class S, class A>
void cpu_embedding(const Embedding<S, A>& p, bool adjoint, int threads) {
  const FeatureEngine<S, A> engine = features<S, A>();
  const size_t bytes = (size_t(engine.workspace(p, adjoint)) * sizeof(A) + 63) / 64 * 64;
  std::atomic<int64_t> next{0};
  run_threads(useful(threads, p.gathers, p.gathers * p.gather()), [&](int, int) {
    const std::unique_ptr<A, decltype(&std::free)> memory(static_cast<A*>(std::aligned_alloc(64, bytes)), &std::free);
    if (!memory) throw std::bad_alloc();
    std::memset(memory.get(), 0, bytes);
    engine.embed(p, adjoint, memory.get(), next);
  });
}

template <class S, class A>
void cpu_norm(const Norm<S, A>& p, bool adjoint, int threads) {
  const FeatureEngine<S, A> engine = features<S, A>();
  if (p.inner > 1 || p.per_shot || p.per_receiver) {
    std::atomic<int64_t> next{0};
    return run_threads(useful(threads, p.channels, p.elements()),
                       [&](int, int) { engine.trace_norm(p, adjoint, next); });
  }
  const int some = useful(threads, engine.chunks(p), p.elements());
  if (adjoint || !p.given) {
    std::vector<double> measured(size_t(engine.measurements(p)));
    std::atomic<int64_t> next{0};
    run_threads(some, [&](int, int) { engine.measure(p, adjoint, measured.data(), next); });
    engine.merge(p, adjoint, measured.data());
  }
  std::atomic<int64_t> next{0};
  run_threads(some, [&](int, int) { engine.apply(p, adjoint, next); });
}

template void cpu_embedding(const Embedding<float, float>&, bool, int);
template void cpu_embedding(const Embedding<double, double>&, bool, int);
template void cpu_embedding(const Embedding<Bf16, float>&, bool, int);
template void cpu_norm(const Norm<float, float>&, bool, int);
template void cpu_norm(const Norm<double, double>&, bool, int);
template void cpu_norm(const Norm<Bf16, float>&, bool, int);

}  // namespace seisfast
