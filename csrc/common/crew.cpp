// Owns how the threads that share one task wait for each other.
#include "common/crew.h"

namespace seisfast {
namespace {

constexpr int kAwake = 100;  // looks at a counter before sleeping; more would be taken from those who are waited for

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

void Crew::post(Counter& counter, int64_t value) {
  counter.store(value);
  if (sleepers.load() == 0) return;
  {
    const std::lock_guard<std::mutex> lock(guard);
  }  // nobody is between looking and falling asleep
  changed.notify_all();
}

void Crew::wait_for(const Counter& counter, int64_t value) {
  for (int i = 0; i < kAwake; ++i) {
    if (counter.load() >= value) return;
    pause();
  }
  std::unique_lock<std::mutex> lock(guard);
  ++sleepers;
  changed.wait(lock, [&] { return counter.load() >= value; });
  --sleepers;
}

}  // namespace seisfast
