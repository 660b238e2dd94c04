// Owns the interface between the door (engines.cu) and the CUDA kernels, which are compiled in files of their own.
#pragma once
#include "acoustic/onchip.h"

namespace seisfast {

// All phases of all steps.
template <class T>
void launch_plain(const Acoustic<T>& p, Task task, void* stream);

// Launch a chunk on `stream` (a cudaStream_t): every block on its own (resident, tiled), or as clusters.
template <class T>
void launch_alone(const Place<T>& place, const Tiling& tiling, const Chunk<T>& chunk, bool backwards, void* stream);
void launch_cluster(const Place<float>& place, const Tiling& tiling, const Chunk<float>& chunk, bool backwards,
                    void* stream);

// Whether the driver can place such a cluster on this device now.
bool accepts_cluster(const Acoustic<float>& p, const Tiling& tiling, bool backwards);

}  // namespace seisfast
