//===- Products.cpp - rows of activations times a panel of a packed weight --------------------===//

#include "Products.h"

using namespace mlir;
using namespace ingot;
using namespace ingot::codegen;

PanelProducts::PanelProducts(KernelEmission &emission, const plan::PanelLayout &layout, Type weight,
                             Type x)
    : emission(emission), kb(emission.kb), layout(layout), weight(weight), row(x),
      tileRows(emission.schedule.getTileRows()), tileVectors(emission.schedule.getTileVectors()) {
  const CPUTarget &target = emission.target;
  if (isa<tfm::BlockType>(x)) {
    arithmetic = Arithmetic::Bytes;
    row = tfm::BlockType::get(x.getContext(), formats::Format::Q8_X);
    if (int64_t dotLanes = target.byteDotLanes())
      byteDot = dotLanes == kLanes ? ByteDot::Dot512 : ByteDot::Dot256;
    slab = emission.scratch(kBlock / 32 * layout.rows / kLanes * slabGroupBytes());
  } else if (x.isBF16() && weight.isBF16() && target.multipliesPairsFast()) {
    arithmetic = Arithmetic::Pairs;
  } else {
    row = kb.f32;
    slab = emission.scratch(kBlock * layout.rows * 4);
  }
}

int64_t PanelProducts::rowElements() const {
  return layout.block ? llvm::alignTo(layout.k, 32) : layout.k;
}

int64_t PanelProducts::rowBytes() const {
  if (arithmetic == Arithmetic::Bytes)
    return formats::bytesOf(formats::Format::Q8_X, layout.k);
  return rowElements() * kb.bytesOf(kb.registerType(row));
}

void PanelProducts::clear(Value rowCount, int64_t lanes, Value sums) {
  kb.loop(kb.c(0), rowCount, kb.c(1), [&](Value row) {
    for (int64_t lane = 0; lane < lanes; lane += kLanes)
      kb.store(kb.zero(kb.vec(kb.f32)),
               kb.gep(kb.gep(sums, kb.mul(row, layout.rows), kb.f32), lane, kb.f32));
  });
}

/// All steps but the last of an odd K in pairs, a block at a time.
void PanelProducts::forBlocks(function_ref<void(Steps)> body) {
  kb.loop(kb.c(0), kb.c(wholeSteps()), kb.c(kBlock), [&](Value begin) {
    body({begin, kb.min(kb.add(begin, kBlock), kb.c(wholeSteps()))});
  });
}

void PanelProducts::emit(Value x, Value rowCount, const Panels &panels, Value sums) {
  clear(kb.mul(rowCount, panels.count), layout.rows, sums);
  kb.branch(
      kb.cmp(arith::CmpIPredicate::eq, rowCount, kb.c(1)), TypeRange{},
      [&] {
        oneRow(x, panels, sums);
        return Values();
      },
      [&] {
        forBlocks([&](Steps steps) { block(x, rowCount, panels.first, sums, steps); });
        return Values();
      });
  if (wholeSteps() >= layout.k)
    return;
  Steps rest{kb.c(wholeSteps()), kb.c(layout.k), /*half=*/true};
  eachPanel(panels, sums, [&](Value panel, Value sums) {
    tiles(x, rowCount, panel, /*slab=*/false, sums, rest);
  });
}

void PanelProducts::emitSubPanel(Value x, Value rowCount, Value panel, int64_t lanes, Value vector,
                                 Value sums) {
  clear(rowCount, layout.parts * kLanes, sums);
  kb.loop(kb.c(0), kb.c(layout.parts), kb.c(1), [&](Value part) {
    Source source{panel, lanes, kb.add(vector, kb.mul(part, lanes / (layout.parts * kLanes))),
                  false};
    Value ofPart = kb.gep(sums, kb.mul(part, kLanes), kb.f32);
    // A small part of the work: two heights of tiles are enough. Sums of four rows of bytes, not in
    // dot products, and a row's numbers out of a panel need more than 16 registers.
    bool isPairs = arithmetic == Arithmetic::Bytes && byteDot == ByteDot::Pairs;
    int64_t height = isPairs ? std::min<int64_t>(tileRows, 2) : tileRows;
    Value whole = kb.mul(kb.div(rowCount, height), height);
    auto someSteps = [&](Steps steps) {
      auto rowsOf = [&](Value first, Value end, int64_t rows) {
        kb.loop(first, end, kb.c(rows), [&](Value row) {
          tile(kb.gep(x, kb.mul(row, rowBytes()), kb.i8), rows, 1, source,
               kb.gep(ofPart, kb.mul(row, layout.rows), kb.f32), steps);
        });
      };
      rowsOf(kb.c(0), whole, height);
      if (height > 1)
        rowsOf(whole, rowCount, 1);
    };
    forBlocks(someSteps);
    if (wholeSteps() < layout.k)
      someSteps({kb.c(wholeSteps()), kb.c(layout.k), /*half=*/true});
  });
}

void PanelProducts::eachPanel(const Panels &panels, Value sums,
                              function_ref<void(Value, Value)> body) {
  kb.loop(kb.c(0), panels.count, kb.c(1), [&](Value index) {
    body(kb.gep(panels.first, kb.mul(index, panels.stride), kb.i8),
         kb.gep(sums, kb.mul(index, layout.rows), kb.f32));
  });
}

BlockReader PanelProducts::reader(const Source &source, Value number, int64_t vector,
                                  bool inPlace) {
  // A line holds the groups of a block.
  Value line = kb.div(number, layout.block->groups);
  Value base = kb.gep(source.panel, kb.mul(line, source.lanes * layout.elementBytes), kb.i8);
  Value lane = kb.mul(kb.add(source.firstVector, vector), kLanes);
  return BlockReader(
      kb, *layout.block, [this, base, lane, inPlace, lanes = source.lanes](Type element, Value at) {
        Value address = kb.gep(kb.gep(base, kb.mul(at, lanes), kb.i8), lane, element);
        return inPlace ? kb.loadScratch(kb.vec(element), address)
                       : kb.load(kb.vec(element), address);
      });
}

/// Steps 0 .. whole. Of several panels as many steps in a turn as are some bytes: two streams hide
/// memory where neither rests long.
void PanelProducts::oneRow(Value x, const Panels &panels, Value sums) {
  int64_t whole = wholeSteps(), perTurn = whole;
  if (streams() > 1) {
    int64_t unit = layout.block ? 32 : 8;
    perTurn = std::max<int64_t>(kTurnBytes / bytesOf(unit), 1) * unit;
  }
  kb.loop(kb.c(0), kb.c(whole), kb.c(perTurn), [&](Value begin) {
    Steps steps{begin, kb.min(kb.add(begin, perTurn), kb.c(whole))};
    eachPanel(panels, sums, [&](Value panel, Value sums) {
      Source source{panel, layout.rows, kb.c(0), false};
      if (asksInOneRow())
        source.ahead = {kb.gep(panel, kAheadBytes, kb.i8), kb.c(0)};
      tile(x, 1, layout.rows / kLanes, source, sums, steps);
    });
  });
}

void PanelProducts::block(Value x, Value rowCount, Value panel, Value sums, Steps steps) {
  auto direct = [&] {
    tiles(x, rowCount, panel, /*slab=*/false, sums, steps);
    return Values();
  };
  if (arithmetic == Arithmetic::Pairs) {
    direct();
    return;
  }
  // Widening pays where many tiles share it.
  kb.branch(
      kb.lt(kb.c(4 * tileRows), rowCount), TypeRange{},
      [&] {
        arithmetic == Arithmetic::Bytes ? widenBytes(panel, steps) : widen(panel, steps);
        tiles(x, rowCount, panel, /*slab=*/true, sums, steps);
        return Values();
      },
      direct);
}

/// Where tile `first` (a vector number) starts in the slab: its lines follow each other.
int64_t PanelProducts::slabOffset(int64_t first) { return first * kLanes * kBlock; }

/// The block's steps as f32, tile by tile of lanes.
void PanelProducts::widen(Value panel, Steps steps) {
  int64_t vectors = layout.rows / kLanes;
  Source source{panel, layout.rows, kb.c(0), false};
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

void PanelProducts::tiles(Value x, Value rowCount, Value panel, bool fromSlab, Value sums,
                          Steps steps) {
  // Rows outside: a tile's rows, which may lie at strides that caches dislike, are read once.
  Value begin = kb.c(0);
  // Of many rows the first tile asks for the next block, for all.
  bool isMany = fromSlab || arithmetic == Arithmetic::Pairs;
  auto first = [&] {
    tilesOfRows(x, kb.c(0), tileRows, panel, fromSlab, /*asks=*/true, sums, steps);
  };
  if (fromSlab) {
    first();
    begin = kb.c(tileRows);
  } else if (isMany) {
    Value isWhole = kb.lt(kb.c(tileRows - 1), rowCount);
    kb.branch(isWhole, first);
    begin = kb.select(isWhole, kb.c(tileRows), begin);
  }
  emission.rowTiles(kb.sub(rowCount, begin), tileRows, [&](Value row, int64_t rows) {
    // Few rows of wide numbers take no longer than memory does. Few tiles of bytes all ask, which
    // costs less than another tile's code.
    bool asks = !isMany && (arithmetic == Arithmetic::Bytes || rows == tileRows);
    tilesOfRows(x, kb.add(row, begin), rows, panel, fromSlab, asks, sums, steps);
  });
}

/// All columns of some rows.
void PanelProducts::tilesOfRows(Value x, Value row, int64_t rows, Value panel, bool fromSlab,
                                bool asks, Value sums, Steps steps) {
  int64_t vectors = layout.rows / kLanes;
  Value xRows = kb.gep(x, kb.mul(row, rowBytes()), kb.i8);
  // Fewer rows take more columns, but not out of a slab, which has the tile's, and not where the
  // weights of all columns are in registers at once.
  bool isWider = !fromSlab && byteDot != ByteDot::Dot512;
  int64_t width = tileVectors;
  while (isWider && width < vectors && 2 * width * rows <= tileRows * tileVectors)
    width *= 2;
  auto columns = [&](Value first, int64_t count) {
    Source source{panel, layout.rows, first, false};
    if (fromSlab && arithmetic == Arithmetic::Bytes)
      source = {slab, layout.rows, first, true};
    else if (fromSlab)
      source = {kb.gep(slab, kb.mul(first, slabOffset(1)), kb.f32), count * kLanes, kb.c(0), true};
    if (asks)
      source.ahead = blockAhead(panel, kb.div(first, width), llvm::divideCeil(vectors, width));
    Value into = kb.gep(sums, kb.add(kb.mul(row, layout.rows), kb.mul(first, kLanes)), kb.f32);
    tile(xRows, rows, count, source, into, steps);
  };
  int64_t whole = vectors / width * width;
  kb.loop(kb.c(0), kb.c(whole), kb.c(width), [&](Value first) { columns(first, width); });
  if (whole < vectors)
    columns(kb.c(whole), vectors - whole);
}

/// Bytes of `steps` steps of a panel.
int64_t PanelProducts::bytesOf(int64_t steps) const {
  int64_t perLine = layout.block ? 32 * layout.block->groups : 1;
  return steps * layout.rows * layout.elementBytes / perLine;
}

PanelProducts::Ahead PanelProducts::blockAhead(Value panel, Value share, int64_t shares) {
  return {kb.gep(panel, bytesOf(kBlock), kb.i8), share, shares};
}

/// For a turn that takes the steps [step, step + steps).
void PanelProducts::beginAsking(const Ahead &ahead, Value step, int64_t steps) {
  asking = {};
  if (!ahead.first)
    return;
  int64_t least = layout.block ? 32 : 1;
  asking.lines = llvm::divideCeil(bytesOf(steps), 64 * ahead.shares);
  Value offset =
      kb.add(kb.mul(kb.div(step, least), bytesOf(least)), kb.mul(ahead.share, 64 * asking.lines));
  asking.first = kb.gep(ahead.first, offset, kb.i8);
}

void PanelProducts::askNext() {
  if (asking.asked < asking.lines)
    kb.prefetch(kb.gep(asking.first, 64 * asking.asked++, kb.i8), 1);
}

void PanelProducts::endAsking() {
  while (asking.asked < asking.lines)
    askNext();
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
  if (layout.block && !source.slab) {
    Value number = kb.add(unit, ahead), group = kb.rem(number, layout.block->groups);
    BlockReader reader = this->reader(source, number, vector, /*inPlace=*/false);
    BlockReader::Scale scale = reader.scale(group, kb.c(piece / 4));
    Value quad = reader.quad(group, kb.c(piece));
    askNext();
    for (int64_t j = 0; j < 4; ++j)
      elements.push_back(reader.number(quad, kb.c(j), scale));
    return;
  }
  Type stored = source.slab ? kb.f32 : layout.pairs ? kb.i32 : kb.registerType(weight);
  Value address = kb.gep(source.panel, kb.mul(unit, source.lanes), stored);
  Value lane = kb.mul(kb.add(source.firstVector, vector), kLanes);
  address = kb.gep(kb.gep(address, lane, stored), ahead * source.lanes, stored);
  Value value = kb.loadScratch(kb.vec(stored), address);
  askNext();
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
      int64_t parts = llvm::divideCeil(vectors, width);
      if (part.ahead.first)
        part.ahead.share = kb.add(kb.mul(source.ahead.share, parts), v / width);
      part.ahead.shares *= parts;
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
  // Where a tile is wider than the schedule's, sums leave no registers for all elements of all
  // vectors.
  int64_t together = rows < tileRows ? 1 : vectors;
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
        // Otherwise LLVM reads ahead more than there are registers for.
        if (together < vectors && rows > 1)
          kb.fence();
      }
  };
  auto turns = [&](Value from, Value to, int64_t unroll) {
    sums = kb.loop(from, to, kb.c(unroll), sums, [&](Value number, ValueRange state) {
      Values next(state);
      beginAsking(source.ahead, kb.mul(number, perTurn), unroll * perTurn);
      for (int64_t ahead = 0; ahead < unroll; ++ahead)
        turn(next, number, ahead);
      endAsking();
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
