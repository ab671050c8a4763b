//===- NpyTest.cpp - NumPy's array files ------------------------------------------------------===//

#include "ingot/Reference/Npy.h"
#include "ingot/Reference/Random.h"
#include "mlir/IR/MLIRContext.h"
#include "gtest/gtest.h"
#include <cstring>

using namespace ingot::reference;
using namespace mlir;

namespace {

struct NpyTest : testing::Test {
  /// A file as numpy.save writes it.
  static std::string file(StringRef header, StringRef data, char version = 1) {
    std::string text = "\x93NUMPY";
    text += {version, 0, char(header.size() & 0xFF), char(header.size() >> 8)};
    if (version > 1)
      text += {0, 0};
    return text + header.str() + data.str();
  }
  template <typename T> static std::string bytes(ArrayRef<T> values) {
    return std::string(reinterpret_cast<const char *>(values.data()), values.size() * sizeof(T));
  }
  std::string error(StringRef contents, Type type) {
    llvm::Expected<Tensor> tensor = parseNpy(contents, "x.npy", type);
    return tensor ? "" : toString(tensor.takeError());
  }

  MLIRContext context{MLIRContext::Threading::DISABLED};
  Type f32 = Float32Type::get(&context), f64 = Float64Type::get(&context),
       bf16 = BFloat16Type::get(&context), i32 = IntegerType::get(&context, 32),
       i8 = IntegerType::get(&context, 8), i1 = IntegerType::get(&context, 1);
};

TEST_F(NpyTest, readsWhatNumpyWrites) {
  std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }         \n";
  llvm::Expected<Tensor> tensor =
      parseNpy(file(header, bytes<float>({1, -2.5, 3, 0.1f, 5, 6})), "x.npy", f32);
  ASSERT_TRUE(bool(tensor)) << toString(tensor.takeError());
  EXPECT_EQ(tensor->getShape(), ArrayRef<int64_t>({2, 3}));
  EXPECT_EQ(tensor->floatAt(1), -2.5);
  EXPECT_EQ(tensor->floatAt(3), double(0.1f));

  header = "{'descr': '<i8', 'fortran_order': False, 'shape': (3,), }\n";
  tensor = parseNpy(file(header, bytes<int64_t>({7, -1, 300}), 2), "x.npy", i32);
  ASSERT_TRUE(bool(tensor)) << toString(tensor.takeError());
  EXPECT_EQ(tensor->intAt(2), 300);

  header = "{'descr': '|b1', 'fortran_order': False, 'shape': (), }\n";
  tensor = parseNpy(file(header, StringRef("\1", 1)), "x.npy", i1);
  ASSERT_TRUE(bool(tensor)) << toString(tensor.takeError());
  EXPECT_EQ(tensor->getRank(), 0);
  EXPECT_EQ(tensor->intAt(0), 1);

  // Floats are rounded to the type that is asked for.
  header = "{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }\n";
  tensor = parseNpy(file(header, bytes<double>({1.0 / 3})), "x.npy", bf16);
  ASSERT_TRUE(bool(tensor)) << toString(tensor.takeError());
  EXPECT_EQ(tensor->floatAt(0), 0.333984375);
}

TEST_F(NpyTest, roundTrip) {
  std::vector<double> numbers = {0.5, -0.0, 1e-30, 3, HUGE_VAL, 7};
  for (bool asDoubles : {false, true}) {
    Tensor tensor = Tensor::ofFloats({3, 2}, asDoubles ? f32 : f64, numbers);
    llvm::Expected<Tensor> read = parseNpy(formatNpy(tensor, asDoubles), "x.npy", f64);
    ASSERT_TRUE(bool(read)) << toString(read.takeError());
    EXPECT_EQ(read->getShape(), ArrayRef<int64_t>({3, 2}));
    for (int64_t i = 0; i < 6; ++i)
      EXPECT_EQ(read->floatAt(i), numbers[i]);
  }
  std::string text = formatNpy(Tensor::ofInts({3}, i8, {1, -2, 3}));
  EXPECT_EQ((text.size() - 3) % 64, 0u) << "elements start at a multiple of 64";
  llvm::Expected<Tensor> read = parseNpy(text, "x.npy", i8);
  ASSERT_TRUE(bool(read)) << toString(read.takeError());
  EXPECT_EQ(read->intAt(1), -2);
}

TEST_F(NpyTest, errors) {
  std::string good = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n";
  std::string data = bytes<float>({1, 2});
  EXPECT_EQ(error("abc", f32), "x.npy: expected a .npy file");
  EXPECT_EQ(error(file(good, data, 9), f32),
            "x.npy: expected version 1, 2 or 3 of the format, got 9");
  EXPECT_EQ(error(StringRef(file(good, data)).take_front(30), f32),
            "x.npy: ends inside its header");
  EXPECT_EQ(error(file(good, data + "x"), f32),
            "x.npy: expected 2 elements of 4 bytes, got 9 bytes");
  EXPECT_EQ(error(file(good, data), i32), "x.npy: expected elements for i32, got '<f4'");
  EXPECT_EQ(error(file("{'descr': '>f4', 'fortran_order': False, 'shape': (2,), }", data), f32),
            "x.npy: expected little-endian floats, integers or booleans, got '>f4'");
  EXPECT_EQ(error(file("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 1), }", data), f32),
            "x.npy: expected C order, got Fortran order");
  EXPECT_EQ(error(file("{'descr': '<f4', 'shape': (2,), }", data), f32),
            "x.npy: has a malformed header");
  EXPECT_EQ(error(file("{'descr': '<f4', 'fortran_order': False, 'shape': (-2,), }", data), f32),
            "x.npy: has a malformed header");
  std::string huge =
      "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }";
  EXPECT_EQ(error(file(huge, data), f32), "x.npy: expected fewer elements of 4 bytes, got 8 bytes");
  std::string ints = "{'descr': '<i4', 'fortran_order': False, 'shape': (1,), }";
  EXPECT_EQ(error(file(ints, bytes<int32_t>({300})), i8),
            "x.npy: holds 300, which does not fit i8");
}

TEST_F(NpyTest, damagedFilesAreErrorsOrArrays) {
  std::string good = formatNpy(Tensor::ofFloats({2, 3}, f32, {1, 2, 3, 4, 5, 6}));
  for (size_t size = 0; size < good.size(); ++size)
    EXPECT_NE(error(StringRef(good).take_front(size), f32), "");
  for (uint64_t i = 0; i < 20000; ++i) {
    std::string bad = good;
    bad[randomBits(1, i) % 128] ^= 1 << (randomBits(2, i) % 8);
    (void)error(bad, f32); // must not crash; a changed byte may be harmless
  }
}

} // namespace
