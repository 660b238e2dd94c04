// Owns how the on-chip engines cut a padded grid into blocks, and where things lie in the shared memory of a block.
//
// resident: one block holds the whole grid.      cluster: blocks_z slabs of rows that exchange edge rows every step.
// tiled: overlapped tiles; each runs `steps` steps from device memory to device memory, while what is wrong at its
// edges, for want of neighbours, grows inwards by the stencil's reach per step and never meets the cells that it owns.
#pragma once
#include "acoustic/step.h"

namespace seisfast {

enum class Engine : int { plain = 0, resident = 1, cluster = 2, tiled = 3 };

// The launch of an on-chip engine.
struct Tiling {
  Engine engine;
  int blocks_z, blocks_x;  // of a shot
  int rows, columns;       // of the largest block
  int halo;                // cells that tiles share with a neighbour on each side; 0 unless tiled
  int steps;               // of one launch
  int strip;               // cells that a layer strip may hold: 0 (sponge), kStrip or kWideStrip

  SEISFAST_HD constexpr int blocks() const { return blocks_z * blocks_x; }
};

constexpr int kStrip = 20;      // a layer of 14 cells at every order
constexpr int kWideStrip = 28;  // one of 20 cells

inline namespace SEISFAST_LEVEL {

SEISFAST_HD constexpr int up4(int n) { return (n + 3) / 4 * 4; }

// One block's part of the padded grid. Local row r is grid row z0 + r, modulo the grid where it is periodic.
struct Tile {
  int z0, x0, rows, columns;
  int own_z0, own_z1, own_x0, own_x1;    // local cells that this block stores, records and images
  bool wrap_z, wrap_x;                   // the far edge of this block is the neighbour
  bool above, below;                     // another block of the cluster is
  bool mirror;                           // the free surface is
  int top, bottom, left, right;          // cells of the layer strips: layer, stencil's reach, up to a multiple of 4
  int strip_rows, strip_columns, width;  // top + bottom, left + right; columns up to a multiple of 4
};

// Cells of one axis: tile i of `count` starts at `begin` and owns [own0, own1), in grid cells.
struct Span {
  int begin, size, own0, own1;
};

// `unit` keeps the begin of non-periodic tiles on a multiple (of 4, for aligned loads).
SEISFAST_HD Span span_of(int cells, int count, int size, int halo, bool periodic, int unit, int i) {
  if (count == 1) return {0, cells, 0, cells};
  if (halo == 0) {  // slabs: the first ones are one row larger
    const int small = cells / count, extra = cells % count;
    const int begin = i * small + (i < extra ? i : extra), n = small + (i < extra ? 1 : 0);
    return {begin, n, begin, begin + n};
  }
  if (periodic) {
    const int own0 = int(int64_t(i) * cells / count), own1 = int(int64_t(i + 1) * cells / count);
    return {own0 - halo, own1 - own0 + 2 * halo, own0, own1};
  }
  const int last = (cells + unit - 1) / unit * unit - size;  // begin of the last tile
  auto begin = [&](int k) { return int(int64_t(k) * last / (count - 1)) / unit * unit; };
  const int at = begin(i), end = at + size < cells ? at + size : cells;
  return {at, end - at, i == 0 ? 0 : at + halo, i == count - 1 ? cells : begin(i + 1) + halo};
}

SEISFAST_HD int strip_cells(int layer, int reach) { return layer ? up4(layer + reach) : 0; }

template <class T>
SEISFAST_HD Tile tile_of(const Acoustic<T>& p, const Tiling& tiling, int block) {
  const Grid& g = p.grid;
  const int bz = block / tiling.blocks_x, bx = block % tiling.blocks_x, nz = g.nz_p(), nx = g.nx_p();
  const Span z = span_of(nz, tiling.blocks_z, tiling.rows, tiling.halo, p.sponge, 1, bz);
  const Span x = span_of(nx, tiling.blocks_x, tiling.columns, tiling.halo, p.sponge, 4, bx);
  Tile t{};
  t.z0 = z.begin, t.rows = z.size, t.own_z0 = z.own0 - z.begin, t.own_z1 = z.own1 - z.begin;
  t.x0 = x.begin, t.columns = x.size, t.own_x0 = x.own0 - x.begin, t.own_x1 = x.own1 - x.begin;
  t.width = up4(t.columns);
  t.wrap_z = p.sponge && tiling.blocks_z == 1;
  t.wrap_x = p.sponge && tiling.blocks_x == 1;
  if (tiling.engine == Engine::cluster) {
    t.above = p.sponge || bz > 0;
    t.below = p.sponge || bz < tiling.blocks_z - 1;
  }
  t.mirror = p.free_surface && z.begin == 0;
  if (!p.sponge) {
    if (z.begin == 0) t.top = strip_cells(g.top, p.reach());
    if (z.begin + z.size == nz) t.bottom = strip_cells(g.bottom, p.reach());
    if (x.begin == 0) t.left = strip_cells(g.left, p.reach());
    if (x.begin + x.size == nx && g.right) t.right = up4(g.right + p.reach() + t.width - t.columns);
  }
  t.strip_rows = t.top + t.bottom;
  t.strip_columns = t.left + t.right;
  return t;
}

// Threads of a block and how many rows of four columns one of them can take, so that what it keeps stays in registers:
// strip lines, in the adjoint the gradient, and the strength of the first `held` rows. That of the others lies in shared
// memory. Chosen by compiling for sm_90: the largest that spills little or nothing.
struct Fit {
  int threads, rows, held;
};

SEISFAST_HD constexpr Fit fit(int bytes, int reach, int strip, bool adjoint) {
  const bool near = reach <= 2;
  if (bytes == 8) return {strip ? 256 : 512, strip ? 4 : 6, 2};
  if (strip == 0) return adjoint ? Fit{512, near ? 9 : 8, 1} : Fit{512, 13, near ? 11 : 6};
  if (strip == kWideStrip) return adjoint ? Fit{256, near ? 10 : 8, 1} : Fit{256, near ? 14 : 10, 3};
  if (adjoint) return {256, near ? 16 : 12, 2};
  return {256, 16, near ? 16 : 12};
}

// Shared memory of a block, in elements of T from its begin, each part on a multiple of 4.
//
// Two images of the field, u[n] and u[n - 1], with a border as wide as any stencil's reach. Rows of a non-periodic
// image share their border: what is right of a row is left of the next. The pitch, odd in units of four cells, lets a
// warp whose lanes take four cells of 32 rows read without bank conflicts.
struct Shared {
  int pitch, origin, image;  // origin: cell (0, 0) of an image
  int side_pitch;
  int strip_z, strip_x, profile, strength, flag, size;

  SEISFAST_HD int at(int row, int column) const { return origin + row * pitch + column; }
};

template <class T>
SEISFAST_HD Shared shared_of(const Acoustic<T>& p, const Tiling& tiling, bool adjoint) {
  const int width = up4(tiling.columns), reach = p.reach();
  Shared s{};
  s.pitch = width + (p.sponge ? 8 : 4);
  if (s.pitch % 8 == 0 && !p.sponge) s.pitch += 4;
  s.origin = reach * s.pitch + 4;
  s.image = up4((tiling.rows + 2 * reach) * s.pitch + 8);
  int next = 2 * s.image;
  if (!p.sponge) {
    const int strip_rows = strip_cells(p.grid.top, reach) + strip_cells(p.grid.bottom, reach);
    const int strip_columns = strip_cells(p.grid.left, reach) + (p.grid.right ? up4(p.grid.right + reach + 3) : 0);
    s.strip_z = next, next += strip_rows * width;
    s.side_pitch = strip_columns % 8 ? strip_columns : strip_columns + 4;
    s.strip_x = next, next += tiling.rows * s.side_pitch;
    s.profile = next, next += 4 * 2 * tiling.strip;
  } else {
    s.profile = next, next += up4(tiling.rows);
  }
  const Fit f = fit(sizeof(T), reach, tiling.strip, adjoint);
  const int bands = f.threads / (width / 4), each = bands > 0 ? (tiling.rows + bands - 1) / bands : 0;
  s.strength = next, next += each > f.held ? (each - f.held) * f.threads * 4 : 0;
  s.flag = next;
  s.size = next + 4;
  return s;
}

}  // namespace SEISFAST_LEVEL
}  // namespace seisfast
