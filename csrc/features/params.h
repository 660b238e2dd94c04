// Owns the description of the two feature operators: what Python hands over, by value, to every engine.
//
// S is the type of stored maps (float, double or bfloat16), A that of weights, statistics and all arithmetic (float,
// double; float beside bfloat16). Rows of weights lie as torch has them: [outputs, inputs, 5, 5].
#pragma once
#include <cstdint>

namespace seisfast {

constexpr int kTaps = 5;  // a convolution's window: 5 receivers x 5 samples
constexpr int kWindow = kTaps * kTaps;
constexpr int kEdge = kTaps / 2;  // zeros around a gather

// The neighbourhood network of every shot gather: three 5 x 5 convolutions 1 - C - C - 1, each followed by a norm over
// the whole gather (channels, receivers and samples together; biased variance, no scale and shift) and a ReLU.
template <class S, class A>
struct Embedding {
  int gathers, receivers, samples, channels;
  A eps;                // added to a variance
  bool input_gradient;  // adjoint: grad_x is wanted

  const S* x;     // [gathers, receivers, samples]
  const A* w[3];  // [C, 1, 5, 5], [C, C, 5, 5], [1, C, 5, 5]
  const A* b[3];  // [C], [C], [1]
  S* out;         // as x
  A* statistics;  // [gathers, 3, 2]: mean and 1 / sqrt(variance + eps) of the convolutions' outputs

  // Adjoint only; it reads x, weights and statistics, and computes the maps between the layers again.
  const S* grad_out;  // as x
  S* grad_x;          // as x, where wanted
  A* grad_weights;    // [parts, weights()]: w1, b1, w2, b2, w3, b3; the caller sums the parts in fixed order

  void* workspace;  // CUDA: `EmbeddingPlan::workspace` bytes

  constexpr int64_t gather() const { return int64_t(receivers) * samples; }
  // Where a layer's weights begin in grad_weights, and its bias; layer 3: the number of all.
  constexpr int begin(int layer) const {
    const int first = kWindow * channels + channels, second = kWindow * channels * channels + channels;
    return layer == 0 ? 0 : layer == 1 ? first : layer == 2 ? first + second : weights();
  }
  constexpr int bias(int layer) const { return begin(layer + 1) - (layer == 2 ? 1 : channels); }
  constexpr int weights() const { return kWindow * channels * (channels + 2) + 2 * channels + 1; }
};

// Batch normalisation and ReLU in one: a = max(scale_c n + shift_c, 0), n = (y - mean_c) / sqrt(variance_c + eps), for
// y = x + per_shot + per_receiver, statistics over everything but the channel c.
//
// x is [outer, channels, inner]. A generator's layer has a channel per trace: [batch, shots * receivers, features]. A
// convolution's output with channels last is [batch * height * width, channels, 1].
template <class S, class A>
struct Norm {
  int64_t outer, inner;
  int channels;
  int receivers;  // of a shot: channel = shot * receivers + receiver; 1 without the added terms
  A eps;
  bool given;  // mean and variance are given (evaluation), else computed (training)

  const S* x;
  const S* per_shot;      // [outer, channels / receivers, inner], or null
  const S* per_receiver;  // [receivers, inner], or null
  const A* scale;         // [channels]
  const A* shift;
  A* mean;      // [channels], of y
  A* variance;  // [channels], biased
  S* out;       // as x

  // Adjoint only; it reads x, the added terms, scale, shift, mean and variance.
  const S* grad_out;
  S* grad_x;  // as x: the gradient of y, so of per_shot and per_receiver after sums that the caller takes
  A* grad_scale;
  A* grad_shift;

  A* workspace;  // CUDA: `norm_workspace` elements

  constexpr int64_t elements() const { return outer * channels * inner; }
};

}  // namespace seisfast
