//===- Attention.h - the parts of the attention kernel ----------------------------*- C++ -*-===//
//
// One structure in four files: the work items and blocks (Attention.cpp), the two products
// (AttentionProducts.cpp), what lies between them (AttentionSoftmax.cpp), and the forms that hold
// whole rows of scores (AttentionForms.cpp).
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_LIB_CODEGEN_CPU_ATTENTION_H
#define INGOT_LIB_CODEGEN_CPU_ATTENTION_H

#include "Emitters.h"
#include "ingot/Dialect/Plan/Utils/CacheLayout.h"

namespace ingot::codegen {

struct AttentionEmitter {
  using Value = mlir::Value;
  using Type = mlir::Type;
  using Values = KernelBuilder::Values;

  static constexpr int64_t kPage = plan::kPagePositions;
  static constexpr int64_t kSegmentBlocks = plan::kSegmentPositions / kPage;
  static constexpr int64_t kPanels = kPage / kLanes; ///< vectors of scores of a row and a block
  /// Rows that share the visits to a block: whole tiles of 4, 6 and 8 and whole vectors of 16.
  static constexpr int64_t kFlashRows = 48;
  static constexpr double kDropped = -1e30, kLog2E = 1.4426950408889634;

  /// How the operands of the products lie in registers.
  enum class Product {
    Single,     ///< f32, one dimension or key at a time
    PairsAsF32, ///< pairs of bf16, widened: the even element, then the odd one
    PairDots    ///< pairs of bf16 and instructions that multiply and add them
  };

  explicit AttentionEmitter(KernelEmission &emission) : emission(emission) {}

  KernelEmission &emission;
  KernelBuilder &kb = emission.kb;
  Evaluator &eval = emission.eval;
  tfm::AttentionOp op{};
  unsigned resultIndex = 0;
  Type resultElement{};
  plan::CacheLayout layout{};
  Type cacheElement{};
  Product product = Product::Single;
  bool rounded = false; ///< queries and weights are rounded to bf16 before their products
  int64_t heads = 0, group = 0, valueVectors = 0;
  int64_t tileRows = 0, tileVectors = 0; ///< registers
  int64_t queryStride = 0, recordBytes = 0, scoreStride = 0;
  int64_t rowLimit = kFlashRows; ///< of a pass
  int64_t keyLimit = 0;          ///< whole rows of so many scores are held; 0: those of a block

  // Scratch memory. Of each row: q [D], scores and then weights [64], the record of the current
  // segment and what the segments so far sum up to, the latter two as records: maximum, sums,
  // output. Of the rows of a head, which start at a multiple of 16: maxima, and the factors of this
  // block.
  Value q{}, scores{}, segments{}, totals{}, maxima{}, factors{}, tops{}, rowTops{};
  Value turnedValues{};                               ///< of a block, where keys hold the values
  static constexpr int64_t kSums = 64, kOutput = 128; ///< bytes from the start of a record

  // The work item.
  Value sequenceNumber{}, firstToken{}, tokens{}, firstPosition{}, keyBegin{}, keyEnd{}, pages{},
      layerOffset{};
  Value rowShift{}; ///< from a position to its packed row
  Value isWhole{};  ///< all segments, or one of a row that several items share
  Value segment{}, segmentCount{}, segmentOrdinal{}, counter{}, records{};
  // The pass: rows [firstRow, firstRow + rowCount) of heads [firstHead, firstHead + headCount).
  Value firstHead{}, headCount{}, firstRow{}, rowCount{}, rows{};
  // The head of the pass that is worked on, and the first of its rows in scratch memory.
  Value kvHead{}, rowBase{}, maximaBase{};
  Value scoreOffset{}; ///< bytes from the start of a row of scores to the current block

  /// A block that the mask does not leave empty.
  struct Visit {
    Value keys, values; ///< of the head; values of the keys are there when `values` has run
    Value panels;       ///< of keys, from the first on, beyond which nothing is kept
    Value partial;      ///< whether something is dropped
    Value next;         ///< what is read next
  };

  bool prepare();
  void items();

private:
  void loadItem(Value number);
  void pass();
  void loadQueries();
  void segmentLoop();
  void visit(Value slot, Value number, Value endBlock, llvm::function_ref<void(const Visit &)> body,
             llvm::function_ref<void()> empty = {});
  void block(Value number, const Visit &at);
  void clearRecords();
  void fold(Value row, Value record);
  void foldParts();
  void output();

  // AttentionForms.cpp
  bool prepareWholeRows();
  void wholeRows();

  // AttentionProducts.cpp
  void scoreTile(Value row, int64_t count, Value keys, Value panels, Value prefetch);
  void valueTile(Value row, int64_t count, Value values, Value panels, Value prefetch);
  void values(const Visit &at);
  void turnValues(Value keys, Value panels);
  mlir::SmallVector<Value, 2> loadLine(Value pointer);
  mlir::SmallVector<Value, 2> loadFactor(Value pointer);
  Value multiplyAdd(Value factor, Value line, Value sum);

  // AttentionSoftmax.cpp
  void softmax(Value first, Value number, Value keys, bool partial);
  Values scoresOf(Value row, Value number, bool partial);
  Value reduceRows(Value rows);
  void weights(Value row, Value max, Value factor, Value keys);
  Value exp2(Value x);

  Value at(Value base, Value row, int64_t bytes) { return kb.gep(base, kb.mul(row, bytes), kb.i8); }
  Value queryRow(Value row) { return at(q, kb.add(rowBase, row), queryStride); }
  Value scoreRow(Value row) {
    Value line = at(scores, kb.add(rowBase, row), scoreStride);
    return scoreOffset ? kb.gep(line, scoreOffset, kb.i8) : line;
  }
  Value totalOf(Value row) { return at(totals, kb.add(rowBase, row), recordBytes); }
  /// The record of the current segment: in scratch memory, or where the other items find it.
  Value recordOf(Value row);
  Value f32(double value) { return kb.constantFloat(kb.f32, value); }
  Value splat(double value) { return kb.constantFloat(kb.vec(kb.f32), value); }
  Value loadVector(Value pointer) { return kb.loadScratch(kb.vec(kb.f32), pointer); }
  Value queryOf(Value row) { return kb.div(kb.add(firstRow, row), group); }
  Value headOf(Value row) {
    return kb.add(kb.mul(kvHead, group), kb.rem(kb.add(firstRow, row), group));
  }
  void forHeads(llvm::function_ref<void(Value)> body);
  void forRows(llvm::function_ref<void(Value)> body) { kb.loop(kb.c(0), rowCount, kb.c(1), body); }
};

/// x rounded to the nearest bf16, as f32. x is no NaN but the default one.
mlir::Value roundToBF16(KernelBuilder &kb, mlir::Value x);
/// 16 f32 as bf16 bits, by the instruction for it.
mlir::Value convertToBF16(KernelBuilder &kb, mlir::Value x);

} // namespace ingot::codegen

#endif // INGOT_LIB_CODEGEN_CPU_ATTENTION_H
