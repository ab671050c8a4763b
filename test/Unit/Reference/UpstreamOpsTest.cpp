//===- UpstreamOpsTest.cpp - arith, math, tensor, linalg and scf ------------------------------===//

#include "Harness.h"
#include <cmath>

using namespace ingot::reference;

namespace {

//===----------------------------------------------------------------------===//
// Scalars
//===----------------------------------------------------------------------===//

/// Evaluates `op %a, %b : type` on integers.
int64_t integerOp(const std::string &op, unsigned width, int64_t a, int64_t b,
                  const std::string &result = "") {
  std::string type = "i" + std::to_string(width), to = result.empty() ? type : result;
  Program program("func.func @f(%a: " + type + ", %b: " + type + ") -> " + to + " {\n  %0 = " + op +
                  " %a, %b : " + type + "\n  return %0 : " + to + "\n}");
  mlir::Type t = program.integer(width);
  std::vector<int64_t> out = program.ints("f", {Tensor::scalar(t, makeInt(wrapInteger(a, width))),
                                                Tensor::scalar(t, makeInt(wrapInteger(b, width)))});
  return out.empty() ? INT64_MIN : out[0];
}

TEST(UpstreamOps, integers) {
  EXPECT_EQ(integerOp("arith.addi", 8, 100, 100), -56);
  EXPECT_EQ(integerOp("arith.subi", 32, INT32_MIN, 1), INT32_MAX);
  EXPECT_EQ(integerOp("arith.muli", 64, INT64_MAX, 3), INT64_MAX - 2);
  EXPECT_EQ(integerOp("arith.divsi", 32, -7, 2), -3);
  EXPECT_EQ(integerOp("arith.floordivsi", 32, -7, 2), -4);
  EXPECT_EQ(integerOp("arith.floordivsi", 32, 7, 2), 3);
  EXPECT_EQ(integerOp("arith.ceildivsi", 32, 7, 2), 4);
  EXPECT_EQ(integerOp("arith.ceildivsi", 32, -7, 2), -3);
  EXPECT_EQ(integerOp("arith.divui", 8, -1, 2), 127);
  EXPECT_EQ(integerOp("arith.ceildivui", 8, 255, 2), -128);
  EXPECT_EQ(integerOp("arith.remsi", 32, -7, 3), -1);
  EXPECT_EQ(integerOp("arith.remsi", 64, INT64_MIN, -1), 0);
  EXPECT_EQ(integerOp("arith.remui", 8, -1, 16), 15);
  EXPECT_EQ(integerOp("arith.andi", 32, 12, 10), 8);
  EXPECT_EQ(integerOp("arith.ori", 32, 12, 10), 14);
  EXPECT_EQ(integerOp("arith.xori", 1, 1, 1), 0);
  EXPECT_EQ(integerOp("arith.shli", 8, 3, 6), -64);
  EXPECT_EQ(integerOp("arith.shrsi", 8, -64, 6), -1);
  EXPECT_EQ(integerOp("arith.shrui", 8, -64, 6), 3);
  EXPECT_EQ(integerOp("arith.maxsi", 16, -3, 2), 2);
  EXPECT_EQ(integerOp("arith.maxui", 16, -3, 2), -3);
  EXPECT_EQ(integerOp("arith.minsi", 1, 1, 0), 1) << "the i1 1 is -1 as a signed number";
  EXPECT_EQ(integerOp("arith.minui", 1, 1, 0), 0);
  EXPECT_EQ(integerOp("arith.cmpi slt,", 8, -1, 1, "i1"), 1);
  EXPECT_EQ(integerOp("arith.cmpi ult,", 8, -1, 1, "i1"), 0);
  EXPECT_EQ(integerOp("arith.cmpi sge,", 8, 5, 5, "i1"), 1);
  EXPECT_EQ(integerOp("arith.cmpi ne,", 8, 5, 5, "i1"), 0);
}

//===----------------------------------------------------------------------===//
// Functions
//===----------------------------------------------------------------------===//

double floatOp(const std::string &op, llvm::ArrayRef<double> operands,
               Precision precision = Precision::F64) {
  std::string arguments, names;
  llvm::SmallVector<RuntimeValue> inputs;
  for (size_t i = 0; i < operands.size(); ++i) {
    arguments += (i ? ", %x" : "%x") + std::to_string(i) + ": f32";
    names += (i ? ", %x" : " %x") + std::to_string(i);
  }
  Program program("func.func @f(" + arguments + ") -> f32 {\n  %0 = " + op + names +
                  " : f32\n  return %0 : f32\n}");
  for (double operand : operands)
    inputs.push_back(Tensor::scalar(program.f32(), makeFloat(operand)));
  std::vector<double> out = program.floats("f", inputs, precision);
  return out.empty() ? -12345 : out[0];
}

TEST(UpstreamOps, floats) {
  double x = 0.71875, y = -1.40625, third = 1.0 / 3;
  EXPECT_EQ(floatOp("arith.addf", {x, y}), x + y);
  EXPECT_EQ(floatOp("arith.subf", {x, y}), x - y);
  EXPECT_EQ(floatOp("arith.mulf", {x, y}), x * y);
  EXPECT_EQ(floatOp("arith.divf", {1, 3}), third);
  EXPECT_EQ(floatOp("arith.divf", {1, 3}, Precision::F32), double(1.0f / 3.0f));
  EXPECT_EQ(floatOp("arith.remf", {5.5, -2}), 1.5);
  EXPECT_EQ(floatOp("arith.negf", {x}), -x);
  EXPECT_EQ(floatOp("arith.maximumf", {x, y}), x);
  EXPECT_TRUE(std::isnan(floatOp("arith.maximumf", {x, NAN})));
  EXPECT_EQ(floatOp("arith.maxnumf", {NAN, y}), y);
  EXPECT_EQ(floatOp("arith.minnumf", {x, NAN}), x);
  EXPECT_TRUE(std::signbit(floatOp("arith.minimumf", {0.0, -0.0})));
  EXPECT_FALSE(std::signbit(floatOp("arith.maximumf", {-0.0, 0.0})));
  EXPECT_EQ(floatOp("math.fma", {x, y, third}), std::fma(x, y, third));
  float a = 1 + 0x1p-12f, b = 1 - 0x1p-12f, c = -1;
  EXPECT_EQ(floatOp("math.fma", {a, b, c}, Precision::F32), double(std::fma(a, b, c)));
  EXPECT_EQ(floatOp("math.exp", {x}), std::exp(x));
  EXPECT_EQ(floatOp("math.exp2", {x}), std::exp2(x));
  EXPECT_EQ(floatOp("math.expm1", {x}), std::expm1(x));
  EXPECT_EQ(floatOp("math.log", {x}), std::log(x));
  EXPECT_EQ(floatOp("math.log2", {x}), std::log2(x));
  EXPECT_EQ(floatOp("math.log1p", {x}), std::log1p(x));
  EXPECT_EQ(floatOp("math.sqrt", {x}), std::sqrt(x));
  EXPECT_EQ(floatOp("math.rsqrt", {x}), 1 / std::sqrt(x));
  EXPECT_EQ(floatOp("math.cbrt", {y}), std::cbrt(y));
  EXPECT_EQ(floatOp("math.tanh", {x}), std::tanh(x));
  EXPECT_EQ(floatOp("math.sin", {x}), std::sin(x));
  EXPECT_EQ(floatOp("math.cos", {x}), std::cos(x));
  EXPECT_EQ(floatOp("math.tan", {x}), std::tan(x));
  EXPECT_EQ(floatOp("math.erf", {x}), std::erf(x));
  EXPECT_EQ(floatOp("math.erfc", {x}), std::erfc(x));
  EXPECT_EQ(floatOp("math.powf", {x, y}), std::pow(x, y));
  EXPECT_EQ(floatOp("math.absf", {y}), -y);
  EXPECT_EQ(floatOp("math.ceil", {y}), -1);
  EXPECT_EQ(floatOp("math.floor", {y}), -2);
  EXPECT_EQ(floatOp("math.round", {2.5}), 3);
  EXPECT_EQ(floatOp("math.roundeven", {2.5}), 2);
  EXPECT_EQ(floatOp("math.trunc", {y}), -1);
  EXPECT_EQ(floatOp("math.copysign", {x, y}), -x);
}

TEST(UpstreamOps, comparisons) {
  struct Case {
    const char *predicate;
    bool less, equal, unordered;
  };
  for (Case c : {Case{"olt", true, false, false}, Case{"oge", false, true, false},
                 Case{"one", true, false, false}, Case{"ueq", false, true, true},
                 Case{"ugt", false, false, true}, Case{"ule", true, true, true},
                 Case{"ord", true, true, false}, Case{"uno", false, false, true}}) {
    Program program(
        std::string("func.func @f(%x: tensor<3xf32>, %y: tensor<3xf32>) -> tensor<3xi1> {\n"
                    "  %0 = arith.cmpf ") +
        c.predicate + ", %x, %y : tensor<3xf32>\n  return %0 : tensor<3xi1>\n}");
    EXPECT_EQ(
        program.ints("f", {program.tensor({3}, {-1, 2, NAN}), program.tensor({3}, {0.5, 2, 1})}),
        (std::vector<int64_t>{c.less, c.equal, c.unordered}))
        << c.predicate;
  }
}

//===----------------------------------------------------------------------===//
// tensor
//===----------------------------------------------------------------------===//

TEST(UpstreamOps, slices) {
  Program program(R"(
    func.func @extract(%x: tensor<?x5x7xf32>, %o: index) -> tensor<2x3xf32> {
      %0 = tensor.extract_slice %x[%o, 3, 0] [2, 1, 3] [1, 1, 2] : tensor<?x5x7xf32> to tensor<2x3xf32>
      return %0 : tensor<2x3xf32>
    }
    func.func @insert(%x: tensor<4x5xf32>, %y: tensor<3xf32>) -> tensor<4x5xf32> {
      %0 = tensor.insert_slice %y into %x[2, 1] [1, 3] [1, 1] : tensor<3xf32> into tensor<4x5xf32>
      return %0 : tensor<4x5xf32>
    }
    func.func @concat(%x: tensor<2x?xf32>, %y: tensor<2x3xf32>) -> tensor<2x?xf32> {
      %0 = tensor.concat dim(1) %x, %y, %x : (tensor<2x?xf32>, tensor<2x3xf32>, tensor<2x?xf32>) -> tensor<2x?xf32>
      return %0 : tensor<2x?xf32>
    }
    func.func @pad(%x: tensor<2x3xf32>, %n: index) -> tensor<?x6xf32> {
      %0 = tensor.pad %x low[1, 2] high[%n, 1] {
      ^bb0(%i: index, %j: index):
        %sum = arith.addi %i, %j : index
        %wide = arith.index_cast %sum : index to i32
        %f = arith.sitofp %wide : i32 to f32
        tensor.yield %f : f32
      } : tensor<2x3xf32> to tensor<?x6xf32>
      return %0 : tensor<?x6xf32>
    })");
  std::vector<double> x(4 * 5 * 7);
  for (size_t i = 0; i < x.size(); ++i)
    x[i] = i;
  auto index = [&](int64_t value) { return Tensor::scalar(program.index(), makeInt(value)); };
  EXPECT_EQ(program.floats("extract", {program.tensor({4, 5, 7}, x), index(2)}),
            (std::vector<double>{91, 93, 95, 126, 128, 130}));
  std::vector<double> inserted(x.begin(), x.begin() + 20);
  inserted[11] = -1, inserted[12] = -2, inserted[13] = -3;
  EXPECT_EQ(program.floats("insert", {program.tensor({4, 5}, llvm::ArrayRef(x).take_front(20)),
                                      program.tensor({3}, {-1, -2, -3})}),
            inserted);
  EXPECT_EQ(program.floats("concat", {program.tensor({2, 1}, {1, 2}),
                                      program.tensor({2, 3}, {3, 4, 5, 6, 7, 8})}),
            (std::vector<double>{1, 3, 4, 5, 1, 2, 6, 7, 8, 2}));
  EXPECT_EQ(program.floats("pad", {program.tensor({2, 3}, {10, 20, 30, 40, 50, 60}), index(1)}),
            (std::vector<double>{0, 1, 2,  3,  4,  5, 1, 2, 10, 20, 30, 6,
                                 2, 3, 40, 50, 60, 7, 3, 4, 5,  6,  7,  8}));
}

TEST(UpstreamOps, shapesAndElements) {
  Program program(R"(
    func.func @reshape(%x: tensor<?x6xf32>) -> (tensor<?x2x3xf32>, tensor<?xf32>, index) {
      %c1 = arith.constant 1 : index
      %c0 = arith.constant 0 : index
      %n = tensor.dim %x, %c0 : tensor<?x6xf32>
      %0 = tensor.expand_shape %x [[0], [1, 2]] output_shape [%n, 2, 3] : tensor<?x6xf32> into tensor<?x2x3xf32>
      %1 = tensor.collapse_shape %0 [[0, 1, 2]] : tensor<?x2x3xf32> into tensor<?xf32>
      %d = tensor.dim %0, %c1 : tensor<?x2x3xf32>
      return %0, %1, %d : tensor<?x2x3xf32>, tensor<?xf32>, index
    }
    func.func @elements(%x: f32, %y: f32) -> (tensor<2x2xf32>, tensor<3xf32>, tensor<2x2xf32>, tensor<2x3xi32>) {
      %c1 = arith.constant 1 : index
      %c0 = arith.constant 0 : index
      %0 = tensor.from_elements %x, %y, %y, %x : tensor<2x2xf32>
      %1 = tensor.splat %x : tensor<3xf32>
      %z = tensor.extract %0[%c0, %c1] : tensor<2x2xf32>
      %2 = tensor.insert %z into %0[%c1, %c1] : tensor<2x2xf32>
      %3 = tensor.generate {
      ^bb0(%i: index, %j: index):
        %p = arith.muli %i, %j : index
        %q = arith.index_cast %p : index to i32
        tensor.yield %q : i32
      } : tensor<2x3xi32>
      return %0, %1, %2, %3 : tensor<2x2xf32>, tensor<3xf32>, tensor<2x2xf32>, tensor<2x3xi32>
    })");
  std::vector<double> x = randomNumbers(18, 1);
  EXPECT_EQ(program.floats("reshape", {program.tensor({3, 6}, x)}), x);
  EXPECT_EQ(program.floats("reshape", {program.tensor({3, 6}, x)}, Precision::F64, 1), x);
  EXPECT_EQ(program.ints("reshape", {program.tensor({3, 6}, x)}, 2), (std::vector<int64_t>{2}));
  llvm::SmallVector<RuntimeValue> inputs = {program.tensor({}, {1.5}), program.tensor({}, {2.5})};
  EXPECT_EQ(program.floats("elements", inputs), (std::vector<double>{1.5, 2.5, 2.5, 1.5}));
  EXPECT_EQ(program.floats("elements", inputs, Precision::F64, 1),
            (std::vector<double>{1.5, 1.5, 1.5}));
  EXPECT_EQ(program.floats("elements", inputs, Precision::F64, 2),
            (std::vector<double>{1.5, 2.5, 2.5, 2.5}));
  EXPECT_EQ(program.ints("elements", inputs, 3), (std::vector<int64_t>{0, 0, 0, 0, 1, 2}));
}

//===----------------------------------------------------------------------===//
// linalg
//===----------------------------------------------------------------------===//

TEST(UpstreamOps, structuredOperations) {
  Program program(R"(
    func.func @transpose(%x: tensor<2x?x4xf32>, %e: tensor<4x2x?xf32>) -> tensor<4x2x?xf32> {
      %0 = linalg.transpose ins(%x : tensor<2x?x4xf32>) outs(%e : tensor<4x2x?xf32>) permutation = [2, 0, 1]
      return %0 : tensor<4x2x?xf32>
    }
    func.func @broadcast(%x: tensor<3xf32>, %e: tensor<2x3x2xf32>) -> tensor<2x3x2xf32> {
      %0 = linalg.broadcast ins(%x : tensor<3xf32>) outs(%e : tensor<2x3x2xf32>) dimensions = [0, 2]
      return %0 : tensor<2x3x2xf32>
    }
    func.func @reduce(%x: tensor<2x3x2xf32>, %init: tensor<3xf32>) -> tensor<3xf32> {
      %0 = linalg.reduce ins(%x : tensor<2x3x2xf32>) outs(%init : tensor<3xf32>) dimensions = [0, 2]
        (%in: f32, %out: f32) {
          %s = arith.subf %in, %out : f32
          linalg.yield %s : f32
        }
      return %0 : tensor<3xf32>
    }
    func.func @map(%x: tensor<3xf32>, %y: tensor<3xf32>, %e: tensor<3xf32>) -> tensor<3xf32> {
      %0 = linalg.map { arith.divf } ins(%x, %y : tensor<3xf32>, tensor<3xf32>) outs(%e : tensor<3xf32>)
      return %0 : tensor<3xf32>
    }
    func.func @matmul(%a: tensor<3x?xf32>, %b: tensor<?x2xf32>, %c: tensor<3x2xf32>) -> tensor<3x2xf32> {
      %0 = linalg.matmul ins(%a, %b : tensor<3x?xf32>, tensor<?x2xf32>) outs(%c : tensor<3x2xf32>) -> tensor<3x2xf32>
      return %0 : tensor<3x2xf32>
    }
    func.func @fill(%v: f32, %e: tensor<2x2xf32>) -> tensor<2x2xf32> {
      %0 = linalg.fill ins(%v : f32) outs(%e : tensor<2x2xf32>) -> tensor<2x2xf32>
      return %0 : tensor<2x2xf32>
    }
    func.func @softmax(%x: tensor<2x3xf32>, %e: tensor<2x3xf32>) -> tensor<2x3xf32> {
      %0 = linalg.softmax dimension(1) ins(%x : tensor<2x3xf32>) outs(%e : tensor<2x3xf32>) -> tensor<2x3xf32>
      return %0 : tensor<2x3xf32>
    }
    // A convolution with stride 2, whose input is not indexed by plain loops, and the loops' numbers.
    func.func @generic(%x: tensor<9xf32>, %w: tensor<3xf32>, %e: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xi64>) {
      %i = arith.constant dense<0> : tensor<4xi64>
      %0:2 = linalg.generic {
          indexing_maps = [affine_map<(d0, d1) -> (d0 * 2 + d1)>, affine_map<(d0, d1) -> (d1)>,
                           affine_map<(d0, d1) -> (d0)>, affine_map<(d0, d1) -> (d0)>],
          iterator_types = ["parallel", "reduction"]}
          ins(%x, %w : tensor<9xf32>, tensor<3xf32>) outs(%e, %i : tensor<4xf32>, tensor<4xi64>) {
      ^bb0(%a: f32, %b: f32, %s: f32, %n: i64):
        %p = arith.mulf %a, %b : f32
        %t = arith.addf %s, %p : f32
        %d0 = linalg.index 0 : index
        %d1 = linalg.index 1 : index
        %sum = arith.addi %d0, %d1 : index
        %wide = arith.index_cast %sum : index to i64
        %m = arith.addi %n, %wide : i64
        linalg.yield %t, %m : f32, i64
      } -> (tensor<4xf32>, tensor<4xi64>)
      return %0#0, %0#1 : tensor<4xf32>, tensor<4xi64>
    })");
  std::vector<double> x = randomNumbers(2 * 5 * 4, 1), expected;
  for (int c = 0; c < 4; ++c)
    for (int a = 0; a < 2; ++a)
      for (int b = 0; b < 5; ++b)
        expected.push_back(x[(a * 5 + b) * 4 + c]);
  EXPECT_EQ(program.floats("transpose", {program.tensor({2, 5, 4}, x),
                                         program.tensor({4, 2, 5}, randomNumbers(40, 2))}),
            expected);
  EXPECT_EQ(program.floats("broadcast", {program.tensor({3}, {1, 2, 3}),
                                         program.tensor({2, 3, 2}, randomNumbers(12, 2))}),
            (std::vector<double>{1, 1, 2, 2, 3, 3, 1, 1, 2, 2, 3, 3}));
  // out = in - out over (0, r, 0), (0, r, 1), (1, r, 0), (1, r, 1): e3 - e2 + e1 - e0 + init.
  std::vector<double> y = randomNumbers(12, 3), init = randomNumbers(3, 4);
  expected.clear();
  for (int r = 0; r < 3; ++r)
    expected.push_back(y[6 + r * 2 + 1] - y[6 + r * 2] + y[r * 2 + 1] - y[r * 2] + init[r]);
  expectNear(expected,
             program.floats("reduce", {program.tensor({2, 3, 2}, y), program.tensor({3}, init)}),
             1e-15);
  EXPECT_EQ(program.floats("map", {program.tensor({3}, {1, 3, 5}), program.tensor({3}, {2, 4, 8}),
                                   program.tensor({3}, {9, 9, 9})}),
            (std::vector<double>{0.5, 0.75, 0.625}));
  std::vector<double> a = randomNumbers(15, 5), b = randomNumbers(10, 6), c = randomNumbers(6, 7);
  expected = c;
  for (int m = 0; m < 3; ++m)
    for (int n = 0; n < 2; ++n)
      for (int k = 0; k < 5; ++k)
        expected[m * 2 + n] += a[m * 5 + k] * b[k * 2 + n];
  expectNear(expected,
             program.floats("matmul", {program.tensor({3, 5}, a), program.tensor({5, 2}, b),
                                       program.tensor({3, 2}, c)}),
             1e-14);
  EXPECT_EQ(
      program.floats("fill", {program.tensor({}, {2.5}), program.tensor({2, 2}, {1, 2, 3, 4})}),
      (std::vector<double>(4, 2.5)));
  std::vector<double> s =
      program.floats("softmax", {program.tensor({2, 3}, {0, 0, 0, 0, 1, 2}),
                                 program.tensor({2, 3}, llvm::ArrayRef(y).take_front(6))});
  double sum = 1 + std::exp(1.0) + std::exp(2.0);
  expectNear({1.0 / 3, 1.0 / 3, 1.0 / 3, 1 / sum, std::exp(1.0) / sum, std::exp(2.0) / sum}, s,
             1e-15);

  std::vector<double> signal = randomNumbers(9, 8), filter = randomNumbers(3, 9), conv(4, 0.5);
  for (int i = 0; i < 4; ++i)
    for (int k = 0; k < 3; ++k)
      conv[i] += signal[2 * i + k] * filter[k];
  llvm::SmallVector<RuntimeValue> inputs = {program.tensor({9}, signal),
                                            program.tensor({3}, filter),
                                            program.tensor({4}, {0.5, 0.5, 0.5, 0.5})};
  expectNear(conv, program.floats("generic", inputs), 1e-15);
  EXPECT_EQ(program.ints("generic", inputs, 1), (std::vector<int64_t>{3, 6, 9, 12}));
}

//===----------------------------------------------------------------------===//
// scf and calls
//===----------------------------------------------------------------------===//

TEST(UpstreamOps, controlFlow) {
  Program program(R"(
    func.func private @collatz(%n: i64) -> i64 {
      %c2 = arith.constant 2 : i64
      %c3 = arith.constant 3 : i64
      %c1 = arith.constant 1 : i64
      %c0 = arith.constant 0 : i64
      %r = arith.remsi %n, %c2 : i64
      %even = arith.cmpi eq, %r, %c0 : i64
      %next = scf.if %even -> i64 {
        %half = arith.divsi %n, %c2 : i64
        scf.yield %half : i64
      } else {
        %triple = arith.muli %n, %c3 : i64
        %odd = arith.addi %triple, %c1 : i64
        scf.yield %odd : i64
      }
      return %next : i64
    }
    func.func @f(%n: i64, %x: tensor<3xf32>) -> (i64, tensor<3xf32>) {
      %c0 = arith.constant 0 : index
      %c2 = arith.constant 2 : index
      %c9 = arith.constant 9 : index
      %0:2 = scf.for %i = %c0 to %c9 step %c2 iter_args(%m = %n, %y = %x) -> (i64, tensor<3xf32>) {
        %next = func.call @collatz(%m) : (i64) -> i64
        %z = arith.addf %y, %y : tensor<3xf32>
        scf.yield %next, %z : i64, tensor<3xf32>
      }
      return %0#0, %0#1 : i64, tensor<3xf32>
    })");
  llvm::SmallVector<RuntimeValue> inputs = {Tensor::scalar(program.integer(64), makeInt(7)),
                                            program.tensor({3}, {1, -0.5, 0.25})};
  // Five steps: 7, 22, 11, 34, 17, 52.
  EXPECT_EQ(program.ints("f", inputs), (std::vector<int64_t>{52}));
  EXPECT_EQ(program.floats("f", inputs, Precision::F64, 1), (std::vector<double>{32, -16, 8}));
}

TEST(UpstreamOps, selectAndCasts) {
  Program program(R"(
    func.func @f(%c: tensor<2xi1>, %one: i1, %x: tensor<2xf32>, %y: tensor<2xf32>, %n: i8)
        -> (tensor<2xf32>, tensor<2xf32>, i32, i32, f32, f32, i32, index, f32, i1) {
      %0 = arith.select %c, %x, %y : tensor<2xi1>, tensor<2xf32>
      %1 = arith.select %one, %x, %y : tensor<2xf32>
      %2 = arith.extsi %n : i8 to i32
      %3 = arith.extui %n : i8 to i32
      %4 = arith.sitofp %n : i8 to f32
      %5 = arith.uitofp %n : i8 to f32
      %6 = arith.fptosi %4 : f32 to i32
      %7 = arith.index_castui %n : i8 to index
      %8 = arith.bitcast %3 : i32 to f32
      %9 = arith.trunci %n : i8 to i1
      return %0, %1, %2, %3, %4, %5, %6, %7, %8, %9
        : tensor<2xf32>, tensor<2xf32>, i32, i32, f32, f32, i32, index, f32, i1
    })");
  std::vector<RuntimeValue> r = program.run(
      "f", {Tensor::ofInts({2}, program.integer(1), {1, 0}),
            Tensor::scalar(program.integer(1), makeInt(0)), program.tensor({2}, {1, 2}),
            program.tensor({2}, {3, 4}), Tensor::scalar(program.integer(8), makeInt(-3))});
  ASSERT_EQ(r.size(), 10u);
  auto at = [&](unsigned i) { return std::get<Tensor>(r[i]).at(0); };
  EXPECT_EQ(std::get<Tensor>(r[0]).floatAt(0), 1);
  EXPECT_EQ(std::get<Tensor>(r[0]).floatAt(1), 4);
  EXPECT_EQ(std::get<Tensor>(r[1]).floatAt(0), 3);
  EXPECT_EQ(at(2).i, -3);
  EXPECT_EQ(at(3).i, 253);
  EXPECT_EQ(at(4).f, -3);
  EXPECT_EQ(at(5).f, 253);
  EXPECT_EQ(at(6).i, -3);
  EXPECT_EQ(at(7).i, 253);
  EXPECT_EQ(at(8).f, 253 * 0x1p-149);
  EXPECT_EQ(at(9).i, 1);
}

} // namespace
