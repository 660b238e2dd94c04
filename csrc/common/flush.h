// Owns the treatment of subnormal numbers, below 1e-38 in float32: the CPU engines take them for zero, as the CUDA engines
// do. Ahead of a wave a field is full of them, and they cost some processors a hundred cycles each.
#pragma once
#include <cstdint>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace seisfast {

// On this thread, for as long as it lives.
class FlushSubnormals {
 public:
#if defined(__SSE2__)
  FlushSubnormals() : before(_mm_getcsr()) { _mm_setcsr(before | 0x8040u); }  // results, operands
  ~FlushSubnormals() { _mm_setcsr(before); }

 private:
  unsigned before;
#elif defined(__aarch64__)
  FlushSubnormals() {
    asm volatile("mrs %0, fpcr" : "=r"(before));
    asm volatile("msr fpcr, %0" : : "r"(before | (uint64_t(1) << 24)));
  }
  ~FlushSubnormals() { asm volatile("msr fpcr, %0" : : "r"(before)); }

 private:
  uint64_t before;
#else
  FlushSubnormals() {}
  ~FlushSubnormals() {}
#endif

 public:
  FlushSubnormals(const FlushSubnormals&) = delete;
  FlushSubnormals& operator=(const FlushSubnormals&) = delete;
};

}  // namespace seisfast
