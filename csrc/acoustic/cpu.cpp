// Owns the CPU engine's entry points: the shots of cpu_shot.h and cpu_adjoint.h, compiled for one vector level.
#include "acoustic/cpu.h"
#include "acoustic/cpu_adjoint.h"

namespace seisfast {
inline namespace SEISFAST_LEVEL {
namespace {

template <class T, int R>
CpuEngine<T> engine() {
  return {[](const Acoustic<T>& p, int job, T* workspace) { Shot<T, R>(p, job, workspace).forward(); },
          [](const Acoustic<T>& p, int job, T* workspace) { AdjointShot<T, R>(p, job, workspace).adjoint(); }};
}

template <class T>
CpuEngine<T> engine_of(int order) {
  switch (order) {
    case 2: return engine<T, 1>();
    case 4: return engine<T, 2>();
    case 6: return engine<T, 3>();
    default: return engine<T, 4>();
  }
}

}  // namespace

CpuEngine<float> cpu_engine_f32(int order) { return engine_of<float>(order); }
CpuEngine<double> cpu_engine_f64(int order) { return engine_of<double>(order); }

}  // namespace SEISFAST_LEVEL
}  // namespace seisfast
