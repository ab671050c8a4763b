// Causal attention of 4 query heads of size 64 on 2 heads of keys and values, of any number of tokens:
//
//   ingot-compile examples/graph/attention.mlir -o attention.ingot
//   ingot-run attention.ingot --input q=q.npy --input k=k.npy --input v=v.npy --output o=o.npy
//
// Inputs and outputs have the names that values have here; a `plan.name` attribute gives another one.
func.func @main(%q: tensor<4x?x64xf32>, %k: tensor<2x?x64xf32>, %v: tensor<2x?x64xf32>) -> tensor<4x?x64xf32> {
  %scale = arith.constant 0.125 : f32
  %o = tfm.attention %q, %k, %v scale(%scale) causal : tensor<4x?x64xf32>, tensor<2x?x64xf32>, tensor<2x?x64xf32> -> tensor<4x?x64xf32>
  return %o : tensor<4x?x64xf32>
}
