// RUN: ingot-opt %s -split-input-file -verify-diagnostics

// expected-error @+1 {{expected panels of a multiple of 16 rows per part, got 24 rows in 1 parts}}
func.func @panels(%w: tensor<8x8xf32, #plan.panels<24, 1>>) { return }

// -----

// expected-error @+1 {{expected a tile of at least 1 x 1, got 0 x 1}}
plan.kernel @schedule() attributes {schedule = #plan.schedule<rows, tileRows = 0>} {
  plan.yield
}

// -----

// expected-error @+1 {{expected plan.yield of the result types at the end of the body}}
plan.kernel @kernel_yield(%x: tensor<4xf32>) -> tensor<4xf32> {
  plan.yield
}

// -----

func.func @dispatch_unknown(%x: tensor<4xf32>) {
  // expected-error @+1 {{expected a plan.kernel named @none}}
  plan.dispatch @none(%x) : (tensor<4xf32>) -> ()
  return
}

// -----

// expected-note @+1 {{the kernel has '(tensor<4xf32>) -> tensor<4xf32>'}}
plan.kernel @k(%x: tensor<4xf32>) -> tensor<4xf32> {
  plan.yield %x : tensor<4xf32>
}
func.func @dispatch_c1(%x: tensor<5xf32>) {
  // expected-error @+1 {{expected the types of its kernel}}
  %0 = plan.dispatch @k(%x) : (tensor<5xf32>) -> tensor<5xf32>
  return
}

// -----

plan.kernel @k(%x: tensor<?xf32>) -> tensor<?xf32> {
  plan.yield %x : tensor<?xf32>
}
func.func @dispatch_c2(%x: tensor<?xf32>) {
  // expected-error @+1 {{expected 1 sizes, one per dynamic dimension of the results, got 0}}
  %0 = plan.dispatch @k(%x) : (tensor<?xf32>) -> tensor<?xf32>
  return
}

// -----

plan.kernel @k(%x: tensor<4xf32>) -> tensor<4xf32> {
  plan.yield %x : tensor<4xf32>
}
func.func @dispatch_c3(%x: tensor<4xf32>, %n: index) {
  // expected-error @+1 {{expected one class and one coefficient per cost size, got 1 sizes}}
  %0 = plan.dispatch @k(%x) cost(%n) classes [1] : (tensor<4xf32>) -> tensor<4xf32>
  return
}

// -----

plan.kernel @k(%x: tensor<4xf32>) -> tensor<4xf32> {
  plan.yield %x : tensor<4xf32>
}
func.func @dispatch_slots(%x: tensor<4xf32>) {
  // expected-error @+1 {{expected one slot per result, got 2}}
  %0 = plan.dispatch @k(%x) slots [0, 1] : (tensor<4xf32>) -> tensor<4xf32>
  return
}

// -----

func.func @pack_c1(%a: tensor<4x8xf32>, %b: tensor<5x8xf32>) {
  // expected-error @+1 {{expected matrices that make up the rows of}}
  %0 = plan.pack %a, %b : tensor<4x8xf32>, tensor<5x8xf32> -> tensor<8x8xf32, #plan.panels<64, 1>>
  return
}

// -----

// expected-error @+1 {{expected at least 1 matrix, got 0}}
func.func @matrices(%w: tensor<8x8xf32, #plan.panels<64, 1, 0>>) { return }
