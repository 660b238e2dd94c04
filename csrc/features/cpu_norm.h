// Owns the fused batch norm and ReLU on the CPU, for a channel per trace and for channels that lie last.
#pragma once
#include <algorithm>
#include <cmath>
#include <numeric>
#include <type_traits>
#include <vector>

#include "common/cpu_vector.h"
#include "features/params.h"

namespace seisfast {
inline namespace SEISFAST_LEVEL {

// The ReLU is written so that NaN passes it, as in torch.
template <class A>
struct Scaling {  // of a channel or of a vector of channels: out = max(scale * n + shift, 0), n = (y - mean) * inverse
  A mean, inverse, scale, shift;
  SEISFAST_HD A normalised(A y) const { return (y - mean) * inverse; }
  SEISFAST_HD A opened(A n) const { return scale * n + shift; }
};

template <class S, class A>
A inverse_deviation(const Norm<S, A>& p, double variance) {
  return A(1 / std::sqrt(variance + double(p.eps)));
}

// A channel per trace: its rows, one per sample of the batch, are a few tens of KB and stay in cache between passes.
template <class S, class A>
struct TraceNorm {
  using V = Vector<A>;
  static constexpr int L = kLanes<A>;
  const Norm<S, A>& p;

  void channel(int c, bool adjoint) const {
    const double values = double(p.outer) * double(p.inner);
    if (!p.given && !adjoint) {
      double sum = 0, squares = 0;
      rows(c, [&](int64_t, V y, int) { return y; }, [&](V row, int64_t) { sum += total<A>(row); });
      const A mean = A(sum / values);
      rows(
          c,
          [&](int64_t, V y, int count) {
            V away = y - mean;
            for (int i = count; i < L; ++i) away[i] = 0;
            return away * away;
          },
          [&](V row, int64_t) { squares += total<A>(row); });
      p.mean[c] = mean;
      p.variance[c] = A(squares / values);
    }
    const Scaling<V> at{every<A>(p.mean[c]), every<A>(inverse_deviation(p, double(p.variance[c]))),
                        every<A>(p.scale[c]), every<A>(p.shift[c])};
    auto ignore = [](V, int64_t) {};
    if (!adjoint) {
      rows(
          c,
          [&](int64_t i, V y, int count) {
            const V a = at.opened(at.normalised(y));
            put(p.out + i, a <= 0 ? V{} : a, count);
            return V{};
          },
          ignore);
      return;
    }
    auto gradient = [&](int64_t i, V n, int count) { return at.opened(n) <= 0 ? V{} : get(p.grad_out + i, count); };
    double sum = 0, along = 0;
    V products{};
    rows(
        c,
        [&](int64_t i, V y, int count) {
          const V n = at.normalised(y), g = gradient(i, n, count);
          products += g * n;
          return g;
        },
        [&](V row, int64_t) {
          sum += total<A>(row), along += total<A>(products);
          products = V{};
        });
    p.grad_shift[c] = A(sum);
    p.grad_scale[c] = A(along);
    const V factor = at.scale * at.inverse;
    const V mean = every<A>(p.given ? A(0) : A(sum / values)), slope = every<A>(p.given ? A(0) : A(along / values));
    rows(
        c,
        [&](int64_t i, V y, int count) {
          const V n = at.normalised(y);
          put(p.grad_x + i, factor * (gradient(i, n, count) - mean - n * slope), count);
          return V{};
        },
        ignore);
  }

 private:
  static V get(const S* from, int count) { return count == L ? load(from) : load_some(from, count); }
  static void put(S* to, V v, int count) { count == L ? store(to, v) : store_some(to, v, count); }

  // of_vector(offset in x, y, how many of its numbers count), summed over a row and handed to of_row.
  template <class OfVector, class OfRow>
  void rows(int c, OfVector of_vector, OfRow of_row) const {
    for (int64_t o = 0; o < p.outer; ++o) {
      const int64_t begin = (o * p.channels + c) * p.inner;
      const S* shot = p.per_shot ? p.per_shot + (o * (p.channels / p.receivers) + c / p.receivers) * p.inner : nullptr;
      const S* receiver = p.per_receiver ? p.per_receiver + int64_t(c % p.receivers) * p.inner : nullptr;
      V row{};
      for (int64_t i = 0; i < p.inner; i += L) {
        const int count = p.inner - i < L ? int(p.inner - i) : L;
        V y = get(p.x + begin + i, count);
        if (shot) y += get(shot + i, count);
        if (receiver) y += get(receiver + i, count);
        row += of_vector(begin + i, y, count);
      }
      of_row(row, o);
    }
  }
};

// Channels that lie last: rows are cut into chunks that stay in cache; sums of a chunk per channel, merged in the order
// of the chunks, so that the result does not depend on the number of threads.
//
// Few channels do not fill vectors. So `fold` rows are taken as one row with as many copies of every channel, and the
// rows that are left at the end, less than `fold`, as a chunk of their own.
template <class S, class A>
struct ChannelNorm {
  using V = Vector<A>;
  static constexpr int L = kLanes<A>, kTogether = 4;
  const Norm<S, A>& p;
  const int64_t fold = folded(p.channels), width = fold * p.channels;
  const int64_t rows = p.outer / fold, left = p.outer % fold;
  const int64_t rows_of_chunk = std::max<int64_t>(16, 32768 / width);
  const int64_t whole_chunks = (rows + rows_of_chunk - 1) / rows_of_chunk;

  static int64_t folded(int64_t channels) {
    const int64_t together = kTogether * L, fold = together / std::gcd(channels, together);
    return fold * channels <= 4096 ? fold : 1;
  }
  int64_t chunks() const { return whole_chunks + (left > 0); }
  int64_t measurements() const { return chunks() * 2 * width; }

  // Forward: mean and sum of squares around it; adjoint: sums of g and g n; of every copy, each [width].
  void measure(int64_t chunk, bool adjoint, double* measured) const {
    double* first = measured + chunk * 2 * width;
    double* second = first + width;
    over(chunk, [&](int64_t c, auto together, int count, int64_t begin, int64_t end) {
      constexpr int K = decltype(together)::value;
      V base[K] = {}, a[K] = {}, b[K] = {}, rest[K] = {};
      if (adjoint) {
        Scaling<V> at[K];
        for (int k = 0; k < K; ++k) at[k] = scaling(c + k * L, count);
        for (int64_t row = begin; row < end; ++row)
#pragma GCC unroll 4
          for (int k = 0; k < K; ++k) {
            const int64_t i = row * width + c + k * L;
            const V n = at[k].normalised(get(p.x + i, count));
            const V g = at[k].opened(n) <= 0 ? V{} : get(p.grad_out + i, count);
            a[k] += g;
            b[k] += g * n;
          }
      } else {
        // Distances from the chunk's first row, or a mean far from zero would cost the sums their last digits.
        for (int k = 0; k < K; ++k) base[k] = get(p.x + begin * width + c + k * L, count);
        for (int64_t row = begin; row < end; ++row)
#pragma GCC unroll 4
          for (int k = 0; k < K; ++k) a[k] += get(p.x + row * width + c + k * L, count) - base[k];
        for (int k = 0; k < K; ++k) a[k] /= every<A>(A(end - begin));
        for (int64_t row = begin; row < end; ++row)
#pragma GCC unroll 4
          for (int k = 0; k < K; ++k) {
            const V away = get(p.x + row * width + c + k * L, count) - base[k] - a[k];
            b[k] += away * away;
            rest[k] += away;
          }
        // What is left of the distances' sum corrects the mean, and the squares were taken around the wrong one.
        for (int k = 0; k < K; ++k) {
          const V moved = rest[k] / every<A>(A(end - begin));
          b[k] -= rest[k] * moved;
          a[k] += moved;
        }
      }
      for (int k = 0; k < K; ++k)
        for (int i = 0; i < count; ++i) {
          first[c + k * L + i] = double(base[k][i]) + double(a[k][i]);
          second[c + k * L + i] = double(b[k][i]);
        }
    });
  }

  // Merge what the chunks measured, [chunks, 2, width].
  void merge(const double* measured, bool adjoint) const {
    std::vector<double> first(size_t(p.channels)), second(size_t(p.channels));
    double seen = 0;
    for (int64_t chunk = 0; chunk < chunks(); ++chunk) {
      const bool whole = chunk < whole_chunks;
      const int64_t begin = chunk * rows_of_chunk;
      const double count = whole ? double(std::min(begin + rows_of_chunk, rows) - begin) : 1;
      for (int64_t copy = 0; copy < (whole ? fold : left); ++copy) {
        const double* a = measured + chunk * 2 * width + copy * p.channels;
        const double* b = a + width;
        const double share = count / (seen + count), both = seen * share;
        for (int c = 0; c < p.channels; ++c) {
          if (adjoint) {
            first[size_t(c)] += a[c], second[size_t(c)] += b[c];
          } else {  // Chan, Golub and LeVeque (1983)
            const double apart = a[c] - first[size_t(c)];
            first[size_t(c)] += apart * share;
            second[size_t(c)] += b[c] + apart * apart * both;
          }
        }
        seen += count;
      }
    }
    for (int c = 0; c < p.channels; ++c) {
      (adjoint ? p.grad_shift : p.mean)[c] = A(first[size_t(c)]);
      (adjoint ? p.grad_scale : p.variance)[c] = A(second[size_t(c)] / (adjoint ? 1 : double(p.outer)));
    }
  }

  void apply(int64_t chunk, bool adjoint) const {
    over(chunk, [&](int64_t c, auto together, int count, int64_t begin, int64_t end) {
      constexpr int K = decltype(together)::value;
      Scaling<V> at[K];
      V factor[K], mean[K] = {}, slope[K] = {};
      for (int k = 0; k < K; ++k) {
        at[k] = scaling(c + k * L, count);
        factor[k] = at[k].scale * at[k].inverse;
        if (!adjoint || p.given) continue;
        mean[k] = of_channels(p.grad_shift, c + k * L, count) / every<A>(A(p.outer));
        slope[k] = of_channels(p.grad_scale, c + k * L, count) / every<A>(A(p.outer));
      }
      for (int64_t row = begin; row < end; ++row)
#pragma GCC unroll 4
        for (int k = 0; k < K; ++k) {
          const int64_t i = row * width + c + k * L;
          const V n = at[k].normalised(get(p.x + i, count)), a = at[k].opened(n);
          if (adjoint) {
            const V g = a <= 0 ? V{} : get(p.grad_out + i, count);
            put(p.grad_x + i, factor[k] * (g - mean[k] - n * slope[k]), count);
          } else {
            put(p.out + i, a <= 0 ? V{} : a, count);
          }
        }
    });
  }

 private:
  template <class N>
  static V get(const N* from, int count) {
    return count == L ? load(from) : load_some(from, count);
  }
  static void put(S* to, V v, int count) { count == L ? store(to, v) : store_some(to, v, count); }

  // A number per channel, for `count` places of a row from c on.
  V of_channels(const A* from, int64_t c, int count) const {
    V v{};
    int64_t channel = c % p.channels;
    for (int i = 0; i < count; ++i) {
      v[i] = from[channel];
      if (++channel == p.channels) channel = 0;
    }
    return v;
  }

  Scaling<V> scaling(int64_t c, int count) const {
    const V variance = of_channels(p.variance, c, count);
    V inverse{};
    for (int i = 0; i < count; ++i) inverse[i] = inverse_deviation(p, double(variance[i]));
    return {of_channels(p.mean, c, count), inverse, of_channels(p.scale, c, count), of_channels(p.shift, c, count)};
  }

  // f(first place in a row, vectors together, numbers of a vector, rows [begin, end)) for all places of a chunk's rows.
  template <class F>
  void over(int64_t chunk, F f) const {
    const bool whole = chunk < whole_chunks;
    const int64_t begin = whole ? chunk * rows_of_chunk : rows;
    const int64_t end = whole ? std::min(begin + rows_of_chunk, rows) : rows + 1;
    const int64_t places = whole ? width : left * p.channels;
    int64_t c = 0;
    for (; c + kTogether * L <= places; c += kTogether * L)
      f(c, std::integral_constant<int, kTogether>{}, L, begin, end);
    for (; c < places; c += L)
      f(c, std::integral_constant<int, 1>{}, int(std::min<int64_t>(L, places - c)), begin, end);
  }
};

}  // namespace SEISFAST_LEVEL
}  // namespace seisfast
