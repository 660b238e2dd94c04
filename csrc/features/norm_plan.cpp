// Owns the size of the fused norm's workspace.
#include "features/cuda.h"
#include "features/norm_channels.h"

namespace seisfast {

// Enough for any alignment of the arrays, for that is known only when they all exist.
template <class S, class A>
int64_t norm_workspace(const Norm<S, A>& p, bool adjoint) {
  if (!norm::channels_last(p) || p.elements() == 0 || (p.given && !adjoint)) return 0;
  int64_t most = 0;
  for (int width = 16 / int(sizeof(S)); width > 0; width /= 2) {
    const int64_t chunks = norm::cut_channels(p, width).chunks;
    if (chunks > most) most = chunks;
  }
  const size_t sum = adjoint ? sizeof(norm::Sums<A>) : sizeof(Moments<A>);
  return most * p.channels * int64_t(sum / sizeof(A));
}

template int64_t norm_workspace(const Norm<float, float>&, bool);
template int64_t norm_workspace(const Norm<Bf16, float>&, bool);
template int64_t norm_workspace(const Norm<double, double>&, bool);

}  // namespace seisfast
