//===- TestModule.h - a small model that exercises every table --------------------------------===//
#ifndef INGOT_TEST_UNIT_ARTIFACT_TESTMODULE_H
#define INGOT_TEST_UNIT_ARTIFACT_TESTMODULE_H

#include "ingot/Dialect/Plan/IR/PlanDialect.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlowOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "mlir/Parser/Parser.h"
#include "gtest/gtest.h"

namespace ingot::test {

/// A parsed module and its context.
struct ParsedModule {
  explicit ParsedModule(const std::string &text) {
    context.loadDialect<tfm::TransformerDialect, plan::PlanDialect, mlir::arith::ArithDialect,
                        mlir::cf::ControlFlowDialect, mlir::tensor::TensorDialect>();
    module = mlir::parseSourceString<mlir::ModuleOp>(text, &context);
    EXPECT_TRUE(bool(module));
  }
  mlir::MLIRContext context;
  mlir::OwningOpRef<mlir::ModuleOp> module;
};

/// Replaces the one occurrence of `from`.
inline std::string edited(std::string text, const std::string &from, const std::string &to) {
  size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  EXPECT_EQ(text.find(from, at + 1), std::string::npos) << from;
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

/// A language model with a tied embedding, one layer and two phases. Kernel bodies stand for
/// anything.
inline const char kKernels[] = R"mlir(
  plan.kernel @unused(%x: f32) { plan.yield }
  plan.kernel @embed(%ids: tensor<?xi32>, %w: tensor<40x8xbf16, #plan.panels<32, 1>>) -> tensor<?x8xf32>
      attributes {schedule = #plan.schedule<rows>} {
    %0 = builtin.unrealized_conversion_cast %ids : tensor<?xi32> to tensor<?x8xf32>
    plan.yield %0 : tensor<?x8xf32>
  }
  plan.kernel @append(%cache: !tfm.cache<2x4x4xf32>, %h: tensor<?x8xf32>, %batch: !tfm.batch) -> !tfm.cache<2x4x4xf32>
      attributes {schedule = #plan.schedule<append>} {
    plan.yield %cache : !tfm.cache<2x4x4xf32>
  }
  plan.kernel @attend(%h: tensor<?x8xf32>, %scale: f32, %cache: !tfm.cache<2x4x4xf32>, %n: index, %batch: !tfm.batch,
                      %on: i1, %table: tensor<3xi1>) -> tensor<?x8xf32>
      attributes {schedule = #plan.schedule<attention, tileRows = 4>} {
    plan.yield %h : tensor<?x8xf32>
  }
  plan.kernel @gather(%h: tensor<?x8xf32>, %batch: !tfm.batch) -> tensor<?x8xf32>
      attributes {schedule = #plan.schedule<rows, tileRows = 8>} {
    plan.yield %h : tensor<?x8xf32>
  }
  plan.kernel @head(%h: tensor<?x8xf32>, %w: tensor<40x8xbf16, #plan.panels<32, 1>>, %b: tensor<40xf32>) -> tensor<?x40xf32>
      attributes {schedule = #plan.schedule<linear, tileRows = 8, tileVectors = 2>} {
    %0 = builtin.unrealized_conversion_cast %h : tensor<?x8xf32> to tensor<?x40xf32>
    plan.yield %0 : tensor<?x40xf32>
  }
)mlir";

inline const char kPhase[] = R"mlir(
  plan.program @PHASE(%ids: tensor<?xi32> {plan.name = "ids"}, %batch: !tfm.batch,
                      %c0: !tfm.cache<2x4x4xf32> {plan.group = 0 : i64, plan.offset = 4096 : i64},
                      %c1: !tfm.cache<2x4x4xf32> {plan.group = 0 : i64, plan.offset = 0 : i64})
      -> (tensor<?x40xf32> {plan.name = "logits"}) {
    %c32 = arith.constant 32 : index
    %c2 = arith.constant 2 : index
    %one = arith.constant 1 : index
    %n = tfm.batch_dim %batch tokens
    %outputs = tfm.batch_dim %batch outputs
    %items = tfm.batch_dim %batch items
    %pairs = tfm.batch_dim %batch pairs {window = 16 : i64}
    %work = arith.muli %items, %c2 : index
    %bytes = arith.muli %n, %c32 : index
    %more = arith.addi %bytes, %one : index
    plan.slot 0 bytes(%bytes)
    plan.slot 1 bytes(%bytes, %more)
    %w = tfm.parameter "embed" from "a.bin" at 16 : tensor<40x8xbf16>
    %p = plan.pack %w : tensor<40x8xbf16> -> tensor<40x8xbf16, #plan.panels<32, 1>>
    %bias0 = tfm.parameter "b0" from "b.bin" at 4 : tensor<30xf32>
    %bias1 = tfm.parameter "b1" from "b.bin" at 200 : tensor<10xf32>
    %bias = plan.pack %bias0, %bias1 : tensor<30xf32>, tensor<10xf32> -> tensor<40xf32>
    %scale = arith.constant 0.125 : f32
    %on = arith.constant true
    %table = arith.constant dense<[true, false, true]> : tensor<3xi1>
    %h = plan.dispatch @embed(%ids, %p) sizes(%n) grid(%n) slots [0] cost(%n, %one) classes [2, 0] coefficients [36, 640]
      : (tensor<?xi32>, tensor<40x8xbf16, #plan.panels<32, 1>>) -> tensor<?x8xf32> loc("embed")
    %c00 = plan.dispatch @append(%c0, %h, %batch) grid(%n) slots [-1]
      : (!tfm.cache<2x4x4xf32>, tensor<?x8xf32>, !tfm.batch) -> !tfm.cache<2x4x4xf32> loc("layers.0.append")
    %a = plan.dispatch @attend(%h, %scale, %c00, %more, %batch, %on, %table) sizes(%n) grid(%work) slots [1]
        cost(%pairs) classes [3] coefficients [64]
      : (tensor<?x8xf32>, f32, !tfm.cache<2x4x4xf32>, index, !tfm.batch, i1, tensor<3xi1>) -> tensor<?x8xf32>
      loc(callsite(fused["q", "k", "q"] at "layers.0"))
    %g = plan.dispatch @gather(%a, %batch) sizes(%outputs) grid(%outputs) slots [0]
      : (tensor<?x8xf32>, !tfm.batch) -> tensor<?x8xf32> loc("layers.0.append")
    %logits = plan.dispatch @head(%g, %p, %bias) sizes(%outputs) grid(%c2) slots [-1]
      : (tensor<?x8xf32>, tensor<40x8xbf16, #plan.panels<32, 1>>, tensor<40xf32>) -> tensor<?x40xf32>
      loc("/somewhere/m.mlir":3:4)
    plan.yield %logits : tensor<?x40xf32>
  }
)mlir";

inline const char kModel[] =
    R"mlir({vocab = 40 : i64, context = 128 : i64, past_context = "restart", keep = 64 : i64,
      max_tokens = 16 : i64, max_outputs = 4 : i64, end_ids = [2 : i64, 7 : i64], begin_id = 1 : i64, compiler = "other",
      cache_groups = [{page_bytes = 8192 : i64, window = 0 : i64, layers = 2 : i64}]})mlir";

inline std::string languageModel() {
  return std::string("module attributes {tfm.model = ") + kModel + "} {\n" + kKernels +
         edited(kPhase, "@PHASE", "@prefill") + edited(kPhase, "@PHASE", "@decode") + "}\n";
}

} // namespace ingot::test

#endif // INGOT_TEST_UNIT_ARTIFACT_TESTMODULE_H
