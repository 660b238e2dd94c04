// Owns the time step of a wavefield over a band of rows on the CPU, forward.
#pragma once
#include "acoustic/cpu_wave.h"

namespace seisfast {
inline namespace SEISFAST_LEVEL {

// What a step reads and writes, from the first of its rows on; z and x are the layers' share there.
template <class T>
struct ForwardPanel {
  const T *u, *w;
  T* next;  // u[n - 1] before, u[n + 1] after
  T* kept;  // the Laplacian goes here
  const T* psi_z;
  T *psi_x, *zeta_z, *zeta_x;
  const T *a_z, *b_z;      // of the rows
  const T *a_x, *b_x;      // of the columns
  int stride, row, pitch;  // elements between rows: of fields; of kept steps and strips of rows; of strips of columns
  int64_t by_stride = 0, by_row = 0, by_pitch = 0;  // where the current row begins in them

  SEISFAST_HD void next_row() { by_stride += stride, by_row += row, by_pitch += pitch, ++a_z, ++b_z; }
};

// `psi_x(i)` is psi of x, i columns further.
template <class T, int R, bool keep, bool in_z, bool in_x, class P>
SEISFAST_HD void advance_cells(const Weights<T>& k, const ForwardPanel<T>& r, int ix, [[maybe_unused]] const P& psi_x) {
  using V = Vector<T>;
  constexpr bool slides = !keep && kBeside<T, R> == 1;  // beside the store of `keep` unaligned loads are faster
  const int64_t at = r.by_stride + ix, in_row = r.by_row + ix;
  const V u = load(r.u + at);
  auto along_z = [&](int i) { return load(r.u + at + i * r.stride); };
  auto along_x = [&] {
    if constexpr (slides)
      return Window<T, R, 3>(load(r.u + at - kLanes<T>), u, load(r.u + at + kLanes<T>)).template beside<1>();
    else
      return [&](int i) { return load(r.u + at + i); };
  }();
  V sum = laplacian<R>(k, along_z, along_x);
  [[maybe_unused]] V extra{};
  if constexpr (in_z) {
    V zeta = load(r.zeta_z + in_row);
    extra = layer<R>(k.d1z, k.d2z, *r.a_z, *r.b_z, zeta, along_z,
                     [&](int i) { return load(r.psi_z + in_row + i * r.row); });
    store(r.zeta_z + in_row, zeta);
  }
  if constexpr (in_x) {
    T* zeta_x = r.zeta_x + r.by_pitch + ix;
    V zeta = load(zeta_x);
    extra += layer<R>(k.d1x, k.d2x, load(r.a_x + ix), load(r.b_x + ix), zeta, along_x, psi_x);
    store(zeta_x, zeta);
  }
  if (in_z || in_x) sum += extra;
  if (keep) {
    __builtin_prefetch(r.kept + in_row + 2 * r.row, 1);
    store(r.kept + in_row, sum);
  }
  store(r.next + at, advance(u, load(r.next + at), load(r.w + at), sum));
}

// The rows of a panel over the columns of a span in no layer of x.
template <class T, int R, bool keep, bool in_z>
void advance_panel(const Weights<T>& weights, const ForwardPanel<T>& first, int rows, Span span) {
  const Weights<T> k = weights;
  ForwardPanel<T> r = first;
  for (int iz = 0; iz < rows; ++iz, r.next_row())
    for (int ix = span.begin; ix < span.end; ix += kLanes<T>) advance_cells<T, R, keep, in_z, false>(k, r, ix, 0);
}

// The same in a layer of x, of `vectors` (`by_width`): psi goes ahead of the cells by the stencil's reach.
template <class T, int R, bool keep, bool in_z, int vectors>
void advance_layer(const Weights<T>& weights, const ForwardPanel<T>& first, int rows, Span span) {
  constexpr int lanes = kLanes<T>, reach = kBeside<T, R>;
  const Weights<T> k = weights;
  ForwardPanel<T> r = first;
  const int count = vectors ? vectors : span.size() / lanes;
  for (int iz = 0; iz < rows; ++iz, r.next_row()) {
    Window<T, R, 2 * reach + 1> psis;
    SEISFAST_UNROLL
    for (int v = -reach; v < count; ++v) {
      Vector<T> psi{};
      if (v + reach < count) {
        const int ix = span.begin + (v + reach) * lanes;
        T* psi_x = r.psi_x + r.by_pitch + ix;
        psi = next_psi<R>(k.d1x, load(r.a_x + ix), load(r.b_x + ix), load(psi_x),
                          [&](int i) { return load(r.u + r.by_stride + ix + i); });
        store(psi_x, psi);
      }
      psis.push(psi);
      if (v >= 0) advance_cells<T, R, keep, in_z, true>(k, r, span.begin + v * lanes, psis.template beside<reach>());
    }
  }
}

// u[n] -> u[n + 1] without its injection, over the rows `band`; psi of z moves in the rows `psi`, which run ahead of
// them. The Laplacian goes to `kept`, u[n] - u[n - 1] to `change`, [nz, row], where given.
template <class T, int R>
struct Forward {
  const Medium<T, R>& m;
  const Wave<T, R>& f;

  void advance_band(int n, Span band, Span psi, T* kept, T* change) const {
    if (change) keep_change(n, band, change);
    f.mirror(n, band);
    if (m.p.sponge) {
      for (int iz = band.begin; iz < band.end; ++iz) advance_sponge_row(n, iz, kept);
      return;
    }
    m.for_layers(psi, [&](Span rows, int s) { move_psi(n, rows, s); });
    m.for_rows(band, [&](Span rows, int s) {
      if (kept)
        s < 0 ? advance_rows<true, false>(n, rows, s, kept) : advance_rows<true, true>(n, rows, s, kept);
      else
        s < 0 ? advance_rows<false, false>(n, rows, s, kept) : advance_rows<false, true>(n, rows, s, kept);
    });
    if (kept && m.first_row && band.begin == 0)
      for (int ix = 0; ix < m.row; ++ix) kept[ix] = 0;
  }

 private:
  void move_psi(int n, Span rows, int s) const {
    const Weights<T> k = m.k;
    const int stride = m.stride;
    for (int iz = rows.begin; iz < rows.end; ++iz) {
      const T *u = f.field[n & 1] + int64_t(iz) * m.stride, a = m.a_z()[iz], b = m.b_z()[iz];
      T* psi = f.along_z(0, s, iz);
      for (int ix = 0; ix < m.row; ix += kLanes<T>)
        store(psi + ix, next_psi<R>(k.d1z, a, b, load(psi + ix), [&](int i) { return load(u + ix + i * stride); }));
    }
  }

  // Rows that are all in span `s` of the layers of z, or in none.
  template <bool keep, bool in_z>
  void advance_rows(int n, Span rows, int s, T* kept) const {
    const int64_t at = int64_t(rows.begin) * m.stride;
    ForwardPanel<T> r{};
    r.u = f.field[n & 1] + at, r.next = f.field[(n + 1) & 1] + at, r.w = m.w + at;
    r.stride = m.stride, r.row = m.row, r.a_x = m.ax, r.b_x = m.bx;
    if (keep) r.kept = kept + int64_t(rows.begin) * m.row;
    if (in_z) {
      r.a_z = m.a_z() + rows.begin, r.b_z = m.b_z() + rows.begin;
      r.psi_z = f.along_z(0, s, rows.begin), r.zeta_z = f.along_z(1, s, rows.begin);
    }
    for (const Span span : m.between) advance_panel<T, R, keep, in_z>(m.k, r, rows.size(), span);
    for (int c = 0; c < m.columns.count; ++c) {
      r.psi_x = f.along_x(0, c, rows.begin), r.zeta_x = f.along_x(1, c, rows.begin);
      r.pitch = f.pitch(c);
      by_width<T>(m.columns.span[c].size(), [&](auto vectors) {
        advance_layer<T, R, keep, in_z, vectors()>(m.k, r, rows.size(), m.columns.span[c]);
      });
    }
  }

  void advance_sponge_row(int n, int iz, T* kept) const {
    const int64_t at = int64_t(iz) * m.stride;
    const T *u = f.field[n & 1] + at, *w = m.w + at, *damping = m.damping + at;
    T *next = f.field[(n + 1) & 1] + at, *out = kept ? kept + int64_t(iz) * m.row : nullptr;
    const Weights<T> k = m.k;
    const int stride = m.stride;
    for (int ix = 0; ix < m.row; ix += kLanes<T>) {
      const Vector<T> sum =
          laplacian<R>(k, [&](int i) { return load(u + ix + i * stride); }, [&](int i) { return load(u + ix + i); });
      if (out) store(out + ix, sum);
      store(next + ix, advance_damped(load(u + ix), load(next + ix), load(damping + ix), load(w + ix), sum));
    }
  }

  void keep_change(int n, Span band, T* change) const {
    const T *u = f.field[n & 1], *previous = f.field[(n + 1) & 1];
    for (int iz = band.begin; iz < band.end; ++iz)
      for (int ix = 0; ix < m.row; ++ix) {
        const int64_t at = int64_t(iz) * m.stride + ix;
        change[int64_t(iz) * m.row + ix] = ix < m.nx ? u[at] - previous[at] : T(0);
      }
  }
};

}  // namespace SEISFAST_LEVEL
}  // namespace seisfast
