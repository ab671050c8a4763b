// Keys and values of the source are in caches that do not grow: the encoder appends to them, the decoder reads them.
// RUN: ingot-opt %s --split-input-file "--insert-kv-cache=entry=encode transient=true" --insert-kv-cache --check-caches --canonicalize --cse --verify-diagnostics | FileCheck %s

// CHECK-LABEL: func.func @encode
// CHECK-SAME: %[[X:[a-z0-9]+]]: tensor<?x3x4xf32>, %[[B:[a-z0-9]+]]: !tfm.batch, %[[C:[a-z0-9]+]]: !tfm.cache<3x4x4xf32> {tfm.source})
// CHECK-SAME: -> (tensor<?x3x4xf32>, !tfm.cache<3x4x4xf32>)
// CHECK: %[[N:.*]] = tfm.cache_append %[[C]], %[[X]], %[[X]] batch(%[[B]])
// CHECK: return %{{.*}}, %[[N]]
func.func @encode(%x: tensor<?x3x4xf32>) -> (tensor<?x3x4xf32>, tensor<?x3x4xf32> {tfm.source}, tensor<?x3x4xf32> {tfm.source}) {
  return %x, %x, %x : tensor<?x3x4xf32>, tensor<?x3x4xf32>, tensor<?x3x4xf32>
}
// CHECK-LABEL: func.func private @layer
// CHECK-SAME: (%[[X:[a-z0-9]+]]: tensor<?x3x4xf32>, %[[B:[a-z0-9]+]]: !tfm.batch, %[[C:[a-z0-9]+]]: !tfm.cache<3x4x4xf32> {tfm.source}) -> tensor<?x3x4xf32>
// CHECK-NOT: tfm.cache_append
// CHECK: tfm.attention %[[X]], %[[C]] batch(%[[B]])
func.func private @layer(%x: tensor<?x3x4xf32>, %k: tensor<?x3x4xf32>, %v: tensor<?x3x4xf32>) -> tensor<?x3x4xf32> {
  %c0 = arith.constant 0 : index
  %s = tensor.dim %x, %c0 : tensor<?x3x4xf32>
  %t = tensor.dim %k, %c0 : tensor<?x3x4xf32>
  %e = tensor.empty(%s) : tensor<3x?x4xf32>
  %f = tensor.empty(%t) : tensor<3x?x4xf32>
  %q = linalg.transpose ins(%x : tensor<?x3x4xf32>) outs(%e : tensor<3x?x4xf32>) permutation = [1, 0, 2]
  %k0 = linalg.transpose ins(%k : tensor<?x3x4xf32>) outs(%f : tensor<3x?x4xf32>) permutation = [1, 0, 2]
  %v0 = linalg.transpose ins(%v : tensor<?x3x4xf32>) outs(%f : tensor<3x?x4xf32>) permutation = [1, 0, 2]
  %o = tfm.attention %q, %k0, %v0 : tensor<3x?x4xf32>, tensor<3x?x4xf32>, tensor<3x?x4xf32> -> tensor<3x?x4xf32>
  %g = tensor.empty(%s) : tensor<?x3x4xf32>
  %r = linalg.transpose ins(%o : tensor<3x?x4xf32>) outs(%g : tensor<?x3x4xf32>) permutation = [1, 0, 2]
  return %r : tensor<?x3x4xf32>
}
// CHECK-LABEL: func.func @forward
// CHECK-SAME: (%[[X:[a-z0-9]+]]: tensor<?x3x4xf32>, %[[B:[a-z0-9]+]]: !tfm.batch, %[[C:[a-z0-9]+]]: !tfm.cache<3x4x4xf32> {tfm.source}) -> tensor<?x3x4xf32>
// CHECK: call @layer(%[[X]], %[[B]], %[[C]])
func.func @forward(%x: tensor<?x3x4xf32>, %k: tensor<?x3x4xf32> {tfm.source}, %v: tensor<?x3x4xf32> {tfm.source}) -> tensor<?x3x4xf32> {
  %0 = call @layer(%x, %k, %v) : (tensor<?x3x4xf32>, tensor<?x3x4xf32>, tensor<?x3x4xf32>) -> tensor<?x3x4xf32>
  return %0 : tensor<?x3x4xf32>
}

// -----

func.func @encode(%x: tensor<?x3x4xf32>) -> tensor<?x3x4xf32> {
  return %x : tensor<?x3x4xf32>
}
func.func @forward(%x: tensor<?x4xf32>, %s: tensor<?x4xf32> {tfm.source}) -> tensor<?x4xf32> {
  // expected-error@+1 {{mixes tokens of a sequence and of its source}}
  %0 = arith.addf %x, %s : tensor<?x4xf32>
  return %0 : tensor<?x4xf32>
}

// -----

// expected-error@+1 {{expected pairs of keys and values, [tokens, heads, size]}}
func.func @encode(%x: tensor<?x3x4xf32>) -> (tensor<?x3x4xf32>, tensor<?x3x4xf32> {tfm.source}) {
  return %x, %x : tensor<?x3x4xf32>, tensor<?x3x4xf32>
}
func.func @forward(%x: tensor<?x4xf32>) -> tensor<?x4xf32> {
  return %x : tensor<?x4xf32>
}
