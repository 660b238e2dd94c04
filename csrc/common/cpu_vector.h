// Owns the CPU vector of the level that is being compiled: as many numbers as a register holds.
#pragma once
#include <cstring>
#include <utility>

#if defined(__AVX__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include "common/bf16.h"

namespace seisfast {
inline namespace SEISFAST_LEVEL {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64, kRegisters = 32;
#elif defined(__AVX__)
constexpr int kVectorBytes = 32, kRegisters = 16;
#elif defined(__aarch64__)
constexpr int kVectorBytes = 16, kRegisters = 32;
#else
constexpr int kVectorBytes = 16, kRegisters = 16;
#endif

template <class A>
struct VectorOf {
  typedef A type __attribute__((vector_size(kVectorBytes)));
};
template <class A>
using Vector = typename VectorOf<A>::type;

template <>
struct NumberOf<Vector<float>> {
  using type = float;
};
template <>
struct NumberOf<Vector<double>> {
  using type = double;
};

template <class A>
constexpr int kLanes = kVectorBytes / int(sizeof(A));

template <class A>
SEISFAST_HD Vector<A> load(const A* from) {
  Vector<A> v;
  std::memcpy(&v, from, sizeof v);
  return v;
}
template <class A>
SEISFAST_HD void store(A* to, Vector<A> v) {
  std::memcpy(to, &v, sizeof v);
}
using Halves = uint16_t __attribute__((vector_size(kVectorBytes / 2)));
using Words = uint32_t __attribute__((vector_size(kVectorBytes)));

SEISFAST_HD Vector<float> load(const Bf16* from) {
  Halves halves;
  std::memcpy(&halves, from, sizeof halves);
  const Words words = __builtin_convertvector(halves, Words) << 16;
  Vector<float> v;
  std::memcpy(&v, &words, sizeof v);
  return v;
}
SEISFAST_HD void store(Bf16* to, Vector<float> v) {  // as narrow()
  Words words;
  std::memcpy(&words, &v, sizeof v);
  const Words rounded = (words + 0x7fffu + (words >> 16 & 1u)) >> 16;
  words = (words & 0x7fffffffu) > 0x7f800000u ? words >> 16 | 0x40u : rounded;
  const Halves halves = __builtin_convertvector(words, Halves);
  std::memcpy(to, &halves, sizeof halves);
}

// The first `count` numbers, zeros after them.
template <class S>
SEISFAST_HD auto load_some(const S* from, int count) {
  S numbers[kVectorBytes / (sizeof(S) == 8 ? 8 : 4)] = {};
  for (int i = 0; i < count; ++i) numbers[i] = from[i];
  return load(static_cast<const S*>(numbers));
}
template <class S, class V>
SEISFAST_HD void store_some(S* to, V v, int count) {
  S numbers[kVectorBytes / (sizeof(S) == 8 ? 8 : 4)];
  store(static_cast<S*>(numbers), v);
  for (int i = 0; i < count; ++i) to[i] = numbers[i];
}

template <class A>
SEISFAST_HD Vector<A> every(A value) {
  return value - Vector<A>{};
}

template <class A>
SEISFAST_HD Vector<A> fma_each(Vector<A> a, Vector<A> b, Vector<A> c) {
  Vector<A> v;
  for (int i = 0; i < kLanes<A>; ++i) v[i] = fma(A(a[i]), A(b[i]), A(c[i]));
  return v;
}
// a * b + c in one rounding where the processor has it.
SEISFAST_HD Vector<float> fma(Vector<float> a, Vector<float> b, Vector<float> c) {
#if defined(__AVX512F__)
  return _mm512_fmadd_ps(a, b, c);
#elif defined(__FMA__)
  return _mm256_fmadd_ps(a, b, c);
#elif defined(__aarch64__)
  return vfmaq_f32(c, a, b);
#else
  return fma_each<float>(a, b, c);
#endif
}
SEISFAST_HD Vector<double> fma(Vector<double> a, Vector<double> b, Vector<double> c) {
#if defined(__AVX512F__)
  return _mm512_fmadd_pd(a, b, c);
#elif defined(__FMA__)
  return _mm256_fmadd_pd(a, b, c);
#elif defined(__aarch64__)
  return vfmaq_f64(c, a, b);
#else
  return fma_each<double>(a, b, c);
#endif
}
SEISFAST_HD Vector<float> fma(float a, Vector<float> b, Vector<float> c) { return fma(every(a), b, c); }
SEISFAST_HD Vector<double> fma(double a, Vector<double> b, Vector<double> c) { return fma(every(a), b, c); }

template <int k, class V, int... i>
SEISFAST_HD V slide_over(V low, V high, std::integer_sequence<int, i...>) {
#if defined(__AVX512F__)  // one instruction without a table; the forms with a mask of ones, GCC 12 warns of the others
  if constexpr (sizeof(typename NumberOf<V>::type) == 4)
    return V(_mm512_maskz_alignr_epi32(0xffff, __m512i(high), __m512i(low), k));
  else
    return V(_mm512_maskz_alignr_epi64(0xff, __m512i(high), __m512i(low), k));
#elif defined(__clang__) || __GNUC__ >= 12
  return __builtin_shufflevector(low, high, (k + i)...);
#else
  using A = typename NumberOf<V>::type;
  using Index = std::conditional_t<sizeof(A) == 4, int32_t, int64_t> __attribute__((vector_size(kVectorBytes)));
  return __builtin_shuffle(low, high, Index{(k + i)...});
#endif
}
// Numbers k, k + 1, ... of two vectors one after the other, 0 <= k <= lanes.
template <int k, class V>
SEISFAST_HD V slide(V low, V high) {
  using A = typename NumberOf<V>::type;
  if constexpr (k == 0) return low;
  if constexpr (k == kLanes<A>) return high;
  return slide_over<k>(low, high, std::make_integer_sequence<int, kLanes<A>>());
}

template <class A>
SEISFAST_HD double total(Vector<A> v) {
  double sum = 0;
  for (int i = 0; i < kLanes<A>; ++i) sum += double(v[i]);
  return sum;
}

}  // namespace SEISFAST_LEVEL
}  // namespace seisfast
