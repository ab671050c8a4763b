// RUN: ingot-opt %s --canonicalize | FileCheck %s

// Regions that do nothing go.
// CHECK-LABEL: func.func @identity_regions
func.func @identity_regions(%q: tensor<4x?x8xf32>) -> tensor<4x?x8xf32> {
  // CHECK: tfm.attention %{{.*}}, %{{.*}}, %{{.*}} : tensor
  %0 = tfm.attention %q, %q, %q
    score {
    ^bb0(%s: f32, %b: index, %h: index, %i: index, %j: index):
      tfm.yield %s : f32
    }
    mask {
    ^bb0(%b: index, %h: index, %i: index, %j: index):
      %t = arith.constant true
      tfm.yield %t : i1
    } : tensor<4x?x8xf32>, tensor<4x?x8xf32>, tensor<4x?x8xf32> -> tensor<4x?x8xf32>
  return %0 : tensor<4x?x8xf32>
}

// CHECK-LABEL: func.func @negative_mask_drops_all
func.func @negative_mask_drops_all(%q: tensor<4x?x8xf32>) -> tensor<4x?x8xf32> {
  // CHECK: mask {
  %0 = tfm.attention %q, %q, %q
    mask {
    ^bb0(%b: index, %h: index, %i: index, %j: index):
      %f = arith.constant false
      tfm.yield %f : i1
    } : tensor<4x?x8xf32>, tensor<4x?x8xf32>, tensor<4x?x8xf32> -> tensor<4x?x8xf32>
  return %0 : tensor<4x?x8xf32>
}

// A weight that nobody reads goes.
// CHECK-LABEL: func.func @dead_parameter
func.func @dead_parameter() {
  // CHECK-NOT: tfm.parameter
  %0 = tfm.parameter "a" from "m" at 0 : tensor<8xf32>
  return
}

// CHECK-LABEL: func.func @convert_to_the_same
func.func @convert_to_the_same(%w: tensor<2x32xbf16>) -> tensor<2x32xbf16> {
  // CHECK-NEXT: return %{{.*}} : tensor<2x32xbf16>
  %0 = tfm.convert_weight %w : tensor<2x32xbf16> -> tensor<2x32xbf16>
  return %0 : tensor<2x32xbf16>
}
