// Owns float16 rows on the CPU: kept steps narrowed, widened and measured by whole vectors, equal to half.h's numbers.
#pragma once
#include "acoustic/half.h"
#include "common/cpu_vector.h"

namespace seisfast {
inline namespace SEISFAST_LEVEL {

// The largest magnitude of a row and of `largest`.
template <class T>
T largest_magnitude(const T* row, int count, T largest) {
  constexpr int lanes = kLanes<T>;
  Vector<T> most = every(largest);
  int i = 0;
  for (; i + lanes <= count; i += lanes) {
    const Vector<T> value = load(row + i), size = value < T(0) ? -value : value;
    most = size > most ? size : most;
  }
  for (int lane = 0; lane < lanes; ++lane) largest = most[lane] > largest ? most[lane] : largest;
  for (; i < count; ++i) {
    const T size = row[i] < 0 ? -row[i] : row[i];
    largest = size > largest ? size : largest;
  }
  return largest;
}

SEISFAST_HD Halves to_halves(Vector<float> value) {
  Words bits;
  std::memcpy(&bits, &value, sizeof bits);
  const Words sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
  const Words rounded = ((magnitude + 0xfffu + (magnitude >> 13 & 1u)) >> 13) - (112u << 10);
  return __builtin_convertvector(sign | (magnitude < (113u << 23) ? Words{} : rounded), Halves);
}

SEISFAST_HD Vector<float> from_halves(Halves halves) {
  const Words wide = __builtin_convertvector(halves, Words), magnitude = wide & 0x7fffu;
  const Words bits = (wide & 0x8000u) << 16 | (magnitude == 0u ? Words{} : (magnitude << 13) + (112u << 23));
  Vector<float> value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// `count` numbers, whole blocks of kBlock, times a scale.
template <class T>
void narrow_row(uint16_t* to, const T* from, T scale, int64_t count) {
  if constexpr (sizeof(T) == 4)
    for (int64_t i = 0; i < count; i += kLanes<float>) {
      const Halves halves = to_halves(load(from + i) * scale);
      std::memcpy(to + i, &halves, sizeof halves);
    }
  else
    for (int64_t i = 0; i < count; ++i) to[i] = to_half(float(from[i] * scale));
}
template <class T>
void widen_row(T* to, const uint16_t* from, T scale, int64_t count) {
  if constexpr (sizeof(T) == 4)
    for (int64_t i = 0; i < count; i += kLanes<float>) {
      Halves halves;
      std::memcpy(&halves, from + i, sizeof halves);
      store(to + i, from_halves(halves) * scale);
    }
  else
    for (int64_t i = 0; i < count; ++i) to[i] = T(from_half(from[i])) * scale;
}

}  // namespace SEISFAST_LEVEL
}  // namespace seisfast
