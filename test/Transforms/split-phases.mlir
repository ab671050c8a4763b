// RUN: ingot-opt %s --split-phases | FileCheck %s

// CHECK-NOT: @forward
// CHECK-NOT: @layer(
// CHECK-LABEL: func.func private @layer_prefill
// CHECK-LABEL: func.func @prefill
// CHECK: call @layer_prefill
// CHECK: tfm.gather_outputs
// CHECK: tfm.batch_dim %{{.*}} outputs
// CHECK-LABEL: func.func private @layer_decode
// CHECK-LABEL: func.func @decode
// CHECK: call @layer_decode
// CHECK-NOT: tfm.gather_outputs
// CHECK: tfm.batch_dim %{{.*}} tokens
func.func private @layer(%x: tensor<?x4xf32>) -> tensor<?x4xf32> {
  %0 = arith.negf %x : tensor<?x4xf32>
  return %0 : tensor<?x4xf32>
}
func.func @forward(%x: tensor<?x4xf32>, %batch: !tfm.batch) -> (tensor<?x4xf32>, index) {
  %0 = call @layer(%x) : (tensor<?x4xf32>) -> tensor<?x4xf32>
  %1 = tfm.gather_outputs %0 batch(%batch) : tensor<?x4xf32> -> tensor<?x4xf32>
  %n = tfm.batch_dim %batch outputs
  return %1, %n : tensor<?x4xf32>, index
}
// A function that the step does not call stays.
// CHECK-LABEL: func.func @other
func.func @other(%x: tensor<4xf32>) -> tensor<4xf32> { return %x : tensor<4xf32> }
