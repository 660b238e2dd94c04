// Owns the way from kept steps to float16: per step its largest magnitude, the scale, the rounded values.
#pragma once
#include "acoustic/half.h"
#include "acoustic/place.h"

namespace seisfast {
inline namespace SEISFAST_LEVEL {

// `raw` holds whole fields of every job of the call, which become the kept fields `target` and so on of that job. Where
// a step keeps two channels each counts as a field. A phase's i counts over the fields as well.
template <class T>
struct CompressPhase : Place<T> {
  const T* raw;                        // [fields, nz_p, row]
  T* largest;                          // [fields, row]
  int64_t raw_stride, largest_stride;  // elements between jobs
  int target;

  SEISFAST_HD const T* field(int job, int k) const {
    return raw + (job - this->p.first) * raw_stride + k * this->p.grid.cells();
  }
  SEISFAST_HD T* maxima(int job, int k) const {
    return largest + (job - this->p.first) * largest_stride + k * this->p.grid.row();
  }
  SEISFAST_HD int64_t kept(int job, int k) const {
    return int64_t(job) * this->p.kept_steps() * this->p.channels() + target + k;
  }
};

template <class T>
struct ColumnMaximum : CompressPhase<T> {
  SEISFAST_HD void operator()(int i, int job) const {
    const Grid& g = this->p.grid;
    const int k = i / g.row(), ix = i % g.row();
    const T* column = this->field(job, k) + ix;
    T largest = 0;
    for (int iz = 0; ix < g.nx_p() && iz < g.nz_p(); ++iz) {
      const T value = column[int64_t(iz) * g.row()], size = value < 0 ? -value : value;
      largest = size > largest ? size : largest;
    }
    this->maxima(job, k)[ix] = largest;
  }
};

template <class T>
struct Scale : CompressPhase<T> {
  SEISFAST_HD void operator()(int k, int job) const {
    T largest = 0;
    for (int ix = 0; ix < this->p.grid.nx_p(); ++ix) {
      const T size = this->maxima(job, k)[ix];
      largest = size > largest ? size : largest;
    }
    this->p.scales[this->kept(job, k)] = half_scale(largest);
  }
};

template <class T>
struct Compress : CompressPhase<T> {
  SEISFAST_HD void operator()(int i, int job) const {
    const int64_t cells = this->p.grid.cells();
    const int k = int(i / cells), at = int(i % cells);
    if (at % this->p.grid.row() >= this->p.grid.nx_p()) return;
    const int64_t kept = this->kept(job, k);
    static_cast<uint16_t*>(this->p.kept)[kept * cells + at] =
        to_half(float(this->field(job, k)[at] * this->p.scales[kept]));
  }
};

// The first `fields` of `raw`.
template <class T, class Launch>
void compress(const CompressPhase<T>& here, int fields, const Launch& launch) {
  const Acoustic<T>& p = here.p;
  launch(fields * p.grid.row(), p.first, p.count, ColumnMaximum<T>{here});
  launch(fields, p.first, p.count, Scale<T>{here});
  launch(fields * p.grid.cells(), p.first, p.count, Compress<T>{here});
}

}  // namespace SEISFAST_LEVEL
}  // namespace seisfast
