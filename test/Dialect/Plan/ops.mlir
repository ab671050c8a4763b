// RUN: ingot-opt %s | ingot-opt | FileCheck %s
// RUN: ingot-opt %s --mlir-print-op-generic | ingot-opt | FileCheck %s

// CHECK: plan.kernel @k(%{{.*}}: tensor<?x8xf32>, %{{.*}}: tensor<6x8xbf16, #plan.panels<64, 1>>) -> tensor<?x6xf32>
// CHECK-SAME: attributes {schedule = #plan.schedule<linear, tileRows = 8, tileVectors = 2>}
plan.kernel @k(%x: tensor<?x8xf32>, %w: tensor<6x8xbf16, #plan.panels<64, 1>>) -> tensor<?x6xf32>
    attributes {schedule = #plan.schedule<linear, tileRows = 8, tileVectors = 2>} {
  %0 = tfm.linear %x, %w : tensor<?x8xf32>, tensor<6x8xbf16, #plan.panels<64, 1>> -> tensor<?x6xf32>
  // CHECK: plan.yield %{{.*}} : tensor<?x6xf32>
  plan.yield %0 : tensor<?x6xf32>
}

// CHECK: plan.kernel @experts(%{{.*}}: tensor<?x8xf32>, %{{.*}}: tensor<12x8xbf16, #plan.panels<64, 1, 2>>)
// CHECK-SAME: schedule = #plan.schedule<experts>
plan.kernel @experts(%x: tensor<?x8xf32>, %w: tensor<12x8xbf16, #plan.panels<64, 1, 2>>) -> tensor<?x2x6xf32>
    attributes {schedule = #plan.schedule<experts>} {
  %0 = tfm.expert_linear %x, %w experts(2) : tensor<?x8xf32>, tensor<12x8xbf16, #plan.panels<64, 1, 2>> -> tensor<?x2x6xf32>
  plan.yield %0 : tensor<?x2x6xf32>
}

// CHECK: plan.program @decode(%{{.*}}: tensor<?x8xf32> {plan.name = "x"}, %{{.*}}: !tfm.cache<1x8x8xf32> {plan.group = 0 : i64, plan.offset = 64 : i64})
// CHECK-SAME: -> (tensor<?x6xf32> {plan.name = "y"})
plan.program @decode(%x: tensor<?x8xf32> {plan.name = "x"}, %c: !tfm.cache<1x8x8xf32> {plan.group = 0 : i64, plan.offset = 64 : i64})
    -> (tensor<?x6xf32> {plan.name = "y"}) {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?x8xf32>
  %a = tfm.parameter "a" from "m" at 0 : tensor<8x4xbf16>
  %b = tfm.parameter "b" from "m" at 64 : tensor<8x2xbf16>
  // CHECK: plan.pack %{{.*}}, %{{.*}} transposed : tensor<8x4xbf16>, tensor<8x2xbf16> -> tensor<6x8xbf16, #plan.panels<64, 1>>
  %w = plan.pack %a, %b transposed : tensor<8x4xbf16>, tensor<8x2xbf16> -> tensor<6x8xbf16, #plan.panels<64, 1>>
  // CHECK: plan.dispatch @k(%{{.*}}, %{{.*}}) sizes(%{{.*}}) grid(%{{.*}}) slots [-1] cost(%{{.*}}) classes [3] coefficients [96] : (
  %0 = plan.dispatch @k(%x, %w) sizes(%n) grid(%n) slots [-1] cost(%n) classes [3] coefficients [96]
    : (tensor<?x8xf32>, tensor<6x8xbf16, #plan.panels<64, 1>>) -> tensor<?x6xf32>
  // CHECK: plan.slot 0 bytes(%{{.*}})
  plan.slot 0 bytes(%n)
  plan.yield %0 : tensor<?x6xf32>
}
