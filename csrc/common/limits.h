// Owns what a chip offers to the on-chip engines, as its driver reports it.
#pragma once

namespace seisfast {

struct Limits {
  int shared;      // bytes of shared memory that a block may ask for
  int cluster;     // largest number of blocks in a cluster; 1: none
  int processors;  // multiprocessors: blocks that run at a time
};

// Whether this build has CUDA kernels.
bool cuda_built();

// Of the current device. Without CUDA this throws and says how to get it (common/nocuda.cpp).
Limits cuda_limits();

}  // namespace seisfast
