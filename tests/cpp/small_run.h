// A small acoustic run with all its arrays, filled with random models, wavelets and residuals.
#pragma once
#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "acoustic/cpu.h"

namespace {

using seisfast::Acoustic;
using seisfast::Keep;

enum class Edge { cpml, sponge, free_top, rigid, wide };

struct Case {
  int nz, nx, order;
  Edge edge;
  Keep keep;
  int every;
  bool half, vmin_gradient, repeat;
  int layer = -1;   // cells on every face (but a free one) instead of a few
  int segment = 5;  // steps between checkpoints, of 23
};

std::string describe(const Case& c) {
  const char* edges[] = {"C-PML", "sponge", "free top", "rigid", "wide C-PML"};
  return std::to_string(c.nz) + " x " + std::to_string(c.nx) + ", order " + std::to_string(c.order) + ", " +
         edges[int(c.edge)] + ", keep " + std::to_string(int(c.keep)) + ", every " + std::to_string(c.every) +
         (c.layer < 0 ? "" : ", layer " + std::to_string(c.layer)) +
         (c.segment == 5 ? "" : ", segment " + std::to_string(c.segment)) + (c.half ? ", half" : "") +
         (c.vmin_gradient ? ", vmin" : "") + (c.repeat ? ", repeated receivers" : "");
}

// A run with all its arrays, filled with random models, wavelets and residuals.
template <class T>
struct Run {
  Acoustic<T> p{};
  std::vector<T> velocity, slowest, profile, wavelet, data, kept, scales, checkpoints, grad_data, grad_velocity,
      grad_wavelet, grad_slowest, velocity_t, wavelet_t, grad_data_t, fields, workspace;
  std::vector<int32_t> sources, receivers;

  explicit Run(const Case& c) {
    std::mt19937 random(unsigned(c.nz * 1000 + c.nx * 10 + c.order));
    std::uniform_real_distribution<double> unit(0, 1);
    p.grid = {c.nz, c.nx, 3, 4, 5, 2};
    if (c.edge == Edge::sponge) p.grid = {c.nz, c.nx, 6, 6, 6, 6};
    if (c.layer >= 0) p.grid = {c.nz, c.nx, c.layer, c.layer, c.layer, c.layer};
    if (c.edge == Edge::free_top) p.grid.top = 0;
    if (c.edge == Edge::wide) p.grid = {c.nz, c.nx, 18, 17, 20, 16};
    if (c.edge == Edge::rigid) p.grid = {c.nz, c.nx, 0, 0, 0, 0};
    p.order = c.order;
    p.models = 2, p.shots = 2, p.first = 0, p.count = 4, p.per_shot = 2, p.receivers = 5, p.nt = 23;
    p.sponge = c.edge == Edge::sponge;
    p.free_surface = c.edge == Edge::free_top;
    p.vmin_gradient = c.vmin_gradient;
    p.receivers_repeat = c.repeat;
    p.dt = T(1e-3);
    p.keep = c.keep, p.every = c.every, p.segment = c.segment, p.half = c.half;
    const double second[5][5] = {{},
                                 {-2, 1},
                                 {-2.5, 4. / 3, -1. / 12},
                                 {-49. / 18, 1.5, -.15, 1. / 90},
                                 {-205. / 72, 1.6, -.2, 8. / 315, -1. / 560}};
    const double first[5][5] = {
        {}, {0, .5}, {0, 2. / 3, -1. / 12}, {0, .75, -.15, 1. / 60}, {0, .8, -.2, 4. / 105, -1. / 280}};
    for (int k = 0; k <= c.order / 2; ++k) {
      p.weights.d2z[k] = T(second[c.order / 2][k] / 100), p.weights.d2x[k] = T(second[c.order / 2][k] / 144);
      p.weights.d1z[k] = T(first[c.order / 2][k] / 10), p.weights.d1x[k] = T(first[c.order / 2][k] / 12);
    }
    p.weights.centre = p.weights.d2z[0] + p.weights.d2x[0];
    auto random_values = [&](std::vector<T>& v, int64_t size, double low, double high) {
      v.resize(size_t(size));
      for (T& x : v) x = T(low + (high - low) * unit(random));
    };
    random_values(velocity, p.models * c.nz * c.nx, 1500, 3000);
    random_values(slowest, p.models, 1400, 1500);
    const int nz = p.grid.nz_p(), nx = p.grid.nx_p();
    random_values(profile, 2 * (nz + nx), 0, p.sponge ? 2e-5 : 0.3);
    if (!p.sponge) {  // a and b are zero inside
      for (int iz = p.grid.top; iz < nz - p.grid.bottom; ++iz) profile[size_t(iz)] = profile[size_t(nz + iz)] = 0;
      for (int ix = p.grid.left; ix < nx - p.grid.right; ++ix)
        profile[size_t(2 * nz + ix)] = profile[size_t(2 * nz + nx + ix)] = 0;
    }
    random_values(wavelet, p.shots * p.per_shot * p.nt, -1, 1);
    p.wavelet_shot = p.per_shot * p.nt, p.wavelet_source = p.nt;
    auto random_cells = [&](std::vector<int32_t>& cells, int count) {
      for (int i = 0; i < count; ++i) {
        const int top = p.free_surface ? 1 : 0;
        cells.push_back(top + int(unit(random) * (c.nz - top)));
        cells.push_back(int(unit(random) * c.nx));
      }
    };
    random_cells(sources, p.shots * p.per_shot);
    for (int r = 0; r < p.receivers; ++r) {  // all over the model, in cells of their own or pairs in one cell
      const int top = p.free_surface ? 1 : 0, k = c.repeat ? r / 2 : r;
      receivers.push_back(top + k * 5 % (c.nz - top)), receivers.push_back(c.repeat ? 0 : k * 3 % c.nx);
    }
    receivers[0] = sources[0], receivers[1] = sources[1];  // one hears at once
    random_values(grad_data, int64_t(p.jobs()) * p.nt * p.receivers, -1, 1);
    random_values(velocity_t, p.models * c.nz * c.nx, -100, 100);
    random_values(wavelet_t, p.models * p.shots * p.per_shot * p.nt, -1, 1);
    random_values(grad_data_t, int64_t(grad_data.size()), -1, 1);
    p.snapshots = 5, p.first_snapshot = 2, p.snapshot = 4;  // after steps 2, 6, ..., 18, and not after 22
    fields.resize(size_t(p.jobs() * p.snapshots) * size_t(c.nz * c.nx));
    p.fields = fields.data();
    data.resize(grad_data.size());
    const int64_t steps = int64_t(p.jobs()) * p.kept_steps() * p.channels();
    if (p.keep == Keep::steps) kept.resize(size_t(steps * p.grid.cells())), scales.resize(size_t(steps));
    if (p.keep == Keep::checkpoints) checkpoints.resize(size_t(p.jobs() * p.segments() * p.state()));
    grad_velocity.resize(size_t(p.jobs()) * size_t(c.nz * c.nx));
    grad_wavelet.resize(size_t(p.jobs() * p.per_shot * p.nt));
    grad_slowest.resize(size_t(p.jobs()));
    p.velocity = velocity.data(), p.slowest = slowest.data(), p.profile = profile.data(), p.wavelet = wavelet.data();
    p.sources = sources.data(), p.receiver_cells = receivers.data(), p.grad_data = grad_data.data();
    p.data = data.data(), p.kept = kept.data(), p.scales = scales.data(), p.checkpoints = checkpoints.data();
    p.grad_velocity = grad_velocity.data(), p.grad_wavelet = grad_wavelet.data();
    p.grad_slowest = grad_slowest.data();
    p.velocity_t = velocity_t.data(), p.wavelet_t = wavelet_t.data(), p.grad_data_t = grad_data_t.data();
  }

  // The first `split` jobs in one call, the others in another, or all in one.
  template <class Call>
  void in_ranges(int split, Call call) {
    const int ends[] = {0, split, p.jobs()};
    for (int i = 0; i < 2; ++i) {
      p.first = ends[i], p.count = ends[i + 1] - ends[i];
      if (p.count) call();
    }
  }

  void on_cpu(int split = 0) {
    in_ranges(split, [&] { seisfast::cpu_run(p, seisfast::Task::forward, 2); });
    in_ranges(split, [&] { seisfast::cpu_run(p, seisfast::Task::adjoint, 2); });
  }
};

template <class T>
bool same(const std::vector<T>& a, const std::vector<T>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i)
    if (!(a[i] == b[i]) || !std::isfinite(a[i])) return false;
  return true;
}

template <class T>
bool same_results(const Run<T>& a, const Run<T>& b) {
  return same(a.data, b.data) && same(a.fields, b.fields) && same(a.grad_velocity, b.grad_velocity) &&
         same(a.grad_wavelet, b.grad_wavelet) && same(a.scales, b.scales) &&
         (!a.p.vmin_gradient || same(a.grad_slowest, b.grad_slowest));
}

}  // namespace
