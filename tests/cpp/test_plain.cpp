// The plain CUDA engine's phases on the CPU, threads shuffled, against the CPU engine: equal to the bit, every order,
// boundary, dtype and storage, odd and tiny sizes, every task; jobs in two ranges; and a planted missing barrier is
// noticed.
#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "acoustic/plain.h"
#include "common/flush.h"
#include "common/lockstep.h"
#include "small_run.h"

namespace {

using seisfast::Task;

// A task in the plain engine's phases, in lockstep.
template <class T, class Launch>
void in_lockstep(Run<T>& run, Task task, const Launch& launch, int split = 0) {
  run.in_ranges(split, [&] {
    run.workspace.assign(size_t(run.p.count * seisfast::plain::layout(run.p, task).size), T(0));
    run.p.workspace = run.workspace.data();
    seisfast::plain::run(run.p, task, launch);
  });
}
template <class T, class Launch>
void in_lockstep(Run<T>& run, const Launch& launch, int split = 0) {
  for (const Task task : {Task::forward, Task::adjoint}) in_lockstep(run, task, launch, split);
}

template <class T>
bool is_alive(const std::vector<T>& values) {
  return std::any_of(values.begin(), values.end(), [](T x) { return x != 0; });
}

template <class T>
bool agrees(const Case& c, unsigned seed) {
  Run<T> cpu(c), cuda(c);
  cpu.on_cpu();
  in_lockstep(cuda, seisfast::Lockstep{seed});
  const bool equal = same_results(cpu, cuda), alive = is_alive(cpu.data);
  if (!equal) std::printf("differs: %s, %zu-byte numbers\n", describe(c).c_str(), sizeof(T));
  if (!alive) std::printf("silent record: %s\n", describe(c).c_str());
  return equal && alive;
}

// The two tasks along tangents, all jobs in one call of the CPU engine, in lockstep split in two.
template <class T>
bool tangents_agree(const Case& c, unsigned seed, int split) {
  Run<T> cpu(c), cuda(c);
  bool equal = true, alive = true;
  for (const Task task : {Task::born, Task::curvature}) {
    seisfast::cpu_run(cpu.p, task, 2);
    in_lockstep(cuda, task, seisfast::Lockstep{seed}, split);
    const bool born = task == Task::born;
    alive = alive && (born ? is_alive(cpu.data) : is_alive(cpu.grad_velocity) && is_alive(cpu.grad_wavelet));
    equal = equal && same_results(cpu, cuda);
  }
  if (!equal) std::printf("tangents differ: %s, %zu-byte numbers\n", describe(c).c_str(), sizeof(T));
  if (!alive) std::printf("silent tangents: %s\n", describe(c).c_str());
  return equal && alive;
}

// Runs psi and the time step as one phase: the barrier between them is missing.
struct WithoutBarrier {
  seisfast::Lockstep launch;
  template <class Phase>
  void operator()(int64_t count, int first, int jobs, Phase phase) const {
    launch(count, first, jobs, phase);
  }
  template <class T, int R>
  void operator()(int64_t count, int first, int jobs, seisfast::plain::Psi<T, R> phase) const {
    const int cells = int(phase.p.grid.cells());
    const seisfast::plain::Advance<T, R> advance{phase, phase.p.keep == Keep::steps};
    launch(count + cells, first, jobs, [&](int i, int job) { i < count ? phase(i, job) : advance(i - count, job); });
  }
  template <class T, int R>
  void operator()(int64_t, int, int, seisfast::plain::Advance<T, R>) const {}
};

bool missing_barrier_shows() {
  const Case c{9, 11, 4, Edge::cpml, Keep::steps, 1, false, false, false};
  Run<float> right(c), wrong(c);
  right.on_cpu();
  in_lockstep(wrong, WithoutBarrier{{7}});
  const bool shows = !same(right.data, wrong.data);
  if (!shows) std::printf("a missing barrier was not noticed\n");
  return shows;
}

// Three jobs in one call and the last in another, on both engines, against all in one.
bool ranges_agree(const Case& c) {
  Run<float> whole(c), cpu(c), cuda(c);
  whole.on_cpu();
  cpu.on_cpu(3);
  in_lockstep(cuda, seisfast::Lockstep{5}, 3);
  const bool equal = same_results(whole, cpu) && same_results(whole, cuda);
  if (!equal) std::printf("differs in two ranges: %s\n", describe(c).c_str());
  return equal;
}

}  // namespace

int main() {
  const seisfast::FlushSubnormals flush;  // as on CUDA
#ifdef SEISFAST_TEST_SMALL                // under sanitizers
  const bool small = true;
#else
  const bool small = false;
#endif
  std::vector<Case> cases;
  const int sizes[][2] = {{9, 11}, {5, 1}, {13, 20}};
  for (const auto& size : sizes)
    for (const int order : {2, 4, 6, 8})
      for (const Edge edge : {Edge::cpml, Edge::sponge, Edge::free_top, Edge::rigid}) {
        if (small && size[0] == 13) continue;
        cases.push_back({size[0], size[1], order, edge, Keep::steps, 1, false, false, size[1] < 3});
        cases.push_back(
            {size[0], size[1], order, edge, Keep::checkpoints, 1, false, edge == Edge::sponge, size[1] < 3});
        cases.push_back({size[0], size[1], order, edge, Keep::steps, 3, true, edge == Edge::sponge, true});
      }
  for (const Edge edge : {Edge::cpml, Edge::sponge, Edge::rigid})
    cases.push_back({1, 1, 8, edge, Keep::checkpoints, 1, false, false, true});
  for (const int segment : {1, 23})  // a checkpoint of every step, of the first alone
    cases.push_back({9, 11, 4, Edge::cpml, Keep::checkpoints, 1, false, false, false, -1, segment});
  int passed = 0, failed = 0;
  for (const Case& c : cases) {
    const bool ok = agrees<float>(c, 1) && agrees<double>(c, 2);
    ok ? ++passed : ++failed;
    if (c.vmin_gradient) continue;  // its tangents are the twin's
    tangents_agree<float>(c, 3, 0) && tangents_agree<double>(c, 4, 3) ? ++passed : ++failed;
  }
  missing_barrier_shows() ? ++passed : ++failed;
  ranges_agree({9, 11, 4, Edge::cpml, Keep::checkpoints, 1, false, false, false}) ? ++passed : ++failed;
  ranges_agree({9, 11, 4, Edge::sponge, Keep::steps, 3, true, true, true}) ? ++passed : ++failed;
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
