//===- Products.cpp - rows of activations times a panel of a packed weight --------------------===//

#include "Products.h"

using namespace mlir;
using namespace ingot;
using namespace ingot::codegen;

/// Steps of k in a block: a block of a tile's lanes, widened, stays in the first cache.
static constexpr int64_t kBlock = 256;

PanelProducts::Arithmetic PanelProducts::choose(Type x, Type weight, const CPUTarget &target) {
  bool pairs = x.isBF16() && weight.isBF16() && target.has("avx512bf16");
  return pairs ? Arithmetic::Pairs : Arithmetic::Wide;
}

PanelProducts::PanelProducts(KernelEmission &emission, const plan::PanelLayout &layout, Type weight,
                             Arithmetic arithmetic)
    : emission(emission), kb(emission.kb), layout(layout), weight(weight), arithmetic(arithmetic),
      tileRows(emission.schedule.getTileRows()), tileVectors(emission.schedule.getTileVectors()) {
  if (arithmetic == Arithmetic::Wide)
    slab = emission.scratch(kBlock * layout.rows * 4);
}

Type PanelProducts::rowType() const {
  return arithmetic == Arithmetic::Pairs ? Type(kb.b.getBF16Type()) : kb.f32;
}

void PanelProducts::emit(Value x, Value rowCount, Value panel, int64_t lanes, Value sums) {
  kb.loop(kb.c(0), rowCount, kb.c(1), [&](Value row) {
    for (int64_t lane = 0; lane < lanes; lane += kLanes)
      kb.store(kb.zero(kb.vec(kb.f32)),
               kb.gep(kb.gep(sums, kb.mul(row, layout.rows), kb.f32), lane, kb.f32));
  });
  int64_t whole = layout.k / perLine() * perLine();
  kb.branch(
      kb.cmp(arith::CmpIPredicate::eq, rowCount, kb.c(1)), TypeRange{},
      [&] {
        tile(x, 1, lanes / kLanes, {panel, lanes, false}, sums, {kb.c(0), kb.c(whole)});
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
        widen(panel, lanes, steps);
        tiles(x, rowCount, panel, lanes, /*slab=*/true, sums, steps);
        return Values();
      },
      direct);
}

/// Where tile `first` (a vector number) starts in the slab: its lines follow each other.
static int64_t slabOffset(int64_t first) { return first * kLanes * kBlock; }

/// The block's lines as f32, tile by tile of lanes.
void PanelProducts::widen(Value panel, int64_t lanes, Steps steps) {
  Value firstLine = kb.div(steps.begin, perLine()), endLine = kb.div(steps.end, perLine());
  int64_t vectors = lanes / kLanes;
  kb.loop(firstLine, endLine, kb.c(1), [&](Value line) {
    Value first = kb.mul(kb.sub(line, firstLine), perLine());
    for (int64_t v = 0; v < vectors; ++v) {
      int64_t start = v / tileVectors * tileVectors, width = std::min(tileVectors, vectors - start);
      SmallVector<Value, 2> elements;
      loadLine({panel, lanes, false}, line, 0, v, elements);
      for (auto [ahead, element] : llvm::enumerate(elements)) {
        Value into = kb.gep(slab, kb.mul(first, width * kLanes), kb.f32);
        kb.store(element,
                 kb.gep(into,
                        slabOffset(start) + int64_t(ahead) * width * kLanes + (v - start) * kLanes,
                        kb.f32));
      }
    }
  });
}

void PanelProducts::tiles(Value x, Value rowCount, Value panel, int64_t lanes, bool fromSlab,
                          Value sums, Steps steps) {
  int64_t vectors = lanes / kLanes, elementBytes = kb.bytesOf(kb.registerType(rowType()));
  // Rows outside: a tile's rows, which may lie at strides that caches dislike, are read once.
  emission.rowTiles(rowCount, tileRows, [&](Value row, int64_t rows) {
    Value xRows = kb.gep(x, kb.mul(row, layout.k * elementBytes), kb.i8);
    auto columns = [&](Value first, int64_t count) {
      Source source{{}, fromSlab ? count * kLanes : lanes, fromSlab};
      source.base =
          fromSlab ? kb.gep(slab, kb.mul(first, slabOffset(1)), kb.f32)
                   : kb.gep(panel, kb.mul(first, kLanes * layout.elementBytes * perLine()), kb.i8);
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

void PanelProducts::loadLine(const Source &source, Value line, int64_t ahead, int64_t vector,
                             SmallVectorImpl<Value> &elements) {
  Type stored = source.slab ? kb.f32 : layout.pairs ? kb.i32 : kb.registerType(weight);
  Value address = kb.gep(source.base, kb.mul(line, source.lanes), stored);
  address = kb.gep(address, ahead * source.lanes + vector * kLanes, stored);
  Value value = kb.loadScratch(kb.vec(stored), address);
  if (source.slab) {
    elements.push_back(value);
  } else if (!layout.pairs) {
    elements.push_back(kb.extend(value, kb.f32, weight));
  } else if (arithmetic == Arithmetic::Pairs) {
    elements.push_back(value);
  } else {
    // The low half of each lane, then the high half.
    Value high = kb.constantInt(kb.vec(kb.i32), int64_t(int32_t(0xffff0000)));
    Value sixteen = kb.constantInt(kb.vec(kb.i32), 16);
    elements.push_back(kb.bitcast(kb.vec(kb.f32), kb.make<arith::ShLIOp>(value, sixteen)));
    elements.push_back(kb.bitcast(kb.vec(kb.f32), kb.andi(value, high)));
  }
}

/// sums[row][vector] += x[row][at + ahead] * weights[vector], for one k or one pair of k; with
/// `half` the second of a pair counts as zero.
void PanelProducts::step(Values &sums, Value x, Value at, int64_t ahead, int64_t rows,
                         int64_t vectors, ArrayRef<Value> weights, bool half) {
  bool pairs = arithmetic == Arithmetic::Pairs;
  int64_t elementBytes = pairs ? 2 : 4;
  Value first = kb.gep(x, kb.mul(at, elementBytes), kb.i8);
  for (int64_t row = 0; row < rows; ++row) {
    Value address = kb.gep(first, (row * layout.k + ahead) * elementBytes, kb.i8);
    Value element = kb.loadScratch(pairs ? half ? kb.i16 : kb.i32 : kb.f32, address);
    if (pairs && half)
      element = kb.make<arith::ExtUIOp>(kb.i32, element);
    Value factor = kb.broadcast(element);
    for (int64_t v = 0; v < vectors; ++v) {
      Value &sum = sums[row * vectors + v];
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
      part.base = kb.gep(source.base,
                         v * kLanes * (source.slab ? 4 : layout.elementBytes * perLine()), kb.i8);
      tile(x, rows, std::min(width, vectors - v), part, kb.gep(into, v * kLanes, kb.f32), steps);
    }
    return;
  }
  auto address = [&](int64_t row, int64_t v) {
    return kb.gep(into, row * layout.rows + v * kLanes, kb.f32);
  };
  Values sums;
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t v = 0; v < vectors; ++v)
      sums.push_back(kb.loadScratch(kb.vec(kb.f32), address(row, v)));

  // Lines of the panel, or of the slab, in which each k is a line.
  int64_t perLine = source.slab ? 1 : this->perLine();
  Value firstOfSource = source.slab ? steps.begin : kb.c(0);
  auto line = [&](Values &sums, Value number, int64_t ahead) {
    SmallVector<SmallVector<Value, 2>, 4> elements(vectors);
    for (int64_t v = 0; v < vectors; ++v)
      loadLine(source, kb.sub(number, firstOfSource), ahead, v, elements[v]);
    for (size_t i = 0; i < (steps.half ? 1 : elements[0].size()); ++i) {
      Values weights;
      for (int64_t v = 0; v < vectors; ++v)
        weights.push_back(elements[v][i]);
      step(sums, x, kb.mul(number, perLine), ahead * perLine + i, rows, vectors, weights,
           steps.half);
    }
  };
  auto lines = [&](Value from, Value to, int64_t unroll) {
    sums = kb.loop(from, to, kb.c(unroll), sums, [&](Value number, ValueRange state) {
      Values next(state);
      for (int64_t ahead = 0; ahead < unroll; ++ahead)
        line(next, number, ahead);
      return next;
    });
  };
  if (steps.half) {
    line(sums, kb.div(steps.begin, perLine), 0);
  } else {
    // Enough multiply-adds in a turn of the loop.
    int64_t unroll = 1;
    while (unroll < 8 && unroll * rows * vectors * perLine < 24)
      unroll *= 2;
    Value first = kb.div(steps.begin, perLine), last = kb.div(steps.end, perLine);
    Value whole = kb.add(first, kb.mul(kb.div(kb.sub(last, first), unroll), unroll));
    lines(first, whole, unroll);
    lines(whole, last, 1);
  }
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t v = 0; v < vectors; ++v)
      kb.store(sums[row * vectors + v], address(row, v));
}
