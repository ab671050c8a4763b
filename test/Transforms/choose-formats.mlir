// RUN: ingot-opt %s --choose-formats="weights=q8,*norm*=f32,*.embed=bf16 activations=bf16" --split-input-file --verify-diagnostics | FileCheck %s
// RUN: not ingot-opt %s --choose-formats="weights=q3" --split-input-file 2>&1 | FileCheck %s --check-prefix=FORMAT
// RUN: not ingot-opt %s --choose-formats="weights=[=q8" --split-input-file 2>&1 | FileCheck %s --check-prefix=PATTERN
// RUN: not ingot-opt %s --choose-formats="activations=f8" --split-input-file 2>&1 | FileCheck %s --check-prefix=ACTIVATIONS
// FORMAT: weights: expected f32, f16, bf16, q8 or q4, got 'q3'
// PATTERN: weights: '['
// ACTIVATIONS: activations: expected f32 or bf16, got 'f8'

// Weights change through calls; rows that two matrices read are rounded once.
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

// CHECK-LABEL: func.func @negative
// CHECK-NOT: convert_weight
func.func @negative(%x: tensor<?x40xf32>, %y: tensor<?x64xf32>) -> (tensor<?x8xf32>, tensor<?x8xf32>, tensor<8x64xbf16>, tensor<64xbf16>) {
  // expected-remark @+1 {{stays 'bf16': its rows are not whole blocks}}
  %odd = tfm.parameter "odd" from "m" at 0 : tensor<8x40xbf16>
  %0 = tfm.linear %x, %odd : tensor<?x40xf32>, tensor<8x40xbf16> -> tensor<?x8xf32>
  // expected-remark @+1 {{stays 'bf16': it is stored transposed, and blocks would lie across its rows}}
  %t = tfm.parameter "t" from "m" at 4096 : tensor<64x32xbf16>
  %c0 = arith.constant 0 : index
  %1 = tfm.linear %y, %t transposed : tensor<?x64xf32>, tensor<64x32xbf16> -> tensor<?x32xf32>
  %n = tensor.dim %y, %c0 : tensor<?x64xf32>
  %2 = tensor.extract_slice %1[0, 0] [%n, 8] [1, 1] : tensor<?x32xf32> to tensor<?x8xf32>
  // expected-remark @+1 {{stays 'bf16': it is no matrix of a projection or an embedding}}
  %m = tfm.parameter "m" from "m" at 8192 : tensor<8x64xbf16>
  %v = tfm.parameter "v" from "m" at 16384 : tensor<64xbf16>
  return %0, %2, %m, %v : tensor<?x8xf32>, tensor<?x8xf32>, tensor<8x64xbf16>, tensor<64xbf16>
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
