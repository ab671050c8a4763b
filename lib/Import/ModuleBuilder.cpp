//===- ModuleBuilder.cpp - from the tensors of a checkpoint to a module -----------------------===//

#include "ModuleBuilder.h"
#include "ingot/Dialect/Transformer/IR/TransformerDialect.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Verifier.h"
#include "llvm/Support/Path.h"

using namespace mlir;
using namespace ingot;
using namespace ingot::importer;

void ModuleBuilder::choosePrefix(ArrayRef<std::string> candidates, ArrayRef<std::string> tensors) {
  for (const std::string &candidate : candidates)
    for (const std::string &name : tensors)
      if (checkpoint.tensors.find(candidate + name)) {
        prefix = candidate;
        return;
      }
  prefix = candidates.front();
}

std::string ModuleBuilder::fullName(StringRef name, size_t layer) const {
  auto [before, after] = name.split('*');
  std::string result = prefix + before.str();
  if (before.size() != name.size())
    result += std::to_string(layer) + after.str();
  return result;
}

Type ModuleBuilder::graphType(const TensorInfo &info, ArrayRef<int64_t> shape) {
  return isa<tfm::BlockType>(info.elementType) && shape.size() != 2
             ? Type(Float32Type::get(info.elementType.getContext()))
             : info.elementType;
}

/// The tensor of this name, if it is there and has this shape and a type that weights may have.
const TensorInfo *ModuleBuilder::resolve(const std::string &fullName, ArrayRef<int64_t> shape) {
  std::string name = fullName;
  const TensorInfo *info = checkpoint.tensors.find(name, shape);
  // Files of old call the weight and the bias of a norm gamma and beta.
  if (StringRef norm = name;
      !info && (norm.consume_back(".weight") || norm.consume_back(".bias"))) {
    std::string older = (norm + (StringRef(name).ends_with(".bias") ? ".beta" : ".gamma")).str();
    if ((info = checkpoint.tensors.find(older)))
      name = older;
  }
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

Value ModuleBuilder::part(const std::string &name, ArrayRef<int64_t> stored, int64_t offset,
                          ArrayRef<int64_t> shape) {
  const TensorInfo *info = resolve(name, stored);
  if (!info)
    return tensor::EmptyOp::create(top.b, top.loc, shape, top.b.getF32Type());
  Value &value = parameters[offset ? name + "@" + std::to_string(offset) : name];
  if (value)
    return value;
  uint64_t skipped = formats::bytesOf(*tfm::getStorageFormat(info->elementType), uint64_t(offset));
  value = tfm::ParameterOp::create(top.b, top.nameLoc(name),
                                   RankedTensorType::get(shape, info->elementType), name,
                                   info->file, info->offset + skipped);
  if (graphType(*info, shape) != info->elementType)
    value = tfm::ConvertWeightOp::create(
        top.b, top.nameLoc(name), RankedTensorType::get(shape, graphType(*info, shape)), value);
  return value;
}

bool ModuleBuilder::headIsSeparate(bool tied, const std::string &embeddingName,
                                   const std::string &headName) {
  if (!tied)
    return true;
  const TensorInfo *embedding = checkpoint.tensors.find(embeddingName);
  const TensorInfo *head = checkpoint.tensors.find(headName);
  if (!embedding || !head)
    return false;
  used.insert(headName);
  if (sameBytes(checkpoint, *embedding, *head))
    return false;
  diagnostics.warning(checkpoint.directory,
                      "tensor " + quote(headName) +
                          " differs from the embedding table that config.json ties it to; it is "
                          "used as the head");
  return true;
}

void ModuleBuilder::reportUnused(ArrayRef<std::string> redundant) {
  ImportReport &report = diagnostics.getReport();
  for (const auto &[name, info] : checkpoint.tensors) {
    if (used.contains(name))
      continue;
    StringRef text = name;
    if (llvm::any_of(redundant, [&](StringRef end) { return text.ends_with(end); }))
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

FailureOr<OwningOpRef<ModuleOp>> ModuleBuilder::finish(ArrayRef<std::string> redundant) {
  reportUnused(redundant);
  if (diagnostics.failed())
    return failure();
  if (failed(verify(*module)))
    return diagnostics.error(checkpoint.directory, "the importer made an invalid graph");
  return std::move(module);
}

//===----------------------------------------------------------------------===//
// Parts
//===----------------------------------------------------------------------===//

Value ModuleBuilder::emitNorm(GraphBuilder &g, const NormSpec &norm, Value x, WeightFn weight) {
  if (norm.kind == NormSpec::None)
    return x;
  GraphBuilder::At at(g, prefix + norm.name);
  int64_t size = cast<RankedTensorType>(x.getType()).getShape().back();
  Value y =
      norm.kind == NormSpec::Rms ? g.rmsNormalize(x, norm.eps) : g.layerNormalize(x, norm.eps);
  Value factor = weight(norm.name + ".weight", {size});
  if (norm.offset != 0)
    factor = g.add(g.widen(factor), norm.offset);
  y = g.mulWeight(y, factor);
  return norm.bias ? g.addWeight(y, weight(norm.name + ".bias", {size})) : y;
}

Value ModuleBuilder::emitLinear(GraphBuilder &g, const LinearSpec &linear, int64_t size, Value x,
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
