// Owns what every phase of the plain engine knows: where the fields of a shot lie, and what is beyond an edge.
#pragma once
#include "acoustic/gradient.h"

namespace seisfast {
inline namespace SEISFAST_LEVEL {
namespace plain {

// Elements of the fields of a wave (`fields`).
template <class T>
int64_t wave_size(const Acoustic<T>& p, bool transposed) {
  const int64_t forward = p.state(), strips = align4(p.side_cells()) + align4(p.layer_cells());
  return transposed ? gradient_size(p) + forward + 2 * (align4(p.grid.cells()) + strips) : forward;
}

// The workspace of a job: a wave or, along tangents, two, then what they share. What a task has not begins at 0.
struct Layout {
  bool transposed;
  int64_t wave;     // elements of a wave
  int64_t states;   // curvature: in every wave, checkpoints
  int64_t scratch;  // half: kept step, [channels, nz_p, row]; tangents: Laplacian of the first wave in the current step
  int64_t largest;  // half: column maxima, [channels, row]
  int64_t segment;  // steps computed again: [waves, segment, channels, nz_p, row]
  int64_t size;
};

template <class T>
Layout layout(const Acoustic<T>& p, Task task) {
  const int64_t cells = p.grid.cells(), step = p.channels() * cells;
  const bool again = task == Task::curvature || (task == Task::adjoint && p.keep == Keep::checkpoints);
  int64_t end = 0;
  auto take = [&](int64_t size) {
    end += align4(size);
    return end - align4(size);
  };
  Layout l{};
  l.transposed = task == Task::adjoint || task == Task::curvature;
  take(wave_size(p, l.transposed));
  if (task == Task::curvature) l.states = take(p.segments() * p.state());
  l.wave = end;
  if (has_tangents(task)) take(l.wave), l.scratch = take(cells);
  if (task == Task::forward && p.half) l.scratch = take(step), l.largest = take(p.channels() * p.grid.row());
  if (again) l.segment = take((has_tangents(task) ? 2 : 1) * p.segment * step);
  l.size = end;
  return l;
}

// One wave: the gradient's sums (transposed only), the state, laid out like a checkpoint, then the rest.
template <class T>
struct Fields {
  GradientSums<T> sums;      // transposed
  T *u, *previous;           // [nz_p, row]; by parity of the step
  T *psi_x, *zeta_x;         // [nz_p, left + right]
  T *psi_z, *zeta_z;         // [top + bottom, row]
  T *mu, *later;             // transposed: [nz_p, row]; by parity of the step
  T *t_x, *r_x, *t_z, *r_z;  // transposed: as psi
};

// Step n reads u[n] from `u` and writes u[n + 1] over u[n - 1]; the same for mu, backwards.
template <class T>
SEISFAST_HD Fields<T> fields(const Acoustic<T>& p, T* next, int n, bool transposed) {
  const int64_t cells = p.grid.cells(), sides = p.side_cells(), layers = p.layer_cells();
  auto take = [&](int64_t size) {
    T* begin = next;
    next += align4(size);
    return begin;
  };
  Fields<T> f{};
  if (transposed) f.sums = gradient_sums(p, take(gradient_size(p)));
  T *even = take(p.state()), *odd = even + cells;
  f.u = n % 2 ? odd : even;
  f.previous = n % 2 ? even : odd;
  f.psi_x = odd + cells, f.zeta_x = f.psi_x + sides, f.psi_z = f.zeta_x + sides, f.zeta_z = f.psi_z + layers;
  if (!transposed) return f;
  even = take(cells), odd = take(cells);
  f.mu = n % 2 ? odd : even;
  f.later = n % 2 ? even : odd;
  f.t_x = take(sides), f.r_x = take(sides), f.t_z = take(layers), f.r_z = take(layers);
  return f;
}

// What one phase knows: the run, the step, which wave of it, and where it is.
template <class T>
struct Phase : Place<T> {
  int n;
  Layout layout;
  bool tangent = false;

  SEISFAST_HD T* workspace(int job) const {
    return static_cast<T*>(this->p.workspace) + (job - this->p.first) * layout.size;
  }
  SEISFAST_HD T* wave(int job) const { return workspace(job) + (tangent ? layout.wave : 0); }
  SEISFAST_HD Fields<T> at(int job) const { return fields(this->p, wave(job), n, layout.transposed); }
  SEISFAST_HD Fields<T> first_wave(int job) const { return fields(this->p, workspace(job), n, layout.transposed); }
  SEISFAST_HD T* scratch(int job) const { return workspace(job) + layout.scratch; }
  // Step n in the segment, of the first wave or of its tangent.
  SEISFAST_HD T* in_segment(int job, bool of_tangent) const {
    const int step = n % this->p.segment + (of_tangent ? this->p.segment : 0);
    return workspace(job) + layout.segment + int64_t(step) * this->p.channels() * this->p.grid.cells();
  }

  // A field beyond the grid: zero, the periodic image, or the odd mirror.
  SEISFAST_HD T value(const T* f, int iz, int ix) const {
    const Acoustic<T>& p = this->p;
    const int nz = p.grid.nz_p(), nx = p.grid.nx_p(), row = p.grid.row();
    if (p.sponge) {
      iz += iz < 0 ? nz : iz >= nz ? -nz : 0;
      ix += ix < 0 ? nx : ix >= nx ? -nx : 0;
    } else if (ix < 0 || ix >= nx || iz >= nz) {
      return T(0);
    } else if (iz < 0) {
      return p.free_surface ? -f[int64_t(-iz) * row + ix] : T(0);
    }
    return f[int64_t(iz) * row + ix];
  }
  SEISFAST_HD static T strip(const T* f, int64_t i) { return i < 0 ? T(0) : f[i]; }
};

}  // namespace plain
}  // namespace SEISFAST_LEVEL
}  // namespace seisfast
