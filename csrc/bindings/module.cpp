// Owns the Python module.
#include "bindings/module.h"

#include "common/cpu_level.h"
#include "common/threads.h"

namespace seisfast {
namespace {

py::dict build_info() {
  return py::dict("cuda"_a = cuda_built(), "architectures"_a = SEISFAST_ARCHITECTURES, "vector_level"_a = cpu_level(),
                  "threads"_a = shares_openmp() ? "torch's OpenMP" : "own", "compiler"_a = __VERSION__);
}

}  // namespace

PYBIND11_MODULE(_C, m) {
  m.doc() = "Compiled kernels of seisfast";
  m.def("build_info", &build_info, "How this extension was built and which CPU vector level runs here.");
  register_acoustic(m);
  register_features(m);
}

}  // namespace seisfast
