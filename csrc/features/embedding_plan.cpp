// Owns the choice of how trace_embedding runs: on a cluster of how many blocks, or through device memory.
#include <algorithm>
#include <climits>
#include <stdexcept>

#include "features/embedding.h"

namespace seisfast {
namespace {

using embedding::ceil_div;
using embedding::kGroup;
using embedding::kMostThreads;
using embedding::kPhaseThreads;
using embedding::kSums;
using embedding::Layout;
using embedding::layout_of;
using embedding::round_up;

constexpr int kFewThreads = 128;  // for which there is at least room to sum weights' gradients
constexpr int kWideSlab = 32;     // groups: a warp reads them whole
constexpr int kNarrowSlab = 8;
constexpr int kMostSlabs = 256;  // every thread merges what so many blocks found

template <class S, class A>
int64_t items(const Embedding<S, A>& p, int blocks) {
  const int64_t groups = ceil_div(ceil_div(p.samples, kGroup), blocks);
  return groups * p.receivers * ceil_div(p.channels, embedding::kOutputs);
}

// The layout of a block on chip, as many bytes as it can use; 0 bytes if it does not fit.
template <class S, class A>
Layout on_chip(const Embedding<S, A>& p, bool adjoint, int blocks, int64_t shared) {
  const int64_t wanted = round_up(std::min<int64_t>(items(p, blocks), kMostThreads), 32);
  Layout layout = layout_of(p, adjoint, blocks, int(std::max<int64_t>(wanted, kFewThreads)));
  const int64_t sums = int64_t(kSums) * int64_t(sizeof(A));
  const bool fits = layout.plane > 0 && layout.bytes + (adjoint ? kFewThreads * sums : 0) <= shared;
  if (!fits) return Layout{};
  if (adjoint) layout.bytes = std::min(layout.bytes + layout.threads * sums, shared / 16 * 16);
  return layout;
}

template <class S, class A>
EmbeddingPlan through_device_memory(const Embedding<S, A>& p, bool adjoint, const Limits& limits) {
  const int64_t groups = ceil_div(p.samples, kGroup);
  int64_t slab = kWideSlab;
  while (slab > kNarrowSlab && p.gathers * ceil_div(groups, slab) < 2 * int64_t(limits.processors)) slab /= 2;
  while (ceil_div(groups, slab) > kMostSlabs) slab *= 2;
  const int blocks = int(ceil_div(groups, slab));
  Layout layout = layout_of(p, adjoint, blocks, kPhaseThreads);
  const int64_t parts = int64_t(p.gathers) * blocks;
  if (layout.plane == 0 || parts > INT_MAX)
    throw std::runtime_error("trace_embedding: these gathers are too large for one call");
  if (adjoint) layout.bytes += int64_t(kPhaseThreads) * kSums * int64_t(sizeof(A));
  return {0, kPhaseThreads, 0, int(parts), parts * round_up(layout.bytes, 128)};
}

}  // namespace

template <class S, class A>
EmbeddingPlan embedding_plan(const Embedding<S, A>& p, bool adjoint, const Limits& limits) {
  Layout best{};
  for (int blocks = 1; sizeof(A) == 4 && blocks <= std::min(limits.cluster, 16); blocks *= 2) {
    // The smallest cluster has the fewest borders; a larger one where most of the chip would wait for it.
    const bool idle = int64_t(p.gathers) * blocks <= limits.processors && blocks <= 8;
    if (best.bytes > 0 && !(idle && items(p, best.blocks) > kMostThreads)) break;
    const Layout layout = on_chip(p, adjoint, blocks, limits.shared);
    if (layout.bytes > 0) best = layout;
  }
  const int64_t parts = int64_t(p.gathers) * best.blocks;
  if (best.bytes == 0 || parts > INT_MAX) return through_device_memory(p, adjoint, limits);
  return {best.blocks, best.threads, int(best.bytes), int(parts), 0};
}

template EmbeddingPlan embedding_plan(const Embedding<float, float>&, bool, const Limits&);
template EmbeddingPlan embedding_plan(const Embedding<Bf16, float>&, bool, const Limits&);
template EmbeddingPlan embedding_plan(const Embedding<double, double>&, bool, const Limits&);

}  // namespace seisfast
