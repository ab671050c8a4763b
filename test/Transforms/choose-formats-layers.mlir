// RUN: ingot-opt %s --choose-formats="weights=*.1.*=q8,nobody=q4 activations=f32" 2>&1 | FileCheck %s
// RUN: not ingot-opt %s --choose-formats="weights==q8" 2>&1 | FileCheck %s --check-prefix=EMPTY
// EMPTY: weights: expected a pattern before '=', got '=q8'

// Layers whose weights get other formats get a function of their own.
// CHECK: warning: weights: no name matches 'nobody=q4'
// CHECK: func.func private @layer(%{{.*}}: tensor<?x64xf32>, %{{.*}}: tensor<64x64xf16>)
func.func private @layer(%x: tensor<?x64xf32>, %a: tensor<64x64xf16>) -> tensor<?x64xf32> {
  %0 = tfm.linear %x, %a : tensor<?x64xf32>, tensor<64x64xf16> -> tensor<?x64xf32>
  return %0 : tensor<?x64xf32>
}
// CHECK: func.func @forward
func.func @forward(%x: tensor<?x64xf32>) -> tensor<?x64xf32> {
  %a = tfm.parameter "l.0.w" from "m" at 0 : tensor<64x64xf16>
  %b = tfm.parameter "l.1.w" from "m" at 8192 : tensor<64x64xf16>
  %c = tfm.parameter "l.2.w" from "m" at 16384 : tensor<64x64xf16>
  // CHECK: %[[A:.*]] = tfm.parameter "l.0.w"
  // CHECK: %[[B:.*]] = tfm.convert_weight %{{.*}} -> tensor<64x64x!tfm.block<q8_0>>
  // CHECK: %[[C:.*]] = tfm.parameter "l.2.w"
  // CHECK: call @layer(%{{.*}}, %[[A]])
  // CHECK: call @layer_0(%{{.*}}, %[[B]])
  // CHECK: call @layer(%{{.*}}, %[[C]])
  %0 = call @layer(%x, %a) : (tensor<?x64xf32>, tensor<64x64xf16>) -> tensor<?x64xf32>
  %1 = call @layer(%0, %b) : (tensor<?x64xf32>, tensor<64x64xf16>) -> tensor<?x64xf32>
  %2 = call @layer(%1, %c) : (tensor<?x64xf32>, tensor<64x64xf16>) -> tensor<?x64xf32>
  return %2 : tensor<?x64xf32>
}
// CHECK: func.func private @layer_0(%{{.*}}: tensor<?x64xf32>, %{{.*}}: tensor<64x64x!tfm.block<q8_0>>)
