// Owns the float16 form of kept steps: values scaled by the step's largest magnitude, so that nothing overflows.
#pragma once
#include <cstring>

#include "common/portable.h"

namespace seisfast {
inline namespace SEISFAST_LEVEL {

// Largest magnitude maps to 2^15; what lies 29 binary orders below it becomes zero.
template <class T>
SEISFAST_HD T half_scale(T largest) {
  return largest > T(0) ? T(32768) / largest : T(0);
}

// |value| <= 2^15, rounded to nearest even.
SEISFAST_HD uint16_t to_half(float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  const uint32_t sign = (bits >> 16) & 0x8000u, magnitude = bits & 0x7fffffffu;
  const uint32_t rounded = ((magnitude + 0xfffu + ((magnitude >> 13) & 1u)) >> 13) - (112u << 10);
  return uint16_t(sign | (magnitude < (113u << 23) ? 0u : rounded));
}

SEISFAST_HD float from_half(uint16_t half) {
  const uint32_t magnitude = uint32_t(half & 0x7fffu);
  const uint32_t bits = (uint32_t(half & 0x8000u) << 16) | (magnitude == 0 ? 0u : (magnitude << 13) + (112u << 23));
  float value;
  memcpy(&value, &bits, 4);
  return value;
}

}  // namespace SEISFAST_LEVEL
}  // namespace seisfast
