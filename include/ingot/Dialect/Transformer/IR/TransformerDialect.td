//===- TransformerDialect.td - the tfm dialect, its types and base classes ----*- tablegen -*-===//
#ifndef INGOT_DIALECT_TRANSFORMER_DIALECT_TD
#define INGOT_DIALECT_TRANSFORMER_DIALECT_TD

include "mlir/IR/OpBase.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/BuiltinTypeInterfaces.td"
include "mlir/IR/EnumAttr.td"

def Transformer_Dialect : Dialect {
  let name = "tfm";
  let cppNamespace = "::ingot::tfm";
  let summary = "Transformer graphs, from the plain mathematics to their phases";
  let description = [{
    The dialect has two forms that share their operations.

    *Graph form* is what an importer emits: the whole-sequence, cache-free mathematics of a model on
    tensors, together with `arith` and `math` on tensors and `tensor` and `linalg` for reshapes,
    transposes, broadcasts and reductions. One sequence of `S` tokens is `[S, features]`.

    *Phase form* is what runs: tokens of several sequences are packed without padding as
    `[tokens, features]`, a `!tfm.batch` says which rows belong to which sequence and where each
    sequence stands, and `!tfm.cache` values hold the keys and values of earlier tokens.

    Arithmetic is in the element type of the result. An operand of a narrower floating-point type is
    widened exactly; no operation narrows, narrowing is an explicit `arith.truncf`.
  }];
  let useDefaultTypePrinterParser = 1;
  let useDefaultAttributePrinterParser = 1;
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::tensor::TensorDialect",
                           "::mlir::linalg::LinalgDialect", "::mlir::math::MathDialect"];
  let extraClassDeclaration = [{
    /// Module attribute with what the runtime needs to know of a language model (a dictionary).
    static llvm::StringRef getModelAttrName() { return "tfm.model"; }
  }];
}

//===----------------------------------------------------------------------===//
// Types
//===----------------------------------------------------------------------===//

class Transformer_Type<string name, string typeMnemonic> : TypeDef<Transformer_Dialect, name> {
  let mnemonic = typeMnemonic;
}

def Transformer_BatchType : Transformer_Type<"Batch", "batch"> {
  let summary = "which packed row belongs to which sequence, and where each sequence stands";
  let description = [{
    A ragged batch: for each sequence the rows that it has in this step, the absolute position of the
    first of them, and how many keys it can see. `ingot_kernel_batch` is its form at run time.

    ```mlir
    func.func @f(%batch: !tfm.batch) -> index {
      %n = tfm.batch_dim %batch tokens
      return %n : index
    }
    ```
  }];
}

def Transformer_CacheType : Transformer_Type<"Cache", "cache"> {
  let summary = "the keys and values of one attention site, as a value";
  let description = [{
    The cache of one layer: for every position of every sequence of a batch, `heads` keys of
    `keySize` elements and as many values of `valueSize` elements. A value of this type is a version
    of the cache and a linear handle: it is appended to at most once, and reads of it come before
    that (the `check-caches` pass proves it), so no version is ever copied.

    Written `!tfm.cache<heads x keySize x valueSize x type>`.

    ```mlir
    func.func @f(%cache: !tfm.cache<4x64x64xf32>, %k: tensor<?x4x64xf32>, %v: tensor<?x4x64xf32>,
                 %batch: !tfm.batch) -> !tfm.cache<4x64x64xf32> {
      %next = tfm.cache_append %cache, %k, %v batch(%batch)
        : !tfm.cache<4x64x64xf32>, tensor<?x4x64xf32>, tensor<?x4x64xf32>
      return %next : !tfm.cache<4x64x64xf32>
    }
    ```
  }];
  let parameters = (ins "int64_t":$heads, "int64_t":$keySize, "int64_t":$valueSize,
                        "::mlir::Type":$elementType);
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
}

//===----------------------------------------------------------------------===//
// Constraints and base classes
//===----------------------------------------------------------------------===//

def Transformer_FloatTensor : RankedTensorOf<[F64, F32, F16, BF16]>;
def Transformer_Ids : RankedTensorOf<[I32, I64]>;
def Transformer_Positions : 1DTensorOf<[I32]>;

class Transformer_Op<string mnemonic, list<Trait> traits = []>
    : Op<Transformer_Dialect, mnemonic, traits>;

#endif // INGOT_DIALECT_TRANSFORMER_DIALECT_TD
