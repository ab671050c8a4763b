// RUN: ingot-opt %s --split-input-file --plan-buffers --verify-diagnostics -o /dev/null

func.func private @elsewhere(tensor<2xf32>) -> tensor<2xf32>
func.func private @inner(%x: tensor<2xf32>) -> tensor<2xf32> {
  // expected-error@+1 {{calls @elsewhere, which has no body: expected a function of this module}}
  %0 = call @elsewhere(%x) : (tensor<2xf32>) -> tensor<2xf32>
  return %0 : tensor<2xf32>
}
func.func @main(%x: tensor<2xf32>) -> tensor<2xf32> {
  %0 = call @inner(%x) : (tensor<2xf32>) -> tensor<2xf32>
  return %0 : tensor<2xf32>
}

// -----

func.func private @g(%x: tensor<2xf32>) -> tensor<2xf32> {
  // expected-error@+1 {{calls @main, which is running already: a plan has no recursion}}
  %0 = call @main(%x) : (tensor<2xf32>) -> tensor<2xf32>
  return %0 : tensor<2xf32>
}
func.func @main(%x: tensor<2xf32>) -> tensor<2xf32> {
  %0 = call @g(%x) : (tensor<2xf32>) -> tensor<2xf32>
  return %0 : tensor<2xf32>
}
