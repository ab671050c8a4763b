//===- Math.h - elementary functions as polynomials -------------------------------*- C++ -*-===//
//
// Generated kernels call nothing, so every function is written out here, for a scalar or a vector
// of 16 lanes, f32 or f64, with the same operations in the same order for both shapes: a value has
// the same bits wherever it is computed.
//
// Errors (relative, of the last place of f32, measured by test/Unit/CodeGen/MathTest.cpp): exp2,
// exp, expm1 1.5; tanh, erf, log 2; f64 functions are good to 1e-14 or better, sin and cos to 1e-12
// absolute for |x| <= 1e6.
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_LIB_CODEGEN_CPU_MATH_H
#define INGOT_LIB_CODEGEN_CPU_MATH_H

#include "KernelBuilder.h"

namespace ingot::codegen {

/// 2^x for x <= 0, exactly 1 at 0 and, where denormals are taken as zero, exactly 0 below -126; a
/// NaN stays one. f32; the exponential of the attention kernels, good to 3e-6 (degree 4) or 2e-8
/// (6).
mlir::Value emitExp2NonPositive(KernelBuilder &kb, mlir::Value x, int degree = 6);

mlir::Value emitExp(KernelBuilder &kb, mlir::Value x);

/// The operation of the math dialect `op` on f32 or f64 values in its operands' order, or null
/// where it has no expansion.
mlir::Value emitMath(KernelBuilder &kb, mlir::Operation *op, mlir::ValueRange operands);

} // namespace ingot::codegen

#endif // INGOT_LIB_CODEGEN_CPU_MATH_H
