// Owns the layer of one strip line: up to S cells across a layer, kept by one thread in its registers.
//
// A strip begins at the grid's edge (or ends there) and reaches the stencil's reach into the model, because the layer
// acts that far. `field` holds the wavefield from R cells before the strip to R cells behind it; what the layer adds to
// the Laplacian goes to `store(i, values)`, four cells at a time. Outside the layer a and b are zero, which switches
// the recursion off; cells beyond `count` are not computed.
#pragma once
#include "acoustic/absorbing.h"
#include "common/vector.h"

namespace seisfast {
inline namespace SEISFAST_LEVEL {

template <class T, int R, int S>
struct Strip {
  const T *d1, *d2;
  const T* profile;  // a [S], b [S]
  int count;

  // first = psi, second = zeta
  template <class Store>
  SEISFAST_HD void forward(const T (&field)[S + 2 * R], T (&psi)[S], T (&zeta)[S], Store store) const {
    SEISFAST_UNROLL
    for (int i0 = 0; i0 < S; i0 += 4)
      if (i0 < count) {
        T a[4], b[4];
        load4(profile + i0, a), load4(profile + S + i0, b);
        SEISFAST_UNROLL
        for (int i = i0; i < i0 + 4; ++i)
          psi[i] = next_psi<R>(d1, a[i - i0], b[i - i0], psi[i], [&](int k) { return field[R + i + k]; });
      }
    SEISFAST_UNROLL
    for (int i0 = 0; i0 < S; i0 += 4)
      if (i0 < count) {
        T a[4], b[4], extra[4];
        load4(profile + i0, a), load4(profile + S + i0, b);
        SEISFAST_UNROLL
        for (int i = i0; i < i0 + 4; ++i)
          extra[i - i0] = layer<R>(
              d1, d2, a[i - i0], b[i - i0], zeta[i], [&](int k) { return field[R + i + k]; },
              [&](int k) { return inside(psi, i + k); });
        store(i0, extra);
      }
  }

  // first = t, second = r
  template <class Store>
  SEISFAST_HD void transposed(const T (&field)[S + 2 * R], T (&t)[S], T (&r)[S], Store store) const {
    SEISFAST_UNROLL
    for (int i0 = 0; i0 < S; i0 += 4)
      if (i0 < count) {
        T a[4], b[4];
        load4(profile + i0, a), load4(profile + S + i0, b);
        SEISFAST_UNROLL
        for (int i = i0; i < i0 + 4; ++i) t[i] = next_t(a[i - i0], b[i - i0], t[i], field[R + i]);
      }
    SEISFAST_UNROLL
    for (int i0 = 0; i0 < S; i0 += 4)
      if (i0 < count) {
        T a[4], b[4];
        load4(profile + i0, a), load4(profile + S + i0, b);
        SEISFAST_UNROLL
        for (int i = i0; i < i0 + 4; ++i)
          r[i] = next_r<R>(d1, a[i - i0], b[i - i0], r[i], [&](int k) { return field[R + i + k] + inside(t, i + k); });
      }
    SEISFAST_UNROLL
    for (int i0 = 0; i0 < S; i0 += 4)
      if (i0 < count) {
        T extra[4];
        SEISFAST_UNROLL
        for (int i = i0; i < i0 + 4; ++i)
          extra[i - i0] = layer_transposed<R>(
              d1, d2, [&](int k) { return inside(t, i + k); }, [&](int k) { return inside(r, i + k); });
        store(i0, extra);
      }
  }

 private:
  SEISFAST_HD static T inside(const T (&values)[S], int i) { return i < 0 || i >= S ? T(0) : values[i]; }
};

}  // namespace SEISFAST_LEVEL
}  // namespace seisfast
