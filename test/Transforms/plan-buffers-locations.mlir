// RUN: ingot-opt %s --plan-buffers --mlir-print-debuginfo --mlir-print-local-scope | FileCheck %s

// A dispatch knows which layer it belongs to: the star of its name is filled in from the call, in parts of a fused
// location too. A name that does not fit the call's gets it beside; an entry point's own operations keep their names.
// CHECK-LABEL: plan.program @forward
// CHECK: plan.dispatch @neg{{.*}} loc("model.layers.0.mlp.up")
// CHECK: plan.dispatch @neg{{.*}} loc(fused["model.layers.0.q", "model.layers.0.k"])
// CHECK: plan.dispatch @neg{{.*}} loc(callsite("elsewhere" at "model.layers.0"))
// CHECK: plan.dispatch @neg{{.*}} loc("model.layers.12.mlp.up")
// CHECK: plan.dispatch @neg{{.*}} loc(fused["model.layers.12.q", "model.layers.12.k"])
// CHECK: plan.dispatch @neg{{.*}} loc(callsite("elsewhere" at "model.layers.12"))
// CHECK: plan.dispatch @neg{{.*}} loc("model.head.*")
plan.kernel @neg(%x: tensor<?x8xf32>) -> tensor<?x8xf32> attributes {schedule = #plan.schedule<rows>} {
  %0 = arith.negf %x : tensor<?x8xf32>
  plan.yield %0 : tensor<?x8xf32>
}
func.func private @layer(%x: tensor<?x8xf32>) -> tensor<?x8xf32> {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?x8xf32>
  %0 = plan.dispatch @neg(%x) sizes(%n) : (tensor<?x8xf32>) -> tensor<?x8xf32> loc("model.layers.*.mlp.up")
  %1 = plan.dispatch @neg(%0) sizes(%n) : (tensor<?x8xf32>) -> tensor<?x8xf32> loc(fused["model.layers.*.q", "model.layers.*.k"])
  %2 = plan.dispatch @neg(%1) sizes(%n) : (tensor<?x8xf32>) -> tensor<?x8xf32> loc("elsewhere")
  return %2 : tensor<?x8xf32>
}
func.func @forward(%x: tensor<?x8xf32>) -> tensor<?x8xf32> {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?x8xf32>
  %0 = call @layer(%x) : (tensor<?x8xf32>) -> tensor<?x8xf32> loc("model.layers.0")
  %1 = call @layer(%0) : (tensor<?x8xf32>) -> tensor<?x8xf32> loc("model.layers.12")
  %2 = plan.dispatch @neg(%1) sizes(%n) : (tensor<?x8xf32>) -> tensor<?x8xf32> loc("model.head.*")
  return %2 : tensor<?x8xf32>
}
