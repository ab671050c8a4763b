// RUN: ingot-opt %s --split-input-file --plan-buffers | FileCheck %s

// An output is memory of its own, so what no dispatch writes, or what was returned before, is copied.

// CHECK: plan.kernel @copy(%[[X:.*]]: tensor<?x7xf32>) -> tensor<?x7xf32>
// CHECK-NEXT: plan.yield %[[X]]
// CHECK-NOT: plan.kernel
// CHECK: plan.program @main(%[[X:.*]]: tensor<?x7xf32>
// CHECK: %[[A:.*]] = plan.dispatch @copy{{.*}}(%[[X]])
// CHECK: %[[B:.*]] = plan.dispatch @copy{{.*}}(%[[X]])
// CHECK: plan.yield %[[A]], %[[B]]
func.func private @same(%x: tensor<?x7xf32>) -> tensor<?x7xf32> {
  return %x : tensor<?x7xf32>
}
func.func @main(%x: tensor<?x7xf32>) -> (tensor<?x7xf32>, tensor<?x7xf32>) {
  %0 = call @same(%x) : (tensor<?x7xf32>) -> tensor<?x7xf32>
  return %0, %x : tensor<?x7xf32>, tensor<?x7xf32>
}

// -----

// CHECK: plan.program @constant()
// CHECK: %[[C:.*]] = arith.constant dense<2.000000e+00> : tensor<3xf32>
// CHECK: %[[O:.*]] = plan.dispatch @copy{{.*}}(%[[C]])
// CHECK: plan.yield %[[O]]
func.func @constant() -> tensor<3xf32> {
  %c = arith.constant dense<2.0> : tensor<3xf32>
  return %c : tensor<3xf32>
}

// -----

// CHECK: plan.program @twice
// CHECK: %[[A:.*]] = plan.dispatch @neg{{.*}} slots [-1]
// CHECK: %[[B:.*]] = plan.dispatch @copy(%[[A]]){{.*}} slots [-1]
// CHECK: plan.yield %[[A]], %[[B]]
plan.kernel @neg(%x: tensor<3xbf16>) -> tensor<3xbf16> attributes {schedule = #plan.schedule<rows>} {
  %0 = arith.negf %x : tensor<3xbf16>
  plan.yield %0 : tensor<3xbf16>
}
func.func @twice(%x: tensor<3xbf16>) -> (tensor<3xbf16>, tensor<3xbf16>) {
  %0 = plan.dispatch @neg(%x) : (tensor<3xbf16>) -> tensor<3xbf16>
  return %0, %0 : tensor<3xbf16>, tensor<3xbf16>
}
