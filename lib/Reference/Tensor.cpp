//===- Tensor.cpp - numbers and tensors of the reference interpreter --------------------------===//

#include "ingot/Reference/Tensor.h"
#include "ingot/Dialect/Transformer/IR/TransformerDialect.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/raw_ostream.h"
#include <cmath>
#include <cstring>

using namespace mlir;

namespace ingot::reference {

//===----------------------------------------------------------------------===//
// Numbers
//===----------------------------------------------------------------------===//

std::optional<NumberKind> getNumberKind(Type type) {
  NumberKind kind;
  kind.isFloat = true;
  if (type.isF64())
    return kind;
  if (type.isF32() || isa<tfm::BlockType>(type)) {
    kind.format = FloatFormat::F32;
    kind.width = 32;
    return kind;
  }
  if (type.isF16() || type.isBF16()) {
    kind.format = type.isF16() ? FloatFormat::F16 : FloatFormat::BF16;
    kind.width = 16;
    return kind;
  }
  kind.isFloat = false;
  if (type.isIndex())
    return kind;
  auto integer = dyn_cast<IntegerType>(type);
  if (!integer ||
      !(integer.getWidth() == 1 || integer.getWidth() == 8 || integer.getWidth() == 16 ||
        integer.getWidth() == 32 || integer.getWidth() == 64))
    return std::nullopt;
  kind.width = integer.getWidth();
  return kind;
}

namespace {
struct FormatFacts {
  int precision;   // bits of the significand, the hidden one included
  int minExponent; // of the smallest normal number, 2^minExponent
  double largest;
};
} // namespace

static FormatFacts factsOf(FloatFormat format) {
  switch (format) {
  case FloatFormat::F16:
    return {11, -14, 65504.0};
  case FloatFormat::BF16:
    return {8, -126, 0x1.FEp127};
  case FloatFormat::F32:
    return {24, -126, 0x1.FFFFFEp127};
  case FloatFormat::F64:
    break;
  }
  return {53, -1022, 0x1.FFFFFFFFFFFFFp1023};
}

double roundToFormat(double value, FloatFormat format) {
  if (format == FloatFormat::F64)
    return value;
  if (format == FloatFormat::F32)
    return static_cast<float>(value);
  if (value == 0 || !std::isfinite(value))
    return value;
  FormatFacts facts = factsOf(format);
  int exponent;
  std::frexp(value, &exponent); // |value| is in [2^(exponent - 1), 2^exponent)
  int unit = std::max(exponent - facts.precision, facts.minExponent - facts.precision + 1);
  double rounded = std::ldexp(std::nearbyint(std::ldexp(value, -unit)), unit);
  return std::fabs(rounded) > facts.largest ? std::copysign(HUGE_VAL, value) : rounded;
}

uint64_t encodeFloat(double value, FloatFormat format) {
  if (format == FloatFormat::F64) {
    uint64_t bits;
    std::memcpy(&bits, &value, sizeof(bits));
    return bits;
  }
  if (format == FloatFormat::F32 || format == FloatFormat::BF16) {
    // bf16 is the upper half of an f32; a rounded value has nothing in the lower half.
    float narrow = static_cast<float>(roundToFormat(value, format));
    uint32_t bits;
    std::memcpy(&bits, &narrow, sizeof(bits));
    if (format == FloatFormat::F32)
      return bits;
    return std::isnan(narrow) ? (bits >> 16) | 0x40 : bits >> 16;
  }
  uint64_t sign = std::signbit(value) ? 0x8000 : 0;
  if (std::isnan(value))
    return sign | 0x7E00;
  double magnitude = std::fabs(roundToFormat(value, format));
  if (std::isinf(magnitude))
    return sign | 0x7C00;
  if (magnitude < 0x1p-14) // subnormals are multiples of 2^-24
    return sign | static_cast<uint64_t>(std::ldexp(magnitude, 24));
  int exponent;
  double fraction = std::frexp(magnitude, &exponent); // in [0.5, 1)
  return sign | uint64_t(exponent + 14) << 10 |
         (static_cast<uint64_t>(std::ldexp(fraction, 11)) & 0x3FF);
}

double decodeFloat(uint64_t bits, FloatFormat format) {
  switch (format) {
  case FloatFormat::F64: {
    double value;
    std::memcpy(&value, &bits, sizeof(value));
    return value;
  }
  case FloatFormat::BF16:
  case FloatFormat::F32: {
    uint32_t narrow = format == FloatFormat::BF16 ? uint32_t(bits) << 16 : uint32_t(bits);
    float value;
    std::memcpy(&value, &narrow, sizeof(value));
    return value;
  }
  case FloatFormat::F16:
    break;
  }
  unsigned exponent = (bits >> 10) & 0x1F;
  double sign = bits & 0x8000 ? -1.0 : 1.0;
  if (exponent == 0x1F)
    return bits & 0x3FF ? std::nan("") : sign * HUGE_VAL;
  if (exponent == 0) // subnormals are multiples of 2^-24
    return sign * 0x1p-24 * double(bits & 0x3FF);
  // An f32 has the same fraction 13 bits higher and an exponent that is biased by 127, not 15.
  return decodeFloat((bits & 0x8000) << 16 | ((bits & 0x7FFF) << 13) + ((127 - 15) << 23),
                     FloatFormat::F32);
}

int64_t wrapInteger(int64_t value, unsigned width) {
  if (width == 1)
    return value & 1;
  return width == 64 ? value : llvm::SignExtend64(uint64_t(value), width);
}

int64_t signedValue(int64_t held, unsigned width) { return width == 1 ? -held : held; }

uint64_t unsignedValue(int64_t held, unsigned width) {
  return width == 64 ? uint64_t(held) : uint64_t(held) & ((uint64_t(1) << width) - 1);
}

//===----------------------------------------------------------------------===//
// Shapes
//===----------------------------------------------------------------------===//

SmallVector<int64_t, 4> stridesOf(ArrayRef<int64_t> shape) {
  SmallVector<int64_t, 4> strides(shape.size(), 1);
  for (int64_t d = int64_t(shape.size()) - 2; d >= 0; --d)
    strides[d] = strides[d + 1] * shape[d + 1];
  return strides;
}

bool nextIndex(MutableArrayRef<int64_t> index, ArrayRef<int64_t> shape) {
  for (int64_t d = int64_t(index.size()) - 1; d >= 0; --d) {
    if (++index[d] < shape[d])
      return true;
    index[d] = 0;
  }
  return false;
}

std::optional<int64_t> checkedProduct(ArrayRef<int64_t> shape) {
  int64_t product = 1;
  for (int64_t size : shape)
    if (size < 0 || llvm::MulOverflow(product, size, product))
      return std::nullopt;
  return product;
}

static std::string describeShape(ArrayRef<int64_t> shape, Type elementType) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  for (int64_t size : shape)
    stream << size << 'x';
  stream << elementType;
  return text;
}

//===----------------------------------------------------------------------===//
// Tensor
//===----------------------------------------------------------------------===//

Tensor::Tensor() : held(std::make_shared<std::vector<Scalar>>(1, makeFloat(0))) {
  kind.isFloat = true;
}

static llvm::Error checkTensor(ArrayRef<int64_t> shape, Type elementType) {
  if (!getNumberKind(elementType))
    return llvm::createStringError("the interpreter has no numbers of type " +
                                   describeShape({}, elementType));
  std::optional<int64_t> count = checkedProduct(shape);
  if (!count || *count > Tensor::maxElements())
    return llvm::createStringError("expected a tensor of at most 2^30 elements, got " +
                                   describeShape(shape, elementType));
  return llvm::Error::success();
}

llvm::Expected<Tensor> Tensor::create(ArrayRef<int64_t> shape, Type elementType) {
  if (llvm::Error error = checkTensor(shape, elementType))
    return std::move(error);
  Tensor tensor;
  tensor.shape.assign(shape.begin(), shape.end());
  tensor.elementType = elementType;
  tensor.kind = *getNumberKind(elementType);
  tensor.numElements = *checkedProduct(shape);
  // The integer 0 and the double +0 have the same bits.
  tensor.held = std::make_shared<std::vector<Scalar>>(tensor.numElements, makeInt(0));
  return tensor;
}

llvm::Expected<Tensor> Tensor::view(ArrayRef<int64_t> shape, Type elementType,
                                    ArrayRef<uint8_t> bytes) {
  if (llvm::Error error = checkTensor(shape, elementType))
    return std::move(error);
  Tensor tensor;
  tensor.shape.assign(shape.begin(), shape.end());
  tensor.elementType = elementType;
  tensor.kind = *getNumberKind(elementType);
  tensor.numElements = *checkedProduct(shape);
  auto block = dyn_cast<tfm::BlockType>(elementType);
  int64_t expected = block ? tfm::getStorageBytes(RankedTensorType::get(shape, block)).value_or(-1)
                           : tensor.numElements * tensor.kind.storageBytes();
  if (int64_t(bytes.size()) != expected)
    return llvm::createStringError("expected " + std::to_string(expected) + " bytes for " +
                                   describeShape(shape, elementType) + ", got " +
                                   std::to_string(bytes.size()));
  if (tensor.numElements == 0) {
    tensor.held = std::make_shared<std::vector<Scalar>>();
    return tensor;
  }
  tensor.held = nullptr;
  tensor.bytes = bytes.data();
  if (block) {
    // A view of the numbers that the blocks decode to.
    std::vector<float> numbers(tensor.numElements);
    int64_t columns = shape.back(), rowBytes = formats::bytesOf(block.getFormat(), columns);
    for (int64_t row = 0; row * columns < tensor.numElements; ++row)
      formats::decode(block.getFormat(), bytes.data() + row * rowBytes, columns,
                      numbers.data() + row * columns);
    tensor.owned = std::make_shared<std::vector<uint8_t>>(numbers.size() * sizeof(float));
    std::memcpy(tensor.owned->data(), numbers.data(), tensor.owned->size());
    tensor.bytes = tensor.owned->data();
  }
  return tensor;
}

llvm::Expected<Tensor> Tensor::ofBytes(ArrayRef<int64_t> shape, Type elementType,
                                       std::vector<uint8_t> bytes) {
  auto owned = std::make_shared<std::vector<uint8_t>>(std::move(bytes));
  llvm::Expected<Tensor> tensor = view(shape, elementType, *owned);
  if (tensor && !tensor->owned)
    tensor->owned = std::move(owned);
  return tensor;
}

Tensor Tensor::scalar(Type elementType, Scalar value) {
  Tensor tensor;
  tensor.elementType = elementType;
  tensor.kind = *getNumberKind(elementType);
  (*tensor.held)[0] = value;
  return tensor;
}

Tensor Tensor::ofFloats(ArrayRef<int64_t> shape, Type elementType, ArrayRef<double> values) {
  Tensor tensor = llvm::cantFail(create(shape, elementType));
  assert(tensor.isFloat() && tensor.numElements == int64_t(values.size()));
  for (auto [element, value] : llvm::zip(*tensor.held, values))
    element.f = value;
  return tensor;
}

Tensor Tensor::ofInts(ArrayRef<int64_t> shape, Type elementType, ArrayRef<int64_t> values) {
  Tensor tensor = llvm::cantFail(create(shape, elementType));
  assert(!tensor.isFloat() && tensor.numElements == int64_t(values.size()));
  for (auto [element, value] : llvm::zip(*tensor.held, values))
    element.i = wrapInteger(value, tensor.kind.width);
  return tensor;
}

Scalar Tensor::decode(int64_t index) const {
  int64_t size = kind.storageBytes();
  uint64_t bits = 0;
  std::memcpy(&bits, bytes + index * size, size);
  if (kind.isFloat)
    return makeFloat(decodeFloat(bits, kind.format));
  return makeInt(wrapInteger(int64_t(bits), kind.width));
}

/// Widens `count` numbers of type `Bits` from bytes that may not be aligned.
template <typename T, typename Bits>
static void widen(const uint8_t *bytes, FloatFormat format, MutableArrayRef<T> out) {
  for (size_t i = 0; i < out.size(); ++i) {
    Bits bits;
    std::memcpy(&bits, bytes + i * sizeof(Bits), sizeof(Bits));
    out[i] = static_cast<T>(decodeFloat(bits, format));
  }
}

template <typename T> void Tensor::read(int64_t begin, MutableArrayRef<T> out) const {
  assert(isFloat() && begin >= 0 && begin + int64_t(out.size()) <= numElements);
  if (!bytes) {
    for (size_t i = 0; i < out.size(); ++i)
      out[i] = static_cast<T>((*held)[begin + i].f);
    return;
  }
  const uint8_t *first = bytes + begin * kind.storageBytes();
  switch (kind.format) {
  case FloatFormat::F64:
    return widen<T, uint64_t>(first, FloatFormat::F64, out);
  case FloatFormat::F32:
    return widen<T, uint32_t>(first, FloatFormat::F32, out);
  case FloatFormat::F16:
    return widen<T, uint16_t>(first, FloatFormat::F16, out);
  case FloatFormat::BF16:
    return widen<T, uint16_t>(first, FloatFormat::BF16, out);
  }
}
template void Tensor::read<double>(int64_t, MutableArrayRef<double>) const;
template void Tensor::read<float>(int64_t, MutableArrayRef<float>) const;

ArrayRef<Scalar> Tensor::elements() const {
  if (bytes) {
    auto widened = std::make_shared<std::vector<Scalar>>(numElements);
    for (int64_t i = 0; i < numElements; ++i)
      (*widened)[i] = decode(i);
    held = std::move(widened);
    bytes = nullptr;
  }
  return *held;
}

MutableArrayRef<Scalar> Tensor::mutableElements() {
  (void)elements();
  if (held.use_count() != 1)
    held = std::make_shared<std::vector<Scalar>>(*held);
  return *held;
}

Tensor Tensor::reshaped(ArrayRef<int64_t> newShape) const {
  assert(checkedProduct(newShape) == numElements);
  Tensor tensor = *this;
  tensor.shape.assign(newShape.begin(), newShape.end());
  return tensor;
}

Tensor Tensor::retyped(Type newElementType) const {
  Tensor tensor = *this;
  (void)tensor.elements(); // a view is decoded by its own type
  tensor.elementType = newElementType;
  tensor.kind = *getNumberKind(newElementType);
  return tensor;
}

std::optional<Tensor> Tensor::stackViews(ArrayRef<Tensor> tensors) {
  if (tensors.empty() || tensors.front().getRank() == 0)
    return std::nullopt;
  auto bytes = std::make_shared<std::vector<uint8_t>>();
  Tensor result = tensors.front();
  result.shape[0] = 0;
  result.numElements = 0;
  for (const Tensor &tensor : tensors) {
    if (!tensor.bytes || tensor.elementType != result.elementType)
      return std::nullopt;
    bytes->insert(bytes->end(), tensor.bytes,
                  tensor.bytes + tensor.numElements * tensor.kind.storageBytes());
    result.shape[0] += tensor.shape[0];
    result.numElements += tensor.numElements;
  }
  result.bytes = bytes->data();
  result.owned = std::move(bytes);
  return result;
}

std::string Tensor::describe() const { return describeShape(shape, elementType); }

} // namespace ingot::reference
