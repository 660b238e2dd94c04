// Owns what the waves of a shot on the CPU run in: their memory, the strength of the cells, the layers' coefficients,
// and which band of rows holds which source and receiver.
//
// A row is a whole number of blocks of kBlock columns, and loops run over whole blocks: what lies right of the grid
// stays zero, because (v dt)^2 is zero there.
#pragma once
#include <cstring>
#include <vector>

#include "acoustic/step.h"

namespace seisfast {
inline namespace SEISFAST_LEVEL {

constexpr int kGhost = 16;  // columns on both sides of a row, for the stencil's reach
constexpr int kBand = 16;   // rows that take a step together, the last band up to 31: three times the reach or more

// [begin, end) of rows or columns.
struct Span {
  int begin, end;

  int size() const { return end - begin; }
  bool holds(int i) const { return i >= begin && i < end; }
  Span within(Span other) const {
    const int low = begin > other.begin ? begin : other.begin, high = end < other.end ? end : other.end;
    return {low, high > low ? high : low};
  }
};

// The rows of band b.
inline Span band_rows(int b, int bands, int nz) { return {b * kBand, b + 1 < bands ? (b + 1) * kBand : nz}; }

// The layers at the two ends of an axis of `cells`, each with the stencil's reach and in whole units; one where they meet.
struct Spans {
  Span span[2];
  int count = 0;

  Spans() = default;
  Spans(int low, int high, int cells, int reach, int unit) {
    auto up = [&](int n) { return (n + unit - 1) / unit * unit; };
    const int end = up(cells), up_to = low ? up(low + reach) : 0, from = high ? cells - high - reach : end;
    const Span first{0, up_to < end ? up_to : end}, second{from > 0 ? from / unit * unit : 0, end};
    if (first.size() && second.size() && first.end >= second.begin) {
      span[count++] = {0, end};
      return;
    }
    if (first.size()) span[count++] = first;
    if (second.size()) span[count++] = second;
  }
  const Span* begin() const { return span; }
  const Span* end() const { return span + count; }

  // What lies between them, up to `end`.
  Spans gaps(int end) const {
    Spans found;
    int from = 0;
    for (const Span s : *this) {
      if (from < s.begin) found.span[found.count++] = {from, s.begin};
      from = s.end;
    }
    if (from < end) found.span[found.count++] = {from, end};
    return found;
  }
};

// Hands out aligned pieces of a workspace, as they are; without a workspace it only counts.
template <class T>
class Arena {
 public:
  explicit Arena(T* begin) : next(begin) {}

  T* take(int64_t size) {
    size = (size + kBlock - 1) / kBlock * kBlock;
    used += size;
    if (!next) return nullptr;
    next += size;
    return next - size;
  }
  int64_t used = 0;

 private:
  T* next;
};

// Numbers 0 .. count by the band that holds their cells, in order.
class BandList {
 public:
  template <class BandOf>
  BandList(int bands, int count, BandOf band_of) : first(size_t(bands) + 1), index(size_t(count)) {
    for (int i = 0; i < count; ++i) ++first[size_t(band_of(i)) + 1];
    for (size_t b = 1; b < first.size(); ++b) first[b] += first[b - 1];
    std::vector<int> next(first.begin(), first.end() - 1);
    for (int i = 0; i < count; ++i) index[size_t(next[size_t(band_of(i))]++)] = i;
  }
  const int* begin(int band) const { return index.data() + first[size_t(band)]; }
  const int* end(int band) const { return index.data() + first[size_t(band) + 1]; }

 private:
  std::vector<int> first, index;
};

template <class T, int R>
struct Medium {
  const Acoustic<T>& p;
  const Grid g;
  const Weights<T> k;
  const int job, model, shot;
  const int row, stride, nz, nx, bands;
  const int first_row;                       // a free surface does not move
  const Spans rows, columns;                 // the layers of z and of x
  const Spans between;                       // columns in no layer
  T *w, *w_t = nullptr, *damping = nullptr;  // fields: (v dt)^2; its tangent; the sponge's damping
  T *ax = nullptr, *bx = nullptr;            // C-PML of the columns, zero beyond the grid
  const BandList sources, receivers;

  Medium(const Acoustic<T>& params, int job, Arena<T>& arena, bool tangent)
      : p(params), g(params.grid), k(params.weights), job(job), model(job / params.shots), shot(job % params.shots),
        row(g.row()), stride(row + 2 * kGhost), nz(g.nz_p()), nx(g.nx_p()), bands(nz < kBand ? 1 : nz / kBand),
        first_row(params.free_surface ? 1 : 0), rows(params.sponge ? Spans() : Spans(g.top, g.bottom, nz, R, 1)),
        columns(params.sponge ? Spans() : Spans(g.left, g.right, nx, R, kBlock)), between(columns.gaps(row)),
        sources(bands, params.per_shot, [this](int s) { return band_of(source_cell(s)[0] + g.top); }),
        receivers(bands, params.receivers, [this](int r) { return band_of(receiver_cell(r)[0] + g.top); }) {
    w = field(arena);
    if (tangent) w_t = field(arena);
    if (p.sponge) {
      damping = field(arena);
    } else {
      ax = arena.take(row), bx = arena.take(row);
    }
    for (int ix = 0; ax && ix < row; ++ix) {
      ax[ix] = ix < nx ? p.profile[2 * nz + ix] : T(0);
      bx[ix] = ix < nx ? p.profile[2 * nz + nx + ix] : T(0);
    }
  }

  // Strength and damping of a band; nothing is there before.
  void prepare(Span band) const {
    const int64_t model_cells = int64_t(g.nz) * g.nx;
    const T *v = p.velocity + model * model_cells, *v_t = w_t ? p.velocity_t + model * model_cells : nullptr;
    clear(w, band);
    if (w_t) clear(w_t, band);
    for (int iz = band.begin < first_row ? first_row : band.begin; iz < band.end; ++iz)
      for (int ix = 0; ix < nx; ++ix) {
        const int64_t at = int64_t(clamp_index(iz - g.top, g.nz)) * g.nx + clamp_index(ix - g.left, g.nx);
        w[int64_t(iz) * stride + ix] = strength(v[at], p.dt);
        if (w_t) w_t[int64_t(iz) * stride + ix] = strength_tangent(v[at], v_t[at], p.dt);
      }
    if (!p.sponge) return;
    clear(damping, band);
    for (int iz = band.begin; iz < band.end; ++iz)
      for (int ix = 0; ix < nx; ++ix)
        damping[int64_t(iz) * stride + ix] = sponge_base(g, p.profile[iz], p.profile[nz + ix], ix) * p.slowest[model];
  }

  // A field with ghosts; the pointer is that of cell (0, 0).
  T* field(Arena<T>& arena) const {
    T* begin = arena.take(int64_t(nz + 2 * R) * stride);
    return begin ? begin + R * stride + kGhost : nullptr;
  }
  // The rows of a band in a field, with the ghosts that belong to it.
  void clear(T* field, Span band) const {
    const int from = band.begin == 0 ? -R : band.begin, to = band.end == nz ? nz + R : band.end;
    std::memset(field + int64_t(from) * stride - kGhost, 0, size_t(to - from) * size_t(stride) * sizeof(T));
  }

  int64_t cell(const int32_t* at) const { return int64_t(at[0] + g.top) * stride + at[1] + g.left; }
  const int32_t* source_cell(int s) const { return p.sources + (int64_t(shot) * p.per_shot + s) * 2; }
  const int32_t* receiver_cell(int r) const { return p.receiver_cells + shot * p.receiver_shot + 2 * r; }
  int64_t source(int s) const { return cell(source_cell(s)); }
  int64_t receiver(int r) const { return cell(receiver_cell(r)); }
  const T* pulse(int s) const {
    return p.wavelet + model * p.wavelet_model + shot * p.wavelet_shot + s * p.wavelet_source;
  }
  const T* pulse_t(int s) const { return p.wavelet_t + (int64_t(job) * p.per_shot + s) * p.nt; }

  const T* a_z() const { return p.profile; }
  const T* b_z() const { return p.profile + nz; }

  Span band(int b) const { return band_rows(b, bands, nz); }
  // visit(rows, s) for the moving rows of a band: those in span s of the layers of z, and with -1 those in none.
  template <class Visit>
  void for_rows(Span band, Visit visit) const {
    int from = band.begin < first_row ? first_row : band.begin;
    for (int s = 0; s < rows.count; ++s) {
      const Span inside = rows.span[s].within({from, band.end});
      if (inside.size() == 0) continue;
      if (from < inside.begin) visit(Span{from, inside.begin}, -1);
      visit(inside, s);
      from = inside.end;
    }
    if (from < band.end) visit(Span{from, band.end}, -1);
  }
  // visit(rows, s) for those of the rows where a recursion along z runs, s the span of layers that holds them.
  template <class Visit>
  void for_layers(Span some, Visit visit) const {
    for (int s = 0; s < rows.count; ++s)
      for (const Span layer : {Span{0, g.top}, Span{nz - g.bottom, nz}}) {
        const Span inside = some.within(layer).within(rows.span[s]);
        if (inside.size()) visit(inside, s);
      }
  }
  int band_of(int iz) const { return iz / kBand < bands ? iz / kBand : bands - 1; }
};

}  // namespace SEISFAST_LEVEL
}  // namespace seisfast
