// RUN: ingot-opt %s --form-dispatches --canonicalize --cse --select-schedule --canonicalize --cse | FileCheck %s

// CHECK-DAG: plan.kernel @attention{{.*}}schedule = #plan.schedule<attention, tileRows = 6>
// A tied table is packed once and read by embedding and head.
// CHECK-DAG: plan.kernel @embedding(%{{.*}}: tensor<?xi32>, %{{.*}}: tensor<7x6xf16, #plan.panels<64, 1>>)
// CHECK-LABEL: func.func @tied
// CHECK: %[[P:.*]] = plan.pack %{{.*}} : tensor<7x6xf16> -> tensor<7x6xf16, #plan.panels<64, 1>>
// CHECK-NOT: plan.pack
// CHECK: plan.dispatch @embedding(%{{.*}}, %[[P]])
// CHECK: plan.dispatch @linear{{.*}}(%{{.*}}, %[[P]])
func.func @tied(%ids: tensor<?xi32>) -> tensor<?x7xf32> {
  %t = tfm.parameter "t" from "m" at 0 : tensor<7x6xf16>
  %x = tfm.embedding %ids, %t : tensor<?xi32>, tensor<7x6xf16> -> tensor<?x6xf32>
  %l = tfm.linear %x, %t : tensor<?x6xf32>, tensor<7x6xf16> -> tensor<?x7xf32>
  return %l : tensor<?x7xf32>
}

// Fused weights are packed below each other, weights that are stored [K, N] are turned.
// CHECK-LABEL: func.func @fused
// CHECK: plan.pack %{{.*}}, %{{.*}} transposed : tensor<6x4xf32>, tensor<6x8xf32> -> tensor<12x6xf32, #plan.panels<64, 1>>
func.func @fused(%x: tensor<?x6xf32>) -> tensor<?x12xf32> {
  %a = tfm.parameter "a" from "m" at 0 : tensor<6x4xf32>
  %b = tfm.parameter "b" from "m" at 96 : tensor<6x8xf32>
  %w = tensor.concat dim(1) %a, %b : (tensor<6x4xf32>, tensor<6x8xf32>) -> tensor<6x12xf32>
  %0 = tfm.linear %x, %w transposed : tensor<?x6xf32>, tensor<6x12xf32> -> tensor<?x12xf32>
  return %0 : tensor<?x12xf32>
}

// The two halves that a kernel combines share panels.
// CHECK-LABEL: func.func @gated
// CHECK: plan.pack %{{.*}} -> tensor<8x6xf32, #plan.panels<64, 2>>
func.func @gated(%x: tensor<?x6xf32>) -> tensor<?x4xf32> {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?x6xf32>
  %w = tfm.parameter "w" from "m" at 288 : tensor<8x6xf32>
  %gu = tfm.linear %x, %w : tensor<?x6xf32>, tensor<8x6xf32> -> tensor<?x8xf32>
  %g = tensor.extract_slice %gu[0, 0] [%n, 4] [1, 1] : tensor<?x8xf32> to tensor<?x4xf32>
  %u = tensor.extract_slice %gu[0, 4] [%n, 4] [1, 1] : tensor<?x8xf32> to tensor<?x4xf32>
  %m = arith.mulf %g, %u : tensor<?x4xf32>
  return %m : tensor<?x4xf32>
}

// A group of eight heads: six queries make 48 rows.
func.func @grouped(%q: tensor<?x8x4xf32>, %c: !tfm.cache<1x4x4xf32>, %b: !tfm.batch) -> tensor<?x8x4xf32> {
  %0 = tfm.attention %q, %c batch(%b) causal : tensor<?x8x4xf32>, !tfm.cache<1x4x4xf32> -> tensor<?x8x4xf32>
  return %0 : tensor<?x8x4xf32>
}

// The matrices of experts are packed one after the other, also from parts that are stored turned.
// CHECK-LABEL: func.func @experts
// CHECK: plan.pack %{{.*}}, %{{.*}} transposed : tensor<6x4xf32>, tensor<6x4xf32> -> tensor<8x6xf32, #plan.panels<64, 1, 2>>
func.func @experts(%x: tensor<?x6xf32>) -> tensor<?x2x4xf32> {
  %a = tfm.parameter "a" from "m" at 0 : tensor<6x4xf32>
  %b = tfm.parameter "b" from "m" at 96 : tensor<6x4xf32>
  %w = tensor.concat dim(1) %a, %b : (tensor<6x4xf32>, tensor<6x4xf32>) -> tensor<6x8xf32>
  %0 = tfm.expert_linear %x, %w experts(2) transposed : tensor<?x6xf32>, tensor<6x8xf32> -> tensor<?x2x4xf32>
  return %0 : tensor<?x2x4xf32>
}

// A tied table is one also where the embedding and the head are in different functions.
// CHECK-LABEL: func.func @embeds
// CHECK: %[[P:.*]] = plan.pack %{{.*}} : tensor<9x6xf16> -> tensor<9x6xf16, #plan.panels<64, 1>>
// CHECK: plan.dispatch @embedding{{.*}}(%{{.*}}, %[[P]])
func.func @embeds(%ids: tensor<?xi32>) -> tensor<?x6xf32> {
  %t = tfm.parameter "u" from "m" at 512 : tensor<9x6xf16>
  %x = tfm.embedding %ids, %t : tensor<?xi32>, tensor<9x6xf16> -> tensor<?x6xf32>
  return %x : tensor<?x6xf32>
}
func.func @heads(%x: tensor<?x6xf32>) -> tensor<?x9xf32> {
  %t = tfm.parameter "u" from "m" at 512 : tensor<9x6xf16>
  %l = tfm.linear %x, %t : tensor<?x6xf32>, tensor<9x6xf16> -> tensor<?x9xf32>
  return %l : tensor<?x9xf32>
}
