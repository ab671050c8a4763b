//===- Rows.cpp - kernels of light operations, and appending to the cache ---------------------===//

#include "Emitters.h"
#include "KernelABI.h"

using namespace mlir;
using namespace ingot;
using namespace ingot::codegen;

/// Work items are rows: all dimensions of the results but the last, row-major. A result of rank 0 or
/// 1 is one item.
void codegen::emitRows(KernelEmission &emission) {
  KernelBuilder &kb = emission.kb;
  Evaluator &eval = emission.eval;
  auto yield = cast<plan::YieldOp>(emission.kernel.getBody().front().getTerminator());

  // Results whose rows have one size share a loop over lanes.
  struct Group {
    int64_t size;
    SmallVector<unsigned> results;
  };
  SmallVector<Group> groups;
  std::optional<int64_t> rows;
  for (auto [index, value] : llvm::enumerate(yield.getValues())) {
    auto type = dyn_cast<RankedTensorType>(value.getType());
    if (!type)
      return kb.fail(yield, "expected tensor results");
    ArrayRef<int64_t> shape = type.getShape();
    int64_t size = shape.empty() ? 1 : shape.back(), count = 1;
    for (int64_t extent : shape.empty() ? shape : shape.drop_back())
      count = ShapedType::isDynamic(extent) || count < 0 ? -1 : count * extent;
    if (count >= 0 && rows && *rows != count)
      return kb.fail(yield, "its results have different numbers of rows");
    if (count >= 0)
      rows = count;
    Group *group = llvm::find_if(
        groups, [&](Group &g) { return g.size == size && !ShapedType::isDynamic(size); });
    if (group == groups.end())
      group = &groups.emplace_back(Group{size, {}});
    group->results.push_back(index);
  }

  kb.loop(kb.begin(), kb.end(), kb.c(1), [&](Value row) {
    for (Group &group : groups) {
      Size size{kb.c(1), 1};
      SmallVector<int64_t> breaks;
      for (unsigned index : group.results) {
        Value value = yield.getValues()[index];
        unsigned rank = cast<RankedTensorType>(value.getType()).getRank();
        if (rank == 0)
          continue;
        size = eval.resultDim(index, rank - 1);
        eval.collectBreaks(value, rank - 1, breaks);
      }
      llvm::sort(breaks);
      eval.forLanes(size, breaks, [&](Coord lane, Value mask) {
        for (unsigned index : group.results) {
          Value value = yield.getValues()[index];
          auto type = cast<RankedTensorType>(value.getType());
          Point point{{}, mask, false};
          Value offset = kb.c(0);
          if (type.getRank() == 0) {
            point.mask = {};
            eval.store(eval.at(value, point), eval.resultBuffer(index), type.getElementType(),
                       offset, {});
            continue;
          }
          SmallVector<Size, 4> sizes;
          for (unsigned d = 0; d + 1 < type.getRank(); ++d)
            sizes.push_back(eval.resultDim(index, d));
          point.coords = eval.delinearize(eval.uniform(row), sizes);
          point.coords.push_back(lane);
          offset = type.getRank() == 1 ? lane.base : kb.add(kb.mul(row, size.value), lane.base);
          Value lanes = eval.broadcast(eval.at(value, point));
          eval.store({lanes}, eval.resultBuffer(index), type.getElementType(), offset, mask);
        }
      });
    }
  });
}

/// Work items are tokens. A page holds, per head, the keys as 4 panels [D][16] and the values as
/// [64][DV].
void codegen::emitAppend(KernelEmission &emission) {
  KernelBuilder &kb = emission.kb;
  Evaluator &eval = emission.eval;
  Block &body = emission.kernel.getBody().front();
  auto appends = body.getOps<tfm::CacheAppendOp>();
  if (!llvm::hasSingleElement(appends))
    return kb.fail(emission.kernel, "expected one tfm.cache_append");
  tfm::CacheAppendOp append = *appends.begin();
  tfm::CacheType cache = append.getCache().getType();
  if (!cache.getElementType().isF32())
    return kb.fail(append, "expected a cache of f32");
  if (!isa<BlockArgument>(append.getCache()))
    return kb.fail(append, "expected the cache to be an operand of the kernel");
  int64_t heads = cache.getHeads(), keySize = cache.getKeySize(), valueSize = cache.getValueSize();
  constexpr int64_t page = plan::kPagePositions;

  kb.loop(kb.begin(), kb.end(), kb.c(1), [&](Value token) {
    auto table = [&](int64_t field) {
      Value base = eval.batchField(field, kb.ptr);
      return kb.make<arith::ExtSIOp>(kb.i64, kb.load(kb.i32, kb.gep(base, token, kb.i32)));
    };
    Value position = table(abi::kBatchRowPosition), number = table(abi::kBatchRowSequence);
    Value sequence = kb.gep(eval.batchField(abi::kBatchSequences, kb.ptr),
                            kb.mul(number, abi::kSequenceBytes), kb.i8);
    Value pages = kb.load(kb.ptr, kb.field(sequence, abi::kSequencePages));
    Value layer = kb.load(kb.ptr, kb.gep(pages, kb.div(position, page), kb.ptr));
    Value offset = eval.scalarOperand(cast<BlockArgument>(append.getCache()).getArgNumber());
    layer = kb.gep(layer, offset, kb.i8);
    Value slot = kb.rem(position, page);
    kb.loop(kb.c(0), kb.c(heads), kb.c(1), [&](Value head) {
      Value keys = kb.gep(layer, kb.mul(head, page * (keySize + valueSize)), kb.f32);
      Value values = kb.gep(keys, page * keySize, kb.f32);
      for (bool isKey : {true, false}) {
        Value source = isKey ? append.getK() : append.getV();
        Type element = getElementTypeOrSelf(source.getType());
        int64_t size = isKey ? keySize : valueSize;
        SmallVector<int64_t> breaks;
        eval.collectBreaks(source, 2, breaks);
        eval.forLanes({kb.c(size), size}, breaks, [&](Coord lane, Value mask) {
          Point point{{eval.uniform(token), eval.uniform(head, 0, heads), lane}, mask, false};
          Value x = kb.extend(eval.broadcast(eval.at(source, point)), kb.f32, element);
          if (!isKey) {
            eval.store({x}, values, kb.f32, kb.add(kb.mul(slot, size), lane.base), mask);
            return;
          }
          // Neighbouring dimensions of a key are 16 elements apart.
          Value panel = kb.mul(kb.div(slot, kLanes), keySize * kLanes);
          Value first = kb.add(kb.add(panel, kb.rem(slot, kLanes)), kb.mul(lane.base, kLanes));
          kb.scatter(x, kb.gep(kb.gep(keys, first, kb.f32), kb.iota(kb.i64, kLanes), kb.f32), mask);
        });
      }
    });
  });
}
