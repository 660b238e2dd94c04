// Owns the finite differences of one cell. `at(k)` is the value k cells further along an axis: a number, or a vector of
// neighbouring cells.
#pragma once
#include "acoustic/params.h"
#include "common/portable.h"
#ifndef __CUDACC__
#include "common/cpu_vector.h"  // its fma must be known here
#endif

namespace seisfast {
inline namespace SEISFAST_LEVEL {

// First derivative, antisymmetric: its transpose is its negative.
template <int R, class T, class At>
SEISFAST_HD auto first(const T* d, At at) {
  auto sum = d[1] * (at(1) - at(-1));
  SEISFAST_UNROLL
  for (int k = 2; k <= R; ++k) sum = fma(d[k], at(k) - at(-k), sum);
  return sum;
}

// Second derivative, symmetric: its own transpose.
template <int R, class T, class At>
SEISFAST_HD auto second(const T* c, At at) {
  auto sum = c[0] * at(0);
  SEISFAST_UNROLL
  for (int k = 1; k <= R; ++k) sum = fma(c[k], at(k) + at(-k), sum);
  return sum;
}

// d2/dz2 + d2/dx2 of the field whose values along the two axes are `z(k)` and `x(k)`.
template <int R, class T, class Z, class X>
SEISFAST_HD auto laplacian(const Weights<T>& w, Z z, X x) {
  auto sum = w.centre * x(0);
  SEISFAST_UNROLL
  for (int k = 1; k <= R; ++k) sum = fma(w.d2x[k], x(k) + x(-k), sum);
  SEISFAST_UNROLL
  for (int k = 1; k <= R; ++k) sum = fma(w.d2z[k], z(k) + z(-k), sum);
  return sum;
}

}  // namespace SEISFAST_LEVEL
}  // namespace seisfast
