// With caches that live for one step nothing is an argument, and attention may look ahead.
// RUN: ingot-opt %s --split-input-file --insert-kv-cache=transient=true --canonicalize --cse | FileCheck %s

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

// -----

// A score region may read rows of tokens: those of the query and of the key, which are all of this step.
// CHECK-LABEL: func.func @forward
// CHECK-SAME: %[[A:[a-z0-9]+]]: tensor<?x2xf32>, %[[B:[a-z0-9]+]]: !tfm.batch
// CHECK: ^bb0(%{{.*}}: f32, %[[SEQ:.*]]: index, %{{.*}}: index, %[[I:.*]]: index, %[[J:.*]]: index):
// CHECK: %[[ROW:.*]] = tfm.packed_row %[[B]][%[[SEQ]], %[[I]]]
// CHECK: tensor.extract %[[A]][%[[ROW]], %{{.*}}]
// CHECK: %[[COL:.*]] = tfm.packed_row %[[B]][%[[SEQ]], %[[J]]]
// CHECK: tensor.extract %[[A]][%[[COL]], %{{.*}}]
func.func @forward(%x: tensor<?x3x4xf32>, %a: tensor<?x2xf32>) -> tensor<?x3x4xf32> {
  %c0 = arith.constant 0 : index
  %s = tensor.dim %x, %c0 : tensor<?x3x4xf32>
  %e = tensor.empty(%s) : tensor<3x?x4xf32>
  %t = linalg.transpose ins(%x : tensor<?x3x4xf32>) outs(%e : tensor<3x?x4xf32>) permutation = [1, 0, 2]
  %o = tfm.attention %t, %t, %t
    score {
    ^bb0(%v: f32, %b: index, %h: index, %i: index, %j: index):
      %c1 = arith.constant 1 : index
      %p = tensor.extract %a[%i, %c1] : tensor<?x2xf32>
      %q = tensor.extract %a[%j, %c1] : tensor<?x2xf32>
      %w = arith.addf %v, %p : f32
      %y = arith.addf %w, %q : f32
      tfm.yield %y : f32
    } : tensor<3x?x4xf32>, tensor<3x?x4xf32>, tensor<3x?x4xf32> -> tensor<3x?x4xf32>
  %f = tensor.empty(%s) : tensor<?x3x4xf32>
  %r = linalg.transpose ins(%o : tensor<3x?x4xf32>) outs(%f : tensor<?x3x4xf32>) permutation = [1, 0, 2]
  return %r : tensor<?x3x4xf32>
}
