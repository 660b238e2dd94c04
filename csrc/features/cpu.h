// Owns the interface of the feature operators' CPU engine, compiled once per vector level.
#pragma once
#include <atomic>
#include <cstdint>

#include "common/bf16.h"
#include "features/params.h"

namespace seisfast {

template <class S, class A>
struct FeatureEngine {
  // Elements of A that a thread works in; they begin as zeros.
  int64_t (*workspace)(const Embedding<S, A>& p, bool adjoint);
  // Takes gathers from `next` until none is left.
  void (*embed)(const Embedding<S, A>& p, bool adjoint, A* workspace, std::atomic<int64_t>& next);
  // A channel per trace: takes channels from `next`.
  void (*trace_norm)(const Norm<S, A>& p, bool adjoint, std::atomic<int64_t>& next);
  // Channels last: takes chunks of rows from `next`; first each is measured, then all are merged, then each is applied.
  int64_t (*chunks)(const Norm<S, A>& p);
  int64_t (*measurements)(const Norm<S, A>& p);
  void (*measure)(const Norm<S, A>& p, bool adjoint, double* measured, std::atomic<int64_t>& next);
  void (*merge)(const Norm<S, A>& p, bool adjoint, const double* measured);
  void (*apply)(const Norm<S, A>& p, bool adjoint, std::atomic<int64_t>& next);
};

#define SEISFAST_DECLARE_LEVEL(level)           \
  inline namespace level {                      \
  FeatureEngine<float, float> features_f32();   \
  FeatureEngine<double, double> features_f64(); \
  FeatureEngine<Bf16, float> features_bf16();   \
  }
SEISFAST_DECLARE_LEVEL(baseline)
SEISFAST_DECLARE_LEVEL(avx2)
SEISFAST_DECLARE_LEVEL(avx512)
#undef SEISFAST_DECLARE_LEVEL

// Both run on `threads` threads. Throw std::bad_alloc.
template <class S, class A>
void cpu_embedding(const Embedding<S, A>& p, bool adjoint, int threads);
template <class S, class A>
void cpu_norm(const Norm<S, A>& p, bool adjoint, int threads);

}  // namespace seisfast
