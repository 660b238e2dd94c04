// Owns how the threads that share one task wait for each other: by counters, awake for a moment, then asleep, so that
// they give way on a busy machine.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <vector>

namespace seisfast {

class Crew {
 public:
  using Counter = std::atomic<int64_t>;

  explicit Crew(int members) : progress(size_t(members)) {}

  // Progress at the first and at the last part of a member's share.
  Counter& first(int member) { return progress[size_t(member)].first; }
  Counter& last(int member) { return progress[size_t(member)].last; }

  void post(Counter& counter, int64_t value);
  void wait_for(const Counter& counter, int64_t value);  // until it is `value` or more

 private:
  struct alignas(64) Progress {
    Counter first{0};
    alignas(64) Counter last{0};
  };
  std::vector<Progress> progress;
  std::atomic<int> sleepers{0};
  std::mutex guard;
  std::condition_variable changed;
};

}  // namespace seisfast
