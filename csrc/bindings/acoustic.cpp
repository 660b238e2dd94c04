// Owns the acoustic operator as Python sees it.
#include <pybind11/stl.h>

#include <array>
#include <climits>
#include <stdexcept>
#include <string>

#include "acoustic/cpu.h"
#include "acoustic/cuda.h"
#include "bindings/module.h"

namespace seisfast {
namespace {

void fill(float* to, const py::list& from) {
  for (size_t i = 0; i < from.size() && i <= kMaxReach; ++i) to[i] = from[i].cast<float>();
}
void fill(double* to, const py::list& from) {
  for (size_t i = 0; i < from.size() && i <= kMaxReach; ++i) to[i] = from[i].cast<double>();
}

// A plain dictionary of pointers and numbers -> the struct that the engines take.
template <class T>
Acoustic<T> params(const py::dict& d) {
  auto number = [&](const char* name) { return d[name].cast<int64_t>(); };
  auto count = [&](const char* name) {
    const int64_t found = number(name);
    if (found < 0 || found > INT_MAX)
      throw std::invalid_argument(std::string(name) + " must lie between 0 and 2^31 - 1, got " + std::to_string(found));
    return int(found);
  };
  auto address = [&](const char* name) { return d[name].cast<uintptr_t>(); };
  Acoustic<T> p{};
  p.grid = {count("nz"), count("nx"), count("top"), count("bottom"), count("left"), count("right")};
  p.order = count("order");
  p.models = count("models");
  p.shots = count("shots");
  p.first = count("first");
  p.count = count("count");
  p.per_shot = count("per_shot");
  p.receivers = count("receivers");
  p.nt = count("nt");
  p.sponge = d["sponge"].cast<bool>();
  p.free_surface = d["free_surface"].cast<bool>();
  p.vmin_gradient = d["vmin_gradient"].cast<bool>();
  p.receivers_repeat = d["receivers_repeat"].cast<bool>();
  p.dt = d["dt"].cast<T>();
  fill(p.weights.d1z, d["d1z"]);
  fill(p.weights.d1x, d["d1x"]);
  fill(p.weights.d2z, d["d2z"]);
  fill(p.weights.d2x, d["d2x"]);
  p.weights.centre = p.weights.d2z[0] + p.weights.d2x[0];
  p.velocity = as<const T>(address("velocity"));
  p.slowest = as<const T>(address("slowest"));
  p.profile = as<const T>(address("profile"));
  p.wavelet = as<const T>(address("wavelet"));
  p.wavelet_model = number("wavelet_model");
  p.wavelet_shot = number("wavelet_shot");
  p.wavelet_source = number("wavelet_source");
  p.sources = as<const int32_t>(address("sources"));
  p.receiver_cells = as<const int32_t>(address("receiver_cells"));
  p.receiver_shot = number("receiver_shot");
  p.keep = Keep(count("keep"));
  p.every = count("every");
  p.segment = count("segment");
  p.half = d["half"].cast<bool>();
  p.data = as<T>(address("data"));
  p.kept = as<void>(address("kept"));
  p.scales = as<T>(address("scales"));
  p.checkpoints = as<T>(address("checkpoints"));
  p.grad_data = as<const T>(address("grad_data"));
  p.grad_velocity = as<T>(address("grad_velocity"));
  p.grad_wavelet = as<T>(address("grad_wavelet"));
  p.grad_slowest = as<T>(address("grad_slowest"));
  p.snapshots = count("snapshots");
  p.first_snapshot = count("first_snapshot");
  p.snapshot = count("snapshot");
  p.fields = as<T>(address("fields"));
  p.velocity_t = as<const T>(address("velocity_t"));
  p.wavelet_t = as<const T>(address("wavelet_t"));
  p.grad_data_t = as<const T>(address("grad_data_t"));
  p.workspace = as<void>(address("workspace"));
  if (p.order < 2 || p.order > 2 * kMaxReach || p.order % 2 || p.every < 1 || p.segment < 1 || p.snapshot < 1)
    throw std::invalid_argument("order must be 2, 4, 6 or 8; every, segment and snapshot at least 1");
  if (p.snapshots && p.first_snapshot + int64_t(p.snapshots - 1) * p.snapshot >= p.nt)
    throw std::invalid_argument("snapshots must come before step nt");
  if (p.first < 0 || p.count < 1 || p.count > p.jobs() - p.first)
    throw std::invalid_argument("first and count must name jobs among models * shots");
  return p;
}

constexpr const char* kEngines[] = {"plain", "resident", "cluster", "tiled"};

Tiling tiling_of(const py::dict& d) {
  const auto t = d["tiling"].cast<std::array<int, 8>>();
  return {Engine(t[0]), t[1], t[2], t[3], t[4], t[5], t[6], t[7]};
}

Task task_of(const std::string& name) {
  const char* names[] = {"forward", "adjoint", "born", "curvature"};
  for (int i = 0; i < 4; ++i)
    if (name == names[i]) return Task(i);
  throw std::invalid_argument("there is no task " + name);
}

template <class T>
void acoustic(const py::dict& d, Task task, int threads, uintptr_t stream) {
  const Acoustic<T> p = params<T>(d);
  const bool cuda = d["cuda"].cast<bool>();
  const Tiling tiling = cuda ? tiling_of(d) : Tiling{};
  if (has_tangents(task) && (p.vmin_gradient || tiling.engine != Engine::plain))
    throw std::invalid_argument(
        "along tangents there is the plain engine alone on CUDA, and no derivative through the slowest velocity");
  const py::gil_scoped_release released;
  if (!cuda) return cpu_run(p, task, threads);
  cuda_run(p, tiling, task, as<void>(stream));
}

void acoustic_run(const py::dict& params, const std::string& dtype, const std::string& task, int threads,
                  uintptr_t stream) {
  if (dtype == "float32")
    acoustic<float>(params, task_of(task), threads, stream);
  else if (dtype == "float64")
    acoustic<double>(params, task_of(task), threads, stream);
  else
    throw std::invalid_argument("dtype must be float32 or float64, got " + dtype);
}

template <class T>
py::dict planned(const py::dict& d, Task task, int wanted, const py::object& chip) {
  const Acoustic<T> p = params<T>(d);
  const bool here = chip.is_none(), adjoint = task == Task::adjoint;
  const Limits limits = limits_of(chip);
  const Plan found =
      plan<T>(p, task, wanted, limits, [&](const Tiling& t) { return !here || cuda_accepts(p, t, adjoint); });
  const Tiling& t = found.tiling;
  const bool plain = t.engine == Engine::plain;
  return py::dict("engine"_a = kEngines[int(t.engine)], "reason"_a = found.reason,
                  "tiling"_a = std::array<int, 8>{int(t.engine), t.blocks_z, t.blocks_x, t.rows, t.columns, t.halo,
                                                  t.steps, t.strip},
                  "blocks"_a = py::make_tuple(t.blocks_z, t.blocks_x), "rows"_a = t.rows, "columns"_a = t.columns,
                  "steps"_a = t.steps, "shared"_a = plain ? 0 : shared_bytes(p, t, adjoint),
                  "workspace"_a = workspace_elements(p, t, task));
}

py::dict acoustic_plan(const py::dict& params, const std::string& dtype, const std::string& task,
                       const std::string& engine, const py::object& chip) {
  int wanted = -1;
  for (int i = 0; i < 4; ++i)
    if (engine == kEngines[i]) wanted = i;
  if (wanted < 0 && engine != "auto") throw std::invalid_argument("there is no CUDA engine " + engine);
  return dtype == "float64" ? planned<double>(params, task_of(task), wanted, chip)
                            : planned<float>(params, task_of(task), wanted, chip);
}

}  // namespace

void register_acoustic(py::module_& m) {
  m.def("acoustic_run", &acoustic_run, py::kw_only(), "params"_a, "dtype"_a, "task"_a, "threads"_a, "stream"_a,
        "Run all time steps of `count` jobs (model * shots + shot) from `first` on, on the arrays whose addresses "
        "`params` "
        "holds. `task` is forward, adjoint, born or curvature.");
  m.def("acoustic_plan", &acoustic_plan, py::kw_only(), "params"_a, "dtype"_a, "task"_a, "engine"_a,
        "chip"_a = py::none(),
        "The CUDA engine that a run gets, why no faster one, how it cuts the grid, and the elements per job of its "
        "workspace. `chip` (shared bytes of a block, blocks of a cluster, processors) stands for the current device.");
}

}  // namespace seisfast
