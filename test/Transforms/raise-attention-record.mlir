// RUN: ingot-opt %s --raise-attention --mlir-print-local-scope | FileCheck %s

// The record counts how often the entry points run a body, and names sites as the model does.
// CHECK: tfm.attention_sites = [
// CHECK-SAME: {calls = 6 : i64, detail = "no mask, 1 query head per key head", function = "body", location = "layers.*.attention", reason = "none"}
// CHECK-SAME: {calls = 1 : i64, detail = "the probabilities do not enter a product with values", function = "f", location = "line {{[0-9]+:[0-9]+}}", reason = "no-values"}
func.func private @body(%x: tensor<2x5x8xf32>) -> tensor<2x5x8xf32> {
  %s = tfm.matmul %x, %x transpose_b : tensor<2x5x8xf32>, tensor<2x5x8xf32> -> tensor<2x5x5xf32>
  %p = tfm.softmax %s dim(2) : tensor<2x5x5xf32> loc("layers.*.attention")
  %o = tfm.matmul %p, %x : tensor<2x5x5xf32>, tensor<2x5x8xf32> -> tensor<2x5x8xf32>
  return %o : tensor<2x5x8xf32>
}
func.func private @two(%x: tensor<2x5x8xf32>) -> tensor<2x5x8xf32> {
  %0 = call @body(%x) : (tensor<2x5x8xf32>) -> tensor<2x5x8xf32>
  %1 = call @body(%0) : (tensor<2x5x8xf32>) -> tensor<2x5x8xf32>
  return %1 : tensor<2x5x8xf32>
}
func.func @f(%x: tensor<2x5x8xf32>) -> tensor<2x5x8xf32> {
  %0 = call @two(%x) : (tensor<2x5x8xf32>) -> tensor<2x5x8xf32>
  %1 = call @two(%0) : (tensor<2x5x8xf32>) -> tensor<2x5x8xf32>
  %2 = call @two(%1) : (tensor<2x5x8xf32>) -> tensor<2x5x8xf32>
  %3 = tfm.softmax %2 dim(2) : tensor<2x5x8xf32>
  return %3 : tensor<2x5x8xf32>
}
