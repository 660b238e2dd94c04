// Owns the plain engine: which phases follow each other over all cells of all shots, fields in device memory.
//
// A launcher runs a phase on `count` elements of the jobs [first, first + jobs) and is the barrier between phases: CUDA
// kernels (plain.cu), or the lockstep executor on the CPU in shuffled orders (common/lockstep.h).
#pragma once
#include "acoustic/compress.h"
#include "acoustic/plain_adjoint.h"
#include "acoustic/plain_forward.h"
#include "acoustic/snapshot.h"

namespace seisfast {
inline namespace SEISFAST_LEVEL {
namespace plain {

template <class T, int R, class Launch>
void advance_step(const Phase<T>& here, bool keep, const Launch& launch) {
  const Acoustic<T>& p = here.p;
  if (!p.sponge) launch(p.layer_cells() + p.side_cells(), p.first, p.count, Psi<T, R>{here});
  launch(p.grid.cells(), p.first, p.count, Advance<T, R>{here, keep});
  launch(1, p.first, p.count, Inject<T>{here});
}

// Something for the first wave, and then for its tangent where there is one.
template <class T, class Each>
void for_waves(const Acoustic<T>& p, int n, Task task, const Each& each) {
  each(Phase<T>{{p}, n, layout(p, task), false});
  if (has_tangents(task)) each(Phase<T>{{p}, n, layout(p, task), true});
}

// Both one step on; of the first wave, and of its tangent where `keep_tangent`, the Laplacian is kept.
template <class T, int R, class Launch>
void advance_waves(const Acoustic<T>& p, int n, Task task, bool keep_tangent, const Launch& launch) {
  for_waves(p, n, task, [&](const Phase<T>& here) { advance_step<T, R>(here, keep_tangent || !here.tangent, launch); });
}

template <class T, class Launch>
void checkpoint(const Acoustic<T>& p, int n, Task task, bool load, const Launch& launch) {
  for_waves(p, n, task, [&](const Phase<T>& here) { launch(p.state(), p.first, p.count, Checkpoint<T>{here, load}); });
}

template <class T, int R, class Launch>
void forward(const Acoustic<T>& p, const Launch& launch) {
  for (int n = 0; n < p.nt; ++n) {
    const Phase<T> here{{p}, n, layout(p, Task::forward)};
    if (p.keep == Keep::checkpoints && n % p.segment == 0) checkpoint(p, n, Task::forward, false, launch);
    const bool keep = p.keep == Keep::steps && n % p.every == 0;
    advance_step<T, R>(here, keep, launch);
    const int64_t stride = here.layout.size;
    if (keep && p.half) {
      T *raw = here.scratch(p.first), *largest = here.workspace(p.first) + here.layout.largest;
      compress(CompressPhase<T>{{p}, raw, largest, stride, stride, n / p.every * p.channels()}, p.channels(), launch);
    }
    launch(p.receivers, p.first, p.count, Record<T>{here});
    if (p.shows(n))
      launch(int64_t(p.grid.nz) * p.grid.nx, p.first, p.count, Snapshot<T>{{p}, here.at(p.first).previous, stride, n});
  }
}

template <class T, int R, class Launch>
void retreat_step(const Phase<T>& here, bool kept, const Launch& launch) {
  const Acoustic<T>& p = here.p;
  const int64_t cells = p.grid.cells();
  launch(p.receivers_repeat ? 1 : p.receivers, p.first, p.count, Residual<T>{here});
  launch(p.per_shot, p.first, p.count, SourceGradient<T>{here});
  if (kept || !p.sponge) launch(cells, p.first, p.count, Image<T>{here, kept});
  if (!p.sponge) launch(p.layer_cells() + p.side_cells(), p.first, p.count, PsiTransposed<T, R>{here});
  launch(cells, p.first, p.count, Retreat<T, R>{here});
}

// From the last checkpoint to the first: the steps after it once more, and back.
template <class T, int R, class Launch>
void retreat_from_checkpoints(const Acoustic<T>& p, Task task, const Launch& launch) {
  for (int s = p.segments() - 1; s >= 0; --s) {
    const int begin = s * p.segment, end = begin + p.segment < p.nt ? begin + p.segment : p.nt;
    checkpoint(p, begin, task, true, launch);
    for (int n = begin; n < end; ++n) advance_waves<T, R>(p, n, task, true, launch);
    for (int n = end - 1; n >= begin; --n)
      for_waves(p, n, task, [&](const Phase<T>& here) { retreat_step<T, R>(here, true, launch); });
  }
}

template <class T, int R, class Launch>
void adjoint(const Acoustic<T>& p, const Launch& launch) {
  if (p.keep == Keep::checkpoints)
    retreat_from_checkpoints<T, R>(p, Task::adjoint, launch);
  else
    for (int n = p.nt - 1; n >= 0; --n)
      retreat_step<T, R>({{p}, n, layout(p, Task::adjoint)}, p.keep == Keep::steps && n % p.every == 0, launch);
  finish_gradient(p, static_cast<T*>(p.workspace), layout(p, Task::adjoint).size, launch);
}

// Records of u'.
template <class T, int R, class Launch>
void born(const Acoustic<T>& p, const Launch& launch) {
  for (int n = 0; n < p.nt; ++n) {
    advance_waves<T, R>(p, n, Task::born, false, launch);
    launch(p.receivers, p.first, p.count, Record<T>{{{p}, n, layout(p, Task::born), true}});
  }
}

// The derivative of the transpose, from checkpoints of its own.
template <class T, int R, class Launch>
void curvature(const Acoustic<T>& p, const Launch& launch) {
  constexpr Task task = Task::curvature;
  const int last = (p.segments() - 1) * p.segment;
  for (int n = 0; n < last; ++n) {
    if (n % p.segment == 0) checkpoint(p, n, task, false, launch);
    advance_waves<T, R>(p, n, task, false, launch);
  }
  checkpoint(p, last, task, false, launch);
  retreat_from_checkpoints<T, R>(p, task, launch);
  const Layout l = layout(p, task);
  T* sums = static_cast<T*>(p.workspace);
  finish_curvature(p, sums, sums + l.wave, l.size, launch);
}

template <class T, int R, class Launch>
void run(const Acoustic<T>& p, Task task, const Launch& launch) {
  switch (task) {
    case Task::forward: return forward<T, R>(p, launch);
    case Task::adjoint: return adjoint<T, R>(p, launch);
    case Task::born: return born<T, R>(p, launch);
    default: return curvature<T, R>(p, launch);
  }
}

template <class T, class Launch>
void run(const Acoustic<T>& p, Task task, const Launch& launch) {
  switch (p.order) {
    case 2: return run<T, 1>(p, task, launch);
    case 4: return run<T, 2>(p, task, launch);
    case 6: return run<T, 3>(p, task, launch);
    default: return run<T, 4>(p, task, launch);
  }
}

}  // namespace plain
}  // namespace SEISFAST_LEVEL
}  // namespace seisfast
