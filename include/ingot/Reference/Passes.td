//===- Passes.td - passes around the reference interpreter ---------------------*- tablegen -*-===//
#ifndef INGOT_REFERENCE_PASSES_TD
#define INGOT_REFERENCE_PASSES_TD

include "mlir/Pass/PassBase.td"

def TfmInterpret : Pass<"tfm-interpret", "::mlir::ModuleOp"> {
  let summary = "run a function in the reference interpreter and print its results";
  let description = [{
    Runs a function on made-up inputs, which depend on `seed` alone, or on the arrays of .npy files, and prints
    one line for each result. The module stays as it is.

    ```mlir
    // ingot-opt --tfm-interpret="function=double seed=3" -o /dev/null
    func.func @double(%x: tensor<2xf32>) -> tensor<2xf32> {
      %0 = arith.addf %x, %x : tensor<2xf32>
      return %0 : tensor<2xf32>
    }
    ```

    With `tokens` the module is run as a language model, in whichever form it is, and the logits of all
    tokens are the result.
  }];
  let options = [
    Option<"function", "function", "std::string", /*default=*/"",
           "the function to run; the only public one if empty">,
    Option<"seed", "seed", "uint64_t", /*default=*/"1", "what the made-up inputs depend on">,
    Option<"precision", "precision", "std::string", /*default=*/"\"f64\"",
           "f64: no rounding at all; f32: every result is rounded to its type">,
    ListOption<"dims", "dims", "int64_t",
           "sizes of the dynamic dimensions of the inputs, in order; one size serves all">,
    ListOption<"batchRows", "batch-rows", "int64_t", "rows of each sequence of a batch">,
    Option<"idsBelow", "ids-below", "int64_t", /*default=*/"0",
           "made-up integers are smaller than this; 0: the rows of the smallest embedding">,
    Option<"extreme", "extreme", "bool", /*default=*/"false",
           "make up zeros, ties, tiny and large magnitudes">,
    ListOption<"inputs", "inputs", "std::string",
           ".npy files for the tensors among the inputs, in order; the rest is made up">,
    ListOption<"outputs", "outputs", "std::string", ".npy files for the tensors among the results">,
    Option<"parameters", "parameters", "std::string", /*default=*/"\"\"",
           "the folder that the weights' files are in, or 'random' to make weights up">,
    ListOption<"tokens", "tokens", "int32_t", "run the module as a language model on these ids">,
    ListOption<"prefill", "prefill", "int64_t", "tokens of each step of prefill; the rest is decoded">,
    Option<"digits", "digits", "unsigned", /*default=*/"6", "significant digits that are printed">,
  ];
}

#endif // INGOT_REFERENCE_PASSES_TD
