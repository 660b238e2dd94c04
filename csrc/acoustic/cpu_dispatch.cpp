// Owns what surrounds the CPU engine: the choice of the vector level, threads over shots, and their workspaces.
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <new>
#include <type_traits>

#include "acoustic/cpu.h"
#include "common/cpu_level.h"
#include "common/flush.h"
#include "common/threads.h"

namespace seisfast {

template <class T>
MakeCpuShot<T> cpu_shot(int order) {
  if constexpr (std::is_same_v<T, float>)
    return SEISFAST_AT_BEST_LEVEL(cpu_shot_f32(order));
  else
    return SEISFAST_AT_BEST_LEVEL(cpu_shot_f64(order));
}

namespace {

constexpr int64_t kShare = 32768;  // cells that are worth a thread's waiting for its neighbours

template <class T>
using Memory = std::unique_ptr<T, decltype(&std::free)>;

template <class T>
Memory<T> allocate(int64_t elements) {
  Memory<T> memory(static_cast<T*>(std::aligned_alloc(64, (elements * sizeof(T) + 63) / 64 * 64)), &std::free);
  if (!memory) throw std::bad_alloc();
  return memory;
}

}  // namespace

// A thread takes one shot after the other. The last shots, when there are fewer than threads, are shared by all, where
// they are so large that more threads find work that way.
template <class T>
void cpu_run(const Acoustic<T>& p, Task task, int threads) {
  const MakeCpuShot<T> make = cpu_shot<T>(p.order);
  const std::unique_ptr<CpuShot> any = make(p, task, p.first, nullptr);
  const int64_t workspace = any->workspace();
  const int last = p.count % threads;
  const int sharing = int(std::min<int64_t>({threads, any->most_members(), p.grid.cells() / kShare}));
  const int alone = sharing > last ? p.count - last : p.count;

  std::atomic<int> next{0};
  if (alone > 0)
    run_threads(std::min(threads, alone), [&](int, int) {
      const FlushSubnormals flush;
      const Memory<T> memory = allocate<T>(workspace);
      Crew crew(0);
      for (int i = next++; i < alone; i = next++) {
        const std::unique_ptr<CpuShot> shot = make(p, task, p.first + i, memory.get());
        shot->run(crew, 0, 1, 0);
        shot->finish();
      }
    });
  if (alone == p.count) return;
  const FlushSubnormals flush;
  const Memory<T> memory = allocate<T>(workspace);
  for (int i = alone; i < p.count; ++i) {
    const std::unique_ptr<CpuShot> shot = make(p, task, p.first + i, memory.get());
    Crew crew(shot->parts());
    run_threads(sharing, [&](int member, int members) {
      const FlushSubnormals flush_here;
      shot->run(crew, member, members, 0);
    });
    shot->finish();
  }
}

template MakeCpuShot<float> cpu_shot(int);
template MakeCpuShot<double> cpu_shot(int);
template void cpu_run(const Acoustic<float>&, Task, int);
template void cpu_run(const Acoustic<double>&, Task, int);

}  // namespace seisfast
