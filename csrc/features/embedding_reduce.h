// Owns what a norm needs of a whole gather: moments and sums, merged in a fixed order from the threads of a block to the
// blocks of the gather, so that the same call gives the same bits.
#pragma once
#include "features/embedding_conv.h"

namespace seisfast {
inline namespace SEISFAST_LEVEL {
namespace embedding {

// Number, mean and sum of squared distances from the mean: a mean far larger than the deviation costs no digits.
// Chan's formula, for two parts and for many.
template <class A>
struct Moments {
  static constexpr int kFields = 3;
  A count = 0, mean = 0, square = 0;

  SEISFAST_HD void add(A other_count, A other_mean, A other_square) {
    const A both = count + other_count, share = other_count / both, distance = other_mean - mean;
    mean = fma(distance, share, mean);
    square += fma(distance * distance, count * share, other_square);
    count = both;
  }

  // The part that `valid` samples of the first `outputs` channels make.
  template <int most>
  SEISFAST_HD void add(const A (&values)[most][kGroup], int outputs, int valid) {
    if (outputs == most && valid == kGroup)
      add_group<true>(values, outputs, valid);
    else
      add_group<false>(values, outputs, valid);
  }
  template <bool whole, int most>
  SEISFAST_HD void add_group(const A (&values)[most][kGroup], int outputs, int valid) {
    A total = 0, squares = 0;
    SEISFAST_UNROLL
    for (int o = 0; o < most; ++o) {
      SEISFAST_UNROLL
      for (int i = 0; i < kGroup; ++i) total += whole || (o < outputs && i < valid) ? values[o][i] : A(0);
    }
    const A many = A(outputs * valid), middle = total / many;
    SEISFAST_UNROLL
    for (int o = 0; o < most; ++o) {
      SEISFAST_UNROLL
      for (int i = 0; i < kGroup; ++i) {
        const A distance = whole || (o < outputs && i < valid) ? values[o][i] - middle : A(0);
        squares = fma(distance, distance, squares);
      }
    }
    add(many, middle, squares);
  }

  SEISFAST_HD void write(A* to, int field) const { to[0] = count, to[field] = mean, to[2 * field] = square; }

  static SEISFAST_HD Moments merge(const A* from, int field, int begin, int end, int step) {
    Moments all;
    A total = 0;
    for (int k = begin; k < end; k += step) {
      all.count += from[k];
      total = fma(from[k], from[field + k], total);
    }
    if (all.count > 0) all.mean = total / all.count;
    for (int k = begin; k < end; k += step) {
      const A distance = from[field + k] - all.mean;
      all.square += fma(from[k] * distance, distance, from[2 * field + k]);
    }
    return all;
  }
};

// Of a gradient g that comes to the normalised values n: sum of g, sum of g n.
template <class A>
struct Sums {
  A plain = 0, product = 0;

  SEISFAST_HD void add(A gradient, A normalised) {
    plain += gradient;
    product = fma(gradient, normalised, product);
  }

  SEISFAST_HD void write(A* to, int field) const { to[0] = plain, to[field] = product; }

  static SEISFAST_HD Sums merge(const A* from, int field, int begin, int end, int step) {
    Sums all;
    for (int k = begin; k < end; k += step) {
      all.plain += from[k];
      all.product += from[field + k];
    }
    return all;
  }
};

template <class At, class Part>
SEISFAST_HD void report(int thread, const At& at, const Part& part) {
  part.write(at.numbers(at.layout.partial) + thread, at.layout.threads);
}

// After a barrier of the block: a few threads merge what all of them reported.
template <template <class> class Part>
struct MergeThreads {
  template <class At>
  SEISFAST_HD void operator()(int thread, const At& at) const {
    if (thread >= kMergers) return;
    const int threads = at.layout.threads;
    const auto part = Part<typename At::A>::merge(at.numbers(at.layout.partial), threads, thread, threads, kMergers);
    part.write(at.numbers(at.layout.merged) + thread, kMergers);
  }
};

// After another one: every block is told. A norm has a place of its own for it, that nobody may still be reading.
template <template <class> class Part>
struct TellBlocks {
  int layer;
  template <class At>
  SEISFAST_HD void operator()(int thread, const At& at) const {
    using A = typename At::A;
    const int blocks = at.layout.blocks;
    if (thread >= blocks) return;
    const auto part = Part<A>::merge(at.numbers(at.layout.merged), kMergers, 0, kMergers, 1);
    for (int other = thread; other < blocks; other += at.layout.threads)
      part.write(reinterpret_cast<A*>(at.memory.of(other)) + at.layout.exchange + 3 * layer * blocks + at.rank, blocks);
  }
};

// After a barrier of all blocks: of the whole gather.
template <template <class> class Part, class At>
SEISFAST_HD Part<typename At::A> whole(const At& at, int layer) {
  const int blocks = at.layout.blocks;
  return Part<typename At::A>::merge(at.numbers(at.layout.exchange + 3 * layer * blocks), blocks, 0, blocks, 1);
}

template <class A>
struct Normal {
  A mean, scale;
  SEISFAST_HD A operator()(A value) const { return (value - mean) * scale; }
};

template <class At>
SEISFAST_HD Normal<typename At::A> normal(const At& at, int layer) {
  using A = typename At::A;
  const Moments<A> all = whole<Moments>(at, layer);
  return {all.mean, A(1) / std::sqrt(all.square / at.population(layer) + at.p.eps)};
}

}  // namespace embedding
}  // namespace SEISFAST_LEVEL
}  // namespace seisfast
