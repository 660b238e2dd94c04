// Owns the answers of a build without CUDA.
#include <stdexcept>

#include "acoustic/cuda.h"
#include "common/limits.h"
#include "features/cuda.h"

namespace seisfast {
namespace {

[[noreturn]] void missing() {
  throw std::runtime_error(
      "this build of seisfast has no CUDA engines; install the CUDA toolkit (nvcc) and reinstall seisfast with "
      "--config-settings=cmake.define.SEISFAST_CUDA=ON, or move the tensors to the CPU");
}

}  // namespace

bool cuda_built() { return false; }

Limits cuda_limits() { missing(); }

template <class T>
bool cuda_accepts(const Acoustic<T>&, const Tiling&, bool) {
  missing();
}
template <class T>
void cuda_run(const Acoustic<T>&, const Tiling&, Task, void*) {
  missing();
}

template <class S, class A>
EmbeddingPlan cuda_embedding_plan(const Embedding<S, A>&, bool) {
  missing();
}
template <class S, class A>
void cuda_embedding(const Embedding<S, A>&, const EmbeddingPlan&, bool, void*) {
  missing();
}
template <class S, class A>
void cuda_norm(const Norm<S, A>&, bool, void*) {
  missing();
}

template EmbeddingPlan cuda_embedding_plan(const Embedding<float, float>&, bool);
template EmbeddingPlan cuda_embedding_plan(const Embedding<double, double>&, bool);
template EmbeddingPlan cuda_embedding_plan(const Embedding<Bf16, float>&, bool);
template void cuda_embedding(const Embedding<float, float>&, const EmbeddingPlan&, bool, void*);
template void cuda_embedding(const Embedding<double, double>&, const EmbeddingPlan&, bool, void*);
template void cuda_embedding(const Embedding<Bf16, float>&, const EmbeddingPlan&, bool, void*);
template void cuda_norm(const Norm<float, float>&, bool, void*);
template void cuda_norm(const Norm<double, double>&, bool, void*);
template void cuda_norm(const Norm<Bf16, float>&, bool, void*);
template bool cuda_accepts(const Acoustic<float>&, const Tiling&, bool);
template bool cuda_accepts(const Acoustic<double>&, const Tiling&, bool);
template void cuda_run(const Acoustic<float>&, const Tiling&, Task, void*);
template void cuda_run(const Acoustic<double>&, const Tiling&, Task, void*);

}  // namespace seisfast
