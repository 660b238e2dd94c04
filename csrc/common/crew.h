// Owns how the threads that share one task take turns at its parts: who is at which part, how often each part has been
// done, and how a thread waits, awake for a moment, then asleep, so that it gives way on a busy machine.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <vector>

namespace seisfast {

class Crew {
 public:
  explicit Crew(int parts) : part(size_t(parts)) {}

  int64_t done(int i) const { return part[size_t(i)].state.load() / 2; }
  // Whether this thread may do part i, done so often, once more; nobody else does until `finish`.
  bool take(int i, int64_t done) {
    int64_t idle = 2 * done;
    return part[size_t(i)].state.compare_exchange_strong(idle, idle + 1);
  }
  void finish(int i);

  int64_t changes() const { return finished.load(); }
  // Until more has changed. What has changed must be read before the look that found nothing to do.
  void wait(int64_t seen);

 private:
  struct alignas(64) Part {
    std::atomic<int64_t> state{0};  // twice how often it has been done, and one more while somebody is at it
  };
  std::vector<Part> part;
  std::atomic<int64_t> finished{0};
  std::atomic<int> sleepers{0};
  std::mutex guard;
  std::condition_variable changed;
};

}  // namespace seisfast
