// Owns the phases of trace_embedding's adjoint pass: the maps again, then gradients from the last layer to the first.
//
// The gradient of a convolution's output y, whose norm n = (y - mean) scale goes through a ReLU to a gradient h, is
// scale (g - mean(g) - n mean(g n)), where g = h if n > 0, else 0. Maps are kept as n, before the ReLU. They give way:
// the third one's to its gradient, as do the second one's; the first one's to g of the first layer, then its gradient.
#pragma once
#include "features/embedding_forward.h"

namespace seisfast {
inline namespace SEISFAST_LEVEL {
namespace embedding {

template <class At>
SEISFAST_HD Normal<typename At::A> given_normal(const At& at, int layer) {
  return {at.given(layer, 0), at.given(layer, 1)};
}

// A value of a map as the forward pass has it.
template <class S, class A>
SEISFAST_HD A normalised(const Normal<A>& norm, A convolved) {
  return stored<S>(norm(stored<S>(convolved)));
}

// A layer's map, by the statistics of the forward pass.
template <int layer>
struct Again {
  template <class At>
  SEISFAST_HD void operator()(int thread, const At& at) const {
    using S = typename At::S;
    const auto norm = given_normal(at, layer);
    layer_groups<layer, (layer > 0)>(thread, at, [&](int part, int row, int column, int valid, auto& sum) {
      SEISFAST_UNROLL
      for (int o = 0; o < (layer == 2 ? 1 : kOutputs); ++o) {
        const int channel = part * kOutputs + o;
        if (channel >= (layer == 2 ? 1 : at.layout.channels)) break;
        SEISFAST_UNROLL
        for (int i = 0; i < kGroup; ++i) sum[o][i] = normalised<S>(norm, sum[o][i]);
        put(at, at.layout.map(layer) + channel, row, column, valid, sum[o]);
      }
    });
  }
};

// g from h.
template <class A>
SEISFAST_HD A masked(A gradient, A normalised) {
  return normalised > A(0) ? gradient : A(0);
}

// From g of a layer to the gradient of its convolution's output.
template <class A>
struct ThroughNorm {
  A scale, mean, product;
  SEISFAST_HD A operator()(A gradient, A normalised) const {
    return scale * fma(-normalised, product, gradient - mean);
  }
};

template <class At>
SEISFAST_HD ThroughNorm<typename At::A> through_norm(const At& at, int layer) {
  const auto sums = whole<Sums>(at, layer);
  return {at.given(layer, 1), sums.plain / at.population(layer), sums.product / at.population(layer)};
}

// The third layer: its g comes from outside.
struct SumOutput {
  template <class At>
  SEISFAST_HD void operator()(int thread, const At& at) const {
    using S = typename At::S;
    Sums<typename At::A> sums;
    each_value<4>(thread, at, at.p.grad_out, 0, at.valid(), [&](int row, int column, S value) {
      const auto n = widen(*at.at(at.layout.map(2), row, column + kEdge));
      sums.add(masked(widen(value), n), n);
    });
    report(thread, at, sums);
  }
};

struct OutputGradient {
  template <class At>
  SEISFAST_HD void operator()(int thread, const At& at) const {
    using S = typename At::S;
    const auto through = through_norm(at, 2);
    const int plane = at.layout.map(2);
    each_value<4>(thread, at, at.p.grad_out, 0, at.valid(), [&](int row, int column, S value) {
      auto& place = *at.at(plane, row, column + kEdge);
      const auto n = widen(place);
      place = rounded<S>(through(masked(widen(value), n), n));
    });
  }
};

// g of layer 0 or 1: the transposed convolution of the next layer's gradient, where n > 0.
// make(plane, row, column, valid, g, n) for the groups of each channel.
template <int layer, class At, class Make>
SEISFAST_HD void back_groups(int thread, const At& at, Make make) {
  using A = typename At::A;
  const int inputs = layer == 1 ? 1 : at.layout.channels, from = at.layout.map(layer + 1);
  const Convolution which = layer == 1 ? third_back : second_back;
  each_group(thread, at, at.layout.output_blocks(), [&](int part, int row, int column, int valid) {
    A sum[kOutputs][kGroup];
    convolve<false>(at, at.at(from, row - kEdge, column), inputs,
                    at.weights(which) + part * int(wide_weights(inputs, kOutputs)), sum);
    SEISFAST_UNROLL
    for (int o = 0; o < kOutputs; ++o) {
      const int channel = part * kOutputs + o;
      if (channel >= at.layout.channels) break;
      A n[kGroup];
      fetch_group(at.at(at.layout.map(layer) + channel, row, column + kEdge), n);
      SEISFAST_UNROLL
      for (int i = 0; i < kGroup; ++i) sum[o][i] = i < valid ? masked(sum[o][i], n[i]) : A(0);
      make(at.layout.map(layer) + channel, row, column, valid, sum[o], n);
    }
  });
}

// The second layer's g, only for its sums: computing it twice saves the planes that it would need.
struct SumSecond {
  template <class At>
  SEISFAST_HD void operator()(int thread, const At& at) const {
    Sums<typename At::A> sums;
    back_groups<1>(thread, at, [&](int, int, int, int, auto& g, auto& n) {
      SEISFAST_UNROLL
      for (int i = 0; i < kGroup; ++i) sums.add(g[i], n[i]);
    });
    report(thread, at, sums);
  }
};

struct SecondGradient {
  template <class At>
  SEISFAST_HD void operator()(int thread, const At& at) const {
    const auto through = through_norm(at, 1);
    back_groups<1>(thread, at, [&](int plane, int row, int column, int valid, auto& g, auto& n) {
      SEISFAST_UNROLL
      for (int i = 0; i < kGroup; ++i) g[i] = through(g[i], n[i]);
      put(at, plane, row, column, valid, g);
    });
  }
};

// The first layer's g takes the place of n, which costs less to compute again.
struct SumFirst {
  template <class At>
  SEISFAST_HD void operator()(int thread, const At& at) const {
    using S = typename At::S;
    Sums<typename At::A> sums;
    back_groups<0>(thread, at, [&](int plane, int row, int column, int valid, auto& g, auto& n) {
      SEISFAST_UNROLL
      for (int i = 0; i < kGroup; ++i) {
        g[i] = stored<S>(g[i]);
        sums.add(g[i], n[i]);
      }
      put(at, plane, row, column, valid, g);
    });
    report(thread, at, sums);
  }
};

struct FirstGradient {
  template <class At>
  SEISFAST_HD void operator()(int thread, const At& at) const {
    using S = typename At::S;
    using A = typename At::A;
    const auto norm = given_normal(at, 0);
    const auto through = through_norm(at, 0);
    layer_groups<0, false>(thread, at, [&](int part, int row, int column, int valid, auto& sum) {
      SEISFAST_UNROLL
      for (int o = 0; o < kOutputs; ++o) {
        const int channel = part * kOutputs + o, plane = at.layout.map(0) + channel;
        if (channel >= at.layout.channels) break;
        A g[kGroup];
        fetch_group(at.at(plane, row, column + kEdge), g);
        SEISFAST_UNROLL
        for (int i = 0; i < kGroup; ++i) g[i] = through(g[i], normalised<S>(norm, sum[o][i]));
        put(at, plane, row, column, valid, g);
      }
    });
  }
};

// The gradient of x takes its place, to leave the block in whole lines.
struct BackToInput {
  template <class At>
  SEISFAST_HD void operator()(int thread, const At& at) const {
    using A = typename At::A;
    each_group(thread, at, 1, [&](int, int row, int column, int valid) {
      A sum[kGroup];
      convolve<false>(at, at.at(at.layout.map(0), row - kEdge, column), at.layout.channels, at.weights(first_back),
                      sum);
      put(at, at.layout.x(), row, column, valid, sum);
    });
  }
};

struct StoreInput {
  template <class At>
  SEISFAST_HD void operator()(int thread, const At& at) const {
    const int rows = at.valid() > 0 ? at.layout.rows : 0;
    for (Walk walk(thread, at.layout.threads, at.valid()); walk.row < rows; walk.next())
      at.p.grad_x[at.outside(walk.row) + walk.column] = *at.at(at.layout.x(), walk.row, walk.column + kEdge);
  }
};

}  // namespace embedding
}  // namespace SEISFAST_LEVEL
}  // namespace seisfast
