// Owns what the CPU engines ask of the processor: its vector level and its cache.
#pragma once
#include <cstdint>

namespace seisfast {

enum class Level { baseline, avx2, avx512 };

int64_t second_level_cache();  // bytes; 1 MiB where nobody knows

Level cpu_best_level();
const char* cpu_level();  // its name: "baseline" ("neon" on ARM, which always has it), "avx2" or "avx512"

// Levels in whose namespaces an engine's functions exist. Sanitized tests compile one.
#if defined(__x86_64__) && !defined(SEISFAST_ONLY_BASELINE)
#define SEISFAST_AT_BEST_LEVEL(function)                \
  (cpu_best_level() == Level::avx512 ? avx512::function \
   : cpu_best_level() == Level::avx2 ? avx2::function   \
                                     : baseline::function)
#else
#define SEISFAST_AT_BEST_LEVEL(function) (baseline::function)
#endif

}  // namespace seisfast
