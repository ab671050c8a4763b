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

// CHECK-LABEL: func.func @cast
func.func @cast(%a: tensor<?x?x3xf32>) -> tensor<5x?x3xf32> {
  // CHECK: cf.assert %{{.*}}, "expected dimension 0 of the size that 'tensor.cast' gives it"
  // CHECK-NOT: cf.assert
  %0 = tensor.cast %a : tensor<?x?x3xf32> to tensor<5x?x3xf32>
  return %0 : tensor<5x?x3xf32>
}

// CHECK-LABEL: func.func @slice
func.func @slice(%a: tensor<?x?x3xf32>, %n: index) -> tensor<2x?x3xf32> {
  // CHECK: cf.assert %{{.*}}, "expected 'tensor.extract_slice' to end inside of dimension 0"
  // CHECK: cf.assert %{{.*}}, "expected 'tensor.extract_slice' to begin inside of dimension 1"
  // CHECK: cf.assert %{{.*}}, "expected 'tensor.extract_slice' to have a size in dimension 1"
  // CHECK: cf.assert %{{.*}}, "expected 'tensor.extract_slice' to end inside of dimension 1"
  // CHECK-NOT: cf.assert
  %0 = tensor.extract_slice %a[4, %n, 0] [2, %n, 3] [3, 1, 1] : tensor<?x?x3xf32> to tensor<2x?x3xf32>
  return %0 : tensor<2x?x3xf32>
}

// CHECK-LABEL: func.func @negative_whole
func.func @negative_whole(%a: tensor<?x6xf32>) -> tensor<?x3xf32> {
  // CHECK-NOT: cf.assert
  %c0 = arith.constant 0 : index
  %n = tensor.dim %a, %c0 : tensor<?x6xf32>
  %0 = tensor.extract_slice %a[0, 3] [%n, 3] [1, 1] : tensor<?x6xf32> to tensor<?x3xf32>
  return %0 : tensor<?x3xf32>
}

// CHECK-LABEL: func.func @expand
func.func @expand(%a: tensor<?x3xf32>, %n: index) -> tensor<?x2x3xf32> {
  // CHECK: cf.assert %{{.*}}, "expected parts that make up dimension 0 of what 'tensor.expand_shape' splits"
  // CHECK-NOT: cf.assert
  %0 = tensor.expand_shape %a [[0, 1], [2]] output_shape [%n, 2, 3] : tensor<?x3xf32> into tensor<?x2x3xf32>
  return %0 : tensor<?x2x3xf32>
}

// CHECK-LABEL: func.func @insert
func.func @insert(%a: tensor<?x3xf32>, %b: tensor<8x3xf32>, %n: index) -> tensor<8x3xf32> {
  // CHECK: cf.assert %{{.*}}, "expected 'tensor.insert_slice' to have a size in dimension 0"
  // CHECK: cf.assert %{{.*}}, "expected 'tensor.insert_slice' to end inside of dimension 0"
  // CHECK: cf.assert %{{.*}}, "expected 'tensor.insert_slice' to have all of its source in dimension 0"
  // CHECK-NOT: cf.assert
  %0 = tensor.insert_slice %a into %b[2, 0] [%n, 3] [1, 1] : tensor<?x3xf32> into tensor<8x3xf32>
  return %0 : tensor<8x3xf32>
}
