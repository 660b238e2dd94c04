// Owns how the threads that share one task take turns at its parts.
#include "common/crew.h"

namespace seisfast {
namespace {

constexpr int kAwake = 100;  // looks for a change before sleeping; more would be taken from those who are waited for

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

void Crew::finish(int i) {
  ++part[size_t(i)].state;
  ++finished;
  if (sleepers.load() == 0) return;
  {
    const std::lock_guard<std::mutex> lock(guard);
  }  // nobody is between looking and falling asleep
  changed.notify_all();
}

void Crew::wait(int64_t seen) {
  for (int i = 0; i < kAwake; ++i) {
    if (finished.load() != seen) return;
    pause();
  }
  std::unique_lock<std::mutex> lock(guard);
  ++sleepers;
  changed.wait(lock, [&] { return finished.load() != seen; });
  --sleepers;
}

}  // namespace seisfast
