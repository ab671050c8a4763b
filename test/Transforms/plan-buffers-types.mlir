// RUN: ingot-opt %s --split-input-file --plan-buffers --verify-diagnostics -o /dev/null

// What is no array cannot go in or out.

// expected-error@+1 {{argument 0 of @main: expected a ranked tensor of f64, f32, f16, bf16 or integers of 1, 8, 16, 32 or 64 bits, got 'f32'}}
func.func @main(%x: f32) -> f32 {
  return %x : f32
}

// -----

// expected-error@+1 {{argument 0 of @main: expected a ranked tensor of f64, f32, f16, bf16 or integers of 1, 8, 16, 32 or 64 bits, got 'index'}}
func.func @main(%x: index) -> index {
  return %x : index
}

// -----

// expected-error@+1 {{argument 0 of @main: expected a ranked tensor of f64, f32, f16, bf16 or integers of 1, 8, 16, 32 or 64 bits, got 'tensor<*xf32>'}}
func.func @main(%x: tensor<*xf32>) -> tensor<*xf32> {
  return %x : tensor<*xf32>
}

// -----

// expected-error@+1 {{argument 0 of @main: expected a ranked tensor of f64, f32, f16, bf16 or integers of 1, 8, 16, 32 or 64 bits, got 'tensor<3xindex>'}}
func.func @main(%x: tensor<3xindex>) -> tensor<3xindex> {
  return %x : tensor<3xindex>
}

// -----

// expected-error@+1 {{argument 0 of @main: expected a ranked tensor of f64, f32, f16, bf16 or integers of 1, 8, 16, 32 or 64 bits, got 'tensor<3xcomplex<f32>>'}}
func.func @main(%x: tensor<3xcomplex<f32>>) -> tensor<3xcomplex<f32>> {
  return %x : tensor<3xcomplex<f32>>
}

// -----

// expected-error@+1 {{argument 0 of @main: expected a ranked tensor of f64, f32, f16, bf16 or integers of 1, 8, 16, 32 or 64 bits, got 'tensor<4x7xi4>'}}
func.func @main(%x: tensor<4x7xi4>) -> tensor<4x7xi4> {
  return %x : tensor<4x7xi4>
}

// -----

// expected-error@+1 {{argument 0 of @main: expected a ranked tensor of f64, f32, f16, bf16 or integers of 1, 8, 16, 32 or 64 bits, got 'tensor<4x64x!tfm.block<q4_1>>'}}
func.func @main(%x: tensor<4x64x!tfm.block<q4_1>>) -> tensor<4x64x!tfm.block<q4_1>> {
  return %x : tensor<4x64x!tfm.block<q4_1>>
}

// -----

// expected-error@+1 {{result 0 of @main: expected a ranked tensor of f64, f32, f16, bf16 or integers of 1, 8, 16, 32 or 64 bits, got 'index'}}
func.func @main() -> index {
  %c = arith.constant 3 : index
  return %c : index
}
