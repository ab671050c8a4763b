//===- InsertKVCache.cpp - from one whole sequence to a step of several sequences -------------===//

#include "CacheTypes.h"
#include "TokenDims.h"
#include "ingot/Dialect/Transformer/IR/AttentionRegions.h"
#include "ingot/Dialect/Transformer/IR/SourceAttr.h"
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

namespace {

/// What a function got when its tokens were packed.
struct PackedFunction {
  Value batch;
  /// The sites of the function and of its callees in order: the type of each cache.
  SmallVector<CacheType> caches;
  /// Keys and values of the source: two arguments that a cache takes the place of.
  struct Source {
    unsigned keys, values;
    CacheType type;
    Value cache;
  };
  SmallVector<Source> sources;
  unsigned numOldArguments = 0;
};

class Packer {
public:
  Packer(TokenDims &dims, bool transient, StringRef cacheType, bool roundQueries)
      : dims(dims), transient(transient), cacheType(cacheType), roundQueries(roundQueries) {}

  LogicalResult pack(func::FuncOp function);
  LogicalResult gatherOutputs(func::FuncOp entry);
  /// Results of the entry that are keys and values for others go to caches.
  LogicalResult storeSources(func::FuncOp entry);
  int64_t numSites = 0;

private:
  FailureOr<CacheType> getCacheType(AttentionOp op);
  bool readsRowsAlone(AttentionOp op, Value value) const;
  void readPackedRows(AttentionOp op, Value batch);
  Value rewriteAttention(OpBuilder &builder, AttentionOp op, CacheType type, Value cache);
  FailureOr<Value> getSourceCache(Operation *user, Value keys, Value values, CacheType type);
  LogicalResult dropSourceArguments(func::FuncOp function);
  Value gather(OpBuilder &builder, Value value, IRMapping &mapping);

  TokenDims &dims;
  bool transient;
  StringRef cacheType;
  bool roundQueries;
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

/// The query or key argument of a region of `op` that `index` is; null where it is neither.
static BlockArgument getPosition(AttentionOp op, Value index) {
  auto argument = dyn_cast<BlockArgument>(index);
  if (!argument || argument.getOwner()->getParentOp() != op.getOperation())
    return {};
  unsigned query = argument.getParentRegion() == &op.getScore() ? 3 : 2;
  return argument.getArgNumber() >= query ? argument : BlockArgument();
}

/// Whether the regions read `value` at rows of queries alone, or also of keys where the step holds
/// all of them.
bool Packer::readsRowsAlone(AttentionOp op, Value value) const {
  for (Operation *user : value.getUsers()) {
    if (!op->isProperAncestor(user))
      continue;
    auto extract = dyn_cast<tensor::ExtractOp>(user);
    if (!extract || extract.getTensor() != value || dims.isSource(value) ||
        dims.isSource(op.getK()))
      return false;
    BlockArgument position = getPosition(op, extract.getIndices()[dims.get(value)]);
    if (!position)
      return false;
    bool isKey = position.getArgNumber() + 1 == position.getOwner()->getNumArguments();
    if (isKey && !transient)
      return false;
  }
  return true;
}

/// Positions that the regions read rows at become rows of the step.
void Packer::readPackedRows(AttentionOp op, Value batch) {
  op->walk([&](tensor::ExtractOp extract) {
    int64_t dim = dims.get(extract.getTensor());
    if (dim < 0)
      return;
    auto position = cast<BlockArgument>(extract.getIndices()[dim]);
    unsigned sequence = position.getParentRegion() == &op.getScore() ? 1 : 0;
    OpBuilder builder(extract);
    Value row = PackedRowOp::create(builder, extract.getLoc(), batch,
                                    position.getOwner()->getArgument(sequence), position);
    extract.getIndicesMutable()[dim].set(row);
  });
}

FailureOr<CacheType> Packer::getCacheType(AttentionOp op) {
  bool ofSource = dims.isSource(op.getK());
  if (ofSource != dims.isSource(op.getV()))
    return op.emitOpError("expected keys and values of the same sequence");
  if (!transient && !ofSource && !keepsOnlyPast(op.getMask()))
    return op.emitOpError("is not causal, so its keys cannot be cached between steps");
  // A region may read the row of the query, and, where all keys are of this step, that of the key.
  llvm::SetVector<Value> captured;
  getUsedValuesDefinedAbove(op->getRegions(), captured);
  for (Value value : captured)
    if (dims.get(value) >= 0 && !readsRowsAlone(op, value))
      return op.emitOpError("has a region that reads a tensor with one row per token, got ")
             << value.getType();
  CacheType type = ingot::getCacheType(op, cacheType);
  // What is computed for the source has a place for each.
  if (ofSource && type.getValuesInKeys())
    return CacheType::get(op.getContext(), type.getHeads(), type.getKeySize(), type.getValueSize(),
                          type.getElementType(), /*valuesInKeys=*/false);
  return type;
}

/// Replaces graph-form attention by an append and attention on the cache; returns the next version.
Value Packer::rewriteAttention(OpBuilder &builder, AttentionOp op, CacheType type, Value cache) {
  Location loc = op.getLoc();
  Value batch = packed[op->getParentOfType<func::FuncOp>()].batch;
  if (!cache)
    cache = CacheCreateOp::create(builder, loc, type, batch);
  Value q = swapHeadsAndTokens(builder, loc, op.getQ());
  auto queryType = cast<RankedTensorType>(q.getType());
  if (roundQueries && queryType.getElementType().isF32() && type.getElementType().isBF16()) {
    q = arith::TruncFOp::create(builder, loc, queryType.clone(builder.getBF16Type()), q);
    dims.set(q, 0);
  }
  Value next = cache;
  if (!dims.isSource(op.getK()) || dims.isSource(op.getQ())) {
    Value k = swapHeadsAndTokens(builder, loc, op.getK());
    Value v = type.getValuesInKeys() ? Value() : swapHeadsAndTokens(builder, loc, op.getV());
    next = CacheAppendOp::create(builder, loc, type, cache, k, v, batch);
  }
  SmallVector<int64_t> shape(cast<RankedTensorType>(q.getType()).getShape());
  shape.back() = op.getValueSize();
  auto resultType =
      RankedTensorType::get(shape, cast<RankedTensorType>(op.getType()).getElementType());
  auto attention = AttentionOp::create(builder, loc, resultType, q, /*k=*/Value(), /*v=*/Value(),
                                       next, batch, op.getScale(), op.getSinks());
  attention.getScore().takeBody(op.getScore());
  attention.getMask().takeBody(op.getMask());
  readPackedRows(attention, batch);
  Value result = swapHeadsAndTokens(builder, loc, attention.getResult());
  dims.set(attention.getResult(), 0);
  dims.set(result, 1);
  op.replaceAllUsesWith(result);
  dims.forget(op);
  op.erase();
  ++numSites;
  return next;
}

/// The cache that takes the place of two arguments of the function around `user`.
FailureOr<Value> Packer::getSourceCache(Operation *user, Value keys, Value values, CacheType type) {
  auto function = user->getParentOfType<func::FuncOp>();
  PackedFunction &self = packed[function];
  auto k = dyn_cast<BlockArgument>(keys), v = dyn_cast<BlockArgument>(values);
  if (!k || !v)
    return user->emitOpError("expected keys and values of the source that are computed with it: "
                             "[tokens, heads, size] arguments of the function");
  for (PackedFunction::Source &source : self.sources)
    if (source.keys == k.getArgNumber() && source.values == v.getArgNumber())
      return source.cache;
  unsigned number = function.getNumArguments();
  NamedAttribute mark(getSourceAttrName(), UnitAttr::get(user->getContext()));
  (void)function.insertArgument(number, type, DictionaryAttr::get(user->getContext(), mark),
                                user->getLoc());
  Value cache = function.getArgument(number);
  self.sources.push_back({k.getArgNumber(), v.getArgNumber(), type, cache});
  return cache;
}

/// Removes the arguments that caches have replaced.
LogicalResult Packer::dropSourceArguments(func::FuncOp function) {
  PackedFunction &self = packed[function];
  llvm::BitVector dropped(function.getNumArguments());
  for (PackedFunction::Source &source : self.sources)
    for (unsigned number : {source.keys, source.values}) {
      // What only reshaped them is dead.
      BlockArgument argument = function.getArgument(number);
      for (bool changed = true; changed;) {
        changed = false;
        for (Operation &op : llvm::make_early_inc_range(llvm::reverse(function.getBody().front())))
          if (isOpTriviallyDead(&op)) {
            dims.forget(&op);
            op.erase();
            changed = true;
          }
      }
      if (!argument.use_empty())
        return argument.getUsers().begin()->emitOpError(
            "reads keys or values of the source, expected attention alone to do so");
      dropped.set(number);
    }
  if (dropped.any() && failed(function.eraseArguments(dropped)))
    return function.emitOpError("cannot drop arguments");
  return success();
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

  // A function on tokens of the source alone runs on a batch of them; else they are another's.
  bool mixed = llvm::any_of(block.getArguments(), [&](Value argument) {
    return dims.get(argument) >= 0 && !dims.isSource(argument);
  });
  auto readsSource = [&](Value value) { return mixed && dims.isSource(value); };

  // The number of rows comes from the batch.
  builder.setInsertionPointToStart(&block);
  Value tokens = BatchDimOp::create(builder, loc, self.batch, BatchDimKind::Tokens);
  for (Operation &op : llvm::make_early_inc_range(block)) {
    if (auto dim = dyn_cast<tensor::DimOp>(op)) {
      if (dims.get(dim.getSource()) >= 0 && !readsSource(dim.getSource()) &&
          dim.getConstantIndex() == dims.get(dim.getSource())) {
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
    if (auto attention = dyn_cast<AttentionOp>(op);
        attention && readsSource(attention.getK()) && !readsSource(attention.getQ())) {
      Value k = swapHeadsAndTokens(builder, op->getLoc(), attention.getK());
      Value v = swapHeadsAndTokens(builder, op->getLoc(), attention.getV());
      FailureOr<Value> cache = getSourceCache(op, k, v, types.front());
      if (failed(cache))
        return failure();
      rewriteAttention(builder, attention, types.front(), *cache);
      continue;
    }
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
    auto callee = SymbolTable::lookupNearestSymbolFrom<func::FuncOp>(call, call.getCalleeAttr());
    const SmallVector<PackedFunction::Source> sources = packed[callee].sources;
    SmallVector<Value> operands;
    for (unsigned number = 0; number < call.getNumOperands(); ++number)
      if (llvm::none_of(sources, [&](const PackedFunction::Source &source) {
            return source.keys == number || source.values == number;
          }))
        operands.push_back(call.getOperand(number));
    operands.push_back(self.batch);
    // Behind the batch stand the caches in the order of the callee's sites.
    size_t nextCache = 0, nextSource = 0;
    for (Type type : callee.getArgumentTypes().drop_front(operands.size())) {
      (void)type;
      unsigned number = operands.size();
      if (callee.getArgAttr(number, getSourceAttrName())) {
        const PackedFunction::Source &source = sources[nextSource++];
        FailureOr<Value> cache = getSourceCache(call, call.getOperand(source.keys),
                                                call.getOperand(source.values), source.type);
        if (failed(cache))
          return failure();
        operands.push_back(*cache);
      } else {
        operands.push_back(caches[nextCache++]);
      }
    }
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
  return dropSourceArguments(function);
}

LogicalResult Packer::storeSources(func::FuncOp entry) {
  auto terminator = cast<func::ReturnOp>(entry.getBody().front().getTerminator());
  StringRef mark = getSourceAttrName();
  OpBuilder builder(terminator);
  SmallVector<Value> results;
  SmallVector<DictionaryAttr> attributes;
  unsigned numResults = terminator.getNumOperands();
  for (unsigned number = 0; number < numResults; ++number) {
    Value keys = terminator.getOperand(number);
    if (!entry.getResultAttr(number, mark)) {
      results.push_back(keys);
      attributes.push_back(entry.getResultAttrDict(number));
      continue;
    }
    auto k = dyn_cast<RankedTensorType>(keys.getType()), v = RankedTensorType();
    if (number + 1 < numResults && entry.getResultAttr(number + 1, mark))
      v = dyn_cast<RankedTensorType>(terminator.getOperand(number + 1).getType());
    if (!k || !v || k.getRank() != 3 || v.getRank() != 3)
      return entry.emitOpError("expected pairs of keys and values, [tokens, heads, size]");
    auto type = CacheType::get(entry.getContext(), k.getDimSize(1), k.getDimSize(2),
                               v.getDimSize(2), getCacheElementType(cacheType, k.getElementType()),
                               /*valuesInKeys=*/false);
    NamedAttribute attribute(mark, builder.getUnitAttr());
    unsigned argument = entry.getNumArguments();
    (void)entry.insertArgument(argument, type, builder.getDictionaryAttr(attribute),
                               entry.getLoc());
    results.push_back(
        CacheAppendOp::create(builder, entry.getLoc(), type, entry.getArgument(argument), keys,
                              terminator.getOperand(number + 1), packed[entry].batch));
    attributes.push_back(DictionaryAttr());
    ++number;
  }
  if (results.size() == numResults)
    return success();
  terminator.getOperandsMutable().assign(results);
  entry.setFunctionType(FunctionType::get(entry.getContext(), entry.getArgumentTypes(),
                                          ValueRange(results).getTypes()));
  entry.removeResAttrsAttr();
  entry.setAllResultAttrs(attributes);
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
    SmallVector<func::FuncOp> entries;
    for (auto function : getOperation().getOps<func::FuncOp>())
      if (entryName.empty() ? function.isPublic() : function.getName() == entryName)
        entries.push_back(function);
    if (entries.empty()) {
      getOperation().emitError("expected a function named '") << entryName << "'";
      return signalPassFailure();
    }
    FailureOr<TokenDims> dims = TokenDims::compute(entries);
    if (failed(dims))
      return signalPassFailure();
    if (!getCacheElementType(cacheType, Float32Type::get(&getContext()))) {
      getOperation().emitError("cache type '") << cacheType << "': expected f32, bf16, f16 or int8";
      return signalPassFailure();
    }
    Packer packer(*dims, transient, cacheType, roundQueries);
    for (func::FuncOp function : dims->functions())
      if (failed(packer.pack(function)))
        return signalPassFailure();
    for (func::FuncOp entry : entries)
      if (failed(packer.storeSources(entry)) || failed(packer.gatherOutputs(entry)))
        return signalPassFailure();
    numSites += packer.numSites;
  }
};
} // namespace
