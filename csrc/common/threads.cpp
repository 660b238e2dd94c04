// Owns the threads of the CPU engines.
#include "common/threads.h"

#include <dlfcn.h>
#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <future>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace seisfast {
namespace {

using Work = std::function<void(int, int)>;

struct OpenMp {
  // What a compiler calls for "#pragma omp parallel", in the runtimes of GNU and of LLVM: threads, then flags.
  void (*parallel)(void (*)(void*), void*, unsigned, unsigned);
  int (*member)();
  int (*members)();
};

std::atomic<bool> forked{false};

// From the library's loading on: the fork may come before the first call.
[[maybe_unused]] const int watched = pthread_atfork(nullptr, nullptr, [] { forked = true; });

// The OpenMP runtime of this process, where one is visible to all, as torch's is; null in a forked child, which has
// inherited the runtime without its threads.
const OpenMp* openmp() {
  static const OpenMp found{reinterpret_cast<decltype(OpenMp::parallel)>(dlsym(RTLD_DEFAULT, "GOMP_parallel")),
                            reinterpret_cast<decltype(OpenMp::member)>(dlsym(RTLD_DEFAULT, "omp_get_thread_num")),
                            reinterpret_cast<decltype(OpenMp::members)>(dlsym(RTLD_DEFAULT, "omp_get_num_threads"))};
  return !forked && found.parallel && found.member && found.members ? &found : nullptr;
}

void call(void* work) { (*static_cast<const Work*>(work))(openmp()->member(), openmp()->members()); }

void run_own_threads(int threads, const Work& work) {
  std::promise<int> counted;
  const std::shared_future<int> members = counted.get_future();
  std::vector<std::thread> others;
  others.reserve(size_t(threads));
  try {
    for (int i = 1; i < threads; ++i) others.emplace_back([&work, members, i] { work(i, members.get()); });
  } catch (const std::system_error&) {  // no more threads to be had: those that started do the work
  }
  const int found = int(others.size()) + 1;
  counted.set_value(found);
  work(0, found);
  for (std::thread& other : others) other.join();
}

}  // namespace

bool shares_openmp() { return openmp() != nullptr; }

void run_threads(int threads, const Work& work) {
  if (threads <= 1) return work(0, 1);
  std::exception_ptr failure;
  std::mutex guard;
  Work guarded = [&](int member, int members) {
    try {
      work(member, members);
    } catch (...) {
      const std::lock_guard<std::mutex> lock(guard);
      failure = std::current_exception();
    }
  };
  if (const OpenMp* omp = openmp())
    omp->parallel(call, &guarded, unsigned(threads), 0);
  else
    run_own_threads(threads, guarded);
  if (failure) std::rethrow_exception(failure);
}

}  // namespace seisfast
