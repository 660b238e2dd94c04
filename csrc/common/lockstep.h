// Owns the lockstep executor: it runs the phases of a CUDA engine on the CPU, the threads of a phase in a shuffled order,
// all of them before the next phase. What a kernel gets right only in one order of its threads then shows.
#pragma once
#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

namespace seisfast {

struct Lockstep {
  unsigned seed;

  template <class Phase>
  void operator()(int count, int jobs, Phase phase) const {
    std::vector<int> order(size_t(count) * size_t(jobs));
    std::iota(order.begin(), order.end(), 0);
    std::mt19937 generator(seed);
    std::shuffle(order.begin(), order.end(), generator);
    for (const int k : order) phase(k % count, k / count);
  }
};

}  // namespace seisfast
