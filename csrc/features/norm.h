// Owns what the layouts of the fused norm share: the maths of one value, its gradient, packs of neighbouring values,
// and the sum over the threads of a block.
//
// A job is what one launch does: it makes the description of a block (`block`), and `run` puts its phases in order. A
// machine runs a phase on every thread of a block (`each`) and lets them wait for each other (`together`): a CUDA block
// (norm.cu), or the lockstep executor on the CPU (common/lockstep.h). Nothing but memory outlives a phase.
#pragma once
#include "common/bf16.h"
#include "features/moments.h"
#include "features/params.h"

#include <cstring>
#include <stdexcept>
#include <type_traits>

namespace seisfast {
inline namespace SEISFAST_LEVEL {
namespace norm {

// One channel. Forward and adjoint compute with the same roundings, so both close the ReLU at the same values.
template <class A>
struct Cell {
  A mean, inverse, scale, shift;

  SEISFAST_HD A normalised(A y) const { return (y - mean) * inverse; }
  SEISFAST_HD A affine(A n) const { return fma(scale, n, shift); }
  static SEISFAST_HD bool open(A value) { return !(value <= A(0)); }  // a NaN passes, as it does in torch

  SEISFAST_HD A out(A n) const {
    const A value = affine(n);
    return open(value) ? value : A(0);
  }
  SEISFAST_HD A masked(A n, A grad_out) const { return open(affine(n)) ? grad_out : A(0); }
  // The gradient of y, for the means of g and of g n over the channel; both are zero where the statistics are given.
  SEISFAST_HD A gradient(A n, A g, A mean_g, A mean_gn) const { return scale * inverse * fma(-n, mean_gn, g - mean_g); }
};

template <class S, class A>
SEISFAST_HD Cell<A> cell_of(const Norm<S, A>& p, int64_t channel, A mean, A variance) {
  return {mean, A(1) / std::sqrt(variance + p.eps), p.scale[channel], p.shift[channel]};
}
template <class S, class A>
SEISFAST_HD Cell<A> cell_of(const Norm<S, A>& p, int64_t channel) {
  return cell_of(p, channel, p.mean[channel], p.variance[channel]);
}

// Sums of g and of g n: the gradients of shift and scale.
template <class A>
struct Sums {
  A g, gn;
  SEISFAST_HD void add(A gradient, A n) { g += gradient, gn = fma(gradient, n, gn); }
  SEISFAST_HD void merge(const Sums& other) { g += other.g, gn += other.gn; }
};

template <class A, bool adjoint>
using Total = std::conditional_t<adjoint, Sums<A>, Moments<A>>;

// W neighbours, read and written at once; their address is a multiple of their size.
template <class S, int W>
struct Pack {
  S at[W];

#ifdef __CUDA_ARCH__
  using Word = std::conditional_t<
      sizeof(S) * W == 16, uint4,
      std::conditional_t<sizeof(S) * W == 8, uint2, std::conditional_t<sizeof(S) * W == 4, uint32_t, uint16_t>>>;
  SEISFAST_HD void load(const S* from) {
    const Word raw = *reinterpret_cast<const Word*>(from);
    memcpy(at, &raw, sizeof at);
  }
  SEISFAST_HD void store(S* to) const {
    Word raw;
    memcpy(&raw, at, sizeof at);
    *reinterpret_cast<Word*>(to) = raw;
  }
#else
  SEISFAST_HD void load(const S* from) { std::memcpy(at, from, sizeof at); }
  SEISFAST_HD void store(S* to) const { std::memcpy(to, at, sizeof at); }
#endif
};

struct Thread {
  int id;
};

// What a block knows: its job, its number, its threads and their shared memory.
template <class Job>
struct Block {
  const Job& job;
  int index, threads;
  typename Job::Sum* memory;  // [rows, columns] of `fold` at its beginning
};

// Adds up the rows of memory [rows, columns], pair by pair: the result, in the first row, is the same at every call.
template <class Machine>
SEISFAST_HD void fold(Machine& machine, int rows, int columns) {
  machine.together();
  for (int left = rows; left > 1; left = (left + 1) / 2) {
    const int half = (left + 1) / 2;
    machine.each([=](typename Machine::Me& me, const typename Machine::At& at) {
      for (int k = me.id; k < (left - half) * columns; k += at.threads)
        at.memory[k].merge(at.memory[k + half * columns]);
    });
    machine.together();
  }
}

// A convolution's output with channels last; everything else has a block per channel.
template <class S, class A>
bool channels_last(const Norm<S, A>& p) {
  return p.inner == 1 && !p.per_shot && !p.per_receiver;
}

// Whether rows of this many values, and every array that a call reads or writes, can be taken `width` values at a
// time. A view may begin at any value.
template <class S, class A>
bool fits_width(const Norm<S, A>& p, bool adjoint, int64_t row, int width) {
  const S* const pointers[] = {p.x, p.per_shot, p.per_receiver, adjoint ? p.grad_out : p.out,
                               adjoint ? p.grad_x : p.out};
  uintptr_t bits = 0;
  for (const S* pointer : pointers) bits |= reinterpret_cast<uintptr_t>(pointer);
  return row % width == 0 && bits % (sizeof(S) * size_t(width)) == 0;
}

// Calls body with the largest width that fits, of at most `most` values and 16 bytes: two-byte values by 8 or 4 or one,
// others by 16 bytes or one.
template <class S, int most, class Fits, class Body>
void with_width(Fits fits, Body body) {
  constexpr int kFull = 16 / int(sizeof(S)), kWidest = kFull < most ? kFull : most;
  if (fits(kWidest)) return body(std::integral_constant<int, kWidest>{});
  if constexpr (kWidest == 8) {
    if (fits(4)) return body(std::integral_constant<int, 4>{});
  }
  body(std::integral_constant<int, 1>{});
}

template <class S, class A>
void require_values(const Norm<S, A>& p) {
  if (p.elements() == 0) throw std::runtime_error("a norm over no values");
}

}  // namespace norm
}  // namespace SEISFAST_LEVEL
}  // namespace seisfast
