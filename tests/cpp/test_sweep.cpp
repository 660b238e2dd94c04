// The sweeps of threads that share a grid: every band takes every step once, after its neighbours' step before, and
// nobody is left waiting. On a line with layers of z, on one without, and in a ring.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <deque>

#include "acoustic/cpu_sweep.h"
#include "common/threads.h"

namespace {

using seisfast::Crew;
using seisfast::Cut;
using seisfast::Slab;
using seisfast::Span;

struct Grid {
  const char* name;
  int nz;
  Span free;
  bool ring;
};

// As the waves do, step t reads the neighbours at t and writes t + 1 over t - 1.
struct Trial {
  Crew crew;
  std::vector<int> field[2];

  Trial(int parts, int bands)
      : crew(parts), field{std::vector<int>(size_t(bands), 0), std::vector<int>(size_t(bands), -1)} {}
};

// Many trials by the same threads, each with a crew of its own: the last step of a crew wakes nobody later.
bool ordered(const Grid& grid, int members, int depth, int times) {
  const int bands = grid.nz / seisfast::kBand;
  const Cut cut(grid.nz, bands, grid.free, true);
  std::deque<Trial> trials;
  for (int i = 0; i < times; ++i) trials.emplace_back(cut.parts, bands);
  std::atomic<bool> right{true};
  seisfast::run_threads(members, [&](int member, int found) {
    for (Trial& trial : trials) {
      Slab slab(cut, grid.ring, depth, trial.crew, member, found);
      int t = 0;
      for (const int count : {1, 6, 0, 3}) {
        slab.sweep(count, [&](int i, int band) {
          const std::vector<int>& now = trial.field[(t + i) & 1];
          for (const int beside : {band - 1, band, band + 1}) {
            const int other = grid.ring ? (beside + bands) % bands : std::clamp(beside, 0, bands - 1);
            if (now[size_t(other)] != t + i) right = false;
          }
          int& next = trial.field[(t + i + 1) & 1][size_t(band)];
          if (next != t + i - 1) right = false;
          next = t + i + 1;
        });
        t += count;
      }
    }
  });
  return right && std::all_of(trials.begin(), trials.end(), [&](const Trial& trial) {
           return std::count(trial.field[0].begin(), trial.field[0].end(), 10) == bands;
         });
}

// Every row once when all bands of a part have moved down.
bool complete(const Grid& grid, bool shared, int reach) {
  const int bands = grid.nz / seisfast::kBand;
  const Cut cut(grid.nz, bands, grid.free, shared);
  Crew crew(cut.parts);
  const Slab slab(cut, grid.ring, 1, crew, 0, shared ? 2 : 1);
  int row = 0;
  for (int band = 0; band < bands; ++band) {
    const Span moved = slab.ahead(seisfast::band_rows(band, bands, grid.nz), reach);
    if (moved.begin != row) return false;
    row = moved.end;
  }
  return row == grid.nz;
}

}  // namespace

int main() {
#ifdef SEISFAST_TEST_THREADS
  const int times = 200;
#else
  const int times = 4000;
#endif
  int passed = 0, failed = 0;
  auto tell = [&](const Grid& grid, const char* what, bool right) {
    if (!right) std::printf("wrong: %s, %s\n", grid.name, what);
    right ? ++passed : ++failed;
  };
  for (const Grid& grid : {Grid{"layers", 16 * 9 + 5, {18, 120}, false}, Grid{"no layers", 16 * 6, {0, 96}, false},
                           Grid{"one below", 16 * 5 + 15, {0, 60}, false}, Grid{"ring", 16 * 6 + 3, {0, 99}, true}}) {
    for (const int members : {1, 2, 3})
      for (const int depth : {1, 4}) tell(grid, "order", ordered(grid, members, depth, times));
    for (const bool shared : {false, true}) tell(grid, "rows ahead", complete(grid, shared, 8));
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
