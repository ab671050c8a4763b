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
    Value shift = amount(kb.mul(group, 4));
    auto field = [&](int64_t word, int64_t ahead, int64_t mask) {
      Value bits = load(kb.i32, at(panel.scalesAt() + 4 * word));
      return kb.andi(kb.make<arith::ShRUIOp>(bits, kb.add(shift, ahead)), i32(mask));
    };
    auto six = [&](Value low, Value high) {
      return toFloat(kb.ori(low, kb.make<arith::ShLIOp>(high, i32(4))));
    };
    Value factor = kb.fmul(d, six(field(0, 0, 15), field(2, 0, 3)));
    Value minimum = kb.fmul(f16(2), six(field(1, 0, 15), field(2, 2, 3)));
    return {factor, kb.make<arith::NegFOp>(minimum)};
  }
  case BlockPanel::Scales::I8: {
    // Byte 2 group + half of the scales, moved to the top and back for its sign.
    Value index = kb.add(kb.mul(group, 2), half);
    Value bits = load(kb.i32, kb.add(kb.mul(kb.div(index, 4), 4), panel.scalesAt()));
    Value up = kb.sub(i32(24), amount(kb.mul(kb.rem(index, 4), 8)));
    Value byte = kb.make<arith::ShRSIOp>(kb.make<arith::ShLIOp>(bits, up), i32(24));
    return {kb.fmul(d, toFloat(byte)), {}};
  }
  }
  llvm_unreachable("all kinds of scales are handled");
}

Value BlockReader::quad(Value group, Value s) {
  Value first = kb.add(kb.mul(group, panel.groupBytes()), panel.groupsAt());
  auto word = [&](Value index, int64_t at) {
    return load(kb.i32, kb.add(kb.add(first, kb.mul(index, 4)), at));
  };
  if (panel.mainBits == 8)
    return word(s, 0);
  Value nibbles = word(kb.rem(s, 4), 0);
  nibbles = kb.make<arith::ShRUIOp>(nibbles, amount(kb.mul(kb.div(s, 4), 4)));
  Value q = kb.andi(nibbles, i32(0x0f0f0f0f));
  if (panel.extraBits == 0)
    return q;
  bool one = panel.extraBits == 1;
  Value index = one ? kb.constantInt(s.getType(), 0) : kb.div(s, 4);
  Value bits = word(index, panel.mainBytes());
  bits = kb.make<arith::ShRUIOp>(bits, amount(one ? s : kb.mul(kb.rem(s, 4), 2)));
  bits = kb.andi(bits, i32(one ? 0x01010101 : 0x03030303));
  return kb.ori(q, kb.make<arith::ShLIOp>(bits, i32(4)));
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
