//===- Limits.h - what this machine can do ---------------------------------------------------===//
#ifndef INGOT_RUN_LIMITS_H
#define INGOT_RUN_LIMITS_H

#include <cstdint>

/// Measured by short loops on `threads` threads at once; 0 where the processor lacks the
/// instructions.
struct Limits {
  double readGBs = 0;    // of memory, 1e9 bytes per second
  double f32Gflops = 0;  // fused multiply-add
  double bf16Gflops = 0; // vdpbf16ps
  double int8Gops = 0;   // vpdpbusd
};

Limits measureLimits(unsigned threads);

#endif // INGOT_RUN_LIMITS_H
