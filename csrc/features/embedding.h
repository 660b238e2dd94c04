// Owns how a gather is cut into slabs along time, and what lies where in the memory of the block that holds a slab.
//
// A block keeps planes of its slab: rows of samples with a border of zeros, or of the neighbours' samples (two columns
// on each side). Blocks only write into each other's memory, and read their own: between a write and its reading lies a
// barrier of all blocks, and one between the last use of what it overwrites and the write. So a block may leave as soon
// as it has passed the last of these barriers.
#pragma once
#include "common/bf16.h"
#include "common/vector.h"
#include "features/cuda.h"

namespace seisfast {
inline namespace SEISFAST_LEVEL {
namespace embedding {

constexpr int kGroup = 8;                   // neighbouring samples that a thread makes at a time
constexpr int kReach = kGroup + kTaps - 1;  // samples of a row that these are made from
constexpr int kOutputs = 4;                 // channels that it makes at a time
constexpr int kSums = kWindow + 1;          // gradients of a pair of channels: its weights, and the bias
constexpr int kNarrow = 8;                  // weights of a row of the window, where there is one output
constexpr int kMergers = 32;                // threads that merge what the threads of a block found
constexpr int kLayers = 3;
constexpr int kMostThreads = 512;   // of a block on chip: 128 registers for each
constexpr int kPhaseThreads = 256;  // of a block whose planes are in device memory

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

// The convolutions: of the layers, and their transposes.
enum Convolution { first, second, third, third_back, second_back, first_back, kConvolutions };

// How the gradients of a layer's weights are shared out: a thread takes a pair of channels and some strips of the slab.
// Pairs whose sums do not fit into memory together go in rounds.
struct Rounds {
  int inputs, pairs;
  int together;  // pairs of a round
  int count;
  int chunks;    // threads of a pair
  int64_t sums;  // where they meet, in numbers: in planes that are free by then, and the room behind them

  SEISFAST_HD int here(int round) const {
    const int left = pairs - round * together;
    return left < together ? left : together;
  }
};

struct Layout {
  int rows, samples, channels, blocks, threads;
  int width;   // samples of a slab (the last ones may have fewer, or none): a multiple of kGroup
  int stride;  // of a row; an odd number of quadruples, so that quadruples of consecutive rows lie in different banks
  int plane;   // values of a plane; likewise for consecutive planes
  // Offsets in numbers (type A), from the beginning of the block's memory.
  int weights[kConvolutions];
  int statistics;  // 3 x 2, adjoint
  int partial;     // [3, threads]: of every thread
  int merged;      // [3, kMergers]
  int exchange;    // [layers, 3, blocks]: of every block
  // Offsets in bytes: x, maps of layer 1, of layer 2, adjoint: of layer 3; then sums of products to the end.
  int64_t planes, sums, bytes;
  Rounds rounds[kLayers];  // adjoint

  SEISFAST_HD int output_blocks() const { return (channels + kOutputs - 1) / kOutputs; }
  SEISFAST_HD int x() const { return 0; }
  SEISFAST_HD int map(int layer) const { return layer == 0 ? 1 : layer == 1 ? 1 + channels : 1 + 2 * channels; }
};

// A convolution's weights as the inner loop reads them: four outputs of a tap side by side, bias last; or, for one
// output, the taps of a row side by side.
constexpr int64_t wide_weights(int64_t inputs, int64_t outputs) {
  return ceil_div(outputs, kOutputs) * kOutputs * (kWindow * inputs + 1);
}
constexpr int64_t narrow_weights(int64_t inputs) { return kTaps * kNarrow * inputs + kOutputs; }

// Without room for sums, which the caller gives by adding to `bytes`.
template <class S, class A>
Layout layout_of(const Embedding<S, A>& p, bool adjoint, int blocks, int threads) {
  Layout to{};
  to.rows = p.receivers, to.samples = p.samples, to.channels = p.channels;
  to.blocks = blocks, to.threads = threads;
  to.width = int(kGroup * ceil_div(ceil_div(p.samples, kGroup), blocks));
  to.stride = to.width + kReach - kGroup;
  const int64_t quads = int64_t(p.receivers + 2 * kEdge) * to.stride / 4;
  const int64_t plane = 4 * (quads | 1);
  const int c = p.channels;
  const int64_t sizes[kConvolutions] = {wide_weights(1, c), wide_weights(c, c), narrow_weights(c),
                                        wide_weights(1, c), wide_weights(c, c), narrow_weights(c)};
  int64_t at = 0;
  auto place = [&at](int64_t numbers) {
    const int64_t here = at;
    at += round_up(numbers, 4);
    return int(here);
  };
  for (int k = 0; k < (adjoint ? int(kConvolutions) : int(third_back)); ++k) to.weights[k] = place(sizes[k]);
  to.statistics = place(2 * kLayers);
  to.partial = place(3 * int64_t(threads));
  to.merged = place(3 * kMergers);
  to.exchange = place(3 * kLayers * int64_t(blocks));
  to.planes = round_up(at * int64_t(sizeof(A)), 16);
  to.sums = to.planes + round_up(plane * int64_t(sizeof(S)) * (adjoint ? 2 + 2 * c : 1 + 2 * c), 16);
  to.bytes = to.sums;
  const bool addressable = plane < INT32_MAX / 2 && at < INT32_MAX;
  to.plane = addressable ? int(plane) : 0;  // 0: nothing can hold it
  return to;
}

// As planned by embedding_plan.
template <class S, class A>
Layout layout_of(const Embedding<S, A>& p, bool adjoint, const EmbeddingPlan& plan) {
  Layout to = layout_of(p, adjoint, plan.parts / p.gathers, plan.threads);
  to.bytes = plan.blocks ? plan.shared : plan.workspace / plan.parts;
  for (int layer = 0; adjoint && layer < kLayers; ++layer) {
    // The first layer needs x and its own gradient, the second one all but the third one's, the third one all.
    const int64_t needed = to.planes + int64_t(sizeof(S)) * to.plane * to.map(layer + 1);
    const int64_t free = layer == 2 ? to.sums : round_up(needed, 16), number = int64_t(sizeof(A));
    Rounds& rounds = to.rounds[layer];
    rounds.inputs = layer == 0 ? 1 : p.channels;
    rounds.pairs = rounds.inputs * (layer == 2 ? 1 : p.channels);
    rounds.sums = free / number;
    const int64_t room = (to.bytes - free) / (number * kSums), most = room < to.threads ? room : to.threads;
    rounds.together = int(rounds.pairs < most ? rounds.pairs : most);
    rounds.count = int(ceil_div(rounds.pairs, rounds.together));
    rounds.chunks = int(most / rounds.together);
  }
  return to;
}

// Memory of the blocks of a gather one behind the other: in the workspace. There consecutive threads take consecutive
// samples, so that they read lines whole; in shared memory consecutive rows, which meet no bank conflict.
struct Workspace {
  static constexpr bool kRowsFirst = false;
  unsigned char* begin;
  int64_t bytes;
  int rank;
  SEISFAST_HD unsigned char* own() const { return begin + rank * bytes; }
  SEISFAST_HD unsigned char* of(int other) const { return begin + other * bytes; }
};

// A slab of a gather, as a phase sees it. Columns of a plane count from its left border: sample t of the slab is column
// t + kEdge.
template <class Stored, class Number, class Memory>
struct Block {
  using S = Stored;
  using A = Number;
  static constexpr bool kRowsFirst = Memory::kRowsFirst;
  const Embedding<S, A>& p;
  const Layout& layout;
  Memory memory;
  int gather, rank;

  SEISFAST_HD int begin() const { return rank * layout.width; }
  SEISFAST_HD int valid() const {
    const int left = layout.samples - begin();
    return left < 0 ? 0 : left < layout.width ? left : layout.width;
  }
  SEISFAST_HD int groups() const { return (valid() + kGroup - 1) / kGroup; }
  SEISFAST_HD bool has_left() const { return rank > 0 && valid() > 0; }
  SEISFAST_HD bool has_right() const { return layout.samples - begin() > layout.width; }

  SEISFAST_HD A* numbers(int64_t offset) const { return reinterpret_cast<A*>(memory.own()) + offset; }
  SEISFAST_HD const A* weights(Convolution which) const { return numbers(layout.weights[which]); }
  SEISFAST_HD A given(int layer, int which) const { return numbers(layout.statistics)[2 * layer + which]; }
  SEISFAST_HD int64_t offset(int plane, int row, int column) const {
    return int64_t(plane) * layout.plane + (row + kEdge) * layout.stride + column;
  }
  SEISFAST_HD S* at(int plane, int row, int column) const {
    return reinterpret_cast<S*>(memory.own() + layout.planes) + offset(plane, row, column);
  }
  SEISFAST_HD S* other(int block, int plane, int row, int column) const {
    return reinterpret_cast<S*>(memory.of(block) + layout.planes) + offset(plane, row, column);
  }
  // Where a row of this slab begins in a tensor like x.
  SEISFAST_HD int64_t outside(int row) const {
    return (int64_t(gather) * layout.rows + row) * layout.samples + begin();
  }
  // Values that a norm takes together.
  SEISFAST_HD A population(int layer) const {
    return A(int64_t(layout.rows) * layout.samples * (layer == 2 ? 1 : layout.channels));
  }
};

// Visits groups of samples: visit(block of outputs, row, first sample, number of samples).
template <class At, class Visit>
SEISFAST_HD void each_group(int thread, const At& at, int output_blocks, Visit visit) {
  const int rows = at.layout.rows, groups = at.groups(), valid = at.valid(), many = rows * groups;
  SEISFAST_ROLLED
  for (int item = thread; item < many * output_blocks; item += at.layout.threads) {
    const int part = item / many, rest = item - part * many;
    const int row = At::kRowsFirst ? rest % rows : rest / groups;
    const int column = kGroup * (At::kRowsFirst ? rest / rows : rest % groups), left = valid - column;
    visit(part, row, column, left < kGroup ? left : kGroup);
  }
}

// A thread's way through rows of so many columns, every `threads`-th one; without a division per step.
struct Walk {
  int row, column, columns, rows_step, columns_step;
  SEISFAST_HD Walk(int thread, int threads, int columns) : columns(columns) {
    const int some = columns > 0 ? columns : 1;
    row = thread / some, column = thread - row * some;
    rows_step = threads / some, columns_step = threads - rows_step * some;
  }
  SEISFAST_HD void next() {
    row += rows_step, column += columns_step;
    if (column >= columns) column -= columns, ++row;
  }
};

// Visits a slab of a tensor like x, so many columns with a border on each side that has zeros outside the gather:
// visit(row, column, value), counted from the slab's first sample. Several loads are on their way at a time.
template <int batch, class At, class S, class Visit>
SEISFAST_HD void each_value(int thread, const At& at, const S* tensor, int border, int columns, Visit visit) {
  const int rows = at.layout.rows, left = at.layout.samples - at.begin();
  Walk walk(thread, at.layout.threads, columns);
  const int end = columns > 0 ? rows + 2 * border : 0;
  SEISFAST_ROLLED
  while (walk.row < end) {
    S values[batch];
    const Walk back = walk;
    SEISFAST_UNROLL
    for (int k = 0; k < batch; ++k) {
      const int row = walk.row - border, column = walk.column - border;
      narrow(typename At::A(0), values[k]);
      if (row >= 0 && row < rows && column < left && at.begin() + column >= 0)
        values[k] = tensor[at.outside(row) + column];
      walk.next();
    }
    walk = back;
    SEISFAST_UNROLL
    for (int k = 0; k < batch; ++k) {
      if (walk.row < end) visit(walk.row - border, walk.column - border, values[k]);
      walk.next();
    }
  }
}

}  // namespace embedding
}  // namespace SEISFAST_LEVEL
}  // namespace seisfast
