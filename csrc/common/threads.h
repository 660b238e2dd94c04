// Owns the threads of the CPU engines.
#pragma once
#include <functional>

namespace seisfast {

// Calls work(member, members) on `threads` threads at once, the calling one among them, and waits; on fewer where no more
// can be had: `members` is how many there are. An exception of one of them is thrown here after all have ended.
//
// They are the threads of the process's OpenMP runtime where there is one. Those of torch go on spinning for a while
// after each of its loops, and threads of our own would share the cores with them.
void run_threads(int threads, const std::function<void(int member, int members)>& work);

// Whether they are OpenMP's.
bool shares_openmp();

}  // namespace seisfast
