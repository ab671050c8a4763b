//===- TransformerInterfaces.td - interfaces of tfm operations ----------------*- tablegen -*-===//
#ifndef INGOT_DIALECT_TRANSFORMER_INTERFACES_TD
#define INGOT_DIALECT_TRANSFORMER_INTERFACES_TD

include "mlir/IR/OpBase.td"

def CostOpInterface : OpInterface<"CostOpInterface"> {
  let cppNamespace = "::ingot::tfm";
  let description = [{
    What an operation costs: bytes that it must move and floating-point operations that it must do,
    by class, as a sum of terms `coefficient x sizes`. It feeds the report, the choice of schedules
    and the profile. Bytes of operands and results that stay in registers after fusion are not the
    operation's: it reports weights, cache and flops; activations are counted where a dispatch reads
    and writes them.
  }];
  let methods = [
    InterfaceMethod<"Appends the terms of this operation's cost.", "void", "getCost",
                    (ins "::llvm::SmallVectorImpl<::ingot::tfm::CostTerm> &":$terms)>,
  ];
}

def TokenwiseOpInterface : OpInterface<"TokenwiseOpInterface"> {
  let cppNamespace = "::ingot::tfm";
  let description = [{
    How an operation treats the dimension of its operands that enumerates tokens. Packing several
    sequences into one row dimension is only right where every row of a result depends on that row
    of the operands alone; `insert-kv-cache` proves it with this interface.
  }];
  let methods = [
    InterfaceMethod<[{
      Given which dimension of each operand enumerates tokens (-1: none), returns the dimension of
      result `result` that does (-1: none), or fails if rows would mix.
    }], "::llvm::FailureOr<int64_t>", "getTokenDim",
      (ins "unsigned":$result, "::llvm::ArrayRef<int64_t>":$operandDims)>,
  ];
}

#endif // INGOT_DIALECT_TRANSFORMER_INTERFACES_TD
