// Owns the begin and the end of a chunk on an on-chip engine: what a thread looks up once, and the way of its cells
// between device memory, registers and images.
#pragma once
#include "acoustic/tile_block.h"
#include "common/vector.h"

namespace seisfast {
inline namespace SEISFAST_LEVEL {
namespace onchip {

// `tiles`: whether the blocks may be tiles.
template <class T, int R, int S, bool adjoint, class Me, bool tiles>
struct Ends {
  static constexpr int K = Me::kRows, H = Me::kHeld;
  using At = Block<T>;

  SEISFAST_HD static void clear(const Me& me, const At& at) {
    for (int i = me.id; i < at.lay.size; i += at.threads) at.memory[i] = T(0);
  }

  // Which cells are mine, where the strips put their share, what is shot and heard here; the layer's profile.
  SEISFAST_HD static void prepare(Me& me, const At& at) {
    const Tile& t = at.tile;
    const int groups = t.width / 4, bands = at.threads / groups, band = me.id / groups;
    const int each = (t.rows + bands - 1) / bands;
    me.row = band * each;
    me.column = (me.id - band * groups) * 4;
    me.rows = band >= bands || me.row >= t.rows ? 0 : me.row + each <= t.rows ? each : t.rows - me.row;
    me.special = me.rows > 0 && at.copies(me.row, me.rows, me.column);
    me.low = t.top - me.row;
    me.high = t.bottom ? t.rows - t.bottom - me.row : K;
    me.strip_low = at.lay.strip_z + me.row * t.width + me.column;
    me.strip_high = at.lay.strip_z + (me.row - (t.rows - t.strip_rows)) * t.width + me.column;
    const int beyond = me.column - (t.width - t.right);
    const int side = me.column < t.left ? me.column : t.right && beyond >= 0 ? t.left + beyond : -1;
    me.strip_side = side < 0 ? -1 : at.lay.strip_x + me.row * at.lay.side_pitch + side;
    const bool owned = me.column + 4 > t.own_x0 && me.column < t.own_x1;
    me.own_begin = t.own_z0 - me.row;
    me.own_end = owned ? t.own_z1 - me.row : me.own_begin;
    me.residual = me.pulse = me.source_grad = me.receiver_strength = 0;
    find_sources(me, at);
    if constexpr (adjoint) {
      int row, column;
      me.source_at = owns_source(me, at) && at.find(at.source(me.id), row, column) ? at.lay.at(row, column) : -1;
    }
    find_receivers(me, at);
    fill_profile(me, at);
  }

  // Strength, gradient and state into registers and images.
  SEISFAST_HD static void load(Me& me, const At& at) {
    me.listens = at.flag() != T(0);
    const Chunk<T>& c = at.chunk;
    const Columns columns(me, at);
    const Grid& g = at.p.grid;
    const T* velocity = at.p.velocity + int64_t(at.job / at.p.shots) * g.nz * g.nx;
    int model[4];
    SEISFAST_UNROLL
    for (int w = 0; w < 4; ++w) model[w] = clamp_index(columns.ix[w] - g.left, g.nx);
    T rows[K][4];
    SEISFAST_UNROLL
    for (int k = 0; k < K; ++k) {
      const int iz = at.grid_cell(real_row(me, at, k), 0).iz;
      const T* row = velocity + int64_t(clamp_index(iz - g.top, g.nz)) * g.nx;
      SEISFAST_UNROLL
      for (int w = 0; w < 4; ++w) rows[k][w] = row[model[w]];
    }
    SEISFAST_UNROLL
    for (int k = 0; k < K; ++k) {
      const bool fixed = at.tile.mirror && me.row + k == 0;  // a free surface does not move
      SEISFAST_UNROLL
      for (int w = 0; w < 4; ++w) rows[k][w] = columns.real[w] && !fixed ? strength(rows[k][w], at.p.dt) : T(0);
      if (k < H)
        copy4(rows[k], me.strength[k < H ? k : 0]);
      else if (k < me.rows)
        store4(strength_at(me, at, k), rows[k]);
    }
    if constexpr (adjoint) {
      if (!c.first && owns_source(me, at)) me.source_grad = c.source_grad[at.local * c.grad_stride + me.id];
      SEISFAST_UNROLL
      for (int k = 0; k < K; ++k) {
        SEISFAST_UNROLL
        for (int w = 0; w < 4; ++w) me.grad[k][w] = 0;
      }
      if (!c.first) read(me, at, columns, c.grad + at.local * c.grad_stride, me.grad);
    }
    if constexpr (S > 0) {
      SEISFAST_UNROLL
      for (int i = 0; i < S; ++i) me.first_z[i] = me.second_z[i] = me.first_x[i] = me.second_x[i] = 0;
    }
    if (!c.from) return;
    const T* state = c.from + at.local * c.from_stride;
    T *now = at.image(0) + at.lay.at(me.row, me.column), *before = at.image(1) + at.lay.at(me.row, me.column);
    read(me, at, columns, state, rows);
    SEISFAST_UNROLL
    for (int k = 0; k < K; ++k)
      if (k < me.rows) put(me, at, now + k * at.lay.pitch, rows[k]);
    read(me, at, columns, state + g.cells(), rows);
    SEISFAST_UNROLL
    for (int k = 0; k < K; ++k)
      if (k < me.rows) put(me, at, before + k * at.lay.pitch, rows[k]);
    if (me.special) copy_edges(me, at, 0, now);
    if constexpr (S > 0) strip_state(me, at, [&](T& value, int64_t i, bool) { value = state[i]; });
  }

  SEISFAST_HD static void store(Me& me, const At& at, int q) {
    const Chunk<T>& c = at.chunk;
    const Columns columns(me, at);
    if (c.to) {
      T* state = c.to + at.local * c.to_stride;
      const int own = at.lay.at(me.row, me.column);
      SEISFAST_UNROLL
      for (int k = 0; k < K; ++k)
        if (k < me.rows) {
          T u[4], previous[4];
          load4(at.image(q) + own + k * at.lay.pitch, u), load4(at.image(q + 1) + own + k * at.lay.pitch, previous);
          write(me, at, columns, k, state, u);
          write(me, at, columns, k, state + at.p.grid.cells(), previous);
        }
      if constexpr (S > 0)
        strip_state(me, at, [&](T& value, int64_t i, bool owned) {
          if (owned) state[i] = value;
        });
    }
    if constexpr (adjoint) {
      if (owns_source(me, at)) c.source_grad[at.local * c.grad_stride + me.id] = me.source_grad;
      SEISFAST_UNROLL
      for (int k = 0; k < K; ++k) write(me, at, columns, k, c.grad + at.local * c.grad_stride, me.grad[k]);
    }
  }

  // -- what a step uses as well ---------------------------------------------------------------------------------------

  // A row into an image. What follows the last column of a periodic grid is a copy of the first ones: not mine to write.
  SEISFAST_HD static void put(const Me& me, const At& at, T* to, const T (&value)[4]) {
    if constexpr (S == 0)
      if (me.column + 4 > at.tile.columns) {
        SEISFAST_UNROLL
        for (int w = 0; w < 4; ++w)
          if (me.column + w < at.tile.columns) to[w] = value[w];
        return;
      }
    store4(to, value);
  }

  // What others need of this thread's new rows, which begin at `first`: the stencil's reach next to an edge.
  SEISFAST_HD static void copy_edges(const Me& me, const At& at, int q, const T* first) {
    const Tile& t = at.tile;
    const int pitch = at.lay.pitch, offset = (q & 1) * at.lay.image;
    auto copy_row = [&](int k, T* to, T sign) {
      T four[4];
      load4(first + k * pitch, four);
      SEISFAST_UNROLL
      for (int w = 0; w < 4; ++w) four[w] = sign * four[w];
      store4(to + me.column, four);
    };
    SEISFAST_ROLLED
    for (int k = 0; k < me.rows && me.row + k <= R; ++k) {
      const int row = me.row + k;
      if (at.above && row < R) copy_row(k, at.above + offset + at.lay.at(at.above_rows + row, 0), T(1));
      if (t.mirror && row > 0) copy_row(k, at.memory + offset + at.lay.at(-row, 0), T(-1));
    }
    if (at.below) {
      SEISFAST_ROLLED
      for (int k = t.rows - R > me.row ? t.rows - R - me.row : 0; k < me.rows; ++k)
        copy_row(k, at.below + offset + at.lay.at(me.row + k - t.rows, 0), T(1));
    }
    if (S == 0 && t.wrap_x && (me.column < R || me.column + 4 > t.columns - R)) {
      T* image = at.memory + offset;
      SEISFAST_ROLLED
      for (int k = 0; k < me.rows; ++k)
        for (int w = 0; w < 4; ++w) {
          const int column = me.column + w;
          const T value = first[k * pitch + w];
          if (column < R) image[at.lay.at(me.row + k, column + t.columns)] = value;
          if (column >= t.columns - R && column < t.columns) image[at.lay.at(me.row + k, column - t.columns)] = value;
        }
    }
  }

  SEISFAST_HD static bool mine(const Me& me, int row, int column) {
    return row >= me.row && row < me.row + me.rows && column >= me.column && column < me.column + 4;
  }

  // The layers' coefficients, or the sponge's damping, into shared memory.
  SEISFAST_HD static void fill_profile(Me& me, const At& at) {
    const Tile& t = at.tile;
    T* profile = at.memory + at.lay.profile;
    if constexpr (S == 0) {
      const T slowest = at.p.slowest[at.job / at.p.shots];
      const Grid& g = at.p.grid;
      for (int r = me.id; r < t.rows; r += at.threads) profile[r] = at.p.profile[at.grid_cell(r, 0).iz] * slowest;
      SEISFAST_UNROLL
      for (int w = 0; w < 4; ++w) {
        const int ix = at.grid_cell(0, me.column + w < t.columns ? me.column + w : 0).ix;
        const bool side = ix < g.left || ix >= g.left + g.nx;
        me.inner[w] = side ? T(0) : T(1);
        me.damping[w] = side ? at.p.profile[g.nz_p() + ix] * slowest : T(0);
      }
    } else {
      const int nz = at.p.grid.nz_p(), nx = at.p.grid.nx_p();
      for (int i = me.id; i < 4 * S; i += at.threads) {
        const int face = i / S, k = i % S, cells = face < 2 ? nz : nx;
        const int count = face == 0 ? t.top : face == 1 ? t.bottom : face == 2 ? t.left : t.right;
        const int begin = face == 1 ? nz - t.bottom : face == 3 ? t.x0 + t.width - t.right : 0;
        const bool real = k < count && begin + k < cells;
        const T* from = at.p.profile + (face < 2 ? 0 : 2 * nz) + begin + k;
        profile[face * 2 * S + k] = real ? from[0] : T(0);
        profile[face * 2 * S + S + k] = real ? from[cells] : T(0);
      }
    }
  }

  // How many sources lie in this thread's cells, and the first of them.
  SEISFAST_HD static void find_sources(Me& me, const At& at) {
    me.sources = 0;
    me.source = me.source_at = 0;
    me.source_strength = 0;
    for (int s = 0; s < at.p.per_shot; ++s) {
      int row, column;
      const Cell cell = at.source(s);
      if (!at.find(cell, row, column) || !mine(me, row, column) || me.sources++ > 0) continue;
      me.source = s;
      me.source_at = (row - me.row) * at.lay.pitch + column - me.column;
      me.source_strength = at.strength(cell);
    }
  }

  // Whether any receiver lies in this block; the place of receiver `id`.
  SEISFAST_HD static void find_receivers(Me& me, const At& at) {
    me.receiver_at = -1;
    for (int r = me.id; r < at.p.receivers; r += at.threads) {
      int row, column;
      const Cell cell = at.receiver(r);
      const bool computed = at.find(cell, row, column);
      if constexpr (adjoint) {
        int images = 0;
        at.for_images(cell, [&](int, int, T) { ++images; });
        if (images > 0) at.flag() = T(1);
        if (r == me.id && computed && images == 1) {
          me.receiver_at = at.lay.at(row, column);
          me.receiver_strength = at.strength(cell);
        }
      } else if (at.p.data && computed) {  // no records when steps are run again
        at.flag() = T(1);
        if (r == me.id && at.owns(row, column)) me.receiver_at = at.lay.at(row, column);
      }
    }
  }

  // Source `id`: there are no more sources than threads.
  SEISFAST_HD static bool owns_source(const Me& me, const At& at) {
    int row, column;
    return me.id < at.p.per_shot && at.find(at.source(me.id), row, column) && at.owns(row, column);
  }

  // Strip lines: one thread per column and face; one per row and face, from the last thread on, so that small blocks
  // share them out.
  SEISFAST_HD static bool line_of(int id, int lines, bool low, bool has_high, bool& high, int& line) {
    high = !low || id >= lines;
    line = low && high ? id - lines : id;
    return high ? has_high && line < lines : true;
  }
  SEISFAST_HD static bool line_z(const Me& me, const At& at, bool& high, int& line) {
    return line_of(me.id, at.tile.width, at.tile.top > 0, at.tile.bottom > 0, high, line);
  }
  SEISFAST_HD static bool line_x(const Me& me, const At& at, bool& high, int& line) {
    return line_of(at.threads - 1 - me.id, at.tile.rows, at.tile.left > 0, at.tile.right > 0, high, line);
  }

  // Tiles of a periodic grid may begin anywhere: their cells are found one by one. Others own whole groups of four (the
  // last ones up to the padding of a row).
  SEISFAST_HD static bool scattered(const At& at) { return tiles && S == 0 && at.tiling.engine == Engine::tiled; }

  // This thread's columns in a stored row.
  struct Columns {
    int ix[4];
    bool real[4], own[4];
    bool aligned;  // they are one piece of it

    SEISFAST_HD Columns(const Me& me, const At& at) : aligned(!scattered(at)) {
      const Tile& t = at.tile;
      SEISFAST_UNROLL
      for (int w = 0; w < 4; ++w) {
        real[w] = me.column + w < t.columns;
        own[w] = me.column + w >= t.own_x0 && me.column + w < t.own_x1;
        ix[w] = at.grid_cell(0, real[w] ? me.column + w : 0).ix;
      }
    }
  };
  // Local row k of this thread, or the last one of the block.
  SEISFAST_HD static int real_row(const Me& me, const At& at, int k) {
    return me.row + k < at.tile.rows ? me.row + k : at.tile.rows - 1;
  }
  // This thread's rows of a stored field, zero where there is no column. First all loads, so that they overlap.
  SEISFAST_HD static void read(const Me& me, const At& at, const Columns& columns, const T* field, T (&to)[K][4]) {
    SEISFAST_UNROLL
    for (int k = 0; k < K; ++k) {
      const T* row = field + int64_t(at.grid_cell(real_row(me, at, k), 0).iz) * at.p.grid.row();
      if (S > 0 || columns.aligned) {
        load4(row + columns.ix[0], to[k]);
      } else {
        SEISFAST_UNROLL
        for (int w = 0; w < 4; ++w) to[k][w] = row[columns.ix[w]];
      }
    }
    SEISFAST_UNROLL
    for (int k = 0; k < K; ++k) {
      SEISFAST_UNROLL
      for (int w = 0; w < 4; ++w)
        if (!columns.real[w]) to[k][w] = 0;
    }
  }
  // Row k of this thread into a stored field, the cells that this block owns.
  SEISFAST_HD static void write(const Me& me, const At& at, const Columns& columns, int k, T* field,
                                const T (&from)[4]) {
    if (k >= me.rows || k < me.own_begin || k >= me.own_end) return;
    T* row = field + int64_t(at.grid_cell(me.row + k, 0).iz) * at.p.grid.row();
    if (columns.aligned) {
      store4(row + columns.ix[0], from);
      return;
    }
    SEISFAST_UNROLL
    for (int w = 0; w < 4; ++w)
      if (columns.own[w]) row[columns.ix[w]] = from[w];
  }

  SEISFAST_HD static T* strength_at(const Me& me, const At& at, int k) {
    return at.memory + at.lay.strength + ((k - H) * at.threads + me.id) * 4;
  }
  SEISFAST_HD static void copy4(const T (&from)[4], T (&to)[4]) {
    SEISFAST_UNROLL
    for (int w = 0; w < 4; ++w) to[w] = from[w];
  }
  // Visits the strip values of this thread: (value, place in a state, whether this block owns it).
  template <class F>
  SEISFAST_HD static void strip_state(Me& me, const At& at, F f) {
    const Acoustic<T>& p = at.p;
    const Grid& g = p.grid;
    const Tile& t = at.tile;
    const int sides = g.left + g.right;
    const int64_t x_begin = 2 * g.cells(), z_begin = x_begin + 2 * p.side_cells();
    bool high;
    int line;
    // Strip cell i is line `i - skip` of the layers stored, if that is one of this face.
    auto visit = [&](T(&first)[Me::kStrip], T(&second)[Me::kStrip], int skip, int from, int to, int64_t begin,
                     int64_t step, int64_t second_begin, bool owned) {
      SEISFAST_UNROLL
      for (int i = 0; i < S; ++i)
        if (i - skip >= from && i - skip < to) {
          f(first[i], begin + (i - skip) * step, owned);
          f(second[i], begin + (i - skip) * step + second_begin, owned);
        }
    };
    if (line_z(me, at, high, line) && line < t.columns)
      visit(me.first_z, me.second_z, high ? t.bottom - g.top - g.bottom : 0, high ? g.top : 0,
            high ? g.top + g.bottom : g.top, z_begin + t.x0 + line, g.row(), p.layer_cells(),
            line >= t.own_x0 && line < t.own_x1);
    if (line_x(me, at, high, line))
      visit(me.first_x, me.second_x, high ? t.right - (t.width - t.columns) - sides : 0, high ? g.left : 0,
            high ? sides : g.left, x_begin + int64_t(t.z0 + line) * sides, 1, p.side_cells(),
            line >= t.own_z0 && line < t.own_z1);
  }
};

}  // namespace onchip
}  // namespace SEISFAST_LEVEL
}  // namespace seisfast
