//===- Interpreter.h - the reference interpreter ----------------------------------*- C++ -*-===//
//
// Executes functions in graph form and in phase form exactly as the documentation of their
// operations says. It is the oracle that everything else is compared with, so it prefers being
// obviously right to being fast. What is computed in which order, in f32:
//
//  - arith, math and linalg bodies: every operation rounds to its type (Numbers.h); linalg visits
//  its
//    iteration space in row-major order, so reductions ascend.
//  - tfm.linear and tfm.matmul: k ascending, fused multiply-adds, from +0.
//  - tfm.rms_norm, tfm.layer_norm, tfm.softmax: sums are 16 partial sums by index mod 16 and a
//  tree.
//  - tfm.attention: scores with d ascending and fused multiply-adds, then plain softmax over all
//  kept
//    keys at once. The blocks and segments of the kernels are not followed: they change rounding
//    only. Scores are clamped at -1e30 after the score region, and a row whose maximum is not above
//    that yields 0, as one that keeps no key does.
//  - Composite operations with f16 or bf16 results compute in f32 and round once.
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_REFERENCE_INTERPRETER_H
#define INGOT_REFERENCE_INTERPRETER_H

#include "ingot/Reference/Tensor.h"
#include "ingot/Reference/Values.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/MemoryBuffer.h"
#include <variant>

namespace ingot::reference {

//===----------------------------------------------------------------------===//
// Weights
//===----------------------------------------------------------------------===//

/// Where the bytes of tfm.parameter come from.
class ParameterSource {
public:
  virtual ~ParameterSource() = default;
  /// `size` little-endian bytes of `file` from `offset` on, which hold numbers of `elementType`.
  /// They stay valid as long as the source.
  virtual llvm::Expected<llvm::ArrayRef<uint8_t>> resolve(llvm::StringRef file, int64_t offset,
                                                          int64_t size, mlir::Type elementType) = 0;
};

/// Files below a folder, mapped into memory.
class FileParameterSource : public ParameterSource {
public:
  explicit FileParameterSource(llvm::StringRef root) : root(root) {}
  llvm::Expected<llvm::ArrayRef<uint8_t>> resolve(llvm::StringRef file, int64_t offset,
                                                  int64_t size, mlir::Type elementType) override;

private:
  std::string root;
  llvm::StringMap<std::unique_ptr<llvm::MemoryBuffer>> files;
};

/// Made-up weights in [-0.25, 0.25) for modules whose files are not at hand. An element depends on
/// the file's name and its offset in the file alone, so that passes may cut parameters differently.
class RandomParameterSource : public ParameterSource {
public:
  explicit RandomParameterSource(uint64_t seed) : seed(seed) {}
  llvm::Expected<llvm::ArrayRef<uint8_t>> resolve(llvm::StringRef file, int64_t offset,
                                                  int64_t size, mlir::Type elementType) override;

private:
  uint64_t seed;
  std::vector<std::unique_ptr<std::vector<uint8_t>>> blocks;
  llvm::StringMap<std::vector<uint8_t> *> known;
};

//===----------------------------------------------------------------------===//
// The interpreter
//===----------------------------------------------------------------------===//

struct InterpreterOptions {
  Precision precision = Precision::F64;
  /// May be null where the module has no parameters.
  std::shared_ptr<ParameterSource> parameters;
  /// Rows of a block of queries, for `tfm.batch_dim items`.
  int64_t queryBlock = 64;
};

class Interpreter {
public:
  /// `module` must be verified, and not change while the interpreter lives.
  Interpreter(mlir::ModuleOp module, InterpreterOptions options);
  ~Interpreter();

  /// Runs a function, a plan.kernel or a plan.program. Scalars are tensors of rank 0. Errors
  /// (unknown operations, inputs that do not fit, indices out of range, ...) are emitted at the
  /// operation. Input caches are taken: they must not be used again (Values.h).
  mlir::FailureOr<llvm::SmallVector<RuntimeValue>> run(llvm::StringRef function,
                                                       llvm::ArrayRef<RuntimeValue> inputs);

  /// Whether a run failed because of an operation that the interpreter does not know, and not
  /// because the module computes something wrong.
  bool sawUnsupported() const;

  const InterpreterOptions &getOptions() const;

  /// Defined in lib/Reference.
  class Impl;

private:
  std::unique_ptr<Impl> impl;
};

} // namespace ingot::reference

#endif // INGOT_REFERENCE_INTERPRETER_H
