// Owns what every phase of the plain engine knows: where the fields of a shot lie, and what is beyond an edge.
#pragma once
#include "acoustic/gradient.h"

namespace seisfast {
inline namespace SEISFAST_LEVEL {
namespace plain {

// Workspace of one shot: the gradient's sums (adjoint only), the state, laid out like a checkpoint, then the rest.
template <class T>
struct Fields {
  GradientSums<T> sums;      // adjoint
  T *u, *previous;           // [nz_p, row]; by parity of the step
  T *psi_x, *zeta_x;         // [nz_p, left + right]
  T *psi_z, *zeta_z;         // [top + bottom, row]
  T *scratch, *largest;      // half: kept step [channels, nz_p, row], its column maxima [channels, row]
  T *mu, *later;             // adjoint: [nz_p, row]; by parity of the step
  T *t_x, *r_x, *t_z, *r_z;  // adjoint: as psi
  T* segment;                // adjoint from checkpoints: [segment, channels, nz_p, row]
};

template <class T>
SEISFAST_HD int64_t workspace_size(const Acoustic<T>& p, bool adjoint) {
  const int64_t cells = p.grid.cells();
  if (!adjoint) return p.state() + (p.half ? p.channels() * (cells + p.grid.row()) : 0);
  const int64_t strips = 2 * (align4(p.side_cells()) + align4(p.layer_cells()));
  const int64_t segment = p.keep == Keep::checkpoints ? p.segment * p.channels() * cells : 0;
  return gradient_size(p) + p.state() + 2 * cells + strips + segment;
}

// Step n reads u[n] from `u` and writes u[n + 1] over u[n - 1]; the same for mu, backwards.
template <class T>
SEISFAST_HD Fields<T> fields(const Acoustic<T>& p, int job, int n, bool adjoint) {
  const int64_t cells = p.grid.cells(), sides = p.side_cells(), layers = p.layer_cells();
  T* next = static_cast<T*>(p.workspace) + (job - p.first) * workspace_size(p, adjoint);
  auto take = [&](int64_t size) {
    T* begin = next;
    next += align4(size);
    return begin;
  };
  Fields<T> f{};
  if (adjoint) f.sums = gradient_sums(p, take(gradient_size(p)));
  T *even = take(p.state()), *odd = even + cells;
  f.u = n % 2 ? odd : even;
  f.previous = n % 2 ? even : odd;
  f.psi_x = odd + cells, f.zeta_x = f.psi_x + sides, f.psi_z = f.zeta_x + sides, f.zeta_z = f.psi_z + layers;
  if (!adjoint) {
    if (p.half) f.scratch = take(p.channels() * cells), f.largest = take(p.channels() * p.grid.row());
    return f;
  }
  even = take(cells), odd = take(cells);
  f.mu = n % 2 ? odd : even;
  f.later = n % 2 ? even : odd;
  f.t_x = take(sides), f.r_x = take(sides), f.t_z = take(layers), f.r_z = take(layers);
  f.segment = next;
  return f;
}

// What one phase knows: the run, the step, and where it is.
template <class T>
struct Phase : Place<T> {
  int n;
  bool adjoint;

  SEISFAST_HD Fields<T> at(int job) const { return fields(this->p, job, n, adjoint); }

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
