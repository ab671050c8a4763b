// With caches that live for one step nothing is an argument, and attention may look ahead.
// RUN: ingot-opt %s --insert-kv-cache=transient=true --canonicalize --cse | FileCheck %s

// CHECK-LABEL: func.func @forward
// CHECK-SAME: (%[[X:.*]]: tensor<?x3x4xf32>, %[[B:.*]]: !tfm.batch) -> tensor<?x3x4xf32>
func.func @forward(%x: tensor<?x3x4xf32>) -> tensor<?x3x4xf32> {
  %c0 = arith.constant 0 : index
  %s = tensor.dim %x, %c0 : tensor<?x3x4xf32>
  %e = tensor.empty(%s) : tensor<3x?x4xf32>
  %t = linalg.transpose ins(%x : tensor<?x3x4xf32>) outs(%e : tensor<3x?x4xf32>) permutation = [1, 0, 2]
  // CHECK: %[[C:.*]] = tfm.cache_create %[[B]]
  // CHECK: %[[N:.*]] = tfm.cache_append %[[C]], %[[X]], %[[X]] batch(%[[B]])
  // CHECK: tfm.attention %[[X]], %[[N]] batch(%[[B]]) :
  %o = tfm.attention %t, %t, %t : tensor<3x?x4xf32>, tensor<3x?x4xf32>, tensor<3x?x4xf32> -> tensor<3x?x4xf32>
  %f = tensor.empty(%s) : tensor<?x3x4xf32>
  %r = linalg.transpose ins(%o : tensor<3x?x4xf32>) outs(%f : tensor<?x3x4xf32>) permutation = [1, 0, 2]
  return %r : tensor<?x3x4xf32>
}
