//===- Stack.h - stacks of encoder and decoder layers by their structures ---------*- C++ -*-===//
//
// An encoder is a stack: embeddings, then layers in which every token sees every other. An
// encoder-decoder is two: the layers of the second are causal and look at the result of the first
// as well (cross attention). A family's code fills StackSpecs from its config; StackBuilder emits
// them. Nothing here knows a family.
//
// Names of tensors are written without ".weight" or ".bias"; those of a stack stand behind the
// model's prefix, those of a layer behind the layer's name ("encoder.layer.3."). A layer with input
// x computes, with its norms before (`postNorm` false) or after the sums,
//
//   x1 = x + attention(norm(x))                 x1 = norm(x + attention(x))
//   x2 = x1 + cross(norm(x1), source)           x2 = norm(x1 + cross(x1, source))
//   result = x2 + feedForward(norm(x2))         result = norm(x2 + feedForward(x2))
//
// With norms before, what attention and feed-forward network return may have norms as well
// (attentionPostNorm, feedForwardPostNorm); with norms after, x1 may be normed a second time,
// secondNorm(x + x1).
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_LIB_IMPORT_STACK_H
#define INGOT_LIB_IMPORT_STACK_H

#include "ModuleBuilder.h"

namespace ingot::importer {

/// A number per head that is added to a score and depends on the distance of query and key:
/// table[bucket(key - query), head].
struct DistanceBiasSpec {
  /// [number of buckets, heads]; empty: there is none.
  std::string table;
  int64_t rows = 0;
  /// Buckets of the distances -n ... n; farther ones count as n.
  std::vector<int32_t> buckets;
};

/// Products of queries and keys with embeddings of distances that are added to the scores
/// (disentangled attention): of query i with the key of distance i - j, of key j with its query.
struct RelativeKeysSpec {
  /// [rows, hidden]; empty: there is none.
  std::string table;
  int64_t rows = 0;
  NormSpec norm;
  /// Names behind that of the layer; without a name the product is left out.
  LinearSpec key, query;
  /// Rows of the distances -n ... n; farther ones have that of n.
  std::vector<int32_t> rowOf;
};

/// The context of models whose positions are distances, of which there is no end.
constexpr int64_t endlessContext = 1 << 24;

/// The buckets of T5: exact for small distances, logarithmic up to `farthest`.
std::vector<int32_t> logarithmicBuckets(int64_t buckets, int64_t farthest, bool bidirectional);

/// norm(x1 + activation(convolution of x0 along the tokens)) after the first layer, whose input is
/// x0 and whose result is x1; before the first and after the last token there are zeros.
struct ConvolutionSpec {
  /// [hidden, hidden / groups, taps] and a bias; empty: there is none.
  std::string name;
  /// Odd.
  int64_t taps = 0, groups = 1;
  Activation activation = Activation::Identity;
  NormSpec norm;
};

struct StackLayerSpec {
  /// What the names of the layer stand behind, with its number.
  std::string name;
  bool postNorm = false;
  /// What stacks have of these is said by findUnsupported in Stack.cpp: anything else is an error.
  AttentionSpec attention;
  /// Keys at most so far away on either side are seen; -1: all.
  int64_t reach = -1;
  NormSpec attentionNorm, attentionPostNorm, secondNorm;
  bool hasCross = false;
  AttentionSpec cross;
  NormSpec crossNorm;
  FeedForwardSpec feedForward;
  /// Instead of feedForward, if it has experts.
  MixtureSpec mixture;
  NormSpec feedForwardNorm, feedForwardPostNorm;

  /// Layers of equal structure have the same body.
  bool sameStructure(const StackLayerSpec &other) const {
    auto all = [](const StackLayerSpec &layer) {
      return std::make_tuple(layer.postNorm, layer.attention.structure(), layer.attention.scale,
                             layer.reach, layer.attentionNorm.key(), layer.hasCross,
                             layer.cross.structure(), layer.cross.scale, layer.crossNorm.key(),
                             layer.feedForward.structure(), layer.mixture.structure(),
                             layer.feedForwardNorm.key(), layer.attentionPostNorm.key(),
                             layer.feedForwardPostNorm.key(), layer.secondNorm.key());
    };
    return all(*this) == all(other);
  }
};

struct StackSpec {
  int64_t hidden = 0;
  bool causal = false;
  /// [vocab, embeddingSize].
  std::string embedding;
  int64_t embeddingSize = 0;
  double embeddingScale = 1;
  /// A learned table of positions: token t has row t + positionOffset; empty: there is none.
  std::string positionTable;
  int64_t positionRows = 0, positionOffset = 0;
  /// Positions that are computed: [context, embeddingSize], row by row; empty: there are none. A
  /// table in the checkpoint counts before them.
  std::vector<float> positionValues;
  /// The embeddings' norm comes before the positions are added.
  bool normBeforePositions = false;
  /// A table of token types [types, embeddingSize]; empty: there is none. With one row, it is that
  /// of every token.
  std::string typeTable;
  int64_t types = 0;
  NormSpec embeddingNorm;
  /// From embeddingSize to hidden; without a name there is none.
  LinearSpec embeddingProjection;
  /// The embeddings' norm comes after the projection.
  bool normAfterProjection = false;
  std::vector<RotaryTable> rotaries;
  DistanceBiasSpec bias;
  RelativeKeysSpec relative;
  std::vector<StackLayerSpec> layers;
  ConvolutionSpec convolution;
  NormSpec finalNorm;

  bool takesTypes() const { return !typeTable.empty() && types > 1; }
};

class StackBuilder : protected ModuleBuilder {
protected:
  using ModuleBuilder::ModuleBuilder;

  /// A public function `name` of `inputs`, in which `top` emits next.
  mlir::func::FuncOp beginFunction(llvm::StringRef name, llvm::ArrayRef<mlir::Type> inputs,
                                   llvm::ArrayRef<llvm::StringRef> inputNames);
  void endFunction(mlir::func::FuncOp function, mlir::Value result);

  /// The hidden states of a stack. `types` may be null where the stack takes none; `source` is the
  /// result of another stack, for cross attention. Null after an error.
  mlir::Value emitStack(const StackSpec &spec, int64_t vocab, mlir::Value ids, mlir::Value types,
                        mlir::Value source);

private:
  /// One operand of a layer's body beside x.
  struct Operand {
    enum Kind { Weight, Cosines, Sines, Bias, Distances, Keys, Values } kind;
    /// Weight: the tensor, without the layer's name, its shape in the file and here, and the first
    /// element of the part that is meant.
    std::string name;
    llvm::SmallVector<int64_t> stored, shape;
    int64_t offset;
    mlir::Type type;
  };
  /// The function of all layers of one structure whose weights have the same types: the layer
  /// itself, or (`ofSource`) the keys and values of its cross attention.
  struct Body {
    const StackSpec *stack;
    const StackLayerSpec *layer;
    bool ofSource;
    mlir::func::FuncOp function;
    std::vector<Operand> operands;
  };

  mlir::Value operand(Body &body, Operand::Kind kind, mlir::Type type, llvm::StringRef name = "",
                      llvm::ArrayRef<int64_t> stored = {}, int64_t offset = 0,
                      llvm::ArrayRef<int64_t> shape = {});
  /// A part of a tensor of a layer, as an operand of its body.
  mlir::Value partOf(Body &body, const std::string &name, llvm::ArrayRef<int64_t> stored,
                     int64_t offset, llvm::ArrayRef<int64_t> shape);
  /// A function that makes weights of a layer operands of its body.
  auto weightsOf(Body &body) {
    return [this, &body](const std::string &name, llvm::ArrayRef<int64_t> shape) {
      return partOf(body, name, shape, 0, shape);
    };
  }
  bool fits(const Body &body, const StackLayerSpec &layer);
  /// The body of a layer, made if there is none yet; null after an error. `size` is that of a row
  /// of its input.
  Body *bodyOf(const StackSpec &stack, const StackLayerSpec &layer, bool ofSource, int64_t size);
  /// Calls the body of a layer.
  mlir::ValueRange callBody(Body &body, const StackLayerSpec &layer, mlir::Value x,
                            llvm::function_ref<mlir::Value(Operand::Kind)> valueOf);

  mlir::Value emitLayer(GraphBuilder &g, Body &body, mlir::Value x);
  mlir::Value emitSelfAttention(GraphBuilder &g, Body &body, mlir::Value x, WeightFn weight);
  mlir::Value emitRelativeBias(GraphBuilder &g, Body &body, mlir::Value q, mlir::Value k,
                               WeightFn weight);
  mlir::Value emitCross(GraphBuilder &g, Body &body, mlir::Value x, WeightFn weight);
  mlir::Value emitFeedForward(GraphBuilder &g, Body &body, mlir::Value x, WeightFn weight);
  mlir::Value emitExperts(GraphBuilder &g, Body &body, mlir::Value x, WeightFn weight);
  mlir::Value emitConvolution(const StackSpec &spec, mlir::Value x0, mlir::Value x1);
  mlir::Value emitEmbeddings(const StackSpec &spec, int64_t vocab, mlir::Value ids,
                             mlir::Value types);

  std::vector<std::unique_ptr<Body>> bodies;
};

} // namespace ingot::importer

#endif // INGOT_LIB_IMPORT_STACK_H
