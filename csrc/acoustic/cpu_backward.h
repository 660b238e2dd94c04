// Owns the transposed time step over a band of rows on the CPU: mu (absorbing.h) backwards in time.
#pragma once
#include "acoustic/cpu_wave.h"

namespace seisfast {
inline namespace SEISFAST_LEVEL {

// What a transposed step reads and writes, from the first of its rows on; z and x are the layers' share there.
template <class T>
struct BackwardPanel {
  const T *mu, *w;
  T* next;        // mu[n + 2] before, mu[n] after
  const T* kept;  // the Laplacian of the forward step
  T* grad;        // gains kept mu
  T* laplacian;   // L^T mu goes here
  const T *t_z, *r_z;
  T *t_x, *r_x;
  const T *a_x, *b_x;      // of the columns
  int stride, row, pitch;  // elements between rows: of fields; of kept steps and strips of rows; of strips of columns
  int64_t by_stride = 0, by_row = 0, by_pitch = 0;  // where the current row begins in them

  SEISFAST_HD void next_row() { by_stride += stride, by_row += row, by_pitch += pitch; }
};

// `t_x(i)` and `r_x(i)` are those of x, i columns further.
template <class T, int R, bool image, bool keep, bool in_z, bool in_x, class U, class Q>
SEISFAST_HD void retreat_cells(const Weights<T>& k, const BackwardPanel<T>& r, int ix, [[maybe_unused]] const U& t_x,
                               [[maybe_unused]] const Q& r_x) {
  using V = Vector<T>;
  const int64_t at = r.by_stride + ix, in_row = r.by_row + ix;
  const V mu = load(r.mu + at);
  V sum = laplacian<R>(
      k, [&](int i) { return load(r.mu + at + i * r.stride); }, [&](int i) { return load(r.mu + at + i); });
  [[maybe_unused]] V extra{};
  if constexpr (in_z)
    extra = layer_transposed<R>(
        k.d1z, k.d2z, [&](int i) { return load(r.t_z + in_row + i * r.row); },
        [&](int i) { return load(r.r_z + in_row + i * r.row); });
  if constexpr (in_x) extra += layer_transposed<R>(k.d1x, k.d2x, t_x, r_x);
  if (in_z || in_x) sum += extra;
  if (keep) store(r.laplacian + in_row, sum);
  if (image) store(r.grad + in_row, fma(load(r.kept + in_row), mu, load(r.grad + in_row)));
  store(r.next + at, advance(mu, load(r.next + at), load(r.w + at), sum));
}

// The rows of a panel over the columns of a span in no layer of x.
template <class T, int R, bool image, bool keep, bool in_z>
void retreat_panel(const Weights<T>& weights, const BackwardPanel<T>& first, int rows, Span span) {
  const Weights<T> k = weights;
  BackwardPanel<T> r = first;
  for (int iz = 0; iz < rows; ++iz, r.next_row())
    for (int ix = span.begin; ix < span.end; ix += kLanes<T>)
      retreat_cells<T, R, image, keep, in_z, false>(k, r, ix, 0, 0);
}

// The same in a layer of x, of `vectors` (`by_width`): t goes ahead of r, and r of the cells, each by the
// stencil's reach.
template <class T, int R, bool image, bool keep, bool in_z, int vectors>
void retreat_layer(const Weights<T>& weights, const BackwardPanel<T>& first, int rows, Span span) {
  constexpr int lanes = kLanes<T>, reach = kBeside<T, R>;
  const Weights<T> k = weights;
  BackwardPanel<T> r = first;
  const int count = vectors ? vectors : span.size() / lanes;
  for (int iz = 0; iz < rows; ++iz, r.next_row()) {
    Window<T, R, 3 * reach + 1> ts;
    Window<T, R, 2 * reach + 1> rs;
    SEISFAST_UNROLL
    for (int v = -2 * reach; v < count; ++v) {
      Vector<T> t_new{}, r_new{};
      if (v + 2 * reach < count) {
        const int ix = span.begin + (v + 2 * reach) * lanes;
        T* t_x = r.t_x + r.by_pitch + ix;
        t_new = next_t(load(r.a_x + ix), load(r.b_x + ix), load(t_x), load(r.mu + r.by_stride + ix));
        store(t_x, t_new);
      }
      ts.push(t_new);
      if (v + reach >= 0 && v + reach < count) {
        const int ix = span.begin + (v + reach) * lanes;
        const auto t = ts.template beside<reach>();
        T* r_x = r.r_x + r.by_pitch + ix;
        r_new = next_r<R>(k.d1x, load(r.a_x + ix), load(r.b_x + ix), load(r_x),
                          [&](int i) { return load(r.mu + r.by_stride + ix + i) + t(i); });
        store(r_x, r_new);
      }
      rs.push(r_new);
      if (v >= 0)
        retreat_cells<T, R, image, keep, in_z, true>(k, r, span.begin + v * lanes, ts.template beside<2 * reach>(),
                                                     rs.template beside<reach>());
    }
  }
}

// What goes with a transposed step, [nz, row] each, or null: the Laplacian of step n and u[n] - u[n - 1], whose
// correlations with mu[n + 1] `grad` and `damping` gain, and where L^T mu[n + 1] goes.
template <class T>
struct Image {
  const T* kept;
  T* grad;
  const T* change = nullptr;
  T* damping = nullptr;
  T* laplacian = nullptr;
};

// mu[n + 1], complete, -> mu[n] without its residual, over the rows `band`; t and r of z move in rows that run ahead of
// them.
template <class T, int R>
struct Backward {
  const Medium<T, R>& m;
  const Wave<T, R>& f;  // mu[n] lies in field[n % 2]

  void retreat_band(int n, Span band, Span t_rows, Span r_rows, const Image<T>& image) const {
    f.mirror(n + 1, band);
    if (image.change) correlate(n, band, image.change, image.damping);
    if (m.p.sponge) {
      if (image.kept) correlate(n, band, image.kept, image.grad);
      for (int iz = band.begin; iz < band.end; ++iz) retreat_sponge_row(n, iz, image.laplacian);
      return;
    }
    m.for_layers(t_rows, [&](Span rows, int s) { move_t(n, rows, s); });
    m.for_layers(r_rows, [&](Span rows, int s) { move_r(n, rows, s); });
    m.for_rows(band, [&](Span rows, int s) {
      if (image.laplacian)
        retreat_rows<true, true>(n, rows, s, image);
      else
        image.kept ? retreat_rows<true, false>(n, rows, s, image) : retreat_rows<false, false>(n, rows, s, image);
    });
  }

  // `sum` gains what was kept of step n times mu[n + 1].
  void correlate(int n, Span band, const T* kept, T* sum) const {
    for (int iz = band.begin; iz < band.end; ++iz) {
      const T *mu = now(n, iz), *from = kept + int64_t(iz) * m.row;
      T* to = sum + int64_t(iz) * m.row;
      for (int ix = 0; ix < m.row; ix += kLanes<T>) store(to + ix, fma(load(from + ix), load(mu + ix), load(to + ix)));
    }
  }

 private:
  const T* now(int n, int iz) const { return f.field[(n + 1) & 1] + int64_t(iz) * m.stride; }
  T* next(int n, int iz) const { return f.field[n & 1] + int64_t(iz) * m.stride; }

  void move_t(int n, Span rows, int s) const {
    for (int iz = rows.begin; iz < rows.end; ++iz) {
      const T *mu = now(n, iz), a = m.a_z()[iz], b = m.b_z()[iz];
      T* t = f.along_z(0, s, iz);
      for (int ix = 0; ix < m.row; ix += kLanes<T>) store(t + ix, next_t(a, b, load(t + ix), load(mu + ix)));
    }
  }

  void move_r(int n, Span rows, int s) const {
    const Weights<T> k = m.k;
    const int stride = m.stride, row = m.row;
    for (int iz = rows.begin; iz < rows.end; ++iz) {
      const T *mu = now(n, iz), *t = f.along_z(0, s, iz), a = m.a_z()[iz], b = m.b_z()[iz];
      T* r = f.along_z(1, s, iz);
      for (int ix = 0; ix < row; ix += kLanes<T>)
        store(r + ix, next_r<R>(k.d1z, a, b, load(r + ix),
                                [&](int i) { return load(mu + ix + i * stride) + load(t + ix + i * row); }));
    }
  }

  // Rows that are all in span `s` of the layers of z, or with -1 in none.
  template <bool imaged, bool keep>
  void retreat_rows(int n, Span rows, int s, const Image<T>& image) const {
    s < 0 ? retreat_rows<imaged, keep, false>(n, rows, s, image) : retreat_rows<imaged, keep, true>(n, rows, s, image);
  }
  template <bool imaged, bool keep, bool in_z>
  void retreat_rows(int n, Span rows, int s, const Image<T>& image) const {
    BackwardPanel<T> r{};
    r.mu = now(n, rows.begin), r.next = next(n, rows.begin), r.w = m.w + int64_t(rows.begin) * m.stride;
    r.stride = m.stride, r.row = m.row, r.a_x = m.ax, r.b_x = m.bx;
    if (imaged) r.kept = image.kept + int64_t(rows.begin) * m.row, r.grad = image.grad + int64_t(rows.begin) * m.row;
    if (keep) r.laplacian = image.laplacian + int64_t(rows.begin) * m.row;
    if (in_z) r.t_z = f.along_z(0, s, rows.begin), r.r_z = f.along_z(1, s, rows.begin);
    for (const Span span : m.between) retreat_panel<T, R, imaged, keep, in_z>(m.k, r, rows.size(), span);
    for (int c = 0; c < m.columns.count; ++c) {
      r.t_x = f.along_x(0, c, rows.begin), r.r_x = f.along_x(1, c, rows.begin);
      r.pitch = f.pitch(c);
      by_width<T>(m.columns.span[c].size(), [&](auto vectors) {
        retreat_layer<T, R, imaged, keep, in_z, vectors()>(m.k, r, rows.size(), m.columns.span[c]);
      });
    }
  }

  void retreat_sponge_row(int n, int iz, T* out) const {
    const int64_t at = int64_t(iz) * m.stride;
    const T *mu = now(n, iz), *w = m.w + at, *damping = m.damping + at;
    T* to = next(n, iz);
    const Weights<T> k = m.k;
    const int stride = m.stride;
    for (int ix = 0; ix < m.row; ix += kLanes<T>) {
      const Vector<T> sum =
          laplacian<R>(k, [&](int i) { return load(mu + ix + i * stride); }, [&](int i) { return load(mu + ix + i); });
      if (out) store(out + int64_t(iz) * m.row + ix, sum);
      store(to + ix, advance_damped(load(mu + ix), load(to + ix), load(damping + ix), load(w + ix), sum));
    }
  }
};

}  // namespace SEISFAST_LEVEL
}  // namespace seisfast
