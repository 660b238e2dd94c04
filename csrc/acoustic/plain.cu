// Owns the CUDA launches of the plain engine: one thread per element of a phase, one launch per phase, any stream.
#include "acoustic/plain.h"

#include "acoustic/cuda.h"
#include "common/cuda_check.h"

namespace seisfast {
namespace {

constexpr int kThreads = 256;

// Jobs are spread over the second dimension of the grid, which is short: a block takes every gridDim.y-th one.
constexpr int kMostRows = 65535;

template <class Phase>
__global__ void __launch_bounds__(kThreads) run_phase(Phase phase, int count, int first, int jobs) {
  const int i = int(blockIdx.x) * kThreads + int(threadIdx.x);
  if (i >= count) return;
  for (int job = int(blockIdx.y); job < jobs; job += int(gridDim.y)) phase(i, first + job);
}

struct Launcher {
  cudaStream_t stream;

  template <class Phase>
  void operator()(int count, int first, int jobs, Phase phase) const {
    if (count == 0) return;
    const dim3 blocks((count - 1) / kThreads + 1, jobs < kMostRows ? jobs : kMostRows);
    run_phase<<<blocks, kThreads, 0, stream>>>(phase, count, first, jobs);
    check(cudaGetLastError(), "launching an acoustic phase");
  }
};

}  // namespace

bool cuda_built() { return true; }

template <class T>
void cuda_forward(const Acoustic<T>& p, void* stream) {
  plain::run(p, false, Launcher{static_cast<cudaStream_t>(stream)});
}
template <class T>
void cuda_adjoint(const Acoustic<T>& p, void* stream) {
  plain::run(p, true, Launcher{static_cast<cudaStream_t>(stream)});
}
template <class T>
int64_t cuda_workspace(const Acoustic<T>& p, bool adjoint) {
  return plain::workspace_size(p, adjoint);
}

template void cuda_forward<float>(const Acoustic<float>&, void*);
template void cuda_forward<double>(const Acoustic<double>&, void*);
template void cuda_adjoint<float>(const Acoustic<float>&, void*);
template void cuda_adjoint<double>(const Acoustic<double>&, void*);
template int64_t cuda_workspace<float>(const Acoustic<float>&, bool);
template int64_t cuda_workspace<double>(const Acoustic<double>&, bool);

}  // namespace seisfast
