// Owns the transposed phases of the plain engine: mu[n + 1] -> mu[n], as absorbing.h derives it, and the derivative of
// that along tangents, after the first wave (cpu_tangent.h has the equations).
#pragma once
#include "acoustic/half.h"
#include "acoustic/plain_phase.h"

namespace seisfast {
inline namespace SEISFAST_LEVEL {
namespace plain {

// Residual of sample n: C g, to the tangent C g' + C' g. Where a cell holds several receivers one thread adds them in
// order.
template <class T>
struct Residual : Phase<T> {
  SEISFAST_HD void operator()(int i, int job) const {
    const Acoustic<T>& p = this->p;
    const Fields<T> f = this->at(job);
    const int64_t first = (int64_t(job) * p.nt + this->n) * p.receivers;
    const int end = p.receivers_repeat ? p.receivers : i + 1;
    for (int r = i; r < end; ++r) {
      const int32_t* receiver = this->receiver(job, r);
      T& at = f.mu[this->cell(receiver)];
      const T residual = p.grad_data[first + r];
      at = fma(this->strength_of(job, receiver), this->tangent ? p.grad_data_t[first + r] : residual, at);
      if (this->tangent) at = fma(this->strength_tangent_of(job, receiver), residual, at);
    }
  }
};

// The tangent leaves its own gradient of the wavelet.
template <class T>
struct SourceGradient : Phase<T> {
  SEISFAST_HD void operator()(int s, int job) const {
    const Acoustic<T>& p = this->p;
    const Fields<T> f = this->at(job);
    const int64_t cell = this->cell(this->source(job, s));
    const T at_source = f.mu[cell];
    p.grad_wavelet[(int64_t(job) * p.per_shot + s) * p.nt + this->n] = at_source;
    T sum = fma(this->pulse(job, s, this->n), at_source, f.sums.sources[s]);
    if (this->tangent) sum = fma(this->pulse_t(job, s, this->n), this->first_wave(job).mu[cell], sum);
    f.sums.sources[s] = sum;
  }
};

// The correlation with what was kept of the first wave, and t of the strips. L u mu has a derivative of two terms.
template <class T>
struct Image : Phase<T> {
  bool kept;

  SEISFAST_HD void operator()(int i, int job) const {
    const Acoustic<T>& p = this->p;
    const int row = p.grid.row(), iz = i / row, ix = i % row;
    if (ix >= p.grid.nx_p() || (p.free_surface && iz == 0)) return;
    const Fields<T> f = this->at(job);
    const T mu = f.mu[i];
    if (kept) {
      T sum = f.sums.grad[i];
      if (this->tangent) sum = fma(this->in_segment(job, true)[i], this->first_wave(job).mu[i], sum);
      f.sums.grad[i] = fma(kept_value(job, 0, i), mu, sum);
      if (p.vmin_gradient) f.sums.damping[i] = fma(kept_value(job, 1, i), mu, f.sums.damping[i]);
    }
    if (p.sponge) return;
    const int64_t in_layer = this->layer_index(iz, ix), in_side = this->side_index(iz, ix);
    if (in_layer >= 0) f.t_z[in_layer] = next_t(this->a_z(iz), this->b_z(iz), f.t_z[in_layer], mu);
    if (in_side >= 0) f.t_x[in_side] = next_t(this->a_x(ix), this->b_x(ix), f.t_x[in_side], mu);
  }

  SEISFAST_HD T kept_value(int job, int channel, int i) const {
    const Acoustic<T>& p = this->p;
    const int64_t cells = p.grid.cells();
    if (this->layout.segment) return this->in_segment(job, false)[channel * cells + i];
    const int64_t at = this->kept_index(job, this->n, channel);
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
    if (i < p.layer_cells()) {
      this->layer_cell(i, iz, ix);
      if (ix >= p.grid.nx_p()) return;
      f.r_z[i] = next_r<R>(p.weights.d1z, this->a_z(iz), this->b_z(iz), f.r_z[i], [&](int k) {
        return this->value(f.mu, iz + k, ix) + this->strip(f.t_z, this->layer_index(iz + k, ix));
      });
    } else {
      const int64_t j = i - p.layer_cells();
      this->side_cell(j, iz, ix);
      if (p.free_surface && iz == 0) return;
      f.r_x[j] = next_r<R>(p.weights.d1x, this->a_x(ix), this->b_x(ix), f.r_x[j], [&](int k) {
        return this->value(f.mu, iz, ix + k) + this->strip(f.t_x, this->side_index(iz, ix + k));
      });
    }
  }
};

// mu[n]; the tangent gains C' L^T mu[n + 1].
template <class T, int R>
struct Retreat : Phase<T> {
  SEISFAST_HD void operator()(int i, int job) const {
    const Acoustic<T>& p = this->p;
    const int row = p.grid.row(), iz = i / row, ix = i % row;
    if (ix >= p.grid.nx_p() || (p.free_surface && iz == 0)) return;
    const Fields<T> f = this->at(job);
    const Weights<T>& w = p.weights;
    T sum = laplacian<R>(
        w, [&](int k) { return this->value(f.mu, iz + k, ix); }, [&](int k) { return this->value(f.mu, iz, ix + k); });
    T extra = 0;
    if (this->near_z(iz))
      extra = layer_transposed<R>(
          w.d1z, w.d2z, [&](int k) { return this->strip(f.t_z, this->layer_index(iz + k, ix)); },
          [&](int k) { return this->strip(f.r_z, this->layer_index(iz + k, ix)); });
    if (this->near_x(ix))
      extra += layer_transposed<R>(
          w.d1x, w.d2x, [&](int k) { return this->strip(f.t_x, this->side_index(iz, ix + k)); },
          [&](int k) { return this->strip(f.r_x, this->side_index(iz, ix + k)); });
    sum += extra;
    if (this->layout.scratch && !this->tangent) this->scratch(job)[i] = sum;
    const T strength = this->strength_at(job, iz, ix);
    const T next = p.sponge ? advance_damped(f.mu[i], f.later[i], this->damping_at(job, iz, ix), strength, sum)
                            : advance(f.mu[i], f.later[i], strength, sum);
    f.later[i] = this->tangent ? fma(this->strength_tangent_at(job, iz, ix), this->scratch(job)[i], next) : next;
  }
};

}  // namespace plain
}  // namespace SEISFAST_LEVEL
}  // namespace seisfast
