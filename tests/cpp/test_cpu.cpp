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

// All jobs of a run, each shared by up to `members` threads; how many there were.
int run_shared(Run<float>& run, int members, int depth) {
  int most = 0;
  const seisfast::MakeCpuShot<float> make = seisfast::cpu_shot<float>(run.p.order);
  for (const bool adjoint : {false, true})
    for (int job = 0; job < run.p.jobs(); ++job) {
      const int64_t size = make(run.p, adjoint, job, nullptr)->workspace();
      std::vector<float> memory(size_t(size) + 16, 1e30f);  // a shot clears what it needs
      float* begin = memory.data() + (64 - reinterpret_cast<uintptr_t>(memory.data()) % 64) / sizeof(float) % 16;
      const std::unique_ptr<seisfast::CpuShot> shot = make(run.p, adjoint, job, begin);
      const int sharing = std::min(members, shot->most_members());
      seisfast::Crew crew(sharing);
      seisfast::run_threads(sharing, [&](int member, int found) {
        const seisfast::FlushSubnormals flush;
        shot->run(crew, member, found, depth);
      });
      shot->finish();
      most = std::max(most, sharing);
    }
  return most;
}

bool agrees(const Case& c) {
  Run<float> plain(c);
  run_shared(plain, 1, 1);
  const int ways[][2] = {{1, 3}, {2, 1}, {2, 4}, {3, 2}};
  for (const auto& way : ways) {
    Run<float> shared(c);
    const int members = run_shared(shared, way[0], way[1]);
    // Half precision is shared in the transposed run alone.
    if (members < way[0] || !same_results(plain, shared)) {
      std::printf("differs: %s, %d of %d threads, depth %d\n", describe(c).c_str(), members, way[0], way[1]);
      return false;
    }
  }
  return true;
}

}  // namespace

int main() {
#ifdef SEISFAST_TEST_SMALL  // under sanitizers
  const bool small = true;
#else
  const bool small = false;
#endif
  int passed = 0, failed = 0;
  for (const int order : {2, 4, 6, 8})
    for (const Edge edge : {Edge::cpml, Edge::sponge, Edge::free_top, Edge::rigid, Edge::wide}) {
      const bool vmin = edge == Edge::sponge;
      std::vector<Case> cases{{105, 20, order, edge, Keep::checkpoints, 1, false, vmin, true},
                              {120, 9, order, edge, Keep::steps, 3, true, vmin, false}};
      if (!small) cases.push_back({131, 33, order, edge, Keep::steps, 1, false, false, false});
      for (const Case& c : cases) agrees(c) ? ++passed : ++failed;
    }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
