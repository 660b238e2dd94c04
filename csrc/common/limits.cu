// Owns the question to the driver of the current device.
#include "common/limits.h"

#include "common/cuda_check.h"

namespace seisfast {
namespace {

int attribute(cudaDeviceAttr which, int device) {
  int value = 0;
  check(cudaDeviceGetAttribute(&value, which, device), "asking for the device's limits");
  return value;
}

}  // namespace

bool cuda_built() { return true; }

Limits cuda_limits() {
  int device = 0;
  check(cudaGetDevice(&device), "asking for the current device");
  const int major = attribute(cudaDevAttrComputeCapabilityMajor, device);
  const bool clusters = major >= 9 && attribute(cudaDevAttrClusterLaunch, device) != 0;
  return {attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin, device), clusters ? 16 : 1,
          attribute(cudaDevAttrMultiProcessorCount, device)};
}

}  // namespace seisfast
