// RUN: ingot-opt %s --split-input-file --verify-diagnostics --tfm-interpret -o /dev/null
// RUN: not ingot-opt %s --split-input-file --tfm-interpret="parameters=%S/Inputs" -o /dev/null 2>&1 | FileCheck %s
// RUN: not ingot-opt %S/Inputs/two-functions.mlir --tfm-interpret 2>&1 | FileCheck %s --check-prefix=WHICH
// RUN: not ingot-opt %S/Inputs/two-functions.mlir --tfm-interpret="function=c" 2>&1 | FileCheck %s --check-prefix=NONE
// RUN: not ingot-opt %S/Inputs/two-functions.mlir --tfm-interpret="function=a precision=f16" 2>&1 | FileCheck %s --check-prefix=PRECISION
// RUN: not ingot-opt %S/Inputs/two-functions.mlir --tfm-interpret="function=a dims=3,4,5" 2>&1 | FileCheck %s --check-prefix=DIMS
// RUN: not ingot-opt %S/Inputs/two-functions.mlir --tfm-interpret="function=a inputs=%S/Inputs/six.bin" 2>&1 | FileCheck %s --check-prefix=NPY
// RUN: not ingot-opt %S/Inputs/two-functions.mlir --tfm-interpret="tokens=1,2" 2>&1 | FileCheck %s --check-prefix=MODEL
// WHICH: error: expected the option 'function' in a module of 2 public functions
// NONE: error: expected a function 'c', the module has none
// PRECISION: error: expected precision f64 or f32, got 'f16'
// DIMS: error: 'arith.addf' op expected operands of one shape at run time, got 3xf32 and 4xf32
// NPY: error: {{.*}}six.bin: expected a .npy file
// MODEL: error: expected @prefill and @decode, or @forward, on ids and caches

func.func @unknown(%x: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error @below {{'tensor.bitcast' op is not known to the reference interpreter in this form}}
  %0 = tensor.bitcast %x : tensor<4xf32> to tensor<4xi32>
  return %x : tensor<4xf32>
}

// -----

func.func @id_outside(%table: tensor<3x2xf32>) -> tensor<1x2xf32> {
  %ids = arith.constant dense<3> : tensor<1xi32>
  // expected-error @below {{expected ids of rows of 3x2xf32, got 3}}
  %0 = tfm.embedding %ids, %table : tensor<1xi32>, tensor<3x2xf32> -> tensor<1x2xf32>
  return %0 : tensor<1x2xf32>
}

// -----

func.func @extract_outside(%x: tensor<?xf32>) -> f32 {
  %i = arith.constant -1 : index
  // expected-error @below {{expected index 0 inside 7xf32, got -1}}
  %0 = tensor.extract %x[%i] : tensor<?xf32>
  return %0 : f32
}

// -----

func.func @slice_outside(%x: tensor<?xf32>) -> tensor<3xf32> {
  // expected-error @below {{reaches outside of 7xf32}}
  %0 = tensor.extract_slice %x[5] [3] [1] : tensor<?xf32> to tensor<3xf32>
  return %0 : tensor<3xf32>
}

// -----

func.func @huge() -> tensor<?x?xf32> {
  %n = arith.constant 4611686018427387904 : index
  // expected-error @below {{expected a tensor of at most 2^30 elements}}
  %0 = tensor.empty(%n, %n) : tensor<?x?xf32>
  return %0 : tensor<?x?xf32>
}

// -----

func.func @negative_size() -> tensor<?xf32> {
  %n = arith.constant -3 : index
  // expected-error @below {{expected a tensor of at most 2^30 elements}}
  %0 = tensor.empty(%n) : tensor<?xf32>
  return %0 : tensor<?xf32>
}

// -----

func.func @cast(%x: tensor<?xf32>) -> tensor<5xf32> {
  // expected-error @below {{expected result 0 of type 'tensor<5xf32>' at run time, got 7xf32}}
  %0 = tensor.cast %x : tensor<?xf32> to tensor<5xf32>
  return %0 : tensor<5xf32>
}

// -----

func.func @reshape(%x: tensor<?xf32>) -> tensor<?x2xf32> {
  %n = arith.constant 3 : index
  // expected-error @below {{expected sizes that multiply to dimension 0 of 7xf32}}
  %0 = tensor.expand_shape %x [[0, 1]] output_shape [%n, 2] : tensor<?xf32> into tensor<?x2xf32>
  return %0 : tensor<?x2xf32>
}

// -----

func.func @zero_divisor(%x: index) -> index {
  %zero = arith.constant 0 : index
  // expected-error @below {{computes a division by zero}}
  %0 = arith.floordivsi %x, %zero : index
  return %0 : index
}

// -----

func.func @no_integer(%x: tensor<4xf32>) -> tensor<4xi32> {
  %zero = arith.constant dense<0.0> : tensor<4xf32>
  %inf = arith.divf %zero, %zero : tensor<4xf32>
  // expected-error @below {{computes a number that does not fit the integer type it is converted to}}
  %0 = arith.fptosi %inf : tensor<4xf32> to tensor<4xi32>
  return %0 : tensor<4xi32>
}

// -----

func.func @recursive(%x: f32) -> f32 {
  // expected-error @below {{calls more than 64 functions inside each other}}
  %0 = call @recursive(%x) : (f32) -> f32
  return %0 : f32
}

// -----

func.func @poison() -> f32 {
  // expected-error @below {{'ub.poison' op has no value}}
  %0 = ub.poison : f32
  return %0 : f32
}

// -----

func.func @step(%x: tensor<4xf32>) -> tensor<4xf32> {
  %c0 = arith.constant 0 : index
  %c4 = arith.constant 4 : index
  // expected-error @below {{expected a positive step, got 0}}
  %0 = scf.for %i = %c0 to %c4 step %c0 iter_args(%y = %x) -> tensor<4xf32> {
    scf.yield %y : tensor<4xf32>
  }
  return %0 : tensor<4xf32>
}

// -----

func.func @mask_outside(%q: tensor<1x3x2xf32>, %table: tensor<2xi1>) -> tensor<1x3x2xf32> {
  %0 = tfm.attention %q, %q, %q
    mask {
    ^bb0(%b: index, %h: index, %i: index, %j: index):
      // expected-error @below {{expected index 0 inside 2xi1, got 2}}
      %keep = tensor.extract %table[%j] : tensor<2xi1>
      tfm.yield %keep : i1
    } : tensor<1x3x2xf32>, tensor<1x3x2xf32>, tensor<1x3x2xf32> -> tensor<1x3x2xf32>
  return %0 : tensor<1x3x2xf32>
}

// -----

func.func @loops(%a: tensor<?x3xf32>, %b: tensor<4x5xf32>, %c: tensor<?x5xf32>) -> tensor<?x5xf32> {
  %d = tensor.cast %b : tensor<4x5xf32> to tensor<?x5xf32>
  %e = tensor.cast %a : tensor<?x3xf32> to tensor<?x?xf32>
  // expected-error @below {{expected operands of one size along loop 2, got 3 and 4}}
  %0 = linalg.matmul ins(%e, %d : tensor<?x?xf32>, tensor<?x5xf32>) outs(%c : tensor<?x5xf32>) -> tensor<?x5xf32>
  return %0 : tensor<?x5xf32>
}

// -----

func.func @stale(%cache: !tfm.cache<1x2x2xf32>, %k: tensor<?x1x2xf32>, %batch: !tfm.batch)
    -> (!tfm.cache<1x2x2xf32>, tensor<?x1x2xf32>) {
  %0 = tfm.cache_append %cache, %k, %k batch(%batch) : !tfm.cache<1x2x2xf32>, tensor<?x1x2xf32>, tensor<?x1x2xf32>
  // expected-error @below {{reads a version of the cache that was appended to before}}
  %1 = tfm.attention %k, %cache batch(%batch) : tensor<?x1x2xf32>, !tfm.cache<1x2x2xf32> -> tensor<?x1x2xf32>
  return %0, %1 : !tfm.cache<1x2x2xf32>, tensor<?x1x2xf32>
}

// -----

func.func @append_twice(%cache: !tfm.cache<1x2x2xf32>, %k: tensor<?x1x2xf32>, %batch: !tfm.batch)
    -> (!tfm.cache<1x2x2xf32>, !tfm.cache<1x2x2xf32>) {
  %0 = tfm.cache_append %cache, %k, %k batch(%batch) : !tfm.cache<1x2x2xf32>, tensor<?x1x2xf32>, tensor<?x1x2xf32>
  // expected-error @below {{appends to a version of the cache that was appended to before}}
  %1 = tfm.cache_append %cache, %k, %k batch(%batch) : !tfm.cache<1x2x2xf32>, tensor<?x1x2xf32>, tensor<?x1x2xf32>
  return %0, %1 : !tfm.cache<1x2x2xf32>, !tfm.cache<1x2x2xf32>
}

// -----

func.func @empty_cache(%q: tensor<?x1x2xf32>, %batch: !tfm.batch) -> tensor<?x1x2xf32> {
  %0 = tfm.cache_create %batch : !tfm.cache<1x2x2xf32>
  // expected-error @below {{reads 3 keys of sequence 0, the cache holds 0}}
  %1 = tfm.attention %q, %0 batch(%batch) : tensor<?x1x2xf32>, !tfm.cache<1x2x2xf32> -> tensor<?x1x2xf32>
  return %1 : tensor<?x1x2xf32>
}

// -----

plan.kernel @neg(%x: tensor<?x2xf32>) -> tensor<?x2xf32> {
  %0 = arith.negf %x : tensor<?x2xf32>
  plan.yield %0 : tensor<?x2xf32>
}
func.func @sizes(%x: tensor<?x2xf32>) -> tensor<?x2xf32> {
  %c3 = arith.constant 3 : index
  // expected-error @below {{declares 3 for dimension 0 of result 0, the kernel computes 7}}
  %0 = plan.dispatch @neg(%x) sizes(%c3) : (tensor<?x2xf32>) -> tensor<?x2xf32>
  return %0 : tensor<?x2xf32>
}

// -----

func.func @no_source() -> tensor<3xf16> {
  // expected-error @below {{needs the weight 'w', and no source of weights is set}}
  %0 = tfm.parameter "w" from "six.bin" at 10 : tensor<3xf16>
  return %0 : tensor<3xf16>
}
// CHECK: error: 'tfm.parameter' op cannot read 'w': 'six.bin' has 14 bytes, expected 6 from 10 on

// -----

func.func @outside_folder() -> tensor<3xf16> {
  // expected-error @below {{needs the weight 'w', and no source of weights is set}}
  %0 = tfm.parameter "w" from "../six.bin" at 0 : tensor<3xf16>
  return %0 : tensor<3xf16>
}
// CHECK: error: 'tfm.parameter' op cannot read 'w': expected a file below the model's folder, got '../six.bin'

// -----

func.func @missing_file() -> tensor<3xf16> {
  // expected-error @below {{needs the weight 'w', and no source of weights is set}}
  %0 = tfm.parameter "w" from "seven.bin" at 0 : tensor<3xf16>
  return %0 : tensor<3xf16>
}
// CHECK: error: 'tfm.parameter' op cannot read 'w': {{.*}}seven.bin: No such file or directory
