// Owns the CUDA side of the on-chip engines: a block as the machine of tile_run.h, and the launch of a chunk.
#pragma once
#include <cooperative_groups.h>

#include "acoustic/onchip.h"
#include "common/cuda_check.h"

namespace seisfast {
namespace onchip {

// Chips before sm_90 have no clusters: there the kernels that use them are empty, and never launched (cuda_limits).
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
constexpr bool kClusters = true;
__device__ __forceinline__ void cluster_barrier() { cooperative_groups::this_cluster().sync(); }
template <class T>
__device__ __forceinline__ T* of_rank(T* memory, int rank) {
  return cooperative_groups::this_cluster().map_shared_rank(memory, unsigned(rank));
}
#else
constexpr bool kClusters = false;
__device__ __forceinline__ void cluster_barrier() {}
template <class T>
__device__ __forceinline__ T* of_rank(T*, int) {
  return nullptr;
}
#endif

// One thread of a block. `clustered`: the block has neighbours, and `together` waits for them.
template <class T, class ThisThread, bool clustered>
struct DeviceMachine {
  using Me = ThisThread;
  static constexpr bool kTiles = !clustered;
  Me me;
  const Block<T>& block;

  template <class Phase>
  __device__ __forceinline__ void each(Phase phase) {
    phase(me, block);
  }
  template <class Needed>
  __device__ __forceinline__ void barrier(Needed needed) {
    if (needed(me, block)) __syncthreads();
  }
  __device__ __forceinline__ void together() {
    if constexpr (clustered)
      cluster_barrier();
    else
      __syncthreads();
  }
};

template <class T, class V, bool clustered>
__global__ void __launch_bounds__(V::kFit.threads, 1)
    chunk_kernel(const __grid_constant__ Place<T> place, const __grid_constant__ Chunk<T> chunk,
                 const __grid_constant__ Tiling tiling) {
  if constexpr (kClusters || !clustered) {
    extern __shared__ __align__(16) unsigned char bytes[];
    T* memory = reinterpret_cast<T*>(bytes);
    const int blocks = tiling.blocks(), local = int(blockIdx.x) / blocks, which = int(blockIdx.x) - local * blocks;
    const Block<T> block =
        block_of(place, chunk, tiling, V::kAdjoint, local, which, V::kFit.threads, memory, [=](int rank) -> T* {
          if constexpr (clustered)
            return of_rank(memory, rank);
          else
            return nullptr;
        });
    DeviceMachine<T, typename V::Me, clustered> machine{{}, block};
    machine.me.id = int(threadIdx.x);
    run_chunk<T, V::kReach, V::kStrip, V::kAdjoint>(machine, chunk);
  }
}

// How a chunk of this variant is launched; `attribute` must outlive the result.
template <class T, class V, bool clustered>
cudaLaunchConfig_t configure(const Acoustic<T>& p, const Tiling& tiling, cudaStream_t stream,
                             cudaLaunchAttribute& attribute) {
  const auto kernel = chunk_kernel<T, V, clustered>;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(unsigned(p.count) * unsigned(tiling.blocks()));
  config.blockDim = dim3(unsigned(V::kFit.threads));
  config.dynamicSmemBytes = size_t(shared_of(p, tiling, V::kAdjoint).size) * sizeof(T);
  config.stream = stream;
  // Always the most that the device has, so that threads which launch at the same time do not take it from each other.
  int device = 0, most = 0;
  check(cudaGetDevice(&device), "asking for the current device");
  check(cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device), "asking for shared memory");
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, most),
        "asking for the shared memory of a block");
  if constexpr (clustered) {
    attribute.id = cudaLaunchAttributeClusterDimension;
    attribute.val.clusterDim = {unsigned(tiling.blocks()), 1, 1};
    config.attrs = &attribute;
    config.numAttrs = 1;
    if (tiling.blocks() > 8)
      check(cudaFuncSetAttribute(kernel, cudaFuncAttributeNonPortableClusterSizeAllowed, 1),
            "asking for a cluster of more than 8 blocks");
  }
  return config;
}

template <class T, bool clustered>
void launch_chunk(const Place<T>& place, const Tiling& tiling, const Chunk<T>& chunk, bool backwards,
                  cudaStream_t stream) {
  with_variant<T>(place.p.order, tiling.strip, backwards, [&](auto variant) {
    using V = decltype(variant);
    cudaLaunchAttribute attribute{};
    const cudaLaunchConfig_t config = configure<T, V, clustered>(place.p, tiling, stream, attribute);
    check(cudaLaunchKernelEx(&config, chunk_kernel<T, V, clustered>, place, chunk, tiling),
          "launching an on-chip acoustic engine");
  });
}

}  // namespace onchip
}  // namespace seisfast
