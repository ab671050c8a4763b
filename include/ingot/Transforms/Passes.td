//===- Passes.td - the passes, in the order of the pipeline --------------------*- tablegen -*-===//
//
// Every description has an example of two blocks: the first is what goes in, the second what comes
// out. A test executes them.
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_TRANSFORMS_PASSES_TD
#define INGOT_TRANSFORMS_PASSES_TD

include "mlir/Pass/PassBase.td"

//===----------------------------------------------------------------------===//
// Graph form
//===----------------------------------------------------------------------===//

def FuseLinears : Pass<"fuse-linears", "::mlir::func::FuncOp"> {
  let summary = "turns linears of the same input into one";
  let description = [{
    Several `tfm.linear` operations that read the same rows become one on the concatenation of their
    weights, and slices of its result. It is the fusion of the query, key and value projections, and
    of the gate and up projections of a gated feed-forward network: the rows are read once and the
    weights as one sequential stream.

    ```mlir
    func.func @f(%x: tensor<4x8xf32>, %gate: tensor<6x8xbf16>, %up: tensor<6x8xbf16>)
        -> (tensor<4x6xf32>, tensor<4x6xf32>) {
      %0 = tfm.linear %x, %gate : tensor<4x8xf32>, tensor<6x8xbf16> -> tensor<4x6xf32>
      %1 = tfm.linear %x, %up : tensor<4x8xf32>, tensor<6x8xbf16> -> tensor<4x6xf32>
      return %0, %1 : tensor<4x6xf32>, tensor<4x6xf32>
    }
    ```
    becomes
    ```mlir
    func.func @f(%x: tensor<4x8xf32>, %gate: tensor<6x8xbf16>, %up: tensor<6x8xbf16>)
        -> (tensor<4x6xf32>, tensor<4x6xf32>) {
      %w = tensor.concat dim(0) %gate, %up
        : (tensor<6x8xbf16>, tensor<6x8xbf16>) -> tensor<12x8xbf16>
      %0 = tfm.linear %x, %w : tensor<4x8xf32>, tensor<12x8xbf16> -> tensor<4x12xf32>
      %1 = tensor.extract_slice %0[0, 0] [4, 6] [1, 1] : tensor<4x12xf32> to tensor<4x6xf32>
      %2 = tensor.extract_slice %0[0, 6] [4, 6] [1, 1] : tensor<4x12xf32> to tensor<4x6xf32>
      return %1, %2 : tensor<4x6xf32>, tensor<4x6xf32>
    }
    ```

    Fused are linears of one block whose weights are parameters or arguments, of one element type,
    stored the same way, used nowhere else (packing would store them twice), and that all have a bias
    (of one element type) or all have none.

    Numerics: none change. Every element of the result is the same chain over the same row of
    weights.
  }];
  let dependentDialects = ["::mlir::tensor::TensorDialect"];
  let statistics = [
    Statistic<"numFused", "fused", "linears that became a slice of another">,
    Statistic<"numGroups", "groups", "linears on concatenated weights">,
  ];
}

#endif // INGOT_TRANSFORMS_PASSES_TD
