//===- Numbers.h - how the reference interpreter holds and rounds numbers ---------*- C++ -*-===//
//
// Every floating-point number is held as a double, whatever its type in the IR; every integer as an
// int64_t. What a type means is only how a result is rounded:
//
//  - Precision::F64: floating-point results are not rounded at all. Casts between floating-point
//    types do nothing. This is the mathematics of the graph, to about 1e-15.
//  - Precision::F32: a result is rounded to its type, to nearest even: f16, bf16 and f32 results to
//    theirs, f64 results not at all. Sums, differences, products, quotients and square roots of f32
//    that are computed in double and rounded once are exactly those of f32 arithmetic (double has
//    more than 2 * 24 + 2 bits), and functions such as exp are at least as good as any f32 library.
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_REFERENCE_NUMBERS_H
#define INGOT_REFERENCE_NUMBERS_H

#include "mlir/IR/BuiltinTypes.h"
#include <optional>

namespace ingot::reference {

enum class Precision { F64, F32 };

/// A floating-point number or an integer; the type of the value that holds it says which. Integers
/// of fewer than 64 bits are sign-extended, but for i1, which is 0 or 1.
union Scalar {
  double f;
  int64_t i;
};

inline Scalar makeFloat(double value) {
  Scalar scalar;
  scalar.f = value;
  return scalar;
}
inline Scalar makeInt(int64_t value) {
  Scalar scalar;
  scalar.i = value;
  return scalar;
}

enum class FloatFormat : uint8_t { F64, F32, F16, BF16 };

/// What an element type means at run time.
struct NumberKind {
  bool isFloat = false;
  FloatFormat format = FloatFormat::F64;
  /// Bits of an integer, 64 for index; bits of the float as it is stored in files.
  uint8_t width = 64;

  /// Bytes of an element in a file; i1 takes one.
  int64_t storageBytes() const { return width <= 8 ? 1 : width / 8; }
};

/// Nothing for types that the interpreter does not compute with (complex, f8, i128, vectors, ...).
std::optional<NumberKind> getNumberKind(mlir::Type type);

/// `value` rounded to nearest even in `format`; overflow gives infinity.
double roundToFormat(double value, FloatFormat format);

/// `value` as it is held in `precision` by a value of type `kind`.
inline double roundFor(Precision precision, NumberKind kind, double value) {
  return precision == Precision::F64 ? value : roundToFormat(value, kind.format);
}

/// The low `width` bits of `value` as a held integer.
int64_t wrapInteger(int64_t value, unsigned width);
/// A held integer as a signed and as an unsigned number (they differ for i1 from what is held).
int64_t signedValue(int64_t held, unsigned width);
uint64_t unsignedValue(int64_t held, unsigned width);

/// The bits of a float as a little-endian file holds it, and back. `value` is rounded first.
uint64_t encodeFloat(double value, FloatFormat format);
double decodeFloat(uint64_t bits, FloatFormat format);

} // namespace ingot::reference

#endif // INGOT_REFERENCE_NUMBERS_H
