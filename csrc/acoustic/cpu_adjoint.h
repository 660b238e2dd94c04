// Owns the transpose of one shot on the CPU: lambda backwards in time against what the forward run kept or recomputes.
#pragma once
#include "acoustic/cpu_shot.h"

namespace seisfast {
inline namespace SEISFAST_LEVEL {

template <class T, int R>
class AdjointShot : public Shot<T, R> {
 public:
  using Shot<T, R>::Shot;

  void adjoint() {
    q = field();
    lambda = field();
    later = field();
    grad = plain_field();
    if (p.vmin_gradient) grad_damping = plain_field();
    if (!p.sponge) {
      m_z = field();
      m_x = field();
      p_z = field();
      p_x = field();
    }
    T* grad_source = line_of(p.per_shot);
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
          step_back(n, kept, p.vmin_gradient ? kept + g.cells() : nullptr, grad_source);
        }
      }
    } else {
      scratch = p.half ? next : nullptr;
      for (int n = p.nt - 1; n >= 0; --n) {
        const bool kept = p.keep == Keep::steps && n % p.every == 0;
        if (kept && p.half) expand(n);
        step_back(n, kept ? kept_step(n, 0) : nullptr, kept && p.vmin_gradient ? kept_step(n, 1) : nullptr,
                  grad_source);
      }
    }
    finish(grad_source);
  }

 private:
  // -- adjoint --------------------------------------------------------------------------------------------------------

  // lambda[n + 1] (complete but for the residual of sample n) -> lambda[n]; the Laplacian of step n is `kept`, or null.
  void step_back(int n, const T* kept, const T* change, T* grad_source) {
    const T* residual = p.grad_data + (int64_t(job) * p.nt + n) * p.receivers;
    for (int r = 0; r < p.receivers; ++r) lambda[receiver(r)] += residual[r];
    for (int s = 0; s < p.per_shot; ++s) {
      const T at_source = lambda[source(s)];
      p.grad_wavelet[(int64_t(job) * p.per_shot + s) * p.nt + n] = w[source(s)] * at_source;
      grad_source[s] = fma(pulse(s)[n], at_source, grad_source[s]);
    }
    for (int iz = first_row; iz < nz; ++iz) {
      image_row(iz, kept, change);
      if (p.sponge) continue;
      if (in_layer(iz)) m_row(iz);
      for (int i = 0; i < span_count; ++i) side_m_row(iz, spans[i]);
    }
    fill_ghosts(q);
    if (!p.sponge)
      for (int iz = first_row; iz < nz; ++iz)
        if (in_layer(iz)) p_row(iz);
    for (int iz = first_row; iz < nz; ++iz) {
      const bool whole = near_layer(iz);
      if (whole) layer_row_transposed(iz);
      for (int i = 0; i < span_count; ++i) side_row_transposed(iz, spans[i], whole);
      retreat_row(iz, whole);
    }
    T* swap = later;
    later = lambda;
    lambda = swap;
  }

  // q = (v dt)^2 lambda and the correlation with what the forward run kept.
  void image_row(int iz, const T* kept, const T* change) {
    const T *wr = w + iz * stride, *lr = lambda + iz * stride;
    T *qr = q + iz * stride, *gr = grad + int64_t(iz) * row;
    if (kept) {
      const T* kr = kept + int64_t(iz) * row;
#pragma GCC ivdep
      for (int ix = 0; ix < row; ++ix) {
        qr[ix] = wr[ix] * lr[ix];
        gr[ix] = fma(kr[ix], lr[ix], gr[ix]);
      }
    } else {
#pragma GCC ivdep
      for (int ix = 0; ix < row; ++ix) qr[ix] = wr[ix] * lr[ix];
    }
    if (change) {
      const T* cr = change + int64_t(iz) * row;
      T* dr = grad_damping + int64_t(iz) * row;
#pragma GCC ivdep
      for (int ix = 0; ix < row; ++ix) dr[ix] = fma(cr[ix], lr[ix], dr[ix]);
    }
  }

  void m_row(int iz) {
    const T *qr = q + iz * stride, b = bz[iz];
    T* m = m_z + iz * stride;
#pragma GCC ivdep
    for (int ix = 0; ix < row; ++ix) m[ix] = next_m(b, m[ix], qr[ix]);
  }

  void p_row(int iz) {
    const T *qr = q + iz * stride, *m = m_z + iz * stride, *a = az + iz, b = bz[iz];
    T* pr = p_z + iz * stride;
    const int s = stride;
#pragma GCC ivdep
    for (int ix = 0; ix < row; ++ix)
      pr[ix] = next_p<R>(
          k.d1z, b, pr[ix], [=](int i) { return qr[ix + i * s]; }, [=](int i) { return m[ix + i * s]; },
          [=](int i) { return a[i]; });
  }

  void side_m_row(int iz, Span span) {
    const T *qr = q + iz * stride, *a = ax, *b = bx;
    T *m = m_x + iz * stride, *pr = p_x + iz * stride;
#pragma GCC ivdep
    for (int ix = span.begin; ix < span.end; ++ix) m[ix] = next_m(b[ix], m[ix], qr[ix]);
#pragma GCC ivdep
    for (int ix = span.begin; ix < span.end; ++ix)
      pr[ix] = next_p<R>(
          k.d1x, b[ix], pr[ix], [=](int i) { return qr[ix + i]; }, [=](int i) { return m[ix + i]; },
          [=](int i) { return a[ix + i]; });
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
    const T *m = m_x + iz * stride, *pr = p_x + iz * stride, *a = ax;
    T* e = extra;
    if (!add) clear(e + span.begin, span.end - span.begin);
#pragma GCC ivdep
    for (int ix = span.begin; ix < span.end; ++ix)
      e[ix] += layer_transposed<R>(
          k.d1x, k.d2x, [=](int i) { return m[ix + i]; }, [=](int i) { return pr[ix + i]; },
          [=](int i) { return a[ix + i]; });
  }

  void retreat_row(int iz, bool whole) {
    int from = 0;
    for (int i = 0; i < span_count && !whole; ++i) {
      retreat_span<false>(iz, {from, spans[i].begin});
      retreat_span<true>(iz, spans[i]);
      from = spans[i].end;
    }
    if (whole)
      retreat_span<true>(iz, {0, row});
    else
      retreat_span<false>(iz, {from, row});
  }

  template <bool with_extra>
  void retreat_span(int iz, Span span) {
    const T *qr = q + iz * stride, *lr = lambda + iz * stride, *e = extra, *dr = damping + (p.sponge ? iz * stride : 0);
    T* out = later + iz * stride;
    const int s = stride, end = span.end < nx ? span.end : nx;
    const bool damped = p.sponge;
    if (damped) {
#pragma GCC ivdep
      for (int ix = span.begin; ix < end; ++ix) {
        const T sum = laplacian<R>(k, [=](int i) { return qr[ix + i * s]; }, [=](int i) { return qr[ix + i]; });
        out[ix] = advance_damped(lr[ix], out[ix], dr[ix], T(1), sum);
      }
      return;
    }
#pragma GCC ivdep
    for (int ix = span.begin; ix < span.end; ++ix) {
      T sum = laplacian<R>(k, [=](int i) { return qr[ix + i * s]; }, [=](int i) { return qr[ix + i]; });
      if (with_extra) sum += e[ix];
      out[ix] = advance(lr[ix], out[ix], T(1), sum);
    }
  }

  // From the gradient of (v dt)^2 on the grid to that of v on the model; the injected amplitudes depend on v as well.
  void finish(const T* grad_source) {
    for (int64_t i = 0; p.every > 1 && i < g.cells(); ++i) grad[i] *= T(p.every);
    for (int s = 0; s < p.per_shot; ++s) {
      const int64_t at = source(s);
      grad[at / stride * row + at % stride] += grad_source[s];
    }
    const T* v = p.velocity + int64_t(model) * g.nz * g.nx;
    T* out = p.grad_velocity + int64_t(job) * g.nz * g.nx;
    for (int iz = 0; iz < g.nz; ++iz)
      for (int ix = 0; ix < g.nx; ++ix) {
        const T sum = fold_padding<T>(g, iz, ix, [&](int z, int x) { return grad[int64_t(z) * row + x]; });
        out[iz * g.nx + ix] = T(2) * p.dt * (v[iz * g.nx + ix] * p.dt) * sum;
      }
    if (!p.vmin_gradient) return;
    double total = 0;
    for (int iz = 0; iz < nz; ++iz)
      for (int ix = 0; ix < nx; ++ix) total -= double(base(iz, ix)) * double(grad_damping[int64_t(iz) * row + ix]);
    p.grad_slowest[job] = T(total * p.every);
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
  using Shot<T, R>::model;
  using Shot<T, R>::row;
  using Shot<T, R>::stride;
  using Shot<T, R>::nz;
  using Shot<T, R>::nx;
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
  using Shot<T, R>::damping;
  using Shot<T, R>::field;
  using Shot<T, R>::plain_field;
  using Shot<T, R>::line_of;
  using Shot<T, R>::base;
  using Shot<T, R>::in_layer;
  using Shot<T, R>::near_layer;
  using Shot<T, R>::receiver;
  using Shot<T, R>::source;
  using Shot<T, R>::pulse;
  using Shot<T, R>::step;
  using Shot<T, R>::fill_ghosts;
  using Shot<T, R>::kept_index;
  using Shot<T, R>::kept_step;
  using Shot<T, R>::checkpoint;
  using Shot<T, R>::visit_state;
  using Shot<T, R>::clear;

  T *q = nullptr, *lambda = nullptr, *later = nullptr, *grad = nullptr, *grad_damping = nullptr;
  T *m_z = nullptr, *m_x = nullptr, *p_z = nullptr, *p_x = nullptr;
};

}  // namespace SEISFAST_LEVEL
}  // namespace seisfast
