// The CPU engine's shots, shared by several threads and on a slope in time, against one thread that takes one step after
// the other: equal to the bit, every order, boundary and storage.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "common/flush.h"
#include "common/threads.h"
#include "small_run.h"

namespace {

using seisfast::Task;

// All jobs of every task, each shared by up to `members` threads: what they left behind, and how many threads there were.
std::vector<std::vector<float>> run_shared(Run<float>& run, int members, int depth, int& most) {
  std::vector<std::vector<float>> results;
  const seisfast::MakeCpuShot<float> make = seisfast::cpu_shot<float>(run.p.order);
  for (const Task task : {Task::forward, Task::adjoint, Task::born, Task::curvature}) {
    if (run.p.vmin_gradient && task == Task::born) break;
    for (int job = 0; job < run.p.jobs(); ++job) {
      const int64_t size = make(run.p, task, job, nullptr)->workspace();
      std::vector<float> memory(size_t(size) + 16, 1e30f);  // a shot clears what it needs
      float* begin = memory.data() + (64 - reinterpret_cast<uintptr_t>(memory.data()) % 64) / sizeof(float) % 16;
      const std::unique_ptr<seisfast::CpuShot> shot = make(run.p, task, job, begin);
      const int sharing = std::min(members, shot->most_members());
      seisfast::Crew crew(shot->parts());
      seisfast::run_threads(sharing, [&](int member, int found) {
        const seisfast::FlushSubnormals flush;
        shot->run(crew, member, found, depth);
      });
      shot->finish();
      most = std::max(most, sharing);
    }
    for (const auto* left : {&run.data, &run.fields, &run.grad_velocity, &run.grad_wavelet}) results.push_back(*left);
  }
  return results;
}

bool agrees(const Case& c) {
  int most = 0;
  Run<float> plain(c);
  const auto expected = run_shared(plain, 1, 1, most);
  const int ways[][2] = {{1, 3}, {2, 1}, {2, 4}, {3, 2}};
  for (const auto& way : ways) {
    Run<float> shared(c);
    most = 0;
    const auto results = run_shared(shared, way[0], way[1], most);
    bool equal = most == way[0] && results.size() == expected.size();  // a forward run in half precision is not shared
    for (size_t i = 0; equal && i < expected.size(); ++i) equal = same(results[i], expected[i]);
    if (!equal) {
      std::printf("differs: %s, %d of %d threads, depth %d\n", describe(c).c_str(), most, way[0], way[1]);
      return false;
    }
  }
  return true;
}

}  // namespace

int main() {
#ifdef SEISFAST_TEST_THREADS  // under the thread sanitizer
  const std::vector<int> orders{4};
#else
  const std::vector<int> orders{2, 4, 6, 8};
#endif
#ifdef SEISFAST_TEST_SMALL  // under sanitizers
  const bool small = true;
#else
  const bool small = false;
#endif
  int passed = 0, failed = 0;
  for (const int order : orders)
    for (const Edge edge : {Edge::cpml, Edge::sponge, Edge::free_top, Edge::rigid, Edge::wide}) {
      const bool vmin = edge == Edge::sponge;
      std::vector<Case> cases{{105, 20, order, edge, Keep::checkpoints, 1, false, vmin, true},
                              {120, 9, order, edge, Keep::steps, 3, true, vmin, false}};
      if (!small) cases.push_back({131, 33, order, edge, Keep::steps, 1, false, false, false});
      if (order == 4)  // a checkpoint of the first step alone
        cases.push_back({105, 20, order, edge, Keep::checkpoints, 1, false, false, false, -1, 23});
      for (const Case& c : cases) agrees(c) ? ++passed : ++failed;
    }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
