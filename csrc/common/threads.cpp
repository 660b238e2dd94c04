// Owns the threads of the CPU engines.
#include "common/threads.h"

#include <dlfcn.h>
#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace seisfast {
namespace {

// What a compiler calls for "#pragma omp parallel", in the runtimes of GNU and of LLVM: threads, then flags.
using Parallel = void (*)(void (*)(void*), void*, unsigned, unsigned);

std::atomic<bool> forked{false};

// From the library's loading on: the fork may come before the first call.
[[maybe_unused]] const int watched = pthread_atfork(nullptr, nullptr, [] { forked = true; });

// The OpenMP runtime of this process, where one is visible to all, as torch's is; null in a forked child, which has
// inherited the runtime without its threads.
Parallel openmp() {
  static const auto found = reinterpret_cast<Parallel>(dlsym(RTLD_DEFAULT, "GOMP_parallel"));
  return forked ? nullptr : found;
}

void call(void* work) { (*static_cast<const std::function<void()>*>(work))(); }

void run_own_threads(int threads, const std::function<void()>& work) {
  std::vector<std::thread> others;
  others.reserve(size_t(threads));
  try {
    for (int i = 1; i < threads; ++i) others.emplace_back(work);
  } catch (const std::system_error&) {  // no more threads to be had: those that started do the work
  }
  work();
  for (std::thread& other : others) other.join();
}

}  // namespace

bool shares_openmp() { return openmp() != nullptr; }

void run_threads(int threads, const std::function<void()>& work) {
  if (threads <= 1) return work();
  std::exception_ptr failure;
  std::mutex guard;
  std::function<void()> guarded = [&] {
    try {
      work();
    } catch (...) {
      const std::lock_guard<std::mutex> lock(guard);
      failure = std::current_exception();
    }
  };
  if (const Parallel parallel = openmp())
    parallel(call, &guarded, unsigned(threads), 0);
  else
    run_own_threads(threads, guarded);
  if (failure) std::rethrow_exception(failure);
}

}  // namespace seisfast
