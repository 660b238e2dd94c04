// Owns the forward phases of the plain engine. A phase is a struct whose operator()(i, job) does the work of one thread.
#pragma once
#include "acoustic/plain_phase.h"

namespace seisfast {
inline namespace SEISFAST_LEVEL {
namespace plain {

// psi of the strips, from u[n].
template <class T, int R>
struct Psi : Phase<T> {
  SEISFAST_HD void operator()(int i, int job) const {
    const Acoustic<T>& p = this->p;
    const Fields<T> f = this->at(job);
    int iz, ix;
    if (i < p.layer_cells()) {
      this->layer_cell(i, iz, ix);
      if (ix >= p.grid.nx_p()) return;
      f.psi_z[i] = next_psi<R>(p.weights.d1z, this->a_z(iz), this->b_z(iz), f.psi_z[i],
                               [&](int k) { return this->value(f.u, iz + k, ix); });
    } else {
      const int64_t j = i - p.layer_cells();
      this->side_cell(j, iz, ix);
      f.psi_x[j] = next_psi<R>(p.weights.d1x, this->a_x(ix), this->b_x(ix), f.psi_x[j],
                               [&](int k) { return this->value(f.u, iz, ix + k); });
    }
  }
};

// u[n + 1] without its injection; what the adjoint or the tangent needs is kept, [channels, nz_p, row]. The tangent, which
// comes after the first wave, gains C' L u[n] (cpu_tangent.h has the equations).
template <class T, int R>
struct Advance : Phase<T> {
  bool keep;

  SEISFAST_HD void operator()(int i, int job) const {
    const Acoustic<T>& p = this->p;
    const int row = p.grid.row(), iz = i / row, ix = i % row;
    if (ix >= p.grid.nx_p()) return;
    const Fields<T> f = this->at(job);
    T* kept = keep ? kept_at(job, this->tangent) + i : nullptr;
    if (kept && p.vmin_gradient) kept[p.grid.cells()] = f.u[i] - f.previous[i];
    if (p.free_surface && iz == 0) {
      if (kept) *kept = 0;
      return;
    }
    const Weights<T>& w = p.weights;
    auto along_z = [&](int k) { return this->value(f.u, iz + k, ix); };
    auto along_x = [&](int k) { return this->value(f.u, iz, ix + k); };
    T sum = laplacian<R>(w, along_z, along_x), extra = 0;
    if (this->near_z(iz)) {
      T outside = 0;
      const int64_t at = this->layer_index(iz, ix);
      extra = layer<R>(w.d1z, w.d2z, this->a_z(iz), this->b_z(iz), at < 0 ? outside : f.zeta_z[at], along_z,
                       [&](int k) { return this->strip(f.psi_z, this->layer_index(iz + k, ix)); });
    }
    if (this->near_x(ix)) {
      T outside = 0;
      const int64_t at = this->side_index(iz, ix);
      extra += layer<R>(w.d1x, w.d2x, this->a_x(ix), this->b_x(ix), at < 0 ? outside : f.zeta_x[at], along_x,
                        [&](int k) { return this->strip(f.psi_x, this->side_index(iz, ix + k)); });
    }
    sum += extra;
    if (kept) *kept = sum;
    const T strength = this->strength_at(job, iz, ix);
    const T next = p.sponge ? advance_damped(f.u[i], f.previous[i], this->damping_at(job, iz, ix), strength, sum)
                            : advance(f.u[i], f.previous[i], strength, sum);
    f.previous[i] = this->tangent ? fma(this->strength_tangent_at(job, iz, ix), kept_at(job, false)[i], next) : next;
  }

  SEISFAST_HD T* kept_at(int job, bool of_tangent) const {
    const Acoustic<T>& p = this->p;
    if (this->layout.segment) return this->in_segment(job, of_tangent);
    return this->layout.scratch ? this->scratch(job)
                                : static_cast<T*>(p.kept) + this->kept_index(job, this->n, 0) * p.grid.cells();
  }
};

// Sources, added to u[n + 1] one after the other: C s, to the tangent C s' + C' s.
template <class T>
struct Inject : Phase<T> {
  SEISFAST_HD void operator()(int, int job) const {
    const Fields<T> f = this->at(job);
    for (int s = 0; s < this->p.per_shot; ++s) {
      const int32_t* source = this->source(job, s);
      T& at = f.previous[this->cell(source)];
      const T pulse = this->pulse(job, s, this->n);
      at = fma(this->strength_of(job, source), this->tangent ? this->pulse_t(job, s, this->n) : pulse, at);
      if (this->tangent) at = fma(this->strength_tangent_of(job, source), pulse, at);
    }
  }
};

template <class T>
struct Record : Phase<T> {
  SEISFAST_HD void operator()(int r, int job) const {
    const Acoustic<T>& p = this->p;
    const Fields<T> f = this->at(job);
    p.data[(int64_t(job) * p.nt + this->n) * p.receivers + r] = f.previous[this->cell(this->receiver(job, r))];
  }
};

// State before step n <-> checkpoint.
template <class T>
struct Checkpoint : Phase<T> {
  bool load;
  SEISFAST_HD void operator()(int i, int job) const {
    const Acoustic<T>& p = this->p;
    const Fields<T> f = this->at(job);
    const int64_t cells = p.grid.cells();
    T* states = this->layout.states ? this->wave(job) + this->layout.states
                                    : p.checkpoints + int64_t(job) * p.segments() * p.state();
    T* stored = states + this->n / p.segment * p.state() + i;
    T* field = i < cells ? f.u + i : i < 2 * cells ? f.previous + (i - cells) : f.psi_x + (i - 2 * cells);
    if (load)
      *field = *stored;
    else
      *stored = *field;
  }
};

}  // namespace plain
}  // namespace SEISFAST_LEVEL
}  // namespace seisfast
