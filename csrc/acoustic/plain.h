// Owns the plain engine: every phase of a step over all cells of all shots, fields in device memory, a launch as barrier.
//
// A phase is a struct whose operator()(i, job) does the work of one thread. The driver below only says which phases follow
// each other; a launcher runs them: CUDA kernels (plain.cu), or the lockstep executor on the CPU in shuffled orders.
#pragma once
#include "acoustic/half.h"
#include "acoustic/step.h"

namespace seisfast {
inline namespace SEISFAST_LEVEL {
namespace plain {

// Workspace of one shot, in this order; the first part is laid out like a checkpoint.
template <class T>
struct Fields {
  T *u, *previous;                         // [nz_p, row]; by parity of the step
  T *psi_x, *zeta_x;                       // [nz_p, left + right]
  T *psi_z, *zeta_z;                       // [top + bottom, row]
  T *scratch, *largest;                    // half: kept step [channels, nz_p, row], its column maxima [channels, row]
  T *q, *lambda, *later, *grad, *damping;  // adjoint: [nz_p, row]
  T *m_x, *p_x, *m_z, *p_z;                // adjoint: as psi
  T* source;                               // adjoint: gradient of (v dt)^2 at the sources, [per_shot]
  T* segment;                              // adjoint from checkpoints: [segment, channels, nz_p, row]
};

template <class T>
SEISFAST_HD int64_t side_cells(const Acoustic<T>& p) {
  return p.sponge ? 0 : int64_t(p.grid.nz_p()) * (p.grid.left + p.grid.right);
}
template <class T>
SEISFAST_HD int64_t layer_cells(const Acoustic<T>& p) {
  return p.sponge ? 0 : int64_t(p.grid.row()) * (p.grid.top + p.grid.bottom);
}

template <class T>
SEISFAST_HD int64_t workspace_size(const Acoustic<T>& p, bool adjoint) {
  const int64_t cells = p.grid.cells(), strips = 2 * (side_cells(p) + layer_cells(p));
  int64_t size = p.state();
  if (!adjoint) return size + (p.half ? p.channels() * (cells + p.grid.row()) : 0);
  size += 5 * cells + strips + p.per_shot;
  return size + (p.keep == Keep::checkpoints ? p.segment * p.channels() * cells : 0);
}

// Step n reads u[n] from `u` and writes u[n + 1] over u[n - 1]; the same for lambda, backwards.
template <class T>
SEISFAST_HD Fields<T> fields(const Acoustic<T>& p, int job, int n, bool adjoint) {
  const int64_t cells = p.grid.cells(), sides = side_cells(p), layers = layer_cells(p);
  T* next = static_cast<T*>(p.workspace) + job * workspace_size(p, adjoint);
  auto take = [&](int64_t size) {
    T* begin = next;
    next += size;
    return begin;
  };
  Fields<T> f{};
  T *even = take(cells), *odd = take(cells);
  f.u = n % 2 ? odd : even;
  f.previous = n % 2 ? even : odd;
  f.psi_x = take(sides), f.zeta_x = take(sides), f.psi_z = take(layers), f.zeta_z = take(layers);
  if (!adjoint) {
    if (p.half) f.scratch = take(p.channels() * cells), f.largest = take(p.channels() * p.grid.row());
    return f;
  }
  f.q = take(cells), even = take(cells), odd = take(cells);
  f.lambda = n % 2 ? odd : even;
  f.later = n % 2 ? even : odd;
  f.grad = take(cells), f.damping = take(cells);
  f.m_x = take(sides), f.p_x = take(sides), f.m_z = take(layers), f.p_z = take(layers);
  f.source = take(p.per_shot);
  f.segment = next;
  return f;
}

// What one phase knows: the run, the step, and where it is.
template <class T>
struct Phase {
  Acoustic<T> p;
  int n;
  bool adjoint;

  SEISFAST_HD Fields<T> at(int job) const { return fields(p, job, n, adjoint); }

  // A field beyond the grid: zero, the periodic image, or the odd mirror.
  SEISFAST_HD T value(const T* f, int iz, int ix) const {
    const int nz = p.grid.nz_p(), nx = p.grid.nx_p(), row = p.grid.row();
    if (p.sponge) {
      iz += iz < 0 ? nz : iz >= nz ? -nz : 0;
      ix += ix < 0 ? nx : ix >= nx ? -nx : 0;
    } else if (ix < 0 || ix >= nx || iz >= nz) {
      return T(0);
    } else if (iz < 0) {
      return p.free_surface ? -f[int64_t(-iz) * row + ix] : T(0);
    }
    return f[int64_t(iz) * row + ix];
  }

  // Place in a strip of the layers, or -1 outside them.
  SEISFAST_HD int64_t side_index(int iz, int ix) const {
    const Grid& g = p.grid;
    const int low = g.left, high = g.nx_p() - g.right;
    if (ix < 0 || ix >= g.nx_p() || (ix >= low && ix < high)) return -1;
    return int64_t(iz) * (g.left + g.right) + (ix < low ? ix : ix - high + low);
  }
  SEISFAST_HD int64_t layer_index(int iz, int ix) const {
    const Grid& g = p.grid;
    const int low = g.top, high = g.nz_p() - g.bottom;
    if (iz < 0 || iz >= g.nz_p() || (iz >= low && iz < high)) return -1;
    return int64_t(iz < low ? iz : iz - high + low) * g.row() + ix;
  }
  SEISFAST_HD static T strip(const T* f, int64_t i) { return i < 0 ? T(0) : f[i]; }

  // Cell of a strip's element: its inverse.
  SEISFAST_HD void side_cell(int64_t i, int& iz, int& ix) const {
    const Grid& g = p.grid;
    const int width = g.left + g.right, k = int(i % width);
    iz = int(i / width);
    ix = k < g.left ? k : k - g.left + g.nx_p() - g.right;
  }
  SEISFAST_HD void layer_cell(int64_t i, int& iz, int& ix) const {
    const Grid& g = p.grid;
    const int k = int(i / g.row());
    ix = int(i % g.row());
    iz = k < g.top ? k : k - g.top + g.nz_p() - g.bottom;
  }

  // Layer coefficients, zero beyond the grid.
  SEISFAST_HD T a_z(int iz) const { return iz < 0 || iz >= p.grid.nz_p() ? T(0) : p.profile[iz]; }
  SEISFAST_HD T b_z(int iz) const { return p.profile[p.grid.nz_p() + iz]; }
  SEISFAST_HD T a_x(int ix) const { return ix < 0 || ix >= p.grid.nx_p() ? T(0) : p.profile[2 * p.grid.nz_p() + ix]; }
  SEISFAST_HD T b_x(int ix) const { return p.profile[2 * p.grid.nz_p() + p.grid.nx_p() + ix]; }

  SEISFAST_HD bool near_z(int iz) const {
    const Grid& g = p.grid;
    return !p.sponge && ((g.top && iz < g.top + p.reach()) || (g.bottom && iz >= g.nz_p() - g.bottom - p.reach()));
  }
  SEISFAST_HD bool near_x(int ix) const {
    const Grid& g = p.grid;
    return !p.sponge && ((g.left && ix < g.left + p.reach()) || (g.right && ix >= g.nx_p() - g.right - p.reach()));
  }

  SEISFAST_HD T strength_at(int job, int iz, int ix) const {
    const Grid& g = p.grid;
    const T* v = p.velocity + int64_t(job / p.shots) * g.nz * g.nx;
    if (p.free_surface && iz == 0) return T(0);
    return strength(v[int64_t(clamp_index(iz - g.top, g.nz)) * g.nx + clamp_index(ix - g.left, g.nx)], p.dt);
  }
  SEISFAST_HD T base(int iz, int ix) const {
    return sponge_base(p.grid, p.profile[iz], p.profile[p.grid.nz_p() + ix], ix);
  }
  SEISFAST_HD T damping_at(int job, int iz, int ix) const { return base(iz, ix) * p.slowest[job / p.shots]; }

  SEISFAST_HD int64_t cell(const int32_t* at) const {
    return int64_t(at[0] + p.grid.top) * p.grid.row() + at[1] + p.grid.left;
  }
  SEISFAST_HD const int32_t* receiver(int job, int r) const {
    return p.receiver_cells + (job % p.shots) * p.receiver_shot + 2 * r;
  }
  SEISFAST_HD const int32_t* source(int job, int s) const {
    return p.sources + (int64_t(job % p.shots) * p.per_shot + s) * 2;
  }
  SEISFAST_HD T pulse(int job, int s) const {
    return p.wavelet[job / p.shots * p.wavelet_model + job % p.shots * p.wavelet_shot + s * p.wavelet_source + n];
  }
  SEISFAST_HD T strength_of_source(int job, int s) const {
    const int32_t* at = source(job, s);
    return strength_at(job, at[0] + p.grid.top, at[1] + p.grid.left);
  }

  SEISFAST_HD int64_t kept_index(int job, int channel) const {
    return (int64_t(job) * p.kept_steps() + n / p.every) * p.channels() + channel;
  }
};

// psi of the strips, from u[n].
template <class T, int R>
struct Psi : Phase<T> {
  SEISFAST_HD void operator()(int i, int job) const {
    const Acoustic<T>& p = this->p;
    const Fields<T> f = this->at(job);
    int iz, ix;
    if (i < layer_cells(p)) {
      this->layer_cell(i, iz, ix);
      if (ix >= p.grid.nx_p()) return;
      f.psi_z[i] = next_psi<R>(p.weights.d1z, this->a_z(iz), this->b_z(iz), f.psi_z[i],
                               [&](int k) { return this->value(f.u, iz + k, ix); });
    } else {
      const int64_t j = i - layer_cells(p);
      this->side_cell(j, iz, ix);
      f.psi_x[j] = next_psi<R>(p.weights.d1x, this->a_x(ix), this->b_x(ix), f.psi_x[j],
                               [&](int k) { return this->value(f.u, iz, ix + k); });
    }
  }
};

// u[n + 1] without its injection; what the adjoint needs goes to `kept`, [channels, nz_p, row], when there is one.
template <class T, int R>
struct Advance : Phase<T> {
  bool keep;
  bool to_segment;  // recomputing: keep in the adjoint's segment buffer

  SEISFAST_HD void operator()(int i, int job) const {
    const Acoustic<T>& p = this->p;
    const int row = p.grid.row(), iz = i / row, ix = i % row;
    if (ix >= p.grid.nx_p()) return;
    const Fields<T> f = this->at(job);
    T* kept = keep ? kept_at(f, job) + i : nullptr;
    if (kept && p.vmin_gradient) kept[p.grid.cells()] = f.u[i] - f.previous[i];
    if (p.free_surface && iz == 0) {
      if (kept) *kept = 0;
      return;
    }
    const Weights<T>& w = p.weights;
    auto along_z = [&](int k) { return this->value(f.u, iz + k, ix); };
    auto along_x = [&](int k) { return this->value(f.u, iz, ix + k); };
    T sum = laplacian<R>(w, along_z, along_x), extra = 0;
    if (this->near_z(iz)) {
      T outside = 0;
      const int64_t at = this->layer_index(iz, ix);
      extra = layer<R>(w.d1z, w.d2z, this->a_z(iz), this->b_z(iz), at < 0 ? outside : f.zeta_z[at], along_z,
                       [&](int k) { return this->strip(f.psi_z, this->layer_index(iz + k, ix)); });
    }
    if (this->near_x(ix)) {
      T outside = 0;
      const int64_t at = this->side_index(iz, ix);
      extra += layer<R>(w.d1x, w.d2x, this->a_x(ix), this->b_x(ix), at < 0 ? outside : f.zeta_x[at], along_x,
                        [&](int k) { return this->strip(f.psi_x, this->side_index(iz, ix + k)); });
    }
    sum += extra;
    if (kept) *kept = sum;
    const T strength = this->strength_at(job, iz, ix);
    f.previous[i] = p.sponge ? advance_damped(f.u[i], f.previous[i], this->damping_at(job, iz, ix), strength, sum)
                             : advance(f.u[i], f.previous[i], strength, sum);
  }

  SEISFAST_HD T* kept_at(const Fields<T>& f, int job) const {
    const Acoustic<T>& p = this->p;
    if (to_segment) return f.segment + int64_t(this->n % p.segment) * p.channels() * p.grid.cells();
    return p.half ? f.scratch : static_cast<T*>(p.kept) + this->kept_index(job, 0) * p.grid.cells();
  }
};

// Sources, added to u[n + 1] one after the other.
template <class T>
struct Inject : Phase<T> {
  SEISFAST_HD void operator()(int, int job) const {
    const Fields<T> f = this->at(job);
    for (int s = 0; s < this->p.per_shot; ++s) {
      T& at = f.previous[this->cell(this->source(job, s))];
      at = fma(this->strength_of_source(job, s), this->pulse(job, s), at);
    }
  }
};

template <class T>
struct Record : Phase<T> {
  SEISFAST_HD void operator()(int r, int job) const {
    const Acoustic<T>& p = this->p;
    const Fields<T> f = this->at(job);
    p.data[(int64_t(job) * p.nt + this->n) * p.receivers + r] = f.previous[this->cell(this->receiver(job, r))];
  }
};

// Half precision: largest magnitude of every column, then of all; then the kept step itself.
template <class T>
struct ColumnMaximum : Phase<T> {
  SEISFAST_HD void operator()(int i, int job) const {
    const Grid& g = this->p.grid;
    const int c = i / g.row(), ix = i % g.row();
    if (ix >= g.nx_p()) return;
    const Fields<T> f = this->at(job);
    T largest = 0;
    for (int iz = 0; iz < g.nz_p(); ++iz) {
      const T value = f.scratch[c * g.cells() + int64_t(iz) * g.row() + ix], size = value < 0 ? -value : value;
      largest = size > largest ? size : largest;
    }
    f.largest[i] = largest;
  }
};

template <class T>
struct Scale : Phase<T> {
  SEISFAST_HD void operator()(int c, int job) const {
    const Grid& g = this->p.grid;
    const Fields<T> f = this->at(job);
    T largest = 0;
    for (int ix = 0; ix < g.nx_p(); ++ix) {
      const T size = f.largest[c * g.row() + ix];
      largest = size > largest ? size : largest;
    }
    this->p.scales[this->kept_index(job, c)] = half_scale(largest);
  }
};

template <class T>
struct Compress : Phase<T> {
  SEISFAST_HD void operator()(int i, int job) const {
    const Acoustic<T>& p = this->p;
    if (i % p.grid.row() >= p.grid.nx_p()) return;
    const Fields<T> f = this->at(job);
    for (int c = 0; c < p.channels(); ++c) {
      const int64_t at = this->kept_index(job, c);
      static_cast<uint16_t*>(p.kept)[at * p.grid.cells() + i] =
          to_half(float(f.scratch[c * p.grid.cells() + i] * p.scales[at]));
    }
  }
};

// State before step n <-> checkpoint.
template <class T>
struct Checkpoint : Phase<T> {
  bool load;
  SEISFAST_HD void operator()(int i, int job) const {
    const Acoustic<T>& p = this->p;
    const Fields<T> f = this->at(job);
    const int64_t cells = p.grid.cells();
    T* stored = p.checkpoints + (int64_t(job) * p.segments() + this->n / p.segment) * p.state() + i;
    T* field = i < cells ? f.u + i : i < 2 * cells ? f.previous + (i - cells) : f.psi_x + (i - 2 * cells);
    if (load)
      *field = *stored;
    else
      *stored = *field;
  }
};

// -- adjoint: lambda[n + 1] -> lambda[n], see absorbing.h ---------------------------------------------------------------

// Residual of sample n; where a cell holds several receivers one thread adds them in order.
template <class T>
struct Residual : Phase<T> {
  SEISFAST_HD void operator()(int i, int job) const {
    const Acoustic<T>& p = this->p;
    const Fields<T> f = this->at(job);
    const T* residual = p.grad_data + (int64_t(job) * p.nt + this->n) * p.receivers;
    const int end = p.receivers_repeat ? p.receivers : i + 1;
    for (int r = i; r < end; ++r) f.lambda[this->cell(this->receiver(job, r))] += residual[r];
  }
};

template <class T>
struct SourceGradient : Phase<T> {
  SEISFAST_HD void operator()(int s, int job) const {
    const Acoustic<T>& p = this->p;
    const Fields<T> f = this->at(job);
    const T at_source = f.lambda[this->cell(this->source(job, s))];
    p.grad_wavelet[(int64_t(job) * p.per_shot + s) * p.nt + this->n] = this->strength_of_source(job, s) * at_source;
    f.source[s] = fma(this->pulse(job, s), at_source, f.source[s]);
  }
};

// q = (v dt)^2 lambda, the correlation with what the forward run kept, and m of the strips.
template <class T>
struct Image : Phase<T> {
  bool kept;
  bool from_segment;

  SEISFAST_HD void operator()(int i, int job) const {
    const Acoustic<T>& p = this->p;
    const int row = p.grid.row(), iz = i / row, ix = i % row;
    if (ix >= p.grid.nx_p() || (p.free_surface && iz == 0)) return;
    const Fields<T> f = this->at(job);
    const T lambda = f.lambda[i], q = this->strength_at(job, iz, ix) * lambda;
    f.q[i] = q;
    if (kept) {
      f.grad[i] = fma(kept_value(f, job, 0, i), lambda, f.grad[i]);
      if (p.vmin_gradient) f.damping[i] = fma(kept_value(f, job, 1, i), lambda, f.damping[i]);
    }
    if (p.sponge) return;
    const int64_t in_layer = this->layer_index(iz, ix), in_side = this->side_index(iz, ix);
    if (in_layer >= 0) f.m_z[in_layer] = next_m(this->b_z(iz), f.m_z[in_layer], q);
    if (in_side >= 0) f.m_x[in_side] = next_m(this->b_x(ix), f.m_x[in_side], q);
  }

  SEISFAST_HD T kept_value(const Fields<T>& f, int job, int channel, int i) const {
    const Acoustic<T>& p = this->p;
    const int64_t cells = p.grid.cells();
    if (from_segment) return f.segment[(int64_t(this->n % p.segment) * p.channels() + channel) * cells + i];
    const int64_t at = this->kept_index(job, channel);
    if (!p.half) return static_cast<const T*>(p.kept)[at * cells + i];
    const T scale = p.scales[at];
    return T(from_half(static_cast<const uint16_t*>(p.kept)[at * cells + i])) * (scale > 0 ? T(1) / scale : T(0));
  }
};

template <class T, int R>
struct PsiTransposed : Phase<T> {
  SEISFAST_HD void operator()(int i, int job) const {
    const Acoustic<T>& p = this->p;
    const Fields<T> f = this->at(job);
    int iz, ix;
    if (i < layer_cells(p)) {
      this->layer_cell(i, iz, ix);
      if (ix >= p.grid.nx_p()) return;
      f.p_z[i] = next_p<R>(
          p.weights.d1z, this->b_z(iz), f.p_z[i], [&](int k) { return this->value(f.q, iz + k, ix); },
          [&](int k) { return this->strip(f.m_z, this->layer_index(iz + k, ix)); },
          [&](int k) { return this->a_z(iz + k); });
    } else {
      const int64_t j = i - layer_cells(p);
      this->side_cell(j, iz, ix);
      if (p.free_surface && iz == 0) return;
      f.p_x[j] = next_p<R>(
          p.weights.d1x, this->b_x(ix), f.p_x[j], [&](int k) { return this->value(f.q, iz, ix + k); },
          [&](int k) { return this->strip(f.m_x, this->side_index(iz, ix + k)); },
          [&](int k) { return this->a_x(ix + k); });
    }
  }
};

template <class T, int R>
struct Retreat : Phase<T> {
  SEISFAST_HD void operator()(int i, int job) const {
    const Acoustic<T>& p = this->p;
    const int row = p.grid.row(), iz = i / row, ix = i % row;
    if (ix >= p.grid.nx_p() || (p.free_surface && iz == 0)) return;
    const Fields<T> f = this->at(job);
    const Weights<T>& w = p.weights;
    T sum = laplacian<R>(
        w, [&](int k) { return this->value(f.q, iz + k, ix); }, [&](int k) { return this->value(f.q, iz, ix + k); });
    T extra = 0;
    if (this->near_z(iz))
      extra = layer_transposed<R>(
          w.d1z, w.d2z, [&](int k) { return this->strip(f.m_z, this->layer_index(iz + k, ix)); },
          [&](int k) { return this->strip(f.p_z, this->layer_index(iz + k, ix)); },
          [&](int k) { return this->a_z(iz + k); });
    if (this->near_x(ix))
      extra += layer_transposed<R>(
          w.d1x, w.d2x, [&](int k) { return this->strip(f.m_x, this->side_index(iz, ix + k)); },
          [&](int k) { return this->strip(f.p_x, this->side_index(iz, ix + k)); },
          [&](int k) { return this->a_x(ix + k); });
    sum += extra;
    f.later[i] = p.sponge ? advance_damped(f.lambda[i], f.later[i], this->damping_at(job, iz, ix), T(1), sum)
                          : advance(f.lambda[i], f.later[i], T(1), sum);
  }
};

template <class T>
struct ScaleGradient : Phase<T> {
  SEISFAST_HD void operator()(int i, int job) const { this->at(job).grad[i] *= T(this->p.every); }
};

template <class T>
struct AddSources : Phase<T> {
  SEISFAST_HD void operator()(int, int job) const {
    const Fields<T> f = this->at(job);
    for (int s = 0; s < this->p.per_shot; ++s) f.grad[this->cell(this->source(job, s))] += f.source[s];
  }
};

// From (v dt)^2 on the grid to v on the model.
template <class T>
struct Fold : Phase<T> {
  SEISFAST_HD void operator()(int i, int job) const {
    const Acoustic<T>& p = this->p;
    const int64_t cells = int64_t(p.grid.nz) * p.grid.nx;
    const T* grad = this->at(job).grad;
    const T sum = fold_padding<T>(p.grid, i / p.grid.nx, i % p.grid.nx,
                                  [&](int z, int x) { return grad[int64_t(z) * p.grid.row() + x]; });
    const T v = p.velocity[(job / p.shots) * cells + i];
    p.grad_velocity[job * cells + i] = T(2) * p.dt * (v * p.dt) * sum;
  }
};

template <class T>
struct SlowestGradient : Phase<T> {
  SEISFAST_HD void operator()(int, int job) const {
    const Acoustic<T>& p = this->p;
    const T* damping = this->at(job).damping;
    double total = 0;
    for (int iz = 0; iz < p.grid.nz_p(); ++iz)
      for (int ix = 0; ix < p.grid.nx_p(); ++ix)
        total -= double(this->base(iz, ix)) * double(damping[int64_t(iz) * p.grid.row() + ix]);
    p.grad_slowest[job] = T(total * p.every);
  }
};

// -- which phases follow each other -------------------------------------------------------------------------------------

template <class T, int R, class Launch>
void advance_step(const Acoustic<T>& p, int n, bool adjoint, bool keep, bool to_segment, const Launch& launch) {
  const Phase<T> here{p, n, adjoint};
  if (!p.sponge) launch(int(layer_cells(p) + side_cells(p)), p.jobs(), Psi<T, R>{here});
  launch(int(p.grid.cells()), p.jobs(), Advance<T, R>{here, keep, to_segment});
  launch(1, p.jobs(), Inject<T>{here});
}

template <class T, int R, class Launch>
void forward(const Acoustic<T>& p, const Launch& launch) {
  const int cells = int(p.grid.cells());
  for (int n = 0; n < p.nt; ++n) {
    const Phase<T> here{p, n, false};
    if (p.keep == Keep::checkpoints && n % p.segment == 0) launch(int(p.state()), p.jobs(), Checkpoint<T>{here, false});
    const bool keep = p.keep == Keep::steps && n % p.every == 0;
    advance_step<T, R>(p, n, false, keep, false, launch);
    if (keep && p.half) {
      launch(p.channels() * p.grid.row(), p.jobs(), ColumnMaximum<T>{here});
      launch(p.channels(), p.jobs(), Scale<T>{here});
      launch(cells, p.jobs(), Compress<T>{here});
    }
    launch(p.receivers, p.jobs(), Record<T>{here});
  }
}

template <class T, int R, class Launch>
void retreat_step(const Acoustic<T>& p, int n, bool kept, bool from_segment, const Launch& launch) {
  const Phase<T> here{p, n, true};
  const int cells = int(p.grid.cells());
  launch(p.receivers_repeat ? 1 : p.receivers, p.jobs(), Residual<T>{here});
  launch(p.per_shot, p.jobs(), SourceGradient<T>{here});
  launch(cells, p.jobs(), Image<T>{here, kept, from_segment});
  if (!p.sponge) launch(int(layer_cells(p) + side_cells(p)), p.jobs(), PsiTransposed<T, R>{here});
  launch(cells, p.jobs(), Retreat<T, R>{here});
}

template <class T, int R, class Launch>
void adjoint(const Acoustic<T>& p, const Launch& launch) {
  if (p.keep == Keep::checkpoints) {
    for (int s = p.segments() - 1; s >= 0; --s) {
      const int begin = s * p.segment, end = begin + p.segment < p.nt ? begin + p.segment : p.nt;
      launch(int(p.state()), p.jobs(), Checkpoint<T>{{p, begin, true}, true});
      for (int n = begin; n < end; ++n) advance_step<T, R>(p, n, true, true, true, launch);
      for (int n = end - 1; n >= begin; --n) retreat_step<T, R>(p, n, true, true, launch);
    }
  } else {
    for (int n = p.nt - 1; n >= 0; --n)
      retreat_step<T, R>(p, n, p.keep == Keep::steps && n % p.every == 0, false, launch);
  }
  const Phase<T> here{p, 0, true};
  if (p.every > 1) launch(int(p.grid.cells()), p.jobs(), ScaleGradient<T>{here});
  launch(1, p.jobs(), AddSources<T>{here});
  launch(p.grid.nz * p.grid.nx, p.jobs(), Fold<T>{here});
  if (p.vmin_gradient) launch(1, p.jobs(), SlowestGradient<T>{here});
}

template <class T, class Launch>
void run(const Acoustic<T>& p, bool backwards, const Launch& launch) {
  switch (p.order) {
    case 2: return backwards ? adjoint<T, 1>(p, launch) : forward<T, 1>(p, launch);
    case 4: return backwards ? adjoint<T, 2>(p, launch) : forward<T, 2>(p, launch);
    case 6: return backwards ? adjoint<T, 3>(p, launch) : forward<T, 3>(p, launch);
    default: return backwards ? adjoint<T, 4>(p, launch) : forward<T, 4>(p, launch);
  }
}

}  // namespace plain
}  // namespace SEISFAST_LEVEL
}  // namespace seisfast
