// Owns the end of every engine's adjoint: from what its steps summed up to the gradients on the model.
//
// An engine's adjoint workspace of a job begins with the sums, each at a multiple of four elements:
//   grad [nz_p, row]          sum of L mu
//   sources [per_shot]        sum of pulse mu at the source
//   damping [nz_p, row]       sum of (u[n] - u[n-1]) mu, vmin_gradient only
// mu = (v dt)^2 lambda, and d(v dt)^2 / dv = (v dt)^2 2 / v: hence 2 / v at the end.
#pragma once
#include "acoustic/place.h"

namespace seisfast {
inline namespace SEISFAST_LEVEL {

// Elements of the sums of a job.
template <class T>
SEISFAST_HD int64_t gradient_size(const Acoustic<T>& p) {
  return (p.vmin_gradient ? 2 : 1) * p.grid.cells() + align4(p.per_shot);
}

template <class T>
struct GradientSums {
  T *grad, *sources, *damping;
};

// The sums that begin at `begin`.
template <class T>
SEISFAST_HD GradientSums<T> gradient_sums(const Acoustic<T>& p, T* begin) {
  T* sources = begin + p.grid.cells();
  return {begin, sources, sources + align4(p.per_shot)};
}

// What a phase of the end knows. `sums` are those of job p.first; the next job's lie `stride` elements further.
template <class T>
struct GradientPhase : Place<T> {
  T* sums;
  int64_t stride;

  SEISFAST_HD GradientSums<T> of(int job) const {
    return gradient_sums(this->p, sums + (job - this->p.first) * stride);
  }
};

// Every k-th step was kept: each stands for k.
template <class T>
struct ScaleGradient : GradientPhase<T> {
  SEISFAST_HD void operator()(int i, int job) const { this->of(job).grad[i] *= T(this->p.every); }
};

// The injected amplitudes depend on the velocity as well.
template <class T>
struct AddSources : GradientPhase<T> {
  SEISFAST_HD void operator()(int, int job) const {
    const GradientSums<T> f = this->of(job);
    for (int s = 0; s < this->p.per_shot; ++s) f.grad[this->cell(this->source(job, s))] += f.sources[s];
  }
};

template <class T>
struct Fold : GradientPhase<T> {
  SEISFAST_HD void operator()(int i, int job) const {
    const Acoustic<T>& p = this->p;
    const int64_t cells = int64_t(p.grid.nz) * p.grid.nx;
    const T* grad = this->of(job).grad;
    const T sum = fold_padding<T>(p.grid, i / p.grid.nx, i % p.grid.nx,
                                  [&](int z, int x) { return grad[int64_t(z) * p.grid.row() + x]; });
    p.grad_velocity[job * cells + i] = T(2) / p.velocity[(job / p.shots) * cells + i] * sum;
  }
};

// The derivative of the fold along a tangent of the velocity; `sums_t` are those of the derivative.
template <class T>
struct FoldTangent : GradientPhase<T> {
  T* sums_t;

  SEISFAST_HD void operator()(int i, int job) const {
    const Acoustic<T>& p = this->p;
    const int64_t cells = int64_t(p.grid.nz) * p.grid.nx, at = job / p.shots * cells + i;
    const T *grad = this->of(job).grad, *grad_t = sums_t + (job - p.first) * this->stride;
    const T ratio = p.velocity_t[at] / p.velocity[at];
    const T sum = fold_padding<T>(p.grid, i / p.grid.nx, i % p.grid.nx, [&](int z, int x) {
      const int64_t k = int64_t(z) * p.grid.row() + x;
      return fma(-ratio, grad[k], grad_t[k]);
    });
    p.grad_velocity[job * cells + i] = T(2) / p.velocity[at] * sum;
  }
};

template <class T>
struct SlowestGradient : GradientPhase<T> {
  SEISFAST_HD void operator()(int, int job) const {
    const Acoustic<T>& p = this->p;
    const T* damping = this->of(job).damping;
    double total = 0;
    for (int iz = 0; iz < p.grid.nz_p(); ++iz)
      for (int ix = 0; ix < p.grid.nx_p(); ++ix)
        total -= double(this->base(iz, ix)) * double(damping[int64_t(iz) * p.grid.row() + ix]) /
                 double(this->strength_at(job, iz, ix));
    p.grad_slowest[job] = T(total * p.every);
  }
};

// All of them in order, for the jobs of the call. launch(count, first, jobs, phase) runs phase(i, job) for i < count
// and job in [first, first + jobs), and is a barrier.
template <class T, class Launch>
void finish_gradient(const Acoustic<T>& p, T* sums, int64_t stride, const Launch& launch) {
  const GradientPhase<T> here{{p}, sums, stride};
  if (p.every > 1) launch(p.grid.cells(), p.first, p.count, ScaleGradient<T>{here});
  launch(1, p.first, p.count, AddSources<T>{here});
  launch(int64_t(p.grid.nz) * p.grid.nx, p.first, p.count, Fold<T>{here});
  if (p.vmin_gradient) launch(1, p.first, p.count, SlowestGradient<T>{here});
}

// The same of a curvature run, which has two sets of sums.
template <class T, class Launch>
void finish_curvature(const Acoustic<T>& p, T* sums, T* sums_t, int64_t stride, const Launch& launch) {
  const GradientPhase<T> here{{p}, sums, stride};
  launch(1, p.first, p.count, AddSources<T>{here});
  launch(1, p.first, p.count, AddSources<T>{{{p}, sums_t, stride}});
  launch(int64_t(p.grid.nz) * p.grid.nx, p.first, p.count, FoldTangent<T>{here, sums_t});
}

}  // namespace SEISFAST_LEVEL
}  // namespace seisfast
