// Owns count, mean and squared deviations of a set of values, robust where the mean is far larger than the spread.
//
// Values join one by one (Welford), sets join by Chan's formula. The result depends on the order in which they do, in
// its last bits: who wants the same bits twice keeps one order.
#pragma once
#include "common/portable.h"

namespace seisfast {
inline namespace SEISFAST_LEVEL {

template <class A>
struct Moments {
  A count, mean, m2;  // m2: sum of (value - mean)^2; an empty set is all zeros

  SEISFAST_HD void add(A value) {
    count += A(1);
    const A away = value - mean;
    mean += away / count;
    m2 = fma(away, value - mean, m2);
  }

  SEISFAST_HD void merge(const Moments& other) {
    if (other.count == A(0)) return;
    if (count == A(0)) {
      *this = other;
      return;
    }
    const A total = count + other.count, away = other.mean - mean, part = other.count / total;
    mean = fma(away, part, mean);
    m2 = fma(away * part, away * count, m2 + other.m2);
    count = total;
  }

  SEISFAST_HD A variance() const { return m2 / count; }  // biased
};

// W sets that grow at the same pace, so that one division serves them all.
template <class A, int W>
struct MomentsRow {
  A count = A(0), mean[W] = {}, m2[W] = {};

  SEISFAST_HD void add(const A (&values)[W]) {
    count += A(1);
    const A part = A(1) / count;
    SEISFAST_UNROLL
    for (int j = 0; j < W; ++j) {
      const A away = values[j] - mean[j];
      mean[j] = fma(away, part, mean[j]);
      m2[j] = fma(away, values[j] - mean[j], m2[j]);
    }
  }

  SEISFAST_HD Moments<A> set(int j) const { return {count, mean[j], m2[j]}; }

  // All of them as one set: pairs of equal size, which need no division. W is a power of two.
  SEISFAST_HD Moments<A> all() const {
    MomentsRow sum = *this;
    SEISFAST_UNROLL
    for (int half = W / 2; half > 0; half /= 2) {
      SEISFAST_UNROLL
      for (int j = 0; j < W / 2; ++j) {
        if (j >= half) continue;
        const A away = sum.mean[j + half] - sum.mean[j];
        sum.mean[j] = fma(away, A(0.5), sum.mean[j]);
        sum.m2[j] = fma(away * A(0.5), away * sum.count, sum.m2[j] + sum.m2[j + half]);
      }
      sum.count += sum.count;
    }
    return sum.set(0);
  }
};

}  // namespace SEISFAST_LEVEL
}  // namespace seisfast
