// RUN: ingot-opt %s --pack-attention --canonicalize --cse | FileCheck %s

// CHECK-LABEL: func.func @batched
// CHECK-SAME: (%[[Q:.*]]: tensor<?x4x?x8xf32>, %[[K:.*]]: tensor<?x2x?x8xf32>, %[[V:.*]]: tensor<?x2x?x5xf32>
func.func @batched(%q: tensor<?x4x?x8xf32>, %k: tensor<?x2x?x8xf32>, %v: tensor<?x2x?x5xf32>, %s: f32) -> tensor<?x4x?x5xf32> {
  // CHECK-DAG: %[[B:.*]] = tensor.dim %[[Q]], %c0
  // CHECK-DAG: %[[S:.*]] = tensor.dim %[[Q]], %c2
  // CHECK-DAG: %[[T:.*]] = tensor.dim %[[K]], %c2
  // CHECK: %[[KB:.*]] = tfm.uniform_batch %[[B]], %[[T]], %[[T]]
  // CHECK: %[[QB:.*]] = tfm.uniform_batch %[[B]], %[[S]], %[[T]]
  // CHECK: tfm.cache_create %[[KB]] : <2x8x5xf32>
  // CHECK: %[[C:.*]] = tfm.cache_append {{.*}} batch(%[[KB]])
  // CHECK: tfm.attention %{{.*}}, %[[C]] batch(%[[QB]]) scale(%{{.*}}) causal softcap(3.000000e+01) :
  %0 = tfm.attention %q, %k, %v scale(%s) causal softcap(30.0)
    : tensor<?x4x?x8xf32>, tensor<?x2x?x8xf32>, tensor<?x2x?x5xf32> -> tensor<?x4x?x5xf32>
  return %0 : tensor<?x4x?x5xf32>
}

// CHECK-LABEL: func.func @negative_packed_already
func.func @negative_packed_already(%q: tensor<?x4x8xf32>, %c: !tfm.cache<4x8x8xf32>, %b: !tfm.batch) -> tensor<?x4x8xf32> {
  // CHECK-NOT: tfm.uniform_batch
  %0 = tfm.attention %q, %c batch(%b) : tensor<?x4x8xf32>, !tfm.cache<4x8x8xf32> -> tensor<?x4x8xf32>
  return %0 : tensor<?x4x8xf32>
}
