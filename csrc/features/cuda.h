// Owns the interface of the feature operators' CUDA kernels. Without CUDA what begins with cuda_ throws and says how to
// get it.
#pragma once
#include "common/bf16.h"
#include "common/limits.h"
#include "features/params.h"

namespace seisfast {

// How trace_embedding runs a gather: on the shared memory of a cluster, or through device memory.
struct EmbeddingPlan {
  int blocks;         // of a cluster; 0: through device memory
  int threads;        // of a block
  int shared;         // bytes of a block
  int parts;          // rows of grad_weights
  int64_t workspace;  // bytes, for all gathers
};

template <class S, class A>
EmbeddingPlan embedding_plan(const Embedding<S, A>& p, bool adjoint, const Limits& limits);

// For the current device; its driver is asked whether it can place a cluster of more than the usual 8 blocks.
template <class S, class A>
EmbeddingPlan cuda_embedding_plan(const Embedding<S, A>& p, bool adjoint);

// Launch on `stream` (a cudaStream_t); nothing is allocated, nothing waits. Throws std::runtime_error.
template <class S, class A>
void cuda_embedding(const Embedding<S, A>& p, const EmbeddingPlan& plan, bool adjoint, void* stream);

template <class S, class A>
int64_t norm_workspace(const Norm<S, A>& p, bool adjoint);
template <class S, class A>
void cuda_norm(const Norm<S, A>& p, bool adjoint, void* stream);

}  // namespace seisfast
