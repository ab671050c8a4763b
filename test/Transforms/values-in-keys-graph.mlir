// Where values of a graph are the first elements of their keys, and where they only look like it.
// RUN: ingot-opt %s -split-input-file --pack-attention --canonicalize --cse | FileCheck %s

// Several heads of a static graph.
// CHECK: func.func @heads
// CHECK: tfm.cache_append {{.*}} : <2x8x5xf32, values_in_keys>
func.func @heads(%k: tensor<2x7x8xf32>) -> tensor<2x7x5xf32> {
  %v = tensor.extract_slice %k[0, 0, 0] [2, 7, 5] [1, 1, 1] : tensor<2x7x8xf32> to tensor<2x7x5xf32>
  %o = tfm.attention %k, %k, %v causal : tensor<2x7x8xf32>, tensor<2x7x8xf32>, tensor<2x7x5xf32> -> tensor<2x7x5xf32>
  return %o : tensor<2x7x5xf32>
}

// -----

// Not the first elements.
// CHECK: func.func @negative_last
// CHECK: tfm.cache_append {{.*}} : <2x8x5xf32>
func.func @negative_last(%k: tensor<2x7x8xf32>) -> tensor<2x7x5xf32> {
  %v = tensor.extract_slice %k[0, 0, 3] [2, 7, 5] [1, 1, 1] : tensor<2x7x8xf32> to tensor<2x7x5xf32>
  %o = tfm.attention %k, %k, %v causal : tensor<2x7x8xf32>, tensor<2x7x8xf32>, tensor<2x7x5xf32> -> tensor<2x7x5xf32>
  return %o : tensor<2x7x5xf32>
}

// -----

// Other rows: the tokens of the one are the heads of the other.
// CHECK: func.func @negative_rows
// CHECK: tfm.cache_append {{.*}} : <2x8x5xf32>
func.func @negative_rows(%x: tensor<2x2x8xf32>) -> tensor<2x2x5xf32> {
  %e = tensor.empty() : tensor<2x2x8xf32>
  %k = linalg.transpose ins(%x : tensor<2x2x8xf32>) outs(%e : tensor<2x2x8xf32>) permutation = [1, 0, 2]
  %v = tensor.extract_slice %x[0, 0, 0] [2, 2, 5] [1, 1, 1] : tensor<2x2x8xf32> to tensor<2x2x5xf32>
  %o = tfm.attention %k, %k, %v causal : tensor<2x2x8xf32>, tensor<2x2x8xf32>, tensor<2x2x5xf32> -> tensor<2x2x5xf32>
  return %o : tensor<2x2x5xf32>
}

// -----

// Rows of 4 are no rows of 8.
// CHECK: func.func @negative_reshaped
// CHECK: tfm.cache_append {{.*}} : <1x8x4xf32>
func.func @negative_reshaped(%x: tensor<14x4xf32>) -> tensor<1x7x4xf32> {
  %k = tensor.expand_shape %x [[0, 1], [2]] output_shape [7, 2, 4] : tensor<14x4xf32> into tensor<7x2x4xf32>
  %f = tensor.collapse_shape %k [[0], [1, 2]] : tensor<7x2x4xf32> into tensor<7x8xf32>
  %g = tensor.expand_shape %f [[0, 1], [2]] output_shape [1, 7, 8] : tensor<7x8xf32> into tensor<1x7x8xf32>
  %h = tensor.extract_slice %x[0, 0] [7, 4] [1, 1] : tensor<14x4xf32> to tensor<7x4xf32>
  %v = tensor.expand_shape %h [[0, 1], [2]] output_shape [1, 7, 4] : tensor<7x4xf32> into tensor<1x7x4xf32>
  %o = tfm.attention %g, %g, %v causal : tensor<1x7x8xf32>, tensor<1x7x8xf32>, tensor<1x7x4xf32> -> tensor<1x7x4xf32>
  return %o : tensor<1x7x4xf32>
}
