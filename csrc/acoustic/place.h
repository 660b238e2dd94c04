// Owns what a run says about a cell: its strength and damping, the layer coefficients, its place in the strips of the
// layers, and where sources and receivers lie. Jobs are global: model * shots + shot.
#pragma once
#include "acoustic/step.h"

namespace seisfast {
inline namespace SEISFAST_LEVEL {

template <class T>
struct Place {
  Acoustic<T> p;

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

  // The velocity of a cell, among those of all models.
  SEISFAST_HD int64_t model_cell(int job, int iz, int ix) const {
    const Grid& g = p.grid;
    return (int64_t(job / p.shots) * g.nz + clamp_index(iz - g.top, g.nz)) * g.nx + clamp_index(ix - g.left, g.nx);
  }
  SEISFAST_HD T strength_at(int job, int iz, int ix) const {
    return p.free_surface && iz == 0 ? T(0) : strength(p.velocity[model_cell(job, iz, ix)], p.dt);
  }
  SEISFAST_HD T strength_of(int job, const int32_t* at) const {
    return strength_at(job, at[0] + p.grid.top, at[1] + p.grid.left);
  }
  // Their derivatives along the tangent of the velocity.
  SEISFAST_HD T strength_tangent_at(int job, int iz, int ix) const {
    const int64_t at = model_cell(job, iz, ix);
    return p.free_surface && iz == 0 ? T(0) : strength_tangent(p.velocity[at], p.velocity_t[at], p.dt);
  }
  SEISFAST_HD T strength_tangent_of(int job, const int32_t* at) const {
    return strength_tangent_at(job, at[0] + p.grid.top, at[1] + p.grid.left);
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
  SEISFAST_HD T pulse(int job, int s, int n) const {
    return p.wavelet[job / p.shots * p.wavelet_model + job % p.shots * p.wavelet_shot + s * p.wavelet_source + n];
  }
  SEISFAST_HD T pulse_t(int job, int s, int n) const { return p.wavelet_t[(int64_t(job) * p.per_shot + s) * p.nt + n]; }

  SEISFAST_HD int64_t kept_index(int job, int n, int channel) const {
    return (int64_t(job) * p.kept_steps() + n / p.every) * p.channels() + channel;
  }
};

}  // namespace SEISFAST_LEVEL
}  // namespace seisfast
