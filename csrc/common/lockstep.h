// Owns the lockstep executor: it runs the phases of a CUDA engine on the CPU, the threads of a phase in a shuffled order,
// all of them before the next phase. What a kernel gets right only in one order of its threads then shows.
#pragma once
#include <algorithm>
#include <cstdint>
#include <functional>
#include <numeric>
#include <random>
#include <vector>

namespace seisfast {

struct Lockstep {
  unsigned seed;

  template <class Phase>
  void operator()(int64_t elements, int first, int jobs, Phase phase) const {
    const int count = int(elements);
    std::vector<int> order(size_t(count) * size_t(jobs));
    std::iota(order.begin(), order.end(), 0);
    std::mt19937 generator(seed);
    std::shuffle(order.begin(), order.end(), generator);
    for (const int k : order) phase(k % count, first + k / count);
  }
};

// The same for an engine whose threads keep their state between phases and meet at barriers: a group of blocks (a
// cluster, or one block alone). Between two barriers of the group each block runs on its own, in a shuffled order of
// blocks, and between two barriers of a block each thread does, in a shuffled order of threads.
template <class Thread, class Block>
struct LockstepGroup {
  using Me = Thread;
  static constexpr bool kTiles = true;
  using Phase = std::function<void(Thread&, const Block&)>;
  using Needed = std::function<bool(const Thread&, const Block&)>;
  enum class Missing { none, barrier, together };  // planted errors, for a test of the test

  std::vector<Block> blocks;
  std::vector<std::vector<Thread>> threads;
  std::mt19937 generator;
  Missing missing = Missing::none;

  void each(Phase phase) { pending.push_back({std::move(phase), nullptr}); }
  void barrier(Needed needed) {
    if (missing != Missing::barrier) pending.push_back({nullptr, std::move(needed)});
  }
  void together() {
    if (missing == Missing::together)
      pending.push_back({nullptr, [](const Thread&, const Block&) { return true; }});
    else
      finish();
  }
  void finish() {
    for (const size_t b : shuffled(blocks.size())) {
      std::vector<const Phase*> segment;
      auto run = [&] {
        for (const size_t t : shuffled(threads[b].size()))
          for (const Phase* phase : segment) (*phase)(threads[b][t], blocks[b]);
        segment.clear();
      };
      for (const Item& item : pending) {
        if (item.phase)
          segment.push_back(&item.phase);
        else if (run_before(item, b, segment.empty()))
          run();
      }
      run();
    }
    pending.clear();
  }

 private:
  struct Item {
    Phase phase;  // or a barrier:
    Needed needed;
  };
  std::vector<Item> pending;

  // Whether block b waits here. The threads of a block agree on it, so the first one is asked.
  bool run_before(const Item& item, size_t b, bool empty) const {
    return !empty && item.needed(threads[b][0], blocks[b]);
  }

  std::vector<size_t> shuffled(size_t count) {
    std::vector<size_t> order(count);
    std::iota(order.begin(), order.end(), size_t(0));
    std::shuffle(order.begin(), order.end(), generator);
    return order;
  }
};

}  // namespace seisfast
