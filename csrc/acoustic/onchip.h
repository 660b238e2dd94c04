// Owns the on-chip engines: which launches follow each other, and the device memory between them.
//
// A launch runs a chunk of steps of all jobs of the call. resident and cluster run as many steps as the storage of the
// gradient allows, tiled at most `tiling.steps`. `launch.chunk(place, tiling, chunk, adjoint)` runs one,
// `launch(count, first, jobs, phase)` a plain phase (gradient.h, compress.h); each waits for the one before.
#pragma once
#include <type_traits>
#include <utility>

#include "acoustic/compress.h"
#include "acoustic/gradient.h"
#include "acoustic/snapshot.h"
#include "acoustic/tile_run.h"

namespace seisfast {
inline namespace SEISFAST_LEVEL {
namespace onchip {

constexpr int kRawSteps = 8;  // kept steps between two compressions to float16

// Elements per job of the parts of a workspace; every part holds all jobs of the call.
template <class T>
struct Parts {
  int64_t sums, state, states, raw, largest;  // states: of u forward; of mu, and of u where it is computed again

  Parts(const Acoustic<T>& p, const Tiling& tiling, bool adjoint) {
    const int64_t cells = p.grid.cells();
    const bool tiled = tiling.engine == Engine::tiled, again = adjoint && p.keep == Keep::checkpoints;
    const bool halts = again || (!adjoint && (p.half || p.snapshots));  // between launches, without a checkpoint there
    const int copies = tiled ? 2 : halts ? 1 : 0;                       // a tile reads what its neighbours overwrite
    sums = adjoint ? gradient_size(p) : 0;
    state = p.state();
    states = copies * (tiled && again ? 2 : 1);
    raw = again ? p.segment * cells : !adjoint && p.half ? kRawSteps * cells : 0;
    largest = !adjoint && p.half ? kRawSteps * p.grid.row() : 0;
  }
  int64_t size() const { return sums + state * states + raw + largest; }
};

template <class T>
struct Clear {
  T* to;
  int64_t stride;
  int first;
  SEISFAST_HD void operator()(int i, int job) const { to[(job - first) * stride + i] = T(0); }
};

template <class T, class Launch>
class Run {
 public:
  Run(const Acoustic<T>& p, const Tiling& tiling, bool adjoint, const Launch& launch)
      : place{p}, p(place.p), tiling(tiling), launch(launch), parts(p, tiling, adjoint), shows(!adjoint) {
    T* next = static_cast<T*>(p.workspace);
    sums = next, next += p.count * parts.sums;
    states = next, next += p.count * parts.state * parts.states;
    raw = next, next += p.count * parts.raw;
    largest = next;
  }

  void forward() {
    const int step = p.half ? kRawSteps * p.every : p.keep == Keep::checkpoints ? p.segment : p.nt;
    Slot state{};
    for (int n = 0; n < p.nt; n += step) {
      const int end = n + step < p.nt ? n + step : p.nt;
      const bool kept = p.keep == Keep::steps;
      Chunk<T> chunk{};
      chunk.every = p.every;
      if (kept && p.half) {
        chunk.kept = raw, chunk.kept_stride = kRawSteps, chunk.kept_begin = n;
      } else if (kept) {
        chunk.kept = static_cast<T*>(p.kept) + int64_t(p.first) * p.kept_steps() * p.grid.cells();
        chunk.kept_stride = p.kept_steps();
      }
      if (p.keep == Keep::checkpoints) state = checkpoint(n / p.segment);
      Slot after{};
      if (end < p.nt) after = p.keep == Keep::checkpoints ? checkpoint(end / p.segment) : slot(0);
      if (p.keep == Keep::checkpoints && n == 0) clear(state);
      state = steps(chunk, n, end, n ? state : Slot{}, after, 0, false);
      if (kept && p.half)
        compress(CompressPhase<T>{place, raw, largest, parts.raw, parts.largest, n / p.every},
                 (end - n + p.every - 1) / p.every, launch);
    }
  }

  void adjoint() {
    Chunk<T> chunk{};
    chunk.grad = sums, chunk.source_grad = sums + p.grid.cells(), chunk.grad_stride = parts.sums;
    chunk.every = p.every;
    if (p.keep == Keep::checkpoints) {
      chunk.kept = raw, chunk.kept_stride = p.segment;
      Slot mu{};
      for (int s = p.segments() - 1; s >= 0; --s) {
        const int begin = s * p.segment, end = begin + p.segment < p.nt ? begin + p.segment : p.nt;
        chunk.kept_begin = begin;
        steps(chunk, begin, end, s ? checkpoint(s) : Slot{}, Slot{}, parts.states / 2, false);
        mu = steps(chunk, begin, end, mu, s ? slot(0) : Slot{}, 0, true);
      }
    } else {
      if (p.keep == Keep::steps) {
        const int64_t at = int64_t(p.first) * p.kept_steps();
        chunk.kept = p.half ? static_cast<void*>(static_cast<uint16_t*>(p.kept) + at * p.grid.cells())
                            : static_cast<void*>(static_cast<T*>(p.kept) + at * p.grid.cells());
        chunk.kept_stride = p.kept_steps();
        chunk.half = p.half;
        chunk.scales = p.scales + (p.half ? at : 0);
      }
      steps(chunk, 0, p.nt, Slot{}, Slot{}, 0, true);
    }
    finish_gradient(p, sums, parts.sums, launch);
  }

 private:
  struct Slot {
    T* begin;
    int64_t stride;
  };
  Slot slot(int i) const { return {states + i * p.count * parts.state, parts.state}; }
  Slot checkpoint(int i) const {
    return {p.checkpoints + (int64_t(p.first) * p.segments() + i) * p.state(), p.segments() * p.state()};
  }

  void clear(Slot to) { launch(p.state(), p.first, p.count, Clear<T>{to.begin, to.stride, p.first}); }

  // Steps [begin, end) from `from` to `to`, in as many launches as the engine and the snapshots need; between them the
  // state lies in the slots `spare` and, for tiles, the next one. Returns where it ends. Tiles never read and write one
  // slot in a launch.
  Slot steps(Chunk<T> chunk, int begin, int end, Slot from, Slot to, int spare, bool backwards) {
    const bool tiled = tiling.engine == Engine::tiled;
    for (int done = 0; done < end - begin;) {
      int count = tiling.steps < end - begin - done ? tiling.steps : end - begin - done;
      bool show = false;
      for (int n = 0; n < count && shows && !show; ++n)
        if (p.shows(begin + done + n)) show = true, count = n + 1;
      const bool last = done + count == end - begin;
      chunk.begin = backwards ? end - done - count : begin + done;
      chunk.end = chunk.begin + count;
      Slot next = slot(spare);
      if (tiled && next.begin == from.begin) next = slot(spare + 1);
      if (last && !(show && !to.begin) && !(tiled && to.begin && to.begin == from.begin)) next = to;
      chunk.from = from.begin, chunk.from_stride = from.stride;
      chunk.to = next.begin, chunk.to_stride = next.stride;
      chunk.first = backwards && chunk.end == p.nt;
      launch.chunk(place, tiling, chunk, backwards);
      if (show)
        launch(int64_t(p.grid.nz) * p.grid.nx, p.first, p.count,
               Snapshot<T>{place, next.begin, next.stride, chunk.end - 1});
      from = next;
      done += count;
    }
    return from;
  }

  const Place<T> place;
  const Acoustic<T>& p;
  const Tiling tiling;
  const Launch& launch;
  const Parts<T> parts;
  const bool shows;
  T *sums, *states, *raw, *largest;
};

// One compiled form of the kernel, and the thread that it needs.
template <class T, int R, int S, bool backwards>
struct Variant {
  static constexpr int kReach = R, kStrip = S;
  static constexpr bool kAdjoint = backwards;
  static constexpr Fit kFit = fit(sizeof(T), R, S, backwards);
  using Me = Thread<T, kFit.rows, kFit.held, S, backwards>;
};

using AllReaches = std::integer_sequence<int, 1, 2, 3, 4>;

// f(Variant) for the order, strip and direction of a run.
template <class T, class F, int... Reach>
void with_variant(int order, int strip, bool backwards, F f, std::integer_sequence<int, Reach...>) {
  auto direction = [&](auto reach, auto cells) {
    constexpr int R = decltype(reach)::value, S = decltype(cells)::value;
    backwards ? f(Variant<T, R, S, true>{}) : f(Variant<T, R, S, false>{});
  };
  auto layers = [&](auto reach) {
    if (strip == 0) return direction(reach, std::integral_constant<int, 0>{});
    if constexpr (sizeof(T) == 4)
      if (strip == kStrip) return direction(reach, std::integral_constant<int, kStrip>{});
    direction(reach, std::integral_constant<int, kWideStrip>{});
  };
  ((order == 2 * Reach ? layers(std::integral_constant<int, Reach>{}) : void()), ...);
}
template <class T, class F>
void with_variant(int order, int strip, bool backwards, F f) {
  with_variant<T>(order, strip, backwards, f, AllReaches{});
}

// Block `block` of local job `local`; `neighbour(rank)` is the shared memory of another block of the same cluster.
template <class T, class Neighbour>
SEISFAST_HD Block<T> block_of(const Place<T>& place, const Chunk<T>& chunk, const Tiling& tiling, bool backwards,
                              int local, int block, int threads, T* memory, Neighbour neighbour) {
  Block<T> at{place,
              place.p,
              chunk,
              tiling,
              tile_of(place.p, tiling, block),
              shared_of(place.p, tiling, backwards),
              local,
              place.p.first + local,
              threads,
              memory,
              nullptr,
              nullptr,
              0};
  if (at.tile.wrap_z) at.above = at.below = memory, at.above_rows = at.tile.rows;
  if (at.tile.above) {
    const int rank = block == 0 ? tiling.blocks_z - 1 : block - 1;
    at.above = neighbour(rank);
    at.above_rows = tile_of(place.p, tiling, rank).rows;
  }
  if (at.tile.below) at.below = neighbour(block + 1 == tiling.blocks_z ? 0 : block + 1);
  return at;
}

}  // namespace onchip
}  // namespace SEISFAST_LEVEL
}  // namespace seisfast
