// Owns what a thread and a block of an on-chip engine hold, and the way from a cell of the grid into an image.
#pragma once
#include "acoustic/place.h"
#include "acoustic/tile.h"

namespace seisfast {

// Steps [begin, end) of the jobs of a call, forward or backwards, from state to state. A state is laid out as a
// checkpoint: u, u_prev, psi_x, zeta_x, psi_z, zeta_z; of the adjoint mu, mu_later, t_x, r_x, t_z, r_z.
template <class T>
struct Chunk {
  int begin, end;
  const T* from;  // state before; null: all zero
  T* to;          // state after; null: not needed
  int64_t from_stride, to_stride;

  // Laplacians of every `every`-th step, written forward and read backwards; null: none. Element 0 is step `kept_begin`
  // of local job 0.
  void* kept;
  int64_t kept_stride;  // between jobs, in steps
  int kept_begin, every;
  bool half;        // read as float16 with `scales`
  const T* scales;  // of every kept step, `kept_stride` between jobs

  // Adjoint: where this call adds up the gradient of (v dt)^2, and per source; `first` begins them at zero.
  T *grad, *source_grad;
  int64_t grad_stride;
  bool first;
};

inline namespace SEISFAST_LEVEL {
namespace onchip {

struct Cell {
  int iz, ix;  // in the padded grid
};

// One thread: `rows` rows of four cells, and one strip line of each axis. What is indexed by k or w stays in registers
// as long as every loop over it is unrolled.
template <class T, int K, int H, int S, bool adjoint>
struct Thread {
  static constexpr int kRows = K;
  static constexpr int kStrip = S > 0 ? S : 1;
  static constexpr int kHeld = H;
  int id;
  int row, column, rows;  // local; rows == 0: none
  int low, high;          // rows k < low lie in the strip at the top, k >= high in the one at the bottom
  int strip_low, strip_high, strip_side;  // elements of shared memory with the strips' share of row 0; side < 0: none
  int own_begin, own_end;                 // rows that this block owns; none where it does not own the columns
  bool special;         // some cells are copied: to another block, across a periodic edge, into a mirror
  bool listens;         // some receiver lies in this block
  int sources, source;  // in this thread's cells: how many, and the first
  int source_at;        // forward: its place after row 0; adjoint: that of source `id` in an image, or -1
  int receiver_at;      // place of receiver `id` in an image, or -1: none, or several
  T source_strength, receiver_strength;
  T inner[4], damping[4];  // sponge: damping of a cell = inner * that of its row + damping
  T strength[H][4];        // (v dt)^2 of the first rows
  T grad[adjoint ? K : 1][4];
  T first_z[kStrip], second_z[kStrip], first_x[kStrip], second_x[kStrip];  // psi and zeta, or t and r
  T residual, pulse, source_grad;  // of receiver or source `id`, asked for ahead
};

// One block. `image(q)` is u[n] where q is the parity of n - chunk.begin.
template <class T>
struct Block {
  const Place<T>& place;
  const Acoustic<T>& p;  // place.p
  const Chunk<T>& chunk;
  const Tiling& tiling;
  Tile tile;
  Shared lay;
  int local, job, threads;
  T* memory;         // this block's shared memory
  T *above, *below;  // that of the neighbours (itself across a periodic edge), or null
  int above_rows;    // rows of the block above

  SEISFAST_HD Cell cell(const int32_t* at) const { return {at[0] + p.grid.top, at[1] + p.grid.left}; }
  SEISFAST_HD Cell receiver(int r) const { return cell(place.receiver(job, r)); }
  SEISFAST_HD Cell source(int s) const { return cell(place.source(job, s)); }
  SEISFAST_HD T strength(Cell at) const { return place.strength_at(job, at.iz, at.ix); }
  // Its element in a stored field.
  SEISFAST_HD int64_t element(Cell at) const { return int64_t(at.iz) * p.grid.row() + at.ix; }

  SEISFAST_HD T* image(int q) const { return memory + (q & 1) * lay.image; }
  SEISFAST_HD T* strip_z(int row) const { return memory + lay.strip_z + row * tile.width; }
  SEISFAST_HD T* strip_x(int row) const { return memory + lay.strip_x + row * lay.side_pitch; }
  SEISFAST_HD T& flag() const { return memory[lay.flag]; }
  SEISFAST_HD bool has_strips() const { return tile.strip_rows + tile.strip_columns > 0; }

  // Grid cell of a local one; a periodic grid may begin inside a tile.
  SEISFAST_HD Cell grid_cell(int row, int column) const {
    int iz = tile.z0 + row, ix = tile.x0 + column;
    if (p.sponge) {
      const int nz = p.grid.nz_p(), nx = p.grid.nx_p();
      iz += iz < 0 ? nz : iz >= nz ? -nz : 0;
      ix += ix < 0 ? nx : ix >= nx ? -nx : 0;
    }
    return {iz, ix};
  }

  // Local cell of a grid cell, if this block computes it; there is one at most.
  SEISFAST_HD bool find(Cell at, int& row, int& column) const {
    row = at.iz - tile.z0, column = at.ix - tile.x0;
    if (p.sponge) {
      const int nz = p.grid.nz_p(), nx = p.grid.nx_p();
      if (row >= nz) row -= nz;
      if (column >= nx) column -= nx;
      if (row < 0 && row + nz < tile.rows) row += nz;
      if (column < 0 && column + nx < tile.columns) column += nx;
    }
    return row >= 0 && row < tile.rows && column >= 0 && column < tile.columns;
  }
  SEISFAST_HD bool owns(int row, int column) const {
    return row >= tile.own_z0 && row < tile.own_z1 && column >= tile.own_x0 && column < tile.own_x1;
  }

  // Everywhere else in this block's image where a grid cell's value stands, beside its local cell: edges that a
  // neighbour fills, ghosts across a periodic edge, and the mirror (sign -1).
  template <class F>
  SEISFAST_HD void for_images(Cell at, F f) const {
    const int nz = p.grid.nz_p(), nx = p.grid.nx_p(), reach = p.reach();
    const int shifts_z = p.sponge ? 1 : 0, shifts_x = p.sponge ? 1 : 0;
    const int low = above || tile.wrap_z ? -reach : 0, high = tile.rows + (below || tile.wrap_z ? reach : 0);
    const int west = tile.wrap_x ? -reach : 0, east = tile.columns + (tile.wrap_x ? reach : 0);
    for (int i = -shifts_z; i <= shifts_z; ++i)
      for (int k = -shifts_x; k <= shifts_x; ++k) {
        const int row = at.iz - tile.z0 + i * nz, column = at.ix - tile.x0 + k * nx;
        if (row < low || row >= high || column < west || column >= east) continue;
        f(row, column, T(1));
        if (tile.mirror && row > 0 && row <= reach) f(-row, column, T(-1));
      }
  }

  // Whether some of a thread's cells are copied elsewhere: into a neighbour's edge rows, across a periodic edge, into
  // the mirror.
  SEISFAST_HD bool copies(int row, int rows, int column) const {
    const int reach = p.reach();
    return (above && row < reach) || (below && row + rows > tile.rows - reach) || (tile.mirror && row <= reach) ||
           (tile.wrap_x && (column < reach || column + 4 > tile.columns - reach));
  }
};

}  // namespace onchip
}  // namespace SEISFAST_LEVEL
}  // namespace seisfast
