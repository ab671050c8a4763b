//===- Report.h - what a compile decided, and why ----------------------------------*- C++ -*-===//
#ifndef INGOT_LIB_PIPELINE_REPORT_H
#define INGOT_LIB_PIPELINE_REPORT_H

#include "ingot/CodeGen/Tune.h"
#include "ingot/Import/Import.h"
#include "ingot/Limits/Limits.h"
#include "mlir/IR/BuiltinOps.h"
#include <string>

namespace ingot {

/// Attention sites (fused or why not), config fields by class, kernels, what --tune measured, and
/// for every program the bytes and operations of its dispatches by class, per unit of each run-time
/// size.
class Report {
public:
  /// What was measured for a target.
  struct Tuning {
    std::string target;
    std::vector<codegen::TunedTile> tiles;
  };

  Report(mlir::ModuleOp module, const ImportReport &import, llvm::ArrayRef<Tuning> tunings)
      : module(module), import(import), tunings(tunings) {}

  /// For people: per program its costs by class, and what `limits` allow.
  std::string getText(const Limits &limits);
  /// For programs: one object with `schema_version`.
  std::string getJson();

private:
  mlir::ModuleOp module;
  const ImportReport &import;
  llvm::ArrayRef<Tuning> tunings;
};

} // namespace ingot

#endif // INGOT_LIB_PIPELINE_REPORT_H
