// Owns the interface of the CPU engine: one shot per call, compiled once per vector level.
#pragma once
#include "acoustic/params.h"

namespace seisfast {

// Elements of T that one shot works in, ghosts included, for the forward run or for the adjoint.
template <class T>
int64_t cpu_workspace(const Acoustic<T>& p, bool adjoint);

// Run all steps of shot `job` (= model * shots + shot) in `workspace`, which need not be cleared.
template <class T>
using CpuRun = void (*)(const Acoustic<T>& p, int job, T* workspace);

template <class T>
struct CpuEngine {
  CpuRun<T> forward, adjoint;
};

#define SEISFAST_DECLARE_LEVEL(level)          \
  inline namespace level {                     \
  CpuEngine<float> cpu_engine_f32(int order);  \
  CpuEngine<double> cpu_engine_f64(int order); \
  }
SEISFAST_DECLARE_LEVEL(baseline)
SEISFAST_DECLARE_LEVEL(avx2)
SEISFAST_DECLARE_LEVEL(avx512)
#undef SEISFAST_DECLARE_LEVEL

// The functions of a vector level that the processor has, best first.
template <class T>
CpuEngine<T> cpu_engine(int order);

// Both run the jobs of the call, `threads` at a time, each through all its time steps. Throw std::bad_alloc.
template <class T>
void cpu_forward(const Acoustic<T>& p, int threads);
template <class T>
void cpu_adjoint(const Acoustic<T>& p, int threads);

}  // namespace seisfast
