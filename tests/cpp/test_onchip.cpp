// The on-chip engines' own code on the CPU, threads and blocks in shuffled orders, against the CPU engine: equal to the
// bit for every order, boundary, storage, cluster size and tiling; planted missing barriers are noticed.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <set>

#include "acoustic/onchip.h"
#include "acoustic/plan.h"
#include "common/flush.h"
#include "common/lockstep.h"
#include "small_run.h"

namespace {

using seisfast::Engine;
using seisfast::Tiling;
namespace onchip = seisfast::onchip;

#ifdef SEISFAST_TEST_SMALL  // under sanitizers: fewer cases, and fewer of them compiled
constexpr bool kSmall = true;
using Reaches = std::integer_sequence<int, 2, 4>;
#else
constexpr bool kSmall = false;
using Reaches = onchip::AllReaches;
#endif

// Stands for the CUDA launches. `missing` plants an error: 1 leaves out a block's barriers, 2 those of a cluster.
template <class T>
struct OnCpu {
  unsigned seed;
  int missing = 0;

  template <class Phase>
  void operator()(int64_t count, int first, int jobs, Phase phase) const {
    seisfast::Lockstep{seed}(count, first, jobs, phase);
  }

  void chunk(const seisfast::Place<T>& place, const Tiling& tiling, const seisfast::Chunk<T>& chunk,
             bool backwards) const {
    onchip::with_variant<T>(
        place.p.order, tiling.strip, backwards,
        [&](auto variant) {
          const bool group = tiling.engine == Engine::cluster;
          for (int job = 0; job < place.p.count; ++job)
            for (int block = 0; block < tiling.blocks(); block += group ? tiling.blocks() : 1)
              blocks(variant, place, tiling, chunk, job, block, group ? tiling.blocks() : 1);
        },
        Reaches{});
  }

 private:
  template <class V>
  void blocks(V, const seisfast::Place<T>& place, const Tiling& tiling, const seisfast::Chunk<T>& chunk, int job,
              int first, int count) const {
    using Me = typename V::Me;
    using Group = seisfast::LockstepGroup<Me, onchip::Block<T>>;
    Group group;
    group.generator.seed(seed);
    group.missing = typename Group::Missing(missing);
    const int threads = V::kFit.threads;
    // Shared memory begins with what the last kernel left there.
    std::vector<std::vector<T>> memory(size_t(count),
                                       std::vector<T>(size_t(seisfast::shared_of(place.p, tiling, V::kAdjoint).size),
                                                      std::numeric_limits<T>::quiet_NaN()));
    for (int b = 0; b < count; ++b) {
      group.blocks.push_back(onchip::block_of(place, chunk, tiling, V::kAdjoint, job, first + b, threads,
                                              memory[size_t(b)].data(),
                                              [&](int rank) { return memory[size_t(rank)].data(); }));
      group.threads.emplace_back(size_t(threads));
      for (int t = 0; t < threads; ++t) group.threads.back()[size_t(t)].id = t;
    }
    onchip::run_chunk<T, V::kReach, V::kStrip, V::kAdjoint>(group, chunk);
    group.finish();
  }
};

template <class T>
void run_on_chip(Run<T>& run, const Tiling& forward, const Tiling& adjoint, const OnCpu<T>& launch, int split = 0) {
  for (const bool backwards : {false, true})
    run.in_ranges(split, [&] {
      const Tiling& tiling = backwards ? adjoint : forward;
      run.workspace.assign(size_t(run.p.count * onchip::Parts<T>(run.p, tiling, backwards).size()),
                           std::numeric_limits<T>::quiet_NaN());
      run.p.workspace = run.workspace.data();
      run.p.data = backwards ? nullptr : run.data.data();  // what the operator of this direction is not given
      onchip::Run<T, OnCpu<T>> engine(run.p, tiling, backwards, launch);
      backwards ? engine.adjoint() : engine.forward();
    });
}

// Records and gradients, bit by bit.
template <class T>
bool agrees(const Case& c, const Run<T>& cpu, const Tiling& forward, const Tiling& adjoint, unsigned seed,
            int split = 0) {
  Run<T> chip(c);
  for (auto* values : {&chip.data, &chip.kept, &chip.checkpoints, &chip.grad_velocity, &chip.grad_wavelet})
    std::fill(values->begin(), values->end(), std::numeric_limits<T>::quiet_NaN());  // as a new tensor may be
  if (c.half) std::fill(chip.scales.begin(), chip.scales.end(), std::numeric_limits<T>::quiet_NaN());
  run_on_chip(chip, forward, adjoint, OnCpu<T>{seed}, split);
  const bool equal = same_results(cpu, chip);
  bool alive = false;
  for (const T x : cpu.data) alive = alive || x != 0;
  if (!equal)
    std::printf("differs: %s, %zu-byte numbers, engine %d, %d x %d blocks of %d x %d, %d steps, strip %d\n",
                describe(c).c_str(), sizeof(T), int(forward.engine), forward.blocks_z, forward.blocks_x, forward.rows,
                forward.columns, forward.steps, forward.strip);
  if (!alive) std::printf("silent record: %s\n", describe(c).c_str());
  return equal && alive;
}

struct Count {
  int passed = 0, failed = 0;
  void operator()(bool ok) { ok ? ++passed : ++failed; }
};

// Every engine and tiling that takes this case.
template <class T>
void check_case(const Case& c, unsigned seed, Count& count, std::multiset<int>& seen) {
  Run<T> cpu(c);
  cpu.on_cpu();
  Tiling forward{}, adjoint{};
  for (const int blocks : {1, 2, 3, 4, 7}) {
    if (blocks > 1 && sizeof(T) == 8) continue;
    if (!seisfast::slab_grid(cpu.p, false, blocks, forward).empty()) continue;
    if (!seisfast::slab_grid(cpu.p, true, blocks, adjoint).empty()) continue;
    seen.insert(int(forward.engine));
    count(agrees(c, cpu, forward, adjoint, seed + unsigned(blocks), blocks > 1 ? 1 : 0));
  }
  if (sizeof(T) == 8) return;
  const int tiles[][3] = {{32, 32, 1}, {28, 1000, 2}, {1000, 40, 2}, {44, 44, 3}};
  for (const auto& tile : tiles) {
    if (!seisfast::tile_grid(cpu.p, false, tile[0], tile[1], tile[2], forward).empty()) continue;
    if (!seisfast::tile_grid(cpu.p, true, tile[0], tile[1], tile[2], adjoint).empty()) continue;
    if (forward.blocks() == 1) continue;
    seen.insert(int(forward.engine));
    count(agrees(c, cpu, forward, adjoint, seed, 1));
  }
}

// Sizes that people run, as the choice of engine cuts them for an H100.
void check_real_sizes(Count& count) {
  const Case cases[] = {
      {100, 100, 4, Edge::cpml, Keep::steps, 1, false, false, false, 14},
      {100, 98, 8, Edge::free_top, Keep::checkpoints, 1, false, false, true, 14},
      {70, 70, 4, Edge::sponge, Keep::steps, 2, true, false, false, 120},
      {100, 100, 8, Edge::cpml, Keep::steps, 1, false, false, false, 20},
      {308, 301, 4, Edge::cpml, Keep::checkpoints, 1, false, false, false, 14},
      {300, 263, 6, Edge::sponge, Keep::steps, 1, false, false, false, 100},
  };
  const seisfast::Limits chip{227 * 1024, 16, 132};
  auto yes = [](const Tiling&) { return true; };
  for (const Case& c : cases) {
    Run<float> cpu(c);
    cpu.on_cpu();
    const Tiling forward = seisfast::plan(cpu.p, seisfast::Task::forward, -1, chip, yes).tiling;
    const Tiling adjoint = seisfast::plan(cpu.p, seisfast::Task::adjoint, -1, chip, yes).tiling;
    const bool chosen = forward.engine != Engine::plain && adjoint.engine != Engine::plain;
    if (!chosen) std::printf("no engine on chip: %s\n", describe(c).c_str());
    count(chosen && agrees(c, cpu, forward, adjoint, 3, 1));
  }
}

bool missing_barrier_shows(int missing, int blocks) {
  const Case c{28, 20, 4, Edge::cpml, Keep::steps, 1, false, false, false};
  Run<float> right(c), wrong(c);
  right.on_cpu();
  Tiling forward{}, adjoint{};
  seisfast::slab_grid(right.p, false, blocks, forward);
  seisfast::slab_grid(right.p, true, blocks, adjoint);
  run_on_chip(wrong, forward, adjoint, OnCpu<float>{7, missing});
  const bool shows = !same(right.data, wrong.data) && !same(right.grad_velocity, wrong.grad_velocity);
  if (!shows) std::printf("a missing barrier (%d) was not noticed\n", missing);
  return shows;
}

}  // namespace

int main() {
  const seisfast::FlushSubnormals flush;  // as on CUDA
  std::vector<Case> cases;
  const int sizes[][2] = {{13, 17}, {41, 30}, {33, 51}};
  for (const auto& size : sizes)
    for (const int order : {2, 4, 6, 8})
      for (const Edge edge : {Edge::cpml, Edge::sponge, Edge::free_top, Edge::rigid}) {
        if (kSmall && (size[0] != 41 || order == 2 || order == 6)) continue;
        if (size[0] == 33 && order != 4) continue;
        cases.push_back({size[0], size[1], order, edge, Keep::steps, 1, false, false, false});
        cases.push_back({size[0], size[1], order, edge, Keep::checkpoints, 1, false, false, true});
        cases.push_back({size[0], size[1], order, edge, Keep::steps, 3, true, false, order == 4});
      }
  for (const Edge edge : {Edge::cpml, Edge::sponge}) {
    cases.push_back({25, 30, 4, edge, Keep::nothing, 1, false, false, false});
    cases.push_back({25, 30, 4, edge, Keep::steps, 2, false, false, false});
  }
  for (const int order : {4, 8})
    cases.push_back({47, 31, order, Edge::wide, Keep::checkpoints, 1, false, false, false});
  Count count;
  std::multiset<int> seen;
  for (const Case& c : cases) {
    check_case<float>(c, 1, count, seen);
    if constexpr (!kSmall) check_case<double>(c, 2, count, seen);
  }
  for (const Engine engine : {Engine::resident, Engine::cluster, Engine::tiled}) {
    std::printf("engine %d: %zu runs\n", int(engine), seen.count(int(engine)));
    count(seen.count(int(engine)) >= (kSmall ? 10 : 100));
  }
  if (!kSmall) check_real_sizes(count);
  count(missing_barrier_shows(1, 1));
  count(missing_barrier_shows(2, 2));
  std::printf("%d passed, %d failed\n", count.passed, count.failed);
  return count.failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
