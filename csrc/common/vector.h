// Owns loads and stores of two and four neighbouring values, aligned to their size (16 bytes at most).
#pragma once
#include "common/portable.h"

namespace seisfast {
inline namespace SEISFAST_LEVEL {

template <class T>
SEISFAST_HD void load2(const T* from, T (&to)[2]) {
#ifdef __CUDA_ARCH__
  if constexpr (sizeof(T) == 4) {
    const float2 v = *reinterpret_cast<const float2*>(from);
    to[0] = v.x, to[1] = v.y;
    return;
  }
#endif
  to[0] = from[0], to[1] = from[1];
}

template <class T>
SEISFAST_HD void load4(const T* from, T (&to)[4]) {
#ifdef __CUDA_ARCH__
  if constexpr (sizeof(T) == 4) {
    const float4 v = *reinterpret_cast<const float4*>(from);
    to[0] = v.x, to[1] = v.y, to[2] = v.z, to[3] = v.w;
  } else {
    const double2 v = *reinterpret_cast<const double2*>(from), w = *reinterpret_cast<const double2*>(from + 2);
    to[0] = v.x, to[1] = v.y, to[2] = w.x, to[3] = w.y;
  }
#else
  for (int i = 0; i < 4; ++i) to[i] = from[i];
#endif
}

template <class T>
SEISFAST_HD void store4(T* to, const T (&from)[4]) {
#ifdef __CUDA_ARCH__
  if constexpr (sizeof(T) == 4) {
    *reinterpret_cast<float4*>(to) = make_float4(from[0], from[1], from[2], from[3]);
  } else {
    *reinterpret_cast<double2*>(to) = make_double2(from[0], from[1]);
    *reinterpret_cast<double2*>(to + 2) = make_double2(from[2], from[3]);
  }
#else
  for (int i = 0; i < 4; ++i) to[i] = from[i];
#endif
}

// To device memory that this launch will not read again: past the caches.
template <class T>
SEISFAST_HD void stream4(T* to, const T (&from)[4]) {
#ifdef __CUDA_ARCH__
  if constexpr (sizeof(T) == 4) {
    __stcs(reinterpret_cast<float4*>(to), make_float4(from[0], from[1], from[2], from[3]));
    return;
  }
#endif
  store4(to, from);
}

// Ask for the line of an address that will be read a step later.
SEISFAST_HD void prefetch(const void* address) {
#ifdef __CUDA_ARCH__
  asm volatile("prefetch.global.L2 [%0];" ::"l"(address));
#else
  (void)address;
#endif
}

}  // namespace SEISFAST_LEVEL
}  // namespace seisfast
