// RUN: ingot-opt %s --insert-shape-checks --canonicalize --cse | FileCheck %s

// CHECK-LABEL: func.func @attention
func.func @attention(%q: tensor<?x4x?x8xf32>, %k: tensor<?x2x?x8xf32>, %v: tensor<?x2x?x8xf32>) -> tensor<?x4x?x8xf32> {
  // CHECK-COUNT-3: cf.assert %{{.*}}, "expected operands of 'tfm.attention' that agree
  // CHECK-NOT: cf.assert
  %0 = tfm.attention %q, %k, %v : tensor<?x4x?x8xf32>, tensor<?x2x?x8xf32>, tensor<?x2x?x8xf32> -> tensor<?x4x?x8xf32>
  return %0 : tensor<?x4x?x8xf32>
}

// CHECK-LABEL: func.func @matmul
func.func @matmul(%a: tensor<2x?x?xf32>, %b: tensor<2x7x?xf32>) -> tensor<2x?x7xf32> {
  // CHECK-COUNT-1: cf.assert %{{.*}}, "expected operands of 'tfm.matmul' that agree in dimensions 2 and 2"
  // CHECK-NOT: cf.assert
  %0 = tfm.matmul %a, %b transpose_b : tensor<2x?x?xf32>, tensor<2x7x?xf32> -> tensor<2x?x7xf32>
  return %0 : tensor<2x?x7xf32>
}

// CHECK-LABEL: func.func @generic
func.func @generic(%a: tensor<?xf32>, %b: tensor<?x4xf32>) -> tensor<?x4xf32> {
  // CHECK: cf.assert
  %0 = linalg.broadcast ins(%a : tensor<?xf32>) outs(%b : tensor<?x4xf32>) dimensions = [1]
  return %0 : tensor<?x4xf32>
}

// CHECK-LABEL: func.func @concat
func.func @concat(%a: tensor<?x3xf32>, %b: tensor<?x4xf32>) -> tensor<?x7xf32> {
  // CHECK: cf.assert
  %0 = tensor.concat dim(1) %a, %b : (tensor<?x3xf32>, tensor<?x4xf32>) -> tensor<?x7xf32>
  return %0 : tensor<?x7xf32>
}

// CHECK-LABEL: func.func @negative_same_value
func.func @negative_same_value(%a: tensor<?x3xf32>) -> tensor<?x3xf32> {
  // CHECK-NOT: cf.assert
  %0 = arith.mulf %a, %a : tensor<?x3xf32>
  return %0 : tensor<?x3xf32>
}

// CHECK-LABEL: func.func @negative_static
func.func @negative_static(%a: tensor<5x3xf32>, %b: tensor<5x3xf32>) -> tensor<5x3xf32> {
  // CHECK-NOT: cf.assert
  %0 = arith.mulf %a, %b : tensor<5x3xf32>
  return %0 : tensor<5x3xf32>
}
