// RUN: ingot-opt %s --split-input-file --split-source --verify-diagnostics | FileCheck %s

// Keys and values of the source move to the encoder, with the weights that they need.
// CHECK-LABEL: func.func @encode
// CHECK-SAME: -> (tensor<?x8xf32>, tensor<?x2x4xf32> {tfm.source}, tensor<?x2x4xf32> {tfm.source})
// CHECK: %[[S:.*]] = tfm.embedding
// CHECK: %[[W:.*]] = tfm.parameter "k"
// CHECK: %[[KV:.*]]:2 = call @keys(%[[S]], %[[W]])
// CHECK: return %[[S]], %[[KV]]#0, %[[KV]]#1
func.func @encode(%ids: tensor<?xi32>) -> tensor<?x8xf32> {
  %e = tfm.parameter "e" from "m.safetensors" at 0 : tensor<32x8xf32>
  %0 = tfm.embedding %ids, %e : tensor<?xi32>, tensor<32x8xf32> -> tensor<?x8xf32>
  return %0 : tensor<?x8xf32>
}
func.func private @keys(tensor<?x8xf32>, tensor<8x8xf32>) -> (tensor<?x2x4xf32>, tensor<?x2x4xf32>)
func.func private @layer(tensor<?x8xf32>, tensor<?x2x4xf32>, tensor<?x2x4xf32>) -> tensor<?x8xf32>
// CHECK-LABEL: func.func @forward
// CHECK-SAME: (%[[IDS:.*]]: tensor<?xi32>, %[[K:.*]]: tensor<?x2x4xf32> {tfm.source}, %[[V:.*]]: tensor<?x2x4xf32> {tfm.source})
// CHECK-NOT: call @keys
// CHECK: call @layer(%{{.*}}, %[[K]], %[[V]])
func.func @forward(%ids: tensor<?xi32>, %source: tensor<?x8xf32> {tfm.source}) -> tensor<?x8xf32> {
  %e = tfm.parameter "e" from "m.safetensors" at 0 : tensor<32x8xf32>
  %w = tfm.parameter "k" from "m.safetensors" at 1024 : tensor<8x8xf32>
  %x = tfm.embedding %ids, %e : tensor<?xi32>, tensor<32x8xf32> -> tensor<?x8xf32>
  %kv:2 = call @keys(%source, %w) : (tensor<?x8xf32>, tensor<8x8xf32>) -> (tensor<?x2x4xf32>, tensor<?x2x4xf32>)
  %0 = call @layer(%x, %kv#0, %kv#1) : (tensor<?x8xf32>, tensor<?x2x4xf32>, tensor<?x2x4xf32>) -> tensor<?x8xf32>
  return %0 : tensor<?x8xf32>
}

// -----

// A model without a source stays as it is.
// CHECK-LABEL: func.func @forward
// CHECK-NEXT: return
func.func @forward(%x: tensor<?x8xf32>) -> tensor<?x8xf32> {
  return %x : tensor<?x8xf32>
}

// -----

func.func @encode(%x: tensor<?x8xf32>) -> tensor<?x8xf32> {
  return %x : tensor<?x8xf32>
}
func.func @forward(%x: tensor<?x8xf32>, %source: tensor<?x8xf32> {tfm.source}) -> tensor<?x8xf32> {
  // expected-error@+1 {{reads the source, expected a call that is given what is computed of the source alone}}
  %0 = arith.addf %x, %source : tensor<?x8xf32>
  return %0 : tensor<?x8xf32>
}

// -----

// What a region reads counts too: here a weight that moves along, below a value of the source.
// CHECK-LABEL: func.func @encode
// CHECK: %[[W:.*]] = tfm.parameter "k"
// CHECK: %[[K:.*]] = linalg.generic
// CHECK: tensor.extract %[[W]]
// CHECK: return %{{.*}}, %[[K]]
func.func @encode(%x: tensor<?x8xf32>) -> tensor<?x8xf32> {
  return %x : tensor<?x8xf32>
}
func.func private @layer(tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
// CHECK-LABEL: func.func @forward
// CHECK-NOT: linalg.generic
// CHECK: call @layer
func.func @forward(%x: tensor<?x8xf32>, %source: tensor<?x8xf32> {tfm.source}) -> tensor<?x8xf32> {
  %w = tfm.parameter "k" from "m.safetensors" at 0 : tensor<8xf32>
  %k = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>],
      iterator_types = ["parallel", "parallel"]} ins(%source : tensor<?x8xf32>) outs(%source : tensor<?x8xf32>) {
  ^bb0(%a: f32, %b: f32):
    %j = linalg.index 1 : index
    %f = tensor.extract %w[%j] : tensor<8xf32>
    %p = arith.mulf %a, %f : f32
    linalg.yield %p : f32
  } -> tensor<?x8xf32>
  %0 = call @layer(%x, %k) : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  return %0 : tensor<?x8xf32>
}

// -----

func.func @encode(%x: tensor<?x8xf32>) -> tensor<?x8xf32> {
  return %x : tensor<?x8xf32>
}
func.func @forward(%x: tensor<?x8xf32>, %source: tensor<?x8xf32> {tfm.source}) -> tensor<?x8xf32> {
  // expected-error@+1 {{reads the source, expected a call that is given what is computed of the source alone}}
  %0 = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>],
      iterator_types = ["parallel", "parallel"]} ins(%x : tensor<?x8xf32>) outs(%x : tensor<?x8xf32>) {
  ^bb0(%a: f32, %b: f32):
    %i = linalg.index 0 : index
    %j = linalg.index 1 : index
    %s = tensor.extract %source[%i, %j] : tensor<?x8xf32>
    %p = arith.mulf %a, %s : f32
    linalg.yield %p : f32
  } -> tensor<?x8xf32>
  return %0 : tensor<?x8xf32>
}

// -----

// expected-error@+1 {{expected one result of the type of the source, 'tensor<?x8xf32>'}}
func.func @encode(%x: tensor<?x4xf32>) -> tensor<?x4xf32> {
  return %x : tensor<?x4xf32>
}
func.func @forward(%x: tensor<?x8xf32>, %source: tensor<?x8xf32> {tfm.source}) -> tensor<?x8xf32> {
  return %x : tensor<?x8xf32>
}
