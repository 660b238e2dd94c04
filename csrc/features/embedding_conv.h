// Owns the inner loops of trace_embedding: 5 x 5 convolutions of eight neighbouring samples, and the products of two
// planes that make a weight's gradient.
#pragma once
#include "features/embedding.h"

namespace seisfast {
inline namespace SEISFAST_LEVEL {
namespace embedding {

// Two or four neighbouring values, aligned to their size.
template <int n, class S, class A>
SEISFAST_HD void fetch(const S* from, A* to) {
#ifdef __CUDA_ARCH__
  if constexpr (sizeof(S) == 2) {
    uint32_t pairs[2];
    if constexpr (n == 4) {
      const uint2 both = *reinterpret_cast<const uint2*>(from);
      pairs[0] = both.x, pairs[1] = both.y;
    } else {
      pairs[0] = *reinterpret_cast<const uint32_t*>(from);
    }
    SEISFAST_UNROLL
    for (int i = 0; i < n; ++i) to[i] = __uint_as_float(i % 2 ? pairs[i / 2] & 0xffff0000u : pairs[i / 2] << 16);
  } else {
    S values[n];
    if constexpr (n == 4)
      load4(from, values);
    else
      load2(from, values);
    SEISFAST_UNROLL
    for (int i = 0; i < n; ++i) to[i] = values[i];
  }
#else
  for (int i = 0; i < n; ++i) to[i] = widen(from[i]);
#endif
}

// As narrow does it, by the instruction that chips since sm_80 have for it.
template <class S, class A>
SEISFAST_HD S rounded(A value) {
  S to;
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  if constexpr (sizeof(S) == 2)
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(to.bits) : "f"(value));
  else
    narrow(value, to);
#else
  narrow(value, to);
#endif
  return to;
}

template <int n, class S, class A>
SEISFAST_HD void keep(S* to, const A* from) {
  S values[n];
  SEISFAST_UNROLL
  for (int i = 0; i < n; ++i) values[i] = rounded<S>(from[i]);
#ifdef __CUDA_ARCH__
  if constexpr (sizeof(S) == 2) {
    SEISFAST_UNROLL
    for (int i = 0; i < n; i += 2)
      reinterpret_cast<uint32_t*>(to)[i / 2] = values[i].bits | uint32_t(values[i + 1].bits) << 16;
  } else if constexpr (n == 4) {
    store4(to, values);
  } else if constexpr (sizeof(S) == 4) {
    *reinterpret_cast<float2*>(to) = make_float2(values[0], values[1]);
  } else {
    to[0] = values[0], to[1] = values[1];
  }
#else
  for (int i = 0; i < n; ++i) to[i] = values[i];
#endif
}

// A slab's first sample is column 2, so a group begins two values before a quadruple.
template <class S, class A>
SEISFAST_HD void fetch_group(const S* from, A (&to)[kGroup]) {
  fetch<2>(from, to);
  fetch<4>(from + 2, to + 2);
  fetch<2>(from + 6, to + 6);
}

// What a convolution of a group reaches in one row.
template <bool relu, class S, class A>
SEISFAST_HD void fetch_reach(const S* from, A (&to)[kReach]) {
  SEISFAST_UNROLL
  for (int i = 0; i < kReach; i += 4) fetch<4>(from + i, to + i);
  if (relu) {
    SEISFAST_UNROLL
    for (int i = 0; i < kReach; ++i) to[i] = to[i] > A(0) ? to[i] : A(0);
  }
}

// The value that reading it back gives: forward and adjoint pass then see the same maps.
template <class S, class A>
SEISFAST_HD A stored(A value) {
  return widen(rounded<S>(value));
}

template <class At, class A>
SEISFAST_HD void put(const At& at, int plane, int row, int column, int valid, const A (&values)[kGroup]) {
  auto* to = at.at(plane, row, column + kEdge);
  if (valid == kGroup) {
    keep<2>(to, values);
    keep<4>(to + 2, values + 2);
    keep<2>(to + 6, values + 6);
  } else {
    SEISFAST_UNROLL
    for (int i = 0; i < kGroup; ++i)
      if (i < valid) to[i] = rounded<typename At::S>(values[i]);
  }
}

// Four outputs of a group. `from`: the row and column where the window begins, in the first of the inputs' planes;
// `weights`: [inputs, taps, outputs], then biases (0 without).
template <bool relu, class At, class S, class A>
SEISFAST_HD void convolve(const At& at, const S* from, int inputs, const A* weights, A (&sum)[kOutputs][kGroup]) {
  SEISFAST_UNROLL
  for (int o = 0; o < kOutputs; ++o) {
    SEISFAST_UNROLL
    for (int i = 0; i < kGroup; ++i) sum[o][i] = A(0);
  }
  SEISFAST_ROLLED
  for (int input = 0; input < inputs; ++input) {
    const S* row = from + int64_t(input) * at.layout.plane;
    SEISFAST_ROLLED
    for (int dr = 0; dr < kTaps; ++dr) {
      A values[kReach];
      fetch_reach<relu>(row, values);
      SEISFAST_UNROLL
      for (int dt = 0; dt < kTaps; ++dt) {
        A weight[kOutputs];
        load4(weights + dt * kOutputs, weight);
        SEISFAST_UNROLL
        for (int o = 0; o < kOutputs; ++o) {
          SEISFAST_UNROLL
          for (int i = 0; i < kGroup; ++i) sum[o][i] = fma(weight[o], values[i + dt], sum[o][i]);
        }
      }
      weights += kTaps * kOutputs;
      row += at.layout.stride;
    }
  }
  // The bias last: a large one would cost the sums their last digits.
  A bias[kOutputs];
  load4(weights, bias);
  SEISFAST_UNROLL
  for (int o = 0; o < kOutputs; ++o) {
    SEISFAST_UNROLL
    for (int i = 0; i < kGroup; ++i) sum[o][i] += bias[o];
  }
}

// The one output of a group. `weights`: [inputs, rows of the window, kNarrow], then the bias.
template <bool relu, class At, class S, class A>
SEISFAST_HD void convolve(const At& at, const S* from, int inputs, const A* weights, A (&sum)[kGroup]) {
  SEISFAST_UNROLL
  for (int i = 0; i < kGroup; ++i) sum[i] = A(0);
  SEISFAST_ROLLED
  for (int input = 0; input < inputs; ++input) {
    const S* row = from + int64_t(input) * at.layout.plane;
    SEISFAST_UNROLL
    for (int dr = 0; dr < kTaps; ++dr) {
      A values[kReach], weight[kNarrow];
      fetch_reach<relu>(row + dr * at.layout.stride, values);
      fetch<4>(weights + dr * kNarrow, weight);
      weight[4] = weights[dr * kNarrow + 4];
      SEISFAST_UNROLL
      for (int dt = 0; dt < kTaps; ++dt) {
        SEISFAST_UNROLL
        for (int i = 0; i < kGroup; ++i) sum[i] = fma(weight[dt], values[i + dt], sum[i]);
      }
    }
    weights += kTaps * kNarrow;
  }
  const A bias = weights[0];
  SEISFAST_UNROLL
  for (int i = 0; i < kGroup; ++i) sum[i] += bias;
}

// Adds the gradient of a pair of channels from one group of neighbouring samples in consecutive rows. `input`: where
// the window of the first row begins; `gradient`: its first sample. Five rows of the input stay in registers.
template <bool relu, class S, class A>
SEISFAST_HD void correlate(const S* input, const S* gradient, int stride, int rows, A (&sum)[kSums]) {
  A window[kTaps][kReach];
  SEISFAST_UNROLL
  for (int k = 0; k < kTaps - 1; ++k) fetch_reach<relu>(input + k * stride, window[k]);
  SEISFAST_ROLLED
  for (int begin = 0; begin < rows; begin += kTaps) {
    SEISFAST_UNROLL
    for (int k = 0; k < kTaps; ++k) {
      const int row = begin + k;
      if (row >= rows) break;
      A values[kGroup];
      fetch_reach<relu>(input + (row + kTaps - 1) * stride, window[(k + kTaps - 1) % kTaps]);
      fetch_group(gradient + row * stride, values);
      SEISFAST_UNROLL
      for (int i = 0; i < kGroup; ++i) {
        SEISFAST_UNROLL
        for (int dr = 0; dr < kTaps; ++dr) {
          SEISFAST_UNROLL
          for (int dt = 0; dt < kTaps; ++dt) {
            A& to = sum[dr * kTaps + dt];
            to = fma(values[i], window[(k + dr) % kTaps][i + dt], to);
          }
        }
        sum[kWindow] += values[i];
      }
    }
  }
}

}  // namespace embedding
}  // namespace SEISFAST_LEVEL
}  // namespace seisfast
