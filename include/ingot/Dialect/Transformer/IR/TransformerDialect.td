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

    Written `!tfm.cache<heads x keySize x valueSize x type>`. With `, values_in_keys` a value is the first
    `valueSize` elements of the key of its token and head as they are stored, and has no place of its own:
    attention on a latent, whose keys are the latent and a rotated part.

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
                        "::mlir::Type":$elementType, "bool":$valuesInKeys);
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
}

def Transformer_BlockType : Transformer_Type<"Block", "block"> {
  let summary = "an element of a matrix that is stored in blocks";
  let description = [{
    The element type of weights that a file stores in a block format of ggml, by its name in lower
    case: `q4_0`, `q4_1`, `q5_0`, `q5_1`, `q8_0`, `q2_k`, `q3_k`, `q4_k`, `q5_k`, `q6_k`, `iq1_s`, `iq1_m`,
    `iq2_xxs`, `iq2_xs`, `iq2_s`, `iq3_xxs`, `iq3_s`, `iq4_nl`, `iq4_xs`, `tq1_0`, `tq2_0`, `mxfp4`. A row of a
    `tensor<NxKx!tfm.block<q4_1>>` is K / 32 blocks one after the other, rounded up: what is beyond K in
    the last block is zero. In files K is a multiple of the format's block (32 or 256). An element means
    the f32 that the format's reference decoder yields, exactly (`ingot/Formats/BlockFormats.h`), and
    counts as an f32 where widths are compared.

    Only weights have such elements: results of `tfm.parameter` and `tfm.convert_weight`, and what
    passes them on. Rows of activations have those of one more format, `q8_x`, which `tfm.quantize` makes.

    ```mlir
    func.func @f(%x: tensor<?x64xf32>) -> tensor<?x96xf32> {
      %w = tfm.parameter "blk.0.attn_q.weight" from "model.gguf" at 4096 : tensor<96x64x!tfm.block<q4_1>>
      %0 = tfm.linear %x, %w : tensor<?x64xf32>, tensor<96x64x!tfm.block<q4_1>> -> tensor<?x96xf32>
      return %0 : tensor<?x96xf32>
    }
    ```
  }];
  let parameters = (ins "::ingot::formats::Format":$format);
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
  let extraClassDeclaration = [{
    /// Numbers in a block, and bytes of one.
    int64_t getBlockLength() const { return ::ingot::formats::getInfo(getFormat()).length; }
    int64_t getBlockBytes() const { return ::ingot::formats::getInfo(getFormat()).bytes; }
  }];
}

//===----------------------------------------------------------------------===//
// Constraints and base classes
//===----------------------------------------------------------------------===//

def Transformer_FloatTensor : RankedTensorOf<[F64, F32, F16, BF16]>;
/// Rows that meet weights.
def Transformer_Rows : RankedTensorOf<[F64, F32, F16, BF16, Transformer_BlockType]>;
/// A matrix of weights.
def Transformer_WeightMatrix : 2DTensorOf<[F64, F32, F16, BF16, Transformer_BlockType]>;
def Transformer_Ids : RankedTensorOf<[I32, I64]>;
def Transformer_Positions : 1DTensorOf<[I32]>;

class Transformer_Op<string mnemonic, list<Trait> traits = []>
    : Op<Transformer_Dialect, mnemonic, traits>;

#endif // INGOT_DIALECT_TRANSFORMER_DIALECT_TD
