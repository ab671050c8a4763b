//===- EncoderDecoder.cpp - encoder-decoders by their structures ------------------------------===//

#include "EncoderDecoder.h"
#include "ingot/Dialect/Transformer/IR/SourceAttr.h"
#include "ingot/Dialect/Transformer/IR/TransformerDialect.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace ingot;
using namespace ingot::importer;

namespace {

class EncoderDecoderBuilder : StackBuilder {
public:
  EncoderDecoderBuilder(MLIRContext *context, const EncoderDecoderSpec &spec,
                        Checkpoint &checkpoint, Diagnostics &diagnostics)
      : StackBuilder(context, spec.modelType, checkpoint, diagnostics), spec(spec) {}

  FailureOr<OwningOpRef<ModuleOp>> build();

private:
  Value emitHead(Value x);
  ModelInfo describe() const;

  const EncoderDecoderSpec &spec;
};

} // namespace

Value EncoderDecoderBuilder::emitHead(Value x) {
  std::string table = prefix + spec.decoder.embedding + ".weight", own = spec.head.name + ".weight";
  bool separate = headIsSeparate(spec.tiedHead, table, own);
  GraphBuilder::At at(top, separate ? spec.head.name : prefix + spec.decoder.embedding);
  Value matrix = parameter(separate ? own : table, {spec.vocab, spec.decoder.hidden});
  x = top.linear(top.mul(x, spec.headScale), matrix, {}, /*transposed=*/false);
  if (spec.logitsBias.empty() || !checkpoint.tensors.find(spec.logitsBias))
    return x;
  SmallVector<ReassociationIndices> groups = {{0, 1}};
  Value bias = parameter(spec.logitsBias, {1, spec.vocab});
  return top.addWeight(x, tensor::CollapseShapeOp::create(top.b, top.loc, bias, groups));
}

ModelInfo EncoderDecoderBuilder::describe() const {
  ModelInfo info;
  info.modelType = spec.modelType;
  info.vocab = spec.vocab;
  info.sourceVocab = spec.sourceVocab;
  info.context = spec.context;
  info.learnedPositions = spec.learnedPositions;
  info.endIds = spec.endIds;
  info.beginId = spec.beginId;
  info.startId = spec.startId;
  info.lengthPenalty = spec.lengthPenalty;
  info.earlyStopping = spec.earlyStopping;
  info.layers = spec.decoder.layers.size();
  info.hidden = spec.decoder.hidden;
  const AttentionSpec &first = spec.decoder.layers.front().attention;
  info.heads = info.kvHeads = first.heads;
  info.headDim = first.headDim;
  ModelOutput states;
  states.name = "encoder";
  states.function = "encode";
  states.width = spec.encoder.hidden;
  info.outputs = {states};
  return info;
}

FailureOr<OwningOpRef<ModuleOp>> EncoderDecoderBuilder::build() {
  choosePrefix(spec.prefixes,
               {spec.encoder.embedding + ".weight", spec.decoder.embedding + ".weight"});
  GraphBuilder::At at(top, spec.modelType);
  Type ids = RankedTensorType::get({dynamic}, top.b.getI32Type());
  func::FuncOp encode = beginFunction("encode", {ids}, {"ids"});
  Value states = emitStack(spec.encoder, spec.sourceVocab, encode.getArgument(0), {}, {});
  if (!states)
    return failure();
  endFunction(encode, states);

  func::FuncOp forward = beginFunction("forward", {ids, states.getType()}, {"ids", "source"});
  forward.setArgAttr(1, tfm::getSourceAttrName(), top.b.getUnitAttr());
  Value x = emitStack(spec.decoder, spec.vocab, forward.getArgument(0), {}, forward.getArgument(1));
  if (!x)
    return failure();
  endFunction(forward, emitHead(x));
  if (diagnostics.failed())
    return failure();
  module.get()->setAttr(tfm::TransformerDialect::getModelAttrName(), describe().toAttr(context));
  return finish(spec.redundantTensors);
}

FailureOr<OwningOpRef<ModuleOp>> importer::buildEncoderDecoder(MLIRContext *context,
                                                               const EncoderDecoderSpec &spec,
                                                               Checkpoint &checkpoint,
                                                               Diagnostics &diagnostics) {
  context->loadDialect<arith::ArithDialect, func::FuncDialect, linalg::LinalgDialect,
                       math::MathDialect, tensor::TensorDialect, tfm::TransformerDialect>();
  return EncoderDecoderBuilder(context, spec, checkpoint, diagnostics).build();
}
