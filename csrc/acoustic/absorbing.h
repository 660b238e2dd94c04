// Owns the absorbing layer of one cell along one axis, C-PML and its transpose, and OpenFWI's sponge.
//
// Forward, with a and b of the cell (zero outside the layer):
//   psi'  = b psi  + a D1 u
//   zeta' = b zeta + a (D2 u + D1 psi')        extra = D1 psi' + zeta'        L = D2 u + extra
// Transpose, with q = (v dt)^2 lambda:
//   m' = b m + q           (adjoint of zeta)   t = a m'
//   p' = b p - D1 (q + t)  (adjoint of psi)    r = a p'
//   extra = D2 t - D1 r    which joins D2 q
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
SEISFAST_HD T next_m(T b, T m, T q) {
  return fma(b, m, q);
}

// q(k), m(k), a(k) along the axis.
template <int R, class T, class Q, class M, class A>
SEISFAST_HD T next_p(const T* d1, T b, T p, Q q, M m, A a) {
  return fma(b, p, -first<R>(d1, [&](int k) { return fma(a(k), m(k), q(k)); }));
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
