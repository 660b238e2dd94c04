// Owns a wavefield of a shot on the CPU: its memory, what lies beyond the edges, and its time step over a band of rows.
//
// Fields have ghosts around the grid: zero beside C-PML, the periodic image under the sponge, the odd mirror above a free
// surface. The layers' two recursions (psi and zeta forward; t and r transposed) lie in strips: along z with R rows of
// ghosts on both sides, along x row by row, the second behind the first.
#pragma once
#include "acoustic/cpu_medium.h"

namespace seisfast {
inline namespace SEISFAST_LEVEL {

// Vectors on either side that hold the R columns beside one.
template <class T, int R>
constexpr int kBeside = (R + kLanes<T> - 1) / kLanes<T>;

// The last `count` vectors of a row that is gone along: what was stored a moment ago cannot be loaded in other pieces
// yet, and neighbours are put together here.
template <class T, int R, int count>
class Window {
 public:
  Window() = default;
  SEISFAST_HD Window(Vector<T> a, Vector<T> b, Vector<T> c) : held{a, b, c} {}

  SEISFAST_HD void push(Vector<T> next) { shift(next, std::make_integer_sequence<int, count - 1>()); }
  // The vector that was pushed so many before the last one, moved by i columns, -R <= i <= R.
  template <int before>
  SEISFAST_HD auto beside() const {
    return Beside(held + count - 1 - before);
  }

 private:
  struct Beside {
    Vector<T> value[2 * R + 1];

    SEISFAST_HD explicit Beside(const Vector<T>* middle) { fill(middle, std::make_integer_sequence<int, 2 * R + 1>()); }
    SEISFAST_HD Vector<T> operator()(int i) const { return value[i + R]; }

   private:
    template <int... i>
    SEISFAST_HD void fill(const Vector<T>* middle, std::integer_sequence<int, i...>) {
      ((value[i] = piece<i - R>(middle)), ...);
    }
    template <int i>
    SEISFAST_HD static Vector<T> piece(const Vector<T>* middle) {
      constexpr int lanes = kLanes<T>, whole = (i + R * lanes) / lanes - R;
      return slide<i - whole * lanes>(middle[whole], i == whole * lanes ? middle[whole] : middle[whole + 1]);
    }
  };
  template <int... i>
  SEISFAST_HD void shift(Vector<T> next, std::integer_sequence<int, i...>) {
    ((held[i] = held[i + 1]), ...);
    held[count - 1] = next;
  }
  Vector<T> held[count] = {};
};

// layer(vectors) for a layer of so many columns: a constant for usual widths, whose rows then have no loop, else 0.
template <class T, class Layer>
void by_width(int columns, Layer layer) {
  constexpr int block = kBlock / kLanes<T>;
  if (columns == kBlock) return layer(std::integral_constant<int, block>());
  if (columns == 2 * kBlock) return layer(std::integral_constant<int, 2 * block>());
  layer(std::integral_constant<int, 0>());
}

template <class T, int R>
struct Wave {
  const Medium<T, R>& m;
  T* field[2];                              // u[n] lies in field[n % 2]
  T *strip_z[2][2] = {}, *strip_x[2] = {};  // of the spans of rows (first, second) and of columns

  Wave(const Medium<T, R>& medium, Arena<T>& arena) : m(medium), field{medium.field(arena), medium.field(arena)} {
    for (int s = 0; s < m.rows.count; ++s)
      for (T*& strip : strip_z[s]) strip = arena.take(int64_t(m.rows.span[s].size() + 2 * R) * m.row);
    for (int s = 0; s < m.columns.count; ++s) strip_x[s] = arena.take(int64_t(m.nz) * pitch(s));
  }

  // A band at rest.
  void clear(Span band) const {
    for (T* f : field) m.clear(f, band);
    for (int s = 0; s < m.rows.count; ++s) {
      const Span rows = m.rows.span[s], inside = rows.within(band);
      if (inside.size() == 0) continue;
      const int from = inside.begin == rows.begin ? rows.begin - R : inside.begin;
      const int to = inside.end == rows.end ? rows.end + R : inside.end;
      for (const int which : {0, 1})
        std::memset(along_z(which, s, from), 0, size_t(to - from) * size_t(m.row) * sizeof(T));
    }
    for (int s = 0; s < m.columns.count; ++s)
      std::memset(strip_x[s] + int64_t(band.begin) * pitch(s), 0, size_t(band.size()) * size_t(pitch(s)) * sizeof(T));
  }

  // Row iz of the first (0) or second (1) recursion along z in span s: element ix is [ix].
  T* along_z(int which, int s, int iz) const {
    return strip_z[s][which] + int64_t(iz - m.rows.span[s].begin + R) * m.row;
  }
  // The same along x, for the columns of span s.
  T* along_x(int which, int s, int iz) const {
    const Span span = m.columns.span[s];
    return strip_x[s] + int64_t(iz) * pitch(s) + which * span.size() - span.begin;
  }
  int pitch(int s) const { return 2 * m.columns.span[s].size(); }

  // What lies beyond the sides of a band of u[n], after the last change to it.
  void wrap(int n, Span band) const {
    if (!m.p.sponge) return;
    for (int iz = band.begin; iz < band.end; ++iz) {
      T* row = field[n & 1] + int64_t(iz) * m.stride;
      for (int i = 1; i <= R; ++i) row[-i] = row[m.nx - i], row[m.nx + i - 1] = row[i - 1];
    }
  }

  // What lies above and below a band of u[n] at an edge of the grid, before it is read.
  void mirror(int n, Span band) const {
    T* f = field[n & 1];
    const int64_t stride = m.stride;
    for (int i = 1; i <= R; ++i) {
      if (m.p.sponge && band.begin == 0) copy_row(f - i * stride, f + (m.nz - i) * stride, T(1));
      if (m.p.sponge && band.end == m.nz) copy_row(f + (m.nz + i - 1) * stride, f + (i - 1) * stride, T(1));
      if (m.p.free_surface && band.begin == 0) copy_row(f - i * stride, f + i * stride, T(-1));
    }
  }

 private:
  void copy_row(T* to, const T* from, T sign) const {
    for (int ix = 0; ix < m.nx; ++ix) to[ix] = sign * from[ix];
  }
};

}  // namespace SEISFAST_LEVEL
}  // namespace seisfast
