// Owns the feature operators as Python sees them.
#include <pybind11/stl.h>

#include <array>
#include <stdexcept>
#include <string>

#include "bindings/module.h"
#include "features/cpu.h"
#include "features/cuda.h"

namespace seisfast {
namespace {

template <class S, class A>
Embedding<S, A> embedding(const py::dict& d) {
  auto number = [&](const char* name) { return d[name].cast<int>(); };
  auto address = [&](const char* name) { return d[name].cast<uintptr_t>(); };
  Embedding<S, A> p{};
  p.gathers = number("gathers");
  p.receivers = number("receivers");
  p.samples = number("samples");
  p.channels = number("channels");
  p.eps = d["eps"].cast<A>();
  p.input_gradient = d["input_gradient"].cast<bool>();
  p.x = as<const S>(address("x"));
  const auto weights = d["weights"].cast<std::array<uintptr_t, 3>>(),
             biases = d["biases"].cast<std::array<uintptr_t, 3>>();
  for (size_t layer = 0; layer < 3; ++layer)
    p.w[layer] = as<const A>(weights[layer]), p.b[layer] = as<const A>(biases[layer]);
  p.out = as<S>(address("out"));
  p.statistics = as<A>(address("statistics"));
  p.grad_out = as<const S>(address("grad_out"));
  p.grad_x = as<S>(address("grad_x"));
  p.grad_weights = as<A>(address("grad_weights"));
  p.workspace = as<void>(address("workspace"));
  if (p.gathers < 1 || p.receivers < 1 || p.samples < 1 || p.channels < 1)
    throw std::invalid_argument("gathers, receivers, samples and channels must be at least 1");
  return p;
}

template <class S, class A>
Norm<S, A> norm(const py::dict& d) {
  auto address = [&](const char* name) { return d[name].cast<uintptr_t>(); };
  Norm<S, A> p{};
  p.outer = d["outer"].cast<int64_t>();
  p.inner = d["inner"].cast<int64_t>();
  p.channels = d["channels"].cast<int>();
  p.receivers = d["receivers"].cast<int>();
  p.eps = d["eps"].cast<A>();
  p.given = d["given"].cast<bool>();
  p.x = as<const S>(address("x"));
  p.per_shot = as<const S>(address("per_shot"));
  p.per_receiver = as<const S>(address("per_receiver"));
  p.scale = as<const A>(address("scale"));
  p.shift = as<const A>(address("shift"));
  p.mean = as<A>(address("mean"));
  p.variance = as<A>(address("variance"));
  p.out = as<S>(address("out"));
  p.grad_out = as<const S>(address("grad_out"));
  p.grad_x = as<S>(address("grad_x"));
  p.grad_scale = as<A>(address("grad_scale"));
  p.grad_shift = as<A>(address("grad_shift"));
  p.workspace = as<A>(address("workspace"));
  if (p.outer < 1 || p.inner < 1 || p.channels < 1 || p.receivers < 1 || p.channels % p.receivers)
    throw std::invalid_argument("outer, inner and channels must be at least 1, channels a multiple of receivers");
  return p;
}

// f(S, A) for the name of a type of stored maps.
template <class F>
auto with_storage(const std::string& dtype, F f) {
  if (dtype == "float32") return f(float{}, float{});
  if (dtype == "float64") return f(double{}, double{});
  if (dtype == "bfloat16") return f(Bf16{}, float{});
  throw std::invalid_argument("dtype must be float32, float64 or bfloat16, got " + dtype);
}

py::dict embedding_layout(const py::dict& params, const std::string& dtype, bool adjoint, const py::object& chip) {
  return with_storage(dtype, [&](auto s, auto a) {
    const auto p = embedding<decltype(s), decltype(a)>(params);
    const EmbeddingPlan plan =
        chip.is_none() ? cuda_embedding_plan(p, adjoint) : embedding_plan(p, adjoint, limits_of(chip));
    return py::dict("blocks"_a = plan.blocks, "threads"_a = plan.threads, "shared"_a = plan.shared,
                    "parts"_a = plan.parts, "workspace"_a = plan.workspace);
  });
}

EmbeddingPlan plan_of(const py::dict& d) {
  return {d["blocks"].cast<int>(), d["threads"].cast<int>(), d["shared"].cast<int>(), d["parts"].cast<int>(),
          d["workspace"].cast<int64_t>()};
}

void embedding_run(const py::dict& params, const std::string& dtype, bool adjoint, const py::object& plan, int threads,
                   uintptr_t stream) {
  with_storage(dtype, [&](auto s, auto a) {
    const auto p = embedding<decltype(s), decltype(a)>(params);
    const bool cuda = !plan.is_none();
    const EmbeddingPlan how = cuda ? plan_of(plan) : EmbeddingPlan{};
    const py::gil_scoped_release released;
    if (cuda)
      cuda_embedding(p, how, adjoint, as<void>(stream));
    else
      cpu_embedding(p, adjoint, threads);
  });
}

void norm_run(const py::dict& params, const std::string& dtype, bool adjoint, int threads, uintptr_t stream) {
  with_storage(dtype, [&](auto s, auto a) {
    const auto p = norm<decltype(s), decltype(a)>(params);
    const bool cuda = params["cuda"].cast<bool>();
    const py::gil_scoped_release released;
    if (cuda)
      cuda_norm(p, adjoint, as<void>(stream));
    else
      cpu_norm(p, adjoint, threads);
  });
}

int64_t norm_scratch(const py::dict& params, const std::string& dtype, bool adjoint) {
  return with_storage(dtype,
                      [&](auto s, auto a) { return norm_workspace(norm<decltype(s), decltype(a)>(params), adjoint); });
}

}  // namespace

void register_features(py::module_& m) {
  m.def("embedding_run", &embedding_run, py::kw_only(), "params"_a, "dtype"_a, "adjoint"_a, "plan"_a, "threads"_a,
        "stream"_a,
        "Run trace_embedding on all gathers, forward or transposed: on CUDA as a plan of `embedding_plan` says, on the "
        "CPU "
        "with None.");
  m.def("embedding_plan", &embedding_layout, py::kw_only(), "params"_a, "dtype"_a, "adjoint"_a, "chip"_a = py::none(),
        "How CUDA runs trace_embedding: blocks of a cluster per gather (0: through device memory), threads and shared "
        "bytes of a block, rows (parts) of the weights' gradient, and bytes of workspace.");
  m.def("norm_run", &norm_run, py::kw_only(), "params"_a, "dtype"_a, "adjoint"_a, "threads"_a, "stream"_a,
        "Run batch norm and ReLU over all channels, forward or transposed.");
  m.def("norm_workspace", &norm_scratch, py::kw_only(), "params"_a, "dtype"_a, "adjoint"_a,
        "Numbers of the statistics' type that norm_run needs as workspace on CUDA.");
}

}  // namespace seisfast
