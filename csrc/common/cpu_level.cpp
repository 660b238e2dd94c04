// Owns the questions which vector instructions and which cache the processor has.
#include "common/cpu_level.h"

#include <unistd.h>

namespace seisfast {

Level cpu_best_level() {
#if defined(__x86_64__) && !defined(SEISFAST_ONLY_BASELINE)
  static const Level found = [] {
    __builtin_cpu_init();
    const bool fma = __builtin_cpu_supports("fma") && __builtin_cpu_supports("avx2");
    if (fma && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
      return Level::avx512;
    return fma ? Level::avx2 : Level::baseline;
  }();
  return found;
#else
  return Level::baseline;
#endif
}

int64_t second_level_cache() {
#ifdef _SC_LEVEL2_CACHE_SIZE
  static const int64_t found = sysconf(_SC_LEVEL2_CACHE_SIZE);
  if (found > 0) return found;
#endif
  return int64_t(1) << 20;
}

const char* cpu_level() {
  const Level level = cpu_best_level();
#ifdef __aarch64__
  const char* lowest = "neon";
#else
  const char* lowest = "baseline";
#endif
  return level == Level::avx512 ? "avx512" : level == Level::avx2 ? "avx2" : lowest;
}

}  // namespace seisfast
