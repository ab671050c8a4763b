//===- AttentionProducts.cpp - queries by keys and weights by values --------------------------===//
//
// Both products have one form: a tile of rows, some vectors wide, accumulates over *lines*. A line
// is what lies side by side in a page: for the scores 16 keys of one dimension (or pair of
// dimensions), for the values 16 elements of one key (or pair of keys). The factor of a row and a
// line is one element (or pair) of the row, broadcast.
//
// Elements that are not f32 are widened when they are loaded, once per tile. Lines that are needed
// next are prefetched as fast as lines are used: the two products read from different places, and
// the processor's own prefetching starts anew at each change.
//
// Where keys hold the values (attention on a latent), a block's panels are turned into lines of
// values first: the product then is what it always is, to the bit.
//
//===----------------------------------------------------------------------------------------===//

#include "Attention.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace ingot;
using namespace ingot::codegen;

Value codegen::roundToBF16(KernelBuilder &kb, Value x) {
  Type bits = kb.shapedAs(x, kb.i32);
  Value u = kb.bitcast(bits, x);
  Value odd =
      kb.andi(kb.make<arith::ShRUIOp>(u, kb.constantInt(bits, 16)), kb.constantInt(bits, 1));
  Value rounded = kb.add(kb.add(u, kb.constantInt(bits, 0x7fff)), odd);
  return kb.bitcast(x.getType(), kb.andi(rounded, kb.constantInt(bits, 0xffff0000)));
}

Value codegen::convertToBF16(KernelBuilder &kb, Value x) {
  auto name = kb.b.getStringAttr("llvm.x86.avx512bf16.cvtneps2bf16.512");
  Value narrow =
      kb.make<LLVM::CallIntrinsicOp>(Type(kb.vec(kb.b.getBF16Type())), name, ValueRange{x});
  return kb.make<LLVM::BitcastOp>(kb.vec(kb.i16), narrow);
}

/// 16 lanes of a line: one vector per element of a pair, or one of pairs.
SmallVector<Value, 2> AttentionEmitter::loadLine(Value pointer) {
  if (product != Product::Single) {
    Value raw = kb.loadScratch(kb.vec(kb.i32), pointer);
    if (product == Product::PairDots)
      return {kb.make<LLVM::BitcastOp>(VectorType::get({2 * kLanes}, kb.b.getBF16Type()), raw)};
    Value even = kb.make<arith::ShLIOp>(raw, kb.constantInt(raw.getType(), 16));
    Value odd = kb.andi(raw, kb.constantInt(raw.getType(), 0xffff0000));
    return {kb.bitcast(kb.vec(kb.f32), even), kb.bitcast(kb.vec(kb.f32), odd)};
  }
  Value x = kb.loadScratch(kb.vec(kb.memoryType(cacheElement)), pointer);
  if (cacheElement.isInteger(8))
    return {kb.make<arith::SIToFPOp>(kb.vec(kb.f32), kb.make<arith::ExtSIOp>(kb.vec(kb.i32), x))};
  return {kb.extend(x, kb.f32, cacheElement)};
}

/// One element or pair of a row in all lanes.
SmallVector<Value, 2> AttentionEmitter::loadFactor(Value pointer) {
  if (product == Product::PairDots) {
    Value pair = kb.broadcast(kb.loadScratch(kb.i32, pointer));
    return {kb.make<LLVM::BitcastOp>(VectorType::get({2 * kLanes}, kb.b.getBF16Type()), pair)};
  }
  SmallVector<Value, 2> factors;
  for (int64_t i = 0; i < layout.perLine(); ++i)
    factors.push_back(kb.broadcast(kb.loadScratch(kb.f32, kb.gep(pointer, i, kb.f32))));
  return factors;
}

Value AttentionEmitter::multiplyAdd(Value factor, Value line, Value sum) {
  if (product != Product::PairDots)
    return kb.fma(factor, line, sum);
  auto name = kb.b.getStringAttr("llvm.x86.avx512bf16.dpbf16ps.512");
  return kb.make<LLVM::CallIntrinsicOp>(sum.getType(), name, ValueRange{sum, factor, line});
}

/// Vectors that a tile of `count` rows is wide, at most `most`: what fits into the registers beside
/// a line and a factor. A line that only one row uses is an operand in memory, unless it must be
/// widened.
static int64_t tileWidth(const AttentionEmitter &emitter, int64_t count, int64_t most) {
  bool wide = emitter.emission.target.hasAVX512();
  int64_t registers = wide ? 32 : 16, perVector = wide ? 1 : 2;
  bool pairs = emitter.product == AttentionEmitter::Product::PairsAsF32;
  int64_t lines = pairs ? 2 : count == 1 ? 0 : 1;
  int64_t fit = (registers - 2) / (perVector * (count + lines));
  return std::clamp<int64_t>(std::min(fit, emitter.tileRows * emitter.tileVectors / count), 1,
                             most);
}

/// scores[row][key] = q[row] . K[key] for some rows and the first `panels` panels.
void AttentionEmitter::scoreTile(Value r, int64_t count, Value keys, Value panels, Value prefetch) {
  Value rows = queryRow(r), into = scoreRow(r);
  int64_t width = tileWidth(*this, count, kPanels);
  while (kPanels % width)
    --width;
  int64_t lines = layout.keyDims / layout.perLine(), lineBytes = kLanes * layout.laneBytes();
  int64_t factorBytes = queryStride / lines;
  // The values, spread over all lines of keys.
  int64_t valueBytes = kPage * layout.valueSize * layout.elementBytes;
  int64_t ahead = llvm::divideCeil(valueBytes, lines * (kPanels / width) * 64);
  for (int64_t first = 0; first < kPanels; first += width) {
    kb.branch(kb.lt(kb.c(first), panels), [&] {
      Values zeros(count * width, splat(0));
      Values sums =
          kb.loop(kb.c(0), kb.c(lines), kb.c(1), zeros, [&](Value number, ValueRange state) {
            Values next(state);
            Value line = at(keys, number, lineBytes), factor = at(rows, number, factorBytes);
            SmallVector<SmallVector<Value, 2>> k;
            for (int64_t v = 0; v < width; ++v)
              k.push_back(loadLine(kb.field(line, (first + v) * layout.panelBytes)));
            kb.prefetch(
                kb.field(at(prefetch, number, ahead * 64), first / width * lines * ahead * 64),
                ahead);
            for (size_t part = 0; part < k.front().size(); ++part)
              for (int64_t i = 0; i < count; ++i) {
                Value x = loadFactor(kb.field(factor, i * queryStride))[part];
                for (int64_t v = 0; v < width; ++v)
                  next[i * width + v] = multiplyAdd(x, k[v][part], next[i * width + v]);
              }
            return next;
          });
      for (int64_t i = 0; i < count; ++i)
        for (int64_t v = 0; v < width; ++v) {
          Value sum = sums[i * width + v];
          if (layout.scaled)
            sum =
                kb.fmul(sum, loadVector(kb.field(keys, layout.keyScalesOffset + (first + v) * 64)));
          kb.store(sum, kb.field(into, i * scoreStride + (first + v) * 64));
        }
    });
  }
}

/// out[row] = out[row] * factor + p[row] . V for some rows.
void AttentionEmitter::valueTile(Value r, int64_t count, Value values, Value panels,
                                 Value prefetch) {
  int64_t width = tileWidth(*this, count, valueVectors);
  int64_t perLine = layout.perLine(), lineBytes = layout.valueSize * layout.laneBytes();
  int64_t weightBytes = product == Product::PairDots ? 4 : 4 * perLine;
  Value p = scoreRow(r), scale = kb.gep(factors, r, kb.f32),
        lines = kb.mul(panels, kLanes / perLine);
  Value out = kb.field(recordOf(r), kOutput);
  // The keys that are read next, spread over all lines of values.
  int64_t turns = llvm::divideCeil(valueVectors, width) * (kPage / perLine);
  int64_t ahead = llvm::divideCeil(layout.valuesOffset, turns * 64);
  auto columns = [&](Value first, int64_t vectors) {
    Value column = kb.mul(first, kLanes * layout.laneBytes());
    auto address = [&](int64_t i, int64_t v) {
      return kb.field(at(out, first, 64), i * recordBytes + v * 64);
    };
    Values inits;
    for (int64_t i = 0; i < count; ++i) {
      Value factor = kb.broadcast(kb.loadScratch(kb.f32, kb.gep(scale, i, kb.f32)));
      for (int64_t v = 0; v < vectors; ++v)
        inits.push_back(kb.fmul(loadVector(address(i, v)), factor));
    }
    Value start = kb.gep(values, column, kb.i8);
    Value ahead0 = at(prefetch, kb.div(first, width), kPage / perLine * ahead * 64);
    Values sums = kb.loop(kb.c(0), lines, kb.c(1), inits, [&](Value number, ValueRange state) {
      Values next(state);
      Value line = at(start, number, lineBytes), factor = at(p, number, weightBytes);
      SmallVector<SmallVector<Value, 2>> x;
      for (int64_t v = 0; v < vectors; ++v)
        x.push_back(loadLine(kb.field(line, v * kLanes * layout.laneBytes())));
      kb.prefetch(at(ahead0, number, ahead * 64), ahead);
      for (size_t part = 0; part < x.front().size(); ++part)
        for (int64_t i = 0; i < count; ++i) {
          Value weight = loadFactor(kb.field(factor, i * scoreStride))[part];
          for (int64_t v = 0; v < vectors; ++v)
            next[i * vectors + v] = multiplyAdd(weight, x[v][part], next[i * vectors + v]);
        }
      return next;
    });
    for (int64_t i = 0; i < count; ++i)
      for (int64_t v = 0; v < vectors; ++v)
        kb.store(sums[i * vectors + v], address(i, v));
  };
  int64_t whole = valueVectors / width * width;
  kb.loop(kb.c(0), kb.c(whole), kb.c(width), [&](Value first) { columns(first, width); });
  if (whole < valueVectors)
    columns(kb.c(whole), valueVectors - whole);
}

//===----------------------------------------------------------------------===//
// Values that are parts of their keys
//===----------------------------------------------------------------------===//

/// n vectors of n units, turned: unit j of vector i becomes unit i of vector j.
static void turn(KernelBuilder &kb, KernelBuilder::Values &rows) {
  int64_t n = rows.size();
  for (int64_t distance = n / 2; distance; distance /= 2) {
    SmallVector<int64_t> lower(n), upper(n);
    for (int64_t unit = 0; unit < n; ++unit) {
      bool high = unit & distance;
      lower[unit] = high ? n + unit - distance : unit;
      upper[unit] = high ? n + unit : unit + distance;
    }
    for (int64_t i = 0; i < n; ++i)
      if (!(i & distance)) {
        Value a = rows[i], x = rows[i + distance];
        rows[i] = kb.make<vector::ShuffleOp>(a, x, lower);
        rows[i + distance] = kb.make<vector::ShuffleOp>(a, x, upper);
      }
  }
}

/// The values of the first `panels` panels into scratch memory, as values lie in a page: tiles of
/// 16 keys by 16 elements. What is turned is an element, or the two elements of two keys each.
void AttentionEmitter::turnValues(Value keys, Value panels) {
  int64_t perLine = layout.perLine(), lane = layout.laneBytes(), units = kLanes / perLine;
  Type element = kb.b.getIntegerType(layout.elementBytes * 8);
  auto lineType = VectorType::get({kLanes * perLine}, element);
  auto tile = [&](Value panel, Value first, int64_t count) {
    Value line = kb.gep(at(keys, panel, layout.panelBytes),
                        kb.mul(kb.div(first, perLine), kLanes * lane), kb.i8);
    Values rows;
    for (int64_t unit = 0; unit < units; ++unit) {
      // Behind the last value there may be nothing.
      Value row = unit * perLine < count
                      ? kb.loadScratch(lineType, kb.field(line, unit * kLanes * lane))
                      : kb.zero(lineType);
      if (layout.pairs) {
        SmallVector<int64_t> swapped;
        for (int64_t i = 0; i < 2 * kLanes; i += 4)
          swapped.append({i, i + 2, i + 1, i + 3});
        row = kb.make<vector::ShuffleOp>(row, row, swapped);
        row = kb.make<LLVM::BitcastOp>(VectorType::get({units}, kb.i64), row);
      }
      rows.push_back(row);
    }
    turn(kb, rows);
    Value into = kb.gep(at(turnedValues, panel, units * layout.valueSize * lane),
                        kb.mul(first, lane), kb.i8);
    for (auto [number, row] : llvm::enumerate(rows)) {
      if (layout.pairs)
        row = kb.make<LLVM::BitcastOp>(kb.vec(kb.i32), row);
      kb.store(row, kb.field(into, number * layout.valueSize * lane),
               count < kLanes ? kb.firstLanes(count) : Value());
    }
  };
  int64_t whole = layout.valueSize / kLanes * kLanes;
  kb.loop(kb.c(0), panels, kb.c(1), [&](Value panel) {
    kb.loop(kb.c(0), kb.c(whole), kb.c(kLanes), [&](Value first) { tile(panel, first, kLanes); });
    if (whole < layout.valueSize)
      tile(panel, kb.c(whole), layout.valueSize - whole);
  });
}

/// out[row] = out[row] * factor + p[row] . V for the rows of the pass.
void AttentionEmitter::values(const Visit &at) {
  if (layout.valuesInKeys)
    turnValues(at.keys, at.panels);
  emission.rowTiles(rowCount, tileRows, [&](Value r, int64_t count) {
    valueTile(r, count, at.values, at.panels, at.next);
  });
}
