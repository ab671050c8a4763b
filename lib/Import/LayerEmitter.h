//===- LayerEmitter.h - what the parts of a layer are emitted with ----------------*- C++ -*-===//
//
// Structures with a file of their own (mixtures of experts, latent attention) see of the builder of
// a decoder only this: how to emit what they are made of, and how to get weights of the layer.
//
// Weights are asked for by the name in the checkpoint, with '*' for the number of the layer. A part
// of a tensor is a tensor of its own in the graph: consecutive elements need no copy, and what is
// stored in one tensor or in many looks the same after that.
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_LIB_IMPORT_LAYEREMITTER_H
#define INGOT_LIB_IMPORT_LAYEREMITTER_H

#include "Decoder.h"
#include <functional>

namespace ingot::importer {

struct LayerEmitter {
  using Value = mlir::Value;
  using Shape = llvm::ArrayRef<int64_t>;

  GraphBuilder &g;
  /// The prefix of the checkpoint's names, for locations.
  std::string prefix;
  std::function<Value(const LinearSpec &, int64_t size, Value x)> linear;
  std::function<Value(const NormSpec &, Value x)> norm;
  std::function<Value(const FeedForwardSpec &, Value x)> feedForward;
  /// Whether the checkpoint has a tensor for this layer.
  std::function<bool(llvm::StringRef name)> has;
  /// The tensor `name` of shape `stored`, from element `offset` on, as a tensor of `shape`.
  std::function<Value(const std::string &name, Shape stored, int64_t offset, Shape shape)> part;

  Value weight(const std::string &name, Shape shape) const { return part(name, shape, 0, shape); }
  /// Matrices of one type below each other (dimension 0) or beside each other (1).
  Value join(llvm::ArrayRef<Value> matrices, int64_t dim) const;
};

/// The feed-forward network of `mixture` on x [S, H], routed.
mlir::Value emitMixture(const LayerEmitter &emitter, const MixtureSpec &mixture, mlir::Value x);

/// Attention on a latent, [S, heads * valueSize]; cos and sin are the positions' [S, rotated / 2].
mlir::Value emitLatentAttention(const LayerEmitter &emitter, const AttentionSpec &attention,
                                mlir::Value x, mlir::Value cos, mlir::Value sin, mlir::Value scale);

} // namespace ingot::importer

#endif // INGOT_LIB_IMPORT_LAYEREMITTER_H
