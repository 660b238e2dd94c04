// Owns the description of one acoustic run: what Python hands over, by value, to every engine.
#pragma once
#include <cstdint>

namespace seisfast {

constexpr int kMaxReach = 4;  // order 8
constexpr int kBlock = 16;    // rows are padded to a multiple of this many cells, so that vector loops have no tail

// Arrays that lie one after the other start at multiples of 16 bytes.
constexpr int64_t align4(int64_t elements) { return (elements + 3) / 4 * 4; }

// What a run computes: records; their transpose; their derivative along tangents of velocity and wavelet (Born
// modelling); the derivative of the transpose along tangents of all it depends on (Hessian-vector products).
enum class Task : int { forward = 0, adjoint = 1, born = 2, curvature = 3 };
constexpr bool has_tangents(Task task) { return task == Task::born || task == Task::curvature; }

enum class Keep : int { nothing = 0, steps = 1, checkpoints = 2 };

// Cells of the model and of the grid around it, where the layers lie.
struct Grid {
  int nz, nx;                    // model
  int top, bottom, left, right;  // cells added on each side

  constexpr int nz_p() const { return nz + top + bottom; }
  constexpr int nx_p() const { return nx + left + right; }
  constexpr int row() const { return (nx_p() + kBlock - 1) / kBlock * kBlock; }
  constexpr int64_t cells() const { return int64_t(nz_p()) * row(); }  // one stored field
};

template <class T>
struct Weights {
  T d1z[kMaxReach + 1], d1x[kMaxReach + 1];  // first differences at distance 1 .. reach, over the spacing; 1/m
  T d2z[kMaxReach + 1], d2x[kMaxReach + 1];  // second differences at distance 0 .. reach, over its square; 1/m^2
  T centre;                                  // d2z[0] + d2x[0]
};

template <class T>
struct Acoustic {
  Grid grid;
  int order;                    // 2, 4, 6, 8
  int models, shots, per_shot;  // per_shot: sources fired together
  int first, count;             // jobs (model * shots + shot) of this call: [first, first + count)
  int receivers, nt;
  bool sponge;            // OpenFWI's frame on a periodic grid; else C-PML
  bool free_surface;      // zero pressure on row 0, odd mirror above
  bool vmin_gradient;     // sponge: keep u[n] - u[n-1] as well, for the derivative through the slowest velocity
  bool receivers_repeat;  // a cell occurs twice among the receivers of a shot
  T dt;                   // s
  Weights<T> weights;

  const T* velocity;  // [models, nz, nx], m/s
  const T* slowest;   // [models], m/s, sponge only
  const T* profile;   // C-PML: a_z, b_z [nz_p], a_x, b_x [nx_p]; sponge: z [nz_p], x [nx_p], s/m
  const T* wavelet;   // [models, shots, per_shot, nt] by strides, time contiguous
  int64_t wavelet_model, wavelet_shot, wavelet_source;  // strides in elements, 0 where shared
  const int32_t* sources;                               // [shots, per_shot, 2], (iz, ix) in the model
  const int32_t* receiver_cells;                        // [shots or 1, receivers, 2]
  int64_t receiver_shot;                                // stride between shots in elements, 0 where shared

  Keep keep;    // what the forward run leaves for the adjoint
  int every;    // keep the Laplacian of every k-th step
  int segment;  // steps between checkpoints
  bool half;    // kept steps as float16, scaled per shot and step

  T* data;         // [models, shots, nt, receivers]
  void* kept;      // [models * shots, kept steps, channels, cells] of T or float16
  T* scales;       // [models * shots, kept steps, channels], half only
  T* checkpoints;  // [models * shots, checkpoints, state()]

  // Forward: so many fields, after step first_snapshot and every `snapshot` steps later.
  int snapshots, first_snapshot, snapshot;
  T* fields;  // [models, shots, snapshots, nz, nx]

  // Adjoint, and curvature, which puts derivatives into the results.
  const T* grad_data;  // as data
  T* grad_velocity;    // [models, shots, nz, nx], summed over the shots by the caller in fixed order
  T* grad_wavelet;     // [models, shots, per_shot, nt]
  T* grad_slowest;     // [models, shots], vmin_gradient only

  // Tangents of born and curvature. born puts the derivative of the records into `data`.
  const T* velocity_t;   // as velocity
  const T* wavelet_t;    // [models, shots, per_shot, nt]
  const T* grad_data_t;  // as data, curvature only

  void* workspace;  // CUDA: `workspace_elements` (plan.h) of T for every job of the call; zero for the plain engine

  constexpr int reach() const { return order / 2; }
  constexpr int jobs() const { return models * shots; }
  constexpr int channels() const { return vmin_gradient ? 2 : 1; }
  constexpr int kept_steps() const { return 1 + (nt - 1) / every; }
  constexpr bool shows(int n) const {
    const int later = n - first_snapshot;
    return snapshots && later >= 0 && later % snapshot == 0 && later / snapshot < snapshots;
  }
  constexpr int64_t shown(int job, int n) const {  // where in `fields`
    return (int64_t(job) * snapshots + (n - first_snapshot) / snapshot) * grid.nz * grid.nx;
  }
  constexpr int segments() const { return (nt + segment - 1) / segment; }
  // Elements of one memory variable of the side layers, [nz_p, left + right], and of those above and below, [.., row].
  constexpr int64_t side_cells() const { return sponge ? 0 : int64_t(grid.nz_p()) * (grid.left + grid.right); }
  constexpr int64_t layer_cells() const { return sponge ? 0 : int64_t(grid.top + grid.bottom) * grid.row(); }
  // Elements of a saved state: u, u_prev; psi and zeta of x, of z; no gaps but at the end.
  constexpr int64_t state() const { return align4(2 * (grid.cells() + side_cells() + layer_cells())); }
};

}  // namespace seisfast
