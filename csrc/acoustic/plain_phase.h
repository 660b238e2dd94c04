// Owns what every phase of the plain engine knows: where the fields of a shot lie, and what is beyond an edge.
#pragma once
#include "acoustic/step.h"

namespace seisfast {
inline namespace SEISFAST_LEVEL {
namespace plain {

// Workspace of one shot, in this order; the first part is laid out like a checkpoint.
template <class T>
struct Fields {
  T *u, *previous;                         // [nz_p, row]; by parity of the step
  T *psi_x, *zeta_x;                       // [nz_p, left + right]
  T *psi_z, *zeta_z;                       // [top + bottom, row]
  T *scratch, *largest;                    // half: kept step [channels, nz_p, row], its column maxima [channels, row]
  T *q, *lambda, *later, *grad, *damping;  // adjoint: [nz_p, row]
  T *m_x, *p_x, *m_z, *p_z;                // adjoint: as psi
  T* source;                               // adjoint: gradient of (v dt)^2 at the sources, [per_shot]
  T* segment;                              // adjoint from checkpoints: [segment, channels, nz_p, row]
};

template <class T>
SEISFAST_HD int64_t side_cells(const Acoustic<T>& p) {
  return p.sponge ? 0 : int64_t(p.grid.nz_p()) * (p.grid.left + p.grid.right);
}
template <class T>
SEISFAST_HD int64_t layer_cells(const Acoustic<T>& p) {
  return p.sponge ? 0 : int64_t(p.grid.row()) * (p.grid.top + p.grid.bottom);
}

template <class T>
SEISFAST_HD int64_t workspace_size(const Acoustic<T>& p, bool adjoint) {
  const int64_t cells = p.grid.cells(), strips = 2 * (side_cells(p) + layer_cells(p));
  int64_t size = p.state();
  if (!adjoint) return size + (p.half ? p.channels() * (cells + p.grid.row()) : 0);
  size += 5 * cells + strips + p.per_shot;
  return size + (p.keep == Keep::checkpoints ? p.segment * p.channels() * cells : 0);
}

// Step n reads u[n] from `u` and writes u[n + 1] over u[n - 1]; the same for lambda, backwards.
template <class T>
SEISFAST_HD Fields<T> fields(const Acoustic<T>& p, int job, int n, bool adjoint) {
  const int64_t cells = p.grid.cells(), sides = side_cells(p), layers = layer_cells(p);
  T* next = static_cast<T*>(p.workspace) + job * workspace_size(p, adjoint);
  auto take = [&](int64_t size) {
    T* begin = next;
    next += size;
    return begin;
  };
  Fields<T> f{};
  T *even = take(cells), *odd = take(cells);
  f.u = n % 2 ? odd : even;
  f.previous = n % 2 ? even : odd;
  f.psi_x = take(sides), f.zeta_x = take(sides), f.psi_z = take(layers), f.zeta_z = take(layers);
  if (!adjoint) {
    if (p.half) f.scratch = take(p.channels() * cells), f.largest = take(p.channels() * p.grid.row());
    return f;
  }
  f.q = take(cells), even = take(cells), odd = take(cells);
  f.lambda = n % 2 ? odd : even;
  f.later = n % 2 ? even : odd;
  f.grad = take(cells), f.damping = take(cells);
  f.m_x = take(sides), f.p_x = take(sides), f.m_z = take(layers), f.p_z = take(layers);
  f.source = take(p.per_shot);
  f.segment = next;
  return f;
}

// What one phase knows: the run, the step, and where it is.
template <class T>
struct Phase {
  Acoustic<T> p;
  int n;
  bool adjoint;

  SEISFAST_HD Fields<T> at(int job) const { return fields(p, job, n, adjoint); }

  // A field beyond the grid: zero, the periodic image, or the odd mirror.
  SEISFAST_HD T value(const T* f, int iz, int ix) const {
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

  // Place in a strip of the layers, or -1 outside them.
  SEISFAST_HD int64_t side_index(int iz, int ix) const {
    const Grid& g = p.grid;
    const int low = g.left, high = g.nx_p() - g.right;
    if (ix < 0 || ix >= g.nx_p() || (ix >= low && ix < high)) return -1;
    return int64_t(iz) * (g.left + g.right) + (ix < low ? ix : ix - high + low);
  }
  SEISFAST_HD int64_t layer_index(int iz, int ix) const {
    const Grid& g = p.grid;
    const int low = g.top, high = g.nz_p() - g.bottom;
    if (iz < 0 || iz >= g.nz_p() || (iz >= low && iz < high)) return -1;
    return int64_t(iz < low ? iz : iz - high + low) * g.row() + ix;
  }
  SEISFAST_HD static T strip(const T* f, int64_t i) { return i < 0 ? T(0) : f[i]; }

  // Cell of a strip's element: its inverse.
  SEISFAST_HD void side_cell(int64_t i, int& iz, int& ix) const {
    const Grid& g = p.grid;
    const int width = g.left + g.right, k = int(i % width);
    iz = int(i / width);
    ix = k < g.left ? k : k - g.left + g.nx_p() - g.right;
  }
  SEISFAST_HD void layer_cell(int64_t i, int& iz, int& ix) const {
    const Grid& g = p.grid;
    const int k = int(i / g.row());
    ix = int(i % g.row());
    iz = k < g.top ? k : k - g.top + g.nz_p() - g.bottom;
  }

  // Layer coefficients, zero beyond the grid.
  SEISFAST_HD T a_z(int iz) const { return iz < 0 || iz >= p.grid.nz_p() ? T(0) : p.profile[iz]; }
  SEISFAST_HD T b_z(int iz) const { return p.profile[p.grid.nz_p() + iz]; }
  SEISFAST_HD T a_x(int ix) const { return ix < 0 || ix >= p.grid.nx_p() ? T(0) : p.profile[2 * p.grid.nz_p() + ix]; }
  SEISFAST_HD T b_x(int ix) const { return p.profile[2 * p.grid.nz_p() + p.grid.nx_p() + ix]; }

  SEISFAST_HD bool near_z(int iz) const {
    const Grid& g = p.grid;
    return !p.sponge && ((g.top && iz < g.top + p.reach()) || (g.bottom && iz >= g.nz_p() - g.bottom - p.reach()));
  }
  SEISFAST_HD bool near_x(int ix) const {
    const Grid& g = p.grid;
    return !p.sponge && ((g.left && ix < g.left + p.reach()) || (g.right && ix >= g.nx_p() - g.right - p.reach()));
  }

  SEISFAST_HD T strength_at(int job, int iz, int ix) const {
    const Grid& g = p.grid;
    const T* v = p.velocity + int64_t(job / p.shots) * g.nz * g.nx;
    if (p.free_surface && iz == 0) return T(0);
    return strength(v[int64_t(clamp_index(iz - g.top, g.nz)) * g.nx + clamp_index(ix - g.left, g.nx)], p.dt);
  }
  SEISFAST_HD T base(int iz, int ix) const {
    return sponge_base(p.grid, p.profile[iz], p.profile[p.grid.nz_p() + ix], ix);
  }
  SEISFAST_HD T damping_at(int job, int iz, int ix) const { return base(iz, ix) * p.slowest[job / p.shots]; }

  SEISFAST_HD int64_t cell(const int32_t* at) const {
    return int64_t(at[0] + p.grid.top) * p.grid.row() + at[1] + p.grid.left;
  }
  SEISFAST_HD const int32_t* receiver(int job, int r) const {
    return p.receiver_cells + (job % p.shots) * p.receiver_shot + 2 * r;
  }
  SEISFAST_HD const int32_t* source(int job, int s) const {
    return p.sources + (int64_t(job % p.shots) * p.per_shot + s) * 2;
  }
  SEISFAST_HD T pulse(int job, int s) const {
    return p.wavelet[job / p.shots * p.wavelet_model + job % p.shots * p.wavelet_shot + s * p.wavelet_source + n];
  }
  SEISFAST_HD T strength_of_source(int job, int s) const {
    const int32_t* at = source(job, s);
    return strength_at(job, at[0] + p.grid.top, at[1] + p.grid.left);
  }

  SEISFAST_HD int64_t kept_index(int job, int channel) const {
    return (int64_t(job) * p.kept_steps() + n / p.every) * p.channels() + channel;
  }
};

}  // namespace plain
}  // namespace SEISFAST_LEVEL
}  // namespace seisfast
