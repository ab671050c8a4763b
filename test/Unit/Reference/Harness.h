//===- Harness.h - running functions given as text ------------------------------------------===//
#ifndef INGOT_TEST_UNIT_REFERENCE_HARNESS_H
#define INGOT_TEST_UNIT_REFERENCE_HARNESS_H

#include "ingot/Dialect/Plan/IR/PlanDialect.h"
#include "ingot/Dialect/Transformer/IR/TransformerDialect.h"
#include "ingot/Reference/Compare.h"
#include "ingot/Reference/LanguageModel.h"
#include "ingot/Reference/Random.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/Parser/Parser.h"
#include "gtest/gtest.h"

namespace ingot::reference {

/// Runs functions of one module. A failure to parse or to run is a failure of the test.
class Program {
public:
  explicit Program(llvm::StringRef text) : context(mlir::MLIRContext::Threading::DISABLED) {
    context.loadDialect<mlir::arith::ArithDialect, mlir::func::FuncDialect,
                        mlir::linalg::LinalgDialect, mlir::math::MathDialect, mlir::scf::SCFDialect,
                        mlir::tensor::TensorDialect, tfm::TransformerDialect, plan::PlanDialect>();
    module = mlir::parseSourceString<mlir::ModuleOp>(text, &context);
    EXPECT_TRUE(module) << text.str();
  }

  std::vector<RuntimeValue> run(llvm::StringRef function, llvm::ArrayRef<RuntimeValue> inputs,
                                Precision precision = Precision::F64) {
    if (!module)
      return {};
    InterpreterOptions options;
    options.precision = precision;
    options.parameters = std::make_shared<RandomParameterSource>(5);
    Interpreter interpreter(*module, options);
    auto results = interpreter.run(function, inputs);
    EXPECT_TRUE(succeeded(results)) << function.str();
    if (failed(results))
      return {};
    return std::vector<RuntimeValue>(results->begin(), results->end());
  }

  /// Of a function with one tensor as its result; empty after a failure.
  std::vector<double> floats(llvm::StringRef function, llvm::ArrayRef<RuntimeValue> inputs,
                             Precision precision = Precision::F64, unsigned result = 0) {
    std::vector<RuntimeValue> results = run(function, inputs, precision);
    std::vector<double> values;
    if (result < results.size())
      for (Scalar element : std::get<Tensor>(results[result]).elements())
        values.push_back(element.f);
    return values;
  }
  std::vector<int64_t> ints(llvm::StringRef function, llvm::ArrayRef<RuntimeValue> inputs,
                            unsigned result = 0) {
    std::vector<RuntimeValue> results = run(function, inputs);
    std::vector<int64_t> values;
    if (result < results.size())
      for (Scalar element : std::get<Tensor>(results[result]).elements())
        values.push_back(element.i);
    return values;
  }

  mlir::Type f64() { return mlir::Float64Type::get(&context); }
  mlir::Type f32() { return mlir::Float32Type::get(&context); }
  mlir::Type f16() { return mlir::Float16Type::get(&context); }
  mlir::Type bf16() { return mlir::BFloat16Type::get(&context); }
  mlir::Type integer(unsigned width) { return mlir::IntegerType::get(&context, width); }
  mlir::Type index() { return mlir::IndexType::get(&context); }

  Tensor tensor(llvm::ArrayRef<int64_t> shape, llvm::ArrayRef<double> values,
                mlir::Type type = {}) {
    return Tensor::ofFloats(shape, type ? type : f32(), values);
  }

  mlir::MLIRContext context;
  mlir::OwningOpRef<mlir::ModuleOp> module;
};

/// `count` numbers in [-1, 1) that f32, f16 and bf16 hold exactly (multiples of 1/64).
inline std::vector<double> randomNumbers(size_t count, uint64_t seed) {
  std::vector<double> numbers(count);
  for (size_t i = 0; i < count; ++i)
    numbers[i] = double(int64_t(randomBits(seed, i) % 128) - 64) / 64;
  return numbers;
}

inline void expectNear(llvm::ArrayRef<double> expected, llvm::ArrayRef<double> actual,
                       double tolerance) {
  ASSERT_EQ(expected.size(), actual.size());
  for (size_t i = 0; i < expected.size(); ++i)
    ASSERT_NEAR(expected[i], actual[i], tolerance) << "element " << i;
}

} // namespace ingot::reference

#endif // INGOT_TEST_UNIT_REFERENCE_HARNESS_H
