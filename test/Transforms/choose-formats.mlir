// RUN: ingot-opt %s --choose-formats="weights=q8,*norm*=f32,*.embed=bf16 activations=bf16" --split-input-file --verify-diagnostics=only-expected | FileCheck %s
// RUN: ingot-opt %s --choose-formats="weights=q8,*norm*=f32,*.embed=bf16 activations=int8" --split-input-file --verify-diagnostics=only-expected | FileCheck %s --check-prefix=INT8
// RUN: not ingot-opt %s --choose-formats="weights=*.b=q4" --split-input-file 2>&1 | FileCheck %s --check-prefix=JOINED
// RUN: not ingot-opt %s --choose-formats="weights=q3" --split-input-file 2>&1 | FileCheck %s --check-prefix=FORMAT
// RUN: not ingot-opt %s --choose-formats="weights=[=q8" --split-input-file 2>&1 | FileCheck %s --check-prefix=PATTERN
// RUN: not ingot-opt %s --choose-formats="activations=f8" --split-input-file 2>&1 | FileCheck %s --check-prefix=ACTIVATIONS
// FORMAT: weights: expected f32, f16, bf16, q8 or q4, got 'q3'
// PATTERN: weights: '['
// ACTIVATIONS: activations: expected auto, f32, bf16 or int8, got 'f8'
// JOINED: joins weights that the rules of formats give different types, 'bf16' and '!tfm.block<q4_0>'

// Weights change through calls; rows that two matrices read are rounded once.
// INT8-LABEL: func.func private @layer
// INT8-SAME: %[[X:.*]]: tensor<?x64xf32>
// INT8-NEXT: %[[R:.*]] = tfm.quantize %[[X]] : tensor<?x64xf32> -> tensor<?x64x!tfm.block<q8_x>>
// INT8-NEXT: tfm.linear %[[R]], %{{.*}} : tensor<?x64x!tfm.block<q8_x>>, tensor<64x64x!tfm.block<q8_0>> -> tensor<?x64xf32>
// INT8-NEXT: tfm.linear %[[R]]
// INT8-NOT: quantize
// INT8: return
// CHECK-LABEL: func.func private @layer
// CHECK-SAME: %[[X:.*]]: tensor<?x64xf32>, %[[A:.*]]: tensor<64x64x!tfm.block<q8_0>>, %[[B:.*]]: tensor<64x64x!tfm.block<q8_0>>
func.func private @layer(%x: tensor<?x64xf32>, %a: tensor<64x64xf16>, %b: tensor<64x64xf16>) -> tensor<?x64xf32> {
  // CHECK-NEXT: %[[R:.*]] = arith.truncf %[[X]] : tensor<?x64xf32> to tensor<?x64xbf16>
  // CHECK-NEXT: tfm.linear %[[R]], %[[A]]
  // CHECK-NEXT: tfm.linear %[[R]], %[[B]]
  // CHECK-NOT: truncf
  %0 = tfm.linear %x, %a : tensor<?x64xf32>, tensor<64x64xf16> -> tensor<?x64xf32>
  %1 = tfm.linear %x, %b : tensor<?x64xf32>, tensor<64x64xf16> -> tensor<?x64xf32>
  %2 = arith.addf %0, %1 : tensor<?x64xf32>
  return %2 : tensor<?x64xf32>
}
// CHECK-LABEL: func.func @forward
func.func @forward(%ids: tensor<?xi32>) -> tensor<?x64xf32> {
  // The last rule that matches counts.
  // CHECK: %[[E:.*]] = tfm.parameter "model.embed"
  // CHECK-NEXT: %[[EB:.*]] = tfm.convert_weight %[[E]] : tensor<9x64xf16> -> tensor<9x64xbf16>
  %e = tfm.parameter "model.embed" from "m" at 0 : tensor<9x64xf16>
  %a = tfm.parameter "a" from "m" at 2048 : tensor<64x64xf16>
  %b = tfm.parameter "b" from "m" at 16384 : tensor<64x64xf16>
  // CHECK: tfm.embedding %{{.*}}, %[[EB]]
  %x = tfm.embedding %ids, %e : tensor<?xi32>, tensor<9x64xf16> -> tensor<?x64xf32>
  %0 = call @layer(%x, %a, %b) : (tensor<?x64xf32>, tensor<64x64xf16>, tensor<64x64xf16>) -> tensor<?x64xf32>
  return %0 : tensor<?x64xf32>
}

// -----

// Blocks lie along K: rows that are no whole blocks are padded, what is stored transposed is turned; other formats
// change nothing but the elements.
// CHECK-LABEL: func.func @turned
func.func @turned(%x: tensor<?x40xf32>) -> (tensor<?x8xf32>, tensor<?x8xf32>, tensor<?x8xf32>) {
  // CHECK: tfm.convert_weight %{{.*}} : tensor<8x40xbf16> -> tensor<8x40x!tfm.block<q8_0>>
  %odd = tfm.parameter "odd" from "m" at 0 : tensor<8x40xbf16>
  %0 = tfm.linear %x, %odd : tensor<?x40xf32>, tensor<8x40xbf16> -> tensor<?x8xf32>
  // CHECK: %[[T:.*]] = tfm.convert_weight %{{.*}} transposed : tensor<40x8xbf16> -> tensor<8x40x!tfm.block<q8_0>>
  %t = tfm.parameter "t" from "m" at 4096 : tensor<40x8xbf16>
  // CHECK: tfm.linear %{{.*}}, %[[T]] : tensor<?x40xbf16>, tensor<8x40x!tfm.block<q8_0>>
  %1 = tfm.linear %x, %t transposed : tensor<?x40xf32>, tensor<40x8xbf16> -> tensor<?x8xf32>
  // CHECK: %[[N:.*]] = tfm.convert_weight %{{.*}} : tensor<40x8xbf16> -> tensor<40x8xf32>
  %n = tfm.parameter "norm" from "m" at 8192 : tensor<40x8xbf16>
  // CHECK: tfm.linear %{{.*}}, %[[N]] transposed
  %2 = tfm.linear %x, %n transposed : tensor<?x40xf32>, tensor<40x8xbf16> -> tensor<?x8xf32>
  return %0, %1, %2 : tensor<?x8xf32>, tensor<?x8xf32>, tensor<?x8xf32>
}

// -----

// The matrices of experts, below each other or, transposed, side by side. A matrix with more bits is met in bf16.
// CHECK-LABEL: func.func @experts
// CHECK: %[[W:.*]] = tensor.concat dim(0) %{{.*}} : (tensor<8x40x!tfm.block<q8_0>>, tensor<8x40x!tfm.block<q8_0>>) -> tensor<16x40x!tfm.block<q8_0>>
// CHECK: tfm.expert_linear %{{.*}}, %[[W]] ids(%{{.*}} : tensor<?x1xi32>) experts(2) : tensor<?x40xbf16>
// CHECK: %[[T:.*]] = tensor.concat dim(0) %{{.*}} : (tensor<8x40x!tfm.block<q8_0>>, tensor<8x40x!tfm.block<q8_0>>) -> tensor<16x40x!tfm.block<q8_0>>
// CHECK: tfm.expert_linear %{{.*}}, %[[T]] ids(%{{.*}} : tensor<?x1xi32>) experts(2) : tensor<?x40xbf16>
// INT8-LABEL: func.func @experts
// INT8-SAME: %[[X:[^:]*]]: tensor<?x40xf32>
// INT8-DAG: %[[Q:.*]] = tfm.quantize %[[X]]
// INT8-DAG: %[[R:.*]] = arith.truncf %[[X]]
// INT8-COUNT-2: tfm.expert_linear %[[Q]]
// INT8: tfm.linear %[[R]]
func.func @experts(%x: tensor<?x40xf32>, %ids: tensor<?x1xi32>) -> (tensor<?x1x8xf32>, tensor<?x1x8xf32>, tensor<?x8xf32>) {
  %a = tfm.parameter "w.a" from "m" at 0 : tensor<8x40xbf16>
  %b = tfm.parameter "w.b" from "m" at 640 : tensor<8x40xbf16>
  %w = tensor.concat dim(0) %a, %b : (tensor<8x40xbf16>, tensor<8x40xbf16>) -> tensor<16x40xbf16>
  %0 = tfm.expert_linear %x, %w ids(%ids : tensor<?x1xi32>) experts(2) : tensor<?x40xf32>, tensor<16x40xbf16> -> tensor<?x1x8xf32>
  %c = tfm.parameter "c" from "m" at 2048 : tensor<40x8xbf16>
  %d = tfm.parameter "d" from "m" at 4096 : tensor<40x8xbf16>
  %t = tensor.concat dim(1) %c, %d : (tensor<40x8xbf16>, tensor<40x8xbf16>) -> tensor<40x16xbf16>
  %1 = tfm.expert_linear %x, %t ids(%ids : tensor<?x1xi32>) experts(2) transposed : tensor<?x40xf32>, tensor<40x16xbf16> -> tensor<?x1x8xf32>
  %n = tfm.parameter "norm" from "m" at 8192 : tensor<8x40xf32>
  %2 = tfm.linear %x, %n : tensor<?x40xf32>, tensor<8x40xf32> -> tensor<?x8xf32>
  return %0, %1, %2 : tensor<?x1x8xf32>, tensor<?x1x8xf32>, tensor<?x8xf32>
}

// -----

// CHECK-LABEL: func.func @negative
// CHECK-NOT: convert_weight
func.func @negative(%x: tensor<?x40xf32>) -> (tensor<?x40xf32>, tensor<?x40xf32>, tensor<?x40xf32>, tensor<8x64xbf16>, tensor<64xbf16>) {
  // expected-remark @+1 {{stays 'bf16': it is read in both directions, and blocks lie along one}}
  %both = tfm.parameter "both" from "m" at 0 : tensor<40x40xbf16>
  %0 = tfm.linear %x, %both : tensor<?x40xf32>, tensor<40x40xbf16> -> tensor<?x40xf32>
  %1 = tfm.linear %x, %both transposed : tensor<?x40xf32>, tensor<40x40xbf16> -> tensor<?x40xf32>
  // expected-remark @+1 {{stays 'bf16': it is joined along the direction in which blocks would lie}}
  %a = tfm.parameter "a" from "m" at 4096 : tensor<40x20xbf16>
  %c = tensor.concat dim(1) %a, %a : (tensor<40x20xbf16>, tensor<40x20xbf16>) -> tensor<40x40xbf16>
  %2 = tfm.linear %x, %c : tensor<?x40xf32>, tensor<40x40xbf16> -> tensor<?x40xf32>
  // expected-remark @+1 {{stays 'bf16': it is no matrix of a projection or an embedding}}
  %m = tfm.parameter "m" from "m" at 8192 : tensor<8x64xbf16>
  %v = tfm.parameter "v" from "m" at 16384 : tensor<64xbf16>
  return %0, %1, %2, %m, %v : tensor<?x40xf32>, tensor<?x40xf32>, tensor<?x40xf32>, tensor<8x64xbf16>, tensor<64xbf16>
}

// -----

// A router reads its rows as they are, through whatever makes scores of them; other matrices read them rounded.
// CHECK-LABEL: func.func @router
// CHECK-SAME: %[[X:.*]]: tensor<?x64xf32>
// CHECK: %[[R:.*]] = arith.truncf %[[X]] : tensor<?x64xf32> to tensor<?x64xbf16>
// CHECK: tfm.linear %[[X]], %{{.*}} : tensor<?x64xf32>, tensor<4x64xf32> -> tensor<?x4xf32>
// CHECK: tfm.linear %[[R]], %{{.*}} : tensor<?x64xbf16>, tensor<8x64xf32> -> tensor<?x8xf32>
func.func @router(%x: tensor<?x64xf32>) -> (tensor<?x2xi32>, tensor<?x2xf32>, tensor<?x8xf32>) {
  %r = tfm.parameter "norm.r" from "m" at 0 : tensor<4x64xf32>
  %w = tfm.parameter "norm.w" from "m" at 1024 : tensor<8x64xf32>
  %l = tfm.linear %x, %r : tensor<?x64xf32>, tensor<4x64xf32> -> tensor<?x4xf32>
  %p = tfm.softmax %l dim(1) : tensor<?x4xf32>
  %ids, %weights = tfm.route %p : tensor<?x4xf32> -> tensor<?x2xi32>, tensor<?x2xf32>
  %y = tfm.linear %x, %w : tensor<?x64xf32>, tensor<8x64xf32> -> tensor<?x8xf32>
  return %ids, %weights, %y : tensor<?x2xi32>, tensor<?x2xf32>, tensor<?x8xf32>
}
