//===- Decoder.cpp - decoder-only language models by their structures -------------------------===//

#include "LayerEmitter.h"
#include "ingot/Dialect/Transformer/IR/TransformerDialect.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Verifier.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"

using namespace mlir;
using namespace ingot;
using namespace ingot::importer;

/// The element type that a stored tensor has in the graph as `shape`: only matrices are in blocks
/// there.
static Type graphType(const TensorInfo &info, ArrayRef<int64_t> shape) {
  return isa<tfm::BlockType>(info.elementType) && shape.size() != 2
             ? Type(Float32Type::get(info.elementType.getContext()))
             : info.elementType;
}

namespace {

/// One operand of a layer's body beside x.
struct Operand {
  enum Kind { Weight, Cosines, Sines, Scale } kind;
  /// Weight: the tensor, with '*', its shape, and the first element of the part that is meant.
  std::string name;
  SmallVector<int64_t> shape;
  int64_t offset;
  Type type;
};

/// The function of all layers of one structure whose weights have the same types.
struct Body {
  const LayerSpec *layer;
  func::FuncOp function;
  std::vector<Operand> operands;
};

class DecoderBuilder {
public:
  DecoderBuilder(MLIRContext *context, const DecoderSpec &spec, Checkpoint &checkpoint,
                 Diagnostics &diagnostics)
      : context(context), spec(spec), checkpoint(checkpoint), diagnostics(diagnostics),
        top(context), module(ModuleOp::create(top.nameLoc(spec.modelType))) {}

  FailureOr<OwningOpRef<ModuleOp>> build();

private:
  // Tensors of the checkpoint.
  void choosePrefix();
  void chooseHead();
  bool headIsSeparate();
  const TensorInfo *resolve(const std::string &fullName, ArrayRef<int64_t> shape);
  std::string fullName(StringRef name, size_t layer) const;
  Value parameter(const std::string &fullName, ArrayRef<int64_t> stored, int64_t offset,
                  ArrayRef<int64_t> shape);
  Value parameter(const std::string &fullName, ArrayRef<int64_t> shape) {
    return parameter(fullName, shape, 0, shape);
  }
  Value scaledParameter(const std::string &name, const TensorInfo &info, int64_t offset,
                        ArrayRef<int64_t> shape);
  Value parameterOf(StringRef name, ArrayRef<int64_t> shape) {
    return parameter(prefix + name.str(), shape);
  }
  bool isFurtherLayer(StringRef name) const;
  void reportUnused();

  // Bodies of layers.
  Body *bodyOf(size_t layer);
  Body *emitBody(size_t layer);
  Value operand(Body &body, Operand::Kind kind, Type type, StringRef name = "",
                ArrayRef<int64_t> shape = {}, int64_t offset = 0);
  /// Makes a part of a layer's weight an operand of its body.
  Value partOf(Body &body, size_t layer, const std::string &name, ArrayRef<int64_t> stored,
               int64_t offset, ArrayRef<int64_t> shape) {
    const TensorInfo *info = resolve(fullName(name, layer), stored);
    Type type = info ? graphType(*info, shape) : top.b.getF32Type();
    return operand(body, Operand::Weight, RankedTensorType::get(shape, type), name, stored, offset);
  }
  /// A function that makes weights of a layer operands of its body.
  auto weightsOf(Body &body, size_t layer) {
    return [this, &body, layer](const std::string &name, ArrayRef<int64_t> shape) {
      return partOf(body, layer, name, shape, 0, shape);
    };
  }
  LayerEmitter emitterOf(GraphBuilder &g, Body &body, size_t layer);
  Value emitLayer(GraphBuilder &g, Body &body, size_t layer, Value x);
  Value emitAttention(GraphBuilder &g, Body &body, size_t layer, Value x);
  Value emitFeedForward(GraphBuilder &g, Body &body, size_t layer, Value x);
  Value emitFeedForward(GraphBuilder &g, const FeedForwardSpec &ff, Body &body, size_t layer,
                        Value x);

  /// How the weights of the code being emitted are made, from a name with ".weight" and a shape.
  using WeightFn = llvm::function_ref<Value(const std::string &, ArrayRef<int64_t>)>;
  Value emitNorm(GraphBuilder &g, const NormSpec &norm, Value x, WeightFn weight);
  Value emitLinear(GraphBuilder &g, const LinearSpec &linear, int64_t size, Value x,
                   WeightFn weight);

  Value emitForward(Value ids);
  ModelInfo describe() const;

  MLIRContext *context;
  const DecoderSpec &spec;
  Checkpoint &checkpoint;
  Diagnostics &diagnostics;
  GraphBuilder top;
  OwningOpRef<ModuleOp> module;
  std::string prefix, headName;
  std::vector<std::unique_ptr<Body>> bodies;
  llvm::StringMap<Value> parameters;
  llvm::StringSet<> used;
};

} // namespace

//===----------------------------------------------------------------------===//
// Tensors
//===----------------------------------------------------------------------===//

void DecoderBuilder::choosePrefix() {
  for (const std::string &candidate : spec.prefixes) {
    if (checkpoint.tensors.find(candidate + spec.finalNorm.name + ".weight") ||
        checkpoint.tensors.find(candidate + spec.embedding + ".weight")) {
      prefix = candidate;
      return;
    }
  }
  prefix = spec.prefixes.front();
}

std::string DecoderBuilder::fullName(StringRef name, size_t layer) const {
  auto [before, after] = name.split('*');
  std::string result = prefix + before.str();
  if (before.size() != name.size())
    result += std::to_string(layer) + after.str();
  return result;
}

/// The tensor of this name, if it is there and has this shape and a type that weights may have.
const TensorInfo *DecoderBuilder::resolve(const std::string &name, ArrayRef<int64_t> shape) {
  const TensorInfo *info = checkpoint.tensors.find(name, shape);
  if (!info) {
    (void)diagnostics.error(checkpoint.directory, "tensor " + quote(name) + " of shape " +
                                                      shapeText(shape) + " is missing");
    return nullptr;
  }
  used.insert(name);
  SmallString<256> path(checkpoint.directory);
  llvm::sys::path::append(path, info->file);
  if (ArrayRef<int64_t>(info->shape) != shape) {
    (void)diagnostics.error(path, "tensor " + quote(name) + ": expected shape " + shapeText(shape) +
                                      " by " + checkpoint.config + ", got " +
                                      shapeText(info->shape));
    return nullptr;
  }
  Type type = info->elementType;
  if (!type || !tfm::getStorageFormat(type)) {
    (void)diagnostics.error(path, "tensor " + quote(name) +
                                      ": expected type F32, F16 or BF16, got " + info->typeName);
    return nullptr;
  }
  return info;
}

/// A parameter in @forward; an undefined tensor after an error.
Value DecoderBuilder::parameter(const std::string &name, ArrayRef<int64_t> stored, int64_t offset,
                                ArrayRef<int64_t> shape) {
  const TensorInfo *info = resolve(name, stored);
  if (!info)
    return tensor::EmptyOp::create(top.b, top.loc, shape, top.b.getF32Type());
  if (info->scaled)
    return scaledParameter(name, *info, offset, shape);
  uint64_t skipped = formats::bytesOf(*tfm::getStorageFormat(info->elementType), uint64_t(offset));
  Value &value = parameters[offset ? name + "@" + std::to_string(offset) : name];
  if (value)
    return value;
  value = tfm::ParameterOp::create(top.b, top.nameLoc(name),
                                   RankedTensorType::get(shape, info->elementType), name,
                                   info->file, info->offset + skipped);
  if (graphType(*info, shape) != info->elementType)
    value = tfm::ConvertWeightOp::create(
        top.b, top.nameLoc(name), RankedTensorType::get(shape, graphType(*info, shape)), value);
  return value;
}

/// A part of a matrix whose elements have scales of their own.
Value DecoderBuilder::scaledParameter(const std::string &name, const TensorInfo &info,
                                      int64_t offset, ArrayRef<int64_t> shape) {
  const formats::Scaling &scaling = info.scaled->scaling;
  Value &value = parameters[offset ? name + "@" + std::to_string(offset) : name];
  if (value)
    return value;
  int64_t columns = scaling.columns, row = offset / columns;
  if (shape.size() != 2 || shape.back() != columns || row % scaling.blockRows) {
    (void)diagnostics.error(checkpoint.directory, "tensor " + quote(name) +
                                                      ": expected parts of whole blocks of " +
                                                      Twine(scaling.blockRows) +
                                                      " rows, one starts in row " + Twine(row));
    return tensor::EmptyOp::create(top.b, top.loc, shape, info.elementType);
  }
  // Rows of `from` from row `first` on.
  auto parameter = [&](StringRef end, const TensorInfo &from, Type type, int64_t rows,
                       int64_t width, uint64_t rowBytes, int64_t first) -> Value {
    return tfm::ParameterOp::create(top.b, top.nameLoc(name),
                                    RankedTensorType::get({rows, width}, type), name + end.str(),
                                    from.file, from.offset + uint64_t(first) * rowBytes);
  };
  uint64_t rowBytes = scaling.elementBytes(uint64_t(columns));
  int64_t scaleColumns = scaling.scaleColumns();
  Value elements =
      parameter("", info, top.b.getI8Type(), shape[0], int64_t(rowBytes), rowBytes, row);
  Value scales = parameter("_scales", info.scaled->scales, info.scaled->scaleType,
                           llvm::divideCeil(shape[0], scaling.blockRows), scaleColumns,
                           uint64_t(scaleColumns) * scaling.scaleBytes(), row / scaling.blockRows);
  value = tfm::ScaleWeightOp::create(top.b, top.nameLoc(name),
                                     RankedTensorType::get(shape, info.elementType), elements,
                                     scales, scaling.blockRows, scaling.blockColumns);
  return value;
}

bool importer::sameBytes(const Checkpoint &checkpoint, const TensorInfo &a, const TensorInfo &b) {
  if (a.typeName != b.typeName || a.shape != b.shape)
    return false;
  constexpr uint64_t chunk = 4 << 20;
  auto read = [&](const TensorInfo &info, uint64_t at) {
    SmallString<256> path(checkpoint.directory);
    llvm::sys::path::append(path, info.file);
    return llvm::MemoryBuffer::getFileSlice(path, std::min(chunk, info.bytes - at),
                                            info.offset + at, /*IsVolatile=*/true);
  };
  for (uint64_t at = 0; at < a.bytes; at += chunk) {
    auto x = read(a, at), y = read(b, at);
    if (!x || !y || (*x)->getBuffer() != (*y)->getBuffer())
      return false;
  }
  return true;
}

void DecoderBuilder::chooseHead() {
  SmallVector<StringRef> names;
  StringRef(spec.head.name).split(names, '|');
  auto found = llvm::find_if(names, [&](StringRef name) {
    return checkpoint.tensors.find((name + ".weight").str()) != nullptr;
  });
  headName = (found == names.end() ? names.front() : *found).str();
}

/// Whether the head has a matrix of its own. Where the config ties it to the embedding and the
/// checkpoint has both and they differ, the checkpoint is right, as in the library.
bool DecoderBuilder::headIsSeparate() {
  if (!spec.tiedHead)
    return true;
  const TensorInfo *embedding = checkpoint.tensors.find(prefix + spec.embedding + ".weight");
  const TensorInfo *head = checkpoint.tensors.find(headName + ".weight");
  if (!embedding || !head)
    return false;
  used.insert(headName + ".weight");
  if (sameBytes(checkpoint, *embedding, *head))
    return false;
  diagnostics.warning(checkpoint.directory,
                      "tensor " + quote(headName + ".weight") +
                          " differs from the embedding table that config.json ties it to; it is "
                          "used as the head");
  return true;
}

/// Whether a tensor belongs to a layer after those that the model runs.
bool DecoderBuilder::isFurtherLayer(StringRef name) const {
  if (!spec.hasFurtherLayers || !name.consume_front(prefix) ||
      !name.consume_front(StringRef(spec.layers.front().name).split('*').first))
    return false;
  uint64_t number;
  return !name.consumeInteger(10, number) && number >= spec.layers.size();
}

void DecoderBuilder::reportUnused() {
  ImportReport &report = diagnostics.getReport();
  for (const auto &[name, info] : checkpoint.tensors) {
    if (used.contains(name))
      continue;
    StringRef text = name;
    if (isFurtherLayer(text) ||
        llvm::any_of(spec.redundantTensors, [&](StringRef end) { return text.ends_with(end); }))
      report.tensorsWithoutEffect.push_back(name);
    else
      report.tensorsUnused.push_back(name);
  }
  if (report.tensorsUnused.empty())
    return;
  size_t others = report.tensorsUnused.size() - 1;
  diagnostics.warning(checkpoint.directory,
                      "tensor " + quote(report.tensorsUnused.front()) +
                          (others ? " and " + std::to_string(others) + " more are" : " is") +
                          " not used by the graph");
}

//===----------------------------------------------------------------------===//
// Bodies
//===----------------------------------------------------------------------===//

/// The weight `name` of a norm of elements of shape `shape`. Where every head has a tensor of its
/// own, '#' in the name, they become rows of one.
static Value normWeight(GraphBuilder &g, const std::string &name, ArrayRef<int64_t> shape,
                        llvm::function_ref<Value(const std::string &, ArrayRef<int64_t>)> weight) {
  auto [before, after] = StringRef(name).split('#');
  if (before.size() == name.size())
    return weight(name, shape);
  SmallVector<Value> rows;
  for (int64_t head = 0; head < shape.front(); ++head)
    rows.push_back(g.asRow(weight((before + Twine(head) + after).str(), shape.drop_front())));
  return g.concat(rows, 0);
}

Value DecoderBuilder::emitNorm(GraphBuilder &g, const NormSpec &norm, Value x, WeightFn weight) {
  if (norm.kind == NormSpec::None ||
      (norm.optional && !checkpoint.tensors.find(fullName(norm.name + ".weight", 0))))
    return x;
  GraphBuilder::At at(g, prefix + norm.name);
  ArrayRef<int64_t> shape = cast<RankedTensorType>(x.getType()).getShape();
  shape = norm.perHead ? shape.drop_front() : shape.take_back();
  Value y =
      norm.kind == NormSpec::Rms ? g.rmsNormalize(x, norm.eps) : g.layerNormalize(x, norm.eps);
  if (!norm.affine)
    return y;
  Value factor = normWeight(g, norm.name + ".weight", shape, weight);
  if (norm.offset != 0)
    factor = g.add(g.widen(factor), norm.offset);
  y = g.mulWeight(y, factor);
  return norm.bias ? g.addWeight(y, normWeight(g, norm.name + ".bias", shape, weight)) : y;
}

Value DecoderBuilder::emitLinear(GraphBuilder &g, const LinearSpec &linear, int64_t size, Value x,
                                 WeightFn weight) {
  GraphBuilder::At at(g, prefix + linear.name);
  int64_t inner = cast<RankedTensorType>(x.getType()).getShape().back();
  SmallVector<int64_t> shape = {size, inner};
  if (linear.transposed)
    std::swap(shape[0], shape[1]);
  Value w = weight(linear.name + ".weight", shape);
  Value bias = linear.bias ? weight(linear.name + ".bias", {size}) : Value();
  return g.linear(x, w, bias, linear.transposed);
}

/// The body's next operand, or the one that was asked for before.
Value DecoderBuilder::operand(Body &body, Operand::Kind kind, Type type, StringRef name,
                              ArrayRef<int64_t> shape, int64_t offset) {
  Block &block = body.function.getBody().front();
  for (auto [i, known] : llvm::enumerate(body.operands))
    if (known.kind == kind && known.name == name && known.offset == offset)
      return block.getArgument(i + 1);
  body.operands.push_back({kind, name.str(), llvm::to_vector(shape), offset, type});
  static constexpr StringLiteral roles[] = {"", "rotary.cos", "rotary.sin", "attention.scale"};
  return block.addArgument(
      type, top.nameLoc(kind == Operand::Weight ? prefix + name.str() : roles[kind].str()));
}

/// What structures in files of their own see of this builder, for one layer.
LayerEmitter DecoderBuilder::emitterOf(GraphBuilder &g, Body &body, size_t layer) {
  return {g,
          prefix,
          [&, layer](const LinearSpec &linear, int64_t size, Value x) {
            return emitLinear(g, linear, size, x, weightsOf(body, layer));
          },
          [&, layer](const NormSpec &norm, Value x) {
            return emitNorm(g, norm, x, weightsOf(body, layer));
          },
          [&, layer](const FeedForwardSpec &ff, Value x) {
            return emitFeedForward(g, ff, body, layer, x);
          },
          [this, layer](StringRef name) {
            return checkpoint.tensors.find(fullName(name, layer)) != nullptr;
          },
          [&, layer](const std::string &name, ArrayRef<int64_t> stored, int64_t offset,
                     ArrayRef<int64_t> shape) {
            return partOf(body, layer, name, stored, offset, shape);
          }};
}

Value DecoderBuilder::emitAttention(GraphBuilder &g, Body &body, size_t layer, Value x) {
  const AttentionSpec &attention = spec.layers[layer].attention;
  auto weight = weightsOf(body, layer);
  std::string module = StringRef(attention.output.name).rsplit('.').first.str();
  auto rotary = [&]() -> std::pair<Value, Value> {
    GraphBuilder::At at(g, prefix + module + ".rotary");
    int64_t half = spec.rotaries[*attention.rotary].frequencies.size();
    RankedTensorType table = g.f32({dynamic, half});
    Value cos = operand(body, Operand::Cosines, table);
    return {cos, operand(body, Operand::Sines, table)};
  };
  // One scale for every layer of this structure is a constant, otherwise an operand.
  auto scaleOf = [&]() -> Value {
    bool shared = llvm::all_of(spec.layers, [&](const LayerSpec &other) {
      return other.attention.scale == attention.scale || !other.sameStructure(*body.layer);
    });
    if (!shared)
      return operand(body, Operand::Scale, g.b.getF32Type());
    return attention.scale == 1 ? Value() : g.constant(attention.scale);
  };
  if (attention.latent.rank) {
    auto [cos, sin] = rotary();
    Value result =
        emitLatentAttention(emitterOf(g, body, layer), attention, x, cos, sin, scaleOf());
    return emitLinear(g, attention.output, spec.hidden, result, weight);
  }
  int64_t size = attention.headDim;
  int64_t querySize = attention.heads * size, keySize = attention.kvHeads * size;
  Value q, k, v;
  if (attention.fused) {
    Value all = emitLinear(g, attention.query, querySize + 2 * keySize, x, weight);
    GraphBuilder::At at(g, prefix + attention.query.name);
    if (attention.clip != 0)
      all = g.clamp(all, -attention.clip, attention.clip);
    int64_t n = attention.groups, share = querySize / n, keyShare = keySize / n;
    if (n > 1)
      all = g.splitLast(all, share + 2 * keyShare);
    auto part = [&](int64_t offset, int64_t size) {
      Value slice = g.sliceLast(all, offset, size);
      return n > 1 ? g.joinLast(slice) : slice;
    };
    q = part(0, share);
    k = part(share + (attention.valuesFirst ? keyShare : 0), keyShare);
    v = part(share + (attention.valuesFirst ? 0 : keyShare), keyShare);
  } else {
    q = emitLinear(g, attention.query, querySize, x, weight);
    k = emitLinear(g, attention.key, keySize, x, weight);
    v = emitLinear(g, attention.value, keySize, x, weight);
  }
  Value result;
  {
    GraphBuilder::At at(g, prefix + module);
    if (attention.normsAllHeads) {
      q = emitNorm(g, attention.queryNorm, q, weight);
      k = emitNorm(g, attention.keyNorm, k, weight);
    }
    if (attention.clip != 0 && !attention.fused)
      for (Value *states : {&q, &k, &v})
        *states = g.clamp(*states, -attention.clip, attention.clip);
    q = g.splitLast(q, size);
    k = g.splitLast(k, size);
    v = g.splitLast(v, size);
    if (!attention.normsAllHeads) {
      q = emitNorm(g, attention.queryNorm, q, weight);
      k = emitNorm(g, attention.keyNorm, k, weight);
    }
    if (attention.rotary) {
      auto [cos, sin] = rotary();
      GraphBuilder::At at(g, prefix + module + ".rotary");
      q = g.rotate(q, cos, sin, attention.interleaved);
      k = g.rotate(k, cos, sin, attention.interleaved);
    }
    Value sinks;
    if (!attention.sinks.empty())
      sinks = weight(attention.sinks, {attention.heads});
    Value bias;
    if (const AlibiSpec &alibi = attention.alibi; !alibi.slopes.empty())
      bias = g.mul(g.linearBiases(q, alibi.slopes, alibi.rounded), alibi.scale);
    result = g.attention(q, k, v, scaleOf(), attention.softcap, attention.window, sinks, bias);
  }
  return emitLinear(g, attention.output, spec.hidden, result, weight);
}

Value DecoderBuilder::emitFeedForward(GraphBuilder &g, Body &body, size_t layer, Value x) {
  const LayerSpec &of = spec.layers[layer];
  return of.mixture.experts ? emitMixture(emitterOf(g, body, layer), of.mixture, x)
                            : emitFeedForward(g, of.feedForward, body, layer, x);
}

Value DecoderBuilder::emitFeedForward(GraphBuilder &g, const FeedForwardSpec &ff, Body &body,
                                      size_t layer, Value x) {
  auto weight = weightsOf(body, layer);
  Value gate, up;
  if (ff.gated)
    gate = emitLinear(g, ff.gate, ff.fused ? 2 * ff.size : ff.size, x, weight);
  if (ff.fused) {
    GraphBuilder::At at(g, prefix + ff.gate.name);
    up = g.sliceLast(gate, ff.size, ff.size);
    gate = g.sliceLast(gate, 0, ff.size);
  } else {
    up = emitLinear(g, ff.up, ff.size, x, weight);
  }
  Value inner;
  {
    GraphBuilder::At at(g, prefix + StringRef(ff.down.name).rsplit('.').first + ".activation");
    inner =
        ff.gated ? g.mul(g.activation(gate, ff.activation), up) : g.activation(up, ff.activation);
  }
  return emitLinear(g, ff.down, spec.hidden, inner, weight);
}

Value DecoderBuilder::emitLayer(GraphBuilder &g, Body &body, size_t index, Value x) {
  const LayerSpec &layer = spec.layers[index];
  auto weight = weightsOf(body, index);
  Value normed = emitNorm(g, layer.attentionNorm, x, weight);
  Value attended = emitAttention(g, body, index, normed);
  attended = emitNorm(g, layer.attentionPostNorm, attended, weight);
  if (layer.parallel) {
    Value input = layer.feedForwardNorm.kind == NormSpec::None
                      ? normed
                      : emitNorm(g, layer.feedForwardNorm, x, weight);
    Value fed = emitFeedForward(g, body, index, input);
    fed = emitNorm(g, layer.feedForwardPostNorm, fed, weight);
    return g.add(layer.addsToNormed ? normed : x, g.mul(g.add(attended, fed), layer.residualScale));
  }
  x = g.add(layer.addsToNormed ? normed : x, g.mul(attended, layer.residualScale));
  x = emitNorm(g, layer.attentionSumNorm, x, weight);
  Value input = emitNorm(g, layer.feedForwardNorm, x, weight);
  Value fed = emitFeedForward(g, body, index, input);
  fed = emitNorm(g, layer.feedForwardPostNorm, fed, weight);
  x = g.add(layer.addsToNormed ? input : x, g.mul(fed, layer.residualScale));
  return emitNorm(g, layer.feedForwardSumNorm, x, weight);
}

Body *DecoderBuilder::emitBody(size_t index) {
  const LayerSpec &layer = spec.layers[index];
  GraphBuilder g(context);
  GraphBuilder::At at(g, prefix + layer.name);
  auto body = std::make_unique<Body>();
  body->layer = &layer;
  std::string name = "layer" + (bodies.empty() ? "" : "_" + std::to_string(bodies.size()));
  RankedTensorType type = g.f32({dynamic, spec.hidden});
  body->function = func::FuncOp::create(g.loc, name, g.b.getFunctionType(type, type));
  body->function.setPrivate();
  Block *block = body->function.addEntryBlock();
  g.enter(block, block->getArgument(0));
  Value result = emitLayer(g, *body, index, block->getArgument(0));
  func::ReturnOp::create(g.b, g.loc, result);
  body->function.setFunctionType(g.b.getFunctionType(block->getArgumentTypes(), type));
  module->push_back(body->function);
  bodies.push_back(std::move(body));
  return bodies.back().get();
}

/// The body of a layer: one of a layer before it, if it fits. Null after an error.
Body *DecoderBuilder::bodyOf(size_t index) {
  for (std::unique_ptr<Body> &body : bodies) {
    if (!body->layer->sameStructure(spec.layers[index]))
      continue;
    bool fits = true;
    for (const Operand &operand : body->operands) {
      if (operand.kind == Operand::Weight) {
        const TensorInfo *info = resolve(fullName(operand.name, index), operand.shape);
        if (!info)
          return nullptr;
        auto type = cast<RankedTensorType>(operand.type);
        fits &= graphType(*info, type.getShape()) == type.getElementType();
      } else if (operand.kind == Operand::Cosines) {
        const RotaryTable &table = spec.rotaries[*spec.layers[index].attention.rotary];
        fits &=
            cast<RankedTensorType>(operand.type).getDimSize(1) == int64_t(table.frequencies.size());
      }
    }
    if (fits)
      return body.get();
  }
  Body *body = emitBody(index);
  return diagnostics.failed() ? nullptr : body;
}

//===----------------------------------------------------------------------===//
// The model
//===----------------------------------------------------------------------===//

Value DecoderBuilder::emitForward(Value ids) {
  auto weight = [&](const std::string &name, ArrayRef<int64_t> shape) {
    return parameterOf(name, shape);
  };
  int64_t width = spec.embeddingSize ? spec.embeddingSize : spec.hidden;
  Value table, x;
  {
    GraphBuilder::At at(top, prefix + spec.embedding);
    table = parameterOf(spec.embedding + ".weight", {spec.vocab, width});
    x = top.mul(top.embedding(ids, table), spec.embeddingScale);
  }
  if (spec.embeddingSize)
    x = emitLinear(top, spec.project, spec.hidden, x, weight);
  if (!spec.positionTable.empty()) {
    GraphBuilder::At at(top, prefix + spec.positionTable);
    Value rows = parameterOf(spec.positionTable + ".weight", {spec.positionRows, spec.hidden});
    x = top.add(x, top.embedding(top.positions(ids, spec.positionOffset), rows));
  }
  x = emitNorm(top, spec.embeddingNorm, x, weight);

  std::vector<std::pair<Value, Value>> rotaries;
  for (const RotaryTable &rotary : spec.rotaries) {
    GraphBuilder::At at(top, prefix + "rotary");
    rotaries.push_back(top.rotaryTable(ids, rotary));
  }
  for (size_t i = 0; i < spec.layers.size(); ++i) {
    const LayerSpec &layer = spec.layers[i];
    Body *body = bodyOf(i);
    if (!body)
      return {};
    GraphBuilder::At at(top, fullName(layer.name, i));
    SmallVector<Value> operands = {x};
    for (const Operand &operand : body->operands) {
      switch (operand.kind) {
      case Operand::Weight:
        operands.push_back(parameter(fullName(operand.name, i), operand.shape, operand.offset,
                                     cast<RankedTensorType>(operand.type).getShape()));
        break;
      case Operand::Cosines:
        operands.push_back(rotaries[*layer.attention.rotary].first);
        break;
      case Operand::Sines:
        operands.push_back(rotaries[*layer.attention.rotary].second);
        break;
      case Operand::Scale:
        operands.push_back(top.constant(layer.attention.scale));
        break;
      }
    }
    x = func::CallOp::create(top.b, top.loc, body->function, operands).getResult(0);
  }
  x = emitNorm(top, spec.finalNorm, x, weight);
  if (spec.embeddingSize)
    x = emitLinear(top, spec.unproject, width, x, weight);

  bool separate = headIsSeparate();
  GraphBuilder::At at(top, separate ? headName : prefix + spec.embedding);
  Value matrix = separate ? parameter(headName + ".weight", {spec.vocab, width}) : table;
  Value bias = spec.head.bias ? parameter(headName + ".bias", {spec.vocab}) : Value();
  Value logits = top.mul(top.linear(x, matrix, bias, /*transposed=*/false), spec.logitScale);
  return spec.logitSoftcap == 0 ? logits : top.softcap(logits, spec.logitSoftcap);
}

ModelInfo DecoderBuilder::describe() const {
  ModelInfo info;
  info.modelType = spec.modelType;
  info.vocab = spec.vocab;
  info.context = spec.context;
  info.learnedPositions = !spec.positionTable.empty();
  info.endIds = spec.endIds;
  info.beginId = spec.beginId;
  info.layers = spec.layers.size();
  info.hidden = spec.hidden;
  const AttentionSpec &first = spec.layers.front().attention;
  info.heads = first.heads;
  info.kvHeads = first.kvHeads;
  info.headDim = first.headDim;
  for (const LayerSpec &layer : spec.layers) {
    if (layer.attention.window == 0) {
      info.window = 0;
      break;
    }
    info.window = std::max(info.window, layer.attention.window);
  }
  return info;
}

FailureOr<OwningOpRef<ModuleOp>> DecoderBuilder::build() {
  choosePrefix();
  chooseHead();
  auto idsType = RankedTensorType::get({dynamic}, top.b.getI32Type());
  auto forward =
      func::FuncOp::create(top.nameLoc(spec.modelType), "forward",
                           top.b.getFunctionType(idsType, top.f32({dynamic, spec.vocab})));
  module->push_back(forward);
  Block *block = forward.addEntryBlock();
  block->getArgument(0).setLoc(top.nameLoc("ids"));
  GraphBuilder::At at(top, spec.modelType);
  top.enter(block, block->getArgument(0));
  Value logits = emitForward(block->getArgument(0));
  if (diagnostics.failed())
    return failure();
  func::ReturnOp::create(top.b, top.loc, logits);
  module.get()->setAttr(tfm::TransformerDialect::getModelAttrName(), describe().toAttr(context));
  reportUnused();
  if (diagnostics.failed())
    return failure();
  if (failed(verify(*module)))
    return diagnostics.error(checkpoint.directory, "the importer made an invalid graph");
  return std::move(module);
}

FailureOr<OwningOpRef<ModuleOp>> importer::buildDecoder(MLIRContext *context,
                                                        const DecoderSpec &spec,
                                                        Checkpoint &checkpoint,
                                                        Diagnostics &diagnostics) {
  context->loadDialect<arith::ArithDialect, func::FuncDialect, linalg::LinalgDialect,
                       math::MathDialect, tensor::TensorDialect, tfm::TransformerDialect>();
  return DecoderBuilder(context, spec, checkpoint, diagnostics).build();
}
