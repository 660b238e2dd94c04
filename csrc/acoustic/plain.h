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
void advance_step(const Acoustic<T>& p, int n, bool adjoint, bool keep, bool to_segment, const Launch& launch) {
  const Phase<T> here{{p}, n, adjoint};
  if (!p.sponge) launch(p.layer_cells() + p.side_cells(), p.first, p.count, Psi<T, R>{here});
  launch(p.grid.cells(), p.first, p.count, Advance<T, R>{here, keep, to_segment});
  launch(1, p.first, p.count, Inject<T>{here});
}

template <class T, int R, class Launch>
void forward(const Acoustic<T>& p, const Launch& launch) {
  for (int n = 0; n < p.nt; ++n) {
    const Phase<T> here{{p}, n, false};
    if (p.keep == Keep::checkpoints && n % p.segment == 0)
      launch(p.state(), p.first, p.count, Checkpoint<T>{here, false});
    const bool keep = p.keep == Keep::steps && n % p.every == 0;
    advance_step<T, R>(p, n, false, keep, false, launch);
    if (keep && p.half) {
      const Fields<T> f = fields(p, p.first, n, false);
      const int64_t stride = workspace_size(p, false);
      compress(CompressPhase<T>{{p}, f.scratch, f.largest, stride, stride, n / p.every * p.channels()}, p.channels(),
               launch);
    }
    launch(p.receivers, p.first, p.count, Record<T>{here});
    if (p.shows(n)) {
      const T* next = fields(p, p.first, n, false).previous;
      launch(int64_t(p.grid.nz) * p.grid.nx, p.first, p.count, Snapshot<T>{{p}, next, workspace_size(p, false), n});
    }
  }
}

template <class T, int R, class Launch>
void retreat_step(const Acoustic<T>& p, int n, bool kept, bool from_segment, const Launch& launch) {
  const Phase<T> here{{p}, n, true};
  const int cells = int(p.grid.cells());
  launch(p.receivers_repeat ? 1 : p.receivers, p.first, p.count, Residual<T>{here});
  launch(p.per_shot, p.first, p.count, SourceGradient<T>{here});
  if (kept || !p.sponge) launch(cells, p.first, p.count, Image<T>{here, kept, from_segment});
  if (!p.sponge) launch(p.layer_cells() + p.side_cells(), p.first, p.count, PsiTransposed<T, R>{here});
  launch(cells, p.first, p.count, Retreat<T, R>{here});
}

template <class T, int R, class Launch>
void adjoint(const Acoustic<T>& p, const Launch& launch) {
  if (p.keep == Keep::checkpoints) {
    for (int s = p.segments() - 1; s >= 0; --s) {
      const int begin = s * p.segment, end = begin + p.segment < p.nt ? begin + p.segment : p.nt;
      launch(p.state(), p.first, p.count, Checkpoint<T>{{{p}, begin, true}, true});
      for (int n = begin; n < end; ++n) advance_step<T, R>(p, n, true, true, true, launch);
      for (int n = end - 1; n >= begin; --n) retreat_step<T, R>(p, n, true, true, launch);
    }
  } else {
    for (int n = p.nt - 1; n >= 0; --n)
      retreat_step<T, R>(p, n, p.keep == Keep::steps && n % p.every == 0, false, launch);
  }
  finish_gradient(p, static_cast<T*>(p.workspace), workspace_size(p, true), launch);
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
