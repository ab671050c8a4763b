// RUN: ingot-opt %s --slide-context=window=16 | FileCheck %s
// RUN: not ingot-opt %s --slide-context=window=0 2>&1 | FileCheck %s --check-prefix=ZERO
// ZERO: error: expected a window of at least 1, got 0

// CHECK-LABEL: func.func @masks
func.func @masks(%q: tensor<4x?x8xf32>) -> tensor<4x?x8xf32> {
  // CHECK: tfm.attention {{.*}} causal window(16) :
  %0 = tfm.attention %q, %q, %q causal : tensor<4x?x8xf32>, tensor<4x?x8xf32>, tensor<4x?x8xf32> -> tensor<4x?x8xf32>
  // A smaller window of the model's own stays.
  // CHECK: tfm.attention {{.*}} causal window(5) :
  %1 = tfm.attention %0, %q, %q causal window(5) : tensor<4x?x8xf32>, tensor<4x?x8xf32>, tensor<4x?x8xf32> -> tensor<4x?x8xf32>
  // CHECK: tfm.attention {{.*}} mask {
  // CHECK: %[[K:.*]] = arith.cmpi slt, %{{.*}}, %{{.*}} : index
  // CHECK: %[[D:.*]] = arith.subi
  // CHECK: %[[W:.*]] = arith.constant 16 : index
  // CHECK: %[[N:.*]] = arith.cmpi slt, %[[D]], %[[W]]
  // CHECK: %[[A:.*]] = arith.andi %[[K]], %[[N]]
  // CHECK: tfm.yield %[[A]]
  %2 = tfm.attention %1, %q, %q
    mask {
    ^bb0(%b: index, %h: index, %i: index, %j: index):
      %keep = arith.cmpi slt, %j, %i : index
      tfm.yield %keep : i1
    } : tensor<4x?x8xf32>, tensor<4x?x8xf32>, tensor<4x?x8xf32> -> tensor<4x?x8xf32>
  return %2 : tensor<4x?x8xf32>
}

// The row of a table of positions is limited, whatever is added to it; a rotary angle is not.
// CHECK-LABEL: func.func @positions
func.func @positions(%ids: tensor<?xi32>, %table: tensor<18x8xf32>) -> (tensor<?x8xf32>, tensor<?xf64>) {
  // CHECK: %[[P:.*]] = tfm.positions
  %p = tfm.positions %ids : tensor<?xi32> -> tensor<?xi32>
  // CHECK: %[[C:.*]] = arith.constant 15 : i32
  // CHECK: %[[S:.*]] = tensor.splat %[[C]]
  // CHECK: %[[L:.*]] = arith.minsi %[[P]], %[[S]]
  %two = arith.constant 2 : i32
  %c0 = arith.constant 0 : index
  %n = tensor.dim %ids, %c0 : tensor<?xi32>
  %twos = tensor.splat %two[%n] : tensor<?xi32>
  // CHECK: arith.addi %[[L]],
  %q = arith.addi %p, %twos : tensor<?xi32>
  %x = tfm.embedding %q, %table : tensor<?xi32>, tensor<18x8xf32> -> tensor<?x8xf32>
  // CHECK: arith.sitofp %[[P]]
  %f = arith.sitofp %p : tensor<?xi32> to tensor<?xf64>
  return %x, %f : tensor<?x8xf32>, tensor<?xf64>
}
