// Owns the threads of the CPU engines.
#pragma once
#include <functional>

namespace seisfast {

// Calls work() on `threads` threads at once, the calling one among them, and waits; fewer where no more can be had. An
// exception of one of them is thrown here after all have ended.
void run_threads(int threads, const std::function<void()>& work);

}  // namespace seisfast
