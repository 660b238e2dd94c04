// Owns the phases of the plain engine that couple a wave and its derivative along tangents (cpu_tangent.h has the
// equations). All run on the second of the two.
#pragma once
#include "acoustic/plain_phase.h"

namespace seisfast {
inline namespace SEISFAST_LEVEL {
namespace plain {

// u'[n + 1] gains C' L u[n], transposed: mu'[n] gains C' L^T mu[n + 1].
template <class T>
struct Scatter : Phase<T> {
  bool transposed;

  SEISFAST_HD void operator()(int i, int job) const {
    const Acoustic<T>& p = this->p;
    const int row = p.grid.row(), iz = i / row, ix = i % row;
    if (ix >= p.grid.nx_p()) return;
    const Fields<T> f = this->at(job);
    const bool kept = this->layout.segment && !transposed;
    const T* laplacian = kept ? this->in_segment(job, false) : this->scratch(job);
    T& to = transposed ? f.later[i] : f.previous[i];
    to = fma(this->strength_tangent_at(job, iz, ix), laplacian[i], to);
  }
};

// The derivative of L u[n] mu[n + 1] has two terms: here L u'[n] mu[n + 1], the other is the image of mu'.
template <class T>
struct Correlate : Phase<T> {
  SEISFAST_HD void operator()(int i, int job) const {
    const Fields<T> f = this->at(job);
    T& sum = f.sums.grad[i];
    sum = fma(this->in_segment(job, true)[i], this->first_wave(job).mu[i], sum);
  }
};

}  // namespace plain
}  // namespace SEISFAST_LEVEL
}  // namespace seisfast
