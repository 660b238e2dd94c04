// Owns trace_embedding on the CPU: one gather from its record to its traces and back, in planes that stay in cache.
#pragma once
#include <cmath>
#include <type_traits>

#include "common/bf16.h"
#include "features/cpu_conv.h"

namespace seisfast {
inline namespace SEISFAST_LEVEL {

template <class S, class A>
class Gather {
 public:
  // Elements of A of a workspace; forward and adjoint share the layout.
  static int64_t workspace(const Embedding<S, A>& p, bool adjoint) {
    const Plane<A> plane{p.receivers, p.samples};
    const int64_t planes = adjoint ? 2 + 4 * p.channels : 1 + 2 * p.channels;
    const int64_t weights = int64_t(kWindow) * p.channels * (p.channels + 2);
    return planes * plane.size() + (adjoint ? 2 : 1) * weights +
           (adjoint ? plane.stride() + int64_t(kWindow) * p.channels * kOutputs * kLanes<A> : 0);
  }

  // The workspace's zeros around the planes survive from gather to gather: clear it once.
  Gather(const Embedding<S, A>& p, bool adjoint, A* memory) : p(p), plane{p.receivers, p.samples}, C(p.channels) {
    A* next = memory;
    auto take = [&](int64_t elements) {
      A* here = next;
      next += elements;
      return here;
    };
    x = take(plane.size());
    first = take(C * plane.size());
    second = take(C * plane.size());
    if (adjoint) {
      first_open = take(C * plane.size());
      second_open = take(C * plane.size());
      third = take(plane.size());
      line = take(plane.stride());
      sums = take(int64_t(kWindow) * C * kOutputs * kLanes<A>);
    } else {
      first_open = first, second_open = second, third = first;
    }
    for (int layer = 0; layer < 3; ++layer) {
      const int inputs = layer == 0 ? 1 : C, outputs = layer == 2 ? 1 : C;
      weights[layer] = take(int64_t(kWindow) * inputs * outputs);
      pack(p.w[layer], outputs, inputs, false, weights[layer]);
      if (!adjoint) continue;
      transposed[layer] = take(int64_t(kWindow) * inputs * outputs);
      pack(p.w[layer], inputs, outputs, true, transposed[layer]);
    }
  }

  void forward(int gather) {
    A* statistics = p.statistics + int64_t(gather) * 6;
    read(p.x, gather, x);
    layer(0, x, 1, first, C, statistics, true);
    normalise(first, first, C, statistics, true);
    layer(1, first, C, second, C, statistics, true);
    normalise(second, second, C, statistics + 2, true);
    layer(2, second, C, third, 1, statistics, true);
    normalise(third, third, 1, statistics + 4, true);
    write(third, p.out, gather);
  }

  void adjoint(int gather) {
    const A* statistics = p.statistics + int64_t(gather) * 6;
    A* grad = p.grad_weights + int64_t(gather) * p.weights();
    read(p.x, gather, x);
    layer(0, x, 1, first, C, nullptr, false);
    normalise(first, first, C, statistics, false);
    open(first, first_open, C);
    layer(1, first_open, C, second, C, nullptr, false);
    normalise(second, second, C, statistics + 2, false);
    open(second, second_open, C);
    layer(2, second_open, C, third, 1, nullptr, false);
    normalise(third, third, 1, statistics + 4, false);

    residual(gather, statistics[5]);
    weigh(plane, third, 1, second_open, C, grad + p.begin(2), sums);
    grad[p.bias(2)] = A(0);  // the norm that follows takes any constant away
    convolve(plane, third, 1, transposed[2], static_cast<const A*>(nullptr), second_open, C);
    through_norm(second_open, second, C, statistics[3], grad + p.bias(1));
    weigh(plane, second_open, C, first_open, C, grad + p.begin(1), sums);
    convolve(plane, second_open, C, transposed[1], static_cast<const A*>(nullptr), second, C);
    through_norm(second, first, C, statistics[1], grad + p.bias(0));
    weigh(plane, second, C, x, 1, grad + p.begin(0), sums);
    if (p.input_gradient) {
      convolve(plane, second, C, transposed[0], static_cast<const A*>(nullptr), third, 1);
      write(third, p.grad_x, gather);
    }
  }

 private:
  using V = Vector<A>;
  static constexpr int L = kLanes<A>;

  // f(channel, where its row starts) for all rows of some planes.
  template <class F>
  void over(int planes, F f) const {
    for (int c = 0; c < planes; ++c)
      for (int row = 0; row < plane.rows; ++row) f(c, c * plane.size() + plane.at(row));
  }

  void read(const S* from, int gather, A* to) const {
    for (int row = 0; row < plane.rows; ++row) {
      const S* source = from + gather * p.gather() + int64_t(row) * p.samples;
      A* target = to + plane.at(row);
      for (int t = 0; t < p.samples; ++t) target[t] = widen(source[t]);
    }
  }

  void write(const A* from, S* to, int gather) const {
    for (int row = 0; row < plane.rows; ++row) {
      const A* source = from + plane.at(row);
      S* target = to + gather * p.gather() + int64_t(row) * p.samples;
      for (int t = 0; t < p.samples; ++t) narrow(source[t], target[t]);
    }
  }

  // Clear what a row's last vector holds beyond the samples.
  void clear_tail(A* row) const {
    for (int t = p.samples; t < plane.vectors() * L; ++t) row[t] = A(0);
  }

  // A convolution; its mean and 1 / standard deviation, where wanted.
  void layer(int which, const A* in, int inputs, A* out, int outputs, A* statistics, bool measured) const {
    convolve(plane, in, inputs, static_cast<const A*>(weights[which]), p.b[which], out, outputs);
    if (!measured) return over(outputs, [&](int, int64_t at) { clear_tail(out + at); });
    double sum = 0;
    over(outputs, [&](int, int64_t at) {
      clear_tail(out + at);
      V row{};
      for (int v = 0; v < plane.vectors(); ++v) row += load(out + at + v * L);
      sum += total<A>(row);
    });
    const double values = double(outputs) * double(p.gather());
    const A mean = A(sum / values);
    double squares = 0;
    over(outputs, [&](int, int64_t at) {
      V row{};
      for (int v = 0; v < plane.vectors() - 1; ++v) {
        const V away = load(out + at + v * L) - mean;
        row += away * away;
      }
      squares += total<A>(row);
      for (int t = (plane.vectors() - 1) * L; t < p.samples; ++t) {
        const double away = double(out[at + t]) - double(mean);
        squares += away * away;
      }
    });
    statistics[2 * which] = mean;
    statistics[2 * which + 1] = A(1 / std::sqrt(squares / values + double(p.eps)));
  }

  void normalise(const A* from, A* to, int planes, const A* statistics, bool opened) const {
    const V mean = every<A>(statistics[0]), inverse = every<A>(statistics[1]);
    over(planes, [&](int, int64_t at) {
      for (int v = 0; v < plane.vectors(); ++v) {
        V n = (load(from + at + v * L) - mean) * inverse;
        if (opened) n = n <= 0 ? V{} : n;  // NaN passes, as in torch
        store(to + at + v * L, n);
      }
      clear_tail(to + at);
    });
  }

  void open(const A* from, A* to, int planes) const {
    over(planes, [&](int, int64_t at) {
      for (int v = 0; v < plane.vectors(); ++v) {
        const V n = load(from + at + v * L);
        store(to + at + v * L, n <= 0 ? V{} : n);
      }
    });
  }

  // The gradient of the third convolution's output, in place of its normalised values.
  void residual(int gather, A inverse) const {
    auto line_of = [&](int row) {
      const S* source = p.grad_out + gather * p.gather() + int64_t(row) * p.samples;
      for (int t = 0; t < p.samples; ++t) line[t] = widen(source[t]);
    };
    double sum = 0, along = 0;
    for (int row = 0; row < plane.rows; ++row) {
      line_of(row);
      add_sums(line, third + plane.at(row), sum, along);
    }
    for (int row = 0; row < plane.rows; ++row) {
      line_of(row);
      A* n = third + plane.at(row);
      pull(line, n, n, sum, along, 1, inverse);
    }
  }

  // The gradient of a convolution's output in place of that of its opened maps; n: its normalised output.
  void through_norm(A* grad, const A* n, int planes, A inverse, A* grad_bias) const {
    double sum = 0, along = 0;
    over(planes, [&](int, int64_t at) { add_sums(grad + at, n + at, sum, along); });
    for (int c = 0; c < planes; ++c) grad_bias[c] = A(0);
    over(planes, [&](int c, int64_t at) {
      grad_bias[c] += A(pull(grad + at, n + at, grad + at, sum, along, planes, inverse));
    });
  }

  // Sums over a row of g and g n, where the ReLU let n pass.
  void add_sums(const A* grad, const A* n, double& sum, double& along) const {
    V sums{}, products{};
    for (int v = 0; v < plane.vectors(); ++v) {
      const V here = load(n + v * L);
      const V g = here <= 0 ? V{} : load(grad + v * L);
      sums += g;
      products += g * here;
    }
    sum += total<A>(sums);
    along += total<A>(products);
  }

  // A row of the norm's transpose; its total.
  double pull(const A* grad, const A* n, A* to, double sum, double along, int planes, A inverse) const {
    const double values = double(planes) * double(p.gather());
    const V mean = every<A>(A(sum / values)), slope = every<A>(A(along / values));
    V row{};
    for (int v = 0; v < plane.vectors(); ++v) {
      const V here = load(n + v * L);
      const V g = ((here <= 0 ? V{} : load(grad + v * L)) - mean - here * slope) * inverse;
      store(to + v * L, g);
      if (v < plane.vectors() - 1) row += g;
    }
    clear_tail(to);
    return total<A>(row + load(to + (plane.vectors() - 1) * L));
  }

  const Embedding<S, A>& p;
  const Plane<A> plane;
  const int C;
  A *x, *first, *second, *first_open, *second_open, *third, *line = nullptr, *sums = nullptr;
  A *weights[3], *transposed[3] = {};
};

}  // namespace SEISFAST_LEVEL
}  // namespace seisfast
