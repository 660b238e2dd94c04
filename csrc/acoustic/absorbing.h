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
// C times itself, as a source does. L^T of mu is D2 mu + extra, since D2 is symmetric and D1 antisymmetric:
//   m' = b m + mu           (adjoint of zeta)   t = a m'
//   p' = b p - D1 (mu + t)  (adjoint of psi)    r = a p'
//   extra = D2 t - D1 r
// Both run over the cells within the stencil's reach of the layer; a and b switch the recursion off outside it.
#pragma once
#include "acoustic/stencil.h"

namespace seisfast {
inline namespace SEISFAST_LEVEL {

template <int R, class T, class U>
SEISFAST_HD T next_psi(const T* d1, T a, T b, T psi, U u) {
  return fma(b, psi, a * first<R>(d1, u));
}

// Updates zeta in place; returns what the layer adds to the Laplacian.
template <int R, class T, class U, class P>
SEISFAST_HD T layer(const T* d1, const T* d2, T a, T b, T& zeta, U u, P psi) {
  const T slope = first<R>(d1, psi);
  zeta = fma(b, zeta, a * (second<R>(d2, u) + slope));
  return slope + zeta;
}

template <class T>
SEISFAST_HD T next_m(T b, T m, T mu) {
  return fma(b, m, mu);
}

// mu(k), m(k), a(k) along the axis.
template <int R, class T, class U, class M, class A>
SEISFAST_HD T next_p(const T* d1, T b, T p, U mu, M m, A a) {
  return fma(b, p, -first<R>(d1, [&](int k) { return fma(a(k), m(k), mu(k)); }));
}

template <int R, class T, class M, class P, class A>
SEISFAST_HD T layer_transposed(const T* d1, const T* d2, M m, P p, A a) {
  return second<R>(d2, [&](int k) { return a(k) * m(k); }) - first<R>(d1, [&](int k) { return a(k) * p(k); });
}

// Damping of the sponge per step: the side frames win in the corners.
template <class T>
SEISFAST_HD T sponge_base(const Grid& g, T profile_z, T profile_x, int ix) {
  return ix < g.left || ix >= g.left + g.nx ? profile_x : profile_z;
}

}  // namespace SEISFAST_LEVEL
}  // namespace seisfast
