// Owns what differs between compilers: the host+device qualifier, unrolling, fused multiply-add, and the namespace of a vector level.
#pragma once
#include <cmath>
#include <cstdint>

#ifdef __CUDACC__
#define SEISFAST_HD __host__ __device__ __forceinline__
#define SEISFAST_UNROLL _Pragma("unroll")
#define SEISFAST_ROLLED _Pragma("unroll 1")
#else
#define SEISFAST_HD inline __attribute__((always_inline))
#define SEISFAST_UNROLL _Pragma("GCC unroll 4")
#define SEISFAST_ROLLED
#endif

// The same source is compiled for several vector levels; each gets a namespace of its own, so that the linker never
// hands code of one level to another.
#ifndef SEISFAST_LEVEL
#define SEISFAST_LEVEL common
#endif

namespace seisfast {
inline namespace SEISFAST_LEVEL {

// a * b + c in one rounding where the hardware has it. Contraction is off everywhere, so engines that call this in the
// same order agree to the bit. (Processors without it, before 2013, round twice.)
template <class T>
SEISFAST_HD T fma(T a, T b, T c) {
#if defined(__CUDA_ARCH__) || defined(__FMA__) || defined(__aarch64__)
  return std::fma(a, b, c);
#else
  return a * b + c;
#endif
}

// What a value is made of: a number of itself, a vector of its numbers (common/cpu_vector.h).
template <class V>
struct NumberOf {
  using type = V;
};

}  // namespace SEISFAST_LEVEL
}  // namespace seisfast
