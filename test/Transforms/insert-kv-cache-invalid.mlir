// What cannot be packed, or cached, is an error where it is.
// RUN: ingot-opt %s -split-input-file --insert-kv-cache -verify-diagnostics

func.func @forward(%x: tensor<3x?x4xf32>) -> tensor<3x?x4xf32> {
  return %x : tensor<3x?x4xf32>
}

// -----

func.func @negative_not_causal(%x: tensor<?x3x4xf32>) -> tensor<?x3x4xf32> { return %x : tensor<?x3x4xf32> }
func.func @forward(%x: tensor<?x3x4xf32>) -> tensor<?x3x4xf32> {
  %c0 = arith.constant 0 : index
  %s = tensor.dim %x, %c0 : tensor<?x3x4xf32>
  %e = tensor.empty(%s) : tensor<3x?x4xf32>
  %t = linalg.transpose ins(%x : tensor<?x3x4xf32>) outs(%e : tensor<3x?x4xf32>) permutation = [1, 0, 2]
  // expected-error @+1 {{is not causal, so its keys cannot be cached between steps}}
  %o = tfm.attention %t, %t, %t window(4) : tensor<3x?x4xf32>, tensor<3x?x4xf32>, tensor<3x?x4xf32> -> tensor<3x?x4xf32>
  %f = tensor.empty(%s) : tensor<?x3x4xf32>
  %r = linalg.transpose ins(%o : tensor<3x?x4xf32>) outs(%f : tensor<?x3x4xf32>) permutation = [1, 0, 2]
  return %r : tensor<?x3x4xf32>
}

// -----

func.func @forward(%x: tensor<?x4xf32>) -> tensor<4xf32> {
  %e = tensor.empty() : tensor<4xf32>
  // expected-error @+1 {{mixes tokens of a sequence}}
  %0 = linalg.reduce {arith.addf} ins(%x : tensor<?x4xf32>) outs(%e : tensor<4xf32>) dimensions = [0]
  return %0 : tensor<4xf32>
}

// -----

func.func @forward(%x: tensor<?x4xf32>) -> tensor<?x4xf32> {
  // expected-error @+1 {{mixes tokens of a sequence}}
  %0 = tfm.softmax %x dim(0) : tensor<?x4xf32>
  return %0 : tensor<?x4xf32>
}

// -----

func.func @forward(%x: tensor<?x4xf32>) -> index {
  %c0 = arith.constant 0 : index
  // expected-error @+1 {{computes with the number of tokens, which differs between steps}}
  %s = tensor.dim %x, %c0 : tensor<?x4xf32>
  // expected-note @+1 {{see 'arith.addi'}}
  %t = arith.addi %s, %s : index
  return %t : index
}

// -----

func.func @forward(%x: tensor<?x4xf32>) -> tensor<?xf32> {
  // expected-error @+1 {{mixes tokens of a sequence}}
  %0 = tensor.collapse_shape %x [[0, 1]] : tensor<?x4xf32> into tensor<?xf32>
  return %0 : tensor<?xf32>
}

// -----

func.func @forward(%x: tensor<?x4xf32>) -> tensor<?x4xf32> {
  // expected-error @+1 {{mixes tokens of a sequence}}
  %0 = tensor.concat dim(0) %x, %x : (tensor<?x4xf32>, tensor<?x4xf32>) -> tensor<?x4xf32>
  return %0 : tensor<?x4xf32>
}

// -----

// A row number made by other means than tfm.positions would be wrong in every step but the first.
func.func @forward(%x: tensor<?x4xf32>) -> tensor<?x4xi32> {
  %c0 = arith.constant 0 : index
  %s = tensor.dim %x, %c0 : tensor<?x4xf32>
  %e = tensor.empty(%s) : tensor<?x4xi32>
  // expected-error @+1 {{mixes tokens of a sequence}}
  %0 = linalg.generic {indexing_maps = [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d0, d1)>], iterator_types = ["parallel", "parallel"]}
    ins(%x : tensor<?x4xf32>) outs(%e : tensor<?x4xi32>) {
  ^bb0(%a: f32, %b: i32):
    %i = linalg.index 0 : index
    %v = arith.index_cast %i : index to i32
    linalg.yield %v : i32
  } -> tensor<?x4xi32>
  return %0 : tensor<?x4xi32>
}

// -----

// expected-error @+1 {{calls itself}}
func.func @forward(%x: tensor<?x4xf32>) -> tensor<?x4xf32> {
  %0 = call @forward(%x) : (tensor<?x4xf32>) -> tensor<?x4xf32>
  return %0 : tensor<?x4xf32>
}

// -----

// The rows of keys of earlier steps are gone.
func.func @forward(%x: tensor<?x3x4xf32>, %a: tensor<?x2xf32>) -> tensor<3x?x4xf32> {
  %c0 = arith.constant 0 : index
  %s = tensor.dim %x, %c0 : tensor<?x3x4xf32>
  %e = tensor.empty(%s) : tensor<3x?x4xf32>
  %t = linalg.transpose ins(%x : tensor<?x3x4xf32>) outs(%e : tensor<3x?x4xf32>) permutation = [1, 0, 2]
  // expected-error @below {{has a region that reads a tensor with one row per token, got 'tensor<?x2xf32>'}}
  %o = tfm.attention %t, %t, %t causal
    score {
    ^bb0(%v: f32, %b: index, %h: index, %i: index, %j: index):
      %q = tensor.extract %a[%j, %c0] : tensor<?x2xf32>
      %y = arith.addf %v, %q : f32
      tfm.yield %y : f32
    } : tensor<3x?x4xf32>, tensor<3x?x4xf32>, tensor<3x?x4xf32> -> tensor<3x?x4xf32>
  return %o : tensor<3x?x4xf32>
}
