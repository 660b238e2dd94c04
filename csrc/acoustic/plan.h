// Owns the choice of an engine on CUDA: which one runs a grid on a chip with given limits, and why not a faster one.
#pragma once
#include <functional>
#include <string>

#include "acoustic/tile.h"
#include "common/limits.h"

namespace seisfast {

struct Plan {
  Tiling tiling;
  std::string reason;  // why no faster engine, or the engine asked for, runs; empty for the first choice
};

// `wanted` is Engine::plain .. Engine::tiled, or nothing (negative) for the fastest. `accepts` asks the driver whether a
// cluster can be launched. An engine that is asked for and does not fit gives plain and the reason; born and curvature
// have no other, and no reason.
template <class T>
Plan plan(const Acoustic<T>& p, Task task, int wanted, const Limits& limits,
          const std::function<bool(const Tiling&)>& accepts);

// Overlapped tiles of at most rows x columns cells that advance `steps` steps per launch. Empty: `tiling` is set;
// otherwise why not.
template <class T>
std::string tile_grid(const Acoustic<T>& p, bool adjoint, int rows, int columns, int steps, Tiling& tiling);

// Slabs of rows for a cluster of `blocks`, or the whole grid in one block.
template <class T>
std::string slab_grid(const Acoustic<T>& p, bool adjoint, int blocks, Tiling& tiling);

// Elements of T per job that an engine works in, in device memory.
template <class T>
int64_t workspace_elements(const Acoustic<T>& p, const Tiling& tiling, Task task);

// Bytes of shared memory of a block.
template <class T>
int shared_bytes(const Acoustic<T>& p, const Tiling& tiling, bool adjoint);

}  // namespace seisfast
