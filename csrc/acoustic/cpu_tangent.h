// Owns the runs of one shot along tangents on the CPU: Born modelling, and the derivative of the transpose.
//
// With C = (v dt)^2, its tangent C' and ' for every derivative along the tangents,
//   u'[n+1]  = 2 u'[n] - u'[n-1] + C L u'[n] + C' L u[n]            + C s' + C' s       at the sources
//   mu'[n]   = 2 mu'[n+1] - mu'[n+2] + C L^T mu'[n+1] + C' L^T mu[n+1] + C g' + C' g   at the receivers
// and the sum of L u mu, of which the gradient is 2 / v, has the derivative of a product. Each pair of waves runs side by
// side. The sponge's damping counts as constant.
#pragma once
#include "acoustic/cpu_shot.h"

namespace seisfast {
inline namespace SEISFAST_LEVEL {

// u and u'.
template <class T, int R>
class TangentShot : public Shot<T, R> {
  using Base = Shot<T, R>;

 public:
  TangentShot(const Acoustic<T>& params, int job, T* workspace)
      : Base(params, job, workspace, true), wave_t(this->m, this->arena) {}

 protected:
  void prepare(int band) override {
    Base::prepare(band);
    wave_t.clear(this->m.band(band));
  }

  // Both one step on; the Laplacians go to `kept` and, where given, `kept_t`.
  void advance_both(int n, int band, const Slab& slab, T* kept, T* kept_t) {
    const Medium<T, R>& m = this->m;
    this->advance(n, band, slab, kept, nullptr);
    const Span rows = m.band(band);
    Forward<T, R>{m, wave_t}.advance_band(n, rows, slab.ahead(rows, R), kept_t, nullptr);
    scatter(kept, wave_t.field[(n + 1) & 1], rows);
    T* next = wave_t.field[(n + 1) & 1];
    for (const int* s = m.sources.begin(band); s != m.sources.end(band); ++s) {
      const int64_t at = m.source(*s);
      next[at] = fma(m.w_t[at], m.pulse(*s)[n], fma(m.w[at], m.pulse_t(*s)[n], next[at]));
    }
    wave_t.wrap(n + 1, rows);
  }

  // `field` gains C' times the Laplacian, [nz, row].
  void scatter(const T* laplacian, T* field, Span rows) const {
    const Medium<T, R>& m = this->m;
    for (int iz = rows.begin < m.first_row ? m.first_row : rows.begin; iz < rows.end; ++iz) {
      const T *from = laplacian + int64_t(iz) * m.row, *w_t = m.w_t + int64_t(iz) * m.stride;
      T* to = field + int64_t(iz) * m.stride;
      for (int ix = 0; ix < m.row; ix += kLanes<T>) store(to + ix, fma(load(w_t + ix), load(from + ix), load(to + ix)));
    }
  }

  const Wave<T, R> wave_t;
};

// Records of u'.
template <class T, int R>
class BornShot : public TangentShot<T, R> {
  using Base = TangentShot<T, R>;

 public:
  BornShot(const Acoustic<T>& params, int job, T* workspace)
      : Base(params, job, workspace), laplacian(this->arena.take(this->g.cells())) {}
  void finish() override {}

 private:
  int fitting() const override { return this->fitting_with(7); }
  void run(Slab& slab) override {
    slab.sweep(this->p.nt, [&](int n, int band) {
      this->advance_both(n, band, slab, laplacian, nullptr);
      this->record(this->wave_t, n, band);
    });
  }

  T* const laplacian;  // of u in the current step
};

// The derivative of the transpose. States are kept now and then, and the steps between recomputed, here: the run depends
// on nothing that a forward run kept.
template <class T, int R>
class CurvatureShot : public TangentShot<T, R> {
  using Base = TangentShot<T, R>;
  using Base::arena, Base::g, Base::job, Base::m, Base::move_state, Base::p, Base::wave, Base::wave_t;
  using typename Base::Load, typename Base::Save;

 public:
  CurvatureShot(const Acoustic<T>& params, int job, T* workspace)
      : Base(params, job, workspace), mu(m, arena), mu_t(m, arena), sums(arena.take(gradient_size(p))),
        sums_t(arena.take(gradient_size(p))), spare(arena.take(g.cells())), kept(arena.take(2 * p.segment * g.cells())),
        states(arena.take(2 * p.segments() * p.state())) {}

  void finish() override { finish_curvature(p, sums, sums_t, 0, this->serially()); }

 private:
  int fitting() const override { return this->fitting_with(10); }
  void prepare(int band) override {
    Base::prepare(band);
    mu.clear(m.band(band)), mu_t.clear(m.band(band));
    this->clear_sums(sums, band), this->clear_sums(sums_t, band);
  }

  void run(Slab& slab) override {
    const int last = (p.segments() - 1) * p.segment;
    slab.sweep(1, [&](int, int band) { move_both(0, band, Save{}); });
    slab.sweep(last, [&](int n, int band) {
      this->advance_both(n, band, slab, spare, nullptr);
      if ((n + 1) % p.segment == 0) move_both(n + 1, band, Save{});
    });
    slab.sweep(1, [&](int, int band) { add_residuals(p.nt - 1, band); });
    this->retreat_from_checkpoints(
        slab,
        [&](int s, int band) {
          move_both(s * p.segment, band, Load{});
          wave.wrap(s * p.segment, m.band(band)), wave_t.wrap(s * p.segment, m.band(band));
        },
        [&](int n, int band) { this->advance_both(n, band, slab, laplacian(n, 0), laplacian(n, 1)); },
        [&](int n, int band) { retreat_both(n, band, slab); });
  }

  // Of u (0) or u' (1) in step n of the current segment.
  T* laplacian(int n, int which) const { return kept + (2 * (n % p.segment) + which) * g.cells(); }

  template <class Move>
  void move_both(int n, int band, Move move) const {
    T* state = states + 2 * (n / p.segment) * p.state();
    move_state(wave, n, band, state, move);
    move_state(wave_t, n, band, state + p.state(), move);
  }

  // mu[n + 1] and mu'[n + 1] -> those at n, with the residuals of sample n - 1.
  void retreat_both(int n, int band, const Slab& slab) {
    const GradientSums<T> sum = gradient_sums(p, sums), sum_t = gradient_sums(p, sums_t);
    const T *now = mu.field[(n + 1) & 1], *now_t = mu_t.field[(n + 1) & 1];
    for (const int* s = m.sources.begin(band); s != m.sources.end(band); ++s) {
      const T at = now[m.source(*s)], at_t = now_t[m.source(*s)];
      p.grad_wavelet[(int64_t(job) * p.per_shot + *s) * p.nt + n] = at_t;
      sum.sources[*s] = fma(m.pulse(*s)[n], at, sum.sources[*s]);
      sum_t.sources[*s] = fma(m.pulse_t(*s)[n], at, fma(m.pulse(*s)[n], at_t, sum_t.sources[*s]));
    }
    const Span rows = m.band(band), t_rows = slab.ahead(rows, 2 * R), r_rows = slab.ahead(rows, R);
    const Backward<T, R> back{m, mu}, back_t{m, mu_t};
    back.correlate(n, rows, laplacian(n, 1), sum_t.grad);
    back.retreat_band(n, rows, t_rows, r_rows, {laplacian(n, 0), sum.grad, nullptr, nullptr, spare});
    back_t.retreat_band(n, rows, t_rows, r_rows, {laplacian(n, 0), sum_t.grad});
    this->scatter(spare, mu_t.field[n & 1], rows);
    if (n > 0) add_residuals(n - 1, band);
  }

  // Those of sample n, into mu[n + 1] and mu'[n + 1].
  void add_residuals(int n, int band) {
    const int64_t first = (int64_t(job) * p.nt + n) * p.receivers;
    T *at = mu.field[(n + 1) & 1], *at_t = mu_t.field[(n + 1) & 1];
    for (const int* r = m.receivers.begin(band); r != m.receivers.end(band); ++r) {
      const int64_t cell = m.receiver(*r);
      const T residual = p.grad_data[first + *r];
      at[cell] = fma(m.w[cell], residual, at[cell]);
      at_t[cell] = fma(m.w_t[cell], residual, fma(m.w[cell], p.grad_data_t[first + *r], at_t[cell]));
    }
    mu.wrap(n + 1, m.band(band)), mu_t.wrap(n + 1, m.band(band));
  }

  const Wave<T, R> mu, mu_t;
  T *const sums, *const sums_t;
  T* const spare;   // of the current step: L u on the way to the last checkpoint, then L^T mu
  T* const kept;    // Laplacians between two checkpoints
  T* const states;  // checkpoints of both waves
};

}  // namespace SEISFAST_LEVEL
}  // namespace seisfast
