//===- Limits.h - what a machine can do -------------------------------------------*- C++ -*-===//
//
// No kernel is faster than its bytes can be read and its operations be done. Costs are counted by
// the compiler, limits are measured here or given for another machine; their quotient is the time
// that everything is compared with. Neither LLVM nor the runtime, so that all tools can link this.
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_LIMITS_LIMITS_H
#define INGOT_LIMITS_LIMITS_H

#include <string>
#include <vector>

namespace ingot {

/// Rates in 10^9 per second; 0: not known.
struct Limits {
  double readGBs = 0;    // bytes of memory
  double f32Gflops = 0;  // fused multiply-add, which counts as two
  double bf16Gflops = 0; // vdpbf16ps, or f32's where that is more: bf16 is then widened
  double int8Gops = 0;   // vpdpbusd; without it vpmovsxbw and vpmaddwd, one for six of the other
  /// The instructions that were measured.
  const char *f32By = "", *bf16By = "", *int8By = "";

  /// Seconds that reading `bytes` and doing `flops` take at `gflops`; they overlap.
  double seconds(double bytes, double flops, double gflops) const;
};

/// Measures this machine by short loops on `threads` threads at once, with the best instructions
/// for each job that the processor has, and on 256 MiB of memory a thread; `quick` takes fewer and
/// shorter runs, and of three threads or more 96 MiB each.
Limits measureLimits(unsigned threads, bool quick = false);

/// Each rate's median (the upper one of an even number). Rates wander from second to second, so
/// limits are measured by turns with the work that is compared with them.
Limits medianOf(const std::vector<Limits> &samples);

/// Reads "read=1008GB/s,f16=83T": rates of read, f32, f16 (or bf16) and int8 with k, M, G, T or P
/// and any unit after it. A type that is not given has the rate of the next wider one that is.
/// Returns an empty string, or what is wrong.
std::string parseLimits(const std::string &text, Limits &limits);

} // namespace ingot

#endif // INGOT_LIMITS_LIMITS_H
