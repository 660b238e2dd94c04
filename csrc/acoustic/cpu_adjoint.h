// Owns the transpose of one shot on the CPU: mu (absorbing.h) backwards in time against what the forward run kept or
// recomputes.
#pragma once
#include "acoustic/cpu_shot.h"
#include "acoustic/gradient.h"

namespace seisfast {
inline namespace SEISFAST_LEVEL {

template <class T, int R>
class AdjointShot : public Shot<T, R> {
 public:
  using Shot<T, R>::Shot;

  void adjoint() {
    sums = gradient_sums(p, take((gradient_size(p) + kBlock - 1) / kBlock * kBlock));
    mu = field();
    later = field();
    if (!p.sponge) {
      m_z = field();
      m_x = field();
      p_z = field();
      p_x = field();
    }
    if (p.keep == Keep::checkpoints) {
      T* laplacians = next;
      const int64_t per_step = g.cells() * p.channels();
      for (int s = p.segments() - 1; s >= 0; --s) {
        const int begin = s * p.segment, end = begin + p.segment < p.nt ? begin + p.segment : p.nt;
        load(checkpoint(s));
        for (int n = begin; n < end; ++n) {
          T* kept = laplacians + (n - begin) * per_step;
          step(n, kept, p.vmin_gradient ? kept + g.cells() : nullptr);
        }
        for (int n = end - 1; n >= begin; --n) {
          const T* kept = laplacians + (n - begin) * per_step;
          step_back(n, kept, p.vmin_gradient ? kept + g.cells() : nullptr);
        }
      }
    } else {
      scratch = p.half ? next : nullptr;
      for (int n = p.nt - 1; n >= 0; --n) {
        const bool kept = p.keep == Keep::steps && n % p.every == 0;
        if (kept && p.half) expand(n);
        step_back(n, kept ? kept_step(n, 0) : nullptr, kept && p.vmin_gradient ? kept_step(n, 1) : nullptr);
      }
    }
    // One job, its phases in the order of their elements.
    finish_gradient(p, sums.grad, 0, [this](int count, int, int, auto phase) {
      for (int i = 0; i < count; ++i) phase(i, job);
    });
  }

 private:
  // -- adjoint --------------------------------------------------------------------------------------------------------

  // mu[n + 1] (complete but for the residual of sample n) -> mu[n]; the Laplacian of step n is `kept`, or null.
  void step_back(int n, const T* kept, const T* change) {
    const T* residual = p.grad_data + (int64_t(job) * p.nt + n) * p.receivers;
    for (int r = 0; r < p.receivers; ++r) mu[receiver(r)] = fma(w[receiver(r)], residual[r], mu[receiver(r)]);
    for (int s = 0; s < p.per_shot; ++s) {
      const T at_source = mu[source(s)];
      p.grad_wavelet[(int64_t(job) * p.per_shot + s) * p.nt + n] = at_source;
      sums.sources[s] = fma(pulse(s)[n], at_source, sums.sources[s]);
    }
    fill_ghosts(mu);
    if (!p.sponge) {
      for (int iz = first_row; iz < nz; ++iz)
        if (in_layer(iz)) m_row(iz);
      for (int iz = first_row; iz < nz; ++iz)
        if (in_layer(iz)) p_row(iz);
    }
    for (int iz = first_row; iz < nz; ++iz) {
      if (kept) image_row(iz, kept, sums.grad);
      if (change) image_row(iz, change, sums.damping);
      const bool whole = near_layer(iz);
      if (whole) layer_row_transposed(iz);
      for (int i = 0; i < span_count; ++i) side_row_transposed(iz, spans[i], whole);
      advance_row(iz, mu, later, whole, nullptr);
    }
    T* swap = later;
    later = mu;
    mu = swap;
  }

  // The correlation with what the forward run kept.
  void image_row(int iz, const T* kept, T* sum) {
    const T *ur = mu + iz * stride, *kr = kept + int64_t(iz) * row;
    T* out = sum + int64_t(iz) * row;
#pragma GCC ivdep
    for (int ix = 0; ix < row; ++ix) out[ix] = fma(kr[ix], ur[ix], out[ix]);
  }

  void m_row(int iz) {
    const T *ur = mu + iz * stride, b = bz[iz];
    T* m = m_z + iz * stride;
#pragma GCC ivdep
    for (int ix = 0; ix < row; ++ix) m[ix] = next_m(b, m[ix], ur[ix]);
  }

  void p_row(int iz) {
    const T *ur = mu + iz * stride, *m = m_z + iz * stride, *a = az + iz, b = bz[iz];
    T* pr = p_z + iz * stride;
    const int s = stride;
#pragma GCC ivdep
    for (int ix = 0; ix < row; ++ix)
      pr[ix] = next_p<R>(
          k.d1z, b, pr[ix], [=](int i) { return ur[ix + i * s]; }, [=](int i) { return m[ix + i * s]; },
          [=](int i) { return a[i]; });
  }

  void layer_row_transposed(int iz) {
    const T *m = m_z + iz * stride, *pr = p_z + iz * stride, *a = az + iz;
    T* e = extra;
    const int s = stride;
#pragma GCC ivdep
    for (int ix = 0; ix < row; ++ix)
      e[ix] = layer_transposed<R>(
          k.d1z, k.d2z, [=](int i) { return m[ix + i * s]; }, [=](int i) { return pr[ix + i * s]; },
          [=](int i) { return a[i]; });
  }

  void side_row_transposed(int iz, Span span, bool add) {
    const T *ur = mu + iz * stride, *a = ax, *b = bx;
    T *m = m_x + iz * stride, *pr = p_x + iz * stride, *e = extra;
#pragma GCC ivdep
    for (int ix = span.begin; ix < span.end; ++ix) m[ix] = next_m(b[ix], m[ix], ur[ix]);
#pragma GCC ivdep
    for (int ix = span.begin; ix < span.end; ++ix)
      pr[ix] = next_p<R>(
          k.d1x, b[ix], pr[ix], [=](int i) { return ur[ix + i]; }, [=](int i) { return m[ix + i]; },
          [=](int i) { return a[ix + i]; });
    if (!add) clear(e + span.begin, span.end - span.begin);
#pragma GCC ivdep
    for (int ix = span.begin; ix < span.end; ++ix)
      e[ix] += layer_transposed<R>(
          k.d1x, k.d2x, [=](int i) { return m[ix + i]; }, [=](int i) { return pr[ix + i]; },
          [=](int i) { return a[ix + i]; });
  }

  // -- what the forward run kept ---------------------------------------------------------------------------------------

  void expand(int n) const {
    for (int c = 0; c < p.channels(); ++c) {
      const uint16_t* from = static_cast<const uint16_t*>(p.kept) + kept_index(n, c) * g.cells();
      T* to = scratch + c * g.cells();
      const T scale = p.scales[kept_index(n, c)], inverse = scale > 0 ? T(1) / scale : T(0);
      for (int64_t i = 0; i < g.cells(); ++i) to[i] = T(from_half(from[i])) * inverse;
    }
  }

  void load(const T* from) {
    visit_state([&](T* to, int n) {
      for (int i = 0; i < n; ++i) to[i] = from[i];
      from += n;
    });
  }

  using Shot<T, R>::p;
  using Shot<T, R>::g;
  using Shot<T, R>::k;
  using Shot<T, R>::job;
  using Shot<T, R>::row;
  using Shot<T, R>::stride;
  using Shot<T, R>::nz;
  using Shot<T, R>::next;
  using Shot<T, R>::first_row;
  using Shot<T, R>::spans;
  using Shot<T, R>::span_count;
  using Shot<T, R>::w;
  using Shot<T, R>::extra;
  using Shot<T, R>::ax;
  using Shot<T, R>::bx;
  using Shot<T, R>::az;
  using Shot<T, R>::bz;
  using Shot<T, R>::scratch;
  using Shot<T, R>::field;
  using Shot<T, R>::take;
  using Shot<T, R>::in_layer;
  using Shot<T, R>::near_layer;
  using Shot<T, R>::receiver;
  using Shot<T, R>::source;
  using Shot<T, R>::pulse;
  using Shot<T, R>::step;
  using Shot<T, R>::advance_row;
  using Shot<T, R>::fill_ghosts;
  using Shot<T, R>::kept_index;
  using Shot<T, R>::kept_step;
  using Shot<T, R>::checkpoint;
  using Shot<T, R>::visit_state;
  using Shot<T, R>::clear;

  GradientSums<T> sums{};
  T *mu = nullptr, *later = nullptr;
  T *m_z = nullptr, *m_x = nullptr, *p_z = nullptr, *p_x = nullptr;
};

}  // namespace SEISFAST_LEVEL
}  // namespace seisfast
