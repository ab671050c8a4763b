//===- ElementExpr.h - one element of a tensor as an expression -------------------*- C++ -*-===//
//
// Frameworks write the same mathematics with ever new sequences of reshapes, transposes, broadcasts
// and element-wise operations. Recognising sequences is hopeless; recognising what an *element* is
// computed from is not: the element of a tensor at the indices (i, j, ...) is an expression over
// elements of other tensors, and operations that only move data disappear into the indices.
//
// An index is a number in mixed radix whose digits are parts of loop variables, most significant
// first. Splitting a dimension cuts the number, merging dimensions concatenates numbers:
//
//     %1 = tensor.collapse_shape %0 [[0, 1], [2]] : tensor<4x8x64xf32> into tensor<32x64xf32>
//
// The element of %1 at (x, y) is the element of %0 at (x / 8 mod 4, x mod 8, y): one variable of
// size 32 becomes two digits of it. If x came from merging (a, b) with sizes (4, 8), the cut falls
// between the digits and the element is the one at (a, b, y), with no division left. That works for
// dynamic sizes too, where affine expressions would need symbols.
//
// A view that cannot be followed is never an error: the tensor after it is loaded from instead. The
// same goes for expressions that grow too large, so that walking one is always cheap.
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_LIB_TRANSFORMS_ELEMENTEXPR_H
#define INGOT_LIB_TRANSFORMS_ELEMENTEXPR_H

#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinTypes.h"
#include "llvm/ADT/DenseMap.h"
#include <deque>
#include <optional>

namespace ingot {

/// `(variable / stride) mod size`. A dynamic size means that nothing is cut off above. A constant
/// digit has the value `stride`, of `size` that it could have.
struct Digit {
  static constexpr unsigned kConstant = 63;
  unsigned var;
  int64_t stride;
  int64_t size;
  bool isConstant() const { return var == kConstant; }
  bool operator==(const Digit &other) const {
    return var == other.var && stride == other.stride && size == other.size;
  }
  bool operator!=(const Digit &other) const { return !(*this == other); }
};

/// The number with these digits, plus an offset. Digits of size 1 are left out, the highest digit
/// is not constant.
struct Index {
  llvm::SmallVector<Digit, 2> digits;
  int64_t offset = 0;
  bool isConstant() const { return digits.empty(); }
  /// The variable itself and nothing else.
  bool isVar(unsigned var) const {
    return digits.size() == 1 && offset == 0 && digits[0].var == var && digits[0].stride == 1;
  }
  bool operator==(const Index &other) const {
    return offset == other.offset && digits == other.digits;
  }
  bool operator!=(const Index &other) const { return !(*this == other); }
};
using Indices = llvm::SmallVector<Index, 4>;

/// The index that runs over all of a variable.
Index wholeIndex(unsigned var, int64_t size);

/// The variables that the indices contain, as a bit set.
uint64_t varsOf(llvm::ArrayRef<Index> indices);

/// One element of a tensor, or a scalar.
struct Node {
  enum Kind {
    Leaf,   ///< an element of the result of `op`, where the tracer was told to stop
    Const,  ///< `number`
    Number, ///< the value of `indices[0]` itself
    Load,   ///< an element of `origin`
    Gather, ///< the element of `origin` at indices that are computed: the values of `operands`
    Scalar, ///< `origin` is a scalar
    Op      ///< `op` applied to `operands`
  };
  Kind kind;
  mlir::Type type;
  /// The tensor that this is an element of and where; null inside a body of linalg.generic.
  mlir::Value origin = {};
  Indices indices = {};
  double number = 0;
  mlir::Operation *op = nullptr;
  llvm::SmallVector<Node *, 3> operands = {};
  bool hasLeaf = false;
  uint64_t vars = 0;
  /// Nodes below, counted as often as they are used: what a walk of the expression costs.
  int64_t size = 1;

  bool isConst(double value) const { return kind == Const && number == value; }
};

/// Builds expressions. They live as long as the tracer.
class ElementTracer {
public:
  using StopFn = std::function<bool(mlir::Operation *)>;

  /// `isLeaf`: operations at which an expression ends with a Leaf. `throughSlices`: whether
  /// tensor.extract_slice is followed.
  ElementTracer(StopFn isLeaf, bool throughSlices)
      : isLeaf(std::move(isLeaf)), throughSlices(throughSlices) {}

  Node *trace(mlir::Value value, llvm::ArrayRef<Index> indices);

  Node *makeConst(mlir::Type type, double number);

private:
  Node *make(Node node);
  Node *traceTensor(mlir::Value value, llvm::ArrayRef<Index> indices);
  Node *traceScalar(mlir::Value value);
  Node *traceBody(mlir::Value value, llvm::ArrayRef<Index> loops,
                  llvm::function_ref<Node *(mlir::BlockArgument)> argument);
  Node *makeGather(mlir::Value table, llvm::ArrayRef<Node *> operands);
  /// Null where the expression would be too large.
  Node *makeOp(mlir::Operation *op, llvm::ArrayRef<Node *> operands, mlir::Value origin,
               llvm::ArrayRef<Index> indices);

  StopFn isLeaf;
  bool throughSlices;
  std::deque<Node> nodes;
  llvm::DenseMap<mlir::Value, llvm::SmallVector<std::pair<Indices, Node *>, 1>> memo;
};

/// The indices of the operand of a view operation (reshape, transpose, broadcast, cast, slice,
/// concatenation) at which the result's element lies, or nothing where `op` is not such an
/// operation or cannot be followed.
std::optional<std::pair<mlir::Value, Indices>>
followView(mlir::Operation *op, llvm::ArrayRef<Index> indices, bool throughSlices);

/// The value of the expression for given values of the variables, where it is made of constants,
/// constant tables and index arithmetic only.
std::optional<double> evaluate(const Node *node, llvm::ArrayRef<int64_t> vars);
/// The value of an element-wise operation on numbers; booleans are 0 and 1.
std::optional<double> evaluateOp(mlir::Operation *op, llvm::ArrayRef<double> operands);
/// The value of an index.
int64_t evaluate(const Index &index, llvm::ArrayRef<int64_t> vars);

/// Whether two expressions are the same, where `rename.first` is read as `rename.second`.
bool sameExpr(const Node *a, const Node *b,
              std::optional<std::pair<unsigned, unsigned>> rename = std::nullopt);

/// The number that every element of a tensor is, where there is one.
std::optional<double> splatOf(mlir::Value value);

/// Whether `op` widens or narrows floats.
bool isFloatCast(mlir::Operation *op);

} // namespace ingot

#endif // INGOT_LIB_TRANSFORMS_ELEMENTEXPR_H
