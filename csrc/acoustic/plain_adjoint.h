// Owns the transposed phases of the plain engine: lambda[n + 1] -> lambda[n], as absorbing.h derives it.
#pragma once
#include "acoustic/half.h"
#include "acoustic/plain_phase.h"

namespace seisfast {
inline namespace SEISFAST_LEVEL {
namespace plain {

// Residual of sample n; where a cell holds several receivers one thread adds them in order.
template <class T>
struct Residual : Phase<T> {
  SEISFAST_HD void operator()(int i, int job) const {
    const Acoustic<T>& p = this->p;
    const Fields<T> f = this->at(job);
    const T* residual = p.grad_data + (int64_t(job) * p.nt + this->n) * p.receivers;
    const int end = p.receivers_repeat ? p.receivers : i + 1;
    for (int r = i; r < end; ++r) f.lambda[this->cell(this->receiver(job, r))] += residual[r];
  }
};

template <class T>
struct SourceGradient : Phase<T> {
  SEISFAST_HD void operator()(int s, int job) const {
    const Acoustic<T>& p = this->p;
    const Fields<T> f = this->at(job);
    const T at_source = f.lambda[this->cell(this->source(job, s))];
    p.grad_wavelet[(int64_t(job) * p.per_shot + s) * p.nt + this->n] = this->strength_of_source(job, s) * at_source;
    f.source[s] = fma(this->pulse(job, s), at_source, f.source[s]);
  }
};

// q = (v dt)^2 lambda, the correlation with what the forward run kept, and m of the strips.
template <class T>
struct Image : Phase<T> {
  bool kept;
  bool from_segment;

  SEISFAST_HD void operator()(int i, int job) const {
    const Acoustic<T>& p = this->p;
    const int row = p.grid.row(), iz = i / row, ix = i % row;
    if (ix >= p.grid.nx_p() || (p.free_surface && iz == 0)) return;
    const Fields<T> f = this->at(job);
    const T lambda = f.lambda[i], q = this->strength_at(job, iz, ix) * lambda;
    f.q[i] = q;
    if (kept) {
      f.grad[i] = fma(kept_value(f, job, 0, i), lambda, f.grad[i]);
      if (p.vmin_gradient) f.damping[i] = fma(kept_value(f, job, 1, i), lambda, f.damping[i]);
    }
    if (p.sponge) return;
    const int64_t in_layer = this->layer_index(iz, ix), in_side = this->side_index(iz, ix);
    if (in_layer >= 0) f.m_z[in_layer] = next_m(this->b_z(iz), f.m_z[in_layer], q);
    if (in_side >= 0) f.m_x[in_side] = next_m(this->b_x(ix), f.m_x[in_side], q);
  }

  SEISFAST_HD T kept_value(const Fields<T>& f, int job, int channel, int i) const {
    const Acoustic<T>& p = this->p;
    const int64_t cells = p.grid.cells();
    if (from_segment) return f.segment[(int64_t(this->n % p.segment) * p.channels() + channel) * cells + i];
    const int64_t at = this->kept_index(job, channel);
    if (!p.half) return static_cast<const T*>(p.kept)[at * cells + i];
    const T scale = p.scales[at];
    return T(from_half(static_cast<const uint16_t*>(p.kept)[at * cells + i])) * (scale > 0 ? T(1) / scale : T(0));
  }
};

template <class T, int R>
struct PsiTransposed : Phase<T> {
  SEISFAST_HD void operator()(int i, int job) const {
    const Acoustic<T>& p = this->p;
    const Fields<T> f = this->at(job);
    int iz, ix;
    if (i < layer_cells(p)) {
      this->layer_cell(i, iz, ix);
      if (ix >= p.grid.nx_p()) return;
      f.p_z[i] = next_p<R>(
          p.weights.d1z, this->b_z(iz), f.p_z[i], [&](int k) { return this->value(f.q, iz + k, ix); },
          [&](int k) { return this->strip(f.m_z, this->layer_index(iz + k, ix)); },
          [&](int k) { return this->a_z(iz + k); });
    } else {
      const int64_t j = i - layer_cells(p);
      this->side_cell(j, iz, ix);
      if (p.free_surface && iz == 0) return;
      f.p_x[j] = next_p<R>(
          p.weights.d1x, this->b_x(ix), f.p_x[j], [&](int k) { return this->value(f.q, iz, ix + k); },
          [&](int k) { return this->strip(f.m_x, this->side_index(iz, ix + k)); },
          [&](int k) { return this->a_x(ix + k); });
    }
  }
};

template <class T, int R>
struct Retreat : Phase<T> {
  SEISFAST_HD void operator()(int i, int job) const {
    const Acoustic<T>& p = this->p;
    const int row = p.grid.row(), iz = i / row, ix = i % row;
    if (ix >= p.grid.nx_p() || (p.free_surface && iz == 0)) return;
    const Fields<T> f = this->at(job);
    const Weights<T>& w = p.weights;
    T sum = laplacian<R>(
        w, [&](int k) { return this->value(f.q, iz + k, ix); }, [&](int k) { return this->value(f.q, iz, ix + k); });
    T extra = 0;
    if (this->near_z(iz))
      extra = layer_transposed<R>(
          w.d1z, w.d2z, [&](int k) { return this->strip(f.m_z, this->layer_index(iz + k, ix)); },
          [&](int k) { return this->strip(f.p_z, this->layer_index(iz + k, ix)); },
          [&](int k) { return this->a_z(iz + k); });
    if (this->near_x(ix))
      extra += layer_transposed<R>(
          w.d1x, w.d2x, [&](int k) { return this->strip(f.m_x, this->side_index(iz, ix + k)); },
          [&](int k) { return this->strip(f.p_x, this->side_index(iz, ix + k)); },
          [&](int k) { return this->a_x(ix + k); });
    sum += extra;
    f.later[i] = p.sponge ? advance_damped(f.lambda[i], f.later[i], this->damping_at(job, iz, ix), T(1), sum)
                          : advance(f.lambda[i], f.later[i], T(1), sum);
  }
};

template <class T>
struct ScaleGradient : Phase<T> {
  SEISFAST_HD void operator()(int i, int job) const { this->at(job).grad[i] *= T(this->p.every); }
};

template <class T>
struct AddSources : Phase<T> {
  SEISFAST_HD void operator()(int, int job) const {
    const Fields<T> f = this->at(job);
    for (int s = 0; s < this->p.per_shot; ++s) f.grad[this->cell(this->source(job, s))] += f.source[s];
  }
};

// From (v dt)^2 on the grid to v on the model.
template <class T>
struct Fold : Phase<T> {
  SEISFAST_HD void operator()(int i, int job) const {
    const Acoustic<T>& p = this->p;
    const int64_t cells = int64_t(p.grid.nz) * p.grid.nx;
    const T* grad = this->at(job).grad;
    const T sum = fold_padding<T>(p.grid, i / p.grid.nx, i % p.grid.nx,
                                  [&](int z, int x) { return grad[int64_t(z) * p.grid.row() + x]; });
    const T v = p.velocity[(job / p.shots) * cells + i];
    p.grad_velocity[job * cells + i] = T(2) * p.dt * (v * p.dt) * sum;
  }
};

template <class T>
struct SlowestGradient : Phase<T> {
  SEISFAST_HD void operator()(int, int job) const {
    const Acoustic<T>& p = this->p;
    const T* damping = this->at(job).damping;
    double total = 0;
    for (int iz = 0; iz < p.grid.nz_p(); ++iz)
      for (int ix = 0; ix < p.grid.nx_p(); ++ix)
        total -= double(this->base(iz, ix)) * double(damping[int64_t(iz) * p.grid.row() + ix]);
    p.grad_slowest[job] = T(total * p.every);
  }
};

}  // namespace plain
}  // namespace SEISFAST_LEVEL
}  // namespace seisfast
