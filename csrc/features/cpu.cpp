// Owns the CPU engine's functions: gathers of cpu_gather.h and norms of cpu_norm.h, compiled for one vector level.
#include "features/cpu.h"

#include "features/cpu_gather.h"
#include "features/cpu_norm.h"

namespace seisfast {
inline namespace SEISFAST_LEVEL {
namespace {

template <class S, class A>
FeatureEngine<S, A> engine() {
  return {
      [](const Embedding<S, A>& p, bool adjoint) { return Gather<S, A>::workspace(p, adjoint); },
      [](const Embedding<S, A>& p, bool adjoint, A* workspace, std::atomic<int64_t>& next) {
        Gather<S, A> work(p, adjoint, workspace);
        for (int64_t gather = next++; gather < p.gathers; gather = next++)
          adjoint ? work.adjoint(gather) : work.forward(gather);
      },
      [](const Norm<S, A>& p, bool adjoint, std::atomic<int64_t>& next) {
        for (int64_t channel = next++; channel < p.channels; channel = next++)
          TraceNorm<S, A>{p}.channel(int(channel), adjoint);
      },
      [](const Norm<S, A>& p) { return ChannelNorm<S, A>{p}.chunks(); },
      [](const Norm<S, A>& p) { return ChannelNorm<S, A>{p}.measurements(); },
      [](const Norm<S, A>& p, bool adjoint, double* measured, std::atomic<int64_t>& next) {
        const ChannelNorm<S, A> work{p};
        for (int64_t chunk = next++; chunk < work.chunks(); chunk = next++) work.measure(chunk, adjoint, measured);
      },
      [](const Norm<S, A>& p, bool adjoint, const double* measured) { ChannelNorm<S, A>{p}.merge(measured, adjoint); },
      [](const Norm<S, A>& p, bool adjoint, std::atomic<int64_t>& next) {
        const ChannelNorm<S, A> work{p};
        for (int64_t chunk = next++; chunk < work.chunks(); chunk = next++) work.apply(chunk, adjoint);
      },
  };
}

}  // namespace

FeatureEngine<float, float> features_f32() { return engine<float, float>(); }
FeatureEngine<double, double> features_f64() { return engine<double, double>(); }
FeatureEngine<Bf16, float> features_bf16() { return engine<Bf16, float>(); }

}  // namespace SEISFAST_LEVEL
}  // namespace seisfast
