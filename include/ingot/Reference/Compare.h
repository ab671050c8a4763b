//===- Compare.h - inputs for the interpreter, and differences of results ---------*- C++ -*-===//
#ifndef INGOT_REFERENCE_COMPARE_H
#define INGOT_REFERENCE_COMPARE_H

#include "ingot/Reference/Interpreter.h"
#include "mlir/Interfaces/FunctionInterfaces.h"

namespace ingot::reference {

enum class InputKind {
  Random,  ///< floats in [-1, 1)
  Extreme, ///< zeros of both signs, ones, ties, tiny and large magnitudes, mixed
};

struct InputOptions {
  uint64_t seed = 1;
  InputKind kind = InputKind::Random;
  /// Sizes of the dynamic dimensions in the order in which they occur in the inputs. One size
  /// serves all of them; none means the number of tokens of the batch below.
  llvm::SmallVector<int64_t> dims;
  /// Integers are in [0, idsBelow); 0: the smallest number of rows of an embedding in the module.
  int64_t idsBelow = 0;
  /// Rows of each sequence of a `!tfm.batch`; their caches are empty.
  llvm::SmallVector<int64_t> batchRows = {3, 4};
};

/// Inputs for every argument of `function`, the same for the same options everywhere. Floats are
/// representable in their type. Errors are emitted at the function.
mlir::FailureOr<llvm::SmallVector<RuntimeValue>> makeInputs(mlir::FunctionOpInterface function,
                                                            const InputOptions &options);

/// The smallest number of rows of a table of tfm.embedding in `module`, or 0 if it has none.
int64_t findIdLimit(mlir::ModuleOp module);

/// How much results differ. Relative differences are relative to the largest finite magnitude of
/// the expected tensor, or to 1 if that is larger: a number that is small by cancellation need not
/// have as many right digits as its neighbours.
struct Difference {
  double absolute = 0;
  double relative = 0;
  /// Where the largest difference is: number of the result, element in row-major order.
  unsigned result = 0;
  int64_t element = 0;
  double expected = 0, actual = 0;
  /// Not empty where results cannot be compared (shape, type, count) or where one is NaN or
  /// infinite and the other is not.
  std::string mismatch;

  bool isWithin(double tolerance) const { return mismatch.empty() && relative <= tolerance; }
  std::string describe() const;
};

/// Integers and booleans must be equal. Caches and batches are not compared.
Difference compareResults(llvm::ArrayRef<RuntimeValue> expected,
                          llvm::ArrayRef<RuntimeValue> actual);

/// One line: type and all values of a small tensor, a summary of a large one.
std::string summarize(const RuntimeValue &value, unsigned digits = 6);

} // namespace ingot::reference

#endif // INGOT_REFERENCE_COMPARE_H
