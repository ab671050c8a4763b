//===- InterpreterImpl.h - the interpreter's inside -------------------------------*- C++ -*-===//
//
// Operations are executed by `execute`, which hands them to the file of their dialect. An
// operation's function reads its operands from the frame and sets its results in it; `setResult`
// compares every result with its type, so that a function need not.
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_LIB_REFERENCE_INTERPRETERIMPL_H
#define INGOT_LIB_REFERENCE_INTERPRETERIMPL_H

#include "ScalarProgram.h"
#include "ingot/Reference/Interpreter.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "llvm/ADT/DenseMap.h"

namespace ingot::reference {

/// The values of one call.
struct Frame {
  llvm::DenseMap<mlir::Value, RuntimeValue> values;

  const Tensor &tensor(mlir::Value value) const {
    return std::get<Tensor>(values.find(value)->second);
  }
  const Batch &batch(mlir::Value value) const {
    return std::get<Batch>(values.find(value)->second);
  }
  const Cache &cache(mlir::Value value) const {
    return std::get<Cache>(values.find(value)->second);
  }
  /// An integer scalar.
  int64_t integer(mlir::Value value) const { return tensor(value).intAt(0); }
  /// An attribute or an integer scalar.
  int64_t integer(mlir::OpFoldResult value) const;
  llvm::SmallVector<int64_t> integers(llvm::ArrayRef<mlir::OpFoldResult> values) const;
};

class Interpreter::Impl {
public:
  using LogicalResult = mlir::LogicalResult;
  using Operation = mlir::Operation;

  Impl(mlir::ModuleOp module, InterpreterOptions options)
      : module(module), options(std::move(options)) {}

  mlir::FailureOr<llvm::SmallVector<RuntimeValue>>
  call(mlir::FunctionOpInterface function, llvm::ArrayRef<RuntimeValue> inputs, Operation *caller);
  LogicalResult execute(Operation *op, Frame &frame);
  /// Executes a block whose arguments are set; `yielded` gets the operands of its terminator.
  LogicalResult executeBlock(mlir::Block &block, Frame &frame,
                             llvm::SmallVectorImpl<RuntimeValue> &yielded);

  LogicalResult fail(Operation *op, const llvm::Twine &message);
  LogicalResult unsupported(Operation *op);
  LogicalResult setResult(Operation *op, unsigned number, RuntimeValue value, Frame &frame);
  /// A tensor of zeros, or an error at `op`.
  mlir::FailureOr<Tensor> create(Operation *op, llvm::ArrayRef<int64_t> shape, mlir::Type type);
  /// The tensor of an attribute of numbers.
  mlir::FailureOr<Tensor> constant(Operation *op, mlir::Attribute value);

  LogicalResult executeElementwise(Operation *op, const ScalarOp &scalar, Frame &frame);
  LogicalResult executeControlFlow(Operation *op, Frame &frame); // Interpreter.cpp
  LogicalResult executePlan(Operation *op, Frame &frame);        // Interpreter.cpp
  LogicalResult executeAffine(Operation *op, Frame &frame);      // Interpreter.cpp
  LogicalResult executeTensor(Operation *op, Frame &frame);      // TensorOps.cpp
  LogicalResult executeLinalg(Operation *op, Frame &frame);      // LinalgOps.cpp
  LogicalResult executeTransformer(Operation *op, Frame &frame); // TransformerOps.cpp
  LogicalResult executeAttention(Operation *op, Frame &frame);   // Attention.cpp
  LogicalResult executeExperts(Operation *op, Frame &frame);     // ExpertOps.cpp

  /// Whether a composite operation with results of this type computes in double, or in float.
  bool computesInDouble(mlir::Type elementType) const {
    return options.precision == Precision::F64 || elementType.isF64();
  }
  /// Rounds computed values to the type of `result`.
  template <typename T> void store(const std::vector<T> &values, Tensor &result) {
    for (auto [element, value] : llvm::zip(result.mutableElements(), values))
      element.f = roundFor(options.precision, result.getKind(), value);
  }

  /// Puts tensors behind each other along dimension `dim`.
  LogicalResult concatenate(Operation *op, int64_t dim, llvm::ArrayRef<Tensor> sources,
                            mlir::Type elementType, Tensor &result);

  /// Softmax along dimension `dim`.
  LogicalResult executeSoftmax(Operation *op, const Tensor &x, int64_t dim, Tensor &result);

  mlir::ModuleOp module;
  InterpreterOptions options;
  bool sawUnsupported = false;
  unsigned depth = 0;
  /// Positions in the iteration spaces that are being visited, innermost last, for linalg.index.
  llvm::SmallVector<llvm::ArrayRef<int64_t>, 2> positions;
  llvm::DenseMap<mlir::Attribute, Tensor> constants;
};

/// Evaluates a block with scalar arguments and results many times: compiled where it can be,
/// interpreted where it cannot.
class Body {
public:
  Body(Interpreter::Impl &impl, mlir::Block &block, Frame &frame);
  Scalar &argument(unsigned number) { return arguments[number]; }
  unsigned getNumArguments() const { return arguments.size(); }
  mlir::LogicalResult run(llvm::ArrayRef<int64_t> position = {});
  Scalar result(unsigned number) const { return results[number]; }

private:
  Interpreter::Impl &impl;
  mlir::Block &block;
  Frame &frame;
  std::optional<ScalarProgram> program;
  llvm::SmallVector<Scalar> arguments, results;
};

/// Copies an array of `shape` between two layouts; offsets and strides in elements.
void copyStrided(llvm::ArrayRef<int64_t> shape, const Scalar *source,
                 llvm::ArrayRef<int64_t> sourceStrides, Scalar *target,
                 llvm::ArrayRef<int64_t> targetStrides);

/// exp(x - max) over their sum, in T.
template <typename T> void softmaxInPlace(llvm::MutableArrayRef<T> row);

/// The sum of `term(i)` for i < n: 16 partial sums by i mod 16, each ascending, then a tree.
template <typename T, typename Term> T sumOf16(int64_t n, Term term) {
  T partial[16] = {};
  for (int64_t i = 0; i < n; ++i)
    partial[i % 16] += term(i);
  for (int64_t width = 8; width; width /= 2)
    for (int64_t i = 0; i < width; ++i)
      partial[i] += partial[i + width];
  return partial[0];
}

} // namespace ingot::reference

#endif // INGOT_LIB_REFERENCE_INTERPRETERIMPL_H
