// Owns the CUDA launches of the plain engine: one launch per phase, any stream.
#include "acoustic/plain.h"

#include "acoustic/launch.h"
#include "acoustic/phase_launch.cuh"

namespace seisfast {

template <class T>
void launch_plain(const Acoustic<T>& p, bool adjoint, void* stream) {
  plain::run(p, adjoint, PhaseLauncher{static_cast<cudaStream_t>(stream)});
}

template void launch_plain(const Acoustic<float>&, bool, void*);
template void launch_plain(const Acoustic<double>&, bool, void*);

}  // namespace seisfast
