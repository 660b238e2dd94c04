// Owns the CPU's 5 x 5 convolutions over the padded planes of one gather, and their weight gradients.
#pragma once
#include "common/cpu_vector.h"
#include "features/params.h"

namespace seisfast {
inline namespace SEISFAST_LEVEL {

// A gather's map: `rows` rows of samples with zeros around, sample 0 at the start of a vector. Columns beyond the last
// sample are computed with the rest of their vector and cleared afterwards.
template <class A>
struct Plane {
  int rows, samples;

  constexpr int vectors() const { return (samples + kLanes<A> - 1) / kLanes<A>; }
  constexpr int64_t stride() const { return int64_t(vectors() + 2) * kLanes<A>; }
  constexpr int64_t size() const { return (rows + 2 * kEdge) * stride(); }
  // Of sample 0 in a row; rows -2, -1, rows, rows + 1 are zeros.
  constexpr int64_t at(int row) const { return (row + kEdge) * stride() + kLanes<A>; }
};

constexpr int kOutputs = 4;  // output channels that a pass over the inputs makes

// Weights in the order in which the loops read them: [blocks of outputs][inputs][25][outputs of the block].
// `transposed`: those of the adjoint, from outputs to inputs.
template <class A>
void pack(const A* w, int outputs, int inputs, bool transposed, A* to) {
  for (int first = 0; first < outputs; first += kOutputs) {
    const int some = outputs - first < kOutputs ? outputs - first : kOutputs;
    for (int i = 0; i < inputs; ++i)
      for (int tap = 0; tap < kWindow; ++tap)
        for (int o = first; o < first + some; ++o)
          *to++ = transposed ? w[(i * outputs + o) * kWindow + kWindow - 1 - tap] : w[(o * inputs + i) * kWindow + tap];
  }
}

template <class A, int O, int K>
SEISFAST_HD void convolve_here(const Plane<A>& plane, const A* in, int inputs, const A* w, const A* bias, A* out) {
  using V = Vector<A>;
  V sum[O][K];
  for (int o = 0; o < O; ++o)
    for (int k = 0; k < K; ++k) sum[o][k] = V{};
  const int64_t stride = plane.stride();
  for (int i = 0; i < inputs; ++i, in += plane.size())
    for (int row = 0; row < kTaps; ++row) {
      const A* from = in + (row - kEdge) * stride - kEdge;
#pragma GCC unroll 5
      for (int tap = 0; tap < kTaps; ++tap, w += O) {
        V values[K];
#pragma GCC unroll 8
        for (int k = 0; k < K; ++k) values[k] = load(from + tap + k * kLanes<A>);
#pragma GCC unroll 4
        for (int o = 0; o < O; ++o) {
          const V weight = every<A>(w[o]);
#pragma GCC unroll 8
          for (int k = 0; k < K; ++k) sum[o][k] += weight * values[k];
        }
      }
    }
  for (int o = 0; o < O; ++o)  // the bias last: a large one would cost the sums their last digits
    for (int k = 0; k < K; ++k) store(out + o * plane.size() + k * kLanes<A>, bias ? sum[o][k] + bias[o] : sum[o][k]);
}

template <class A, int O>
void convolve_outputs(const Plane<A>& plane, const A* in, int inputs, const A* w, const A* bias, A* out) {
  constexpr int K = O == 1 ? 8 : kRegisters == 32 ? 4 : 2;
  for (int row = 0; row < plane.rows; ++row) {
    const A* from = in + plane.at(row);
    A* to = out + plane.at(row);
    int v = 0;
    for (; v + K <= plane.vectors(); v += K)
      convolve_here<A, O, K>(plane, from + v * kLanes<A>, inputs, w, bias, to + v * kLanes<A>);
    for (; v < plane.vectors(); ++v)
      convolve_here<A, O, 1>(plane, from + v * kLanes<A>, inputs, w, bias, to + v * kLanes<A>);
  }
}

// f(std::integral_constant) for the number of outputs of a block.
template <class F>
void with_outputs(int some, F f) {
  if (some == 4) return f(std::integral_constant<int, 4>{});
  if (some == 3) return f(std::integral_constant<int, 3>{});
  if (some == 2) return f(std::integral_constant<int, 2>{});
  f(std::integral_constant<int, 1>{});
}

// out[outputs] = packed weights * in[inputs] + bias, all planes; no bias where null.
template <class A>
void convolve(const Plane<A>& plane, const A* in, int inputs, const A* packed, const A* bias, A* out, int outputs) {
  for (int first = 0; first < outputs; first += kOutputs) {
    const int some = outputs - first < kOutputs ? outputs - first : kOutputs;
    with_outputs(some, [&](auto count) {
      convolve_outputs<A, decltype(count)::value>(plane, in, inputs, packed, bias ? bias + first : nullptr,
                                                  out + first * plane.size());
    });
    packed += int64_t(some) * inputs * kWindow;
  }
}

// grad_w[outputs, inputs, 5, 5] = sum over samples of grad * in shifted. `sums`: 25 inputs * 4 vectors.
template <class A, int O>
void weigh_outputs(const Plane<A>& plane, const A* grad, const A* in, int inputs, A* grad_w, A* sums) {
  using V = Vector<A>;
  constexpr int L = kLanes<A>;
  std::memset(sums, 0, sizeof(A) * size_t(inputs) * kWindow * O * L);
  for (int row = 0; row < plane.rows; ++row)
    for (int i = 0; i < inputs; ++i)
      for (int shift = 0; shift < kTaps; ++shift) {
        const A* from = in + i * plane.size() + plane.at(row + shift - kEdge) - kEdge;
        const A* g = grad + plane.at(row);
        A* mine = sums + (i * kTaps + shift) * kTaps * O * L;
        // Five taps of up to four outputs fill the registers; where there are 16, two outputs at a time.
        constexpr int P = kRegisters == 32 || O < 2 ? O : 2;
        for (int first = 0; first < O; first += P) {
          V sum[P][kTaps];
#pragma GCC unroll 4
          for (int o = 0; o < P; ++o)
#pragma GCC unroll 5
            for (int tap = 0; tap < kTaps; ++tap)
              sum[o][tap] = first + o < O ? load(mine + ((first + o) * kTaps + tap) * L) : V{};
          for (int v = 0; v < plane.vectors(); ++v) {
            V values[P];
#pragma GCC unroll 4
            for (int o = 0; o < P; ++o)
              values[o] = load(g + (first + o < O ? first + o : first) * plane.size() + v * L);
#pragma GCC unroll 5
            for (int tap = 0; tap < kTaps; ++tap) {
              const V shifted = load(from + tap + v * L);
#pragma GCC unroll 4
              for (int o = 0; o < P; ++o) sum[o][tap] += values[o] * shifted;
            }
          }
#pragma GCC unroll 4
          for (int o = 0; o < P; ++o)
#pragma GCC unroll 5
            for (int tap = 0; tap < kTaps; ++tap)
              if (first + o < O) store(mine + ((first + o) * kTaps + tap) * L, sum[o][tap]);
        }
      }
  for (int i = 0; i < inputs; ++i)
    for (int shift = 0; shift < kTaps; ++shift)
      for (int o = 0; o < O; ++o)
        for (int tap = 0; tap < kTaps; ++tap)
          grad_w[(o * inputs + i) * kWindow + shift * kTaps + tap] =
              A(total<A>(load(sums + (((i * kTaps + shift) * O + o) * kTaps + tap) * L)));
}

template <class A>
void weigh(const Plane<A>& plane, const A* grad, int outputs, const A* in, int inputs, A* grad_w, A* sums) {
  for (int first = 0; first < outputs; first += kOutputs)
    with_outputs(outputs - first < kOutputs ? outputs - first : kOutputs, [&](auto count) {
      weigh_outputs<A, decltype(count)::value>(plane, grad + first * plane.size(), in, inputs,
                                               grad_w + int64_t(first) * inputs * kWindow, sums);
    });
}

}  // namespace SEISFAST_LEVEL
}  // namespace seisfast
