//===- Math.cpp - elementary functions as polynomials -----------------------------------------===//

#include "Math.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "llvm/ADT/TypeSwitch.h"
#include <cmath>
#include <limits>

using namespace mlir;
using namespace ingot::codegen;
using arith::CmpFPredicate;
using arith::CmpIPredicate;

namespace {

constexpr double kLog2E = 1.4426950408889634074, kLn2 = 0.69314718055994530942;

/// Constants and operations in the type of one argument.
struct Float {
  Float(KernelBuilder &kb, Value x)
      : kb(kb), type(x.getType()), isDouble(getElementTypeOrSelf(type).isF64()),
        bits(kb.shapedAs(x, isDouble ? kb.i64 : kb.i32)), mantissa(isDouble ? 52 : 23),
        bias(isDouble ? 1023 : 127) {}

  Value c(double value) { return kb.constantFloat(type, value); }
  Value ci(int64_t value) { return kb.constantInt(bits, value); }
  Value infinity() { return c(std::numeric_limits<double>::infinity()); }
  Value nan() { return c(std::numeric_limits<double>::quiet_NaN()); }
  Value roundEven(Value x) { return kb.make<math::RoundEvenOp>(x); }
  Value abs(Value x) { return kb.make<math::AbsFOp>(x); }
  Value neg(Value x) { return kb.make<arith::NegFOp>(x); }
  Value lt(Value a, double x) { return kb.fcmp(CmpFPredicate::OLT, a, c(x)); }
  Value gt(Value a, double x) { return kb.fcmp(CmpFPredicate::OGT, a, c(x)); }
  /// Between small integers and floats of the same width: the bits of magic + n count up with n. No
  /// conversion instruction, which AVX2 lacks for 64 bits.
  Value magic() { return c(isDouble ? 0x1.8p52 : 0x1.8p23); }
  Value toInt(Value n) {
    return kb.sub(kb.bitcast(bits, kb.fadd(n, magic())), kb.bitcast(bits, magic()));
  }
  Value toFloat(Value i) {
    return kb.fsub(kb.bitcast(type, kb.add(i, kb.bitcast(bits, magic()))), magic());
  }
  Value shl(Value x, int64_t by) { return kb.make<arith::ShLIOp>(x, ci(by)); }
  Value sar(Value x, int64_t by) { return kb.make<arith::ShRSIOp>(x, ci(by)); }
  /// 2^n for a normal result.
  Value pow2(Value n) { return kb.bitcast(type, shl(kb.add(n, ci(bias)), mantissa)); }
  /// The lower of x and bound, the bound for a NaN.
  Value atMost(Value x, double bound) { return kb.select(lt(x, bound), x, c(bound)); }
  Value atLeast(Value x, double bound) { return kb.select(gt(x, bound), x, c(bound)); }

  /// Horner's rule, coefficients from the constant on.
  Value polynomial(Value x, ArrayRef<double> coefficients) {
    Value sum = c(coefficients.back());
    for (double coefficient : llvm::reverse(coefficients.drop_back()))
      sum = kb.fma(sum, x, c(coefficient));
    return sum;
  }

  /// x = n ln 2 + f with |f| <= ln 2 / 2; n as a float. n ln 2 is subtracted in two parts, the
  /// first of which has so few bits that its product with n is exact.
  std::pair<Value, Value> reduceExp(Value x) {
    Value n = roundEven(kb.fmul(x, c(kLog2E)));
    double high = isDouble ? 0x1.62e42feep-1 : 0x1.62e4p-1;
    // The rest in extended precision: ln 2 minus the first part.
    double low = isDouble ? 1.90821492927058770002e-10 : kLn2 - 0x1.62e4p-1;
    Value f = kb.fma(neg(n), c(high), x);
    return {n, kb.fma(neg(n), c(low), f)};
  }

  /// (e^f - 1) for |f| <= ln 2 / 2, by the series: f + f^2 (1/2! + f / 3! + ...).
  Value expm1Reduced(Value f) {
    SmallVector<double> series;
    double factorial = 1;
    for (int k = 2; k <= (isDouble ? 14 : 8); ++k)
      series.push_back(1 / (factorial *= k));
    return kb.fma(kb.fmul(f, f), polynomial(f, series), f);
  }

  Value exp(Value x) {
    double limit = isDouble ? 745.2 : 104.0;
    Value bounded = atMost(atLeast(x, -limit), limit);
    auto [n, f] = reduceExp(bounded);
    Value p = kb.fadd(expm1Reduced(f), c(1));
    // Two factors, so that neither overflows where the product does not.
    Value i = toInt(n), half = sar(i, 1);
    Value result = kb.fmul(kb.fmul(p, pow2(half)), pow2(kb.sub(i, half)));
    return keepNaN(x, result);
  }

  Value exp2(Value x) {
    double limit = isDouble ? 1080 : 152;
    Value bounded = atMost(atLeast(x, -limit), limit);
    Value n = roundEven(bounded), f = kb.fsub(bounded, n);
    // 2^f = e^(f ln 2); the product is carried in two parts.
    Value high = kb.fmul(f, c(kLn2));
    Value low = kb.fma(f, c(kLn2), neg(high));
    Value q = expm1Reduced(high);
    // e^(h + l) = e^h + l, near enough: l is below the last place of h.
    Value p = kb.fadd(kb.fadd(q, low), c(1));
    Value i = toInt(n), half = sar(i, 1);
    Value result = kb.fmul(kb.fmul(p, pow2(half)), pow2(kb.sub(i, half)));
    return keepNaN(x, result);
  }

  /// 2^n (e^f - 1) + (2^n - 1): no cancellation at any n. For |x| <= 80 (f64: 700).
  Value expm1Bounded(Value x) {
    auto [n, f] = reduceExp(x);
    Value scale = pow2(toInt(n));
    return kb.fma(scale, expm1Reduced(f), kb.fsub(scale, c(1)));
  }

  Value expm1(Value x) {
    double limit = isDouble ? 700 : 80;
    Value result = expm1Bounded(atMost(atLeast(x, -limit), limit));
    return keepNaN(x, kb.select(gt(x, limit), exp(x), result));
  }

  /// tanh |x| = e / (e + 2) with e = exp(2 |x|) - 1.
  Value tanh(Value x) {
    Value a = atMost(abs(x), isDouble ? 20 : 10);
    Value e = expm1Bounded(kb.fadd(a, a));
    Value result = kb.fdiv(e, kb.fadd(e, c(2)));
    return keepNaN(x, kb.make<math::CopySignOp>(result, x));
  }

  /// Polynomials fitted to the relative error of erf: in x^2 below 0.9, above it in |x| to
  /// -log(erfc). erf is 1 in f32 from 3.92 on.
  Value erf(Value x) {
    Value a = abs(x), square = kb.fmul(x, x);
    Value small =
        polynomial(square, {1.12837916672, -0.376126345072, 0.112837075009, -0.0268600740531,
                            0.0052027366026, -0.00081623688906, 8.45464947669e-5});
    small = kb.fmul(x, small);
    Value t = atMost(a, 4);
    Value tail =
        polynomial(t, {-0.000165102751296, 1.12946860279, 0.633440972924, 0.108176191364,
                       -0.0250520533866, 0.00414542742213, -0.000429165543315, 2.0636686212e-5});
    Value large = kb.fsub(c(1), exp(neg(tail)));
    large = kb.make<math::CopySignOp>(large, x);
    return keepNaN(x, kb.select(lt(a, 0.9), small, large));
  }

  /// x = 2^e m with m in [sqrt(1/2), sqrt(2)), for normal x; e as a float.
  std::pair<Value, Value> splitExponent(Value x) {
    int64_t rootHalf = isDouble ? 0x3fe6a09e667f3bcd : 0x3f3504f3;
    Value u = kb.bitcast(bits, x);
    Value e = sar(kb.sub(u, ci(rootHalf)), mantissa);
    Value m = kb.bitcast(type, kb.sub(u, shl(e, mantissa)));
    return {toFloat(e), m};
  }

  /// log(1 + f) for 1 + f in [sqrt(1/2), sqrt(2)): 2 atanh(s), s = f / (2 + f), written as
  /// f - s (f - r) so that the rounding of s hardly counts.
  Value log1pReduced(Value f) {
    Value s = kb.fdiv(f, kb.fadd(f, c(2)));
    Value z = kb.fmul(s, s);
    SmallVector<double> series;
    for (int k = 1; k <= (isDouble ? 11 : 5); ++k)
      series.push_back(2.0 / (2 * k + 1));
    Value r = kb.fmul(z, polynomial(z, series));
    return kb.fsub(f, kb.fmul(s, kb.fsub(f, r)));
  }

  /// The values of a logarithm at 0, below it, at infinity and at NaN.
  Value logEdges(Value x, Value result) {
    double smallest =
        isDouble ? std::numeric_limits<double>::min() : std::numeric_limits<float>::min();
    result = kb.select(lt(x, smallest), neg(infinity()), result);
    result = kb.select(kb.fcmp(CmpFPredicate::OEQ, x, infinity()), infinity(), result);
    result = kb.select(lt(x, 0), nan(), result);
    return keepNaN(x, result);
  }

  Value log(Value x) {
    auto [e, m] = splitExponent(x);
    Value f = kb.fsub(m, c(1));
    double high = isDouble ? 0x1.62e42feep-1 : 0x1.62e4p-1;
    double low = isDouble ? 1.90821492927058770002e-10 : kLn2 - 0x1.62e4p-1;
    Value sum = kb.fma(e, c(low), log1pReduced(f));
    return logEdges(x, kb.fma(e, c(high), sum));
  }

  /// log_b(x) for b = 2 or 10.
  Value logBase(Value x, double perE, double ofTwo) {
    auto [e, m] = splitExponent(x);
    Value f = kb.fsub(m, c(1));
    return logEdges(x, kb.fma(e, c(ofTwo), kb.fmul(log1pReduced(f), c(perE))));
  }

  /// log(u) plus what rounding u = 1 + x lost.
  Value log1p(Value x) {
    Value u = kb.fadd(x, c(1));
    Value lost = kb.fsub(x, kb.fsub(u, c(1)));
    Value result = kb.fadd(log(u), kb.fdiv(lost, u));
    result = kb.select(kb.fcmp(CmpFPredicate::OEQ, u, c(1)), x, result);
    result = kb.select(kb.fcmp(CmpFPredicate::OEQ, x, infinity()), infinity(), result);
    return kb.select(kb.fcmp(CmpFPredicate::OEQ, x, c(-1)), neg(infinity()), result);
  }

  /// f64. x = n pi/2 + r, pi/2 in three parts, each step one fused multiply-add.
  Value sinCos(Value x, bool cosine) {
    Value n = roundEven(kb.fmul(x, c(0.63661977236758134308)));
    Value r = kb.fma(neg(n), c(0x1.921fb54442d18p+0), x);
    r = kb.fma(neg(n), c(0x1.1a62633145c07p-54), r);
    r = kb.fma(neg(n), c(-0x1.f1976b7ed8fbcp-110), r);
    Value z = kb.fmul(r, r);
    SmallVector<double> sines, cosines;
    double factorial = 1;
    for (int k = 1; k <= 17; ++k) {
      factorial *= k;
      double term = ((k / 2) % 2 ? -1 : 1) / factorial;
      (k % 2 ? sines : cosines).push_back(term);
    }
    Value sine = kb.fma(kb.fmul(r, z), polynomial(z, ArrayRef(sines).drop_front()), r);
    Value cosineValue = kb.fma(z, polynomial(z, cosines), c(1));
    // The quadrant decides which of the two, and its sign.
    Value quadrant = toInt(n);
    if (cosine)
      quadrant = kb.add(quadrant, ci(1));
    Value odd = kb.cmp(CmpIPredicate::ne, kb.andi(quadrant, ci(1)), ci(0));
    Value flip = kb.cmp(CmpIPredicate::ne, kb.andi(quadrant, ci(2)), ci(0));
    Value result = kb.select(odd, cosineValue, sine);
    result = kb.select(flip, neg(result), result);
    return kb.select(kb.fcmp(CmpFPredicate::OLT, abs(x), infinity()), result, nan());
  }

  /// f64, as C's pow for finite arguments and the usual limits.
  Value pow(Value x, Value y) {
    Value a = abs(x);
    Value result = exp(kb.fmul(y, log(a)));
    // A negative base: the sign of an odd exponent, and no value for a fraction.
    Value rounded = roundEven(y), halfway = kb.fmul(y, c(0.5));
    Value integral = kb.fcmp(CmpFPredicate::OEQ, rounded, y);
    Value even = kb.fcmp(CmpFPredicate::OEQ, roundEven(halfway), halfway);
    Value negative = lt(x, 0);
    result = kb.select(kb.andi(negative, notOf(even)), neg(result), result);
    result = kb.select(kb.andi(negative, notOf(integral)), nan(), result);
    result = kb.select(kb.fcmp(CmpFPredicate::UNO, x, y), nan(), result);
    Value one = kb.ori(kb.fcmp(CmpFPredicate::OEQ, y, c(0)), kb.fcmp(CmpFPredicate::OEQ, x, c(1)));
    return kb.select(one, c(1), result);
  }

  Value notOf(Value flag) {
    return kb.make<arith::XOrIOp>(flag, kb.constantInt(flag.getType(), 1));
  }
  Value keepNaN(Value x, Value result) {
    return kb.select(kb.fcmp(CmpFPredicate::UNO, x, x), x, result);
  }

  KernelBuilder &kb;
  Type type;
  bool isDouble;
  Type bits;
  int64_t mantissa, bias;
};

} // namespace

Value ingot::codegen::emitExp2NonPositive(KernelBuilder &kb, Value x, int degree) {
  Float f(kb, x);
  // In this order a NaN stays one.
  Value bounded = kb.select(kb.fcmp(CmpFPredicate::OGT, f.c(-127), x), f.c(-127), x);
  // Adding 1.5 * 2^23 rounds to an integer, which stands in the low bits of the sum.
  Value shifted = kb.fadd(bounded, f.magic());
  Value fraction = kb.fsub(bounded, kb.fsub(shifted, f.magic()));
  static const double four[] = {1, 0.69312419221, 0.24024098652, 0.055906434898, 0.0095828543317};
  static const double six[] = {1,
                               0.69314720286,
                               0.240226479129,
                               0.0555033246274,
                               0.0096184374029,
                               0.00133988770574,
                               0.000153533559522};
  Value p = f.polynomial(fraction, degree == 4 ? ArrayRef(four) : ArrayRef(six));
  // At -127 the exponent becomes 0: the bits are 0, or a denormal, which counts as 0.
  return kb.bitcast(f.type, kb.add(kb.bitcast(f.bits, p), f.shl(kb.bitcast(f.bits, shifted), 23)));
}

Value ingot::codegen::emitExp(KernelBuilder &kb, Value x) { return Float(kb, x).exp(x); }

Value ingot::codegen::emitMath(KernelBuilder &kb, Operation *op, ValueRange operands) {
  Value x = operands.front();
  Float f(kb, x);
  // In f64 and back, for functions that need more precision than their result has.
  auto inDouble = [&](function_ref<Value(Float &, ArrayRef<Value>)> body) {
    SmallVector<Value, 2> wide;
    for (Value operand : operands)
      wide.push_back(isa<FloatType>(getElementTypeOrSelf(operand.getType()))
                         ? kb.truncate(operand, kb.f64)
                         : operand);
    Float d(kb, wide.front());
    return kb.truncate(body(d, wide), getElementTypeOrSelf(x.getType()));
  };
  auto half = [&](double sign) { // (e^x + sign e^-x) / 2
    return inDouble([&](Float &d, ArrayRef<Value> a) {
      Value e = d.exp(a[0]), inverse = d.exp(d.neg(a[0]));
      return kb.fmul(d.c(0.5), kb.fma(d.c(sign), inverse, e));
    });
  };
  return TypeSwitch<Operation *, Value>(op)
      .Case<math::ExpOp>([&](auto) { return f.exp(x); })
      .Case<math::Exp2Op>([&](auto) { return f.exp2(x); })
      .Case<math::ExpM1Op>([&](auto) { return f.expm1(x); })
      .Case<math::TanhOp>([&](auto) { return f.tanh(x); })
      .Case<math::ErfOp>([&](auto) { return f.isDouble ? Value() : f.erf(x); })
      .Case<math::LogOp>([&](auto) { return f.log(x); })
      .Case<math::Log2Op>([&](auto) { return f.logBase(x, kLog2E, 1); })
      .Case<math::Log10Op>(
          [&](auto) { return f.logBase(x, 0.43429448190325182765, 0.30102999566398119521); })
      .Case<math::Log1pOp>([&](auto) { return f.log1p(x); })
      .Case<math::SinOp>(
          [&](auto) { return inDouble([](Float &d, auto a) { return d.sinCos(a[0], false); }); })
      .Case<math::CosOp>(
          [&](auto) { return inDouble([](Float &d, auto a) { return d.sinCos(a[0], true); }); })
      .Case<math::TanOp>([&](auto) {
        return inDouble(
            [&](Float &d, auto a) { return kb.fdiv(d.sinCos(a[0], false), d.sinCos(a[0], true)); });
      })
      .Case<math::SinhOp>([&](auto) { return half(-1); })
      .Case<math::CoshOp>([&](auto) { return half(1); })
      .Case<math::PowFOp>(
          [&](auto) { return inDouble([](Float &d, auto a) { return d.pow(a[0], a[1]); }); })
      .Case<math::FPowIOp>([&](auto) {
        return inDouble(
            [&](Float &d, auto a) { return d.pow(a[0], kb.make<arith::SIToFPOp>(d.type, a[1])); });
      })
      .Case<math::CbrtOp>([&](auto) {
        return inDouble([&](Float &d, auto a) {
          Value root = d.pow(d.abs(a[0]), d.c(1.0 / 3));
          return kb.make<math::CopySignOp>(root, a[0]);
        });
      })
      .Case<math::RsqrtOp>([&](auto) { return kb.fdiv(f.c(1), kb.make<math::SqrtOp>(x)); })
      .Case<math::IsInfOp>(
          [&](auto) { return kb.fcmp(CmpFPredicate::OEQ, f.abs(x), f.infinity()); })
      .Case<math::IsNormalOp>([&](auto isNormal) {
        // Of the type that the graph has: narrow ones are wider here.
        auto type = cast<FloatType>(getElementTypeOrSelf(isNormal.getOperand().getType()));
        double least =
            llvm::APFloat::getSmallestNormalized(type.getFloatSemantics()).convertToDouble();
        return kb.andi(kb.fcmp(CmpFPredicate::OGE, f.abs(x), f.c(least)),
                       kb.fcmp(CmpFPredicate::OLT, f.abs(x), f.infinity()));
      })
      .Case<math::ClampFOp>([&](auto) {
        Value low = kb.select(kb.fcmp(CmpFPredicate::OLT, x, operands[1]), operands[1], x);
        return kb.select(kb.fcmp(CmpFPredicate::OGT, low, operands[2]), operands[2], low);
      })
      .Default([](Operation *) { return Value(); });
}
