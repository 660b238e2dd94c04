// Owns the CUDA kernels of the fused norm: a block as the machine of norm.h, and the launch of a job.
#include <climits>

#include "common/cuda_check.h"
#include "features/cuda.h"
#include "features/norm_channels.h"
#include "features/norm_traces.h"

namespace seisfast {
namespace norm {
namespace {

template <class Job>
struct DeviceMachine {
  using Me = Thread;
  using At = typename Job::At;
  Me me;
  const At& at;

  template <class Phase>
  __device__ __forceinline__ void each(Phase phase) {
    phase(me, at);
  }
  __device__ __forceinline__ void together() { __syncthreads(); }
};

template <class Job>
__global__ void __launch_bounds__(Job::kThreads, Job::kResident) run_job(const __grid_constant__ Job job) {
  extern __shared__ __align__(16) unsigned char memory[];
  const typename Job::At at = job.block(int(blockIdx.x), int(blockDim.x), memory);
  DeviceMachine<Job> machine{{int(threadIdx.x)}, at};
  job.run(machine);
}

struct Launcher {
  cudaStream_t stream;
  int most;  // bytes of shared memory that a block may ask for

  template <class Job>
  void operator()(const Job& job, int64_t blocks, int threads, int64_t shared) const {
    if (blocks > INT_MAX) throw std::runtime_error("a norm over more channels than a launch has blocks");
    // Always the most that the device has, so that threads that launch at the same time do not take it from each other.
    if (shared > 48 * 1024)
      check(cudaFuncSetAttribute(run_job<Job>, cudaFuncAttributeMaxDynamicSharedMemorySize, most),
            "asking for the shared memory of a block");
    run_job<<<unsigned(blocks), unsigned(threads), size_t(shared), stream>>>(job);
    check(cudaGetLastError(), "launching a fused norm");
  }
};

}  // namespace
}  // namespace norm

template <class S, class A>
void cuda_norm(const Norm<S, A>& p, bool adjoint, void* stream) {
  int device = 0, most = 0;
  check(cudaGetDevice(&device), "asking for the current device");
  check(cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device), "asking for shared memory");
  const norm::Launcher launch{static_cast<cudaStream_t>(stream), most};
  norm::channels_last(p) ? norm::run_channels(p, adjoint, launch) : norm::run_traces(p, adjoint, most, launch);
}

template void cuda_norm(const Norm<float, float>&, bool, void*);
template void cuda_norm(const Norm<Bf16, float>&, bool, void*);
template void cuda_norm(const Norm<double, double>&, bool, void*);

}  // namespace seisfast
