//===- InsertKVCache.cpp - from one whole sequence to a step of several sequences -------------===//

#include "CacheTypes.h"
#include "TokenDims.h"
#include "ingot/Dialect/Transformer/IR/AttentionRegions.h"
#include "ingot/Transforms/Passes.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/Transforms/RegionUtils.h"

namespace ingot {
#define GEN_PASS_DEF_INSERTKVCACHE
#include "ingot/Transforms/Passes.h.inc"
} // namespace ingot

using namespace mlir;
using namespace ingot;
using namespace ingot::tfm;

/// Whether a key that the condition keeps is never after the query: a conjunct says `j <= i`.
static bool impliesCausal(Value keep, Value i, Value j) {
  if (auto both = keep.getDefiningOp<arith::AndIOp>())
    return impliesCausal(both.getLhs(), i, j) || impliesCausal(both.getRhs(), i, j);
  auto compare = keep.getDefiningOp<arith::CmpIOp>();
  if (!compare)
    return false;
  using P = arith::CmpIPredicate;
  P predicate = compare.getPredicate();
  if (compare.getLhs() == j && compare.getRhs() == i)
    return predicate == P::sle || predicate == P::slt || predicate == P::ule ||
           predicate == P::ult || predicate == P::eq;
  if (compare.getLhs() == i && compare.getRhs() == j)
    return predicate == P::sge || predicate == P::sgt || predicate == P::uge ||
           predicate == P::ugt || predicate == P::eq;
  return false;
}

static bool isCausal(AttentionOp op) {
  if (op.getMask().empty())
    return false;
  Block &block = op.getMask().front();
  return impliesCausal(cast<YieldOp>(block.getTerminator()).getValue(), block.getArgument(2),
                       block.getArgument(3));
}

namespace {

/// What a function got when its tokens were packed.
struct PackedFunction {
  Value batch;
  /// The sites of the function and of its callees in order: the type of each cache.
  SmallVector<CacheType> caches;
};

class Packer {
public:
  Packer(TokenDims &dims, bool transient, StringRef cacheType)
      : dims(dims), transient(transient), cacheType(cacheType) {}

  LogicalResult pack(func::FuncOp function);
  LogicalResult gatherOutputs(func::FuncOp entry);
  int64_t numSites = 0;

private:
  FailureOr<CacheType> getCacheType(AttentionOp op);
  Value rewriteAttention(OpBuilder &builder, AttentionOp op, CacheType type, Value cache);
  Value gather(OpBuilder &builder, Value value, IRMapping &mapping);

  TokenDims &dims;
  bool transient;
  StringRef cacheType;
  llvm::DenseMap<Operation *, PackedFunction> packed;
};

} // namespace

/// [H, S, D] to [S, H, D] and back; cancels with the transposition that made `value`.
static Value swapHeadsAndTokens(OpBuilder &builder, Location loc, Value value) {
  const int64_t permutation[] = {1, 0, 2};
  if (auto transpose = value.getDefiningOp<linalg::TransposeOp>())
    if (transpose.getPermutation() == ArrayRef(permutation))
      return transpose.getInput();
  SmallVector<OpFoldResult> sizes = tensor::getMixedSizes(builder, loc, value);
  std::swap(sizes[0], sizes[1]);
  Value init = tensor::EmptyOp::create(builder, loc, sizes,
                                       cast<RankedTensorType>(value.getType()).getElementType());
  return linalg::TransposeOp::create(builder, loc, value, init, permutation)->getResult(0);
}

FailureOr<CacheType> Packer::getCacheType(AttentionOp op) {
  if (!transient && !isCausal(op))
    return op.emitOpError("is not causal, so its keys cannot be cached between steps");
  llvm::SetVector<Value> captured;
  getUsedValuesDefinedAbove(op->getRegions(), captured);
  for (Value value : captured)
    if (dims.get(value) >= 0)
      return op.emitOpError("has a region that reads a tensor with one row per token, got ")
             << value.getType();
  Type element = getCacheElementType(cacheType, getElementTypeOrSelf(op.getK().getType()));
  return CacheType::get(op.getContext(), op.getKVHeads(), op.getKeySize(), op.getValueSize(),
                        element);
}

/// Replaces graph-form attention by an append and attention on the cache; returns the next version.
Value Packer::rewriteAttention(OpBuilder &builder, AttentionOp op, CacheType type, Value cache) {
  Location loc = op.getLoc();
  Value batch = packed[op->getParentOfType<func::FuncOp>()].batch;
  if (!cache)
    cache = CacheCreateOp::create(builder, loc, type, batch);
  Value q = swapHeadsAndTokens(builder, loc, op.getQ());
  Value k = swapHeadsAndTokens(builder, loc, op.getK());
  Value v = swapHeadsAndTokens(builder, loc, op.getV());
  Value next = CacheAppendOp::create(builder, loc, type, cache, k, v, batch);
  SmallVector<int64_t> shape(cast<RankedTensorType>(q.getType()).getShape());
  shape.back() = op.getValueSize();
  auto resultType =
      RankedTensorType::get(shape, cast<RankedTensorType>(op.getType()).getElementType());
  auto attention = AttentionOp::create(builder, loc, resultType, q, /*k=*/Value(), /*v=*/Value(),
                                       next, batch, op.getScale(), op.getSinks());
  attention.getScore().takeBody(op.getScore());
  attention.getMask().takeBody(op.getMask());
  Value result = swapHeadsAndTokens(builder, loc, attention.getResult());
  dims.set(attention.getResult(), 0);
  dims.set(result, 1);
  op.replaceAllUsesWith(result);
  dims.forget(op);
  op.erase();
  ++numSites;
  return next;
}

LogicalResult Packer::pack(func::FuncOp function) {
  OpBuilder builder(function.getContext());
  Block &block = function.getBody().front();
  PackedFunction &self = packed[function];

  // Every site, and every site of a callee, is a cache of this function.
  SmallVector<std::pair<Operation *, SmallVector<CacheType>>> sites;
  for (Operation &op : block) {
    if (auto attention = dyn_cast<AttentionOp>(op)) {
      FailureOr<CacheType> type = getCacheType(attention);
      if (failed(type))
        return failure();
      sites.push_back({&op, {*type}});
    } else if (auto call = dyn_cast<func::CallOp>(op)) {
      auto callee = SymbolTable::lookupNearestSymbolFrom<func::FuncOp>(call, call.getCalleeAttr());
      sites.push_back({&op, packed[callee].caches});
    }
  }
  Location loc = function.getLoc();
  auto addArgument = [&](Type type) {
    (void)function.insertArgument(function.getNumArguments(), type, {}, loc);
    return block.getArguments().back();
  };
  self.batch = addArgument(BatchType::get(builder.getContext()));
  SmallVector<Value> versions;

  // The number of rows comes from the batch.
  builder.setInsertionPointToStart(&block);
  Value tokens = BatchDimOp::create(builder, loc, self.batch, BatchDimKind::Tokens);
  for (Operation &op : llvm::make_early_inc_range(block)) {
    if (auto dim = dyn_cast<tensor::DimOp>(op)) {
      if (dims.get(dim.getSource()) >= 0 && dim.getConstantIndex() == dims.get(dim.getSource())) {
        dim.replaceAllUsesWith(tokens);
        dims.forget(dim);
        dim.erase();
      }
    } else if (auto positions = dyn_cast<PositionsOp>(op)) {
      positions.getBatchMutable().assign(self.batch);
    } else if (auto lengths = dyn_cast<PromptLengthsOp>(op)) {
      lengths.getBatchMutable().assign(self.batch);
    }
  }

  for (auto &[op, types] : sites) {
    builder.setInsertionPoint(op);
    SmallVector<Value> caches;
    if (!transient)
      for (CacheType type : types) {
        self.caches.push_back(type);
        caches.push_back(addArgument(type));
      }
    if (auto attention = dyn_cast<AttentionOp>(op)) {
      Value next = rewriteAttention(builder, attention, types.front(),
                                    caches.empty() ? Value() : caches.front());
      if (!transient)
        versions.push_back(next);
      continue;
    }
    auto call = cast<func::CallOp>(op);
    SmallVector<Value> operands(call.getOperands());
    operands.push_back(self.batch);
    operands.append(caches);
    SmallVector<Type> resultTypes(call.getResultTypes());
    for (Value cache : caches)
      resultTypes.push_back(cache.getType());
    auto packedCall =
        func::CallOp::create(builder, call.getLoc(), call.getCallee(), resultTypes, operands);
    packedCall->setDiscardableAttrs(call->getDiscardableAttrDictionary());
    unsigned results = call.getNumResults();
    call.replaceAllUsesWith(packedCall.getResults().take_front(results));
    for (auto [before, after] : llvm::zip(call.getResults(), packedCall.getResults()))
      dims.set(after, dims.get(before));
    llvm::append_range(versions, packedCall.getResults().drop_front(results));
    dims.forget(call);
    call.erase();
  }

  auto terminator = cast<func::ReturnOp>(block.getTerminator());
  terminator.getOperandsMutable().append(versions);
  for (Value version : versions)
    (void)function.insertResult(function.getNumResults(), version.getType(), {});
  return success();
}

//===----------------------------------------------------------------------===//
// Wanted outputs
//===----------------------------------------------------------------------===//

/// `value` with the wanted rows only. Row operations are cloned on the wanted rows, so that neither
/// the head nor the last norm runs on rows that nobody reads.
Value Packer::gather(OpBuilder &builder, Value value, IRMapping &mapping) {
  if (Value known = mapping.lookupOrNull(value))
    return known;
  Operation *op = value.getDefiningOp();
  bool hasTokens = dims.get(value) >= 0;
  // Cloning ends where another operation than one on rows made the value.
  bool isLeaf = !op ||
                isa<func::CallOp, AttentionOp, EmbeddingOp, PositionsOp, PromptLengthsOp>(op) ||
                llvm::any_of(op->getOperands(), [&](Value v) { return dims.get(v) > 0; });
  if (hasTokens && isLeaf) {
    auto type = cast<RankedTensorType>(value.getType());
    Value rows = GatherOutputsOp::create(builder, value.getLoc(), type, value,
                                         packed[builder.getInsertionBlock()->getParentOp()].batch);
    mapping.map(value, rows);
    return rows;
  }
  if (!op)
    return value;
  bool changed = false;
  for (Value operand : op->getOperands())
    changed |= gather(builder, operand, mapping) != operand;
  if (!changed)
    return value;
  builder.clone(*op, mapping);
  return mapping.lookup(value);
}

LogicalResult Packer::gatherOutputs(func::FuncOp entry) {
  auto terminator = cast<func::ReturnOp>(entry.getBody().front().getTerminator());
  OpBuilder builder(terminator);
  auto tokens = *entry.getBody().front().getOps<BatchDimOp>().begin();
  Value outputs =
      BatchDimOp::create(builder, entry.getLoc(), packed[entry].batch, BatchDimKind::Outputs);
  IRMapping mapping;
  mapping.map(tokens.getResult(), outputs);
  for (OpOperand &result : terminator->getOpOperands()) {
    if (dims.get(result.get()) < 0)
      continue;
    if (dims.get(result.get()) > 0)
      return entry.emitOpError("expected outputs whose rows are tokens, got ")
             << result.get().getType();
    result.set(gather(builder, result.get(), mapping));
  }
  return success();
}

namespace {
struct InsertKVCachePass : ingot::impl::InsertKVCacheBase<InsertKVCachePass> {
  using InsertKVCacheBase::InsertKVCacheBase;

  void runOnOperation() override {
    auto entry = getOperation().lookupSymbol<func::FuncOp>(entryName);
    if (!entry) {
      getOperation().emitError("expected a function named '") << entryName << "'";
      return signalPassFailure();
    }
    FailureOr<TokenDims> dims = TokenDims::compute(entry);
    if (failed(dims))
      return signalPassFailure();
    if (!getCacheElementType(cacheType, Float32Type::get(&getContext()))) {
      getOperation().emitError("cache type '") << cacheType << "': expected f32, bf16, f16 or int8";
      return signalPassFailure();
    }
    Packer packer(*dims, transient, cacheType);
    for (func::FuncOp function : dims->functions())
      if (failed(packer.pack(function)))
        return signalPassFailure();
    if (failed(packer.gatherOutputs(entry)))
      return signalPassFailure();
    numSites += packer.numSites;
  }
};
} // namespace
