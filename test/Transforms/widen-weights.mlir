// RUN: ingot-opt %s --widen-weights --split-input-file --verify-diagnostics | FileCheck %s
// RUN: ingot-opt %s --widen-weights --split-input-file --verify-diagnostics --verify-numerics -o /dev/null

// Types change through calls of calls, all layers share a body, and what is no weight in blocks stays.
// CHECK-LABEL: func.func private @inner
// CHECK-SAME: %{{.*}}: tensor<?x32xf32>, %{{.*}}: tensor<32x32xf32>
// CHECK: tfm.linear {{.*}} : tensor<?x32xf32>, tensor<32x32xf32> -> tensor<?x32xf32>
func.func private @inner(%x: tensor<?x32xf32>, %w: tensor<32x32x!tfm.block<iq4_nl>>) -> tensor<?x32xf32> {
  %0 = tfm.linear %x, %w : tensor<?x32xf32>, tensor<32x32x!tfm.block<iq4_nl>> -> tensor<?x32xf32>
  return %0 : tensor<?x32xf32>
}
// CHECK-LABEL: func.func private @layer
// CHECK-SAME: %{{.*}}: tensor<?x32xf32>, %{{.*}}: tensor<32x32xf32>, %{{.*}}: tensor<32x32xbf16>
func.func private @layer(%x: tensor<?x32xf32>, %w: tensor<32x32x!tfm.block<iq4_nl>>, %v: tensor<32x32xbf16>) -> tensor<?x32xf32> {
  // CHECK: call @inner({{.*}}) : (tensor<?x32xf32>, tensor<32x32xf32>) -> tensor<?x32xf32>
  %0 = call @inner(%x, %w) : (tensor<?x32xf32>, tensor<32x32x!tfm.block<iq4_nl>>) -> tensor<?x32xf32>
  %1 = tfm.linear %0, %v : tensor<?x32xf32>, tensor<32x32xbf16> -> tensor<?x32xf32>
  return %1 : tensor<?x32xf32>
}
// CHECK-LABEL: func.func @forward
func.func @forward(%ids: tensor<?xi32>) -> tensor<?x7xf32> {
  // expected-warning @+3 {{1 weights in mxfp4 have no kernel of their own and are widened to 'bf16': 0.0 MB become 0.0 MB, the numbers stay the same}}
  // CHECK: %[[T:.*]] = tfm.parameter "t"
  // CHECK-NEXT: %[[TW:.*]] = tfm.convert_weight %[[T]] : tensor<7x32x!tfm.block<mxfp4>> -> tensor<7x32xbf16>
  %t = tfm.parameter "t" from "m.gguf" at 0 : tensor<7x32x!tfm.block<mxfp4>>
  // CHECK: tfm.convert_weight %{{.*}} : tensor<32x32x!tfm.block<iq4_nl>> -> tensor<32x32xf32>
  // expected-warning @+1 {{2 weights in iq4_nl}}
  %a = tfm.parameter "a" from "m.gguf" at 1024 : tensor<32x32x!tfm.block<iq4_nl>>
  %b = tfm.parameter "b" from "m.gguf" at 4096 : tensor<32x32x!tfm.block<iq4_nl>>
  %v = tfm.parameter "v" from "m.gguf" at 8192 : tensor<32x32xbf16>
  // CHECK: tfm.embedding %{{.*}}, %[[TW]]
  %x = tfm.embedding %ids, %t : tensor<?xi32>, tensor<7x32x!tfm.block<mxfp4>> -> tensor<?x32xf32>
  %0 = call @layer(%x, %a, %v) : (tensor<?x32xf32>, tensor<32x32x!tfm.block<iq4_nl>>, tensor<32x32xbf16>) -> tensor<?x32xf32>
  %1 = call @layer(%0, %b, %v) : (tensor<?x32xf32>, tensor<32x32x!tfm.block<iq4_nl>>, tensor<32x32xbf16>) -> tensor<?x32xf32>
  // CHECK: tfm.linear %{{.*}}, %[[TW]]
  %2 = tfm.linear %1, %t : tensor<?x32xf32>, tensor<7x32x!tfm.block<mxfp4>> -> tensor<?x7xf32>
  return %2 : tensor<?x7xf32>
}

// -----

// CHECK-LABEL: func.func @negative_converted_already
func.func @negative_converted_already() -> tensor<2x32xbf16> {
  // CHECK-NEXT: tfm.parameter
  // CHECK-NEXT: tfm.convert_weight %{{.*}} -> tensor<2x32xbf16>
  // CHECK-NEXT: return
  %w = tfm.parameter "w" from "m.gguf" at 0 : tensor<2x32x!tfm.block<iq4_nl>>
  %0 = tfm.convert_weight %w : tensor<2x32x!tfm.block<iq4_nl>> -> tensor<2x32xbf16>
  return %0 : tensor<2x32xbf16>
}

// -----

func.func private @body(%x: tensor<?x32xf32>, %w: tensor<2x32x!tfm.block<iq4_nl>>) -> tensor<?x2xf32> {
  %0 = tfm.linear %x, %w : tensor<?x32xf32>, tensor<2x32x!tfm.block<iq4_nl>> -> tensor<?x2xf32>
  return %0 : tensor<?x2xf32>
}
func.func @negative_a_weight_and_an_input(%x: tensor<?x32xf32>, %v: tensor<2x32x!tfm.block<iq4_nl>>) -> (tensor<?x2xf32>, tensor<?x2xf32>) {
  // expected-warning @+1 {{1 weights in iq4_nl}}
  %w = tfm.parameter "w" from "m.gguf" at 0 : tensor<2x32x!tfm.block<iq4_nl>>
  %0 = call @body(%x, %w) : (tensor<?x32xf32>, tensor<2x32x!tfm.block<iq4_nl>>) -> tensor<?x2xf32>
  // expected-error @+1 {{expected all calls to pass weights of the same types}}
  %1 = call @body(%x, %v) : (tensor<?x32xf32>, tensor<2x32x!tfm.block<iq4_nl>>) -> tensor<?x2xf32>
  return %0, %1 : tensor<?x2xf32>, tensor<?x2xf32>
}

// -----

// Parts of one weight, joined where they are used: the whole is as wide.
// CHECK-LABEL: func.func private @experts
// CHECK-SAME: %[[A:[a-z0-9]+]]: tensor<32x32xbf16>, %[[B:[a-z0-9]+]]: tensor<32x32xbf16>
func.func private @experts(%x: tensor<?x32xf32>, %a: tensor<32x32x!tfm.block<mxfp4>>, %b: tensor<32x32x!tfm.block<mxfp4>>) -> tensor<?x2x32xf32> {
  // CHECK: %[[W:.*]] = tensor.concat dim(0) %[[A]], %[[B]] : (tensor<32x32xbf16>, tensor<32x32xbf16>) -> tensor<64x32xbf16>
  %w = tensor.concat dim(0) %a, %b : (tensor<32x32x!tfm.block<mxfp4>>, tensor<32x32x!tfm.block<mxfp4>>) -> tensor<64x32x!tfm.block<mxfp4>>
  // CHECK: tfm.expert_linear %{{.*}}, %[[W]] experts(2) : tensor<?x32xf32>, tensor<64x32xbf16>
  %0 = tfm.expert_linear %x, %w experts(2) : tensor<?x32xf32>, tensor<64x32x!tfm.block<mxfp4>> -> tensor<?x2x32xf32>
  return %0 : tensor<?x2x32xf32>
}
func.func @joined(%x: tensor<?x32xf32>) -> tensor<?x2x32xf32> {
  // expected-warning @+1 {{2 weights in mxfp4}}
  %a = tfm.parameter "a" from "m.gguf" at 0 : tensor<32x32x!tfm.block<mxfp4>>
  %b = tfm.parameter "b" from "m.gguf" at 1024 : tensor<32x32x!tfm.block<mxfp4>>
  %0 = call @experts(%x, %a, %b) : (tensor<?x32xf32>, tensor<32x32x!tfm.block<mxfp4>>, tensor<32x32x!tfm.block<mxfp4>>) -> tensor<?x2x32xf32>
  return %0 : tensor<?x2x32xf32>
}
