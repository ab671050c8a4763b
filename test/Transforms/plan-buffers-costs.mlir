// RUN: ingot-opt %s --plan-buffers --canonicalize --cse | FileCheck %s

// Attention costs the pairs that its mask leaves, as far as it says so.
plan.kernel @both_ways(%q: tensor<?x2x4xf32>, %c: !tfm.cache<2x4x4xf32>, %b: !tfm.batch) -> tensor<?x2x4xf32>
    attributes {schedule = #plan.schedule<attention, tileRows = 16>} {
  %0 = tfm.attention %q, %c batch(%b) : tensor<?x2x4xf32>, !tfm.cache<2x4x4xf32> -> tensor<?x2x4xf32>
  plan.yield %0 : tensor<?x2x4xf32>
}
plan.kernel @even_past(%q: tensor<?x2x4xf32>, %c: !tfm.cache<2x4x4xf32>, %b: !tfm.batch) -> tensor<?x2x4xf32>
    attributes {schedule = #plan.schedule<attention, tileRows = 16>} {
  %0 = tfm.attention %q, %c batch(%b) mask {
  ^bb0(%s: index, %h: index, %i: index, %j: index):
    %two = arith.constant 2 : index
    %past = arith.cmpi ule, %j, %i : index
    %odd = arith.remui %j, %two : index
    %zero = arith.constant 0 : index
    %even = arith.cmpi eq, %odd, %zero : index
    %keep = arith.andi %past, %even : i1
    tfm.yield %keep : i1
  } : tensor<?x2x4xf32>, !tfm.cache<2x4x4xf32> -> tensor<?x2x4xf32>
  plan.yield %0 : tensor<?x2x4xf32>
}
// CHECK-LABEL: plan.program @masks
// CHECK-DAG: %[[ALL:.*]] = tfm.batch_dim %{{.*}} all_pairs
// CHECK-DAG: %[[PAST:.*]] = tfm.batch_dim %{{.*}} pairs{{$}}
// CHECK-DAG: plan.dispatch @both_ways{{.*}} cost(%{{.*}}, %[[ALL]]{{.*}} classes [1, 3, 2] coefficients [64, 32, 64]
// CHECK-DAG: plan.dispatch @even_past{{.*}} cost(%{{.*}}, %[[PAST]]{{.*}} classes [1, 3, 2] coefficients [64, 32, 64]
func.func @masks(%q: tensor<?x2x4xf32>, %b: !tfm.batch, %c: !tfm.cache<2x4x4xf32>) -> (tensor<?x2x4xf32>, tensor<?x2x4xf32>) {
  %z = arith.constant 0 : index
  %n = tensor.dim %q, %z : tensor<?x2x4xf32>
  %0 = plan.dispatch @both_ways(%q, %c, %b) sizes(%n) : (tensor<?x2x4xf32>, !tfm.cache<2x4x4xf32>, !tfm.batch) -> tensor<?x2x4xf32>
  %1 = plan.dispatch @even_past(%q, %c, %b) sizes(%n) : (tensor<?x2x4xf32>, !tfm.cache<2x4x4xf32>, !tfm.batch) -> tensor<?x2x4xf32>
  return %0, %1 : tensor<?x2x4xf32>, tensor<?x2x4xf32>
}
