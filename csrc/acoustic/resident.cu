// Owns the kernel of blocks that work alone: resident (a block holds a whole shot) and tiled (a block holds a tile).
#include "acoustic/launch.h"
#include "acoustic/onchip.cuh"

namespace seisfast {

template <class T>
void launch_alone(const Place<T>& place, const Tiling& tiling, const Chunk<T>& chunk, bool backwards, void* stream) {
  onchip::launch_chunk<T, false>(place, tiling, chunk, backwards, static_cast<cudaStream_t>(stream));
}

template void launch_alone(const Place<float>&, const Tiling&, const Chunk<float>&, bool, void*);
template void launch_alone(const Place<double>&, const Tiling&, const Chunk<double>&, bool, void*);

}  // namespace seisfast
