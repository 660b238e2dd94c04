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

template <class T>
void cuda_forward(const Acoustic<T>&, void*) {
  missing();
}
template <class T>
void cuda_adjoint(const Acoustic<T>&, void*) {
  missing();
}
template <class T>
int64_t cuda_workspace(const Acoustic<T>&, bool) {
  missing();
}

template void cuda_forward<float>(const Acoustic<float>&, void*);
template void cuda_forward<double>(const Acoustic<double>&, void*);
template void cuda_adjoint<float>(const Acoustic<float>&, void*);
template void cuda_adjoint<double>(const Acoustic<double>&, void*);
template int64_t cuda_workspace<float>(const Acoustic<float>&, bool);
template int64_t cuda_workspace<double>(const Acoustic<double>&, bool);

}  // namespace seisfast
