// Owns the CPU engine's entry points: its shots, compiled for one vector level.
#include "acoustic/cpu.h"

#include "acoustic/cpu_tangent.h"

namespace seisfast {
inline namespace SEISFAST_LEVEL {
namespace {

template <class T, int R>
std::unique_ptr<CpuShot> make(const Acoustic<T>& p, Task task, int job, T* workspace) {
  switch (task) {
    case Task::forward: return std::make_unique<ForwardShot<T, R>>(p, job, workspace);
    case Task::adjoint: return std::make_unique<AdjointShot<T, R>>(p, job, workspace);
    case Task::born: return std::make_unique<BornShot<T, R>>(p, job, workspace);
    default: return std::make_unique<CurvatureShot<T, R>>(p, job, workspace);
  }
}

template <class T>
MakeCpuShot<T> make_of(int order) {
  switch (order) {
    case 2: return make<T, 1>;
    case 4: return make<T, 2>;
    case 6: return make<T, 3>;
    default: return make<T, 4>;
  }
}

}  // namespace

MakeCpuShot<float> cpu_shot_f32(int order) { return make_of<float>(order); }
MakeCpuShot<double> cpu_shot_f64(int order) { return make_of<double>(order); }

}  // namespace SEISFAST_LEVEL
}  // namespace seisfast
