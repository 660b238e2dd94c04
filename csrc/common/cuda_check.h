// Owns the step from a CUDA status to an exception.
#pragma once
#include <cuda_runtime.h>

#include <stdexcept>
#include <string>

namespace seisfast {

inline void check(cudaError_t status, const char* doing) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // or the next check of another library would find it
  throw std::runtime_error(std::string("CUDA error while ") + doing + ": " + cudaGetErrorString(status));
}

}  // namespace seisfast
