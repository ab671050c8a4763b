//===- Products.cpp - rows of activations times a panel of a packed weight --------------------===//

#include "Products.h"

using namespace mlir;
using namespace ingot;
using namespace ingot::codegen;

PanelProducts::Arithmetic PanelProducts::choose(Type x, Type weight, const CPUTarget &target) {
  if (isa<tfm::BlockType>(x))
    return Arithmetic::Bytes;
  bool pairs = x.isBF16() && weight.isBF16() && target.multipliesPairsFast();
  return pairs ? Arithmetic::Pairs : Arithmetic::Wide;
}

PanelProducts::PanelProducts(KernelEmission &emission, const plan::PanelLayout &layout, Type weight,
                             Arithmetic arithmetic)
    : emission(emission), kb(emission.kb), layout(layout), weight(weight), arithmetic(arithmetic),
      tileRows(emission.schedule.getTileRows()), tileVectors(emission.schedule.getTileVectors()) {
  if (arithmetic == Arithmetic::Wide)
    slab = emission.scratch(kBlock * layout.rows * 4);
  if (arithmetic != Arithmetic::Bytes)
    return;
  slab = emission.scratch(kBlock / 32 * layout.rows / kLanes * slabGroupBytes());
  const CPUTarget &target = emission.target;
  if (target.hasAVX512() && target.has("avx512vnni"))
    byteDot = ByteDot::Dot512;
  else if (target.has("avxvnni"))
    byteDot = ByteDot::Dot256;
  // Each vector of sums is two registers of 16, beside the weights, a row and a product.
  if (byteDot != ByteDot::Dot512) {
    tileRows = std::min<int64_t>(tileRows, byteDot == ByteDot::Pairs ? 4 : 5);
    tileVectors = 1;
  }
}

int64_t PanelProducts::rowElements() const {
  return layout.block ? llvm::alignTo(layout.k, 32) : layout.k;
}

int64_t PanelProducts::rowBytes() const {
  if (arithmetic == Arithmetic::Bytes)
    return formats::bytesOf(formats::Format::Q8_X, layout.k);
  return rowElements() * kb.bytesOf(kb.registerType(rowType()));
}

Type PanelProducts::rowType() const {
  if (arithmetic == Arithmetic::Bytes)
    return tfm::BlockType::get(kb.b.getContext(), formats::Format::Q8_X);
  return arithmetic == Arithmetic::Pairs ? Type(kb.b.getBF16Type()) : kb.f32;
}

void PanelProducts::emit(Value x, Value rowCount, Value panel, int64_t lanes, Value sums) {
  kb.loop(kb.c(0), rowCount, kb.c(1), [&](Value row) {
    for (int64_t lane = 0; lane < lanes; lane += kLanes)
      kb.store(kb.zero(kb.vec(kb.f32)),
               kb.gep(kb.gep(sums, kb.mul(row, layout.rows), kb.f32), lane, kb.f32));
  });
  int64_t whole = rowElements() / granule() * granule();
  kb.branch(
      kb.cmp(arith::CmpIPredicate::eq, rowCount, kb.c(1)), TypeRange{},
      [&] {
        tile(x, 1, lanes / kLanes, {panel, lanes, kb.c(0), false}, sums, {kb.c(0), kb.c(whole)});
        return Values();
      },
      [&] {
        kb.loop(kb.c(0), kb.c(whole), kb.c(kBlock), [&](Value begin) {
          Value end = kb.min(kb.add(begin, kBlock), kb.c(whole));
          block(x, rowCount, panel, lanes, sums, {begin, end});
        });
        return Values();
      });
  if (whole < layout.k)
    tiles(x, rowCount, panel, lanes, /*slab=*/false, sums,
          {kb.c(whole), kb.c(layout.k), /*half=*/true});
}

void PanelProducts::block(Value x, Value rowCount, Value panel, int64_t lanes, Value sums,
                          Steps steps) {
  auto direct = [&] {
    tiles(x, rowCount, panel, lanes, /*slab=*/false, sums, steps);
    return Values();
  };
  if (arithmetic == Arithmetic::Pairs) {
    direct();
    return;
  }
  // Widening pays where several tiles share it.
  kb.branch(
      kb.lt(kb.c(2 * tileRows), rowCount), TypeRange{},
      [&] {
        arithmetic == Arithmetic::Bytes ? widenBytes(panel, lanes, steps)
                                        : widen(panel, lanes, steps);
        tiles(x, rowCount, panel, lanes, /*slab=*/true, sums, steps);
        return Values();
      },
      direct);
}

/// Where tile `first` (a vector number) starts in the slab: its lines follow each other.
int64_t PanelProducts::slabOffset(int64_t first) { return first * kLanes * kBlock; }

/// The block's steps as f32, tile by tile of lanes.
void PanelProducts::widen(Value panel, int64_t lanes, Steps steps) {
  int64_t vectors = lanes / kLanes;
  Source source{panel, lanes, kb.c(0), false};
  Unit unit = unitOf(source);
  Value first = kb.div(steps.begin, unit.steps), last = kb.div(steps.end, unit.steps);
  kb.loop(first, last, kb.c(1), [&](Value number) {
    Value at = kb.mul(kb.sub(number, first), unit.steps);
    for (int64_t v = 0; v < vectors; ++v) {
      int64_t start = v / tileVectors * tileVectors, width = std::min(tileVectors, vectors - start);
      Value into = kb.gep(slab, kb.mul(at, width * kLanes), kb.f32);
      for (int64_t piece = 0; piece < unit.pieces; ++piece) {
        SmallVector<Value, 4> elements;
        loadPiece(source, number, 0, piece, v, elements);
        for (auto [i, element] : llvm::enumerate(elements)) {
          int64_t step = piece * unit.perPiece() + int64_t(i);
          kb.store(element,
                   kb.gep(into, slabOffset(start) + step * width * kLanes + (v - start) * kLanes,
                          kb.f32));
        }
      }
    }
  });
}

void PanelProducts::tiles(Value x, Value rowCount, Value panel, int64_t lanes, bool fromSlab,
                          Value sums, Steps steps) {
  int64_t vectors = lanes / kLanes;
  // Rows outside: a tile's rows, which may lie at strides that caches dislike, are read once.
  emission.rowTiles(rowCount, tileRows, [&](Value row, int64_t rows) {
    Value xRows = kb.gep(x, kb.mul(row, rowBytes()), kb.i8);
    auto columns = [&](Value first, int64_t count) {
      Source source{panel, lanes, first, false};
      if (fromSlab && arithmetic == Arithmetic::Bytes)
        source = {slab, lanes, first, true};
      else if (fromSlab)
        source = {kb.gep(slab, kb.mul(first, slabOffset(1)), kb.f32), count * kLanes, kb.c(0),
                  true};
      Value into = kb.gep(sums, kb.add(kb.mul(row, layout.rows), kb.mul(first, kLanes)), kb.f32);
      tile(xRows, rows, count, source, into, steps);
    };
    int64_t whole = vectors / tileVectors * tileVectors;
    kb.loop(kb.c(0), kb.c(whole), kb.c(tileVectors),
            [&](Value first) { columns(first, tileVectors); });
    if (whole < vectors)
      columns(kb.c(whole), vectors - whole);
  });
}

PanelProducts::Unit PanelProducts::unitOf(const Source &source) const {
  if (source.slab)
    return {1, 1};
  if (layout.block)
    return {32, 8};
  return arithmetic == Arithmetic::Wide && layout.pairs ? Unit{2, 1} : Unit{1, 1};
}

void PanelProducts::loadPiece(const Source &source, Value unit, int64_t ahead, int64_t piece,
                              int64_t vector, SmallVectorImpl<Value> &elements) {
  Value lane = kb.mul(kb.add(source.firstVector, vector), kLanes);
  if (layout.block && !source.slab) {
    // A line holds the groups of a block.
    Value number = kb.add(unit, ahead);
    Value line = kb.div(number, layout.block->groups), group = kb.rem(number, layout.block->groups);
    Value base = kb.gep(source.panel, kb.mul(line, source.lanes * layout.elementBytes), kb.i8);
    BlockReader reader(kb, *layout.block, [&](Type element, Value at) -> Value {
      Value section = kb.gep(base, kb.mul(at, source.lanes), kb.i8);
      return kb.load(kb.vec(element), kb.gep(section, lane, element));
    });
    BlockReader::Scale scale = reader.scale(group, kb.c(piece / 4));
    Value quad = reader.quad(group, kb.c(piece));
    for (int64_t j = 0; j < 4; ++j)
      elements.push_back(reader.number(quad, kb.c(j), scale));
    return;
  }
  Type stored = source.slab ? kb.f32 : layout.pairs ? kb.i32 : kb.registerType(weight);
  Value address = kb.gep(source.panel, kb.mul(unit, source.lanes), stored);
  address = kb.gep(kb.gep(address, lane, stored), ahead * source.lanes, stored);
  Value value = kb.loadScratch(kb.vec(stored), address);
  if (source.slab || (layout.pairs && arithmetic == Arithmetic::Pairs)) {
    elements.push_back(value);
  } else if (!layout.pairs) {
    elements.push_back(kb.extend(value, kb.f32, weight));
  } else {
    // The low half of each lane, then the high half.
    Value high = kb.constantInt(kb.vec(kb.i32), int64_t(int32_t(0xffff0000)));
    Value sixteen = kb.constantInt(kb.vec(kb.i32), 16);
    elements.push_back(kb.bitcast(kb.vec(kb.f32), kb.make<arith::ShLIOp>(value, sixteen)));
    elements.push_back(kb.bitcast(kb.vec(kb.f32), kb.andi(value, high)));
  }
}

/// sums[row][first + v] += x[row][at + ahead] * weights[v], for one k or one pair of k; with `half`
/// the second of a pair counts as zero.
void PanelProducts::step(Values &sums, Value x, Value at, int64_t ahead, int64_t rows,
                         int64_t first, ArrayRef<Value> weights, bool half) {
  bool pairs = arithmetic == Arithmetic::Pairs;
  int64_t elementBytes = pairs ? 2 : 4;
  int64_t vectors = sums.size() / rows;
  Value column = kb.gep(x, kb.mul(at, elementBytes), kb.i8);
  for (int64_t row = 0; row < rows; ++row) {
    Value address = kb.gep(column, row * rowBytes() + ahead * elementBytes, kb.i8);
    Value element = kb.loadScratch(pairs ? half ? kb.i16 : kb.i32 : kb.f32, address);
    if (pairs && half)
      element = kb.make<arith::ExtUIOp>(kb.i32, element);
    Value factor = kb.broadcast(element);
    for (int64_t v = 0; v < int64_t(weights.size()); ++v) {
      Value &sum = sums[row * vectors + first + v];
      sum = pairs ? kb.dotPairs(sum, weights[v], factor) : kb.fma(factor, weights[v], sum);
    }
  }
}

void PanelProducts::tile(Value x, int64_t rows, int64_t vectors, const Source &source, Value into,
                         Steps steps) {
  // No more accumulators than the schedule's tile has: fewer vectors at once where a tile is wide.
  int64_t budget = std::max<int64_t>(tileRows * tileVectors / rows, 1), width = 1;
  while (width * 2 <= budget && width < vectors)
    width *= 2;
  if (width < vectors) {
    for (int64_t v = 0; v < vectors; v += width) {
      Source part = source;
      part.firstVector = kb.add(source.firstVector, v);
      tile(x, rows, std::min(width, vectors - v), part, kb.gep(into, v * kLanes, kb.f32), steps);
    }
    return;
  }
  if (arithmetic == Arithmetic::Bytes)
    return byteTile(x, rows, vectors, source, into, steps);
  auto address = [&](int64_t row, int64_t v) {
    return kb.gep(into, row * layout.rows + v * kLanes, kb.f32);
  };
  Values sums;
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t v = 0; v < vectors; ++v)
      sums.push_back(kb.loadScratch(kb.vec(kb.f32), address(row, v)));

  Unit unit = unitOf(source);
  // A pair of steps is one operation where the processor multiplies pairs.
  int64_t stepsPerElement = arithmetic == Arithmetic::Pairs ? 2 : 1,
          perTurn = unit.steps * stepsPerElement;
  // The sums of one row leave no registers for all elements of all vectors.
  int64_t together = rows == 1 ? 1 : vectors;
  auto turn = [&](Values &sums, Value number, int64_t ahead) {
    Value inSource = source.slab ? kb.sub(number, steps.begin) : number;
    for (int64_t piece = 0; piece < (steps.half ? 1 : unit.pieces); ++piece)
      for (int64_t v = 0; v < vectors; v += together) {
        SmallVector<SmallVector<Value, 4>, 4> elements(together);
        for (int64_t w = 0; w < together; ++w)
          loadPiece(source, inSource, ahead, piece, v + w, elements[w]);
        for (size_t i = 0; i < (steps.half ? 1 : elements[0].size()); ++i) {
          Values weights;
          for (const SmallVector<Value, 4> &ofVector : elements)
            weights.push_back(ofVector[i]);
          int64_t at = ahead * perTurn + (piece * unit.perPiece() + int64_t(i)) * stepsPerElement;
          step(sums, x, kb.mul(number, perTurn), at, rows, v, weights, steps.half);
        }
      }
  };
  auto turns = [&](Value from, Value to, int64_t unroll) {
    sums = kb.loop(from, to, kb.c(unroll), sums, [&](Value number, ValueRange state) {
      Values next(state);
      for (int64_t ahead = 0; ahead < unroll; ++ahead)
        turn(next, number, ahead);
      return next;
    });
  };
  if (steps.half) {
    turn(sums, kb.div(steps.begin, perTurn), 0);
  } else {
    // Enough multiply-adds in a turn of the loop.
    int64_t unroll = 1;
    while (unroll < 8 && unroll * rows * vectors * unit.steps < 24)
      unroll *= 2;
    Value first = kb.div(steps.begin, perTurn), last = kb.div(steps.end, perTurn);
    Value whole = kb.add(first, kb.mul(kb.div(kb.sub(last, first), unroll), unroll));
    turns(first, whole, unroll);
    if (unroll > 1)
      turns(whole, last, 1);
  }
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t v = 0; v < vectors; ++v)
      kb.store(sums[row * vectors + v], address(row, v));
}
