// Owns the interface of the CUDA engines. In a build without CUDA these throw and say how to get one (common/nocuda.cpp).
#pragma once
#include "acoustic/plan.h"

namespace seisfast {

// Whether the device's driver can place the clusters of a tiling.
template <class T>
bool cuda_accepts(const Acoustic<T>& p, const Tiling& tiling, bool adjoint);

// Launch all steps on `stream` (a cudaStream_t), on the engine of the tiling (born and curvature: plain alone); nothing
// is allocated, nothing waits. `p.workspace` holds `workspace_elements` (plan.h) for every job of the call. Throws
// std::runtime_error.
template <class T>
void cuda_run(const Acoustic<T>& p, const Tiling& tiling, Task task, void* stream);

}  // namespace seisfast
