//===- LinearEmitter.h - rows times a packed matrix, and what follows ---------------*- C++ -*-===//
//
// What kernels on packed matrices share: the products of rows with a panel (Products.h), and an
// epilogue of element-wise operations on the results. A kernel of one matrix runs it over all rows,
// a kernel of experts over the rows that a list names. See Linear.cpp and Experts.cpp.
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_LIB_CODEGEN_CPU_LINEAREMITTER_H
#define INGOT_LIB_CODEGEN_CPU_LINEAREMITTER_H

#include "Products.h"

namespace ingot::codegen {

struct LinearEmitter {
  using Value = mlir::Value;

  /// Rows whose sums are kept in scratch memory: 64 KiB.
  static constexpr int64_t kBlockRows = PanelProducts::kMaxRows;
  /// How many rows of so many bytes are evaluated into scratch memory at a time: about 2 MiB.
  static int64_t getEvaluatedRows(int64_t rowBytes) {
    return std::clamp<int64_t>((2 << 20) / rowBytes, 32, kBlockRows);
  }

  KernelEmission &emission;
  KernelBuilder &kb = emission.kb;
  Evaluator &eval = emission.eval;
  mlir::Operation *linear{}; ///< tfm.linear or tfm.expert_linear
  Value bias{};
  plan::PanelLayout layout{};
  Value weight{}; ///< the packed matrix
  std::optional<PanelProducts> engine{};
  Value xRows{}; ///< rows as the products want them: rows [rowBegin, rowBegin + rowCount) of x
  Value rowBegin{};
  Value rowCount{};
  llvm::SmallVector<Size, 4> leading{}; ///< dimensions that make up the rows of the result
  Value tile{};                         ///< scratch: [block of rows][rows of a full panel] sums
  mlir::Type weightType{};

  /// For rows that a list names: `list[i]` (i32) is the row of the result that row i goes to,
  /// `expert` the number of the matrix and the row of the bias.
  Value list{};
  Value expert{};

  /// Where a result lies: its column 0 is column `offset` of each part.
  struct Result {
    unsigned index;
    Value value;
    int64_t offset, size;
  };
  llvm::SmallVector<Result> results{};

  /// Sets all but xRows and what is for lists; false after a failure. `op` is the linear, `x`,
  /// `matrix` and `bias` (or null) are its operands.
  bool prepare(mlir::Operation *op, Value x, Value matrix, Value bias);
  /// Computes sub-panels [begin, end) for all rows: whole panels, then what is left of others.
  void subPanels(Value begin, Value end);

private:
  std::optional<int64_t> traceOffset(Value value, int64_t shift, llvm::DenseSet<Value> &seen);
  int64_t panelBytes() const {
    return layout.lines() * layout.rows * layout.elementBytes * (layout.pairs ? 2 : 1);
  }
  Value panelAddress(Value number);
  void forRowBlocks(llvm::function_ref<void(Value, Value, Value)> body);
  void wholePanels(Value begin, Value end);
  void subPanel(Value number);
  void epilogue(Value firstColumn, int64_t partLanes, Value sums, Value firstRow, Value count);
};

} // namespace ingot::codegen

#endif // INGOT_LIB_CODEGEN_CPU_LINEAREMITTER_H
