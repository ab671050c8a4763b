// Attention on a latent: where values are the first elements of their keys, they have no place of their own.
// RUN: ingot-opt %s -split-input-file --insert-kv-cache --canonicalize --cse | FileCheck %s
// RUN: ingot-opt %s -split-input-file --pack-attention --canonicalize --cse | FileCheck %s --check-prefix=PACKED

// As the importer leaves it: one head, reshaped in different ways.
// CHECK: func.func @forward({{.*}}!tfm.cache<1x24x16xf32, values_in_keys>
// CHECK: tensor.concat dim(2)
// CHECK: tfm.cache_append %{{[a-z0-9_]+}}, %{{[a-z0-9_]+}} batch(%{{.*}}) : <1x24x16xf32, values_in_keys>, tensor<?x1x24xf32>
// PACKED: func.func @forward
// PACKED: tfm.cache_append {{.*}} : <1x24x16xf32, values_in_keys>
func.func @forward(%q: tensor<?x4x24xf32>, %c: tensor<?x16xf32>, %r: tensor<?x1x8xf32>) -> tensor<?x4x16xf32> {
  %c0 = arith.constant 0 : index
  %s = tensor.dim %c, %c0 : tensor<?x16xf32>
  %e = tensor.empty(%s) : tensor<4x?x24xf32>
  %t = linalg.transpose ins(%q : tensor<?x4x24xf32>) outs(%e : tensor<4x?x24xf32>) permutation = [1, 0, 2]
  %head = tensor.expand_shape %c [[0], [1, 2]] output_shape [%s, 1, 16] : tensor<?x16xf32> into tensor<?x1x16xf32>
  %joint = tensor.concat dim(2) %head, %r : (tensor<?x1x16xf32>, tensor<?x1x8xf32>) -> tensor<?x1x24xf32>
  %flat = tensor.collapse_shape %joint [[0, 1], [2]] : tensor<?x1x24xf32> into tensor<?x24xf32>
  %k = tensor.expand_shape %flat [[0, 1], [2]] output_shape [1, %s, 24] : tensor<?x24xf32> into tensor<1x?x24xf32>
  %v = tensor.expand_shape %c [[0, 1], [2]] output_shape [1, %s, 16] : tensor<?x16xf32> into tensor<1x?x16xf32>
  %o = tfm.attention %t, %k, %v causal : tensor<4x?x24xf32>, tensor<1x?x24xf32>, tensor<1x?x16xf32> -> tensor<4x?x16xf32>
  %f = tensor.empty(%s) : tensor<?x4x16xf32>
  %p = linalg.transpose ins(%o : tensor<4x?x16xf32>) outs(%f : tensor<?x4x16xf32>) permutation = [1, 0, 2]
  return %p : tensor<?x4x16xf32>
}

// -----

// A slice of the keys, with the one head in the other place.
// CHECK: func.func @forward({{.*}}!tfm.cache<1x8x5xf32, values_in_keys>
func.func @forward(%q: tensor<?x1x8xf32>) -> tensor<?x1x5xf32> {
  %c0 = arith.constant 0 : index
  %s = tensor.dim %q, %c0 : tensor<?x1x8xf32>
  %e = tensor.empty(%s) : tensor<1x?x8xf32>
  %k = linalg.transpose ins(%q : tensor<?x1x8xf32>) outs(%e : tensor<1x?x8xf32>) permutation = [1, 0, 2]
  %v = tensor.extract_slice %k[0, 0, 0] [1, %s, 5] [1, 1, 1] : tensor<1x?x8xf32> to tensor<1x?x5xf32>
  %o = tfm.attention %k, %k, %v causal : tensor<1x?x8xf32>, tensor<1x?x8xf32>, tensor<1x?x5xf32> -> tensor<1x?x5xf32>
  %f = tensor.empty(%s) : tensor<?x1x5xf32>
  %p = linalg.transpose ins(%o : tensor<1x?x5xf32>) outs(%f : tensor<?x1x5xf32>) permutation = [1, 0, 2]
  return %p : tensor<?x1x5xf32>
}
