//===- EvaluatorSupport.h - points and types, for the files of the evaluator ------*- C++ -*-===//
#ifndef INGOT_LIB_CODEGEN_CPU_EVALUATORSUPPORT_H
#define INGOT_LIB_CODEGEN_CPU_EVALUATORSUPPORT_H

#include "Evaluator.h"

namespace ingot::codegen {

inline mlir::Type elementOf(mlir::Value value) {
  return mlir::getElementTypeOrSelf(value.getType());
}
inline bool isNarrowFloat(mlir::Type type) { return type.isF16() || type.isBF16(); }
/// The type in which float arithmetic on `element` is done: narrow types round after each
/// operation.
inline mlir::Type computeType(KernelBuilder &kb, mlir::Type element) {
  return isNarrowFloat(element) ? kb.f32 : element;
}
inline int64_t rankOf(mlir::Value tensor) {
  return mlir::cast<mlir::RankedTensorType>(tensor.getType()).getRank();
}

inline Point withCoords(const Point &point, llvm::ArrayRef<Coord> coords) {
  return {llvm::SmallVector<Coord, 4>(coords), point.mask, point.guarded};
}
inline bool isUniform(const Point &point) {
  return llvm::all_of(point.coords, [](const Coord &c) { return c.isUniform(); });
}
inline Point replaced(const Point &point, unsigned dim, Coord coord) {
  Point result = point;
  result.coords[dim] = coord;
  return result;
}

} // namespace ingot::codegen

#endif // INGOT_LIB_CODEGEN_CPU_EVALUATORSUPPORT_H
