//===- GraphBuilderTest.cpp - emitted graphs compute their formulas ---------------------------===//

#include "../../../lib/Import/GraphBuilder.h"
#include "ingot/Dialect/Transformer/IR/TransformerDialect.h"
#include "ingot/Reference/Interpreter.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Verifier.h"
#include "gtest/gtest.h"
#include <cmath>
#include <random>

using namespace llvm;
using namespace ingot;
using namespace ingot::importer;
using reference::Tensor;

namespace {

constexpr int64_t dynamic = mlir::ShapedType::kDynamic;

class GraphBuilderTest : public testing::Test {
protected:
  GraphBuilderTest() {
    context.loadDialect<mlir::arith::ArithDialect, mlir::func::FuncDialect,
                        mlir::linalg::LinalgDialect, mlir::math::MathDialect,
                        mlir::tensor::TensorDialect, tfm::TransformerDialect>();
  }

  Tensor random(ArrayRef<int64_t> shape) {
    int64_t count = 1;
    for (int64_t size : shape)
      count *= size;
    std::vector<double> values(count);
    for (double &value : values)
      value = std::normal_distribution<>(0, 2)(generator);
    return Tensor::ofFloats(shape, mlir::Float32Type::get(&context), values);
  }

  /// What `emit` makes of arguments of the inputs' shapes, with a dynamic first size where the
  /// first input has one of that size.
  Tensor run(ArrayRef<Tensor> inputs,
             function_ref<mlir::Value(GraphBuilder &, mlir::ValueRange)> emit,
             reference::Precision precision = reference::Precision::F64) {
    GraphBuilder g(&context);
    mlir::OwningOpRef<mlir::ModuleOp> module = mlir::ModuleOp::create(g.loc);
    SmallVector<mlir::Type> types;
    SmallVector<reference::RuntimeValue> values;
    for (const Tensor &input : inputs) {
      SmallVector<int64_t> shape(input.getShape());
      if (shape.size() > 1)
        shape[0] = dynamic;
      types.push_back(g.f32(shape));
      values.push_back(input);
    }
    auto function =
        mlir::func::FuncOp::create(g.loc, "f", g.b.getFunctionType(types, mlir::TypeRange()));
    module->push_back(function);
    mlir::Block *block = function.addEntryBlock();
    g.enter(block, block->getArgument(0));
    mlir::Value result = emit(g, block->getArguments());
    mlir::func::ReturnOp::create(g.b, g.loc, result);
    function.setFunctionType(g.b.getFunctionType(types, result.getType()));
    EXPECT_TRUE(succeeded(mlir::verify(*module)));
    reference::InterpreterOptions options;
    options.precision = precision;
    reference::Interpreter interpreter(*module, options);
    auto results = interpreter.run("f", values);
    EXPECT_TRUE(succeeded(results));
    return std::get<Tensor>(results->front());
  }

  mlir::MLIRContext context{mlir::MLIRContext::Threading::DISABLED};
  std::mt19937 generator{3};
};

TEST_F(GraphBuilderTest, Activations) {
  Tensor x = random({5, 7});
  auto sigmoid = [](double v) { return 1 / (1 + std::exp(-v)); };
  const std::pair<Activation, std::function<double(double)>> cases[] = {
      {Activation::Identity, [](double v) { return v; }},
      {Activation::Relu, [](double v) { return v > 0 ? v : 0; }},
      {Activation::Relu2, [](double v) { return v > 0 ? v * v : 0; }},
      {Activation::Gelu, [](double v) { return v * std::erfc(-v / std::sqrt(2.0)) / 2; }},
      {Activation::GeluTanh,
       [](double v) {
         return 0.5 * v * (1 + std::tanh(std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v)));
       }},
      {Activation::QuickGelu, [&](double v) { return v * sigmoid(1.702 * v); }},
      {Activation::Silu, [&](double v) { return v * sigmoid(v); }},
      {Activation::Sigmoid, sigmoid},
      {Activation::Tanh, [](double v) { return std::tanh(v); }},
  };
  for (const auto &[kind, expected] : cases) {
    Tensor y = run({x}, [&, kind = kind](GraphBuilder &g, mlir::ValueRange args) {
      return g.activation(args[0], kind);
    });
    for (int64_t i = 0; i < 35; ++i)
      // Constants are f32.
      EXPECT_NEAR(y.floatAt(i), expected(x.floatAt(i)), 1e-6) << int(kind) << " " << x.floatAt(i);
  }
}

TEST_F(GraphBuilderTest, Softcap) {
  Tensor x = random({3, 7});
  Tensor y = run({x}, [](GraphBuilder &g, mlir::ValueRange args) { return g.softcap(args[0], 3); });
  for (int64_t i = 0; i < 21; ++i)
    EXPECT_NEAR(y.floatAt(i), 3 * std::tanh(x.floatAt(i) / 3), 1e-12);
}

TEST_F(GraphBuilderTest, Norms) {
  Tensor x = random({4, 3, 7}), w = random({7});
  Tensor rms = run({x, w}, [](GraphBuilder &g, mlir::ValueRange args) {
    return g.mulWeight(g.rmsNormalize(args[0], 0.5), args[1]);
  });
  Tensor layer = run({x, w}, [](GraphBuilder &g, mlir::ValueRange args) {
    return g.addWeight(g.layerNormalize(args[0], 0.5), args[1]);
  });
  for (int64_t row = 0; row < 12; ++row) {
    double sum = 0, squares = 0;
    for (int64_t i = row * 7; i < row * 7 + 7; ++i) {
      sum += x.floatAt(i);
      squares += x.floatAt(i) * x.floatAt(i);
    }
    double mean = sum / 7, variance = squares / 7 - mean * mean;
    for (int64_t i = 0; i < 7; ++i) {
      double v = x.floatAt(row * 7 + i);
      EXPECT_NEAR(rms.floatAt(row * 7 + i), v / std::sqrt(squares / 7 + 0.5) * w.floatAt(i), 1e-12);
      EXPECT_NEAR(layer.floatAt(row * 7 + i), (v - mean) / std::sqrt(variance + 0.5) + w.floatAt(i),
                  1e-12);
    }
  }
}

/// Rotation of halves and of neighbours, of all and of some elements, as complex products.
TEST_F(GraphBuilderTest, Rotary) {
  const std::vector<float> frequencies = {1, 0.25, 0.125};
  for (bool interleaved : {false, true}) {
    for (int64_t size : {6, 9}) {
      Tensor x = random({5, 2, size});
      Tensor y = run({x}, [&](GraphBuilder &g, mlir::ValueRange args) {
        RotaryTable table;
        table.frequencies.assign(frequencies.begin(), frequencies.end());
        table.magnitude = 1.5;
        auto [cos, sin] = g.rotaryTable(args[0], table);
        return g.rotate(args[0], cos, sin, interleaved);
      });
      for (int64_t s = 0; s < 5; ++s) {
        for (int64_t h = 0; h < 2; ++h) {
          int64_t row = (s * 2 + h) * size;
          for (int64_t i = 0; i < 3; ++i) {
            int64_t first = row + (interleaved ? 2 * i : i), second = first + (interleaved ? 1 : 3);
            double angle = double(s) * frequencies[i], a = x.floatAt(first), b = x.floatAt(second);
            EXPECT_NEAR(y.floatAt(first), 1.5 * (a * std::cos(angle) - b * std::sin(angle)), 1e-12);
            EXPECT_NEAR(y.floatAt(second), 1.5 * (b * std::cos(angle) + a * std::sin(angle)),
                        1e-12);
          }
          for (int64_t i = 6; i < size; ++i)
            EXPECT_EQ(y.floatAt(row + i), x.floatAt(row + i));
        }
      }
    }
  }
}

/// Causal attention with groups, a window and a cap, row by row.
TEST_F(GraphBuilderTest, Attention) {
  constexpr int64_t tokens = 9, heads = 6, kvHeads = 2, size = 5;
  Tensor q = random({tokens, heads, size}), k = random({tokens, kvHeads, size}),
         v = random({tokens, kvHeads, size}), sinks = random({heads});
  for (int64_t window : {0, 1, 4}) {
    for (double cap : {0.0, 2.0}) {
      bool hasSinks = window == 4;
      Tensor y = run({q, k, v, sinks}, [&](GraphBuilder &g, mlir::ValueRange args) {
        return g.attention(args[0], args[1], args[2], g.constant(0.375), cap, window,
                           hasSinks ? args[3] : mlir::Value());
      });
      for (int64_t i = 0; i < tokens; ++i) {
        for (int64_t h = 0; h < heads; ++h) {
          int64_t kv = h / (heads / kvHeads);
          std::vector<double> sum(size, 0);
          double total = hasSinks ? std::exp(sinks.floatAt(h)) : 0;
          for (int64_t j = window ? std::max<int64_t>(0, i - window + 1) : 0; j <= i; ++j) {
            double score = 0;
            for (int64_t d = 0; d < size; ++d)
              score +=
                  q.floatAt((i * heads + h) * size + d) * k.floatAt((j * kvHeads + kv) * size + d);
            score *= 0.375;
            double weight = std::exp(cap ? cap * std::tanh(score / cap) : score);
            total += weight;
            for (int64_t d = 0; d < size; ++d)
              sum[d] += weight * v.floatAt((j * kvHeads + kv) * size + d);
          }
          for (int64_t d = 0; d < size; ++d)
            EXPECT_NEAR(y.floatAt((i * heads + h) * size + d), sum[d] / total, 1e-10);
        }
      }
    }
  }
}

TEST_F(GraphBuilderTest, FrequenciesByLength) {
  constexpr int64_t size = 3;
  RotaryTable table;
  table.frequencies = {1, 0.3f, 0.01f};
  table.changeLength = 6;
  RotaryTable factors = table, growth = table;
  factors.longFrequencies = {0.5f, 0.1f, 0.001f};
  growth.growth = 4;
  for (int64_t tokens : {5, 6, 7, 9}) {
    Tensor x = random({tokens, 1});
    auto cosines = [&](const RotaryTable &of) {
      return run({x}, [&](GraphBuilder &g, mlir::ValueRange args) {
        return g.rotaryTable(args[0], of).first;
      });
    };
    Tensor byFactors = cosines(factors), byGrowth = cosines(growth);
    double ratio = 4 * std::max(double(tokens), 6.0) / 6 - 3;
    for (int64_t t = 0; t < tokens; ++t) {
      for (int64_t i = 0; i < size; ++i) {
        double frequency = double(tokens > 6 ? factors.longFrequencies[i] : table.frequencies[i]);
        EXPECT_NEAR(byFactors.floatAt(t * size + i), std::cos(double(t) * frequency), 1e-9);
        // Base b of R elements becomes b * ratio^(R / (R - 2)).
        frequency =
            double(table.frequencies[i]) * std::pow(std::pow(ratio, 6.0 / 4), -2 * double(i) / 6);
        EXPECT_NEAR(byGrowth.floatAt(t * size + i), std::cos(double(t) * frequency), 1e-9);
      }
    }
  }
}

/// A number as bfloat16 holds it.
double bfloat(double value) {
  APFloat number(value);
  bool loses;
  number.convert(APFloat::BFloat(), APFloat::rmNearestTiesToEven, &loses);
  return number.convertToDouble();
}

TEST_F(GraphBuilderTest, LinearBiases) {
  constexpr int64_t tokens = 300;
  const float slopes[] = {0.7f, 0.0101f, 0.25f};
  Tensor x = random({tokens, 1});
  for (bool rounded : {false, true}) {
    Tensor y = run(
        {x},
        [&](GraphBuilder &g, mlir::ValueRange args) {
          return g.linearBiases(args[0], slopes, rounded);
        },
        rounded ? reference::Precision::F32 : reference::Precision::F64);
    auto bias = [&](double slope, int64_t position) {
      return rounded ? bfloat(bfloat(slope) * bfloat(double(position))) : slope * double(position);
    };
    for (int64_t h = 0; h < 3; ++h)
      for (int64_t i = 0; i < tokens; i += 7)
        for (int64_t j = 0; j < tokens; j += 11)
          EXPECT_NEAR(y.floatAt((h * tokens + i) * tokens + j),
                      bias(slopes[h], j) - bias(slopes[h], i), 1e-9);
  }
}

TEST_F(GraphBuilderTest, BiasesAreAddedToScores) {
  constexpr int64_t tokens = 5, heads = 2, size = 3;
  Tensor q = random({tokens, heads, size}), k = random({tokens, heads, size}),
         v = random({tokens, heads, size});
  const float slopes[] = {0.5f, 2};
  Tensor y = run({q, k, v}, [&](GraphBuilder &g, mlir::ValueRange args) {
    return g.attention(args[0], args[1], args[2], g.constant(0.375), 0, 0, /*sinks=*/{},
                       g.linearBiases(args[0], slopes, false));
  });
  for (int64_t i = 0; i < tokens; ++i) {
    for (int64_t h = 0; h < heads; ++h) {
      std::vector<double> sum(size, 0);
      double total = 0;
      for (int64_t j = 0; j <= i; ++j) {
        double score = slopes[h] * double(j);
        for (int64_t d = 0; d < size; ++d)
          score +=
              0.375 * q.floatAt((i * heads + h) * size + d) * k.floatAt((j * heads + h) * size + d);
        total += std::exp(score);
        for (int64_t d = 0; d < size; ++d)
          sum[d] += std::exp(score) * v.floatAt((j * heads + h) * size + d);
      }
      for (int64_t d = 0; d < size; ++d)
        EXPECT_NEAR(y.floatAt((i * heads + h) * size + d), sum[d] / total, 1e-6);
    }
  }
}

} // namespace
