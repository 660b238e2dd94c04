// Owns the answers of a build without CUDA.
#include <stdexcept>

#include "acoustic/cuda.h"

namespace seisfast {
namespace {

[[noreturn]] void missing() {
  throw std::runtime_error(
      "this build of seisfast has no CUDA engines; install the CUDA toolkit (nvcc) and reinstall seisfast with "
      "--config-settings=cmake.define.SEISFAST_CUDA=ON, or move the tensors to the CPU");
}

}  // namespace

bool cuda_built() { return false; }

Limits cuda_limits() { missing(); }

template <class T>
bool cuda_accepts(const Acoustic<T>&, const Tiling&, bool) {
  missing();
}
template <class T>
void cuda_run(const Acoustic<T>&, const Tiling&, bool, void*) {
  missing();
}

template bool cuda_accepts(const Acoustic<float>&, const Tiling&, bool);
template bool cuda_accepts(const Acoustic<double>&, const Tiling&, bool);
template void cuda_run(const Acoustic<float>&, const Tiling&, bool, void*);
template void cuda_run(const Acoustic<double>&, const Tiling&, bool, void*);

}  // namespace seisfast
