//===- CacheAppend.cpp - keys and values into the pages of the cache --------------------------===//
//
// Work items are tokens. The key and the value of each head are computed (with whatever the kernel
// has taken in, a rotation for instance), converted to the cache's type in scratch memory, and
// copied to where CacheLayout.h says: the elements of a key lie a line apart, those of a value side
// by side, or in pairs with those of a neighbouring token. Values that are parts of their keys are
// not stored. Tokens write different bytes, so any division of them over threads is right.
//
//===----------------------------------------------------------------------------------------===//

#include "Emitters.h"
#include "KernelABI.h"
#include "ingot/Dialect/Plan/Utils/CacheLayout.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace ingot;
using namespace ingot::codegen;

namespace {

struct AppendEmitter {
  KernelEmission &emission;
  tfm::CacheAppendOp append;
  plan::CacheLayout layout;
  KernelBuilder &kb = emission.kb;
  Evaluator &eval = emission.eval;
  Value wide{}, narrow{}; ///< scratch: a row in f32, and in the cache's type

  void token(Value token);
  void convert(Value source, Value token, Value head, int64_t size);
  void quantise(int64_t size, Value scale);
  void copy(int64_t count, int64_t bytes, Value into, int64_t stride);
};

} // namespace

/// A row of keys or values, converted, into `narrow`.
void AppendEmitter::convert(Value source, Value token, Value head, int64_t size) {
  Type element = getElementTypeOrSelf(source.getType());
  Type stored = append.getCache().getType().getElementType();
  SmallVector<int64_t> breaks;
  eval.collectBreaks(source, 2, breaks);
  eval.forLanes({kb.c(size), size}, breaks, [&](Coord lane, Value mask) {
    Point point{{eval.uniform(token), eval.uniform(head, 0, layout.heads), lane}, mask, false};
    Value x = kb.extend(eval.broadcast(eval.at(source, point)), kb.f32, element);
    if (layout.scaled)
      kb.store(x, kb.gep(wide, lane.base, kb.f32), mask);
    else
      eval.store({kb.truncate(x, stored)}, narrow, stored, lane.base, mask);
  });
}

/// The row in `wide` to i8 in `narrow`; its scale goes to `scale`.
void AppendEmitter::quantise(int64_t size, Value scale) {
  Value zero = kb.constantFloat(kb.f32, 0);
  // The largest magnitude, and x * 0 summed up: a NaN where a number is not finite.
  auto step = [&](ValueRange state, Value x) {
    return KernelBuilder::Values{kb.fmax(kb.make<math::AbsFOp>(x), state[0]),
                                 kb.fma(x, kb.zero(x.getType()), state[1])};
  };
  int64_t whole = size / kLanes * kLanes;
  Value none = kb.broadcast(zero);
  KernelBuilder::Values lanes = kb.loop(
      kb.c(0), kb.c(whole), kb.c(kLanes), ValueRange{none, none}, [&](Value i, ValueRange state) {
        return step(state, kb.loadScratch(kb.vec(kb.f32), kb.gep(wide, i, kb.f32)));
      });
  KernelBuilder::Values all{
      kb.reduceTree(lanes[0], [&](Value a, Value x) { return kb.fmax(a, x); }),
      kb.reduceTree(lanes[1], [&](Value a, Value x) { return kb.fadd(a, x); })};
  for (int64_t i = whole; i < size; ++i)
    all = step(all, kb.loadScratch(kb.f32, kb.gep(wide, i, kb.f32)));
  Value unit = kb.fadd(kb.fdiv(all[0], kb.constantFloat(kb.f32, 127)), all[1]);
  kb.store(unit, scale);
  // Numbers whose unit is 0 are read back as 0.
  Value divisor = kb.select(kb.fcmp(arith::CmpFPredicate::OGT, unit, zero), unit,
                            kb.constantFloat(kb.f32, INFINITY));
  auto toByte = [&](Value x) {
    Value by = KernelBuilder::isVector(x) ? kb.broadcast(divisor) : divisor;
    Value n = kb.make<math::RoundEvenOp>(kb.fdiv(x, by));
    n = kb.make<arith::FPToSIOp>(kb.shapedAs(n, kb.i32), n);
    return kb.make<arith::TruncIOp>(kb.shapedAs(n, kb.i8), n);
  };
  kb.loop(kb.c(0), kb.c(whole), kb.c(kLanes), [&](Value i) {
    Value x = kb.loadScratch(kb.vec(kb.f32), kb.gep(wide, i, kb.f32));
    kb.store(toByte(x), kb.gep(narrow, i, kb.i8));
  });
  for (int64_t i = whole; i < size; ++i)
    kb.store(toByte(kb.loadScratch(kb.f32, kb.gep(wide, i, kb.f32))), kb.gep(narrow, i, kb.i8));
}

/// `count` pieces of `bytes` from `narrow` to places `stride` bytes apart.
void AppendEmitter::copy(int64_t count, int64_t bytes, Value into, int64_t stride) {
  Type piece = kb.b.getIntegerType(bytes * 8);
  int64_t whole = 0;
  if (stride == bytes) {
    whole = count / kLanes * kLanes;
    kb.loop(kb.c(0), kb.c(whole), kb.c(kLanes), [&](Value i) {
      kb.store(kb.loadScratch(kb.vec(piece), kb.gep(narrow, i, piece)), kb.gep(into, i, piece));
    });
  }
  kb.loop(kb.c(whole), kb.c(count), kb.c(1), [&](Value i) {
    kb.store(kb.loadScratch(piece, kb.gep(narrow, i, piece)),
             kb.gep(into, kb.mul(i, stride), kb.i8));
  });
}

void AppendEmitter::token(Value token) {
  constexpr int64_t page = plan::kPagePositions;
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
  int64_t lane = layout.laneBytes(), element = layout.elementBytes, perLine = layout.perLine();
  kb.loop(kb.c(0), kb.c(layout.heads), kb.c(1), [&](Value head) {
    Value keys = kb.gep(layer, kb.mul(head, layout.headBytes), kb.i8);
    auto scale = [&](int64_t offset) { return kb.gep(kb.field(keys, offset), slot, kb.f32); };
    convert(append.getK(), token, head, layout.keySize);
    if (layout.scaled)
      quantise(layout.keySize, scale(layout.keyScalesOffset));
    if (layout.keyDims > layout.keySize)
      kb.store(kb.zero(kb.i16), kb.gep(narrow, layout.keySize, kb.i16));
    Value panel = kb.mul(kb.div(slot, kLanes), layout.panelBytes);
    Value key = kb.gep(keys, kb.add(panel, kb.mul(kb.rem(slot, kLanes), lane)), kb.i8);
    copy(layout.keyDims / perLine, lane, key, kLanes * lane);

    if (layout.valuesInKeys)
      return;
    convert(append.getV(), token, head, layout.valueSize);
    if (layout.scaled)
      quantise(layout.valueSize, scale(layout.valueScalesOffset));
    Value line = kb.mul(kb.div(slot, perLine), layout.valueSize * lane);
    Value start = kb.add(line, kb.mul(kb.rem(slot, perLine), element));
    copy(layout.valueSize, element, kb.gep(kb.field(keys, layout.valuesOffset), start, kb.i8),
         lane);
  });
}

void codegen::emitAppend(KernelEmission &emission) {
  KernelBuilder &kb = emission.kb;
  auto appends = emission.kernel.getBody().front().getOps<tfm::CacheAppendOp>();
  if (!llvm::hasSingleElement(appends))
    return kb.fail(emission.kernel, "expected one tfm.cache_append");
  tfm::CacheAppendOp append = *appends.begin();
  llvm::Expected<plan::CacheLayout> layout = plan::CacheLayout::get(append.getCache().getType());
  if (!layout)
    return kb.fail(append, llvm::toString(layout.takeError()));
  if (!isa<BlockArgument>(append.getCache()))
    return kb.fail(append, "expected the cache to be an operand of the kernel");
  AppendEmitter emitter{emission, append, *layout};
  int64_t size = std::max(layout->keyDims, layout->valueSize);
  emitter.narrow = emission.scratch(size * layout->elementBytes);
  if (layout->scaled)
    emitter.wide = emission.scratch(size * 4);
  kb.loop(kb.begin(), kb.end(), kb.c(1), [&](Value token) { emitter.token(token); });
}
