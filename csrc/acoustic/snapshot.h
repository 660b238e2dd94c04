// Owns how a field on the padded grid becomes a snapshot of the model.
#pragma once
#include "acoustic/place.h"

namespace seisfast {
inline namespace SEISFAST_LEVEL {

// Cell i of the model, of the snapshot after step n; the next job's field lies `stride` elements further.
template <class T>
struct Snapshot : Place<T> {
  const T* field;
  int64_t stride;
  int n;

  SEISFAST_HD void operator()(int i, int job) const {
    const Acoustic<T>& p = this->p;
    const int32_t at[2] = {i / p.grid.nx, i % p.grid.nx};
    p.fields[p.shown(job, n) + i] = field[(job - p.first) * stride + this->cell(at)];
  }
};

}  // namespace SEISFAST_LEVEL
}  // namespace seisfast
