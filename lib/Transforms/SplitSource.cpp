//===- SplitSource.cpp - computes once what depends on the source alone -----------------------===//

#include "Reads.h"
#include "ingot/Dialect/Transformer/IR/SourceAttr.h"
#include "ingot/Dialect/Transformer/IR/TransformerDialect.h"
#include "ingot/Transforms/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"

namespace ingot {
#define GEN_PASS_DEF_SPLITSOURCE
#include "ingot/Transforms/Passes.h.inc"
} // namespace ingot

using namespace mlir;
using namespace ingot;
using namespace ingot::tfm;

namespace {

class SourceSplitter {
public:
  SourceSplitter(func::FuncOp encoder, func::FuncOp decoder, BlockArgument source)
      : encoder(encoder), decoder(decoder), source(source) {}

  LogicalResult run();
  int64_t numValues = 0;

private:
  /// Finds the operations that need the source and nothing of the decoder, and what the decoder
  /// reads of their results.
  LogicalResult collect();
  Value cloneInto(OpBuilder &builder, Value value, IRMapping &mapping);

  func::FuncOp encoder, decoder;
  BlockArgument source;
  llvm::SetVector<Operation *> moved;
  llvm::SetVector<Value> boundary;
};

} // namespace

LogicalResult SourceSplitter::collect() {
  llvm::DenseSet<Value> ofSource{source}, ofDecoder;
  for (BlockArgument argument : decoder.getArguments())
    if (argument != source)
      ofDecoder.insert(argument);
  for (Operation &op : decoder.getBody().front()) {
    bool own = op.hasTrait<OpTrait::IsTerminator>();
    SmallVector<Value> readOfSource;
    forEachRead(&op, [&](Value value) {
      own |= ofDecoder.contains(value);
      if (ofSource.contains(value))
        readOfSource.push_back(value);
    });
    if (!readOfSource.empty() && !own) {
      moved.insert(&op);
      ofSource.insert(op.result_begin(), op.result_end());
      continue;
    }
    if (own)
      ofDecoder.insert(op.result_begin(), op.result_end());
    for (Value value : readOfSource) {
      if (value == source || !isa<func::CallOp>(op) || !isa<RankedTensorType>(value.getType()))
        return op.emitOpError("reads the source, expected a call that is given what is computed "
                              "of the source alone");
      boundary.insert(value);
    }
  }
  return success();
}

/// The value in the encoder, with everything that it is computed from.
Value SourceSplitter::cloneInto(OpBuilder &builder, Value value, IRMapping &mapping) {
  if (Value known = mapping.lookupOrNull(value))
    return known;
  Operation *op = value.getDefiningOp();
  forEachRead(op, [&](Value read) { cloneInto(builder, read, mapping); });
  builder.clone(*op, mapping);
  return mapping.lookup(value);
}

LogicalResult SourceSplitter::run() {
  if (failed(collect()))
    return failure();
  MLIRContext *context = encoder.getContext();
  auto terminator = cast<func::ReturnOp>(encoder.getBody().front().getTerminator());
  NamedAttribute mark(getSourceAttrName(), UnitAttr::get(context));
  DictionaryAttr marked = DictionaryAttr::get(context, mark);
  OpBuilder builder(terminator);
  IRMapping mapping;
  mapping.map(source, terminator.getOperand(0));
  for (Value value : boundary) {
    Value made = cloneInto(builder, value, mapping);
    terminator.getOperandsMutable().append(made);
    (void)encoder.insertResult(encoder.getNumResults(), made.getType(), marked);
    unsigned number = decoder.getNumArguments();
    (void)decoder.insertArgument(number, value.getType(), marked, value.getLoc());
    value.replaceAllUsesWith(decoder.getArgument(number));
    ++numValues;
  }
  for (Operation *op : llvm::reverse(moved)) {
    op->dropAllUses();
    op->erase();
  }
  if (failed(decoder.eraseArgument(source.getArgNumber())))
    return decoder.emitOpError("cannot drop its source");
  return success();
}

namespace {
struct SplitSourcePass : ingot::impl::SplitSourceBase<SplitSourcePass> {
  using SplitSourceBase::SplitSourceBase;

  void runOnOperation() override {
    auto encoder = getOperation().lookupSymbol<func::FuncOp>("encode");
    auto decoder = getOperation().lookupSymbol<func::FuncOp>("forward");
    if (!encoder || !decoder)
      return;
    BlockArgument source;
    for (BlockArgument argument : decoder.getArguments())
      if (decoder.getArgAttr(argument.getArgNumber(), getSourceAttrName()))
        source = argument;
    if (!source)
      return;
    if (encoder.getNumResults() != 1 || encoder.getResultTypes()[0] != source.getType()) {
      encoder.emitOpError("expected one result of the type of the source, ") << source.getType();
      return signalPassFailure();
    }
    SourceSplitter splitter(encoder, decoder, source);
    if (failed(splitter.run()))
      return signalPassFailure();
    numValues += splitter.numValues;
  }
};
} // namespace
