// Owns the kernel of a cluster: its blocks hold slabs of one shot and write edge rows into each other's shared memory.
// Chips before sm_90 have no clusters; code for them has no such kernel.
#include "acoustic/launch.h"
#include "acoustic/onchip.cuh"

namespace seisfast {

void launch_cluster(const Place<float>& place, const Tiling& tiling, const Chunk<float>& chunk, bool backwards,
                    void* stream) {
  onchip::launch_chunk<float, true>(place, tiling, chunk, backwards, static_cast<cudaStream_t>(stream));
}

bool accepts_cluster(const Acoustic<float>& p, const Tiling& tiling, bool backwards) {
  int active = 0;
  try {
    onchip::with_variant<float>(p.order, tiling.strip, backwards, [&](auto variant) {
      using V = decltype(variant);
      cudaLaunchAttribute attribute{};
      const cudaLaunchConfig_t config = onchip::configure<float, V, true>(p, tiling, nullptr, attribute);
      check(cudaOccupancyMaxActiveClusters(&active, onchip::chunk_kernel<float, V, true>, &config),
            "asking for clusters");
    });
  } catch (const std::runtime_error&) {  // a refusal is an answer, not an error
    cudaGetLastError();
    return false;
  }
  return active > 0;
}

}  // namespace seisfast
