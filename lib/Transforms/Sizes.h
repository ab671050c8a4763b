//===- Sizes.h - sizes of values in terms of other values -------------------------*- C++ -*-===//
#ifndef INGOT_LIB_TRANSFORMS_SIZES_H
#define INGOT_LIB_TRANSFORMS_SIZES_H

#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinTypes.h"
#include <functional>

namespace ingot {

/// Emits the size of a dimension of a tensor, following its definition back to leaves: block
/// arguments and the results of calls and dispatches.
class SizeResolver {
public:
  /// The size of dimension `dim` of the leaf `value`.
  using LeafFunction = std::function<mlir::Value(mlir::Value value, int64_t dim)>;
  /// The index or batch that stands for `value` where the sizes are emitted.
  using MapFunction = std::function<mlir::Value(mlir::Value value)>;

  SizeResolver(
      mlir::OpBuilder &builder, LeafFunction leaf,
      MapFunction map = [](mlir::Value value) { return value; })
      : builder(builder), leaf(std::move(leaf)), map(std::move(map)) {}

  mlir::Value getSize(mlir::Value value, int64_t dim);

private:
  mlir::Value resolve(mlir::OpFoldResult size, mlir::Location loc);

  mlir::OpBuilder &builder;
  LeafFunction leaf;
  MapFunction map;
};

} // namespace ingot

#endif // INGOT_LIB_TRANSFORMS_SIZES_H
