//===- Encoder.cpp - encoders and their heads by their structures -----------------------------===//

#include "Encoder.h"
#include "ingot/Dialect/Transformer/IR/TransformerDialect.h"
#include "ingot/Import/ModelInfo.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace ingot;
using namespace ingot::importer;

namespace {

class EncoderBuilder : StackBuilder {
public:
  EncoderBuilder(MLIRContext *context, const EncoderSpec &spec, Checkpoint &checkpoint,
                 Diagnostics &diagnostics)
      : StackBuilder(context, spec.modelType, checkpoint, diagnostics), spec(spec) {}

  FailureOr<OwningOpRef<ModuleOp>> build();

private:
  LogicalResult emitOutput(const HeadSpec &head);
  Value emitStep(const HeadStep &step, Value x);

  const EncoderSpec &spec;
  std::vector<ModelOutput> outputs;
};

} // namespace

Value EncoderBuilder::emitStep(const HeadStep &step, Value x) {
  std::string base = step.prefixed ? prefix : "";
  auto weight = [&](const std::string &name, ArrayRef<int64_t> shape) {
    return parameter(base + name, shape);
  };
  if (!step.linear.name.empty()) {
    GraphBuilder::At at(top, base + step.linear.name);
    std::string own = base + step.linear.name + ".weight",
                table = prefix + spec.stack.embedding + ".weight";
    int64_t inner = cast<RankedTensorType>(x.getType()).getDimSize(1), size = step.size;
    if (const TensorInfo *info = checkpoint.tensors.find(own); info && size == 0)
      size = info->shape.size() == 2 ? info->shape[0] : 0;
    size = std::max<int64_t>(size, 1);
    Value matrix = parameter(headIsSeparate(step.tied, table, own) ? own : table, {size, inner});
    Value bias;
    if (step.linear.bias) {
      std::string name = base + step.linear.name + ".bias", other = base + step.biasName;
      // Tied like the matrix, or the linear's own where it has one.
      if (!step.biasName.empty() && checkpoint.tensors.find(other)) {
        bool own = !step.tied && checkpoint.tensors.find(name);
        used.insert(own ? other : name);
        name = own ? name : other;
      }
      bias = parameter(name, {size});
    }
    x = top.linear(x, matrix, bias, /*transposed=*/false);
  }
  x = top.activation(x, step.activation);
  return emitNorm(top, step.norm, x, weight);
}

LogicalResult EncoderBuilder::emitOutput(const HeadSpec &head) {
  auto idsType = RankedTensorType::get({dynamic}, top.b.getI32Type());
  SmallVector<Type> inputs = {idsType};
  SmallVector<StringRef> names = {"ids"};
  if (spec.stack.takesTypes()) {
    inputs.push_back(idsType);
    names.push_back("token_types");
  }
  GraphBuilder::At at(top, spec.modelType);
  func::FuncOp function = beginFunction(head.output, inputs, names);
  Block &block = function.getBody().front();
  Value types = spec.stack.takesTypes() ? Value(block.getArgument(1)) : Value();
  Value x = emitStack(spec.stack, spec.vocab, block.getArgument(0), types, {});
  if (!x)
    return failure();
  if (head.mean) {
    // In parts like the heads', where it has such.
    int64_t size = spec.stack.layers.front().attention.headDim;
    size = spec.stack.hidden % size ? spec.stack.hidden : size;
    x = top.joinLast(top.meanRow(top.splitLast(x, size)));
  }
  for (const HeadStep &step : head.steps)
    x = emitStep(step, x);
  if (diagnostics.failed())
    return failure();
  endFunction(function, x);
  ModelOutput output;
  output.name = output.function = head.output;
  output.firstRowOnly = head.firstRowOnly;
  output.width = cast<RankedTensorType>(x.getType()).getDimSize(1);
  if (int64_t(head.labels.size()) == output.width) {
    output.labels = head.labels;
    output.independent = head.independent;
  } else if (!head.labels.empty()) {
    diagnostics.warning(checkpoint.directory, std::to_string(head.labels.size()) + " labels of " +
                                                  std::to_string(output.width) +
                                                  " classes were ignored");
  }
  outputs.push_back(output);
  return success();
}

FailureOr<OwningOpRef<ModuleOp>> EncoderBuilder::build() {
  choosePrefix(spec.prefixes, {spec.stack.embedding + ".weight"});
  HeadSpec hidden;
  hidden.output = "hidden";
  if (failed(emitOutput(hidden)))
    return failure();
  for (const HeadSpec &head : spec.heads) {
    const HeadStep &first = head.steps.front();
    std::string weight = (first.prefixed ? prefix : "") + first.linear.name + ".weight";
    if (head.optional && !checkpoint.tensors.find(weight))
      continue;
    if (failed(emitOutput(head)))
      return failure();
  }
  ModelInfo info;
  info.modelType = spec.modelType;
  info.vocab = spec.vocab;
  info.context = spec.context;
  info.learnedPositions = true;
  info.layers = spec.stack.layers.size();
  info.hidden = spec.stack.hidden;
  const AttentionSpec &first = spec.stack.layers.front().attention;
  info.heads = first.heads;
  info.kvHeads = first.kvHeads;
  info.headDim = first.headDim;
  info.tokenTypes = spec.stack.takesTypes() ? spec.stack.types : 0;
  info.outputs = outputs;
  info.pooling = spec.pooling;
  info.normalize = spec.normalize;
  module.get()->setAttr(tfm::TransformerDialect::getModelAttrName(), info.toAttr(context));
  return finish(spec.redundantTensors);
}

FailureOr<OwningOpRef<ModuleOp>> importer::buildEncoder(MLIRContext *context,
                                                        const EncoderSpec &spec,
                                                        Checkpoint &checkpoint,
                                                        Diagnostics &diagnostics) {
  context->loadDialect<arith::ArithDialect, func::FuncDialect, linalg::LinalgDialect,
                       math::MathDialect, tensor::TensorDialect, tfm::TransformerDialect>();
  return EncoderBuilder(context, spec, checkpoint, diagnostics).build();
}
