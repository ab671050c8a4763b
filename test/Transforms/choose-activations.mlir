// The default follows how most elements of a model's matrices are stored, after the rules for weights; a plain graph stays as it is.
// RUN: ingot-opt %s --choose-formats=activations=auto --split-input-file | FileCheck %s
// RUN: ingot-opt %s --choose-formats="weights=q8 activations=auto" --split-input-file | FileCheck %s --check-prefix=BLOCKS

// CHECK: tfm.model = {activations = "bf16"
// CHECK: arith.truncf
// BLOCKS: tfm.model = {activations = "int8"
// BLOCKS: tfm.quantize
module attributes {tfm.model = {layers = 1 : i64}} {
  func.func @halves(%x: tensor<?x64xf32>) -> (tensor<?x64xf32>, tensor<?x8xf32>) {
    %a = tfm.parameter "a" from "m" at 0 : tensor<64x64xbf16>
    %b = tfm.parameter "b" from "m" at 8192 : tensor<8x64xf32>
    %0 = tfm.linear %x, %a : tensor<?x64xf32>, tensor<64x64xbf16> -> tensor<?x64xf32>
    %1 = tfm.linear %x, %b : tensor<?x64xf32>, tensor<8x64xf32> -> tensor<?x8xf32>
    return %0, %1 : tensor<?x64xf32>, tensor<?x8xf32>
  }
}

// -----

// CHECK: tfm.model = {activations = "f32"
// CHECK-NOT: truncf
// BLOCKS: tfm.model = {activations = "int8"
module attributes {tfm.model = {layers = 1 : i64}} {
  func.func @floats(%x: tensor<?x64xf32>) -> tensor<?x64xf32> {
    %a = tfm.parameter "a" from "m" at 0 : tensor<64x64xf32>
    %0 = tfm.linear %x, %a : tensor<?x64xf32>, tensor<64x64xf32> -> tensor<?x64xf32>
    return %0 : tensor<?x64xf32>
  }
}

// -----

// CHECK: tfm.model = {activations = "int8"
// CHECK: tfm.quantize
module attributes {tfm.model = {layers = 1 : i64}} {
  func.func @blocks(%x: tensor<?x256xf32>) -> tensor<?x64xf32> {
    %a = tfm.parameter "a" from "m" at 0 : tensor<64x256x!tfm.block<q4_k>>
    %0 = tfm.linear %x, %a : tensor<?x256xf32>, tensor<64x256x!tfm.block<q4_k>> -> tensor<?x64xf32>
    return %0 : tensor<?x64xf32>
  }
}

// -----

// A format without kernels is widened later: its rows are rounded to bf16.
// CHECK: tfm.model = {activations = "int8"
// CHECK-NOT: tfm.quantize
// CHECK: arith.truncf
module attributes {tfm.model = {layers = 1 : i64}} {
  func.func @widened(%x: tensor<?x256xf32>) -> tensor<?x64xf32> {
    %a = tfm.parameter "a" from "m" at 0 : tensor<64x256x!tfm.block<q3_k>>
    %0 = tfm.linear %x, %a : tensor<?x256xf32>, tensor<64x256x!tfm.block<q3_k>> -> tensor<?x64xf32>
    return %0 : tensor<?x64xf32>
  }
}

// -----

// CHECK-NOT: tfm.model
// CHECK-NOT: truncf
func.func @graph(%x: tensor<?x64xf32>) -> tensor<?x64xf32> {
  %a = tfm.parameter "a" from "m" at 0 : tensor<64x64xbf16>
  %0 = tfm.linear %x, %a : tensor<?x64xf32>, tensor<64x64xbf16> -> tensor<?x64xf32>
  return %0 : tensor<?x64xf32>
}
