//===- PlanOps.td - the plan dialect --------------------------------------------*- tablegen -*-===//
#ifndef INGOT_DIALECT_PLAN_OPS_TD
#define INGOT_DIALECT_PLAN_OPS_TD

include "mlir/IR/OpBase.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/BuiltinAttributeInterfaces.td"
include "mlir/IR/EnumAttr.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/CallInterfaces.td"
include "mlir/Interfaces/FunctionInterfaces.td"
include "mlir/Interfaces/ControlFlowInterfaces.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def Plan_Dialect : Dialect {
  let name = "plan";
  let cppNamespace = "::ingot::plan";
  let summary = "Execution plans: kernels, and the programs that dispatch them";
  let description = [{
    `form-dispatches` cuts a function into dispatches of outlined kernels; `select-schedule` writes how
    each kernel is to be compiled and how each weight is packed; `plan-buffers` flattens a phase into a
    `plan.program` and gives every value a slot. A program is data: the artifact's program tables are
    its text in another form. Kernels are compiled by `lib/CodeGen`.
  }];
  let useDefaultAttributePrinterParser = 1;
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::tensor::TensorDialect",
                           "::ingot::tfm::TransformerDialect"];
}

class Plan_Op<string mnemonic, list<Trait> traits = []> : Op<Plan_Dialect, mnemonic, traits>;

//===----------------------------------------------------------------------===//
// Attributes
//===----------------------------------------------------------------------===//

def Plan_PanelsAttr : AttrDef<Plan_Dialect, "Panels"> {
  let mnemonic = "panels";
  let summary = "packing of a weight matrix in panels of output rows";
  let description = [{
    The encoding of a packed matrix `tensor<NxKxtype, #plan.panels<64, 1>>`. The type says what the
    matrix is, the encoding how its bytes lie, so that one copy serves every kernel:

    The N rows are cut into panels of `rows`; a panel stores, for k ascending, its rows side by side, so
    that output rows are vector lanes and a thread reads one stream. 32-bit types and f16: `[K][rows]`.
    bf16: pairs of k together, `[ceil(K / 2)][rows][2]`, an odd K padded with zero. The last panel holds
    the remaining rows rounded up to 16, padded with zeros, and is that narrow.

    With `parts` above 1 the matrix is that many matrices of N / parts rows below each other and a panel
    holds `rows / parts` rows of each, first part first: a gate and its up projection meet in one panel.

    With `matrices` above 1 (`#plan.panels<64, 1, 8>`) the rows are so many equal matrices below each
    other, packed one after the other: the experts of a mixture, each of which is read alone.
  }];
  let parameters = (ins "int64_t":$rows, "int64_t":$parts,
                        DefaultValuedParameter<"int64_t", "1">:$matrices);
  let assemblyFormat = "`<` $rows `,` $parts (`,` $matrices^)? `>`";
  let genVerifyDecl = 1;
}

def ScheduleKind : I32EnumAttr<"ScheduleKind", "how a kernel is generated", [
    I32EnumAttrCase<"Rows", 0, "rows">, I32EnumAttrCase<"Linear", 1, "linear">,
    I32EnumAttrCase<"Attention", 2, "attention">, I32EnumAttrCase<"Append", 3, "append">,
    I32EnumAttrCase<"Experts", 4, "experts">, I32EnumAttrCase<"Route", 5, "route">]> {
  let cppNamespace = "::ingot::plan";
}

def Plan_ScheduleAttr : AttrDef<Plan_Dialect, "Schedule"> {
  let mnemonic = "schedule";
  let summary = "decisions about one kernel";
  let description = [{
    Which generator compiles the kernel, and its tile: `tileRows` rows (tokens; queries times heads of a
    group for attention) by `tileVectors` vectors of 16 lanes are computed at once in registers. None of
    these changes a bit of the result. `keys`, for attention: whole rows of up to so many scores are
    held in memory, with one maximum per row, which adds up in another order than the online softmax
    that 0 stands for.
  }];
  let parameters = (ins EnumParameter<ScheduleKind>:$kind, DefaultValuedParameter<"int64_t", "1">:$tileRows,
                        DefaultValuedParameter<"int64_t", "1">:$tileVectors,
                        DefaultValuedParameter<"int64_t", "0">:$keys);
  let builders = [AttrBuilder<(ins "ScheduleKind":$kind, "int64_t":$tileRows, "int64_t":$tileVectors), [{
    return $_get($_ctxt, kind, tileRows, tileVectors, /*keys=*/0);
  }]>];
  let assemblyFormat = "`<` $kind (`,` struct($tileRows, $tileVectors, $keys)^)? `>`";
  let genVerifyDecl = 1;
}

//===----------------------------------------------------------------------===//
// Kernels
//===----------------------------------------------------------------------===//

def Plan_KernelOp : Plan_Op<"kernel", [IsolatedFromAbove, FunctionOpInterface, Symbol]> {
  let summary = "what one dispatch computes";
  let description = [{
    An outlined computation on tensors, in `tfm` and upstream operations, that code generation turns
    into one native function. Results are written to buffers that the caller provides. Work is
    divided by rows of the results, sub-panels of a weight or items of a batch, as the schedule's kind
    says; each result element is computed by exactly one work item, in one order.

    ```mlir
    plan.kernel @silu(%x: tensor<?x64xf32>) -> tensor<?x64xf32>
        attributes {schedule = #plan.schedule<rows>} {
      %0 = math.absf %x : tensor<?x64xf32>
      plan.yield %0 : tensor<?x64xf32>
    }
    ```
  }];
  let arguments = (ins Arg<SymbolNameAttr, "unique name">:$sym_name,
    Arg<TypeAttrOf<FunctionType>, "operands and results">:$function_type,
    Arg<OptionalAttr<Plan_ScheduleAttr>, "written by select-schedule">:$schedule,
    OptionalAttr<DictArrayAttr>:$arg_attrs, OptionalAttr<DictArrayAttr>:$res_attrs);
  let regions = (region SizedRegion<1>:$body);
  let hasCustomAssemblyFormat = 1;
  let hasVerifier = 1;
  let builders = [OpBuilder<(ins "::llvm::StringRef":$name, "::mlir::FunctionType":$type)>];
  let skipDefaultBuilders = 1;
  let extraClassDeclaration = [{
    llvm::ArrayRef<mlir::Type> getArgumentTypes() { return getFunctionType().getInputs(); }
    llvm::ArrayRef<mlir::Type> getResultTypes() { return getFunctionType().getResults(); }
    mlir::Region *getCallableRegion() { return &getBody(); }
  }];
}

def Plan_YieldOp : Plan_Op<"yield", [Pure, Terminator, ReturnLike,
    ParentOneOf<["KernelOp", "ProgramOp"]>]> {
  let summary = "the results of a kernel or a program";
  let description = [{
    Ends the body of a `plan.kernel` or a `plan.program`.

    ```mlir
    plan.kernel @neg(%x: tensor<?x64xf32>) -> tensor<?x64xf32> {
      %0 = arith.negf %x : tensor<?x64xf32>
      plan.yield %0 : tensor<?x64xf32>
    }
    ```
  }];
  let arguments = (ins Arg<Variadic<AnyType>, "results">:$values);
  let assemblyFormat = "($values^ `:` type($values))? attr-dict";
}

def Plan_DispatchOp : Plan_Op<"dispatch", [AttrSizedOperandSegments,
    DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "runs a kernel";
  let description = [{
    Calls a kernel on operands; `sizes` gives the dynamic dimensions of the results, result by result
    and dimension by dimension.

    `plan-buffers` adds what the artifact needs: `grid`, the number of independent work items; `slots`, the
    arena slot of each result (-1: it has none, being a program output or a cache); and the cost, a sum
    of terms `coefficient x size` with the class of each (0 weights, 1 cache, 2 activations: bytes;
    3: floating-point operations).

    - C1: operand and result types are the kernel's.
    - C2: one size per dynamic dimension of the results.
    - C3: as many cost classes and coefficients as cost sizes.

    ```mlir
    plan.kernel @neg(%x: tensor<?x64xf32>) -> tensor<?x64xf32> {
      %0 = arith.negf %x : tensor<?x64xf32>
      plan.yield %0 : tensor<?x64xf32>
    }
    func.func @f(%x: tensor<?x64xf32>) -> tensor<?x64xf32> {
      %c0 = arith.constant 0 : index
      %n = tensor.dim %x, %c0 : tensor<?x64xf32>
      %0 = plan.dispatch @neg(%x) sizes(%n) : (tensor<?x64xf32>) -> tensor<?x64xf32>
      %1 = plan.dispatch @neg(%0) sizes(%n) grid(%n) slots [0] cost(%n, %n) classes [2, 3] coefficients [512, 64]
        : (tensor<?x64xf32>) -> tensor<?x64xf32>
      return %1 : tensor<?x64xf32>
    }
    ```
  }];
  let arguments = (ins Arg<FlatSymbolRefAttr, "the kernel">:$kernel,
    Arg<Variadic<AnyType>, "operands of the kernel">:$inputs,
    Arg<Variadic<Index>, "dynamic dimensions of the results">:$sizes,
    Arg<Optional<Index>, "number of work items">:$grid,
    Arg<Variadic<Index>, "sizes that the cost grows with">:$costSizes,
    Arg<OptionalAttr<DenseI32ArrayAttr>, "arena slot of each result">:$slots,
    Arg<OptionalAttr<DenseI32ArrayAttr>, "class of each cost term">:$costClasses,
    Arg<OptionalAttr<DenseI64ArrayAttr>, "coefficient of each cost term">:$costCoefficients);
  let results = (outs Res<Variadic<AnyType>, "results of the kernel">:$outputs);
  let assemblyFormat = [{
    $kernel `(` $inputs `)` (`sizes` `(` $sizes^ `)`)? (`grid` `(` $grid^ `)`)? (`slots` $slots^)?
    (`cost` `(` $costSizes^ `)`)? (`classes` $costClasses^)? (`coefficients` $costCoefficients^)? attr-dict
    `:` functional-type($inputs, $outputs)
  }];
  let hasVerifier = 1;
  let builders = [OpBuilder<(ins "::mlir::TypeRange":$outputs, "::llvm::StringRef":$kernel,
                                 "::mlir::ValueRange":$inputs, "::mlir::ValueRange":$sizes)>];
  let extraClassDeclaration = [{
    /// The sizes of the dynamic dimensions of result `index`.
    mlir::ValueRange getSizesOf(unsigned index);
  }];
}

def Plan_PackOp : Plan_Op<"pack", [Pure]> {
  let summary = "weights packed into one matrix";
  let description = [{
    Puts matrices `[N_i, K]` below each other and packs them as the encoding of the result says; vectors
    `[N_i]` are joined. It is evaluated when the artifact is written.

    - C1: every source is a static matrix with the element type of the result, `[N_i, K]`, or `[K, N_i]` with
      `transposed`; the N_i add up to the rows of the result. Or all are vectors.

    ```mlir
    func.func @f(%a: tensor<64x32xf32>, %b: tensor<16x32xf32>) -> tensor<80x32xf32, #plan.panels<64, 1>> {
      %0 = plan.pack %a, %b : tensor<64x32xf32>, tensor<16x32xf32> -> tensor<80x32xf32, #plan.panels<64, 1>>
      return %0 : tensor<80x32xf32, #plan.panels<64, 1>>
    }
    ```
  }];
  let arguments = (ins Arg<Variadic<AnyStaticShapeTensor>, "matrices">:$sources,
                       Arg<UnitAttr, "the sources are stored [K, N]">:$transposed);
  let results = (outs Res<AnyStaticShapeTensor, "the packed matrix">:$result);
  let assemblyFormat = "$sources (`transposed` $transposed^)? attr-dict `:` type($sources) `->` type($result)";
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// Programs
//===----------------------------------------------------------------------===//

def Plan_ProgramOp : Plan_Op<"program", [IsolatedFromAbove, FunctionOpInterface, Symbol]> {
  let summary = "one phase as a list of dispatches";
  let description = [{
    A flat list of dispatches in the order in which they run, with the arithmetic of their sizes on
    `index`. Arguments are the inputs (tensors, each with a `plan.name`), a batch, and caches (each with a
    `plan.group` and a `plan.offset`: where its keys and values lie in a page of that group). Results are the
    outputs.

    ```mlir
    plan.kernel @neg(%x: tensor<?x64xf32>) -> tensor<?x64xf32> {
      %0 = arith.negf %x : tensor<?x64xf32>
      plan.yield %0 : tensor<?x64xf32>
    }
    plan.program @f(%x: tensor<?x64xf32> {plan.name = "x"}) -> (tensor<?x64xf32> {plan.name = "y"}) {
      %c0 = arith.constant 0 : index
      %n = tensor.dim %x, %c0 : tensor<?x64xf32>
      %0 = plan.dispatch @neg(%x) sizes(%n) slots [-1] : (tensor<?x64xf32>) -> tensor<?x64xf32>
      plan.yield %0 : tensor<?x64xf32>
    }
    ```
  }];
  let arguments = (ins Arg<SymbolNameAttr, "name of the entry point">:$sym_name,
    Arg<TypeAttrOf<FunctionType>, "inputs and outputs">:$function_type,
    OptionalAttr<DictArrayAttr>:$arg_attrs, OptionalAttr<DictArrayAttr>:$res_attrs);
  let regions = (region SizedRegion<1>:$body);
  let hasCustomAssemblyFormat = 1;
  let builders = [OpBuilder<(ins "::llvm::StringRef":$name, "::mlir::FunctionType":$type)>];
  let skipDefaultBuilders = 1;
  let extraClassDeclaration = [{
    llvm::ArrayRef<mlir::Type> getArgumentTypes() { return getFunctionType().getInputs(); }
    llvm::ArrayRef<mlir::Type> getResultTypes() { return getFunctionType().getResults(); }
    mlir::Region *getCallableRegion() { return &getBody(); }
  }];
}

def Plan_SlotOp : Plan_Op<"slot", [HasParent<"ProgramOp">]> {
  let summary = "a piece of the arena";
  let description = [{
    Declares slot number `index` of a program with the largest of `bytes` bytes. Slots do not overlap; values
    whose lives do not overlap share one.

    - C1: slots are numbered from 0 in the order in which they stand.

    ```mlir
    plan.program @f(%x: tensor<?xf32> {plan.name = "x"}) {
      %c4 = arith.constant 4 : index
      plan.slot 0 bytes(%c4)
      plan.yield
    }
    ```
  }];
  let arguments = (ins Arg<I64Attr, "number">:$index, Arg<Variadic<Index>, "sizes in bytes">:$bytes);
  let assemblyFormat = "$index `bytes` `(` $bytes `)` attr-dict";
}

#endif // INGOT_DIALECT_PLAN_OPS_TD
