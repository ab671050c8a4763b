//===- ScalarProgram.h - element-wise operations and the regions made of them -----*- C++ -*-===//
//
// All of arith and math is in one table of scalar operations. The interpreter applies them to the
// elements of tensors, and compiles the region of an operation that is evaluated many times (a
// score or a mask, the body of linalg.generic) into a list of them over numbered registers.
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_LIB_REFERENCE_SCALARPROGRAM_H
#define INGOT_LIB_REFERENCE_SCALARPROGRAM_H

#include "ingot/Reference/Tensor.h"
#include "mlir/IR/Operation.h"
#include "llvm/ADT/STLFunctionalExtras.h"

namespace ingot::reference {

enum class Opcode : uint8_t;

/// One operation on scalars.
struct ScalarOp {
  Opcode code;
  Precision precision;
  NumberKind operand; // of the last operand
  NumberKind result;
  uint8_t predicate = 0; // of a comparison

  /// What `op` does to the elements of its operands, whether they are scalars or tensors. Nothing
  /// for an operation that is not element-wise, or on types that the interpreter does not know.
  static std::optional<ScalarOp> get(mlir::Operation *op, Precision precision);

  /// Returns null, or what is wrong with the operands.
  const char *evaluate(const Scalar *operands, Scalar &result) const;
};

/// The body of a region as a straight line of scalar operations.
class ScalarProgram {
public:
  /// Compiles `block`: element-wise operations, constants, linalg.index and tensor.extract from
  /// tensors outside. `lookup` gives the values from outside of the block (null where there is
  /// none). Nothing where the block holds anything else: it can then only be interpreted.
  static std::optional<ScalarProgram>
  compile(mlir::Block &block, Precision precision,
          llvm::function_ref<const Tensor *(mlir::Value)> lookup);

  /// The registers of the block's arguments are 0, 1, ...; set them before `run`.
  Scalar &argument(unsigned number) { return registers[number]; }
  /// Returns the operation that failed, and sets `error`; null on success. `position` answers
  /// linalg.index.
  mlir::Operation *run(llvm::ArrayRef<int64_t> position, std::string &error);
  /// What the terminator yields.
  Scalar result(unsigned number) const { return registers[results[number]]; }
  unsigned getNumResults() const { return results.size(); }

private:
  enum class Kind : uint8_t { Scalar, Extract, Index };
  struct Instruction {
    Kind kind;
    ScalarOp scalar;
    unsigned result;
    unsigned number; // the tensor of an extract, the dimension of an index
    llvm::SmallVector<unsigned, 3> operands;
    mlir::Operation *op;
  };
  std::vector<Instruction> instructions;
  std::vector<Scalar> registers;
  std::vector<Tensor> tensors;
  llvm::SmallVector<unsigned, 2> results;
};

} // namespace ingot::reference

#endif // INGOT_LIB_REFERENCE_SCALARPROGRAM_H
