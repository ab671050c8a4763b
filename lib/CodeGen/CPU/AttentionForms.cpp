//===- AttentionForms.cpp - attention that holds whole rows of scores -------------------------===//
//
// The forms beside the online softmax, of the same parts: all scores of the rows of a pass are
// computed into memory, then turned into weights, then multiplied by the values. With the rows of a
// few queries at a time that is the *blocked* form; with all rows of a sequence, so that the matrix
// of scores of a head lies in memory between the three steps, it is the unfused one (*math*). What
// they need is room for a row of scores, so the number of keys must have a bound.
//
// There is one maximum per row, and neither rescaling nor segments: results differ from those of
// the online form in the last places. They depend on nothing but the row all the same: a key that
// is dropped has weight 0, sums are the 16 partial sums by key mod 16, values add up in the order
// of the keys.
//
//===----------------------------------------------------------------------------------------===//

#include "Attention.h"

using namespace mlir;
using namespace ingot;
using namespace ingot::codegen;

bool AttentionEmitter::prepareWholeRows() {
  keyLimit = llvm::alignTo(emission.schedule.getKeys(), kPage);
  rowLimit = llvm::alignTo(emission.schedule.getTileRows() * group, kLanes);
  int64_t bytes = 0;
  // A line more, so that rows do not compete for the same places of a cache.
  scoreStride = keyLimit * 4 + 64;
  if (llvm::MulOverflow(rowLimit, scoreStride, bytes) || bytes > (int64_t(1) << 31)) {
    kb.fail(op, "expected at most 2 GiB of scores");
    return false;
  }
  rowTops = emission.scratch(rowLimit * kLanes * 4);
  return true;
}

void AttentionEmitter::wholeRows() {
  Value firstBlock = kb.div(keyBegin, kPage), endBlock = kb.div(kb.add(keyEnd, kPage - 1), kPage);
  auto topsOf = [&](Value r) { return at(rowTops, kb.add(rowBase, r), kLanes * 4); };
  forHeads([&](Value) {
    clearRecords();
    forRows([&](Value r) {
      kb.store(splat(kDropped), topsOf(r));
      kb.store(f32(1), kb.gep(factors, r, kb.f32));
    });
  });
  auto forBlocks = [&](function_ref<void(Value, Value)> body) {
    kb.loop(firstBlock, endBlock, kb.c(1), [&](Value number) {
      scoreOffset = kb.mul(kb.sub(number, firstBlock), kPage * 4);
      forHeads([&](Value slot) { body(slot, number); });
      scoreOffset = {};
    });
  };
  forBlocks([&](Value slot, Value number) {
    visit(
        slot, number, endBlock,
        [&](const Visit &at) {
          emission.rowTiles(rowCount, tileRows, [&](Value r, int64_t count) {
            scoreTile(r, count, at.keys, at.panels, at.next);
          });
          auto allRows = [&](bool isPartial) {
            forRows([&](Value r) {
              Value top = loadVector(topsOf(r));
              for (auto [v, score] : llvm::enumerate(scoresOf(r, number, isPartial))) {
                kb.store(score, kb.field(scoreRow(r), v * 64));
                top = kb.fmax(score, top);
              }
              kb.store(top, topsOf(r));
            });
            return Values();
          };
          kb.branch(
              at.partial, TypeRange{}, [&] { return allRows(true); },
              [&] { return allRows(false); });
        },
        [&] {
          forRows([&](Value r) {
            for (int64_t v = 0; v < kPanels; ++v)
              kb.store(splat(kDropped), kb.field(scoreRow(r), v * 64));
          });
        });
  });
  forHeads([&](Value) {
    forRows([&](Value r) {
      Value max =
          kb.reduceTree(loadVector(topsOf(r)), [&](Value a, Value x) { return kb.fmax(a, x); });
      kb.store(max, kb.gep(maximaBase, r, kb.f32));
      kb.store(max, recordOf(r));
    });
  });
  forBlocks([&](Value slot, Value number) {
    visit(slot, number, endBlock, [&](const Visit &at) {
      forRows([&](Value r) {
        weights(r, kb.loadScratch(kb.f32, kb.gep(maximaBase, r, kb.f32)), f32(1), at.keys);
      });
    });
  });
  forBlocks([&](Value slot, Value number) {
    visit(slot, number, endBlock, [&](const Visit &at) { values(at); });
  });
  forHeads([&](Value) { forRows([&](Value r) { fold(r, recordOf(r)); }); });
}
