//===- BlockReader.cpp - numbers out of block formats in panels -------------------------------===//

#include "BlockReader.h"

using namespace mlir;
using namespace ingot;
using namespace ingot::codegen;
using plan::BlockPanel;

Value BlockReader::amount(Value index) {
  Type narrow = kb.shapedAs(index, kb.i32);
  return kb.broadcast(kb.make<arith::TruncIOp>(narrow, index));
}

BlockReader::Scale BlockReader::scale(Value group, Value half) {
  auto at = [&](int64_t bytes) { return kb.constantInt(group.getType(), bytes); };
  auto f16 = [&](int64_t bytes) { return kb.extend(load(kb.f16, at(bytes)), kb.f32, kb.f16); };
  auto toFloat = [&](Value integer) { return kb.make<arith::SIToFPOp>(kb.vec(kb.f32), integer); };
  Value d = f16(0);
  switch (panel.scales) {
  case BlockPanel::Scales::F16:
    return {d, {}};
  case BlockPanel::Scales::F16Min:
    return {d, f16(2)};
  case BlockPanel::Scales::K6: {
    auto byte = [&](Value index) {
      return kb.make<arith::ExtUIOp>(kb.vec(kb.i32),
                                     load(kb.i8, kb.add(index, at(panel.scalesAt()))));
    };
    Value both = byte(group), high = byte(kb.add(kb.div(group, 2), panel.groups));
    high = kb.make<arith::ShRUIOp>(high, amount(kb.mul(kb.rem(group, 2), 4)));
    high = kb.make<arith::ShLIOp>(kb.andi(high, i32(15)), i32(2));
    Value minimum = kb.ori(kb.make<arith::ShRUIOp>(both, i32(6)), high);
    Value factor = kb.fmul(d, toFloat(kb.andi(both, i32(63))));
    return {factor, kb.make<arith::NegFOp>(kb.fmul(f16(2), toFloat(minimum)))};
  }
  case BlockPanel::Scales::I8: {
    Value index = kb.add(kb.add(kb.mul(group, 2), half), at(panel.scalesAt()));
    Value byte = kb.make<arith::ExtSIOp>(kb.vec(kb.i32), load(kb.i8, index));
    return {kb.fmul(d, toFloat(byte)), {}};
  }
  }
  llvm_unreachable("all kinds of scales are handled");
}

/// Tables of the slices of eight quads, four bits for each quad: where it is known, all of this is
/// constant.
Value BlockReader::quad(Value group, Value s) {
  Value first = kb.add(kb.mul(group, panel.groupBytes()), panel.groupsAt());
  std::optional<int64_t> known = getConstantIntValue(s);
  auto slicesOf = [&](int64_t quad) { return BlockPanel::slices(panel.bits, quad); };
  size_t count = 0;
  for (int64_t quad = 0; quad < 8; ++quad)
    if (!known || quad == *known)
      count = std::max(count, slicesOf(quad).size());
  Value result;
  for (size_t k = 0; k < count; ++k) {
    auto field = [&](int64_t BlockPanel::Slice::*member) {
      uint64_t table = 0;
      for (int64_t quad = 0; quad < 8; ++quad)
        if (k < slicesOf(quad).size())
          table |= uint64_t(slicesOf(quad)[k].*member) << (4 * quad);
      Value packed = kb.constantInt(s.getType(), int64_t(table));
      packed = kb.make<arith::ShRUIOp>(packed, kb.mul(s, 4));
      return kb.andi(packed, kb.constantInt(s.getType(), 15));
    };
    Value word = load(kb.i32, kb.add(first, kb.mul(field(&BlockPanel::Slice::word), 4)));
    word = kb.make<arith::ShRUIOp>(word, amount(field(&BlockPanel::Slice::from)));
    Value ones = i32(0x01010101);
    Value above = kb.make<arith::ShLIOp>(ones, amount(field(&BlockPanel::Slice::bits)));
    word = kb.andi(word, kb.sub(above, ones));
    word = kb.make<arith::ShLIOp>(word, amount(field(&BlockPanel::Slice::to)));
    result = result ? kb.ori(result, word) : word;
  }
  return result;
}

Value BlockReader::integer(Value quad, Value j) {
  Value q = kb.andi(kb.make<arith::ShRUIOp>(quad, amount(kb.mul(j, 8))), i32(255));
  return panel.zero ? kb.sub(q, i32(panel.zero)) : q;
}

Value BlockReader::number(Value quad, Value j, const Scale &scale) {
  Value q = kb.make<arith::SIToFPOp>(kb.vec(kb.f32), integer(quad, j));
  Value x = kb.fmul(scale.factor, q);
  return scale.minimum ? kb.fadd(x, scale.minimum) : x;
}
