//===- Stack.cpp - stacks of encoder and decoder layers by their structures -------------------===//

#include "Stack.h"
#include "LayerEmitter.h"
#include "ingot/Dialect/Transformer/IR/TransformerDialect.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include <cmath>

using namespace mlir;
using namespace ingot;
using namespace ingot::importer;

std::vector<int32_t> importer::logarithmicBuckets(int64_t buckets, int64_t farthest,
                                                  bool bidirectional) {
  int64_t side = bidirectional ? buckets / 2 : buckets, exact = side / 2;
  std::vector<int32_t> result;
  for (int64_t distance = -farthest; distance <= farthest; ++distance) {
    // In one direction only keys before the query count.
    int64_t away = bidirectional ? std::abs(distance) : std::max<int64_t>(-distance, 0);
    int64_t bucket = away;
    if (away >= exact) {
      // In f32, as the library computes it: which bucket a boundary belongs to depends on it.
      float part =
          std::log(float(away) / float(exact)) / float(std::log(double(farthest) / double(exact)));
      bucket = std::min(exact + int64_t(part * float(side - exact)), side - 1);
    }
    result.push_back(int32_t(bucket + (bidirectional && distance > 0 ? side : 0)));
  }
  return result;
}

//===----------------------------------------------------------------------===//
// Functions
//===----------------------------------------------------------------------===//

func::FuncOp StackBuilder::beginFunction(StringRef name, ArrayRef<Type> inputs,
                                         ArrayRef<StringRef> inputNames) {
  auto function = func::FuncOp::create(top.nameLoc(name), name, top.b.getFunctionType(inputs, {}));
  module->push_back(function);
  Block *block = function.addEntryBlock();
  for (auto [index, input] : llvm::enumerate(inputNames))
    block->getArgument(index).setLoc(top.nameLoc(input));
  parameters.clear();
  top.enter(block, block->getArgument(0));
  return function;
}

void StackBuilder::endFunction(func::FuncOp function, Value result) {
  func::ReturnOp::create(top.b, top.loc, result);
  function.setFunctionType(top.b.getFunctionType(function.getArgumentTypes(), result.getType()));
}

//===----------------------------------------------------------------------===//
// Bodies
//===----------------------------------------------------------------------===//

/// The body's next operand, or the one that was asked for before.
Value StackBuilder::operand(Body &body, Operand::Kind kind, Type type, StringRef name,
                            ArrayRef<int64_t> stored, int64_t offset, ArrayRef<int64_t> shape) {
  Block &block = body.function.getBody().front();
  for (auto [i, known] : llvm::enumerate(body.operands))
    if (known.kind == kind && known.name == name && known.offset == offset)
      return block.getArgument(i + 1);
  body.operands.push_back(
      {kind, name.str(), llvm::to_vector(stored), llvm::to_vector(shape), offset, type});
  static constexpr StringLiteral roles[] = {"",          "rotary.cos", "rotary.sin",  "bias",
                                            "distances", "cross.keys", "cross.values"};
  return block.addArgument(type, top.nameLoc(kind == Operand::Weight
                                                 ? prefix + body.layer->name + name.str()
                                                 : roles[kind].str()));
}

Value StackBuilder::partOf(Body &body, const std::string &name, ArrayRef<int64_t> stored,
                           int64_t offset, ArrayRef<int64_t> shape) {
  const TensorInfo *info = resolve(prefix + body.layer->name + name, stored);
  Type type = info ? graphType(*info, shape) : top.b.getF32Type();
  return operand(body, Operand::Weight, RankedTensorType::get(shape, type), name, stored, offset,
                 shape);
}

bool StackBuilder::fits(const Body &body, const StackLayerSpec &layer) {
  if (!body.layer->sameStructure(layer))
    return false;
  for (const Operand &operand : body.operands) {
    if (operand.kind != Operand::Weight)
      continue;
    const TensorInfo *info = resolve(prefix + layer.name + operand.name, operand.stored);
    if (!info ||
        graphType(*info, operand.shape) != cast<RankedTensorType>(operand.type).getElementType())
      return false;
  }
  // Tables of other sizes make another type.
  return body.layer->attention.rotary.has_value()
             ? body.stack->rotaries[*body.layer->attention.rotary].frequencies.size() ==
                   body.stack->rotaries[*layer.attention.rotary].frequencies.size()
             : true;
}

/// What the structures can say but layers of a stack do not have; empty if it is nothing of that.
static StringRef findUnsupported(const StackLayerSpec &layer) {
  for (const AttentionSpec *attention : {&layer.attention, &layer.cross}) {
    bool isCross = attention == &layer.cross;
    if (isCross && !layer.hasCross)
      continue;
    if (attention->groups != 1 || attention->valuesFirst)
      return "matrices in blocks by groups of heads";
    if (isCross &&
        (attention->kvHeads != attention->heads || attention->queryNorm.kind != NormSpec::None ||
         attention->keyNorm.kind != NormSpec::None))
      return "shared or normed keys in cross attention";
    if (attention->clip != 0 || attention->softcap != 0)
      return "caps of scores, queries or keys";
    if (!attention->sinks.empty())
      return "sinks";
    if (attention->latent.rank)
      return "attention on a latent";
    if (attention->window)
      return "windows of the past";
    if (attention->alibi.rounded || attention->alibi.scale != 1)
      return "rounded or scaled linear biases";
    if (isCross && (attention->fused || attention->rotary || !attention->alibi.slopes.empty()))
      return "positions or a fused matrix in cross attention";
  }
  if (layer.mixture.shared.size)
    return "experts that all tokens go to";
  if (layer.feedForward.fused && !layer.feedForward.gated)
    return "a fused matrix without a gate";
  if (layer.postNorm ? layer.attentionPostNorm.kind || layer.feedForwardPostNorm.kind
                     : layer.secondNorm.kind != NormSpec::None)
    return "norms of branches after which there is a norm, or second ones before which there is "
           "none";
  for (const NormSpec *norm :
       {&layer.attentionNorm, &layer.crossNorm, &layer.feedForwardNorm, &layer.attentionPostNorm,
        &layer.feedForwardPostNorm, &layer.secondNorm, &layer.attention.queryNorm,
        &layer.attention.keyNorm})
    if (!norm->affine || norm->perHead || norm->optional)
      return "norms without weights or by heads";
  return "";
}

StackBuilder::Body *StackBuilder::bodyOf(const StackSpec &stack, const StackLayerSpec &layer,
                                         bool ofSource, int64_t size) {
  for (std::unique_ptr<Body> &body : bodies)
    if (body->stack == &stack && body->ofSource == ofSource && fits(*body, layer))
      return body.get();
  if (diagnostics.failed())
    return nullptr;
  if (StringRef what = findUnsupported(layer); !what.empty()) {
    (void)diagnostics.error(checkpoint.directory,
                            "layer " + quote(StringRef(layer.name).drop_back(1)) + ": " + what +
                                " are not supported in encoders and encoder-decoders");
    return nullptr;
  }
  GraphBuilder g(context);
  GraphBuilder::At at(g, prefix + StringRef(layer.name).drop_back(1));
  auto body = std::make_unique<Body>();
  body->stack = &stack;
  body->layer = &layer;
  body->ofSource = ofSource;
  std::string name = (ofSource ? "source_" : "layer_") + std::to_string(bodies.size());
  RankedTensorType type = g.f32({dynamic, size});
  body->function = func::FuncOp::create(g.loc, name, g.b.getFunctionType(type, type));
  body->function.setPrivate();
  Block *block = body->function.addEntryBlock();
  Value x = block->getArgument(0);
  g.enter(block, x);
  auto weight = weightsOf(*body);
  SmallVector<Value> results;
  if (ofSource) {
    const AttentionSpec &cross = layer.cross;
    for (const LinearSpec &linear : {cross.key, cross.value})
      results.push_back(g.splitLast(emitLinear(g, linear, cross.kvHeads * cross.headDim, x, weight),
                                    cross.headDim));
  } else {
    results.push_back(emitLayer(g, *body, x));
  }
  func::ReturnOp::create(g.b, g.loc, results);
  body->function.setFunctionType(
      g.b.getFunctionType(block->getArgumentTypes(), ValueRange(results).getTypes()));
  module->push_back(body->function);
  bodies.push_back(std::move(body));
  return diagnostics.failed() ? nullptr : bodies.back().get();
}

ValueRange StackBuilder::callBody(Body &body, const StackLayerSpec &layer, Value x,
                                  llvm::function_ref<Value(Operand::Kind)> valueOf) {
  SmallVector<Value> operands = {x};
  for (const Operand &operand : body.operands)
    operands.push_back(operand.kind == Operand::Weight
                           ? part(prefix + layer.name + operand.name, operand.stored,
                                  operand.offset, operand.shape)
                           : valueOf(operand.kind));
  return func::CallOp::create(top.b, top.loc, body.function, operands).getResults();
}

//===----------------------------------------------------------------------===//
// Layers
//===----------------------------------------------------------------------===//

Value StackBuilder::emitSelfAttention(GraphBuilder &g, Body &body, Value x, WeightFn weight) {
  const AttentionSpec &attention = body.layer->attention;
  int64_t size = attention.headDim, rows = attention.heads * size, keys = attention.kvHeads * size;
  Value q, k, v;
  if (attention.fused) {
    Value all = emitLinear(g, attention.query, rows + 2 * keys, x, weight);
    q = g.sliceLast(all, 0, rows);
    k = g.sliceLast(all, rows, keys);
    v = g.sliceLast(all, rows + keys, keys);
  } else {
    q = emitLinear(g, attention.query, rows, x, weight);
    k = emitLinear(g, attention.key, keys, x, weight);
    v = emitLinear(g, attention.value, keys, x, weight);
  }
  auto norm = [&] {
    q = emitNorm(g, attention.queryNorm, q, weight);
    k = emitNorm(g, attention.keyNorm, k, weight);
  };
  if (attention.normsAllHeads)
    norm();
  std::string module = body.layer->name + StringRef(attention.output.name).rsplit('.').first.str();
  Value result;
  {
    GraphBuilder::At at(g, prefix + module);
    q = g.splitLast(q, size);
    k = g.splitLast(k, size);
    v = g.splitLast(v, size);
    if (!attention.normsAllHeads)
      norm();
    if (attention.rotary) {
      int64_t half = body.stack->rotaries[*attention.rotary].frequencies.size();
      RankedTensorType table = g.f32({dynamic, half});
      Value cos = operand(body, Operand::Cosines, table),
            sin = operand(body, Operand::Sines, table);
      q = g.rotate(q, cos, sin, attention.interleaved);
      k = g.rotate(k, cos, sin, attention.interleaved);
    }
    Value bias, mask;
    const DistanceBiasSpec &distance = body.stack->bias;
    if (!distance.table.empty()) {
      const TensorInfo *info =
          resolve(prefix + distance.table + ".weight", {distance.rows, attention.heads});
      Type element = info ? info->elementType : g.b.getF32Type();
      Value table = operand(body, Operand::Bias,
                            RankedTensorType::get({distance.rows, attention.heads}, element));
      bias = g.distanceBias(x, table, distance.buckets);
    }
    if (!attention.alibi.slopes.empty())
      bias = g.distanceSlopes(x, attention.alibi.slopes);
    if (!body.stack->relative.table.empty())
      bias = emitRelativeBias(g, body, q, k, weight);
    int64_t reach = body.layer->reach;
    if (body.stack->causal || reach >= 0)
      mask = g.nearMask(x, reach, body.stack->causal ? 0 : reach);
    result = g.attend(q, k, v, attention.scale, bias, mask);
  }
  return emitLinear(g, attention.output, body.stack->hidden, result, weight);
}

Value StackBuilder::emitRelativeBias(GraphBuilder &g, Body &body, Value q, Value k,
                                     WeightFn weight) {
  const RelativeKeysSpec &relative = body.stack->relative;
  const AttentionSpec &attention = body.layer->attention;
  int64_t size = attention.headDim;
  Value distances = operand(body, Operand::Distances, g.f32({relative.rows, body.stack->hidden}));
  auto product = [&](Value rows, const LinearSpec &linear) -> Value {
    if (linear.name.empty())
      return {};
    Value others = emitLinear(g, linear, attention.heads * size, distances, weight);
    return g.productByHead(rows, g.splitLast(others, size));
  };
  Value byQuery = product(q, relative.key), byKey = product(k, relative.query);
  return g.relativeBias(q, byQuery, byKey, relative.rowOf, attention.scale);
}

Value StackBuilder::emitCross(GraphBuilder &g, Body &body, Value x, WeightFn weight) {
  const AttentionSpec &cross = body.layer->cross;
  RankedTensorType type = g.f32({dynamic, cross.kvHeads, cross.headDim});
  Value q = emitLinear(g, cross.query, cross.heads * cross.headDim, x, weight);
  std::string module = body.layer->name + StringRef(cross.output.name).rsplit('.').first.str();
  Value result;
  {
    GraphBuilder::At at(g, prefix + module);
    Value keys = operand(body, Operand::Keys, type), values = operand(body, Operand::Values, type);
    result = g.attend(g.splitLast(q, cross.headDim), keys, values, cross.scale, {}, {});
  }
  return emitLinear(g, cross.output, body.stack->hidden, result, weight);
}

Value StackBuilder::emitFeedForward(GraphBuilder &g, Body &body, Value x, WeightFn weight) {
  const FeedForwardSpec &ff = body.layer->feedForward;
  Value inner;
  if (ff.fused) {
    Value both = emitLinear(g, ff.gate, 2 * ff.size, x, weight);
    inner = g.mul(g.activation(g.sliceLast(both, 0, ff.size), ff.activation),
                  g.sliceLast(both, ff.size, ff.size));
  } else {
    Value gate = ff.gated ? emitLinear(g, ff.gate, ff.size, x, weight) : Value();
    Value up = emitLinear(g, ff.up, ff.size, x, weight);
    inner =
        ff.gated ? g.mul(g.activation(gate, ff.activation), up) : g.activation(up, ff.activation);
  }
  return emitLinear(g, ff.down, body.stack->hidden, inner, weight);
}

Value StackBuilder::emitExperts(GraphBuilder &g, Body &body, Value x, WeightFn weight) {
  LayerEmitter emitter{
      g,
      prefix + body.layer->name,
      [&](const LinearSpec &linear, int64_t size, Value x) {
        return emitLinear(g, linear, size, x, weight);
      },
      [&](const NormSpec &norm, Value x) { return emitNorm(g, norm, x, weight); },
      nullptr,
      [&](StringRef name) {
        return checkpoint.tensors.find((prefix + body.layer->name + name).str()) != nullptr;
      },
      [&](const std::string &name, ArrayRef<int64_t> stored, int64_t offset,
          ArrayRef<int64_t> shape) { return partOf(body, name, stored, offset, shape); }};
  return emitMixture(emitter, body.layer->mixture, x);
}

Value StackBuilder::emitLayer(GraphBuilder &g, Body &body, Value x) {
  const StackLayerSpec &layer = *body.layer;
  auto weight = weightsOf(body);
  auto branch = [&](const NormSpec &norm, const NormSpec &ofResult,
                    llvm::function_ref<Value(Value)> emit) {
    if (layer.postNorm)
      return emitNorm(g, norm, g.add(x, emit(x)), weight);
    return g.add(x, emitNorm(g, ofResult, emit(emitNorm(g, norm, x, weight)), weight));
  };
  Value input = x;
  x = branch(layer.attentionNorm, layer.attentionPostNorm,
             [&](Value x) { return emitSelfAttention(g, body, x, weight); });
  if (layer.secondNorm.kind)
    x = emitNorm(g, layer.secondNorm, g.add(input, x), weight);
  if (layer.hasCross)
    x = branch(layer.crossNorm, {}, [&](Value x) { return emitCross(g, body, x, weight); });
  return branch(layer.feedForwardNorm, layer.feedForwardPostNorm, [&](Value x) {
    return layer.mixture.experts ? emitExperts(g, body, x, weight)
                                 : emitFeedForward(g, body, x, weight);
  });
}

//===----------------------------------------------------------------------===//
// The stack
//===----------------------------------------------------------------------===//

Value StackBuilder::emitEmbeddings(const StackSpec &spec, int64_t vocab, Value ids, Value types) {
  int64_t size = spec.embeddingSize;
  auto weight = [&](const std::string &name, ArrayRef<int64_t> shape) {
    return parameterOf(name, shape);
  };
  Value x;
  {
    GraphBuilder::At at(top, prefix + spec.embedding);
    Value table = parameterOf(spec.embedding + ".weight", {vocab, size});
    x = top.mul(top.embedding(ids, table), spec.embeddingScale);
  }
  if (!spec.typeTable.empty()) {
    GraphBuilder::At at(top, prefix + spec.typeTable);
    Value table = parameterOf(spec.typeTable + ".weight", {spec.types, size});
    if (spec.takesTypes()) {
      x = top.add(x, top.embedding(types, table));
    } else {
      SmallVector<ReassociationIndices> groups = {{0, 1}};
      x = top.addWeight(x, tensor::CollapseShapeOp::create(top.b, top.loc, table, groups));
    }
  }
  if (spec.normBeforePositions)
    x = emitNorm(top, spec.embeddingNorm, x, weight);
  bool stored = !spec.positionTable.empty() &&
                (spec.positionValues.empty() ||
                 checkpoint.tensors.find(prefix + spec.positionTable + ".weight"));
  if (stored || !spec.positionValues.empty()) {
    GraphBuilder::At at(top, prefix + (stored ? spec.positionTable : "positions"));
    Value rows;
    if (stored) {
      rows = parameterOf(spec.positionTable + ".weight", {spec.positionRows, size});
    } else {
      RankedTensorType type = top.f32({int64_t(spec.positionValues.size()) / size, size});
      rows = arith::ConstantOp::create(top.b, top.loc,
                                       DenseElementsAttr::get(type, ArrayRef(spec.positionValues)));
    }
    Value position = top.positions(ids);
    if (spec.positionOffset) {
      Value offset =
          arith::ConstantOp::create(top.b, top.loc, top.b.getI32IntegerAttr(spec.positionOffset));
      auto type = cast<RankedTensorType>(position.getType());
      position = arith::AddIOp::create(top.b, top.loc, position, top.fill(type, offset));
    }
    x = top.add(x, top.embedding(position, rows));
  }
  auto norm = [&] { x = emitNorm(top, spec.embeddingNorm, x, weight); };
  if (!spec.normBeforePositions && !spec.normAfterProjection)
    norm();
  if (!spec.embeddingProjection.name.empty())
    x = emitLinear(top, spec.embeddingProjection, spec.hidden, x, weight);
  if (!spec.normBeforePositions && spec.normAfterProjection)
    norm();
  return x;
}

Value StackBuilder::emitConvolution(const StackSpec &spec, Value x0, Value x1) {
  const ConvolutionSpec &conv = spec.convolution;
  GraphBuilder::At at(top, prefix + conv.name);
  auto weight = [&](const std::string &name, ArrayRef<int64_t> shape) {
    return parameterOf(name, shape);
  };
  // A row of each tap beside the others, as the matrix has them: [S, hidden, taps].
  SmallVector<Value> taps;
  Value heads = top.splitLast(x0, spec.layers.front().attention.headDim);
  for (int64_t tap = 0; tap < conv.taps; ++tap) {
    int64_t by = tap - conv.taps / 2;
    taps.push_back(top.splitLast(by ? top.joinLast(top.shiftRows(heads, by)) : x0, 1));
  }
  Value rows = top.joinLast(top.concat(taps, 2));
  int64_t inner = spec.hidden / conv.groups * conv.taps, outer = spec.hidden / conv.groups;
  SmallVector<Value> results;
  for (int64_t group = 0; group < conv.groups; ++group) {
    Value matrix =
        part(prefix + conv.name + ".weight", {spec.hidden, spec.hidden / conv.groups, conv.taps},
             group * outer * inner, {outer, inner});
    results.push_back(top.linear(top.sliceLast(rows, group * inner, inner), matrix, {}, false));
  }
  Value y = top.addWeight(top.concat(results, 1), weight(conv.name + ".bias", {spec.hidden}));
  return emitNorm(top, conv.norm, top.add(x1, top.activation(y, conv.activation)), weight);
}

Value StackBuilder::emitStack(const StackSpec &spec, int64_t vocab, Value ids, Value types,
                              Value source) {
  Value x = emitEmbeddings(spec, vocab, ids, types);
  std::vector<std::pair<Value, Value>> rotaries;
  for (const RotaryTable &rotary : spec.rotaries) {
    GraphBuilder::At at(top, prefix + "rotary");
    rotaries.push_back(top.rotaryTable(ids, rotary));
  }
  auto weight = [&](const std::string &name, ArrayRef<int64_t> shape) {
    return parameterOf(name, shape);
  };
  Value distances;
  if (const RelativeKeysSpec &relative = spec.relative; !relative.table.empty()) {
    GraphBuilder::At at(top, prefix + relative.table);
    distances = top.widen(parameterOf(relative.table + ".weight", {relative.rows, spec.hidden}));
    distances = emitNorm(top, relative.norm, distances, weight);
  }
  for (const StackLayerSpec &layer : spec.layers) {
    GraphBuilder::At at(top, prefix + StringRef(layer.name).drop_back(1));
    auto noOther = [](Operand::Kind) { return Value(); };
    Value keys, values;
    if (layer.hasCross) {
      int64_t size = cast<RankedTensorType>(source.getType()).getDimSize(1);
      Body *body = bodyOf(spec, layer, /*ofSource=*/true, size);
      if (!body)
        return {};
      ValueRange both = callBody(*body, layer, source, noOther);
      keys = both[0];
      values = both[1];
    }
    Body *body = bodyOf(spec, layer, /*ofSource=*/false, spec.hidden);
    if (!body)
      return {};
    auto valueOf = [&](Operand::Kind kind) -> Value {
      switch (kind) {
      case Operand::Cosines:
        return rotaries[*layer.attention.rotary].first;
      case Operand::Sines:
        return rotaries[*layer.attention.rotary].second;
      case Operand::Bias:
        return parameterOf(spec.bias.table + ".weight", {spec.bias.rows, layer.attention.heads});
      case Operand::Distances:
        return distances;
      case Operand::Keys:
        return keys;
      case Operand::Values:
        return values;
      case Operand::Weight:
        break;
      }
      llvm_unreachable("weights are taken by name");
    };
    Value input = x;
    x = callBody(*body, layer, x, valueOf)[0];
    if (&layer == &spec.layers.front() && !spec.convolution.name.empty())
      x = emitConvolution(spec, input, x);
  }
  return emitNorm(top, spec.finalNorm, x, weight);
}
