// Owns the phases of trace_embedding's forward pass, and the first phase of both passes.
#pragma once
#include "features/embedding_reduce.h"

namespace seisfast {
inline namespace SEISFAST_LEVEL {
namespace embedding {

// The weights of a convolution, as its inner loop reads them. `back`: of its transpose, inputs and outputs exchanged.
template <class At, class A>
SEISFAST_HD void prepare_weights(int& thread, const At& at, Convolution which, const A* from, const A* bias, int inputs,
                                 int outputs) {
  const bool back = which >= third_back, one = which == third || which == first_back;
  auto weight = [&](int output, int input, int tap) {
    return back ? from[(input * outputs + output) * kWindow + kWindow - 1 - tap]
                : from[(output * inputs + input) * kWindow + tap];
  };
  A* to = at.numbers(at.layout.weights[which]);
  const int size = int(one ? narrow_weights(inputs) : wide_weights(inputs, outputs));
  SEISFAST_ROLLED
  for (int k = thread; k < size; k += at.layout.threads) {
    A value = 0;
    if (one) {
      const int row = k / kNarrow, column = k % kNarrow, input = row / kTaps;
      if (input == inputs)
        value = bias && column == 0 ? bias[0] : A(0);
      else if (column < kTaps)
        value = weight(0, input, row % kTaps * kTaps + column);
    } else {
      const int taps = kWindow * inputs + 1, rest = k / kOutputs;
      const int output = rest / taps * kOutputs + k % kOutputs, tap = rest % taps;
      if (output < outputs && tap < taps - 1)
        value = weight(output, tap / kWindow, tap % kWindow);
      else if (output < outputs && bias)
        value = bias[output];
    }
    to[k] = value;
  }
  // The next ones begin with the threads that had less to do here.
  const int threads = at.layout.threads;
  thread = (thread + threads - size % threads) % threads;
}

// Weights, x with its border, and zeros in all other planes.
template <bool adjoint>
struct Prepare {
  template <class At>
  SEISFAST_HD void operator()(int thread, const At& at) const {
    using S = typename At::S;
    using A = typename At::A;
    const auto& p = at.p;
    const Layout& layout = at.layout;
    const int channels = layout.channels;
    each_value<10>(thread, at, p.x, kEdge, layout.stride,
                   [&](int row, int column, S value) { *at.at(layout.x(), row, column + kEdge) = value; });
    const int planes = adjoint ? 1 + 2 * channels : 2 * channels;
    S* zeros = at.at(layout.map(0), -kEdge, 0);
    const A nothing[4] = {};
    for (int64_t k = thread; k < int64_t(planes) * (layout.plane / 4); k += layout.threads)
      keep<4>(zeros + 4 * k, nothing);

    int turn = thread;
    prepare_weights(turn, at, first, p.w[0], p.b[0], 1, channels);
    prepare_weights(turn, at, second, p.w[1], p.b[1], channels, channels);
    prepare_weights(turn, at, third, p.w[2], p.b[2], channels, 1);
    if constexpr (adjoint) {
      const A* none = nullptr;
      prepare_weights(turn, at, third_back, p.w[2], none, 1, channels);
      prepare_weights(turn, at, second_back, p.w[1], none, channels, channels);
      if (p.input_gradient) prepare_weights(turn, at, first_back, p.w[0], none, channels, 1);
      if (thread < 2 * kLayers)
        at.numbers(layout.statistics)[thread] = p.statistics[int64_t(at.gather) * (2 * kLayers) + thread];
    }
  }
};

// What a layer's convolution makes of the map before it, a group at a time:
// make(block of outputs, row, column, valid, sums). `relu`: the map before is stored before its ReLU.
template <int layer, bool relu, class At, class Make>
SEISFAST_HD void layer_groups(int thread, const At& at, Make make) {
  using A = typename At::A;
  const int channels = at.layout.channels;
  const int from = layer == 0 ? at.layout.x() : at.layout.map(layer - 1), inputs = layer == 0 ? 1 : channels;
  if constexpr (layer == 2) {
    each_group(thread, at, 1, [&](int part, int row, int column, int valid) {
      A sum[1][kGroup];
      convolve<relu>(at, at.at(from, row - kEdge, column), inputs, at.weights(third), sum[0]);
      make(part, row, column, valid, sum);
    });
  } else {
    const Convolution which = layer == 0 ? first : second;
    each_group(thread, at, at.layout.output_blocks(), [&](int part, int row, int column, int valid) {
      A sum[kOutputs][kGroup];
      convolve<relu>(at, at.at(from, row - kEdge, column), inputs,
                     at.weights(which) + part * int(wide_weights(inputs, kOutputs)), sum);
      make(part, row, column, valid, sum);
    });
  }
}

// After a barrier of the block: columns of a layer's planes that the neighbours' convolutions reach.
struct ShareEdges {
  int layer;
  template <class At>
  SEISFAST_HD void operator()(int thread, const At& at) const {
    const Layout& layout = at.layout;
    const int rows = layout.rows, valid = at.valid(), width = layout.width;
    const bool left = at.rank > 0, right = at.has_right();
    const int many = left || right ? 2 * kEdge * rows * (layer == 2 ? 1 : layout.channels) : 0;
    SEISFAST_ROLLED
    for (int k = thread; k < many; k += layout.threads) {
      const int edge = k % (2 * kEdge), line = k / (2 * kEdge), channel = line / rows, row = line - channel * rows;
      const int plane = layout.map(layer) + channel;
      if (edge < kEdge) {
        if (left && edge < valid)
          *at.other(at.rank - 1, plane, row, kEdge + width + edge) = *at.at(plane, row, kEdge + edge);
      } else if (right) {
        *at.other(at.rank + 1, plane, row, edge - kEdge) = *at.at(plane, row, width + edge - kEdge);
      }
    }
  }
};

// A layer's convolution, not yet normalised, and its moments. The third takes the place of x.
template <int layer>
struct Convolve {
  template <class At>
  SEISFAST_HD void operator()(int thread, const At& at) const {
    using A = typename At::A;
    Moments<A> moments;
    layer_groups<layer, false>(thread, at, [&](int part, int row, int column, int valid, auto& sum) {
      if constexpr (layer == 2) {
        put(at, at.layout.x(), row, column, valid, sum[0]);
        moments.add(sum, 1, valid);
      } else {
        const int left = at.layout.channels - part * kOutputs, outputs = left < kOutputs ? left : kOutputs;
        SEISFAST_UNROLL
        for (int o = 0; o < kOutputs; ++o)
          if (o < outputs) put(at, at.layout.map(layer) + part * kOutputs + o, row, column, valid, sum[o]);
        moments.add(sum, outputs, valid);
      }
    });
    report(thread, at, moments);
  }
};

template <class At>
SEISFAST_HD Normal<typename At::A> normal_to_keep(int thread, const At& at, int layer) {
  const auto found = normal(at, layer);
  if (thread == 0 && at.rank == 0) {
    auto* to = at.p.statistics + (int64_t(at.gather) * kLayers + layer) * 2;
    to[0] = found.mean, to[1] = found.scale;
  }
  return found;
}

// ReLU; what is not a number stays so, and is seen in the result.
template <class A>
SEISFAST_HD A rectified(A value) {
  return value < A(0) ? A(0) : value;
}

// Norm and ReLU of a layer in place, the neighbours' columns included.
struct Normalise {
  int layer;
  template <class At>
  SEISFAST_HD void operator()(int thread, const At& at) const {
    using A = typename At::A;
    const auto norm = normal_to_keep(thread, at, layer);
    const int from = at.has_left() ? 0 : kEdge, valid = at.valid();
    const int left = at.layout.samples - at.begin() - valid, end = kEdge + valid + (left < kEdge ? left : kEdge);
    const int rows = valid > 0 ? at.layout.rows : 0;
    for (Walk walk(thread, at.layout.threads, at.layout.stride / 4); walk.row < rows; walk.next()) {
      const int column = 4 * walk.column;
      auto* value = at.at(at.layout.map(layer), walk.row, column);
      for (int c = 0; c < at.layout.channels; ++c, value += at.layout.plane) {
        A values[4];
        fetch<4>(value, values);
        SEISFAST_UNROLL
        for (int i = 0; i < 4; ++i)
          if (column + i >= from && column + i < end) values[i] = rectified(norm(values[i]));
        keep<4>(value, values);
      }
    }
  }
};

// Norm and ReLU of the third layer, into the result.
struct Finish {
  template <class At>
  SEISFAST_HD void operator()(int thread, const At& at) const {
    using A = typename At::A;
    const auto norm = normal_to_keep(thread, at, 2);
    const int rows = at.valid() > 0 ? at.layout.rows : 0;
    for (Walk walk(thread, at.layout.threads, at.valid()); walk.row < rows; walk.next()) {
      const A value = rectified(norm(widen(*at.at(at.layout.x(), walk.row, walk.column + kEdge))));
      at.p.out[at.outside(walk.row) + walk.column] = rounded<typename At::S>(value);
    }
  }
};

}  // namespace embedding
}  // namespace SEISFAST_LEVEL
}  // namespace seisfast
