// Owns the interface of the CPU engine: a shot that one or several threads run, compiled once per vector level.
#pragma once
#include <memory>

#include "acoustic/params.h"
#include "common/crew.h"

namespace seisfast {

// The run of one shot (job = model * shots + shot) through all its steps.
class CpuShot {
 public:
  virtual ~CpuShot() = default;
  virtual int64_t workspace() const = 0;  // elements of T that it works in
  virtual int most_members() const = 0;   // threads that can share it
  virtual int parts() const = 0;          // of the crew of several members; one alone takes no turns
  // The share of one thread. `depth`: steps on some rows before the next rows, 0 for what the cache suggests. The result
  // depends on neither.
  virtual void run(Crew& crew, int member, int members, int depth) = 0;
  virtual void finish() = 0;  // after all shares
};

// Makes a shot in `workspace`, aligned to 64 bytes, which need not be cleared; null for one that only tells its size.
template <class T>
using MakeCpuShot = std::unique_ptr<CpuShot> (*)(const Acoustic<T>& p, Task task, int job, T* workspace);

#define SEISFAST_DECLARE_LEVEL(level)          \
  inline namespace level {                     \
  MakeCpuShot<float> cpu_shot_f32(int order);  \
  MakeCpuShot<double> cpu_shot_f64(int order); \
  }
SEISFAST_DECLARE_LEVEL(baseline)
SEISFAST_DECLARE_LEVEL(avx2)
SEISFAST_DECLARE_LEVEL(avx512)
#undef SEISFAST_DECLARE_LEVEL

// That of the best vector level that the processor has.
template <class T>
MakeCpuShot<T> cpu_shot(int order);

// Runs the jobs of the call on `threads` threads. Throws std::bad_alloc.
template <class T>
void cpu_run(const Acoustic<T>& p, Task task, int threads);

}  // namespace seisfast
