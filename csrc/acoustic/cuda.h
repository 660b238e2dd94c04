// Owns the interface of the CUDA engines. In a build without CUDA these throw and say how to get one (common/nocuda.cpp).
#pragma once
#include "acoustic/params.h"

namespace seisfast {

bool cuda_built();

// Launch all steps on `stream` (a cudaStream_t); nothing is allocated, nothing waits. Throw std::runtime_error.
template <class T>
void cuda_forward(const Acoustic<T>& p, void* stream);
template <class T>
void cuda_adjoint(const Acoustic<T>& p, void* stream);

// Elements of T per shot that `workspace` must hold.
template <class T>
int64_t cuda_workspace(const Acoustic<T>& p, bool adjoint);

}  // namespace seisfast
