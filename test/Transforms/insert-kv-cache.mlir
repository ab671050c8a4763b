// RUN: ingot-opt %s -split-input-file --insert-kv-cache --canonicalize --cse -verify-diagnostics | FileCheck %s

// A cache per site and per call; positions and sizes come from the batch; the head runs on wanted rows.
// CHECK-LABEL: func.func private @layer
// CHECK-SAME: (%[[X:.*]]: tensor<?x12xf32>, %[[W:.*]]: tensor<12x12xf32>, %[[BATCH:.*]]: !tfm.batch, %[[CACHE:.*]]: !tfm.cache<3x4x4xf32>)
// CHECK-SAME: -> (tensor<?x12xf32>, !tfm.cache<3x4x4xf32>)
func.func private @layer(%x: tensor<?x12xf32>, %w: tensor<12x12xf32>) -> tensor<?x12xf32> {
  %c0 = arith.constant 0 : index
  %s = tensor.dim %x, %c0 : tensor<?x12xf32>
  // CHECK: %[[N:.*]] = tfm.batch_dim %[[BATCH]] tokens
  // CHECK: %[[H:.*]] = tensor.expand_shape {{.*}} output_shape [%[[N]], 3, 4]
  %h = tensor.expand_shape %x [[0], [1, 2]] output_shape [%s, 3, 4] : tensor<?x12xf32> into tensor<?x3x4xf32>
  %e = tensor.empty(%s) : tensor<3x?x4xf32>
  %t = linalg.transpose ins(%h : tensor<?x3x4xf32>) outs(%e : tensor<3x?x4xf32>) permutation = [1, 0, 2]
  // CHECK: %[[NEXT:.*]] = tfm.cache_append %[[CACHE]], %[[H]], %[[H]] batch(%[[BATCH]])
  // CHECK: %[[O:.*]] = tfm.attention %[[H]], %[[NEXT]] batch(%[[BATCH]]) causal
  %o = tfm.attention %t, %t, %t causal : tensor<3x?x4xf32>, tensor<3x?x4xf32>, tensor<3x?x4xf32> -> tensor<3x?x4xf32>
  %f = tensor.empty(%s) : tensor<?x3x4xf32>
  %r = linalg.transpose ins(%o : tensor<3x?x4xf32>) outs(%f : tensor<?x3x4xf32>) permutation = [1, 0, 2]
  // CHECK: tensor.collapse_shape %[[O]]
  %c = tensor.collapse_shape %r [[0], [1, 2]] : tensor<?x3x4xf32> into tensor<?x12xf32>
  %p = tfm.linear %c, %w : tensor<?x12xf32>, tensor<12x12xf32> -> tensor<?x12xf32>
  // CHECK: return %{{.*}}, %[[NEXT]]
  return %p : tensor<?x12xf32>
}
// CHECK-LABEL: func.func @forward
// CHECK-SAME: (%[[IDS:.*]]: tensor<?xi32>, %[[B:.*]]: !tfm.batch, %[[C0:.*]]: !tfm.cache<3x4x4xf32>, %[[C1:.*]]: !tfm.cache<3x4x4xf32>)
func.func @forward(%ids: tensor<?xi32>) -> tensor<?x5xf32> {
  %table = tfm.parameter "t" from "m" at 0 : tensor<5x12xf32>
  %w = tfm.parameter "w" from "m" at 240 : tensor<12x12xf32>
  // CHECK: tfm.positions %[[IDS]] batch(%[[B]])
  %p0 = tfm.positions %ids : tensor<?xi32> -> tensor<?xi32>
  // CHECK: tfm.prompt_lengths %[[IDS]] batch(%[[B]])
  %lengths = tfm.prompt_lengths %ids : tensor<?xi32> -> tensor<?xi32>
  %p = arith.addi %p0, %lengths : tensor<?xi32>
  %x = tfm.embedding %p, %table : tensor<?xi32>, tensor<5x12xf32> -> tensor<?x12xf32>
  // CHECK: %[[A:.*]]:2 = call @layer(%{{.*}}, %{{.*}}, %[[B]], %[[C0]])
  %0 = call @layer(%x, %w) : (tensor<?x12xf32>, tensor<12x12xf32>) -> tensor<?x12xf32>
  // CHECK: %[[D:.*]]:2 = call @layer(%[[A]]#0, %{{.*}}, %[[B]], %[[C1]])
  %1 = call @layer(%0, %w) : (tensor<?x12xf32>, tensor<12x12xf32>) -> tensor<?x12xf32>
  // CHECK: %[[G:.*]] = tfm.gather_outputs %[[D]]#0 batch(%[[B]])
  // CHECK: %[[M:.*]] = tfm.rms_norm %[[G]]
  %n = tfm.rms_norm %1 eps(1.0e-5) : tensor<?x12xf32>
  // CHECK: %[[L:.*]] = tfm.linear %[[M]]
  %l = tfm.linear %n, %table : tensor<?x12xf32>, tensor<5x12xf32> -> tensor<?x5xf32>
  // CHECK: return %[[L]], %[[A]]#1, %[[D]]#1
  return %l : tensor<?x5xf32>
}
