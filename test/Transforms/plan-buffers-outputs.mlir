// RUN: ingot-opt %s --plan-buffers | FileCheck %s

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
