//===- Compare.cpp - inputs for the interpreter, and differences of results -------------------===//

#include "ingot/Reference/Compare.h"
#include "ingot/Dialect/Transformer/IR/TransformerDialect.h"
#include "ingot/Reference/Random.h"
#include "llvm/Support/Format.h"
#include <cmath>

using namespace mlir;

namespace ingot::reference {

//===----------------------------------------------------------------------===//
// Inputs
//===----------------------------------------------------------------------===//

int64_t findIdLimit(ModuleOp module) {
  int64_t limit = 0;
  module.walk([&](tfm::EmbeddingOp op) {
    int64_t rows = cast<RankedTensorType>(op.getTable().getType()).getDimSize(0);
    if (!ShapedType::isDynamic(rows) && (limit == 0 || rows < limit))
      limit = rows;
  });
  return limit;
}

static double extremeFloat(uint64_t bits) {
  static const double values[] = {0.0,    -0.0, 1.0,   -1.0, 1.0,   2.0,   -2.0, 1e-20,
                                  -1e-20, 1e-6, -1e-6, 30.0, -30.0, 300.0, -1e3, 1e3};
  // Half of them ordinary, so that not every row saturates.
  return bits & 1 ? values[(bits >> 1) % 16] : toUnit(bits) * 2 - 1;
}

FailureOr<SmallVector<RuntimeValue>> makeInputs(FunctionOpInterface function,
                                                const InputOptions &options) {
  int64_t tokens = 0;
  for (int64_t rows : options.batchRows)
    tokens += rows;
  int64_t idsBelow = options.idsBelow;
  if (idsBelow == 0)
    idsBelow = findIdLimit(function->getParentOfType<ModuleOp>());
  if (idsBelow <= 0)
    idsBelow = 7;
  size_t nextDim = 0;
  auto takeDim = [&] {
    if (options.dims.empty())
      return tokens;
    return options.dims.size() == 1        ? options.dims[0]
           : nextDim < options.dims.size() ? options.dims[nextDim++]
                                           : int64_t(-1);
  };
  SmallVector<RuntimeValue> inputs;
  for (auto [number, type] : llvm::enumerate(function.getArgumentTypes())) {
    if (isa<tfm::BatchType>(type)) {
      inputs.push_back(
          Batch::pack(options.batchRows, SmallVector<int64_t>(options.batchRows.size(), 0)));
      continue;
    }
    if (auto cache = dyn_cast<tfm::CacheType>(type)) {
      inputs.push_back(Cache(cache, options.batchRows.size()));
      continue;
    }
    auto shaped = dyn_cast<RankedTensorType>(type);
    SmallVector<int64_t> shape;
    if (shaped)
      for (int64_t size : shaped.getShape())
        shape.push_back(ShapedType::isDynamic(size) ? takeDim() : size);
    if (llvm::is_contained(shape, -1))
      return emitError(function.getLoc(), "function '")
             << function.getName() << "' expected a size for every dynamic dimension, got "
             << options.dims.size();
    llvm::Expected<Tensor> tensor = Tensor::create(shape, shaped ? shaped.getElementType() : type);
    if (!tensor)
      return emitError(function.getLoc(), "function '")
             << function.getName() << "': " << toString(tensor.takeError());
    uint64_t stream = options.seed * 0x9E3779B97F4A7C15u + number;
    for (auto [i, element] : llvm::enumerate(tensor->mutableElements())) {
      uint64_t bits = randomBits(stream, i);
      if (!tensor->isFloat())
        element.i = wrapInteger(int64_t(bits % uint64_t(idsBelow)), tensor->getKind().width);
      else
        element.f = roundToFormat(options.kind == InputKind::Random ? toUnit(bits) * 2 - 1
                                                                    : extremeFloat(bits),
                                  tensor->getKind().format);
    }
    inputs.push_back(std::move(*tensor));
  }
  return inputs;
}

//===----------------------------------------------------------------------===//
// Differences
//===----------------------------------------------------------------------===//

std::string Difference::describe() const {
  std::string text;
  llvm::raw_string_ostream stream(text);
  if (!mismatch.empty()) {
    stream << mismatch;
    return text;
  }
  stream << "result " << result << ", element " << element << ": expected "
         << llvm::format("%.9g", expected) << ", got " << llvm::format("%.9g", actual)
         << ", a difference of " << llvm::format("%.3g", absolute) << " ("
         << llvm::format("%.3g", relative) << " relative)";
  return text;
}

static void compareTensors(unsigned number, const Tensor &expected, const Tensor &actual,
                           Difference &difference) {
  std::string prefix = "result " + std::to_string(number);
  if (expected.getShape() != actual.getShape() || expected.isFloat() != actual.isFloat()) {
    difference.mismatch =
        prefix + ": expected " + expected.describe() + ", got " + actual.describe();
    return;
  }
  double scale = 1;
  if (expected.isFloat())
    for (Scalar x : expected.elements())
      if (std::isfinite(x.f))
        scale = std::max(scale, std::fabs(x.f));
  for (int64_t i = 0; i < expected.getNumElements(); ++i) {
    if (!expected.isFloat()) {
      if (expected.intAt(i) == actual.intAt(i))
        continue;
      difference.mismatch = prefix + ", element " + std::to_string(i) + ": expected " +
                            std::to_string(expected.intAt(i)) + ", got " +
                            std::to_string(actual.intAt(i));
      return;
    }
    double e = expected.floatAt(i), a = actual.floatAt(i);
    if (e == a || (std::isnan(e) && std::isnan(a)))
      continue;
    if (!std::isfinite(e) || !std::isfinite(a)) {
      llvm::raw_string_ostream(difference.mismatch)
          << prefix << ", element " << i << ": expected " << llvm::format("%g", e) << ", got "
          << llvm::format("%g", a);
      return;
    }
    double absolute = std::fabs(e - a), relative = absolute / scale;
    difference.absolute = std::max(difference.absolute, absolute);
    if (relative > difference.relative) {
      difference.relative = relative;
      difference.result = number;
      difference.element = i;
      difference.expected = e;
      difference.actual = a;
    }
  }
}

Difference compareResults(ArrayRef<RuntimeValue> expected, ArrayRef<RuntimeValue> actual) {
  Difference difference;
  if (expected.size() != actual.size()) {
    difference.mismatch = "expected " + std::to_string(expected.size()) + " results, got " +
                          std::to_string(actual.size());
    return difference;
  }
  for (auto [number, pair] : llvm::enumerate(llvm::zip(expected, actual))) {
    auto &[e, a] = pair;
    if (e.index() != a.index())
      difference.mismatch = "result " + std::to_string(number) + ": expected another kind of value";
    else if (auto *tensor = std::get_if<Tensor>(&e))
      compareTensors(number, *tensor, std::get<Tensor>(a), difference);
    if (!difference.mismatch.empty())
      break;
  }
  return difference;
}

//===----------------------------------------------------------------------===//
// Summaries
//===----------------------------------------------------------------------===//

/// Elements of a tensor that is printed whole.
static constexpr int64_t kSmall = 64;

static void printElement(llvm::raw_ostream &stream, const Tensor &tensor, int64_t i,
                         unsigned digits) {
  if (!tensor.isFloat())
    stream << tensor.intAt(i);
  else
    stream << llvm::format("%.*g", int(digits), tensor.floatAt(i));
}

static void printNested(llvm::raw_ostream &stream, const Tensor &tensor, int64_t d, int64_t &next,
                        unsigned digits) {
  if (d == tensor.getRank())
    return printElement(stream, tensor, next++, digits);
  stream << '[';
  for (int64_t i = 0; i < tensor.getDim(d); ++i) {
    stream << (i ? ", " : "");
    printNested(stream, tensor, d + 1, next, digits);
  }
  stream << ']';
}

std::string summarize(const RuntimeValue &value, unsigned digits) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  if (auto *batch = std::get_if<Batch>(&value)) {
    stream << "batch of " << batch->sequences.size() << " sequences, " << batch->getTokens()
           << " rows";
    return text;
  }
  if (auto *cache = std::get_if<Cache>(&value)) {
    stream << "cache that holds [";
    for (int64_t b = 0; b < cache->getSequences(); ++b)
      stream << (b ? ", " : "") << cache->getLength(b);
    stream << "] positions";
    return text;
  }
  const Tensor &tensor = std::get<Tensor>(value);
  stream << tensor.describe();
  if (tensor.getNumElements() <= kSmall) {
    stream << " = ";
    int64_t next = 0;
    printNested(stream, tensor, 0, next, digits);
    return text;
  }
  if (tensor.isFloat()) {
    double low = HUGE_VAL, high = -HUGE_VAL, sum = 0, square = 0;
    int64_t strange = 0;
    for (Scalar x : tensor.elements()) {
      strange += !std::isfinite(x.f);
      low = std::min(low, x.f);
      high = std::max(high, x.f);
      sum += x.f;
      square += x.f * x.f;
    }
    stream << llvm::format(": min %.*g, max %.*g", int(digits), low, int(digits), high)
           << llvm::format(", mean %.*g, norm %.*g", int(digits), sum / tensor.getNumElements(),
                           int(digits), std::sqrt(square));
    if (strange)
      stream << ", " << strange << " not finite";
  } else {
    stream << ":";
  }
  stream << ", first [";
  for (int64_t i = 0; i < 8; ++i) {
    stream << (i ? ", " : "");
    printElement(stream, tensor, i, digits);
  }
  stream << ", ...]";
  return text;
}

} // namespace ingot::reference
