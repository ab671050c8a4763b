//===- KernelInterface.h - how a kernel receives its operands ---------------------*- C++ -*-===//
//
// A kernel is a function on tensors; its native form takes an ingot_kernel_args
// (runtime/include/ingot/kernel_abi.h). This file says which operand, result or dimension is which
// entry of its arrays. Code generation reads it to find its operands, the artifact writer to bind
// them: both must use it and nothing else.
//
//   buffers   tensor operands in order, then tensor results in order. Contiguous row-major; a
//   packed
//             weight lies as PanelLayout.h says.
//   scalars   operand by operand in order: a float, an integer or an index (its value), or a cache
//   (the byte
//             offset of its layer inside a page). Then the dynamic dimensions of all tensor
//             operands, then of all tensor results, dimensions ascending.
//   batch     the !tfm.batch operand. The pages of the cache operand, if there is one, are the
//   pages of
//             its sequences.
//
// A cache result is nothing at run time: it is the next version of the cache operand, in place.
//
// A scalar entry is 64 bits: an index or an integer sign-extended (an i1 is 0 or 1), a float as its
// bits in the low bytes, the rest zero.
//
// Example: (tensor<?x64xf32>, f32, !tfm.cache<2x8x8xf32>, tensor<64x64xbf16, #plan.panels<64, 1>>,
// !tfm.batch)
//            -> (tensor<?x64xf32>, !tfm.cache<2x8x8xf32>)
//   buffers = operand 0, operand 3, result 0
//   scalars = operand 1, offset of cache operand 2, dim 0 of operand 0, dim 0 of result 0
//   batch   = operand 4
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_DIALECT_PLAN_UTILS_KERNELINTERFACE_H
#define INGOT_DIALECT_PLAN_UTILS_KERNELINTERFACE_H

#include "ingot/Dialect/Plan/IR/PlanDialect.h"
#include "ingot/Dialect/Plan/Utils/CacheLayout.h"
#include "llvm/Support/Error.h"
#include <optional>

namespace ingot::plan {

struct KernelInterface {
  /// An entry of ingot_kernel_args.buffers.
  struct Buffer {
    bool isResult;  ///< a result, else an operand
    unsigned index; ///< its number among the kernel's operands or results
  };
  enum class ScalarKind { Value, CacheOffset, Dim };
  /// An entry of ingot_kernel_args.scalars.
  struct Scalar {
    ScalarKind kind;
    bool isResult;    ///< Dim only: of a result, else of an operand
    unsigned index;   ///< number of the operand or result
    unsigned dim = 0; ///< Dim only
  };

  llvm::SmallVector<Buffer> buffers;
  llvm::SmallVector<Scalar> scalars;
  std::optional<unsigned> batch; ///< number of the batch operand
  std::optional<unsigned> cache; ///< number of the cache operand

  /// Classifies a kernel's signature. Fails on a type that has no place in the ABI (a tensor
  /// without rank, a vector, a float above 64 bits, ...), on more than one batch or cache operand,
  /// on a cache without a batch, and on a cache result without a cache operand of its type.
  static llvm::Expected<KernelInterface> get(mlir::FunctionType type);
};

/// Most rows of an item of the batch that a dispatch of `kernel` receives: the `tileRows` of an
/// attention schedule, else 1.
int64_t getQueryBlock(KernelOp kernel);

/// The shape of the attention of `kernel`, which decides how the runtime divides it; all 0 where it
/// is no attention kernel.
struct AttentionShape {
  int64_t heads = 0;       ///< of the queries
  int64_t kvHeads = 0;     ///< work items per item of the batch
  int64_t recordBytes = 0; ///< of a query row and a segment of keys; 0: keys cannot be divided
  bool causal = false;     ///< keys after the query are dropped
  int64_t window = 0;      ///< keys that a query sees; 0: all
};
AttentionShape getAttentionShape(KernelOp kernel);

/// Bytes of a query row's state after one segment of keys: a maximum, 16 partial sums and the
/// weighted values, each on lines of 64 bytes of their own.
int64_t getAttentionRecordBytes(tfm::AttentionOp op);

} // namespace ingot::plan

#endif // INGOT_DIALECT_PLAN_UTILS_KERNELINTERFACE_H
