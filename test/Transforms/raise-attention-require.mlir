// RUN: ingot-opt %s --raise-attention="require=1" --verify-diagnostics

func.func @f(%q: tensor<2x5x8xf32>, %k: tensor<2x5x8xf32>, %v: tensor<2x5x8xf32>) -> tensor<2x5x8xf32> {
  %s = tfm.matmul %q, %k transpose_b : tensor<2x5x8xf32>, tensor<2x5x8xf32> -> tensor<2x5x5xf32>
  // expected-error @below {{attention not raised: 'math.exp' between the softmax and the product with the values}}
  %p = tfm.softmax %s dim(2) : tensor<2x5x5xf32>
  // expected-note @below {{see 'math.exp'}}
  %x = math.exp %p : tensor<2x5x5xf32>
  %o = tfm.matmul %x, %v : tensor<2x5x5xf32>, tensor<2x5x8xf32> -> tensor<2x5x8xf32>
  return %o : tensor<2x5x8xf32>
}
