// Owns what the bindings of the operators share. Only this folder knows pybind11: pointers, sizes and a stream come in,
// nothing is allocated.
#pragma once
#include <pybind11/pybind11.h>

#include <cstdint>

#include "common/limits.h"

namespace seisfast {

namespace py = pybind11;
using namespace py::literals;

void register_acoustic(py::module_& m);
void register_features(py::module_& m);

template <class T>
T* as(uintptr_t address) {
  return reinterpret_cast<T*>(address);
}

// What `chip` describes, or the current device.
inline Limits limits_of(const py::object& chip) {
  if (chip.is_none()) return cuda_limits();
  return {chip["shared"].cast<int>(), chip["cluster"].cast<int>(), chip["processors"].cast<int>()};
}

}  // namespace seisfast
