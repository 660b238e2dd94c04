// Owns the absorbing layer of one cell along one axis, C-PML and its transpose, and OpenFWI's sponge.
//
// Forward, with a and b of the cell (zero outside the layer):
//   psi'  = b psi  + a D1 u
//   zeta' = b zeta + a (D2 u + D1 psi')        extra = D1 psi' + zeta'        L = D2 u + extra
// Transpose, with C = (v dt)^2 of the cell and lambda the adjoint of u (K is the sponge's damping, zero beside C-PML):
//   lambda[n] = 2 lambda[n+1] - lambda[n+2] - K (lambda[n+1] - lambda[n+2]) + L^T C lambda[n+1]
// Multiplied by C, which commutes with the diagonal K, this is the forward step in mu = C lambda, with L^T for L:
//   mu[n] = 2 mu[n+1] - mu[n+2] - K (mu[n+1] - mu[n+2]) + C L^T mu[n+1]
// No approximation and no division: where C is zero (a free surface) the field is zero in both. A residual enters as
// C times itself, as a source does. L^T of mu is D2 mu + extra, since D2 is symmetric and D1 antisymmetric; with a times
// the adjoints of zeta and psi in the recursions:
//   t' = b t + a mu             r' = b r - a D1 (mu + t')             extra = D2 t' - D1 r'
// Both run over the cells within the stencil's reach of the layer; a and b switch the recursion off outside it.
#pragma once
#include "acoustic/stencil.h"

namespace seisfast {
inline namespace SEISFAST_LEVEL {

// T is a number, V a number or a vector of cells, A what the layer has there: one for a row, or one for each column.
template <int R, class T, class A, class V, class U>
SEISFAST_HD V next_psi(const T* d1, A a, A b, V psi, U u) {
  return fma(b, psi, a * first<R>(d1, u));
}

// Updates zeta in place; returns what the layer adds to the Laplacian.
template <int R, class T, class A, class V, class U, class P>
SEISFAST_HD V layer(const T* d1, const T* d2, A a, A b, V& zeta, U u, P psi) {
  const V slope = first<R>(d1, psi);
  zeta = fma(b, zeta, a * (second<R>(d2, u) + slope));
  return slope + zeta;
}

template <class A, class V>
SEISFAST_HD V next_t(A a, A b, V t, V mu) {
  return fma(b, t, a * mu);
}

// `mu_t(k)` is mu + t'.
template <int R, class T, class A, class V, class S>
SEISFAST_HD V next_r(const T* d1, A a, A b, V r, S mu_t) {
  return fma(b, r, -(a * first<R>(d1, mu_t)));
}

template <int R, class T, class S, class Q>
SEISFAST_HD auto layer_transposed(const T* d1, const T* d2, S t, Q r) {
  return second<R>(d2, t) - first<R>(d1, r);
}

// Damping of the sponge per step: the side frames win in the corners.
template <class T>
SEISFAST_HD T sponge_base(const Grid& g, T profile_z, T profile_x, int ix) {
  return ix < g.left || ix >= g.left + g.nx ? profile_x : profile_z;
}

}  // namespace SEISFAST_LEVEL
}  // namespace seisfast
