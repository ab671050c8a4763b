//===- BlockWeightsTest.cpp - weights in block formats ----------------------------------------===//
//
// In every format: a parameter means what the decoder says, a product with it is the product with
// the widened weight, and conversions round as the encoders do.
//
//===----------------------------------------------------------------------------------------===//

#include "Harness.h"

using namespace ingot::reference;
namespace formats = ingot::formats;

namespace {

/// Replaces every '$' by `text`.
std::string substitute(std::string pattern, llvm::StringRef text) {
  for (size_t at; (at = pattern.find('$')) != std::string::npos;)
    pattern.replace(at, 1, text.str());
  return pattern;
}

class BlockWeights : public testing::TestWithParam<formats::Format> {};

TEST_P(BlockWeights, MeanWhatTheyDecodeTo) {
  const formats::FormatInfo &info = formats::getInfo(GetParam());
  Program program(substitute(R"(
    func.func @widened() -> tensor<3x512xf32> {
      %w = tfm.parameter "w" from "m.gguf" at 40 : tensor<3x512x!tfm.block<$>>
      %0 = tfm.convert_weight %w : tensor<3x512x!tfm.block<$>> -> tensor<3x512xf32>
      return %0 : tensor<3x512xf32>
    }
    func.func @narrowed() -> tensor<3x512xbf16> {
      %w = tfm.parameter "w" from "m.gguf" at 40 : tensor<3x512x!tfm.block<$>>
      %0 = tfm.convert_weight %w : tensor<3x512x!tfm.block<$>> -> tensor<3x512xbf16>
      return %0 : tensor<3x512xbf16>
    }
    func.func @linear(%x: tensor<2x512xf32>) -> tensor<2x3xf32> {
      %w = tfm.parameter "w" from "m.gguf" at 40 : tensor<3x512x!tfm.block<$>>
      %0 = tfm.linear %x, %w : tensor<2x512xf32>, tensor<3x512x!tfm.block<$>> -> tensor<2x3xf32>
      return %0 : tensor<2x3xf32>
    }
    func.func @embedding(%ids: tensor<2xi32>) -> tensor<2x512xf32> {
      %w = tfm.parameter "w" from "m.gguf" at 40 : tensor<3x512x!tfm.block<$>>
      %0 = tfm.embedding %ids, %w : tensor<2xi32>, tensor<3x512x!tfm.block<$>> -> tensor<2x512xf32>
      return %0 : tensor<2x512xf32>
    })",
                             llvm::StringRef(info.name)));
  ASSERT_TRUE(program.module);
  auto type = ingot::tfm::BlockType::get(&program.context, GetParam());
  RandomParameterSource source(5);
  auto bytes = llvm::cantFail(
      source.resolve("m.gguf", 40, int64_t(formats::bytesOf(GetParam(), 3 * 512)), type));
  std::vector<float> numbers(3 * 512);
  formats::decode(GetParam(), bytes.data(), numbers.size(), numbers.data());
  std::vector<double> weights(numbers.begin(), numbers.end());
  EXPECT_EQ(program.floats("widened", {}), weights);

  std::vector<double> rounded;
  for (double weight : weights)
    rounded.push_back(roundToFormat(weight, FloatFormat::BF16));
  EXPECT_EQ(program.floats("narrowed", {}), rounded);

  std::vector<double> x = randomNumbers(2 * 512, 1), expected(6), rows;
  for (int m = 0; m < 2; ++m)
    for (int n = 0; n < 3; ++n)
      for (int k = 0; k < 512; ++k)
        expected[m * 3 + n] += x[m * 512 + k] * weights[n * 512 + k];
  expectNear(expected, program.floats("linear", {program.tensor({2, 512}, x)}), 1e-10);

  rows.assign(weights.begin() + 2 * 512, weights.end());
  rows.insert(rows.end(), weights.begin(), weights.begin() + 512);
  EXPECT_EQ(program.floats("embedding", {Tensor::ofInts({2}, program.integer(32), {2, 0})}), rows);
}

std::vector<formats::Format> blockFormats() {
  std::vector<formats::Format> all;
  for (size_t i = 0; i < formats::kNumFormats; ++i)
    if (formats::getInfo(formats::Format(i)).isBlock() &&
        formats::Format(i) != formats::Format::Q8_X)
      all.push_back(formats::Format(i));
  return all;
}

INSTANTIATE_TEST_SUITE_P(Formats, BlockWeights, testing::ValuesIn(blockFormats()),
                         [](const auto &info) {
                           return std::string(formats::getInfo(info.param).name);
                         });

TEST(ConvertWeight, RoundsAsTheEncoders) {
  Program program(R"(
    func.func @q8(%w: tensor<2x64xf32>) -> tensor<2x64xf32> {
      %0 = tfm.convert_weight %w : tensor<2x64xf32> -> tensor<2x64x!tfm.block<q8_0>>
      %1 = tfm.convert_weight %0 : tensor<2x64x!tfm.block<q8_0>> -> tensor<2x64xf32>
      return %1 : tensor<2x64xf32>
    })");
  std::vector<double> values = randomNumbers(128, 9);
  std::vector<float> floats(values.begin(), values.end());
  std::vector<uint8_t> blocks(formats::bytesOf(formats::Format::Q8_0, 128));
  formats::encode(formats::Format::Q8_0, floats.data(), 128, blocks.data());
  formats::decode(formats::Format::Q8_0, blocks.data(), 128, floats.data());
  std::vector<double> expected(floats.begin(), floats.end());
  EXPECT_NE(expected, values);
  // Weights are what they are: f64 arithmetic rounds them too.
  for (Precision precision : {Precision::F64, Precision::F32})
    EXPECT_EQ(program.floats("q8", {program.tensor({2, 64}, values)}, precision), expected);
}

TEST(ConvertWeight, TransposesAndPads) {
  Program program(R"(
    func.func @turned(%w: tensor<40x3xf32>, %ids: tensor<3xi32>) -> tensor<3x40xf32> {
      %0 = tfm.convert_weight %w transposed : tensor<40x3xf32> -> tensor<3x40x!tfm.block<q8_0>>
      %1 = tfm.embedding %ids, %0 : tensor<3xi32>, tensor<3x40x!tfm.block<q8_0>> -> tensor<3x40xf32>
      return %1 : tensor<3x40xf32>
    })");
  std::vector<double> values = randomNumbers(120, 9), expected;
  for (int row = 0; row < 3; ++row) {
    std::vector<float> floats;
    for (int k = 0; k < 40; ++k)
      floats.push_back(float(values[k * 3 + row]));
    std::vector<uint8_t> blocks(formats::bytesOf(formats::Format::Q8_0, 40));
    formats::encode(formats::Format::Q8_0, floats.data(), 40, blocks.data());
    formats::decode(formats::Format::Q8_0, blocks.data(), 40, floats.data());
    expected.insert(expected.end(), floats.begin(), floats.end());
  }
  EXPECT_EQ(program.floats("turned", {program.tensor({40, 3}, values),
                                      Tensor::ofInts({3}, program.integer(32), {0, 1, 2})}),
            expected);
}

TEST(Quantize, RoundsRowsAndMultiplies) {
  Program program(R"(
    func.func @product(%x: tensor<?x40xf32>, %w: tensor<2x40xf32>) -> tensor<?x2xf32> {
      %q = tfm.quantize %x : tensor<?x40xf32> -> tensor<?x40x!tfm.block<q8_x>>
      %b = tfm.convert_weight %w : tensor<2x40xf32> -> tensor<2x40x!tfm.block<q8_0>>
      %0 = tfm.linear %q, %b : tensor<?x40x!tfm.block<q8_x>>, tensor<2x40x!tfm.block<q8_0>> -> tensor<?x2xf32>
      return %0 : tensor<?x2xf32>
    })");
  std::vector<double> x = randomNumbers(120, 1), w = randomNumbers(80, 2), expected(6);
  auto rounded = [](const std::vector<double> &values, formats::Format format) {
    std::vector<float> floats(values.begin(), values.end());
    for (size_t row = 0; row < floats.size(); row += 40) {
      std::vector<uint8_t> blocks(formats::bytesOf(format, 40));
      formats::encode(format, &floats[row], 40, blocks.data());
      formats::decode(format, blocks.data(), 40, &floats[row]);
    }
    return floats;
  };
  std::vector<float> a = rounded(x, formats::Format::Q8_X), b = rounded(w, formats::Format::Q8_0);
  for (int m = 0; m < 3; ++m)
    for (int n = 0; n < 2; ++n)
      for (int k = 0; k < 40; ++k)
        expected[m * 2 + n] += double(a[m * 40 + k]) * b[n * 40 + k];
  expectNear(expected,
             program.floats("product", {program.tensor({3, 40}, x), program.tensor({2, 40}, w)}),
             1e-10);
}

} // namespace
