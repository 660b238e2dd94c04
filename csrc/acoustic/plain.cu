// Owns the CUDA launches of the plain engine: one launch per phase, any stream.
#include "acoustic/plain.h"

#include "acoustic/launch.h"
#include "acoustic/phase_launch.cuh"

namespace seisfast {

template <class T>
void launch_plain(const Acoustic<T>& p, Task task, void* stream) {
  plain::run(p, task, PhaseLauncher{static_cast<cudaStream_t>(stream)});
}

template void launch_plain(const Acoustic<float>&, Task, void*);
template void launch_plain(const Acoustic<double>&, Task, void*);

}  // namespace seisfast
