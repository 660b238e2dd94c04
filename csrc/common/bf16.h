// Owns bfloat16 as a storage type: the upper half of a float32, rounded to nearest even; all arithmetic is in float32.
#pragma once
#include "common/portable.h"

#include <cstring>

namespace seisfast {

struct Bf16 {
  uint16_t bits;
};

inline namespace SEISFAST_LEVEL {

SEISFAST_HD float widen(Bf16 value) {
  const uint32_t bits = uint32_t(value.bits) << 16;
#ifdef __CUDA_ARCH__
  return __uint_as_float(bits);
#else
  float wide;
  std::memcpy(&wide, &bits, sizeof wide);
  return wide;
#endif
}
SEISFAST_HD float widen(float value) { return value; }
SEISFAST_HD double widen(double value) { return value; }

// NaN keeps its sign and stays NaN.
SEISFAST_HD void narrow(float value, Bf16& to) {
#ifdef __CUDA_ARCH__
  const uint32_t bits = __float_as_uint(value);
#else
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
#endif
  const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
  to.bits = nan ? uint16_t(bits >> 16 | 0x40u) : uint16_t((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}
SEISFAST_HD void narrow(float value, float& to) { to = value; }
SEISFAST_HD void narrow(double value, double& to) { to = value; }

}  // namespace SEISFAST_LEVEL
}  // namespace seisfast
