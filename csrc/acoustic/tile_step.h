// Owns the phases of an on-chip engine: what one thread does between two barriers.
#pragma once
#include "acoustic/half.h"
#include "acoustic/tile_block.h"
#include "acoustic/tile_strip.h"

namespace seisfast {
inline namespace SEISFAST_LEVEL {
namespace onchip {

// `tiles`: whether the blocks may be tiles.
template <class T, int R, int S, bool adjoint, class Me, bool tiles>
struct Phases {
  static constexpr int K = Me::kRows, H = Me::kHeld;
  using At = Block<T>;

  // -- begin and end of a chunk ---------------------------------------------------------------------------------------

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

  // -- a step ---------------------------------------------------------------------------------------------------------

  // What the layers add to the Laplacian, from image q.
  SEISFAST_HD static void layers(Me& me, const At& at, int q) {
    if constexpr (S > 0) {
      const Tile& t = at.tile;
      const T *image = at.image(q), *profile = at.memory + at.lay.profile;
      const Weights<T>& w = at.p.weights;
      bool high;
      int line;
      if (line_z(me, at, high, line)) {
        const int count = high ? t.bottom : t.top, start = high ? t.rows - t.bottom : 0;
        const T* from = image + at.lay.at(start - R, line);
        T field[S + 2 * R];
        SEISFAST_UNROLL
        for (int i = 0; i < S + 2 * R; i += 2) {
          const bool real = i < count + 2 * R;
          field[i] = real ? from[i * at.lay.pitch] : T(0);
          field[i + 1] = real ? from[(i + 1) * at.lay.pitch] : T(0);
        }
        T* to = at.strip_z(high ? t.top : 0) + line;
        const int pitch = t.width;
        run(Strip<T, R, S>{w.d1z, w.d2z, profile + (high ? 2 * S : 0), count}, field, me.first_z, me.second_z,
            [=](int i, const T(&extra)[4]) {
              SEISFAST_UNROLL
              for (int k = 0; k < 4; ++k) to[(i + k) * pitch] = extra[k];
            });
      }
      if (line_x(me, at, high, line)) {
        const int count = high ? t.right : t.left, start = high ? t.width - t.right : 0;
        const T* from = image + at.lay.at(line, start - 4);
        T near[S + 8], field[S + 2 * R];
        SEISFAST_UNROLL
        for (int i = 0; i < S + 8; i += 4) {
          T four[4] = {0, 0, 0, 0};
          if (i < count + 8) load4(from + i, four);
          SEISFAST_UNROLL
          for (int k = 0; k < 4; ++k) near[i + k] = four[k];
        }
        SEISFAST_UNROLL
        for (int i = 0; i < S + 2 * R; ++i) field[i] = near[i + 4 - R];
        T* to = at.strip_x(line) + (high ? t.left : 0);
        run(Strip<T, R, S>{w.d1x, w.d2x, profile + (high ? 6 * S : 4 * S), count}, field, me.first_x, me.second_x,
            [=](int i, const T(&extra)[4]) { store4(to + i, extra); });
      }
    }
  }

  // Image q + 1 from image q: u[n + 1], or mu[n] from mu[n + 1].
  SEISFAST_HD static void advance_cells(Me& me, const At& at, int n, int q) {
    const Weights<T>& weights = at.p.weights;
    const int pitch = at.lay.pitch, offset = at.lay.at(me.row, me.column);
    const T *own = at.image(q) + offset, *low = at.memory + me.strip_low, *high = at.memory + me.strip_high,
            *side = at.memory + me.strip_side;
    T *const first = at.image(q + 1) + offset, *next = first;
    if (adjoint)
      ask(me, at, n);
    else if (me.sources > 0)
      me.pulse = at.place.pulse(at.job, me.source, n);
    const Kept kept = kept_at(me, at, n);

    T ahead[4];  // adjoint: kept values of the next row, under way while this one is computed
    if constexpr (adjoint) fetch(me, at, kept, 0, ahead);
    T window[2 * R + 1][4];  // rows k - R .. k + R, in a ring
    SEISFAST_UNROLL
    for (int i = 0; i < 2 * R; ++i) {
      if (me.rows > 0) load4(own + (i - R) * pitch, window[i]);
    }
    SEISFAST_UNROLL
    for (int k = 0; k < K; ++k)
      if (k < me.rows) {
        load4(own + R * pitch, window[(k + 2 * R) % (2 * R + 1)]);
        const T(&centre)[4] = window[(k + R) % (2 * R + 1)];
        const T row_damping = S == 0 ? at.memory[at.lay.profile + me.row + k] : T(0);
        T line[4 + 2 * R], extra[4] = {0, 0, 0, 0}, before[4], strength[4], sum[4], value[4];
        beside(own, centre, line);
        if constexpr (S > 0) {
          if (k < me.low) load4(low, extra);
          if (k >= me.high) load4(high, extra);
          if (me.strip_side >= 0) {
            T more[4];
            load4(side, more);
            SEISFAST_UNROLL
            for (int w = 0; w < 4; ++w) extra[w] += more[w];
          }
        }
        load4(next, before);
        [[maybe_unused]] T kept_values[4];
        if constexpr (adjoint) {
          copy4(ahead, kept_values);
          if (k + 1 < K) fetch(me, at, kept, k + 1, ahead);
        }
        if (k < H)
          copy4(me.strength[k < H ? k : 0], strength);
        else
          load4(strength_at(me, at, k), strength);
        SEISFAST_UNROLL
        for (int w = 0; w < 4; ++w) {
          sum[w] = laplacian<R>(
              weights, [&](int i) { return window[(k + R + i) % (2 * R + 1)][w]; },
              [&](int i) { return line[R + w + i]; });
          if constexpr (S > 0) {
            sum[w] += extra[w];
            value[w] = advance(centre[w], before[w], strength[w], sum[w]);
          } else {
            const T damping = fma(me.inner[w], row_damping, me.damping[w]);  // one of the two
            value[w] = advance_damped(centre[w], before[w], damping, strength[w], sum[w]);
          }
        }
        if (k >= kept.from && k < kept.to) {
          if constexpr (adjoint) {
            SEISFAST_UNROLL
            for (int w = 0; w < 4; ++w) me.grad[k][w] = fma(kept_values[w], centre[w], me.grad[k][w]);
          } else {
            keep(me, at, kept, k, sum);
          }
        }
        put(me, at, next, value);
        own += pitch, next += pitch, low += at.tile.width, high += at.tile.width, side += at.lay.side_pitch;
      }
    if (!adjoint && me.sources > 0) inject(me, at, n, first);
    if (me.special) copy_edges(me, at, q + 1, first);
  }

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

  // Sources of this thread's cells, one after the other; the first one was looked up before.
  SEISFAST_HD static void inject(Me& me, const At& at, int n, T* next) {
    next[me.source_at] = fma(me.source_strength, me.pulse, next[me.source_at]);
    for (int s = me.source + 1, left = me.sources - 1; left > 0; ++s) {
      int row, column;
      const Cell cell = at.source(s);
      if (!at.find(cell, row, column) || !mine(me, row, column)) continue;
      T& value = next[(row - me.row) * at.lay.pitch + column - me.column];
      value = fma(at.strength(cell), at.place.pulse(at.job, s, n), value);
      --left;
    }
  }

  // Sample n of the receivers that this block owns, from image q = u[n + 1].
  SEISFAST_HD static void record(const Me& me, const At& at, int n, int q) {
    if (!me.listens) return;
    T* to = at.p.data + (int64_t(at.job) * at.p.nt + n) * at.p.receivers;
    if (me.receiver_at >= 0) to[me.id] = at.image(q)[me.receiver_at];
    for (int r = me.id + at.threads; r < at.p.receivers; r += at.threads) {
      int row, column;
      if (at.find(at.receiver(r), row, column) && at.owns(row, column)) to[r] = at.image(q)[at.lay.at(row, column)];
    }
  }

  // Adjoint: the residual of sample n joins image q = mu[n + 1], wherever this block's image shows the receiver's cell.
  // Where a cell holds several receivers one thread adds them in order.
  SEISFAST_HD static void add_residual(Me& me, const At& at, int n, int q) {
    if (!me.listens) return;
    const T* residual = at.p.grad_data + (int64_t(at.job) * at.p.nt + n) * at.p.receivers;
    const bool asked = n < at.chunk.end - 1, shared = at.p.receivers_repeat;
    if (shared && me.id > 0) return;
    int r = me.id;
    if (!shared && me.receiver_at >= 0) {
      T& mu = at.image(q)[me.receiver_at];
      mu = fma(me.receiver_strength, asked ? me.residual : residual[r], mu);
      r += at.threads;
    }
    for (; r < at.p.receivers; r += shared ? 1 : at.threads) {
      const Cell cell = at.receiver(r);
      const T strength = at.strength(cell), value = r == me.id && asked ? me.residual : residual[r];
      at.for_images(cell, [&](int row, int column, T sign) {
        T& mu = at.image(q)[at.lay.at(row, column)];
        mu = fma(sign * strength, value, mu);
      });
    }
  }

  // Adjoint: gradient of the pulse of step n, and of the strength at the sources, from image q = mu[n + 1].
  SEISFAST_HD static void source_gradient(Me& me, const At& at, int n, int q) {
    if (me.source_at < 0) return;
    const T mu = at.image(q)[me.source_at];
    at.p.grad_wavelet[(int64_t(at.job) * at.p.per_shot + me.id) * at.p.nt + n] = mu;
    me.source_grad = fma(n < at.chunk.end - 1 ? me.pulse : at.place.pulse(at.job, me.id, n), mu, me.source_grad);
  }

 private:
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

  template <class Store>
  SEISFAST_HD static void run(const Strip<T, R, S>& strip, const T (&field)[S + 2 * R], T (&first)[Me::kStrip],
                              T (&second)[Me::kStrip], Store store) {
    if constexpr (adjoint)
      strip.transposed(field, first, second, store);
    else
      strip.forward(field, first, second, store);
  }

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

  // Four cells of a row with R neighbours on each side.
  SEISFAST_HD static void beside(const T* at, const T (&centre)[4], T (&line)[4 + 2 * R]) {
    constexpr int wide = R <= 2 ? 2 : 4;
    T left[wide], right[wide];
    if constexpr (R <= 2)
      load2(at - 2, left), load2(at + 4, right);
    else
      load4(at - 4, left), load4(at + 4, right);
    SEISFAST_UNROLL
    for (int i = 0; i < R; ++i) line[i] = left[wide - R + i], line[R + 4 + i] = right[i];
    SEISFAST_UNROLL
    for (int w = 0; w < 4; ++w) line[R + w] = centre[w];
  }

  // -- the Laplacians that the adjoint needs -----------------------------------------------------------------------------

  struct Kept {
    int from, to;   // rows of this thread that have a place in the kept step
    int row;        // elements between them
    int64_t begin;  // element 0 of the step
    int64_t mine;   // element of this thread's first cell
    T unscale;
  };
  SEISFAST_HD static Kept kept_at(const Me& me, const At& at, int n) {
    const Chunk<T>& c = at.chunk;
    if (!c.kept || n % c.every) return {0, 0, 0, 0, 0, T(0)};
    const int64_t step = at.local * c.kept_stride + (n - c.kept_begin) / c.every, begin = step * at.p.grid.cells();
    T unscale = 1;
    if (adjoint && c.half) unscale = c.scales[step] > 0 ? T(1) / c.scales[step] : T(0);
    const int64_t mine = begin + at.element({at.tile.z0 + me.row, at.tile.x0 + me.column});
    return {me.own_begin, me.own_end, at.p.grid.row(), begin, mine, unscale};
  }
  // Tiles of a periodic grid may begin anywhere: their cells are found one by one. Others own whole groups of four (the
  // last ones up to the padding of a row).
  SEISFAST_HD static bool scattered(const At& at) { return tiles && S == 0 && at.tiling.engine == Engine::tiled; }
  template <class F>
  SEISFAST_HD static void for_owned(const Me& me, const At& at, const Kept& kept, int k, F f) {
    SEISFAST_UNROLL
    for (int w = 0; w < 4; ++w)
      if (at.owns(me.row + k, me.column + w)) f(w, kept.begin + at.element(at.grid_cell(me.row + k, me.column + w)));
  }

  SEISFAST_HD static void keep(const Me& me, const At& at, const Kept& kept, int k, const T (&sum)[4]) {
    T* to = static_cast<T*>(at.chunk.kept);
    const bool fixed = at.tile.mirror && me.row + k == 0;  // a free surface does not move
    T values[4];
    SEISFAST_UNROLL
    for (int w = 0; w < 4; ++w) values[w] = fixed ? T(0) : sum[w];
    if (scattered(at))
      for_owned(me, at, kept, k, [&](int w, int64_t i) { to[i] = values[w]; });
    else
      stream4(to + kept.mine + k * kept.row, values);
  }

  // The kept values of row k, or of this thread's last one.
  SEISFAST_HD static void fetch(const Me& me, const At& at, const Kept& kept, int k, T (&to)[4]) {
    SEISFAST_UNROLL
    for (int w = 0; w < 4; ++w) to[w] = 0;
    if (kept.to <= kept.from || me.rows == 0) return;
    const int row = k < me.rows ? k : me.rows - 1;
    const T* from = static_cast<const T*>(at.chunk.kept);
    const uint16_t* half = static_cast<const uint16_t*>(at.chunk.kept);
    if (scattered(at)) {
      for_owned(me, at, kept, row,
                [&](int w, int64_t i) { to[w] = at.chunk.half ? T(from_half(half[i])) * kept.unscale : from[i]; });
    } else if (at.chunk.half) {
      uint64_t four;
      memcpy(&four, __builtin_assume_aligned(half + kept.mine + row * kept.row, 8), 8);
      SEISFAST_UNROLL
      for (int w = 0; w < 4; ++w) to[w] = T(from_half(uint16_t(four >> (16 * w)))) * kept.unscale;
    } else {
      load4(from + kept.mine + row * kept.row, to);
    }
  }

  // What the next step, n - 1, will read from device memory, asked for while this one computes.
  SEISFAST_HD static void ask(Me& me, const At& at, int n) {
    if (n == at.chunk.begin) return;
    if (me.listens && me.id < at.p.receivers)
      me.residual = at.p.grad_data[(int64_t(at.job) * at.p.nt + n - 1) * at.p.receivers + me.id];
    if (me.source_at >= 0) me.pulse = at.place.pulse(at.job, me.id, n - 1);
    const Kept next = kept_at(me, at, n - 1);
    if (next.to == next.from || at.chunk.half || me.column % 32 || scattered(at)) return;
    const T* from = static_cast<const T*>(at.chunk.kept) + next.mine;
    SEISFAST_ROLLED
    for (int k = 0; k < me.rows; ++k) prefetch(from + k * next.row);
  }
};

}  // namespace onchip
}  // namespace SEISFAST_LEVEL
}  // namespace seisfast
