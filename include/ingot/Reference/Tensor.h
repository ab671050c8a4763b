//===- Tensor.h - tensors of the reference interpreter ----------------------------*- C++ -*-===//
#ifndef INGOT_REFERENCE_TENSOR_H
#define INGOT_REFERENCE_TENSOR_H

#include "ingot/Reference/Numbers.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/Support/Error.h"
#include <memory>
#include <vector>

namespace ingot::reference {

/// Row-major array of numbers of one type; a scalar is a tensor of rank 0. Copies share their
/// elements, which are copied when one of the sharers is written to.
///
/// The elements are either held (`Scalar`s, see Numbers.h) or a view of little-endian bytes that
/// somebody else owns: weights stay as they are in their file and are widened as they are read.
/// Weights in blocks (`!tfm.block`) are decoded when a view is made and held as f32.
class Tensor {
public:
  /// Rank 0, f64, zero.
  Tensor();

  /// A tensor of zeros. `elementType` must have a NumberKind, `shape` no negative dimension and at
  /// most `maxElements()` elements; `create` says what is wrong otherwise.
  static llvm::Expected<Tensor> create(llvm::ArrayRef<int64_t> shape, mlir::Type elementType);
  /// A view of `bytes`, which must outlive the tensor and have exactly the size of the shape.
  static llvm::Expected<Tensor> view(llvm::ArrayRef<int64_t> shape, mlir::Type elementType,
                                     llvm::ArrayRef<uint8_t> bytes);
  /// As `view`, of bytes that the tensor keeps.
  static llvm::Expected<Tensor> ofBytes(llvm::ArrayRef<int64_t> shape, mlir::Type elementType,
                                        std::vector<uint8_t> bytes);
  /// A scalar. `elementType` must have a NumberKind.
  static Tensor scalar(mlir::Type elementType, Scalar value);

  /// For tests and callers that know their sizes: `values` must fill the shape.
  static Tensor ofFloats(llvm::ArrayRef<int64_t> shape, mlir::Type elementType,
                         llvm::ArrayRef<double> values);
  static Tensor ofInts(llvm::ArrayRef<int64_t> shape, mlir::Type elementType,
                       llvm::ArrayRef<int64_t> values);

  /// Elements that one tensor may have; more is an error and not a try to allocate.
  static int64_t maxElements() { return int64_t(1) << 30; }

  llvm::ArrayRef<int64_t> getShape() const { return shape; }
  int64_t getRank() const { return shape.size(); }
  int64_t getDim(int64_t d) const { return shape[d]; }
  mlir::Type getElementType() const { return elementType; }
  NumberKind getKind() const { return kind; }
  bool isFloat() const { return kind.isFloat; }
  int64_t getNumElements() const { return numElements; }

  /// Element number `index` in row-major order.
  Scalar at(int64_t index) const { return bytes ? decode(index) : (*held)[index]; }
  double floatAt(int64_t index) const { return at(index).f; }
  int64_t intAt(int64_t index) const { return at(index).i; }

  /// Elements [begin, begin + out.size()) widened, or rounded, to T (double or float).
  template <typename T> void read(int64_t begin, llvm::MutableArrayRef<T> out) const;

  /// All elements; those of a view are widened once, into this object.
  llvm::ArrayRef<Scalar> elements() const;
  /// All elements, to be written to. No other tensor sees the change.
  llvm::MutableArrayRef<Scalar> mutableElements();

  /// The same elements in another shape of as many elements.
  Tensor reshaped(llvm::ArrayRef<int64_t> newShape) const;
  /// The same elements under another type of the same kind of number.
  Tensor retyped(mlir::Type newElementType) const;

  /// The rows of several views below each other, their bytes copied as they are; nothing unless all
  /// are views of one type. Weights that a pass joins stay as small as they are in their files.
  static std::optional<Tensor> stackViews(llvm::ArrayRef<Tensor> tensors);

  /// `2x3xf32`.
  std::string describe() const;

private:
  Scalar decode(int64_t index) const;

  llvm::SmallVector<int64_t, 4> shape;
  mlir::Type elementType;
  NumberKind kind;
  int64_t numElements = 1;
  mutable std::shared_ptr<std::vector<Scalar>> held;
  mutable const uint8_t *bytes = nullptr;
  /// Keeps `bytes` alive where they are not the caller's.
  std::shared_ptr<std::vector<uint8_t>> owned;
};

/// Strides in elements of a row-major tensor of `shape`.
llvm::SmallVector<int64_t, 4> stridesOf(llvm::ArrayRef<int64_t> shape);

/// Steps `index` to the next one in row-major order; false after the last.
bool nextIndex(llvm::MutableArrayRef<int64_t> index, llvm::ArrayRef<int64_t> shape);

/// The product, or nothing where it overflows or a factor is negative.
std::optional<int64_t> checkedProduct(llvm::ArrayRef<int64_t> shape);

} // namespace ingot::reference

#endif // INGOT_REFERENCE_TENSOR_H
