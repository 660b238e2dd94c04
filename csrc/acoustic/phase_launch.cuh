// Owns the launch of a plain phase: one thread per element, for every job of a call.
#pragma once
#include <climits>

#include "common/cuda_check.h"

namespace seisfast {

constexpr int kPhaseThreads = 256;
constexpr int kPhaseBlocks = 3;  // of a processor at once, so that a phase takes at most 80 registers

// Jobs are spread over the second dimension of the grid, which is short: a block takes every gridDim.y-th one.
constexpr int kMostRows = 65535;

template <class Phase>
__global__ void __launch_bounds__(kPhaseThreads, kPhaseBlocks) run_phase(Phase phase, int count, int first, int jobs) {
  const int i = int(blockIdx.x) * kPhaseThreads + int(threadIdx.x);
  if (i >= count) return;
  for (int job = int(blockIdx.y); job < jobs; job += int(gridDim.y)) phase(i, first + job);
}

struct PhaseLauncher {
  cudaStream_t stream;

  template <class Phase>
  void operator()(int64_t count, int first, int jobs, Phase phase) const {
    if (count == 0) return;
    if (count > INT_MAX) throw std::runtime_error("a field of one shot has more than 2^31 cells");
    const dim3 blocks(unsigned((count - 1) / kPhaseThreads + 1), jobs < kMostRows ? jobs : kMostRows);
    run_phase<<<blocks, kPhaseThreads, 0, stream>>>(phase, int(count), first, jobs);
    check(cudaGetLastError(), "launching an acoustic phase");
  }
};

}  // namespace seisfast
