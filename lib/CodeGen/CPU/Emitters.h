//===- Emitters.h - one emitter per kind of schedule ------------------------------*- C++ -*-===//
#ifndef INGOT_LIB_CODEGEN_CPU_EMITTERS_H
#define INGOT_LIB_CODEGEN_CPU_EMITTERS_H

#include "Evaluator.h"
#include "ingot/CodeGen/CPU.h"

namespace ingot::codegen {

/// What an emitter works with. It emits the body of one kernel for the work items
/// [kb.begin(), kb.end()), which are at least one, and adds to `scratchBytes`.
struct KernelEmission {
  KernelBuilder &kb;
  Evaluator &eval;
  plan::KernelOp kernel;
  plan::ScheduleAttr schedule;
  const plan::KernelInterface &interface;
  const CPUTarget &target;
  int64_t scratchBytes = 0;
  uint32_t dividedRows = UINT32_MAX; ///< as the schema has it

  /// Reserves scratch memory, aligned to 64 bytes, and returns its address.
  mlir::Value scratch(int64_t bytes);
  /// Tiles of `largest`, then of fewer rows, until every row from 0 to `count` is in one. `body`
  /// gets the first row and how many.
  void rowTiles(mlir::Value count, int64_t largest,
                llvm::function_ref<void(mlir::Value, int64_t)> body);
};

void emitRows(KernelEmission &emission);
void emitAppend(KernelEmission &emission);
void emitLinear(KernelEmission &emission);
void emitAttention(KernelEmission &emission);
void emitExperts(KernelEmission &emission);
void emitRoute(KernelEmission &emission);

/// The value that a result's buffer holds, past reshapes, which do not move elements.
mlir::Value peelReshapes(mlir::Value value);

/// Elements [first, end) of a row are zero: what pads it to whole groups.
void zeroFrom(KernelBuilder &kb, mlir::Value row, int64_t first, int64_t end, mlir::Type element);

/// Emits `kernel` as func.func of the same name at the end of `module` (an empty one of its own).
/// With a null `schedule`, the kernel's own counts, or the target's. Returns what to call it with;
/// on failure sets `error` and its location.
std::optional<CompiledKernel> emitKernel(plan::KernelOp kernel, plan::ScheduleAttr schedule,
                                         const CPUTarget &target, mlir::ModuleOp module,
                                         std::string &error, mlir::Location &errorLoc);

} // namespace ingot::codegen

#endif // INGOT_LIB_CODEGEN_CPU_EMITTERS_H
