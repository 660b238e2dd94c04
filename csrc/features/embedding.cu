// Owns the CUDA side of trace_embedding: the kernel that keeps a gather on the shared memory of a cluster, or of one
// block, and the launches of its phases where a gather stays in device memory.
#include <cooperative_groups.h>

#include <climits>

#include "common/cuda_check.h"

// run_forward and run_adjoint are code of both sides; with a launcher for their machine they are called on the host.
#pragma nv_diag_suppress 20011, 20014
#include "features/embedding_run.h"

namespace seisfast {
namespace embedding {

constexpr int kUsualBlocks = 8;  // of a cluster; some devices place more

// Chips before sm_90 have no clusters: there the kernels that use them are empty, and never launched (cuda_limits).
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
constexpr bool kClusters = true;
__device__ __forceinline__ void cluster_barrier() { cooperative_groups::this_cluster().sync(); }
__device__ __forceinline__ unsigned char* of_rank(unsigned char* memory, int rank) {
  return cooperative_groups::this_cluster().map_shared_rank(memory, unsigned(rank));
}
// Read again in every phase (volatile): kept, they would take registers from the inner loops.
__device__ __forceinline__ int cluster_number() {
  int number;
  asm volatile("mov.u32 %0, %%clusterid.x;" : "=r"(number));
  return number;
}
__device__ __forceinline__ int cluster_rank() {
  int rank;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}
#else
constexpr bool kClusters = false;
__device__ __forceinline__ void cluster_barrier() {}
__device__ __forceinline__ unsigned char* of_rank(unsigned char* memory, int) { return memory; }
__device__ __forceinline__ int cluster_number() { return 0; }
__device__ __forceinline__ int cluster_rank() { return 0; }
#endif

template <bool clustered>
struct SharedMemory {
  static constexpr bool kRowsFirst = true;
  unsigned char* memory;
  __device__ __forceinline__ unsigned char* own() const { return memory; }
  __device__ __forceinline__ unsigned char* of(int rank) const {
    if constexpr (clustered)
      return of_rank(memory, rank);
    else
      return memory;
  }
};

template <class S, class A, bool clustered>
struct BlockMachine {
  const Embedding<S, A>& p;
  const Layout& layout;
  unsigned char* memory;

  template <class Phase>
  __device__ __forceinline__ void each(Phase phase) const {
    using At = Block<S, A, SharedMemory<clustered>>;
    if constexpr (clustered)
      phase(int(threadIdx.x), At{p, layout, {memory}, cluster_number(), cluster_rank()});
    else
      phase(int(threadIdx.x), At{p, layout, {memory}, int(blockIdx.x), 0});
  }
  __device__ __forceinline__ void barrier() const { __syncthreads(); }
  __device__ __forceinline__ void together() const {
    if constexpr (clustered)
      cluster_barrier();
    else
      __syncthreads();
  }
};

template <class S, class A, bool adjoint, bool clustered>
__global__ void __launch_bounds__(kMostThreads, 1)
    gather_kernel(const __grid_constant__ Embedding<S, A> p, const __grid_constant__ Layout layout) {
  if constexpr (kClusters || !clustered) {
    extern __shared__ __align__(16) unsigned char bytes[];
    BlockMachine<S, A, clustered> machine{p, layout, bytes};
    if constexpr (adjoint)
      run_adjoint(machine, layout, p.input_gradient);
    else
      run_forward(machine);
  }
}

// How the kernel of a plan is launched; `attribute` must outlive the result.
template <class S, class A, bool adjoint, bool clustered>
cudaLaunchConfig_t configure(const Embedding<S, A>& p, const Layout& layout, cudaStream_t stream,
                             cudaLaunchAttribute& attribute) {
  const auto kernel = gather_kernel<S, A, adjoint, clustered>;
  // Always the most that the device has, so that threads which launch at the same time do not take it from each other.
  int device = 0, most = 0;
  check(cudaGetDevice(&device), "asking for the current device");
  check(cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device), "asking for shared memory");
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, most),
        "asking for the shared memory of a block");
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(unsigned(int64_t(p.gathers) * layout.blocks));
  config.blockDim = dim3(unsigned(layout.threads));
  config.dynamicSmemBytes = size_t(layout.bytes);
  config.stream = stream;
  if constexpr (clustered) {
    attribute.id = cudaLaunchAttributeClusterDimension;
    attribute.val.clusterDim = {unsigned(layout.blocks), 1, 1};
    config.attrs = &attribute, config.numAttrs = 1;
    if (layout.blocks > kUsualBlocks)
      check(cudaFuncSetAttribute(kernel, cudaFuncAttributeNonPortableClusterSizeAllowed, 1),
            "asking for a cluster of more than 8 blocks");
  }
  return config;
}

template <class S, class A, bool adjoint, bool clustered>
void launch_gathers(const Embedding<S, A>& p, const Layout& layout, cudaStream_t stream) {
  cudaLaunchAttribute attribute{};
  const cudaLaunchConfig_t config = configure<S, A, adjoint, clustered>(p, layout, stream, attribute);
  check(cudaLaunchKernelEx(&config, gather_kernel<S, A, adjoint, clustered>, p, layout), "launching trace_embedding");
}

// Whether the driver can place the clusters of a plan.
template <class S, class A, bool adjoint>
bool accepts(const Embedding<S, A>& p, const EmbeddingPlan& plan) {
  int active = 0;
  try {
    const Layout layout = layout_of(p, adjoint, plan);
    cudaLaunchAttribute attribute{};
    const cudaLaunchConfig_t config = configure<S, A, adjoint, true>(p, layout, nullptr, attribute);
    check(cudaOccupancyMaxActiveClusters(&active, gather_kernel<S, A, adjoint, true>, &config), "asking for clusters");
  } catch (const std::runtime_error&) {  // a refusal is an answer, not an error
    cudaGetLastError();
    return false;
  }
  return active > 0;
}

template <class S, class A, class Phase>
__global__ void __launch_bounds__(kPhaseThreads)
    phase_kernel(Phase phase, const __grid_constant__ Embedding<S, A> p, const __grid_constant__ Layout layout) {
  const int gather = int(blockIdx.x / unsigned(layout.blocks)), rank = int(blockIdx.x) - gather * layout.blocks;
  auto* begin = static_cast<unsigned char*>(p.workspace) + int64_t(gather) * layout.blocks * layout.bytes;
  const Block<S, A, Workspace> at{p, layout, {begin, layout.bytes, rank}, gather, rank};
  phase(int(threadIdx.x), at);
}

// A launch is over before the next one begins: every phase ends with a barrier of all blocks.
template <class S, class A>
struct Launcher {
  const Embedding<S, A>& p;
  const Layout& layout;
  cudaStream_t stream;
  template <class Phase>
  void each(Phase phase) const {
    const unsigned blocks = unsigned(int64_t(p.gathers) * layout.blocks);
    phase_kernel<S, A><<<blocks, unsigned(layout.threads), 0, stream>>>(phase, p, layout);
    check(cudaGetLastError(), "launching a phase of trace_embedding");
  }
  void barrier() const {}
  void together() const {}
};

template <class S, class A, bool adjoint>
void launch(const Embedding<S, A>& p, const EmbeddingPlan& plan, cudaStream_t stream) {
  const Layout layout = layout_of(p, adjoint, plan);
  const int most = plan.blocks ? kMostThreads : kPhaseThreads;
  if (layout.threads > most || int64_t(p.gathers) * layout.blocks > INT_MAX)
    throw std::runtime_error("trace_embedding: this is not a plan for these gathers");
  if (plan.blocks == 0) {
    Launcher<S, A> machine{p, layout, stream};
    if constexpr (adjoint)
      run_adjoint(machine, layout, p.input_gradient);
    else
      run_forward(machine);
  } else if constexpr (sizeof(A) == 4) {
    if (plan.blocks > 1)
      launch_gathers<S, A, adjoint, true>(p, layout, stream);
    else
      launch_gathers<S, A, adjoint, false>(p, layout, stream);
  } else {
    throw std::runtime_error("trace_embedding in double runs through device memory");
  }
}

}  // namespace embedding

template <class S, class A>
EmbeddingPlan cuda_embedding_plan(const Embedding<S, A>& p, bool adjoint) {
  Limits limits = cuda_limits();
  const EmbeddingPlan plan = embedding_plan(p, adjoint, limits);
  if constexpr (sizeof(A) == 4) {
    if (plan.blocks <= embedding::kUsualBlocks ||
        (adjoint ? embedding::accepts<S, A, true>(p, plan) : embedding::accepts<S, A, false>(p, plan)))
      return plan;
    limits.cluster = embedding::kUsualBlocks;
    return embedding_plan(p, adjoint, limits);
  }
  return plan;
}

template <class S, class A>
void cuda_embedding(const Embedding<S, A>& p, const EmbeddingPlan& plan, bool adjoint, void* stream) {
  if (p.gathers == 0) return;
  if (adjoint)
    embedding::launch<S, A, true>(p, plan, static_cast<cudaStream_t>(stream));
  else
    embedding::launch<S, A, false>(p, plan, static_cast<cudaStream_t>(stream));
}

template EmbeddingPlan cuda_embedding_plan(const Embedding<float, float>&, bool);
template EmbeddingPlan cuda_embedding_plan(const Embedding<Bf16, float>&, bool);
template EmbeddingPlan cuda_embedding_plan(const Embedding<double, double>&, bool);
template void cuda_embedding(const Embedding<float, float>&, const EmbeddingPlan&, bool, void*);
template void cuda_embedding(const Embedding<Bf16, float>&, const EmbeddingPlan&, bool, void*);
template void cuda_embedding(const Embedding<double, double>&, const EmbeddingPlan&, bool, void*);

}  // namespace seisfast
