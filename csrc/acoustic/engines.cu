// Owns the CUDA engines behind one door: what the device allows, and a run on the engine that was planned.
#include "acoustic/cuda.h"
#include "acoustic/launch.h"
#include "acoustic/phase_launch.cuh"
#include "acoustic/plain.h"

namespace seisfast {
namespace {

template <class T>
struct Launcher : PhaseLauncher {
  void chunk(const Place<T>& place, const Tiling& tiling, const Chunk<T>& chunk, bool backwards) const {
    if constexpr (sizeof(T) == 4)
      if (tiling.engine == Engine::cluster) return launch_cluster(place, tiling, chunk, backwards, this->stream);
    launch_alone(place, tiling, chunk, backwards, this->stream);
  }
};

}  // namespace

template <class T>
bool cuda_accepts(const Acoustic<T>& p, const Tiling& tiling, bool adjoint) {
  if constexpr (sizeof(T) == 4) return accepts_cluster(p, tiling, adjoint);
  return false;
}

template <class T>
void cuda_run(const Acoustic<T>& p, const Tiling& tiling, Task task, void* stream) {
  if (tiling.engine == Engine::plain) return launch_plain(p, task, stream);
  const bool adjoint = task == Task::adjoint;
  const Launcher<T> launch{{static_cast<cudaStream_t>(stream)}};
  onchip::Run<T, Launcher<T>> run(p, tiling, adjoint, launch);
  adjoint ? run.adjoint() : run.forward();
}

template bool cuda_accepts(const Acoustic<float>&, const Tiling&, bool);
template bool cuda_accepts(const Acoustic<double>&, const Tiling&, bool);
template void cuda_run(const Acoustic<float>&, const Tiling&, Task, void*);
template void cuda_run(const Acoustic<double>&, const Tiling&, Task, void*);

}  // namespace seisfast
