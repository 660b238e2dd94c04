// Owns the gradients of weights and biases: products of a layer's gradient and its shifted input, summed over a slab.
//
// A thread takes a pair of channels and some strips of the slab; sums of the threads meet in memory, in what planes are
// free by then and the room behind them, and are added in a fixed order. Pairs that do not fit go in rounds.
#pragma once
#include "features/embedding_adjoint.h"

namespace seisfast {
inline namespace SEISFAST_LEVEL {
namespace embedding {

constexpr int kStrip = 8;  // rows: short enough to share a slab out evenly, long enough to reuse rows of the input

template <int layer>
struct Correlate {
  int round;
  template <class At>
  SEISFAST_HD void operator()(int thread, const At& at) const {
    using A = typename At::A;
    const Layout& layout = at.layout;
    const Rounds& rounds = layout.rounds[layer];
    const int here = rounds.here(round), chunk = thread / here, pair = thread - chunk * here;
    if (chunk >= rounds.chunks) return;
    const int which = round * rounds.together + pair, output = which / rounds.inputs;
    const int input = which - output * rounds.inputs + (layer == 0 ? layout.x() : layout.map(layer - 1));
    const int gradient = layout.map(layer) + output;
    const int rows = layout.rows, groups = at.groups(), strips = groups * ((rows + kStrip - 1) / kStrip);
    A sum[kSums] = {};
    SEISFAST_ROLLED
    for (int strip = chunk; strip < strips; strip += rounds.chunks) {
      const int down = strip / groups, row = down * kStrip, column = (strip - down * groups) * kGroup;
      const int left = rows - row;
      correlate<(layer > 0)>(at.at(input, row - kEdge, column), at.at(gradient, row, column + kEdge), layout.stride,
                             left < kStrip ? left : kStrip, sum);
    }
    A* to = at.numbers(rounds.sums) + thread * kSums;
    SEISFAST_UNROLL
    for (int k = 0; k < kSums; ++k) to[k] = sum[k];
  }
};

// After a barrier: into this block's row of the result.
template <int layer>
struct AddChunks {
  int round;
  template <class At>
  SEISFAST_HD void operator()(int thread, const At& at) const {
    using A = typename At::A;
    const Rounds& rounds = at.layout.rounds[layer];
    const int size = rounds.here(round) * kSums;
    const A* from = at.numbers(rounds.sums);
    A* row = at.p.grad_weights + (int64_t(at.gather) * at.layout.blocks + at.rank) * at.p.weights();
    for (int k = thread; k < size; k += at.layout.threads) {
      A sum = 0;
      for (int chunk = 0; chunk < rounds.chunks; ++chunk) sum += from[chunk * size + k];
      const int pair = k / kSums, tap = k - pair * kSums, which = round * rounds.together + pair;
      if (tap < kWindow)
        row[at.p.begin(layer) + which * kWindow + tap] = sum;
      else if (which % rounds.inputs == 0)  // every input gives the bias; a norm of one channel takes it away
        row[at.p.bias(layer) + which / rounds.inputs] = layer == 2 ? A(0) : sum;
    }
  }
};

}  // namespace embedding
}  // namespace SEISFAST_LEVEL
}  // namespace seisfast
