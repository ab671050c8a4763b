//===- Products.h - rows of activations times a panel of a packed weight ----------*- C++ -*-===//
//
// The inner part of every projection. A panel holds up to 64 output columns, which are lanes; a
// row's sum for a lane runs over k ascending, one operation per step:
//
//   wide      sum = fma(x[k], w[k], sum) in f32, whatever types x and w are stored in
//   pairs     sum = dot product of (x[k], x[k + 1]) with (w[k], w[k + 1]), bf16 into f32
//   bytes     rows and weights in blocks: the products of a group's small integers are summed
//             exactly, then sum = fma(scales, integer, sum), as tfm.linear says (ByteProducts.cpp)
//
// The number of rows decides only how the panel is read:
//
//   one row    all lanes at once, straight through the panel: one stream from memory. Where a
//              processor reads several streams faster, as many panels are read by turns
//   some rows  k is cut into blocks; the tiles of a block take the panel's block from the caches
//   many rows  a block is first widened into scratch memory, tile by tile of lanes, so that tiles
//              read nothing but f32 (for bytes: bytes and f32 scales) in order
//   sub-panel  one vector of each part, in blocks of k, straight from the panel
//
// Tiles that calculate longer than they read ask for the next block meanwhile. One row of bytes
// that are multiplied in pairs asks for what is a little further on: its loop is too long for the
// processor to look ahead.
//
// A sum that is put aside between two blocks is stored in f32, as it is in a register: rows have
// the same bits in any company.
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_LIB_CODEGEN_CPU_PRODUCTS_H
#define INGOT_LIB_CODEGEN_CPU_PRODUCTS_H

#include "BlockReader.h"
#include "Emitters.h"
#include "ingot/Dialect/Plan/Utils/PanelLayout.h"

namespace ingot::codegen {

class PanelProducts {
public:
  /// Most rows at once.
  static constexpr int64_t kMaxRows = 256;

  /// Rows of type `x` times `weight`, the type of a packed matrix. Reserves scratch memory.
  PanelProducts(KernelEmission &emission, const plan::PanelLayout &layout, mlir::Type weight,
                mlir::Type x);

  /// What rows must be stored as: f32, blocks, or bf16 where pairs of it are multiplied.
  mlir::Type rowType() const { return row; }
  /// Elements of a row as it must be stored, with zeros from K on.
  int64_t rowElements() const;
  int64_t rowBytes() const;

  /// Panels that one row reads by turns.
  int64_t streams() const { return asksInOneRow() ? 1 : emission.target.streams(); }

  /// Whole panels. More than one only for one row.
  struct Panels {
    mlir::Value first;  ///< address
    mlir::Value stride; ///< bytes from one to the next
    mlir::Value count;
  };
  /// sums[r][lane] = sum over k of x[r][k] * panel[k][lane] for `rowCount` rows, at most kMaxRows.
  /// Rows of x are rowBytes() apart, rows of sums the lanes of a full panel. Of several panels,
  /// each has a row of sums.
  void emit(mlir::Value x, mlir::Value rowCount, const Panels &panels, mlir::Value sums);
  /// The same for vector `vector` of each part of a panel of `lanes` lanes, in all: those of part p
  /// are 16 p .. 16 p + 15 of a row of sums.
  void emitSubPanel(mlir::Value x, mlir::Value rowCount, mlir::Value panel, int64_t lanes,
                    mlir::Value vector, mlir::Value sums);

private:
  using Value = mlir::Value;
  using Values = KernelBuilder::Values;

  enum class Arithmetic { Wide, Pairs, Bytes };
  /// What a tile asks memory for: its share of what lies further on in the panel.
  struct Ahead {
    Value first; ///< for the panel's first step; null: nothing
    Value share;
    int64_t shares = 1;
  };
  /// Where the weights of a tile come from.
  struct Source {
    Value panel;       ///< or the slab's first line
    int64_t lanes;     ///< of a line
    Value firstVector; ///< of the tile
    bool slab;         ///< widened, from the first step of the block on
    Ahead ahead{};
  };
  /// Steps of k: whole lines, or (`half`) the one element that the last line of an odd K holds.
  struct Steps {
    Value begin, end;
    bool half = false;
  };
  void eachPanel(const Panels &panels, Value sums, llvm::function_ref<void(Value, Value)> body);
  int64_t wholeSteps() const { return rowElements() / granule() * granule(); }
  void forBlocks(llvm::function_ref<void(Steps)> body);
  void clear(Value rowCount, int64_t lanes, Value sums);
  /// Reads a group's numbers out of a panel. `inPlace`: where they are used, not before.
  BlockReader reader(const Source &source, Value number, int64_t vector, bool inPlace);
  void oneRow(Value x, const Panels &panels, Value sums);
  void block(Value x, Value rowCount, Value panel, Value sums, Steps steps);
  static int64_t slabOffset(int64_t first);
  void widen(Value panel, Steps steps);
  void tiles(Value x, Value rowCount, Value panel, bool slab, Value sums, Steps steps);
  void tilesOfRows(Value x, Value row, int64_t rows, Value panel, bool slab, bool asks, Value sums,
                   Steps steps);
  int64_t bytesOf(int64_t steps) const;
  Ahead blockAhead(Value panel, Value share, int64_t shares);
  void tile(Value x, int64_t rows, int64_t vectors, const Source &source, Value sums, Steps steps);
  /// What a turn of the loop over k takes from a source: a group of 32 numbers of a block, a pair,
  /// or one element. It is read in pieces of some elements each, as they are used.
  struct Unit {
    int64_t steps, pieces;
    int64_t perPiece() const { return steps / pieces; }
  };
  Unit unitOf(const Source &source) const;
  /// Lines of 64 bytes that are asked for while a turn of a tile's loop works, one behind each load
  /// of weights: all at once would keep the loads waiting.
  void beginAsking(const Ahead &ahead, Value step, int64_t steps);
  void askNext();
  void endAsking();
  void loadPiece(const Source &source, Value unit, int64_t ahead, int64_t piece, int64_t vector,
                 llvm::SmallVectorImpl<Value> &elements);
  void step(Values &sums, Value x, Value at, int64_t ahead, int64_t rows, int64_t first,
            llvm::ArrayRef<Value> weights, bool half);

  // Bytes.
  /// How the processor multiplies bytes.
  enum class ByteDot { Dot512, Dot256, Pairs };
  /// A group of 32 numbers of one vector of lanes, of a panel or a slab.
  struct ByteGroup;
  BlockReader::Scale groupScale(const ByteGroup &group, int64_t half);
  Value groupQuad(const ByteGroup &group, int64_t s);
  void widenBytes(Value panel, Steps steps);
  void byteTile(Value x, int64_t rows, int64_t vectors, const Source &source, Value sums,
                Steps steps);
  void multiplyGroup(Value x, int64_t rows, const ByteGroup &group, int64_t vectors, int64_t half,
                     Value sums);
  /// Where bytes are multiplied in pairs, one row has 500 instructions for one or two kilobytes:
  /// the processor does not look far enough ahead.
  bool asksInOneRow() const { return arithmetic == Arithmetic::Bytes && byteDot == ByteDot::Pairs; }
  /// Whether weights meet rows as signed numbers: those of 8 bits, where bytes are multiplied in
  /// pairs.
  bool isSigned() const { return byteDot == ByteDot::Pairs && layout.block->bits == 8; }
  int64_t halves() const { return layout.block->scalesPerGroup(); }
  int64_t slabGroupBytes() const {
    return 64 * (8 + halves() + (layout.block->hasMinimum() ? 1 : 0));
  }
  /// Steps that cannot be taken apart.
  int64_t granule() const { return layout.block ? 32 : layout.pairs ? 2 : 1; }

  KernelEmission &emission;
  KernelBuilder &kb;
  const plan::PanelLayout &layout;
  mlir::Type weight, row;
  Arithmetic arithmetic = Arithmetic::Wide;
  ByteDot byteDot = ByteDot::Pairs;
  int64_t tileRows, tileVectors;
  Value slab{};
  struct {
    Value first;
    int64_t lines = 0, asked = 0;
  } asking;
  /// Steps of k in a block: a block of a tile's lanes, widened, stays in the first cache.
  static constexpr int64_t kBlock = 256;
  /// One row that asks does so this far ahead: beyond what it waits for, within the first cache.
  static constexpr int64_t kAheadBytes = 2560;
  /// Of each of several panels so many bytes are read in a turn, about.
  static constexpr int64_t kTurnBytes = 2560;
};

} // namespace ingot::codegen

#endif // INGOT_LIB_CODEGEN_CPU_PRODUCTS_H
