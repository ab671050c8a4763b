//===- Tune.h - tiles by measurement ----------------------------------------------*- C++ -*-===//
//
// The tile of a projection is a guess from the number of registers (getDefaultSchedule). Here it is
// measured: each kernel is compiled with several tiles, and all are run on this machine, by turns,
// on one row, some rows and many rows. A tile never changes a bit of the result, so the only thing
// that measuring costs is that the compiled file depends on the machine and the moment.
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_CODEGEN_TUNE_H
#define INGOT_CODEGEN_TUNE_H

#include "ingot/CodeGen/CPU.h"

namespace ingot::codegen {

/// What was measured of one kernel.
struct TunedTile {
  std::string kernel;
  plan::ScheduleAttr chosen;
  /// The time of the default tile over that of the chosen one: the geometric mean over the numbers
  /// of rows. 1 where the default was kept.
  double gain = 1;
};

/// Measures the projections among `kernels` that can run by themselves: those that read tensors of
/// floats, a row per token. The others are left out of the result. `progress` gets kernels measured
/// and in all. Errors of compilation are diagnostics.
llvm::FailureOr<std::vector<TunedTile>>
tuneTiles(llvm::ArrayRef<plan::KernelOp> kernels, const CPUTarget &target, unsigned threads,
          llvm::function_ref<void(size_t, size_t)> progress);

/// Why code for `target` cannot be measured here; empty where it can.
std::string whyNotRunnable(const CPUTarget &target);

} // namespace ingot::codegen

#endif // INGOT_CODEGEN_TUNE_H
