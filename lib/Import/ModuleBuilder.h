//===- ModuleBuilder.h - from the tensors of a checkpoint to a module -------------*- C++ -*-===//
//
// What the builders of all kinds of models share: a module under construction, the tensors that it
// takes from the checkpoint (checked, remembered, those left over reported), and the parts that
// need weights. Names of tensors are completed in two ways: a prefix that some files have and
// others do not, and the number of the layer in place of '*'.
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_LIB_IMPORT_MODULEBUILDER_H
#define INGOT_LIB_IMPORT_MODULEBUILDER_H

#include "Decoder.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringSet.h"

namespace ingot::importer {

class ModuleBuilder {
protected:
  ModuleBuilder(mlir::MLIRContext *context, llvm::StringRef modelType, Checkpoint &checkpoint,
                Diagnostics &diagnostics)
      : context(context), checkpoint(checkpoint), diagnostics(diagnostics), top(context),
        module(mlir::ModuleOp::create(top.nameLoc(modelType))) {}

  /// How the weights of the code being emitted are made, from a name with ".weight" and a shape.
  using WeightFn = llvm::function_ref<mlir::Value(const std::string &, llvm::ArrayRef<int64_t>)>;

  /// Takes the first prefix under which one of the tensors is there.
  void choosePrefix(llvm::ArrayRef<std::string> candidates, llvm::ArrayRef<std::string> tensors);
  /// The name in the checkpoint of a pattern: with prefix and layer.
  std::string fullName(llvm::StringRef name, size_t layer) const;
  /// The element type that a stored tensor has in the graph as `shape`: only matrices are in blocks
  /// there.
  static mlir::Type graphType(const TensorInfo &info, llvm::ArrayRef<int64_t> shape);
  /// The tensor of this name, if it is there and has this shape and a type that weights may have.
  const TensorInfo *resolve(const std::string &fullName, llvm::ArrayRef<int64_t> shape);
  /// A parameter of the function that `top` emits; an undefined tensor after an error.
  mlir::Value parameter(const std::string &fullName, llvm::ArrayRef<int64_t> shape) {
    return part(fullName, shape, 0, shape);
  }
  /// As many elements as `shape` has of the tensor of shape `stored`, from element `offset` on.
  mlir::Value part(const std::string &fullName, llvm::ArrayRef<int64_t> stored, int64_t offset,
                   llvm::ArrayRef<int64_t> shape);
  mlir::Value parameterOf(llvm::StringRef name, llvm::ArrayRef<int64_t> shape) {
    return parameter(prefix + name.str(), shape);
  }
  /// Whether the head has a matrix of its own. Where the config ties it to the embedding and the
  /// checkpoint has both and they differ, the checkpoint is right, as in the library.
  bool headIsSeparate(bool tied, const std::string &embedding, const std::string &head);
  /// Reports the tensors that nothing used: those that end in one of `redundant` as harmless.
  void reportUnused(llvm::ArrayRef<std::string> redundant);
  /// The finished module, verified.
  mlir::FailureOr<mlir::OwningOpRef<mlir::ModuleOp>> finish(llvm::ArrayRef<std::string> redundant);

  mlir::Value emitNorm(GraphBuilder &g, const NormSpec &norm, mlir::Value x, WeightFn weight);
  mlir::Value emitLinear(GraphBuilder &g, const LinearSpec &linear, int64_t size, mlir::Value x,
                         WeightFn weight);

  mlir::MLIRContext *context;
  Checkpoint &checkpoint;
  Diagnostics &diagnostics;
  GraphBuilder top;
  mlir::OwningOpRef<mlir::ModuleOp> module;
  std::string prefix;
  /// Parameters of the function that `top` emits.
  llvm::StringMap<mlir::Value> parameters;
  llvm::StringSet<> used;
};

} // namespace ingot::importer

#endif // INGOT_LIB_IMPORT_MODULEBUILDER_H
