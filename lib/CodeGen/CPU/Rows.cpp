//===- Rows.cpp - kernels of light operations -------------------------------------------------===//

#include "Emitters.h"
#include "ingot/Formats/BlockFormats.h"

using namespace mlir;
using namespace ingot;
using namespace ingot::codegen;

/// Row `row` of x, rounded to q8_x: evaluated into scratch memory, then group by group.
static void quantizeRow(KernelEmission &emission, Value x, ArrayRef<Coord> row, Value scratch,
                        Value into) {
  KernelBuilder &kb = emission.kb;
  Evaluator &eval = emission.eval;
  auto type = cast<RankedTensorType>(x.getType());
  int64_t size = type.getShape().back(), padded = llvm::alignTo(size, 32);
  SmallVector<int64_t> breaks;
  eval.collectBreaks(x, type.getRank() - 1, breaks);
  llvm::sort(breaks);
  zeroFrom(kb, scratch, size, padded, kb.f32);
  eval.forLanes({kb.c(size), size}, breaks, [&](Coord lane, Value mask) {
    Point point{{}, mask, false};
    point.coords.assign(row.begin(), row.end());
    point.coords.push_back(lane);
    eval.store({eval.broadcast(eval.at(x, point))}, scratch, kb.f32, lane.base, mask);
  });

  VectorType floats = kb.vec(kb.f32), words = kb.vec(kb.i32);
  kb.loop(kb.c(0), kb.c(padded / 32), kb.c(1), [&](Value group) {
    // As numbers without a sign floats are ordered like their bits.
    Value values[2], largestBits;
    for (int64_t half = 0; half < 2; ++half) {
      Value at = kb.add(kb.mul(group, 32), 16 * half);
      values[half] = kb.loadScratch(floats, kb.gep(scratch, at, kb.f32));
      Value bits = kb.andi(kb.bitcast(words, values[half]), kb.constantInt(words, 0x7fffffff));
      largestBits = half ? kb.max(largestBits, bits) : bits;
    }
    largestBits = kb.reduceTree(largestBits, [&](Value a, Value b) { return kb.max(a, b); });
    Value largest = kb.bitcast(kb.f32, largestBits);
    Value none = kb.lt(largestBits, kb.constantInt(kb.i32, formats::kQ8XLeastBits));
    Value zero = kb.zero(kb.f32), most = kb.constantFloat(kb.f32, 127);
    Value d = kb.select(none, zero, kb.fdiv(largest, most));
    Value inverse = kb.broadcast(kb.select(none, zero, kb.fdiv(most, largest)));
    Value block = kb.gep(into, kb.mul(group, formats::kQ8XBytes), kb.i8);
    kb.store(d, block);
    // Adding 1.5 x 2^23 rounds to an integer, which the low bits are.
    Value magic = kb.constantFloat(floats, 12582912);
    for (int64_t half = 0; half < 2; ++half) {
      Value moved = kb.fadd(kb.fmul(values[half], inverse), magic);
      Value q = kb.sub(kb.bitcast(words, moved), kb.bitcast(words, magic));
      Value sum = kb.reduceTree(q, [&](Value a, Value b) { return kb.add(a, b); });
      kb.store(kb.make<arith::TruncIOp>(kb.i16, sum),
               kb.gep(block, formats::kQ8XSums + 2 * half, kb.i8));
      kb.store(kb.make<arith::TruncIOp>(kb.vec(kb.i8), q),
               kb.gep(block, formats::kQ8XNumbers + 16 * half, kb.i8));
    }
  });
}

/// Work items are rows: all dimensions of the results but the last, row-major. A result of rank 0
/// or 1 is one item.
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
  // Results in blocks: their rows are rounded as a whole.
  struct Rounded {
    unsigned result;
    tfm::QuantizeOp op;
    Value scratch;
  };
  SmallVector<Rounded> rounded;
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
    if (isa<tfm::BlockType>(type.getElementType())) {
      auto op = value.getDefiningOp<tfm::QuantizeOp>();
      if (!op)
        return kb.fail(yield, "expected a result in blocks to be made by tfm.quantize");
      rounded.push_back({unsigned(index), op, emission.scratch(llvm::alignTo(size, 32) * 4)});
      continue;
    }
    Group *group = llvm::find_if(
        groups, [&](Group &g) { return g.size == size && !ShapedType::isDynamic(size); });
    if (group == groups.end())
      group = &groups.emplace_back(Group{size, {}});
    group->results.push_back(index);
  }

  kb.loop(kb.begin(), kb.end(), kb.c(1), [&](Value row) {
    for (Rounded &result : rounded) {
      auto type = cast<RankedTensorType>(result.op.getType());
      SmallVector<Size, 4> sizes;
      for (unsigned d = 0; d + 1 < type.getRank(); ++d)
        sizes.push_back(eval.resultDim(result.result, d));
      int64_t bytes = formats::bytesOf(formats::Format::Q8_X, type.getShape().back());
      Value into = kb.gep(eval.resultBuffer(result.result), kb.mul(row, bytes), kb.i8);
      quantizeRow(emission, result.op.getX(), eval.delinearize(eval.uniform(row), sizes),
                  result.scratch, into);
    }
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
