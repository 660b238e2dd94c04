// Owns one shot on the CPU, forward: its memory, its time step, and what it keeps for the adjoint.
//
// Fields are [nz_p + 2 reach, row + 2 kGhost] with ghosts around the grid: zero beside C-PML, the periodic image under the
// sponge, the odd mirror above a free surface. Loops run over whole blocks of kBlock columns; what lies right of the grid
// stays zero because (v dt)^2 is zero there.
#pragma once
#include <initializer_list>

#include "acoustic/half.h"
#include "acoustic/step.h"

namespace seisfast {
inline namespace SEISFAST_LEVEL {

constexpr int kGhost = 16;

// Columns [begin, end), whole blocks.
struct Span {
  int begin, end;
};

template <class T, int R>
class Shot {
 public:
  Shot(const Acoustic<T>& params, int job, T* workspace)
      : p(params), g(params.grid), k(params.weights), job(job), model(job / params.shots), shot(job % params.shots),
        row(g.row()), stride(row + 2 * kGhost), nz(g.nz_p()), nx(g.nx_p()), next(workspace),
        first_row(params.free_surface ? 1 : 0) {
    w = field();
    u = field();
    previous = field();
    ax = line();
    bx = line();
    extra = line();
    if (p.sponge) {
      damping = field();
      set_sponge();
    } else {
      psi_z = field();
      psi_x = field();
      zeta_z = field();
      zeta_x = field();
      set_layers();
    }
    set_strength();
  }

  void forward() {
    T* records = p.data + int64_t(job) * p.nt * p.receivers;
    scratch = p.half ? take(g.cells() * p.channels()) : nullptr;
    for (int n = 0; n < p.nt; ++n) {
      if (p.keep == Keep::checkpoints && n % p.segment == 0) save(checkpoint(n / p.segment));
      const bool kept = p.keep == Keep::steps && n % p.every == 0;
      step(n, kept ? kept_step(n, 0) : nullptr, kept && p.vmin_gradient ? kept_step(n, 1) : nullptr);
      if (kept && p.half) compress(n);
      for (int r = 0; r < p.receivers; ++r) records[int64_t(n) * p.receivers + r] = u[receiver(r)];
    }
  }

 protected:
  // -- memory ---------------------------------------------------------------------------------------------------------

  // A cleared field with ghosts; the pointer is that of cell (0, 0).
  T* field() {
    const int64_t size = int64_t(nz + 2 * R) * stride;
    T* begin = take(size);
    return begin + R * stride + kGhost;
  }
  T* line() { return take(stride) + kGhost; }
  T* line_of(int n) { return take(round_up(n)); }
  T* take(int64_t size) {
    T* begin = next;
    next += size;
    for (int64_t i = 0; i < size; ++i) begin[i] = 0;
    return begin;
  }

  // -- set-up ---------------------------------------------------------------------------------------------------------

  void set_strength() {
    const T* v = p.velocity + int64_t(model) * g.nz * g.nx;
    for (int iz = first_row; iz < nz; ++iz)
      for (int ix = 0; ix < nx; ++ix)
        w[iz * stride + ix] =
            strength(v[int64_t(clamp_index(iz - g.top, g.nz)) * g.nx + clamp_index(ix - g.left, g.nx)], p.dt);
  }

  void set_sponge() {
    for (int iz = 0; iz < nz; ++iz)
      for (int ix = 0; ix < nx; ++ix) damping[iz * stride + ix] = base(iz, ix) * p.slowest[model];
    spans[0] = {0, 0};
    span_count = 0;
  }
  T base(int iz, int ix) const { return sponge_base(g, p.profile[iz], p.profile[nz + ix], ix); }

  void set_layers() {
    az = line_of(nz + 2 * R) + R;
    bz = line_of(nz + 2 * R) + R;
    for (int iz = 0; iz < nz; ++iz) az[iz] = p.profile[iz], bz[iz] = p.profile[nz + iz];
    for (int ix = 0; ix < nx; ++ix) ax[ix] = p.profile[2 * nz + ix], bx[ix] = p.profile[2 * nz + nx + ix];
    Span left{0, g.left ? round_up(g.left + R) : 0}, right{row, row};
    if (g.right) right.begin = (nx - g.right - R > 0 ? nx - g.right - R : 0) / kBlock * kBlock;
    if (left.end > row) left.end = row;
    if (left.end >= right.begin) {
      spans[0] = {0, row};
      if (left.end == 0) spans[0] = {right.begin, row};
      span_count = 1;
    } else {
      if (left.end) spans[span_count++] = left;
      if (right.begin < row) spans[span_count++] = right;
    }
  }
  static int round_up(int n) { return (n + kBlock - 1) / kBlock * kBlock; }

  bool in_layer(int iz) const { return iz < g.top || iz >= nz - g.bottom; }
  bool near_layer(int iz) const {
    return !p.sponge && ((g.top && iz < g.top + R) || (g.bottom && iz >= nz - g.bottom - R));
  }

  // -- positions ------------------------------------------------------------------------------------------------------

  int64_t cell(const int32_t* at) const { return int64_t(at[0] + g.top) * stride + at[1] + g.left; }
  int64_t receiver(int r) const { return cell(p.receiver_cells + shot * p.receiver_shot + 2 * r); }
  int64_t source(int s) const { return cell(p.sources + (int64_t(shot) * p.per_shot + s) * 2); }
  const T* pulse(int s) const {
    return p.wavelet + model * p.wavelet_model + shot * p.wavelet_shot + s * p.wavelet_source;
  }

  // -- forward --------------------------------------------------------------------------------------------------------

  // u[n] -> u[n + 1] with its injection; the Laplacian goes to `kept`, u[n] - u[n - 1] to `change`, where given.
  void step(int n, T* kept, T* change) {
    if (change) keep_change(change);
    fill_ghosts(u);
    if (!p.sponge) {
      for (int iz = first_row; iz < nz; ++iz) {
        if (!in_layer(iz)) continue;
        const T *ur = u + iz * stride, a = az[iz], b = bz[iz];
        T* psi = psi_z + iz * stride;
        const int s = stride;
#pragma GCC ivdep
        for (int ix = 0; ix < row; ++ix)
          psi[ix] = next_psi<R>(k.d1z, a, b, psi[ix], [=](int i) { return ur[ix + i * s]; });
      }
    }
    for (int iz = first_row; iz < nz; ++iz) {
      T* out = kept ? kept + int64_t(iz) * row : nullptr;
      const bool whole = near_layer(iz);
      if (whole) layer_row(iz);
      for (int i = 0; i < span_count; ++i) side_row(iz, spans[i], whole);
      advance_row(iz, u, previous, whole, out);
    }
    if (kept && first_row) clear(kept, row);
    T* swap = previous;
    previous = u;
    u = swap;
    for (int s = 0; s < p.per_shot; ++s) u[source(s)] = fma(w[source(s)], pulse(s)[n], u[source(s)]);
  }

  // What the top or bottom layer adds on one row, into `extra`.
  void layer_row(int iz) {
    const T *ur = u + iz * stride, *psi = psi_z + iz * stride;
    T *zeta = zeta_z + iz * stride, *e = extra;
    const T a = az[iz], b = bz[iz];
    const int s = stride;
#pragma GCC ivdep
    for (int ix = 0; ix < row; ++ix)
      e[ix] = layer<R>(
          k.d1z, k.d2z, a, b, zeta[ix], [=](int i) { return ur[ix + i * s]; }, [=](int i) { return psi[ix + i * s]; });
  }

  // The same for the left and right layers.
  void side_row(int iz, Span span, bool add) {
    const T* ur = u + iz * stride;
    T *psi = psi_x + iz * stride, *zeta = zeta_x + iz * stride, *e = extra;
    const T *a = ax, *b = bx;
#pragma GCC ivdep
    for (int ix = span.begin; ix < span.end; ++ix)
      psi[ix] = next_psi<R>(k.d1x, a[ix], b[ix], psi[ix], [=](int i) { return ur[ix + i]; });
    if (!add) clear(e + span.begin, span.end - span.begin);
#pragma GCC ivdep
    for (int ix = span.begin; ix < span.end; ++ix)
      e[ix] += layer<R>(
          k.d1x, k.d2x, a[ix], b[ix], zeta[ix], [=](int i) { return ur[ix + i]; }, [=](int i) { return psi[ix + i]; });
  }

  // One row of `now`; the field before it becomes the next one. The Laplacian goes to `out`, or null.
  // `extra` holds what the layers add: on the whole row, or on the spans.
  void advance_row(int iz, const T* now, T* before, bool whole, T* out) {
    if (p.sponge)
      advance_sponge_row(iz, now, before, out);
    else if (out)
      advance_spans<true>(iz, now, before, whole, out);
    else
      advance_spans<false>(iz, now, before, whole, out);
  }

  template <bool keep>
  void advance_spans(int iz, const T* now, T* before, bool whole, T* out) {
    int from = 0;
    for (int i = 0; i < span_count && !whole; ++i) {
      advance_span<keep, false>(iz, now, before, {from, spans[i].begin}, out);
      advance_span<keep, true>(iz, now, before, spans[i], out);
      from = spans[i].end;
    }
    if (whole)
      advance_span<keep, true>(iz, now, before, {0, row}, out);
    else
      advance_span<keep, false>(iz, now, before, {from, row}, out);
  }

  template <bool keep, bool with_extra>
  void advance_span(int iz, const T* now, T* before, Span span, T* out) {
    const T *ur = now + iz * stride, *wr = w + iz * stride, *e = extra;
    T* pr = before + iz * stride;
    const int s = stride;
#pragma GCC ivdep
    for (int ix = span.begin; ix < span.end; ++ix) {
      T sum = laplacian<R>(k, [=](int i) { return ur[ix + i * s]; }, [=](int i) { return ur[ix + i]; });
      if (with_extra) sum += e[ix];
      if (keep) out[ix] = sum;
      pr[ix] = advance(ur[ix], pr[ix], wr[ix], sum);
    }
  }

  void advance_sponge_row(int iz, const T* now, T* before, T* out) {
    const T *ur = now + iz * stride, *wr = w + iz * stride, *dr = damping + iz * stride;
    T* pr = before + iz * stride;
    const int s = stride;
    if (!out) out = extra;
#pragma GCC ivdep
    for (int ix = 0; ix < row; ++ix) {
      const T sum = laplacian<R>(k, [=](int i) { return ur[ix + i * s]; }, [=](int i) { return ur[ix + i]; });
      out[ix] = sum;
      pr[ix] = advance_damped(ur[ix], pr[ix], dr[ix], wr[ix], sum);
    }
  }

  void keep_change(T* change) {
    for (int iz = 0; iz < nz; ++iz)
      for (int ix = 0; ix < row; ++ix)
        change[int64_t(iz) * row + ix] = ix < nx ? u[iz * stride + ix] - previous[iz * stride + ix] : T(0);
  }

  void fill_ghosts(T* f) const {
    if (p.sponge) {
      for (int iz = 0; iz < nz; ++iz)
        for (int i = 1; i <= R; ++i) {
          f[iz * stride - i] = f[iz * stride + nx - i];
          f[iz * stride + nx + i - 1] = f[iz * stride + i - 1];
        }
      for (int i = 1; i <= R; ++i)
        for (int ix = 0; ix < nx; ++ix) {
          f[-i * stride + ix] = f[(nz - i) * stride + ix];
          f[(nz + i - 1) * stride + ix] = f[(i - 1) * stride + ix];
        }
    } else if (p.free_surface) {
      for (int i = 1; i <= R; ++i)
        for (int ix = 0; ix < nx; ++ix) f[-i * stride + ix] = -f[i * stride + ix];
    }
  }

  // -- what the forward run keeps -------------------------------------------------------------------------------------

  int64_t kept_index(int n, int channel) const {
    return (int64_t(job) * p.kept_steps() + n / p.every) * p.channels() + channel;
  }
  // Where step n's channel lies as T: in the kept array, or in scratch when that is float16.
  T* kept_step(int n, int channel) const {
    return p.half ? scratch + channel * g.cells() : static_cast<T*>(p.kept) + kept_index(n, channel) * g.cells();
  }

  void compress(int n) const {
    for (int c = 0; c < p.channels(); ++c) {
      const T* from = scratch + c * g.cells();
      uint16_t* to = static_cast<uint16_t*>(p.kept) + kept_index(n, c) * g.cells();
      T largest = 0;
      for (int iz = 0; iz < nz; ++iz)
        for (int ix = 0; ix < nx; ++ix) {
          const T value = from[int64_t(iz) * row + ix], size = value < 0 ? -value : value;
          largest = size > largest ? size : largest;
        }
      const T scale = half_scale(largest);
      p.scales[kept_index(n, c)] = scale;
      for (int64_t i = 0; i < g.cells(); ++i) to[i] = to_half(float(from[i] * scale));
    }
  }

  T* checkpoint(int s) const { return p.checkpoints + (int64_t(job) * p.segments() + s) * p.state(); }

  // Visits every element of the state in the order of a checkpoint.
  template <class Visit>
  void visit_state(Visit visit) {
    auto rows = [&](T* f, int from, int to) {
      for (int iz = from; iz < to; ++iz) visit(f + iz * stride, row);
    };
    auto sides = [&](T* f) {
      for (int iz = 0; iz < nz; ++iz) visit(f + iz * stride, g.left), visit(f + iz * stride + nx - g.right, g.right);
    };
    rows(u, 0, nz), rows(previous, 0, nz);
    if (p.sponge) return;
    sides(psi_x), sides(zeta_x);
    for (T* f : {psi_z, zeta_z}) rows(f, 0, g.top), rows(f, nz - g.bottom, nz);
  }
  void save(T* to) {
    T* const end = to + p.state();
    visit_state([&](T* from, int n) {
      for (int i = 0; i < n; ++i) to[i] = from[i];
      to += n;
    });
    clear(to, int(end - to));
  }

  static void clear(T* f, int n) {
    for (int i = 0; i < n; ++i) f[i] = 0;
  }

  const Acoustic<T>& p;
  const Grid g;
  const Weights<T> k;
  const int job, model, shot;
  const int row, stride, nz, nx;
  T* next;  // free workspace
  const int first_row;
  Span spans[2];
  int span_count = 0;
  T *w, *u, *previous, *extra, *ax, *bx, *az = nullptr, *bz = nullptr, *scratch = nullptr;
  T *damping = nullptr, *psi_z = nullptr, *psi_x = nullptr, *zeta_z = nullptr, *zeta_x = nullptr;
};

}  // namespace SEISFAST_LEVEL
}  // namespace seisfast
