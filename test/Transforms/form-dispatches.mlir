// RUN: ingot-opt %s -split-input-file --form-dispatches --canonicalize --cse | FileCheck %s

// A gated feed-forward network: the halves of one linear, the gate and the product are one kernel; the residual goes
// into the other; the norm is a kernel over rows.
// CHECK: plan.kernel @rms_norm
// CHECK-SAME: schedule = #plan.schedule<rows>
// CHECK: plan.kernel @[[UP:linear.*]](%{{.*}}: tensor<?x6xf32>, %{{.*}}: tensor<20x6xf32>
// CHECK-SAME: -> tensor<?x10xf32>
// CHECK-SAME: schedule = #plan.schedule<linear>
// CHECK: arith.maximumf
// CHECK: arith.mulf
// CHECK: plan.kernel @[[DOWN:linear.*]](%{{.*}}: tensor<?x10xf32>, %{{.*}}: tensor<6x10xf32>, %{{.*}}: tensor<?x6xf32>)
// CHECK: arith.addf
// CHECK-LABEL: func.func @mlp
// CHECK: plan.dispatch @rms_norm
// CHECK: plan.dispatch @[[UP]]
// CHECK: plan.dispatch @[[DOWN]]
// CHECK-NOT: arith.mulf
func.func @mlp(%x: tensor<?x6xf32>) -> tensor<?x6xf32> {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?x6xf32>
  %wu = tfm.parameter "u" from "m" at 0 : tensor<20x6xf32>
  %wd = tfm.parameter "d" from "m" at 480 : tensor<6x10xf32>
  %h = tfm.rms_norm %x eps(1.0e-5) : tensor<?x6xf32>
  %gu = tfm.linear %h, %wu : tensor<?x6xf32>, tensor<20x6xf32> -> tensor<?x20xf32>
  %g = tensor.extract_slice %gu[0, 0] [%n, 10] [1, 1] : tensor<?x20xf32> to tensor<?x10xf32>
  %u = tensor.extract_slice %gu[0, 10] [%n, 10] [1, 1] : tensor<?x20xf32> to tensor<?x10xf32>
  %zero = arith.constant 0.0 : f32
  %z = tensor.splat %zero[%n] : tensor<?x10xf32>
  %r = arith.maximumf %g, %z : tensor<?x10xf32>
  %m = arith.mulf %r, %u : tensor<?x10xf32>
  %d = tfm.linear %m, %wd : tensor<?x10xf32>, tensor<6x10xf32> -> tensor<?x6xf32>
  %y = arith.addf %x, %d : tensor<?x6xf32>
  return %y : tensor<?x6xf32>
}

// -----

// Unequal slices (queries, keys, values) stay outside: their readers take them from the whole result.
// CHECK-LABEL: func.func @negative_unequal_parts
// CHECK: %[[QKV:.*]] = plan.dispatch @linear(%{{.*}}) {{.*}} -> tensor<?x12xf32>
// CHECK: plan.dispatch @[[APPEND:.*]](%{{.*}}, %[[QKV]]
// CHECK: plan.dispatch @[[ATTEND:.*]](%[[QKV]]
func.func @negative_unequal_parts(%x: tensor<?x6xf32>, %batch: !tfm.batch, %cache: !tfm.cache<1x3x3xf32>) -> (tensor<?x2x3xf32>, !tfm.cache<1x3x3xf32>) {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?x6xf32>
  %w = tfm.parameter "w" from "m" at 0 : tensor<12x6xf32>
  %qkv = tfm.linear %x, %w : tensor<?x6xf32>, tensor<12x6xf32> -> tensor<?x12xf32>
  %q0 = tensor.extract_slice %qkv[0, 0] [%n, 6] [1, 1] : tensor<?x12xf32> to tensor<?x6xf32>
  %k0 = tensor.extract_slice %qkv[0, 6] [%n, 3] [1, 1] : tensor<?x12xf32> to tensor<?x3xf32>
  %v0 = tensor.extract_slice %qkv[0, 9] [%n, 3] [1, 1] : tensor<?x12xf32> to tensor<?x3xf32>
  %q = tensor.expand_shape %q0 [[0], [1, 2]] output_shape [%n, 2, 3] : tensor<?x6xf32> into tensor<?x2x3xf32>
  %k = tensor.expand_shape %k0 [[0], [1, 2]] output_shape [%n, 1, 3] : tensor<?x3xf32> into tensor<?x1x3xf32>
  %v = tensor.expand_shape %v0 [[0], [1, 2]] output_shape [%n, 1, 3] : tensor<?x3xf32> into tensor<?x1x3xf32>
  %next = tfm.cache_append %cache, %k, %v batch(%batch) : !tfm.cache<1x3x3xf32>, tensor<?x1x3xf32>, tensor<?x1x3xf32>
  %o = tfm.attention %q, %next batch(%batch) causal : tensor<?x2x3xf32>, !tfm.cache<1x3x3xf32> -> tensor<?x2x3xf32>
  return %o, %next : tensor<?x2x3xf32>, !tfm.cache<1x3x3xf32>
}

// -----

// Equal kernels are one, whatever function they come from; a product of two inputs is no linear on a weight.
// CHECK: plan.kernel @exp
// CHECK-NOT: plan.kernel
// CHECK-LABEL: func.func @equal_kernels
// CHECK: plan.dispatch @exp
// CHECK-LABEL: func.func @equal_kernels_again
// CHECK: plan.dispatch @exp
func.func @equal_kernels(%x: tensor<?x6xf32>) -> tensor<?x6xf32> {
  %0 = math.exp %x : tensor<?x6xf32>
  return %0 : tensor<?x6xf32>
}
func.func @equal_kernels_again(%y: tensor<?x6xf32>) -> tensor<?x6xf32> {
  %0 = math.exp %y : tensor<?x6xf32>
  return %0 : tensor<?x6xf32>
}

// -----

// CHECK: plan.kernel @linear
// CHECK-SAME: schedule = #plan.schedule<rows>
func.func @negative_weight_is_an_input(%x: tensor<?x6xf32>, %w: tensor<4x6xf32>) -> tensor<?x4xf32> {
  %0 = tfm.linear %x, %w : tensor<?x6xf32>, tensor<4x6xf32> -> tensor<?x4xf32>
  return %0 : tensor<?x4xf32>
}

// -----

// A mixture of experts: the choice takes in the softmax, the experts' product the gate and the up half; the sum
// of the experts goes with the residual.
// CHECK: plan.kernel @linear(
// CHECK: plan.kernel @route
// CHECK-SAME: -> (tensor<?x2xi32>, tensor<?x2xf32>) attributes {schedule = #plan.schedule<route>}
// CHECK: tfm.softmax
// CHECK: tfm.route
// CHECK: plan.kernel @expert_linear(
// CHECK-SAME: -> tensor<?x2x5xf32> attributes {schedule = #plan.schedule<experts>}
// CHECK: tfm.expert_linear
// CHECK: arith.mulf
// CHECK: plan.kernel @expert_linear_0(
// CHECK-SAME: schedule = #plan.schedule<experts>
// CHECK: plan.kernel @addf
// CHECK-SAME: schedule = #plan.schedule<rows>
// CHECK: tfm.combine
// CHECK: arith.addf
// CHECK-LABEL: func.func @mixture
// CHECK: plan.dispatch @linear
// CHECK: %[[R:.*]]:2 = plan.dispatch @route
// CHECK: %[[U:.*]] = plan.dispatch @expert_linear(%{{.*}}, %{{.*}}, %[[R]]#0, %{{.*}})
// CHECK: %[[D:.*]] = plan.dispatch @expert_linear_0(%[[U]], %{{.*}}, %[[R]]#0)
// CHECK: plan.dispatch @addf(%{{.*}}, %[[D]], %[[R]]#1)
func.func @mixture(%x: tensor<?x6xf32>) -> tensor<?x6xf32> {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?x6xf32>
  %wr = tfm.parameter "r" from "m" at 0 : tensor<4x6xf32>
  %w0 = tfm.parameter "0" from "m" at 96 : tensor<20x6xf32>
  %w1 = tfm.parameter "1" from "m" at 576 : tensor<20x6xf32>
  %wd = tfm.parameter "d" from "m" at 1056 : tensor<24x5xf32>
  %wu = tensor.concat dim(0) %w0, %w1 : (tensor<20x6xf32>, tensor<20x6xf32>) -> tensor<40x6xf32>
  %l = tfm.linear %x, %wr : tensor<?x6xf32>, tensor<4x6xf32> -> tensor<?x4xf32>
  %p = tfm.softmax %l dim(1) : tensor<?x4xf32>
  %ids, %w = tfm.route %p normalize : tensor<?x4xf32> -> tensor<?x2xi32>, tensor<?x2xf32>
  %gu = tfm.expert_linear %x, %wu ids(%ids : tensor<?x2xi32>) experts(4) : tensor<?x6xf32>, tensor<40x6xf32> -> tensor<?x2x10xf32>
  %g = tensor.extract_slice %gu[0, 0, 0] [%n, 2, 5] [1, 1, 1] : tensor<?x2x10xf32> to tensor<?x2x5xf32>
  %u = tensor.extract_slice %gu[0, 0, 5] [%n, 2, 5] [1, 1, 1] : tensor<?x2x10xf32> to tensor<?x2x5xf32>
  %m = arith.mulf %g, %u : tensor<?x2x5xf32>
  %d = tfm.expert_linear %m, %wd ids(%ids : tensor<?x2xi32>) experts(4) : tensor<?x2x5xf32>, tensor<24x5xf32> -> tensor<?x2x6xf32>
  %s = tfm.combine %d, %w : tensor<?x2x6xf32>, tensor<?x2xf32> -> tensor<?x6xf32>
  %y = arith.addf %x, %s : tensor<?x6xf32>
  return %y : tensor<?x6xf32>
}

// -----

// A cast is as large as what it casts.
// CHECK: func.func @casts
// CHECK: plan.dispatch @cast(%{{.*}}) sizes(%c13)
// CHECK: %[[N:.*]] = tensor.dim %arg1, %c0
// CHECK: plan.dispatch @cast_0(%arg1) sizes(%[[N]], %c7)
func.func @casts(%x: tensor<13x7xf32>, %y: tensor<?x7xf32>) -> (tensor<?x7xf32>, tensor<?x?xf32>) {
  %0 = tensor.cast %x : tensor<13x7xf32> to tensor<?x7xf32>
  %1 = tensor.cast %y : tensor<?x7xf32> to tensor<?x?xf32>
  return %0, %1 : tensor<?x7xf32>, tensor<?x?xf32>
}
