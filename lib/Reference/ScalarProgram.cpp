//===- ScalarProgram.cpp - element-wise operations and the regions made of them ---------------===//

#include "ScalarProgram.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/StringMap.h"
#include <cmath>
#include <limits>

using namespace mlir;

namespace ingot::reference {

//===----------------------------------------------------------------------===//
// The table
//===----------------------------------------------------------------------===//

// X(opcode, name of the operation)
#define INGOT_SCALAR_OPS(X)                                                                        \
  X(AddF, "arith.addf")                                                                            \
  X(SubF, "arith.subf")                                                                            \
  X(MulF, "arith.mulf")                                                                            \
  X(DivF, "arith.divf")                                                                            \
  X(RemF, "arith.remf")                                                                            \
  X(NegF, "arith.negf")                                                                            \
  X(MaximumF, "arith.maximumf")                                                                    \
  X(MinimumF, "arith.minimumf") X(MaxNumF, "arith.maxnumf") X(MinNumF, "arith.minnumf") X(         \
      CmpF, "arith.cmpf") X(CmpI, "arith.cmpi") X(Select, "arith.select") X(AddI, "arith.addi")    \
      X(SubI, "arith.subi") X(MulI, "arith.muli") X(DivSI, "arith.divsi") X(                       \
          DivUI, "arith.divui") X(CeilDivSI, "arith.ceildivsi") X(CeilDivUI, "arith.ceildivui")    \
          X(FloorDivSI, "arith.floordivsi") X(RemSI, "arith.remsi") X(RemUI, "arith.remui") X(     \
              AndI, "arith.andi") X(OrI, "arith.ori") X(XOrI, "arith.xori") X(ShLI, "arith.shli")  \
              X(ShRSI, "arith.shrsi") X(ShRUI, "arith.shrui") X(MaxSI, "arith.maxsi") X(           \
                  MaxUI, "arith.maxui") X(MinSI, "arith.minsi") X(MinUI, "arith.minui")            \
                  X(ExtF, "arith.extf") X(TruncF, "arith.truncf") X(ExtSI, "arith.extsi") X(       \
                      ExtUI, "arith.extui") X(TruncI, "arith.trunci") X(SIToFP, "arith.sitofp")    \
                      X(UIToFP, "arith.uitofp") X(FPToSI, "arith.fptosi")                          \
                          X(FPToUI, "arith.fptoui") X(IndexCast, "arith.index_cast") X(            \
                              IndexCastUI, "arith.index_castui") X(Bitcast, "arith.bitcast")       \
                              X(AbsF, "math.absf") X(AbsI, "math.absi") X(Acos, "math.acos")       \
                                  X(Acosh, "math.acosh") X(Asin,                                   \
                                                           "math.asin") X(Asinh, "math.asinh")     \
                                      X(Atan, "math.atan") X(Atan2, "math.atan2") X(               \
                                          Atanh, "math.atanh") X(Cbrt,                             \
                                                                 "math.cbrt") X(Ceil, "math.ceil") \
                                          X(ClampF, "math.clampf") X(CopySign, "math.copysign") X( \
                                              Cos, "math.cos") X(Cosh, "math.cosh")                \
                                              X(Erf, "math.erf") X(Erfc,                           \
                                                                   "math.erfc") X(Exp, "math.exp") \
                                                  X(Exp2, "math.exp2") X(ExpM1, "math.expm1")      \
                                                      X(Floor, "math.floor") X(Fma, "math.fma") X( \
                                                          FPowI, "math."                           \
                                                                 "fpowi") X(IPowI, "math.ipowi")   \
                                                          X(IsFinite, "math."                      \
                                                                      "isfinit"                    \
                                                                      "e") X(IsInf, "math.isinf")  \
                                                              X(IsNaN, "math.isnan") X(            \
                                                                  IsNormal,                        \
                                                                  "math."                          \
                                                                  "isnorma"                        \
                                                                  "l") X(Log, "math.log") X(Log10, \
                                                                                            "ma"   \
                                                                                            "th"   \
                                                                                            ".l"   \
                                                                                            "og"   \
                                                                                            "1"    \
                                                                                            "0")   \
                                                                  X(Log1p, "math.log1p") X(        \
                                                                      Log2,                        \
                                                                      "math"                       \
                                                                      ".log"                       \
                                                                      "2") X(PowF, "math.powf")    \
                                                                      X(Round, "math.round") X(    \
                                                                          RoundEven,               \
                                                                          "math."                  \
                                                                          "roundeve"               \
                                                                          "n") X(Rsqrt,            \
                                                                                 "math.rsqrt")     \
                                                                          X(Sin, "math.sin") X(    \
                                                                              Sinh,                \
                                                                              "math.sinh")         \
                                                                              X(Sqrt, "math."      \
                                                                                      "sqrt")      \
                                                                                  X(Tan,           \
                                                                                    "math.tan")    \
                                                                                      X(Tanh,      \
                                                                                        "math."    \
                                                                                        "tanh")    \
                                                                                          X(Trunc, \
                                                                                            "math" \
                                                                                            ".tru" \
                                                                                            "nc")

enum class Opcode : uint8_t {
#define X(code, name) code,
  INGOT_SCALAR_OPS(X)
#undef X
};

static std::optional<Opcode> lookupOpcode(StringRef name) {
  static const llvm::StringMap<Opcode> table = {
#define X(code, name) {name, Opcode::code},
      INGOT_SCALAR_OPS(X)
#undef X
  };
  auto it = table.find(name);
  return it == table.end() ? std::nullopt : std::optional(it->second);
}

std::optional<ScalarOp> ScalarOp::get(Operation *op, Precision precision) {
  std::optional<Opcode> code = lookupOpcode(op->getName().getStringRef());
  if (!code || op->getNumOperands() == 0 || op->getNumOperands() > 3 || op->getNumResults() != 1)
    return std::nullopt;
  // All operands are of one kind, but for the condition of a select and the exponent of fpowi.
  bool first = *code == Opcode::FPowI;
  Value operand = op->getOperand(first ? 0 : op->getNumOperands() - 1);
  std::optional<NumberKind> from = getNumberKind(getElementTypeOrSelf(operand.getType()));
  std::optional<NumberKind> to = getNumberKind(getElementTypeOrSelf(op->getResult(0).getType()));
  if (!from || !to)
    return std::nullopt;
  ScalarOp scalar{*code, precision, *from, *to};
  if (auto compare = dyn_cast<arith::CmpFOp>(op))
    scalar.predicate = uint8_t(compare.getPredicate());
  if (auto compare = dyn_cast<arith::CmpIOp>(op))
    scalar.predicate = uint8_t(compare.getPredicate());
  return scalar;
}

//===----------------------------------------------------------------------===//
// Meaning
//===----------------------------------------------------------------------===//

static bool compareFloats(arith::CmpFPredicate predicate, double a, double b) {
  using P = arith::CmpFPredicate;
  bool unordered = std::isnan(a) || std::isnan(b);
  switch (predicate) {
  case P::AlwaysFalse:
    return false;
  case P::OEQ:
    return !unordered && a == b;
  case P::OGT:
    return !unordered && a > b;
  case P::OGE:
    return !unordered && a >= b;
  case P::OLT:
    return !unordered && a < b;
  case P::OLE:
    return !unordered && a <= b;
  case P::ONE:
    return !unordered && a != b;
  case P::ORD:
    return !unordered;
  case P::UEQ:
    return unordered || a == b;
  case P::UGT:
    return unordered || a > b;
  case P::UGE:
    return unordered || a >= b;
  case P::ULT:
    return unordered || a < b;
  case P::ULE:
    return unordered || a <= b;
  case P::UNE:
    return unordered || a != b;
  case P::UNO:
    return unordered;
  case P::AlwaysTrue:
    return true;
  }
  return false;
}

static bool compareInts(arith::CmpIPredicate predicate, int64_t a, int64_t b, unsigned width) {
  using P = arith::CmpIPredicate;
  int64_t sa = signedValue(a, width), sb = signedValue(b, width);
  uint64_t ua = unsignedValue(a, width), ub = unsignedValue(b, width);
  switch (predicate) {
  case P::eq:
    return a == b;
  case P::ne:
    return a != b;
  case P::slt:
    return sa < sb;
  case P::sle:
    return sa <= sb;
  case P::sgt:
    return sa > sb;
  case P::sge:
    return sa >= sb;
  case P::ult:
    return ua < ub;
  case P::ule:
    return ua <= ub;
  case P::ugt:
    return ua > ub;
  case P::uge:
    return ua >= ub;
  }
  return false;
}

/// -0 is less than +0, and NaN wins.
static double maximum(double a, double b) {
  if (std::isnan(a) || std::isnan(b))
    return std::numeric_limits<double>::quiet_NaN();
  if (a == b)
    return std::signbit(a) ? b : a;
  return a > b ? a : b;
}
static double minimum(double a, double b) { return -maximum(-a, -b); }

static double smallestNormal(FloatFormat format) {
  return format == FloatFormat::F64 ? 0x1p-1022 : format == FloatFormat::F16 ? 0x1p-14 : 0x1p-126;
}

static const char kDivision[] = "division by zero, or with a quotient that does not fit";
static const char kShift[] = "shift by at least the width of the number";
static const char kConversion[] = "number that does not fit the integer type it is converted to";

/// Integer divisions; all the predicates of `evaluate` on them.
static const char *divide(Opcode code, int64_t a, int64_t b, unsigned width, int64_t &result) {
  int64_t sa = signedValue(a, width), sb = signedValue(b, width);
  uint64_t ua = unsignedValue(a, width), ub = unsignedValue(b, width);
  int64_t smallest = width == 64 ? INT64_MIN : -(int64_t(1) << (width - 1));
  if (ub == 0 ||
      (sb == -1 && sa == smallest &&
       (code == Opcode::DivSI || code == Opcode::CeilDivSI || code == Opcode::FloorDivSI)))
    return kDivision;
  // The remainder of a division by -1 is 0, also where the quotient does not fit.
  int64_t remainder = sb == -1 ? 0 : sa % sb;
  switch (code) {
  case Opcode::DivSI:
    result = sa / sb;
    return nullptr;
  case Opcode::CeilDivSI:
    result = sa / sb + (remainder != 0 && (sa < 0) == (sb < 0));
    return nullptr;
  case Opcode::FloorDivSI:
    result = sa / sb - (remainder != 0 && (sa < 0) != (sb < 0));
    return nullptr;
  case Opcode::RemSI:
    result = remainder;
    return nullptr;
  case Opcode::DivUI:
    result = int64_t(ua / ub);
    return nullptr;
  case Opcode::CeilDivUI:
    result = int64_t(ua / ub + (ua % ub != 0));
    return nullptr;
  default:
    result = int64_t(ua % ub);
    return nullptr;
  }
}

/// Towards zero.
static const char *toInteger(double value, unsigned width, bool isSigned, int64_t &result) {
  double truncated = std::trunc(value);
  double low = isSigned ? -std::ldexp(1.0, width - 1) : 0.0;
  double high = std::ldexp(1.0, isSigned ? width - 1 : width);
  if (!(truncated >= low && truncated < high))
    return kConversion;
  result = isSigned ? int64_t(truncated) : int64_t(uint64_t(truncated));
  return nullptr;
}

static const char *integerPower(int64_t base, int64_t exponent, unsigned width, int64_t &result) {
  int64_t sbase = signedValue(base, width), sexponent = signedValue(exponent, width);
  if (sexponent < 0) {
    if (sbase == 0)
      return "zero to a negative power";
    result = sbase == 1 ? 1 : sbase == -1 ? (sexponent % 2 ? -1 : 1) : 0;
    return nullptr;
  }
  uint64_t power = 1, square = uint64_t(sbase);
  for (uint64_t rest = sexponent; rest; rest >>= 1, square *= square)
    if (rest & 1)
      power *= square;
  result = int64_t(power);
  return nullptr;
}

const char *ScalarOp::evaluate(const Scalar *x, Scalar &out) const {
  const char *error = nullptr;
  unsigned width = operand.width;
  // Each case sets one of these; `f` is rounded, `i` is wrapped to the result's type.
  double f = 0;
  int64_t i = 0;
  switch (code) {
  case Opcode::AddF:
    f = x[0].f + x[1].f;
    break;
  case Opcode::SubF:
    f = x[0].f - x[1].f;
    break;
  case Opcode::MulF:
    f = x[0].f * x[1].f;
    break;
  case Opcode::DivF:
    f = x[0].f / x[1].f;
    break;
  case Opcode::RemF:
    f = std::fmod(x[0].f, x[1].f);
    break;
  case Opcode::NegF:
    f = -x[0].f;
    break;
  case Opcode::MaximumF:
    f = maximum(x[0].f, x[1].f);
    break;
  case Opcode::MinimumF:
    f = minimum(x[0].f, x[1].f);
    break;
  case Opcode::MaxNumF:
    f = std::isnan(x[0].f) ? x[1].f : std::isnan(x[1].f) ? x[0].f : maximum(x[0].f, x[1].f);
    break;
  case Opcode::MinNumF:
    f = std::isnan(x[0].f) ? x[1].f : std::isnan(x[1].f) ? x[0].f : minimum(x[0].f, x[1].f);
    break;
  case Opcode::CmpF:
    i = compareFloats(arith::CmpFPredicate(predicate), x[0].f, x[1].f);
    break;
  case Opcode::CmpI:
    i = compareInts(arith::CmpIPredicate(predicate), x[0].i, x[1].i, width);
    break;
  case Opcode::Select:
    out = x[0].i ? x[1] : x[2];
    return nullptr;
  case Opcode::AddI:
    i = int64_t(uint64_t(x[0].i) + uint64_t(x[1].i));
    break;
  case Opcode::SubI:
    i = int64_t(uint64_t(x[0].i) - uint64_t(x[1].i));
    break;
  case Opcode::MulI:
    i = int64_t(uint64_t(x[0].i) * uint64_t(x[1].i));
    break;
  case Opcode::DivSI:
  case Opcode::DivUI:
  case Opcode::CeilDivSI:
  case Opcode::CeilDivUI:
  case Opcode::FloorDivSI:
  case Opcode::RemSI:
  case Opcode::RemUI:
    error = divide(code, x[0].i, x[1].i, width, i);
    break;
  case Opcode::AndI:
    i = x[0].i & x[1].i;
    break;
  case Opcode::OrI:
    i = x[0].i | x[1].i;
    break;
  case Opcode::XOrI:
    i = x[0].i ^ x[1].i;
    break;
  case Opcode::ShLI:
  case Opcode::ShRSI:
  case Opcode::ShRUI: {
    uint64_t distance = unsignedValue(x[1].i, width);
    if (distance >= width)
      error = kShift;
    else if (code == Opcode::ShLI)
      i = int64_t(uint64_t(x[0].i) << distance);
    else if (code == Opcode::ShRSI)
      i = signedValue(x[0].i, width) >> distance;
    else
      i = int64_t(unsignedValue(x[0].i, width) >> distance);
    break;
  }
  case Opcode::MaxSI:
    i = std::max(signedValue(x[0].i, width), signedValue(x[1].i, width));
    break;
  case Opcode::MinSI:
    i = std::min(signedValue(x[0].i, width), signedValue(x[1].i, width));
    break;
  case Opcode::MaxUI:
    i = int64_t(std::max(unsignedValue(x[0].i, width), unsignedValue(x[1].i, width)));
    break;
  case Opcode::MinUI:
    i = int64_t(std::min(unsignedValue(x[0].i, width), unsignedValue(x[1].i, width)));
    break;
  case Opcode::ExtF:
  case Opcode::TruncF:
    f = x[0].f;
    break;
  case Opcode::ExtSI:
  case Opcode::IndexCast:
    i = signedValue(x[0].i, width);
    break;
  case Opcode::ExtUI:
  case Opcode::IndexCastUI:
    i = int64_t(unsignedValue(x[0].i, width));
    break;
  case Opcode::TruncI:
    i = x[0].i;
    break;
  case Opcode::SIToFP:
  case Opcode::UIToFP: {
    // Straight to f32: by way of double a 64-bit integer would be rounded twice.
    bool isSigned = code == Opcode::SIToFP,
         single = precision == Precision::F32 && result.format == FloatFormat::F32;
    int64_t s = signedValue(x[0].i, width);
    uint64_t u = unsignedValue(x[0].i, width);
    f = single ? (isSigned ? float(s) : float(u)) : (isSigned ? double(s) : double(u));
    break;
  }
  case Opcode::FPToSI:
  case Opcode::FPToUI:
    error = toInteger(x[0].f, result.width, code == Opcode::FPToSI, i);
    break;
  case Opcode::Bitcast:
    if (operand.isFloat && !result.isFloat)
      i = int64_t(encodeFloat(x[0].f, operand.format));
    else if (!operand.isFloat && result.isFloat)
      f = decodeFloat(unsignedValue(x[0].i, width), result.format);
    else if (operand.isFloat)
      f = decodeFloat(encodeFloat(x[0].f, operand.format), result.format);
    else
      i = x[0].i;
    break;
  case Opcode::AbsF:
    f = std::fabs(x[0].f);
    break;
  case Opcode::AbsI:
    i = int64_t(x[0].i < 0 ? 0 - uint64_t(x[0].i) : uint64_t(x[0].i));
    break;
  case Opcode::Acos:
    f = std::acos(x[0].f);
    break;
  case Opcode::Acosh:
    f = std::acosh(x[0].f);
    break;
  case Opcode::Asin:
    f = std::asin(x[0].f);
    break;
  case Opcode::Asinh:
    f = std::asinh(x[0].f);
    break;
  case Opcode::Atan:
    f = std::atan(x[0].f);
    break;
  case Opcode::Atan2:
    f = std::atan2(x[0].f, x[1].f);
    break;
  case Opcode::Atanh:
    f = std::atanh(x[0].f);
    break;
  case Opcode::Cbrt:
    f = std::cbrt(x[0].f);
    break;
  case Opcode::Ceil:
    f = std::ceil(x[0].f);
    break;
  case Opcode::ClampF:
    f = minimum(maximum(x[0].f, x[1].f), x[2].f);
    break;
  case Opcode::CopySign:
    f = std::copysign(x[0].f, x[1].f);
    break;
  case Opcode::Cos:
    f = std::cos(x[0].f);
    break;
  case Opcode::Cosh:
    f = std::cosh(x[0].f);
    break;
  case Opcode::Erf:
    f = std::erf(x[0].f);
    break;
  case Opcode::Erfc:
    f = std::erfc(x[0].f);
    break;
  case Opcode::Exp:
    f = std::exp(x[0].f);
    break;
  case Opcode::Exp2:
    f = std::exp2(x[0].f);
    break;
  case Opcode::ExpM1:
    f = std::expm1(x[0].f);
    break;
  case Opcode::Floor:
    f = std::floor(x[0].f);
    break;
  case Opcode::Fma:
    // A double's sum of product and addend would be rounded before it is rounded to f32.
    f = precision == Precision::F32 && result.format == FloatFormat::F32
            ? std::fma(float(x[0].f), float(x[1].f), float(x[2].f))
            : std::fma(x[0].f, x[1].f, x[2].f);
    break;
  case Opcode::FPowI:
    f = std::pow(x[0].f, double(x[1].i));
    break;
  case Opcode::IPowI:
    error = integerPower(x[0].i, x[1].i, width, i);
    break;
  case Opcode::IsFinite:
    i = std::isfinite(x[0].f);
    break;
  case Opcode::IsInf:
    i = std::isinf(x[0].f);
    break;
  case Opcode::IsNaN:
    i = std::isnan(x[0].f);
    break;
  case Opcode::IsNormal:
    i = std::isfinite(x[0].f) && std::fabs(x[0].f) >= smallestNormal(operand.format);
    break;
  case Opcode::Log:
    f = std::log(x[0].f);
    break;
  case Opcode::Log10:
    f = std::log10(x[0].f);
    break;
  case Opcode::Log1p:
    f = std::log1p(x[0].f);
    break;
  case Opcode::Log2:
    f = std::log2(x[0].f);
    break;
  case Opcode::PowF:
    f = std::pow(x[0].f, x[1].f);
    break;
  case Opcode::Round:
    f = std::round(x[0].f);
    break;
  case Opcode::RoundEven:
    f = std::nearbyint(x[0].f);
    break;
  case Opcode::Rsqrt:
    f = 1.0 / std::sqrt(x[0].f);
    break;
  case Opcode::Sin:
    f = std::sin(x[0].f);
    break;
  case Opcode::Sinh:
    f = std::sinh(x[0].f);
    break;
  case Opcode::Sqrt:
    f = std::sqrt(x[0].f);
    break;
  case Opcode::Tan:
    f = std::tan(x[0].f);
    break;
  case Opcode::Tanh:
    f = std::tanh(x[0].f);
    break;
  case Opcode::Trunc:
    f = std::trunc(x[0].f);
    break;
  }
  if (result.isFloat)
    out.f = roundFor(precision, result, f);
  else
    out.i = wrapInteger(i, result.width);
  return error;
}

//===----------------------------------------------------------------------===//
// Programs
//===----------------------------------------------------------------------===//

std::optional<ScalarProgram>
ScalarProgram::compile(Block &block, Precision precision,
                       llvm::function_ref<const Tensor *(Value)> lookup) {
  ScalarProgram program;
  llvm::DenseMap<Value, unsigned> numbers;
  auto addRegister = [&](Value value, Scalar initial) {
    unsigned number = program.registers.size();
    program.registers.push_back(initial);
    numbers[value] = number;
    return number;
  };
  for (BlockArgument argument : block.getArguments()) {
    if (!getNumberKind(argument.getType()))
      return std::nullopt;
    addRegister(argument, makeInt(0));
  }
  // The register of an operand; a scalar from outside becomes a constant.
  auto use = [&](Value value) -> std::optional<unsigned> {
    if (auto it = numbers.find(value); it != numbers.end())
      return it->second;
    const Tensor *outside = isa<ShapedType>(value.getType()) ? nullptr : lookup(value);
    if (!outside)
      return std::nullopt;
    return addRegister(value, outside->at(0));
  };

  for (Operation &op : block.without_terminator()) {
    Instruction instruction{};
    instruction.op = &op;
    ValueRange operands = op.getOperands();
    if (op.getNumResults() != 1 || !getNumberKind(op.getResult(0).getType()))
      return std::nullopt;
    if (Attribute value; matchPattern(&op, m_Constant(&value))) {
      NumberKind kind = *getNumberKind(op.getResult(0).getType());
      if (auto number = dyn_cast<FloatAttr>(value))
        addRegister(op.getResult(0), makeFloat(number.getValueAsDouble()));
      else if (auto number = dyn_cast<IntegerAttr>(value))
        addRegister(op.getResult(0),
                    makeInt(wrapInteger(number.getValue().getSExtValue(), kind.width)));
      else
        return std::nullopt;
      continue;
    }
    if (auto index = dyn_cast<linalg::IndexOp>(op)) {
      instruction.kind = Kind::Index;
      instruction.number = index.getDim();
    } else if (auto extract = dyn_cast<tensor::ExtractOp>(op)) {
      const Tensor *outside = lookup(extract.getTensor());
      if (!outside)
        return std::nullopt;
      instruction.kind = Kind::Extract;
      instruction.number = program.tensors.size();
      program.tensors.push_back(*outside);
      operands = extract.getIndices();
    } else if (std::optional<ScalarOp> scalar = ScalarOp::get(&op, precision)) {
      instruction.kind = Kind::Scalar;
      instruction.scalar = *scalar;
    } else {
      return std::nullopt;
    }
    for (Value operand : operands) {
      std::optional<unsigned> number = use(operand);
      if (!number)
        return std::nullopt;
      instruction.operands.push_back(*number);
    }
    instruction.result = addRegister(op.getResult(0), makeInt(0));
    program.instructions.push_back(std::move(instruction));
  }
  for (Value value : block.getTerminator()->getOperands()) {
    std::optional<unsigned> number = use(value);
    if (!number)
      return std::nullopt;
    program.results.push_back(*number);
  }
  return program;
}

Operation *ScalarProgram::run(ArrayRef<int64_t> position, std::string &error) {
  for (const Instruction &instruction : instructions) {
    Scalar &result = registers[instruction.result];
    if (instruction.kind == Kind::Index) {
      if (instruction.number >= position.size()) {
        error = "expected a loop of this number";
        return instruction.op;
      }
      result.i = position[instruction.number];
      continue;
    }
    if (instruction.kind == Kind::Extract) {
      const Tensor &tensor = tensors[instruction.number];
      int64_t offset = 0;
      for (int64_t d = 0; d < tensor.getRank(); ++d) {
        int64_t index = registers[instruction.operands[d]].i;
        if (index < 0 || index >= tensor.getDim(d)) {
          error = "expected index " + std::to_string(d) + " inside " + tensor.describe() +
                  ", got " + std::to_string(index);
          return instruction.op;
        }
        offset = offset * tensor.getDim(d) + index;
      }
      result = tensor.at(offset);
      continue;
    }
    Scalar operands[3];
    for (auto [operand, number] : llvm::zip(operands, instruction.operands))
      operand = registers[number];
    if (const char *wrong = instruction.scalar.evaluate(operands, result)) {
      error = std::string("computes a ") + wrong;
      return instruction.op;
    }
  }
  return nullptr;
}

} // namespace ingot::reference
