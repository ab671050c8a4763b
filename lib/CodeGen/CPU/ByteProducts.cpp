//===- ByteProducts.cpp - rows and weights in blocks, multiplied in integers ------------------===//
//
// A line of a panel has four consecutive numbers of a lane in one word, unsigned, `zero` above what
// they mean (BlockPanels.h); a row has the same four in one word, signed (q8_x). A step multiplies
// a word of the row with a vector of words and adds the four products to 32-bit sums of each lane:
//
//   Dot512, Dot256   vpdpbusd: one instruction. The offset costs nothing, since sums start at
//                    -zero times the sum of the row's group.
//   Pairs            vpmaddubsw adds two products in 16 bits, vpmaddwd adds two of these in 32.
//                    Numbers of the row are within -127 .. 127, so a sum of 16 bits holds
//
//                      4 bits    15 x 127 x 2 = 3,810 each, eight of them (within 32,767)
//                      5 bits    31 x 127 x 2 = 7,874, four
//                      6 bits    63 x 127 x 2 = 16,002, two
//                      8 bits    no two products of 255 x 127: they are multiplied as magnitude
//                                times row with the weight's sign, 128 x 127 x 2 = 32,512, one
//
//                    and never saturates. The offset comes last: it would occupy registers.
//
// So the integers are exact on every processor, and what follows is the same for all: the group's
// scales multiplied, one fused multiply-add into the f32 sum. Those sums stay in memory, one access
// for eight steps; registers hold the integers. Left alone LLVM would keep the sums in registers,
// load a whole group ahead and multiply all before it adds, and then spill: fences stand between
// the steps.
//
// Not for Pairs: widening both sides to 16 bits (vpmovsxbw, vpmaddwd) takes as many instructions
// for 8 bits, and twice those for 4.
//
//===----------------------------------------------------------------------------------------===//

#include "Products.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "llvm/ADT/Sequence.h"

using namespace mlir;
using namespace ingot;
using namespace ingot::codegen;

namespace {

/// Sums of products of bytes for the lanes of one vector.
class ByteSum {
public:
  using Value = mlir::Value;
  enum class Kind { Dot512, Dot256, Unsigned, Signed };

  /// `limit` of Unsigned: as many steps fit 16 bits.
  ByteSum(KernelBuilder &kb, Kind kind, int64_t limit) : kb(kb), kind(kind), limit(limit) {
    int64_t parts = kind == Kind::Dot512 ? 1 : 2;
    sums.assign(parts, kb.zero(VectorType::get({kLanes / parts}, kb.i32)));
  }

  /// Adds a scalar i32 to every lane.
  void add(Value scalar) {
    for (Value &sum : sums)
      sum = kb.add(sum, kb.make<vector::BroadcastOp>(sum.getType(), scalar));
  }

  /// Adds four products for each lane: `weights` are 16 words, `x` a word.
  void step(Value weights, Value x) {
    int64_t lanes = kLanes / int64_t(sums.size());
    x = bytes(kb.make<vector::BroadcastOp>(VectorType::get({lanes}, kb.i32), x));
    weights = bytes(weights);
    for (auto [part, sum] : llvm::enumerate(sums)) {
      Value w = sums.size() == 1 ? weights : slice(weights, part * 32, 32);
      switch (kind) {
      case Kind::Dot512:
        sum = call("llvm.x86.avx512.vpdpbusd.512", sum.getType(), {sum, w, x});
        break;
      case Kind::Dot256:
        sum = call("llvm.x86.avx512.vpdpbusd.256", sum.getType(), {sum, w, x});
        break;
      case Kind::Unsigned:
        addPairs(part, w, x);
        break;
      case Kind::Signed: {
        Value magnitude = kb.make<LLVM::AbsOp>(w.getType(), w, /*is_int_min_poison=*/false);
        addPairs(part, magnitude, call("llvm.x86.avx2.psign.b", x.getType(), {x, w}));
        break;
      }
      }
    }
    if (++pendingSteps == limit)
      flush();
  }

  /// What has been added is not put off. (A dot product cannot be.)
  void pin() {
    if (kind == Kind::Dot512)
      return;
    for (auto [part, sum] : llvm::enumerate(sums)) {
      Value &last = pending[part] ? pending[part] : sum;
      last = kb.pin(last);
    }
  }

  /// All 16 lanes.
  Value get() {
    flush();
    if (sums.size() == 1)
      return sums.front();
    SmallVector<int64_t> lanes = llvm::to_vector(llvm::seq<int64_t>(0, kLanes));
    return kb.make<vector::ShuffleOp>(sums[0], sums[1], lanes);
  }

private:
  Value bytes(Value words) {
    int64_t count = cast<VectorType>(words.getType()).getNumElements();
    return kb.make<LLVM::BitcastOp>(VectorType::get({4 * count}, kb.i8), words);
  }
  Value slice(Value vector, int64_t first, int64_t count) {
    return kb.make<vector::ShuffleOp>(vector, vector,
                                      llvm::to_vector(llvm::seq(first, first + count)));
  }
  Value call(StringRef name, Type type, ValueRange operands) {
    return kb.make<LLVM::CallIntrinsicOp>(type, kb.b.getStringAttr(name), operands);
  }
  void addPairs(size_t part, Value magnitude, Value x) {
    Value products =
        call("llvm.x86.avx2.pmadd.ub.sw", VectorType::get({kLanes}, kb.i16), {magnitude, x});
    pending[part] = pending[part] ? kb.add(pending[part], products) : products;
  }
  void flush() {
    pendingSteps = 0;
    for (auto [part, sum] : llvm::enumerate(sums)) {
      if (!pending[part])
        continue;
      Value ones = kb.constantInt(kb.vec(kb.i16), 1);
      sum = kb.add(sum, call("llvm.x86.avx2.pmadd.wd", sum.getType(), {pending[part], ones}));
      pending[part] = {};
    }
  }

  KernelBuilder &kb;
  Kind kind;
  int64_t limit, pendingSteps = 0;
  SmallVector<Value, 2> sums;
  Value pending[2] = {}; ///< vector<16xi16>
};

} // namespace

struct PanelProducts::ByteGroup {
  const Source &source;
  Value number; ///< of the group, in the panel or the slab's block
  int64_t vector;

  Value lane(KernelBuilder &kb) const { return kb.mul(kb.add(source.firstVector, vector), kLanes); }
  /// Where the slab has it: eight vectors of words, then scales.
  Value inSlab(KernelBuilder &kb, int64_t groupBytes) const {
    Value place = kb.add(kb.mul(number, source.lanes / kLanes), kb.add(source.firstVector, vector));
    return kb.gep(source.panel, kb.mul(place, groupBytes), kb.i8);
  }
};

/// The scale and minimum of a group, or of half of it.
BlockReader::Scale PanelProducts::groupScale(const ByteGroup &group, int64_t half) {
  const Source &source = group.source;
  if (!source.slab) {
    Value inBlock = kb.rem(group.number, layout.block->groups);
    return reader(source, group.number, group.vector, /*inPlace=*/true).scale(inBlock, kb.c(half));
  }
  Value scales = kb.gep(group.inSlab(kb, slabGroupBytes()), 8 * 64, kb.i8);
  BlockReader::Scale scale;
  scale.factor = kb.loadScratch(kb.vec(kb.f32), kb.gep(scales, 64 * half, kb.i8));
  if (layout.block->hasMinimum())
    scale.minimum = kb.loadScratch(kb.vec(kb.f32), kb.gep(scales, 64, kb.i8));
  return scale;
}

/// Numbers 4 s .. 4 s + 3 of a group as the processor wants them.
Value PanelProducts::groupQuad(const ByteGroup &group, int64_t s) {
  const Source &source = group.source;
  if (source.slab)
    return kb.loadScratch(kb.vec(kb.i32),
                          kb.gep(group.inSlab(kb, slabGroupBytes()), 64 * s, kb.i8));
  Value inBlock = kb.rem(group.number, layout.block->groups);
  Value quad = reader(source, group.number, group.vector, /*inPlace=*/true).quad(inBlock, kb.c(s));
  if (!isSigned())
    return quad;
  // 128 less, as a signed byte.
  Value bits = kb.constantInt(kb.vec(kb.i32), int64_t(int32_t(0x80808080)));
  return kb.make<arith::XOrIOp>(quad, bits);
}

/// A block of groups, for all tiles that follow.
void PanelProducts::widenBytes(Value panel, Steps steps) {
  int64_t lanes = layout.rows;
  Source source{panel, lanes, kb.c(0), false}, into{slab, lanes, kb.c(0), true};
  Value first = kb.div(steps.begin, 32), last = kb.div(steps.end, 32);
  kb.loop(first, last, kb.c(1), [&](Value number) {
    for (int64_t v = 0; v < lanes / kLanes; ++v) {
      ByteGroup from{source, number, v};
      Value to = ByteGroup{into, kb.sub(number, first), v}.inSlab(kb, slabGroupBytes());
      for (int64_t s = 0; s < 8; ++s)
        kb.store(groupQuad(from, s), kb.gep(to, 64 * s, kb.i8));
      for (int64_t half = 0; half < halves(); ++half) {
        BlockReader::Scale scale = groupScale(from, half);
        kb.store(scale.factor, kb.gep(to, 64 * (8 + half), kb.i8));
        if (scale.minimum)
          kb.store(scale.minimum, kb.gep(to, 64 * 9, kb.i8));
      }
    }
  });
}

/// sums[row][vector] += the products of `rows` rows with `vectors` vectors of lanes, group by
/// group.
void PanelProducts::byteTile(Value x, int64_t rows, int64_t vectors, const Source &source,
                             Value into, Steps steps) {
  // Sixteen registers are too few for a row's sums of all vectors beside what takes numbers out of
  // words: a group is finished before the next vector's.
  int64_t bits = layout.block->bits;
  bool isInOrder = byteDot == ByteDot::Dot512 || bits == 8 || bits == 4;
  int64_t together = isInOrder ? vectors : 1;
  Value first = kb.div(steps.begin, 32), last = kb.div(steps.end, 32);
  kb.loop(first, last, kb.c(1), [&](Value number) {
    Value group = kb.gep(x, kb.mul(number, formats::kQ8XBytes), kb.i8);
    Value inSource = source.slab ? kb.sub(number, first) : number;
    beginAsking(source.ahead, kb.mul(number, 32), 32);
    for (int64_t v = 0; v < vectors; v += together)
      for (int64_t half = 0; half < halves(); ++half)
        multiplyGroup(group, rows, {source, inSource, v}, together, half,
                      kb.gep(into, v * kLanes, kb.f32));
    endAsking();
  });
}

/// A group, or half of it, of all rows and of `vectors` vectors from `group.vector` on.
void PanelProducts::multiplyGroup(Value x, int64_t rows, const ByteGroup &group, int64_t vectors,
                                  int64_t half, Value into) {
  const plan::BlockPanel &block = *layout.block;
  auto kind = byteDot == ByteDot::Dot512   ? ByteSum::Kind::Dot512
              : byteDot == ByteDot::Dot256 ? ByteSum::Kind::Dot256
              : isSigned()                 ? ByteSum::Kind::Signed
                                           : ByteSum::Kind::Unsigned;
  int64_t largest = isSigned() ? 128 : (int64_t(1) << block.bits) - 1;
  int64_t limit = 32767 / (2 * 127 * largest), zero = isSigned() ? 0 : block.zero;
  auto vectorOf = [&](int64_t v) {
    return ByteGroup{group.source, group.number, group.vector + v};
  };
  auto rowField = [&](int64_t row, int64_t offset, Type type) {
    return kb.loadScratch(type, kb.gep(x, row * rowBytes() + offset, kb.i8));
  };
  auto rowSum = [&](int64_t row, int64_t half) {
    return kb.make<arith::ExtSIOp>(kb.i32, rowField(row, formats::kQ8XSums + 2 * half, kb.i16));
  };
  auto wholeSum = [&](int64_t row) { return kb.add(rowSum(row, 0), rowSum(row, 1)); };

  // Weights of several vectors at once would need registers of their own.
  int64_t together = byteDot == ByteDot::Dot512 ? vectors : 1;
  std::vector<ByteSum> sums(rows * vectors, ByteSum(kb, kind, limit));
  auto subtractZero = [&](int64_t row) {
    if (!zero)
      return;
    Value offset = kb.mul(halves() == 1 ? wholeSum(row) : rowSum(row, half), -zero);
    for (int64_t v = 0; v < vectors; ++v)
      sums[row * vectors + v].add(offset);
  };
  for (int64_t row = 0; row < rows && byteDot != ByteDot::Pairs; ++row)
    subtractZero(row);
  // One row takes all quads that share words at once, so that a panel is read once, in its order;
  // the sums of several leave no registers for that.
  int64_t quads = 8 / halves(), apart = rows == 1 ? plan::BlockPanel::period(block.bits) : 1;
  assert(quads % apart == 0 && "a period reaches into the other half");
  for (int64_t first = half * quads; first < (half + 1) * quads; first += apart)
    for (int64_t v = 0; v < vectors; v += together) {
      for (int64_t s = first; s < first + apart; ++s) {
        Values weights;
        for (int64_t w = v; w < v + together; ++w) {
          weights.push_back(groupQuad(vectorOf(w), s));
          askNext();
        }
        for (int64_t row = 0; row < rows; ++row) {
          Value numbers = rowField(row, formats::kQ8XNumbers + 4 * s, kb.i32);
          for (int64_t w = 0; w < together; ++w)
            sums[row * vectors + v + w].step(weights[w], numbers);
        }
        for (ByteSum &sum : sums)
          sum.pin();
      }
      kb.fence();
    }
  // Several rows share the scales; those of one row are made where they are used.
  SmallVector<BlockReader::Scale> scales(vectors);
  for (int64_t v = 0; v < vectors && rows > 1; ++v)
    scales[v] = groupScale(vectorOf(v), half);
  for (int64_t row = 0; row < rows; ++row) {
    if (byteDot == ByteDot::Pairs)
      subtractZero(row);
    Value scalar = rowField(row, 0, kb.f32), d = kb.broadcast(scalar), dSum;
    if (block.hasMinimum()) {
      Value sum = kb.make<arith::SIToFPOp>(kb.f32, wholeSum(row));
      dSum = kb.broadcast(kb.fmul(scalar, sum));
    }
    for (int64_t v = 0; v < vectors; ++v) {
      if (rows == 1)
        scales[v] = groupScale(vectorOf(v), half);
      Value address = kb.gep(into, row * layout.rows + v * kLanes, kb.f32);
      Value integers = kb.make<arith::SIToFPOp>(kb.vec(kb.f32), sums[row * vectors + v].get());
      Value factor = kb.fmul(scales[v].factor, d);
      Value sum = kb.fma(factor, integers, kb.loadScratch(kb.vec(kb.f32), address));
      if (scales[v].minimum)
        sum = kb.fma(scales[v].minimum, dSum, sum);
      kb.store(sum, address);
      if (rows == 1 || v + 1 == vectors)
        kb.fence();
    }
  }
}
