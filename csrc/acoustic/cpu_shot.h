// Owns the runs of one shot on the CPU, forward and transposed: what follows what in a band, and what is kept.
#pragma once
#include "acoustic/cpu.h"
#include "acoustic/cpu_backward.h"
#include "acoustic/cpu_forward.h"
#include "acoustic/cpu_half.h"
#include "acoustic/cpu_sweep.h"
#include "acoustic/gradient.h"
#include "common/cpu_level.h"

namespace seisfast {
inline namespace SEISFAST_LEVEL {

// A wave in its medium, and what it leaves behind.
template <class T, int R>
class Shot : public CpuShot {
 public:
  Shot(const Acoustic<T>& params, int job, T* workspace, bool tangent = false)
      : p(params), g(params.grid), job(job), arena(workspace), m(params, job, arena, tangent), wave(m, arena),
        scratch(p.half ? arena.take(g.cells() * p.channels()) : nullptr) {}

  int64_t workspace() const override { return arena.used; }
  int parts() const override { return cut(true).parts; }
  // With two parts or more each, one of which can go on while the other's neighbour is waited for.
  int most_members() const override { return parts() > 1 ? parts() / 2 : 1; }
  void run(Crew& crew, int member, int members, int depth) override {
    Slab slab(cut(members > 1), p.sponge, depth > 0 ? depth : fitting(), crew, member, members);
    slab.sweep(1, [this](int, int band) { prepare(band); });
    run(slab);
  }

 protected:
  // A band of everything that must be there before the first step.
  virtual void prepare(int band) { m.prepare(m.band(band)), wave.clear(m.band(band)); }
  virtual void run(Slab& slab) = 0;  // the share of one thread

  bool keeps(int n) const { return p.keep == Keep::steps && n % p.every == 0; }

  void advance(int n, int band, const Slab& slab) {
    const bool kept = keeps(n);
    advance(n, band, slab, kept ? kept_step(n, 0) : nullptr, kept && p.vmin_gradient ? kept_step(n, 1) : nullptr);
  }

  // u[n] -> u[n + 1] with its injection.
  void advance(int n, int band, const Slab& slab, T* kept, T* change) {
    const Span rows = m.band(band);
    Forward<T, R>{m, wave}.advance_band(n, rows, slab.ahead(rows, R), kept, change);
    T* next = wave.field[(n + 1) & 1];
    for (const int* s = m.sources.begin(band); s != m.sources.end(band); ++s) {
      const int64_t at = m.source(*s);
      next[at] = fma(m.w[at], m.pulse(*s)[n], next[at]);
    }
    wave.wrap(n + 1, rows);
  }

  void record(const Wave<T, R>& heard, int n, int band) const {
    const T* u = heard.field[(n + 1) & 1];
    T* to = p.data + (int64_t(job) * p.nt + n) * p.receivers;
    for (const int* r = m.receivers.begin(band); r != m.receivers.end(band); ++r) to[*r] = u[m.receiver(*r)];
  }

  // The model's cells of a band of u[n + 1], among the snapshots.
  void show(int n, int band) const {
    const Span rows = m.band(band).within({g.top, m.nz - g.bottom});
    T* to = p.fields + p.shown(job, n);
    for (int iz = rows.begin; iz < rows.end; ++iz)
      std::memcpy(to + int64_t(iz - g.top) * g.nx, wave.field[(n + 1) & 1] + int64_t(iz) * m.stride + g.left,
                  size_t(g.nx) * sizeof(T));
  }

  // -- what the forward run keeps -------------------------------------------------------------------------------------

  int64_t kept_index(int n, int channel) const {
    return (int64_t(job) * p.kept_steps() + n / p.every) * p.channels() + channel;
  }
  // Where step n's channel lies as T: in the kept array, or in scratch when that is float16.
  T* kept_step(int n, int channel) const {
    return p.half ? scratch + channel * g.cells() : static_cast<T*>(p.kept) + kept_index(n, channel) * g.cells();
  }

  void compress(int n) const {
    for (int c = 0; c < p.channels(); ++c) {
      const T* from = scratch + c * g.cells();
      uint16_t* to = static_cast<uint16_t*>(p.kept) + kept_index(n, c) * g.cells();
      T largest = 0;
      for (int iz = 0; iz < m.nz; ++iz) largest = largest_magnitude(from + int64_t(iz) * m.row, m.nx, largest);
      const T scale = half_scale(largest);
      p.scales[kept_index(n, c)] = scale;
      narrow_row(to, from, scale, g.cells());
    }
  }

  T* checkpoint(int s) const { return p.checkpoints + (int64_t(job) * p.segments() + s) * p.state(); }

  // Between a band of a wave at step n and a stored state: move(in the wave, in the state, elements), row by row.
  template <class Move>
  void move_state(const Wave<T, R>& f, int n, int band, T* state, Move move) const {
    const int64_t sides = p.side_cells(), layers = p.layer_cells(), cells = g.cells();
    const int width = g.left + g.right;
    T *psi_x = state + 2 * cells, *zeta_x = psi_x + sides, *psi_z = zeta_x + sides, *zeta_z = psi_z + layers;
    const Span rows = m.band(band);
    for (int iz = rows.begin; iz < rows.end; ++iz) {
      const int64_t at = int64_t(iz) * m.stride;
      move(f.field[n & 1] + at, state + int64_t(iz) * m.row, m.row);
      move(f.field[(n + 1) & 1] + at, state + cells + int64_t(iz) * m.row, m.row);
      for (int c = 0; c < m.columns.count; ++c) {
        T *psi = f.along_x(0, c, iz), *zeta = f.along_x(1, c, iz);
        if (m.columns.span[c].holds(0) && g.left) {
          move(psi, psi_x + int64_t(iz) * width, g.left);
          move(zeta, zeta_x + int64_t(iz) * width, g.left);
        }
        if (m.columns.span[c].holds(m.nx - 1) && g.right) {
          move(psi + m.nx - g.right, psi_x + int64_t(iz) * width + g.left, g.right);
          move(zeta + m.nx - g.right, zeta_x + int64_t(iz) * width + g.left, g.right);
        }
      }
      const int layer = iz < g.top ? iz : iz >= m.nz - g.bottom ? iz - (m.nz - g.bottom) + g.top : -1;
      for (int r = 0; r < m.rows.count && layer >= 0; ++r)
        if (m.rows.span[r].holds(iz)) {
          move(f.along_z(0, r, iz), psi_z + int64_t(layer) * m.row, m.row);
          move(f.along_z(1, r, iz), zeta_z + int64_t(layer) * m.row, m.row);
        }
    }
  }
  struct Save {
    void operator()(const T* wave, T* state, int n) const { std::memcpy(state, wave, size_t(n) * sizeof(T)); }
  };
  struct Load {
    void operator()(T* wave, const T* state, int n) const { std::memcpy(wave, state, size_t(n) * sizeof(T)); }
  };

  // A band of the gradient's sums.
  void clear_sums(T* begin, int band) const {
    const GradientSums<T> sum = gradient_sums(p, begin);
    const Span rows = m.band(band);
    const size_t bytes = size_t(rows.size()) * size_t(m.row) * sizeof(T);
    std::memset(sum.grad + int64_t(rows.begin) * m.row, 0, bytes);
    if (p.vmin_gradient) std::memset(sum.damping + int64_t(rows.begin) * m.row, 0, bytes);
    for (const int* s = m.sources.begin(band); s != m.sources.end(band); ++s) sum.sources[*s] = 0;
  }

  // Steps that a thread takes on a band before it goes on: more than one where the fields outgrow the cache.
  virtual int fitting() const = 0;
  int fitting_with(int fields) const {
    const int64_t band = int64_t(kBand) * m.stride * fields * int64_t(sizeof(T)), fitting = second_level_cache() / band;
    return fitting >= m.bands || fitting < 1 ? 1 : fitting < 4 ? int(fitting) : 4;
  }
  // Parts meet where no recursion of z runs. A sponge has none.
  Cut cut(bool shared) const {
    return {m.nz, m.bands, p.sponge ? Span{0, m.nz} : Span{g.top + R, m.nz - g.bottom - R}, shared};
  }

  // From the last checkpoint to the first: load(s, band), its steps forth(n, band) and the same back(n, band).
  template <class Load, class Forth, class Back>
  void retreat_from_checkpoints(Slab& slab, Load load, Forth forth, Back back) const {
    for (int s = p.segments() - 1; s >= 0; --s) {
      const int begin = s * p.segment, end = begin + p.segment < p.nt ? begin + p.segment : p.nt;
      slab.sweep(1, [&](int, int band) { load(s, band); });
      slab.sweep(end - begin, [&](int i, int band) { forth(begin + i, band); });
      slab.sweep(end - begin, [&](int i, int band) { back(end - 1 - i, band); });
    }
  }

  // The launcher of phases over a gradient's cells (gradient.h): one after the other, here.
  auto serially() const {
    return [job = job](int64_t count, int, int, auto phase) {
      for (int i = 0; i < int(count); ++i) phase(i, job);
    };
  }

  const Acoustic<T> p;
  const Grid g;
  const int job;
  Arena<T> arena;
  const Medium<T, R> m;
  const Wave<T, R> wave;
  T* const scratch;  // a kept step of T, where it is stored as float16
};

template <class T, int R>
class ForwardShot : public Shot<T, R> {
  using Base = Shot<T, R>;
  using Base::move_state, Base::p, Base::wave;
  using typename Base::Save;

 public:
  using Base::Base;
  // Float16 steps are scaled by their largest value, which is known after the whole step.
  int most_members() const override { return p.half ? 1 : Base::most_members(); }
  void finish() override {}

 private:
  int fitting() const override { return this->fitting_with(3); }
  void run(Slab& slab) override {
    if (p.keep == Keep::checkpoints)
      slab.sweep(1, [&](int, int band) { move_state(wave, 0, band, this->checkpoint(0), Save{}); });
    for (int n = 0, steps; n < p.nt; n += steps) {
      steps = p.half ? 1 : p.nt;
      slab.sweep(steps, [&](int i, int band) { step(n + i, band, slab); });
      if (this->keeps(n) && p.half) this->compress(n);
    }
  }
  void step(int n, int band, const Slab& slab) {
    this->advance(n, band, slab);
    this->record(wave, n, band);
    if (p.shows(n)) this->show(n, band);
    const int next = n + 1;
    if (p.keep == Keep::checkpoints && next % p.segment == 0 && next < p.nt)
      move_state(wave, next, band, this->checkpoint(next / p.segment), Save{});
  }
};

// The transpose: mu backwards in time against what the forward run kept or recomputes.
template <class T, int R>
class AdjointShot : public Shot<T, R> {
  using Base = Shot<T, R>;
  using Base::arena, Base::g, Base::job, Base::kept_index, Base::m, Base::move_state, Base::p, Base::scratch,
      Base::wave;
  using typename Base::Load;

 public:
  AdjointShot(const Acoustic<T>& params, int job, T* workspace)
      : Base(params, job, workspace), mu(m, arena), sums(arena.take(gradient_size(p))),
        segment(p.keep == Keep::checkpoints ? arena.take(p.segment * per_step()) : nullptr) {}

  void finish() override { finish_gradient(p, sums, 0, this->serially()); }

 private:
  int fitting() const override { return this->fitting_with(5); }
  void prepare(int band) override {
    Base::prepare(band);
    mu.clear(m.band(band));
    this->clear_sums(sums, band);
  }
  void run(Slab& slab) override {
    slab.sweep(1, [&](int, int band) { add_residual(p.nt - 1, band); });
    if (p.keep != Keep::checkpoints)
      return slab.sweep(p.nt, [&](int i, int band) {
        const int n = p.nt - 1 - i;
        const bool kept = this->keeps(n);
        if (kept && p.half) expand(n, band);
        retreat(n, band, slab, kept ? this->kept_step(n, 0) : nullptr,
                kept && p.vmin_gradient ? this->kept_step(n, 1) : nullptr);
      });
    auto kept = [&](int n) { return segment + n % p.segment * per_step(); };
    auto change = [&](int n) { return p.vmin_gradient ? kept(n) + g.cells() : nullptr; };
    this->retreat_from_checkpoints(
        slab,
        [&](int s, int band) {
          move_state(wave, s * p.segment, band, this->checkpoint(s), Load{});
          wave.wrap(s * p.segment, m.band(band));
        },
        [&](int n, int band) { this->advance(n, band, slab, kept(n), change(n)); },
        [&](int n, int band) { retreat(n, band, slab, kept(n), change(n)); });
  }

  int64_t per_step() const { return g.cells() * p.channels(); }

  // mu[n + 1] -> mu[n] with the residual of sample n - 1; the Laplacian of step n is `kept`, or null.
  void retreat(int n, int band, const Slab& slab, const T* kept, const T* change) {
    const GradientSums<T> sum = gradient_sums(p, sums);
    const T* now = mu.field[(n + 1) & 1];
    for (const int* s = m.sources.begin(band); s != m.sources.end(band); ++s) {
      const T at_source = now[m.source(*s)];
      p.grad_wavelet[(int64_t(job) * p.per_shot + *s) * p.nt + n] = at_source;
      sum.sources[*s] = fma(m.pulse(*s)[n], at_source, sum.sources[*s]);
    }
    const Span rows = m.band(band);
    Backward<T, R>{m, mu}.retreat_band(n, rows, slab.ahead(rows, 2 * R), slab.ahead(rows, R),
                                       {kept, sum.grad, change, sum.damping});
    if (n > 0) add_residual(n - 1, band);
  }

  // The residual of sample n, into mu[n + 1].
  void add_residual(int n, int band) {
    const T* residual = p.grad_data + (int64_t(job) * p.nt + n) * p.receivers;
    T* at = mu.field[(n + 1) & 1];
    for (const int* r = m.receivers.begin(band); r != m.receivers.end(band); ++r) {
      const int64_t cell = m.receiver(*r);
      at[cell] = fma(m.w[cell], residual[*r], at[cell]);
    }
    mu.wrap(n + 1, m.band(band));
  }

  // A band of a float16 step, into scratch.
  void expand(int n, int band) const {
    const Span rows = m.band(band);
    for (int c = 0; c < p.channels(); ++c) {
      const uint16_t* from = static_cast<const uint16_t*>(p.kept) + kept_index(n, c) * g.cells();
      const T scale = p.scales[kept_index(n, c)], inverse = scale > 0 ? T(1) / scale : T(0);
      const int64_t first = int64_t(rows.begin) * m.row;
      widen_row(scratch + c * g.cells() + first, from + first, inverse, int64_t(rows.size()) * m.row);
    }
  }

  const Wave<T, R> mu;
  T* const sums;
  T* const segment;  // Laplacians between two checkpoints
};

}  // namespace SEISFAST_LEVEL
}  // namespace seisfast
