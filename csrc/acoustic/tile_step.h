// Owns the phases of a step on an on-chip engine: what one thread does between two barriers.
#pragma once
#include "acoustic/half.h"
#include "acoustic/tile_ends.h"
#include "acoustic/tile_strip.h"

namespace seisfast {
inline namespace SEISFAST_LEVEL {
namespace onchip {

template <class T, int R, int S, bool adjoint, class Me, bool tiles>
struct Phases : Ends<T, R, S, adjoint, Me, tiles> {
  using Base = Ends<T, R, S, adjoint, Me, tiles>;
  using Base::copy4, Base::copy_edges, Base::H, Base::K, Base::line_x, Base::line_z, Base::mine, Base::put;
  using Base::scattered, Base::strength_at;
  using typename Base::At;

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
  template <class Store>
  SEISFAST_HD static void run(const Strip<T, R, S>& strip, const T (&field)[S + 2 * R], T (&first)[Me::kStrip],
                              T (&second)[Me::kStrip], Store store) {
    if constexpr (adjoint)
      strip.transposed(field, first, second, store);
    else
      strip.forward(field, first, second, store);
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
  // Places of this row's owned cells, one by one: f(w, place).
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
