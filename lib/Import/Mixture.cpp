//===- Mixture.cpp - mixtures of experts ------------------------------------------------------===//
//
// One graph for all routers and all ways to store experts:
//
//   scores = softmax or sigmoid of router(x)          [S, E]
//   ids, weights = route(scores)                      [S, k]
//   inner = act(gate part) * up part of x times the experts' gate and up matrices    [S, k, I]
//   result = shared(x) + sum of weights * (inner times the experts' down matrices)   [S, H]
//
// Checkpoints store a tensor for each expert and matrix, or one for all experts of a layer. The
// graph has one operand in both cases: the experts' matrices below each other, the rows of gate and
// up of an expert side by side, so that its bytes lie together. Experts without a gate have up
// alone.
//
//===----------------------------------------------------------------------------------------===//

#include "LayerEmitter.h"
#include "ingot/Dialect/Transformer/IR/TransformerDialect.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace ingot;
using namespace ingot::importer;

Value LayerEmitter::join(ArrayRef<Value> matrices, int64_t dim) const {
  if (matrices.size() == 1)
    return matrices.front();
  return tensor::ConcatOp::create(g.b, g.loc, dim, matrices);
}

namespace {

class MixtureEmitter {
public:
  MixtureEmitter(const LayerEmitter &emitter, const MixtureSpec &spec, Value x)
      : emitter(emitter), g(emitter.g), spec(spec), x(x),
        hidden(cast<RankedTensorType>(x.getType()).getShape().back()) {
    module = spec.modules.front();
    for (const std::string &candidate : spec.modules)
      if (!candidate.empty() && emitter.has(candidate + "." + spec.router + ".weight")) {
        module = candidate;
        break;
      }
  }

  Value emit();

private:
  std::string name(const Twine &last) const {
    return module.empty() ? last.str() : module + "." + last.str();
  }
  /// The matrix of an expert, whose number '#' stands for.
  std::string expert(int64_t number, StringRef matrix) const {
    auto [before, after] = matrix.split('#');
    return name(before + Twine(number) + after + ".weight");
  }
  /// Experts' biases [E, size]: a part of each of the tensors named, one after the other.
  Value biases(ArrayRef<std::string> tensors, int64_t size);
  void route();
  std::pair<Value, Value> gateAndUp();
  Value up();
  /// All experts' matrices [rows, columns] below each other.
  Value stacked(const std::string &all, const std::string &one, int64_t rows, int64_t columns);
  Value activate(Value gate, Value up);
  Value down(Value inner);
  Value shared();
  /// Rows x times matrices [size, inner] of all experts.
  Value product(Value rows, Value matrices, Value bias, int64_t size, bool transposed);

  const LayerEmitter &emitter;
  GraphBuilder &g;
  const MixtureSpec &spec;
  Value x, ids, weights;
  int64_t hidden;
  std::string module;
};

} // namespace

void MixtureEmitter::route() {
  LinearSpec router{name(spec.router), spec.routerBias};
  Value logits = emitter.linear(router, spec.experts, x);
  GraphBuilder::At at(g, emitter.prefix + name("route"));
  Value scores = spec.scores == MixtureSpec::Sigmoid
                     ? g.sigmoid(logits)
                     : tfm::SoftmaxOp::create(g.b, g.loc, logits, g.b.getI64IntegerAttr(1));
  Value bias;
  if (!spec.choiceBias.empty())
    bias = emitter.weight(name(spec.choiceBias), {spec.experts});
  auto idsType = RankedTensorType::get({dynamic, spec.chosen}, g.b.getI32Type());
  auto route = tfm::RouteOp::create(
      g.b, g.loc, TypeRange{idsType, g.f32({dynamic, spec.chosen})}, scores, bias,
      g.b.getI64IntegerAttr(spec.groups), g.b.getI64IntegerAttr(spec.keep),
      g.b.getI64IntegerAttr(spec.best), spec.normalize ? g.b.getUnitAttr() : UnitAttr(),
      g.b.getF64FloatAttr(spec.scale));
  ids = route.getIds();
  weights = route.getWeights();
}

Value MixtureEmitter::product(Value rows, Value matrices, Value bias, int64_t size,
                              bool transposed) {
  return tfm::ExpertLinearOp::create(g.b, g.loc, g.f32({dynamic, spec.chosen, size}), rows,
                                     matrices, ids, bias, g.b.getI64IntegerAttr(spec.experts),
                                     transposed ? g.b.getUnitAttr() : UnitAttr());
}

Value MixtureEmitter::biases(ArrayRef<std::string> tensors, int64_t size) {
  if (!spec.expertBias)
    return {};
  if (tensors.size() == 1)
    return emitter.weight(name(tensors.front() + spec.allBiases), {spec.experts, size});
  int64_t part = size / int64_t(tensors.size());
  SmallVector<Value> parts;
  for (int64_t e = 0; e < spec.experts; ++e)
    for (const std::string &tensor : tensors)
      parts.push_back(
          emitter.part(name(tensor + spec.allBiases), {spec.experts, part}, e * part, {part}));
  Value all = emitter.join(parts, 0);
  auto type = RankedTensorType::get({spec.experts, size}, getElementTypeOrSelf(all.getType()));
  SmallVector<ReassociationIndices> groups = {{0, 1}};
  return tensor::ExpandShapeOp::create(g.b, g.loc, type, all, groups);
}

/// The experts' gate and up parts of the rows, each [S, k, I].
std::pair<Value, Value> MixtureEmitter::gateAndUp() {
  int64_t experts = spec.experts, size = 2 * spec.size;
  std::string fused = name(spec.allGateUp + spec.allWeights);
  GraphBuilder::At at(g, emitter.prefix + fused);
  auto halves = [&](Value both) -> std::pair<Value, Value> {
    if (spec.interleaved)
      return {g.sliceLast(both, 0, spec.size, 2), g.sliceLast(both, 1, spec.size, 2)};
    return {g.sliceLast(both, 0, spec.size), g.sliceLast(both, spec.size, spec.size)};
  };
  SmallVector<Value> matrices;
  if (spec.transposed) {
    for (int64_t e = 0; e < experts; ++e)
      matrices.push_back(
          emitter.part(fused, {experts, hidden, size}, e * hidden * size, {hidden, size}));
    return halves(product(x, emitter.join(matrices, 1), biases({spec.allGateUp}, size), size,
                          /*transposed=*/true));
  }
  if (emitter.has(fused)) {
    Value all = emitter.part(fused, {experts, size, hidden}, 0, {experts * size, hidden});
    return halves(product(x, all, biases({spec.allGateUp}, size), size, /*transposed=*/false));
  }
  bool apart = !spec.allGate.empty() && emitter.has(name(spec.allGate + spec.allWeights));
  SmallVector<Value> gates, ups;
  for (int64_t e = 0; e < experts; ++e) {
    auto matrix = [&](const std::string &all, const std::string &one) {
      return apart ? emitter.part(name(all + spec.allWeights), {experts, spec.size, hidden},
                                  e * spec.size * hidden, {spec.size, hidden})
                   : emitter.weight(expert(e, one), {spec.size, hidden});
    };
    gates.push_back(matrix(spec.allGate, spec.gate));
    ups.push_back(matrix(spec.allUp, spec.up));
    matrices.append({gates.back(), ups.back()});
  }
  // Side by side, unless they are stored in different formats.
  if (llvm::all_equal(llvm::map_range(matrices, [](Value m) { return m.getType(); })))
    return halves(product(x, emitter.join(matrices, 0), biases({spec.allGate, spec.allUp}, size),
                          size, /*transposed=*/false));
  return {product(x, emitter.join(gates, 0), biases({spec.allGate}, spec.size), spec.size, false),
          product(x, emitter.join(ups, 0), biases({spec.allUp}, spec.size), spec.size, false)};
}

Value MixtureEmitter::stacked(const std::string &all, const std::string &one, int64_t rows,
                              int64_t columns) {
  std::string whole = name(all + spec.allWeights);
  if (!all.empty() && emitter.has(whole))
    return emitter.part(whole, {spec.experts, rows, columns}, 0, {spec.experts * rows, columns});
  SmallVector<Value> matrices;
  for (int64_t e = 0; e < spec.experts; ++e)
    matrices.push_back(emitter.weight(expert(e, one), {rows, columns}));
  return emitter.join(matrices, 0);
}

/// What experts without a gate make of the rows before their activation, [S, k, I].
Value MixtureEmitter::up() {
  std::string whole = name(spec.allUp + spec.allWeights);
  GraphBuilder::At at(g, emitter.prefix + whole);
  Value bias = biases({spec.allUp}, spec.size);
  Value matrices = spec.transposed ? emitter.weight(whole, {spec.experts * spec.size, hidden})
                                   : stacked(spec.allUp, spec.up, spec.size, hidden);
  return product(x, matrices, bias, spec.size, /*transposed=*/false);
}

Value MixtureEmitter::activate(Value gate, Value up) {
  GraphBuilder::At at(g, emitter.prefix + name("experts.activation"));
  if (spec.limit == 0)
    return g.mul(g.activation(gate, spec.activation), up);
  // Clamped; the sigmoid has a slope of its own and the linear half is around one.
  gate = g.clamp(gate, std::nullopt, spec.limit);
  up = g.clamp(up, -spec.limit, spec.limit);
  return g.mul(g.mul(gate, g.sigmoid(g.mul(gate, spec.slope))), g.add(up, 1));
}

Value MixtureEmitter::down(Value inner) {
  int64_t experts = spec.experts, size = spec.size;
  std::string fused = name(spec.allDown + spec.allWeights);
  GraphBuilder::At at(g, emitter.prefix + fused);
  Value bias = biases({spec.allDown}, hidden);
  if (spec.transposed) {
    SmallVector<Value> matrices;
    SmallVector<int64_t> stored = {experts, size, hidden};
    if (!spec.gated)
      stored = {experts * size, hidden};
    for (int64_t e = 0; e < experts; ++e)
      matrices.push_back(emitter.part(fused, stored, e * size * hidden, {size, hidden}));
    return product(inner, emitter.join(matrices, 1), bias, hidden, /*transposed=*/true);
  }
  return product(inner, stacked(spec.allDown, spec.down, hidden, size), bias, hidden,
                 /*transposed=*/false);
}

/// What experts that every token goes to make of it; null without any.
Value MixtureEmitter::shared() {
  if (spec.shared.size == 0)
    return {};
  Value result = emitter.feedForward(spec.shared, x);
  if (spec.sharedGate.empty())
    return result;
  Value gate = g.sigmoid(emitter.linear(LinearSpec{name(spec.sharedGate)}, 1, x));
  GraphBuilder::At at(g, emitter.prefix + name(spec.sharedGate));
  gate =
      tensor::CollapseShapeOp::create(g.b, g.loc, gate, SmallVector<ReassociationIndices>{{0, 1}});
  return g.mul(g.broadcast(gate, {dynamic, hidden}, {1}), result);
}

Value MixtureEmitter::emit() {
  Value base = shared();
  route();
  Value inner;
  if (spec.gated) {
    auto [gate, up] = gateAndUp();
    inner = activate(gate, up);
  } else {
    inner = g.activation(up(), spec.activation);
  }
  Value result = down(inner);
  GraphBuilder::At at(g, emitter.prefix + name("combine"));
  result = tfm::CombineOp::create(g.b, g.loc, g.f32({dynamic, hidden}), result, weights, base);
  return spec.resultBias.empty()
             ? result
             : g.addWeight(result, emitter.weight(name(spec.resultBias), {hidden}));
}

Value importer::emitMixture(const LayerEmitter &emitter, const MixtureSpec &mixture, Value x) {
  return MixtureEmitter(emitter, mixture, x).emit();
}
