//===- Evaluator.h - the value of a tensor at a point -----------------------------*- C++ -*-===//
//
// The one mechanism for light operations, prologues and epilogues. A kernel's body is a graph of
// tensor operations; nothing in it is ever stored but the results. The evaluator is asked for a
// value at a *point* and emits code that computes it there, going back through the operations that
// define it:
//
//   %1 = linalg.broadcast ins(%bias : tensor<?xf32>) ... dimensions = [0]
//   %2 = arith.addf %x, %1
//   value(%2, [row, j..j+15])
//     = value(%x, [row, j..j+15]) + value(%bias, [j..j+15])      two loads and an addition
//
// A point gives one coordinate per dimension. A coordinate is uniform (one index) or varies with
// the 16 lanes: base + lane * step, or any vector of indices. At most the lanes that the point's
// mask names are computed and read. Layout operations (slices, reshapes, transposes,
// concatenations) only change coordinates; known bounds and alignment of a coordinate decide
// whether a load is one vector, a broadcast or a gather.
//
// A value is *uniform* where all its coordinates are and stays a scalar; scalars are broadcast
// where they meet vectors. Sums over a row (norms, softmax, reductions of the last dimension)
// depend on the row only, so the builder's scopes put them in front of the loop over lanes, once.
//
// Bits: a value has the same bits whether it is computed in a full vector, a masked one or alone:
// lanes never mix, and row sums are 16 partial sums by index mod 16 and a fixed tree.
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_LIB_CODEGEN_CPU_EVALUATOR_H
#define INGOT_LIB_CODEGEN_CPU_EVALUATOR_H

#include "KernelBuilder.h"
#include "ingot/Dialect/Plan/IR/PlanDialect.h"
#include "ingot/Dialect/Plan/Utils/KernelInterface.h"
#include "ingot/Dialect/Plan/Utils/PanelLayout.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include <functional>
#include <map>

namespace ingot::codegen {

/// An index along one dimension for all lanes.
struct Coord {
  mlir::Value base;         ///< i64: index of lane 0; null where `indices` is set
  mlir::Value indices;      ///< vector<16xi64>
  int64_t step = 0;         ///< lane l has index base + l * step
  int64_t low = 0;          ///< all active lanes are at least this ...
  int64_t high = INT64_MAX; ///< ... and below this
  int64_t align = 1;        ///< `base` is a multiple of it
  bool isUniform() const { return !indices && step == 0; }
};

struct Point {
  llvm::SmallVector<Coord, 4> coords;
  mlir::Value mask;     ///< vector<16xi1>, null: all lanes
  bool guarded = false; ///< uniform coordinates may lie outside where no lane is active
};

/// A scalar, or a vector with one value per lane.
struct LaneValue {
  mlir::Value value;
  bool isUniform() const { return !KernelBuilder::isVector(value); }
};

/// A size that may be known: `known` is -1 where it is not.
struct Size {
  mlir::Value value;
  int64_t known;
};

class Evaluator {
public:
  using Value = mlir::Value;
  using Type = mlir::Type;

  Evaluator(KernelBuilder &kb, plan::KernelOp kernel, const plan::KernelInterface &interface);

  //===--- the kernel's operands --------------------------------------------------------------===//
  Value operandBuffer(unsigned operand);
  Value resultBuffer(unsigned result);
  /// The value of a float, integer or index operand, or of a cache operand the offset of its layer.
  Value scalarOperand(unsigned operand);
  Size dim(Value tensor, unsigned dim);
  Size resultDim(unsigned result, unsigned dim);
  /// A field of ingot_kernel_batch.
  Value batchField(int64_t offset, Type type);

  //===--- coordinates ------------------------------------------------------------------------===//
  Coord uniform(Value index, int64_t low = 0, int64_t high = INT64_MAX, int64_t align = 1);
  Coord fixed(int64_t index);
  /// Lanes base .. base + 15 within [low, high).
  Coord lanes(Value base, int64_t low, int64_t high, int64_t align);
  Coord addConstant(Coord a, int64_t by);
  Coord add(const Coord &a, const Coord &x);
  Coord scale(const Coord &a, const Size &by);
  std::pair<Coord, Coord> divRem(const Coord &a, const Size &by);
  /// Row-major: the coordinates of flat index `a`.
  llvm::SmallVector<Coord, 4> delinearize(Coord a, llvm::ArrayRef<Size> sizes);
  Coord linearize(llvm::ArrayRef<Coord> coords, llvm::ArrayRef<Size> sizes);
  /// One index per lane.
  Value indices(const Coord &a);
  /// The sizes of a tensor.
  llvm::SmallVector<Size, 4> sizes(Value tensor);

  //===--- values -----------------------------------------------------------------------------===//
  /// The value of a ranked tensor at a point.
  LaneValue at(Value tensor, const Point &point);
  /// A scalar of the kernel's body.
  Value scalar(Value value);
  /// Runs a region's block on lane values; `env` holds its arguments. Returns what it yields.
  /// With `until`, stops there and returns that operation's operands.
  llvm::SmallVector<LaneValue> run(mlir::Block &block, llvm::DenseMap<Value, LaneValue> &env,
                                   Value mask, mlir::Operation *until = nullptr);
  /// Replaces the evaluation of `tensor`.
  void define(Value tensor, std::function<LaneValue(const Point &)> how) {
    overrides[tensor] = std::move(how);
  }

  //===--- loops ------------------------------------------------------------------------------===//
  /// Runs `body` for lanes 0 .. size - 1: whole vectors, then a masked rest, split at
  /// `breaks` (ascending, within the size).
  void forLanes(const Size &size, llvm::ArrayRef<int64_t> breaks,
                llvm::function_ref<void(Coord, Value)> body);
  /// Where code for lanes of dimension `dim` of `tensor` changes: bounds of slices and
  /// concatenations.
  void collectBreaks(Value tensor, unsigned dim, llvm::SmallVectorImpl<int64_t> &breaks);

  /// Loads elements of `element` at an offset in elements.
  LaneValue load(Value base, Type element, const Coord &offset, const Point &point);
  /// Stores lane `l` at base + offset + l elements, or a scalar at base + offset.
  void store(LaneValue value, Value base, Type element, Value offset, Value mask);
  Value broadcast(LaneValue value) { return kb.broadcast(value.value); }

  KernelBuilder &kb;
  plan::KernelOp kernel;

private:
  LaneValue compute(Value tensor, const Point &point);
  LaneValue unsupported(Value tensor, const llvm::Twine &why, const Point &point);
  LaneValue dummy(Type element);
  LaneValue loadOperand(Value buffer, Value tensor, const Point &point);
  /// The value where `indices`, which may be anything, take the place of the first coordinates; a
  /// null one leaves its coordinate.
  /// Outside of the tensor nothing is read; the value is NaN, or 0 of an integer.
  LaneValue atGiven(Value tensor, const Point &point, llvm::ArrayRef<Value> indices);
  /// The element at `indices`, the values of the operation's, of a point without coordinates.
  LaneValue extract(mlir::tensor::ExtractOp op, Point point, llvm::ArrayRef<Value> indices);
  LaneValue packed(Value buffer, mlir::RankedTensorType type, const Point &point);
  LaneValue packedBlock(Value buffer, const plan::PanelLayout &layout, const Coord &panel,
                        const Coord &lanes, const Coord &inLine, const Point &point);
  LaneValue constantAt(mlir::arith::ConstantOp op, const Point &point);
  LaneValue apply(mlir::Operation *op, unsigned result, llvm::ArrayRef<LaneValue> operands);
  Value applyFloat(mlir::Operation *op, unsigned result, llvm::ArrayRef<Value> operands, Type type);
  LaneValue elementwise(mlir::Operation *op, unsigned result, const Point &point);
  LaneValue linalgAt(mlir::linalg::LinalgOp op, unsigned result, const Point &point);
  LaneValue linalgReduce(mlir::linalg::LinalgOp op, unsigned result, const Point &point,
                         llvm::SmallVector<Coord, 4> loops, llvm::ArrayRef<bool> known);
  LaneValue linalgOperand(mlir::linalg::LinalgOp op, mlir::OpOperand &operand,
                          llvm::ArrayRef<Coord> loops, const Point &point);
  void bindBody(mlir::linalg::LinalgOp op, llvm::ArrayRef<Coord> loops, const Point &point,
                llvm::DenseMap<Value, LaneValue> &env);
  /// One of two values, by a condition of all lanes (a branch), of each lane (both, masked), or
  /// (null) the first.
  LaneValue either(Value condition, const Point &point, Type element,
                   llvm::function_ref<LaneValue(const Point &)> then,
                   llvm::function_ref<LaneValue(const Point &)> otherwise);
  LaneValue concat(mlir::tensor::ConcatOp op, const Point &point);
  LaneValue pad(mlir::tensor::PadOp op, const Point &point);
  LaneValue insertSlice(mlir::tensor::InsertSliceOp op, const Point &point);
  LaneValue rotary(tfm::RotaryOp op, const Point &point);
  LaneValue softmax(tfm::SoftmaxOp op, const Point &point);
  LaneValue combine(tfm::CombineOp op, const Point &point);
  LaneValue expertLinear(tfm::ExpertLinearOp op, const Point &point);
  LaneValue rmsNorm(tfm::RMSNormOp op, const Point &point);
  LaneValue layerNorm(tfm::LayerNormOp op, const Point &point);
  LaneValue contraction(Type element, const Size &inner, llvm::function_ref<LaneValue(Coord)> left,
                        llvm::function_ref<LaneValue(Coord)> right, const Point &point);
  /// A value that depends on `point` alone, computed in the outermost scope that has it; lane by
  /// lane where the point varies.
  LaneValue rowValue(const void *key, Type element, const Point &point,
                     llvm::function_ref<Value(const Point &)> compute);
  /// Folds the elements [0, size) of a row: 16 partial results by index mod 16, then the tree.
  /// `neutral` stands in for elements past the end.
  Value foldRow(const Size &size, Type element, double identity, double neutral,
                llvm::function_ref<LaneValue(Coord, Value)> elementAt,
                llvm::function_ref<Value(Value, Value)> accumulate,
                llvm::function_ref<Value(Value, Value)> combine);
  LaneValue wideAt(Value tensor, const Point &point, Type element);

  Coord vectorCoord(Value indices, int64_t low, int64_t high);
  Value inside(const Coord &a, const Size &low, const Size &high);
  void restrict(Coord &coord, const Size &high, Value &all, Value &each);
  unsigned depthOf(const Point &point);
  std::vector<const void *> keyOf(const void *what, const Point &point);

  const plan::KernelInterface &interface;
  std::map<std::vector<const void *>, LaneValue> memo;
  llvm::DenseMap<mlir::Value, mlir::Value> scalars;
  llvm::DenseMap<Value, std::function<LaneValue(const Point &)>> overrides;
};

} // namespace ingot::codegen

#endif // INGOT_LIB_CODEGEN_CPU_EVALUATOR_H
