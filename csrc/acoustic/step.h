// Owns the time step of one cell, forward and transposed, and the map between the model and the padded grid.
#pragma once
#include "acoustic/absorbing.h"

namespace seisfast {
inline namespace SEISFAST_LEVEL {

SEISFAST_HD int clamp_index(int i, int n) { return i < 0 ? 0 : i >= n ? n - 1 : i; }

// (v dt)^2
template <class T>
SEISFAST_HD T strength(T velocity, T dt) {
  return (velocity * dt) * (velocity * dt);
}

// Its derivative along a tangent of the velocity.
template <class T>
SEISFAST_HD T strength_tangent(T velocity, T velocity_t, T dt) {
  return T(2) * (velocity * dt) * (velocity_t * dt);
}

// 2 u - u_prev + (v dt)^2 L; the transpose takes the same step in mu, see absorbing.h.
template <class V>
SEISFAST_HD V advance(V u, V previous, V strength, V laplacian) {
  return fma(strength, laplacian, fma(typename NumberOf<V>::type(2), u, -previous));
}

// The same with the sponge's first-order damping K: - K (u - u_prev).
template <class V>
SEISFAST_HD V advance_damped(V u, V previous, V damping, V strength, V laplacian) {
  return fma(strength, laplacian, fma(-damping, u - previous, fma(typename NumberOf<V>::type(2), u, -previous)));
}

// Transpose of the edge padding: sum of g over the padded cells that copy model cell (iz, ix), rows first.
template <class T, class G>
SEISFAST_HD T fold_padding(const Grid& grid, int iz, int ix, G g) {
  const int z0 = iz == 0 ? 0 : iz + grid.top, z1 = iz == grid.nz - 1 ? grid.nz_p() : iz + grid.top + 1;
  const int x0 = ix == 0 ? 0 : ix + grid.left, x1 = ix == grid.nx - 1 ? grid.nx_p() : ix + grid.left + 1;
  T sum = 0;
  for (int z = z0; z < z1; ++z)
    for (int x = x0; x < x1; ++x) sum += g(z, x);
  return sum;
}

}  // namespace SEISFAST_LEVEL
}  // namespace seisfast
