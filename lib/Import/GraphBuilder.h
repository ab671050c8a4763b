//===- GraphBuilder.h - emits plain mathematics in graph form ---------------------*- C++ -*-===//
//
// Functions on values that emit what a formula says and nothing cleverer: norms, activations,
// rotary positions and attention come out decomposed. Shapes are [S, features] or [S, heads, size]
// with one dynamic size S, the number of tokens; activations are f32, weights are widened where
// they are used. Operations get the location that is current (At).
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_LIB_IMPORT_GRAPHBUILDER_H
#define INGOT_LIB_IMPORT_GRAPHBUILDER_H

#include "RotaryFrequencies.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Value.h"
#include <optional>
#include <string>
#include <utility>

namespace ingot::importer {

/// The size of dimensions that are not known.
inline constexpr int64_t dynamic = mlir::ShapedType::kDynamic;

/// Element-wise functions of feed-forward networks.
enum class Activation {
  Identity,
  Relu,
  /// max(x, 0)^2
  Relu2,
  /// min(max(x, 0), 6)
  Relu6,
  /// x, or x / 100 where it is negative.
  LeakyRelu,
  /// min(max(x + 3, 0), 6) / 6, and x times that.
  HardSigmoid,
  HardSwish,
  /// x times the normal distribution function, by erf.
  Gelu,
  /// The same, approximated with tanh.
  GeluTanh,
  /// Gelu, at most 10.
  Gelu10,
  /// The normal distribution function of mean 0.707107 and deviation 0.282095, by erf.
  Laplace,
  /// x * tanh(log(1 + exp(x)))
  Mish,
  /// x * sigmoid(1.702 x)
  QuickGelu,
  /// x * sigmoid(x)
  Silu,
  Sigmoid,
  Tanh
};

/// The function called `name`, as the framework spells it.
std::optional<Activation> findActivation(llvm::StringRef name);
/// All these names, for messages.
std::string activationNames();

class GraphBuilder {
public:
  explicit GraphBuilder(mlir::MLIRContext *context)
      : b(context), loc(mlir::UnknownLoc::get(context)) {}

  /// Names what operations come from, until the end of the scope: a tensor or a config field.
  class At {
  public:
    At(GraphBuilder &builder, const llvm::Twine &name) : builder(builder), previous(builder.loc) {
      builder.loc = builder.nameLoc(name);
    }
    ~At() { builder.loc = previous; }
    At(const At &) = delete;
    At &operator=(const At &) = delete;

  private:
    GraphBuilder &builder;
    mlir::Location previous;
  };

  mlir::Location nameLoc(const llvm::Twine &name) {
    return mlir::NameLoc::get(b.getStringAttr(name));
  }

  /// Starts to emit at the end of `block`, where S is dimension 0 of `tokens`.
  void enter(mlir::Block *block, mlir::Value tokens);

  //===--- shapes -----------------------------------------------------------===//

  mlir::RankedTensorType f32(llvm::ArrayRef<int64_t> shape) {
    return mlir::RankedTensorType::get(shape, b.getF32Type());
  }
  /// A tensor of `type` filled with `value`, an f32 scalar or a number. Dynamic sizes are S.
  mlir::Value fill(mlir::RankedTensorType type, mlir::Value value);
  mlir::Value fill(mlir::RankedTensorType type, double value);
  /// Repeats `x` along the new dimensions `dims` of `shape`.
  mlir::Value broadcast(mlir::Value x, llvm::ArrayRef<int64_t> shape, llvm::ArrayRef<int64_t> dims);
  mlir::Value transpose(mlir::Value x, llvm::ArrayRef<int64_t> permutation);
  /// [S, n * size] to [S, n, size], and back.
  mlir::Value splitLast(mlir::Value x, int64_t size);
  mlir::Value joinLast(mlir::Value x);
  /// Elements offset, offset + stride, ... (`size` of them) of the last dimension.
  mlir::Value sliceLast(mlir::Value x, int64_t offset, int64_t size, int64_t stride = 1);
  /// x [D] as [1, D], and tensors beside each other along `dim`.
  mlir::Value asRow(mlir::Value x);
  mlir::Value concat(llvm::ArrayRef<mlir::Value> parts, int64_t dim);
  /// The sum along the last dimension.
  mlir::Value sumLast(mlir::Value x);
  /// `x` in f32.
  mlir::Value widen(mlir::Value x);

  //===--- arithmetic -------------------------------------------------------===//

  mlir::Value add(mlir::Value x, mlir::Value y);
  mlir::Value sub(mlir::Value x, mlir::Value y);
  mlir::Value mul(mlir::Value x, mlir::Value y);
  mlir::Value div(mlir::Value x, mlir::Value y);
  /// With a number on every element. Multiplication by exactly 1 emits nothing.
  mlir::Value add(mlir::Value x, double y);
  mlir::Value mul(mlir::Value x, double y);
  mlir::Value div(mlir::Value x, double y);
  mlir::Value tanh(mlir::Value x);
  /// Elements below `low` become low, those above `high` high; no bound where it is absent.
  mlir::Value clamp(mlir::Value x, std::optional<double> low, std::optional<double> high);
  mlir::Value sigmoid(mlir::Value x);
  /// limit * tanh(x / limit)
  mlir::Value softcap(mlir::Value x, double limit);
  mlir::Value activation(mlir::Value x, Activation kind);

  //===--- building blocks --------------------------------------------------===//

  mlir::Value embedding(mlir::Value ids, mlir::Value table);
  mlir::Value linear(mlir::Value x, mlir::Value weight, mlir::Value bias, bool transposed);
  /// x / sqrt(mean(x^2) + eps), along the last dimension.
  mlir::Value rmsNormalize(mlir::Value x, double eps);
  /// (x - mean(x)) / sqrt(variance(x) + eps), along the last dimension.
  mlir::Value layerNormalize(mlir::Value x, double eps);
  /// x * w and x + w with w along the last dimensions of x; w of any float type.
  mlir::Value mulWeight(mlir::Value x, mlir::Value w);
  mlir::Value addWeight(mlir::Value x, mlir::Value w);
  /// The absolute position of every token plus `offset`, [S] i32.
  mlir::Value positions(mlir::Value tokens, int64_t offset = 0);
  /// Cosines and sines of the table for every token, [S, frequencies] each; angles in f64.
  std::pair<mlir::Value, mlir::Value> rotaryTable(mlir::Value tokens, const RotaryTable &table);
  /// Rotates the first 2 * R/2 elements of every head of x [S, H, D] by cos and sin [S, R/2]:
  /// pairs are halves of the rotated part, or neighbours.
  mlir::Value rotate(mlir::Value x, mlir::Value cos, mlir::Value sin, bool interleaved);
  /// Biases of scores [H, S, S]: slope of the head * (position of the key - that of the query).
  /// `rounded`: differences of slope * position in bfloat16, of factors in bfloat16.
  mlir::Value linearBiases(mlir::Value tokens, llvm::ArrayRef<float> slopes, bool rounded);
  /// Biases of scores [H, S, S] in both directions: slope of the head * -|position of the key -
  /// that of the query|.
  mlir::Value distanceSlopes(mlir::Value tokens, llvm::ArrayRef<float> slopes);
  /// softmax(mask(cap(q k^T * scale) + bias)) v of q [S, H, D] and k, v [S, KVH, D]: causal, only
  /// the last `window` keys (0: all), scores capped at `cap` (0: not). `scale` is f32, `bias`
  /// [H, S, S] or absent. With `sinks` [H] each softmax has one more score, which no value belongs
  /// to. Result [S, H * D].
  mlir::Value attention(mlir::Value q, mlir::Value k, mlir::Value v, mlir::Value scale, double cap,
                        int64_t window, mlir::Value sinks = {}, mlir::Value bias = {});

  /// softmax(mask(q k^T * scale + bias)) v of q [S, H, D] and k, v [T, H, D], where T may be
  /// another number than S: `bias` [H, S, T] f32 and `mask` [S, T] i1 may be null. Result [S, H *
  /// D].
  mlir::Value attend(mlir::Value q, mlir::Value k, mlir::Value v, double scale, mlir::Value bias,
                     mlir::Value mask);
  /// Whether key j is at most `before` positions before query i and at most `after` behind it (-1:
  /// no limit), [S, S] i1.
  mlir::Value nearMask(mlir::Value tokens, int64_t before, int64_t after);
  /// table[buckets[j - i], h] for every head, query i and key j: `table` is [buckets, heads],
  /// `buckets` are those of the distances -n ... n, what is farther counts as n. [H, S, S] f32.
  mlir::Value distanceBias(mlir::Value tokens, mlir::Value table, llvm::ArrayRef<int32_t> buckets);

  /// scale * (byQuery[h, i, index[i - j]] + byKey[h, j, index[i - j]]) for every head, query i and
  /// key j; both are [H, S, P] and may be null, `index` as the buckets of distanceBias.
  mlir::Value relativeBias(mlir::Value tokens, mlir::Value byQuery, mlir::Value byKey,
                           llvm::ArrayRef<int32_t> index, double scale);
  /// q [S, H, D] times the transpose of rows [P, H, D], head by head: [H, S, P].
  mlir::Value productByHead(mlir::Value q, mlir::Value rows);
  /// The mean of all rows of x [S, H, D], in every row.
  mlir::Value meanRow(mlir::Value x);
  /// Row t + `by` of x [S, H, D] for every token t; zeros where there is no such row.
  mlir::Value shiftRows(mlir::Value x, int64_t by);

  mlir::Value constant(double value);

  mlir::OpBuilder b;
  mlir::Location loc;

private:
  mlir::Value empty(mlir::RankedTensorType type);
  mlir::Value headsFirst(mlir::Value x, int64_t heads);
  mlir::Value roundToBF16(mlir::Value x);
  mlir::Value attendEqually(mlir::Value x,
                            llvm::function_ref<mlir::Value(mlir::Value, mlir::Value)> keep);
  mlir::Value causalMask(mlir::Value tokens, int64_t window);
  mlir::Value byDistance(
      mlir::Value tokens, int64_t heads, llvm::ArrayRef<int32_t> table, int64_t sign,
      llvm::function_ref<mlir::Value(mlir::OpBuilder &, mlir::ValueRange, mlir::Value)> body);

  /// S in the current function.
  mlir::Value tokenCount;
};

} // namespace ingot::importer

#endif // INGOT_LIB_IMPORT_GRAPHBUILDER_H
