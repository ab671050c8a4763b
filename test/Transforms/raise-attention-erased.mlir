// RUN: ingot-opt %s --raise-attention | FileCheck %s

// Raising erases what only the old product used, which may be another softmax: here the one that its
// sum was begun in.
// CHECK: tfm.attention_sites = [{{{[^}]*}}reason = "none"}]
// CHECK: tfm.attention
// CHECK-NOT: tfm.softmax
func.func @main(%q: tensor<1x5x8xf32>, %k: tensor<1x7x8xf32>, %v: tensor<1x7x8xf32>, %w: tensor<1x5x8xf32>)
    -> tensor<1x5x8xf32> {
  %s = tfm.matmul %q, %k transpose_b : tensor<1x5x8xf32>, tensor<1x7x8xf32> -> tensor<1x5x7xf32>
  %p = tfm.softmax %s dim(2) : tensor<1x5x7xf32>
  %s2 = tfm.softmax %w dim(2) : tensor<1x5x8xf32>
  %z = arith.constant 0.0 : f32
  %i = linalg.fill ins(%z : f32) outs(%s2 : tensor<1x5x8xf32>) -> tensor<1x5x8xf32>
  %o = linalg.batch_matmul ins(%p, %v : tensor<1x5x7xf32>, tensor<1x7x8xf32>)
                           outs(%i : tensor<1x5x8xf32>) -> tensor<1x5x8xf32>
  return %o : tensor<1x5x8xf32>
}
