//===- TransformerOps.td - operations of the graph form ------------------------*- tablegen -*-===//
#ifndef INGOT_DIALECT_TRANSFORMER_OPS_TD
#define INGOT_DIALECT_TRANSFORMER_OPS_TD

include "ingot/Dialect/Transformer/IR/TransformerDialect.td"
include "ingot/Dialect/Transformer/IR/TransformerInterfaces.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/ControlFlowInterfaces.td"
include "mlir/Interfaces/SideEffectInterfaces.td"
include "mlir/IR/OpAsmInterface.td"

def Reify : DeclareOpInterfaceMethods<ReifyRankedShapedTypeOpInterface, ["reifyResultShapes"]>;
def Cost : DeclareOpInterfaceMethods<CostOpInterface>;
def Tokenwise : DeclareOpInterfaceMethods<TokenwiseOpInterface>;

//===----------------------------------------------------------------------===//
// Weights and indices
//===----------------------------------------------------------------------===//

def Transformer_ParameterOp : Transformer_Op<"parameter", [Pure]> {
  let summary = "a weight that lives in a file";
  let description = [{
    Stands for the consecutive little-endian bytes of `file` from byte `offset` on that its type says:
    elements one after the other, or rows of blocks (`!tfm.block`). The file is named relative to the model's folder and is not opened before the weights are
    packed, so a module with parameters is as small as its graph.

    - C1: the result has a static shape and at least one element.
    - C2: `offset` is not negative.
    - C3: the rows of a block format are whole blocks.

    ```mlir
    func.func @f() -> tensor<512x64xbf16> {
      %w = tfm.parameter "model.embed_tokens.weight" from "model.safetensors" at 4096
        : tensor<512x64xbf16>
      return %w : tensor<512x64xbf16>
    }
    ```
  }];
  let arguments = (ins
    Arg<StrAttr, "the tensor's name in the checkpoint">:$name,
    Arg<StrAttr, "file name, relative to the model's folder">:$file,
    Arg<I64Attr, "first byte in the file">:$offset);
  let results = (outs Res<AnyStaticShapeTensor, "the weight">:$result);
  let assemblyFormat = "$name `from` $file `at` $offset attr-dict `:` type($result)";
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// Bytes that the parameter takes in its file.
    int64_t getByteSize();
  }];
}

def Transformer_ConvertWeightOp : Transformer_Op<"convert_weight", [Pure]> {
  let summary = "a weight in another number format";
  let description = [{
    The same numbers in another format. It is evaluated when the artifact is written, so only weights
    can be converted: parameters, constants and what is made of them. With `transposed` the result is the
    transpose of the operand, so that blocks can lie along a dimension that is not stored last.

    - C1: operand and result have the same static shape, with `transposed` they are matrices and it is
      transposed; their elements are f32, f16, bf16 or blocks.
    - C2: the result's format can be written: f32, f16, bf16, `q8_0` or `q4_0`.
    - C3: the operand's rows are whole blocks; with `transposed` it is not in blocks.

    Numerics: elements are widened to f32, exactly, and rounded to the result's format: to nearest even
    in f16 and bf16; in `q8_0` as the format's reference encoder does and in `q4_0` with a scale that is
    searched, block by block (docs/Formats.md). To f32 nothing is lost.

    ```mlir
    func.func @f() -> tensor<96x64xf32> {
      %w = tfm.parameter "blk.0.attn_q.weight" from "model.gguf" at 4096 : tensor<96x64x!tfm.block<q4_1>>
      %0 = tfm.convert_weight %w : tensor<96x64x!tfm.block<q4_1>> -> tensor<96x64xf32>
      return %0 : tensor<96x64xf32>
    }
    ```
  }];
  let arguments = (ins Arg<AnyStaticShapeTensor, "the weight">:$weight,
                       Arg<UnitAttr, "the result is its transpose">:$transposed);
  let results = (outs Res<AnyStaticShapeTensor, "the weight in the other format">:$result);
  let assemblyFormat = "$weight (`transposed` $transposed^)? attr-dict `:` type($weight) `->` type($result)";
  let builders = [OpBuilder<(ins "::mlir::Type":$result, "::mlir::Value":$weight),
                            [{ build($_builder, $_state, result, weight, ::mlir::UnitAttr()); }]>];
  let hasVerifier = 1;
  let hasFolder = 1;
}

def Transformer_ScaleWeightOp : Transformer_Op<"scale_weight", [Pure]> {
  let summary = "a weight of small elements and the scales of their blocks";
  let description = [{
    `result[n, k] = weight[n, k] * scales[n / R, k / C]` with `blocks(R, C)`. The weight is bytes: an
    element E4M3 in each, or two elements E2M1, the first in the low half; scales are floats, or bytes
    E8M0 (`2^(e - 127)`). It is evaluated when the artifact is written, so both are parameters.

    - C1: the result is a static matrix [N, K] of f32, f16 or bf16.
    - C2: `weight` is [N, K] or, with K even, [N, K / 2] of i8.
    - C3: R and C are positive; `scales` is [ceil(N / R), ceil(K / C)] of f32, f16, bf16 or i8.

    Numerics: the product is rounded to f32, and then to the result's type, to nearest even. MXFP4 (E2M1
    with E8M0) to bf16 loses nothing.

    ```mlir
    func.func @f() -> tensor<96x64xbf16> {
      %w = tfm.parameter "experts.down_proj_blocks" from "model.safetensors" at 4096 : tensor<96x32xi8>
      %s = tfm.parameter "experts.down_proj_scales" from "model.safetensors" at 7168 : tensor<96x2xi8>
      %0 = tfm.scale_weight %w, %s blocks(1, 32) : tensor<96x32xi8>, tensor<96x2xi8> -> tensor<96x64xbf16>
      return %0 : tensor<96x64xbf16>
    }
    ```
  }];
  let arguments = (ins
    Arg<AnyStaticShapeTensor, "the elements' bytes">:$weight,
    Arg<AnyStaticShapeTensor, "the scales">:$scales,
    Arg<I64Attr, "rows that share a scale, R">:$block_rows,
    Arg<I64Attr, "columns that share a scale, C">:$block_columns);
  let results = (outs Res<AnyStaticShapeTensor, "the weight, [N, K]">:$result);
  let assemblyFormat = [{
    $weight `,` $scales `blocks` `(` $block_rows `,` $block_columns `)` attr-dict
    `:` type($weight) `,` type($scales) `->` type($result)
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// How elements and scales lie.
    ::ingot::formats::Scaling getScaling();
  }];
}

def Transformer_PositionsOp : Transformer_Op<"positions", [Pure, Reify, Tokenwise]> {
  let summary = "the absolute position of every token";
  let description = [{
    `result[t]` is the position of token `t` in its sequence. Without a batch the tokens are one
    sequence from its start: `result[t] = t`. `tokens` gives the number of rows only.

    - C1: dimension 0 of the result equals dimension 0 of `tokens`.

    ```mlir
    func.func @f(%ids: tensor<?xi32>) -> tensor<?xi32> {
      %p = tfm.positions %ids : tensor<?xi32> -> tensor<?xi32>
      return %p : tensor<?xi32>
    }
    ```
  }];
  let arguments = (ins
    Arg<AnyRankedTensor, "any tensor whose dimension 0 enumerates the tokens">:$tokens,
    Arg<Optional<Transformer_BatchType>, "phase form: the sequences that the tokens belong to">:$batch);
  let results = (outs Res<Transformer_Positions, "positions">:$result);
  let assemblyFormat = "$tokens (`batch` `(` $batch^ `)`)? attr-dict `:` type($tokens) `->` type($result)";
  let hasVerifier = 1;
}

def Transformer_PromptLengthsOp : Transformer_Op<"prompt_lengths", [Pure, Reify, Tokenwise]> {
  let summary = "the length of the prompt that every token's sequence started with";
  let description = [{
    `result[t]` is the number of tokens that were fed at once when the sequence of token `t` was
    empty, however they were divided over steps, and stays that when the sequence grows. Without a
    batch the tokens are one sequence that is fed at once: `result[t]` is their number. Rotary
    frequencies that depend on a length take this one: keys in the cache keep their rotation.
    `tokens` gives the number of rows only.

    - C1: dimension 0 of the result equals dimension 0 of `tokens`.

    ```mlir
    func.func @f(%ids: tensor<?xi32>) -> tensor<?xi32> {
      %p = tfm.prompt_lengths %ids : tensor<?xi32> -> tensor<?xi32>
      return %p : tensor<?xi32>
    }
    ```
  }];
  let arguments = (ins
    Arg<AnyRankedTensor, "any tensor whose dimension 0 enumerates the tokens">:$tokens,
    Arg<Optional<Transformer_BatchType>, "phase form: the sequences that the tokens belong to">:$batch);
  let results = (outs Res<Transformer_Positions, "lengths">:$result);
  let assemblyFormat = "$tokens (`batch` `(` $batch^ `)`)? attr-dict `:` type($tokens) `->` type($result)";
  let hasVerifier = 1;
}

def Transformer_EmbeddingOp : Transformer_Op<"embedding", [Pure, Reify, Cost, Tokenwise]> {
  let summary = "rows of a table";
  let description = [{
    `result[t, :] = table[ids[t], :]`. An id outside the table has no row: the interpreter
    refuses it, compiled code reads nothing and gives NaN (0 of integers). Of a language model, the
    runtime refuses ids outside the vocabulary before it runs anything.

    - C1: `result` has the shape `[ids, table columns]`.
    - C2: the result's element type is at least as wide as the table's (blocks count as f32).

    ```mlir
    func.func @f(%ids: tensor<?xi32>, %table: tensor<512x64xbf16>) -> tensor<?x64xf32> {
      %0 = tfm.embedding %ids, %table : tensor<?xi32>, tensor<512x64xbf16> -> tensor<?x64xf32>
      return %0 : tensor<?x64xf32>
    }
    ```
  }];
  let arguments = (ins
    Arg<1DTensorOf<[I32, I64]>, "row numbers">:$ids,
    Arg<Transformer_WeightMatrix, "the table, [rows, columns]">:$table);
  let results = (outs Res<2DTensorOf<[F64, F32, F16, BF16]>, "the rows">:$result);
  let assemblyFormat = "$ids `,` $table attr-dict `:` type($ids) `,` type($table) `->` type($result)";
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

def Transformer_QuantizeOp : Transformer_Op<"quantize", [Pure, Reify, Cost, Tokenwise]> {
  let summary = "rows rounded to 8 bits in groups of 32";
  let description = [{
    Each row in groups of 32 neighbours, each group with a scale of its own; the last group may be
    shorter. With `m` the largest magnitude of a group, its scale is `d = m / 127` and the numbers are
    `q = round(x * (127 / m))`; `d q` is what the result means. These are the rows that matrices of 8 or
    fewer bits are multiplied with in integers.

    - C1: the last dimension of `x` is static; `result` has the shape of `x` and elements
      `!tfm.block<q8_x>`.

    Numerics: the scale, its inverse and the product are rounded to f32, then q to nearest even. A
    group of magnitudes below 2^-100 is zero; the scale of a group with a number that is not finite is
    not finite. Rows are rounded one by one, whatever is computed beside them.

    ```mlir
    func.func @f(%x: tensor<?x64xf32>) -> tensor<?x64x!tfm.block<q8_x>> {
      %0 = tfm.quantize %x : tensor<?x64xf32> -> tensor<?x64x!tfm.block<q8_x>>
      return %0 : tensor<?x64x!tfm.block<q8_x>>
    }
    ```
  }];
  let arguments = (ins Arg<RankedTensorOf<[F32]>, "rows, [..., K]">:$x);
  let results = (outs Res<RankedTensorOf<[Transformer_BlockType]>, "rounded rows, [..., K]">:$result);
  let assemblyFormat = "$x attr-dict `:` type($x) `->` type($result)";
  let hasVerifier = 1;
}

def Transformer_LinearOp : Transformer_Op<"linear", [Pure, Reify, Cost, Tokenwise]> {
  let summary = "x times the transpose of a weight matrix";
  let description = [{
    `result[..., n] = sum over k of x[..., k] * weight[n, k] (+ bias[n])`; with `transposed` the weight
    is stored `[k, n]`. This is the projection of every transformer layer.

    - C1: `weight` is `[N, K]` (`[K, N]` with `transposed`), the last dimension of `x` is `K`.
    - C2: `result` has the dimensions of `x`, the last one replaced by `N`.
    - C3: `bias` is `[N]`.
    - C4: no operand's element type is wider than the result's.
    - C5: a weight in a block format is not `transposed`: its blocks lie along K.
    - C6: rows in blocks are in `q8_x`, and then the weight is in blocks too.

    Numerics: products and sums in the result's type, k ascending, each step one fused multiply-add,
    from +0; the bias is added last. The order does not depend on the number of rows.

    Rows in `q8_x`: of each group of 32 numbers, or of 16 where the weight's scales are for so many, the
    products of the small integers are summed exactly. With d and e the scales of the row and of the
    weight, `sum = fma(e d, group's sum, sum)`, the product of scales rounded to f32; where the weight has
    a minimum m, after that `sum = fma(m, d (sum of the row's integers), sum)`. Groups ascend from +0.
    (The reference adds product by product.)

    ```mlir
    func.func @f(%x: tensor<?x64xf32>, %w: tensor<96x64xbf16>, %b: tensor<96xf32>) -> tensor<?x96xf32> {
      %0 = tfm.linear %x, %w bias(%b : tensor<96xf32>)
        : tensor<?x64xf32>, tensor<96x64xbf16> -> tensor<?x96xf32>
      return %0 : tensor<?x96xf32>
    }
    ```
  }];
  let arguments = (ins
    Arg<Transformer_Rows, "rows, [..., K]">:$x,
    Arg<Transformer_WeightMatrix, "the matrix, [N, K]">:$weight,
    Arg<Optional<1DTensorOf<[F64, F32, F16, BF16]>>, "[N]">:$bias,
    Arg<UnitAttr, "the matrix is stored [K, N]">:$transposed);
  let results = (outs Res<Transformer_FloatTensor, "[..., N]">:$result);
  let assemblyFormat = [{
    $x `,` $weight (`bias` `(` $bias^ `:` type($bias) `)`)? (`transposed` $transposed^)? attr-dict
    `:` type($x) `,` type($weight) `->` type($result)
  }];
  let hasVerifier = 1;
  let builders = [OpBuilder<(ins "::mlir::Value":$x, "::mlir::Value":$weight,
                                 CArg<"::mlir::Value", "{}">:$bias, CArg<"bool", "false">:$transposed,
                                 CArg<"::mlir::Type", "{}">:$elementType)>];
  let extraClassDeclaration = [{
    int64_t getN() { return getWeight().getType().getDimSize(getTransposed() ? 1 : 0); }
    int64_t getK() { return getWeight().getType().getDimSize(getTransposed() ? 0 : 1); }
  }];
}

def Transformer_MatmulOp : Transformer_Op<"matmul", [Pure, Reify, Cost]> {
  let summary = "a batch of matrix products";
  let description = [{
    `result[..., m, n] = sum over k of a[..., m, k] * b[..., k, n]`; with `transpose_b` `b` is
    `[..., n, k]`. This is how graph form writes the two products of attention.

    - C1: `a`, `b` and `result` have the same rank, at least 2, and equal leading dimensions.
    - C2: the inner dimensions agree.
    - C3: no operand's element type is wider than the result's.

    Numerics: as `tfm.linear`.

    ```mlir
    func.func @f(%q: tensor<8x?x64xf32>, %k: tensor<8x?x64xf32>) -> tensor<8x?x?xf32> {
      %0 = tfm.matmul %q, %k transpose_b
        : tensor<8x?x64xf32>, tensor<8x?x64xf32> -> tensor<8x?x?xf32>
      return %0 : tensor<8x?x?xf32>
    }
    ```
  }];
  let arguments = (ins
    Arg<Transformer_FloatTensor, "[..., M, K]">:$a,
    Arg<Transformer_FloatTensor, "[..., K, N]">:$b,
    Arg<UnitAttr, "b is [..., N, K]">:$transpose_b);
  let results = (outs Res<Transformer_FloatTensor, "[..., M, N]">:$result);
  let assemblyFormat = [{
    $a `,` $b (`transpose_b` $transpose_b^)? attr-dict `:` type($a) `,` type($b) `->` type($result)
  }];
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// Row operations
//===----------------------------------------------------------------------===//

def Transformer_SoftmaxOp : Transformer_Op<"softmax", [Pure, Reify, Cost, Tokenwise,
    AllTypesMatch<["x", "result"]>]> {
  let summary = "softmax along one dimension";
  let description = [{
    `result = exp(x - max(x)) / sum(exp(x - max(x)))`, maxima and sums along `dim`. A row whose
    elements are all -inf has no value (NaN), as in the frameworks; a row that is masked with a large
    negative number instead yields 1 / n.

    - C1: `dim` is a dimension of `x`.

    ```mlir
    func.func @f(%x: tensor<8x?x?xf32>) -> tensor<8x?x?xf32> {
      %0 = tfm.softmax %x dim(2) : tensor<8x?x?xf32>
      return %0 : tensor<8x?x?xf32>
    }
    ```
  }];
  let arguments = (ins Arg<Transformer_FloatTensor, "scores">:$x,
                       Arg<I64Attr, "the dimension that is normalised">:$dim);
  let results = (outs Res<Transformer_FloatTensor, "probabilities">:$result);
  let assemblyFormat = "$x `dim` `(` $dim `)` attr-dict `:` type($x)";
  let hasVerifier = 1;
}

class Transformer_NormOp<string mnemonic, list<Trait> traits = []>
    : Transformer_Op<mnemonic, !listconcat(traits, [Pure, Reify, Cost, Tokenwise,
    AllTypesMatch<["x", "result"]>])> {
  let results = (outs Res<Transformer_FloatTensor, "normalised rows, [..., F]">:$result);
  let hasVerifier = 1;
}

def Transformer_RMSNormOp : Transformer_NormOp<"rms_norm"> {
  let summary = "root mean square normalisation of the last dimension";
  let description = [{
    `result = x / sqrt(mean(x * x) + eps) * weight`, the mean along the last dimension.

    - C1: `x` has a static last dimension F; `weight` is `[F]`.
    - C2: `weight` is not wider than `x`.

    Numerics: the sum of squares is 16 partial sums by index mod 16, each ascending, then a tree.

    ```mlir
    func.func @f(%x: tensor<?x64xf32>, %w: tensor<64xbf16>) -> tensor<?x64xf32> {
      %0 = tfm.rms_norm %x weight(%w : tensor<64xbf16>) eps(1.0e-5) : tensor<?x64xf32>
      return %0 : tensor<?x64xf32>
    }
    ```
  }];
  let arguments = (ins
    Arg<Transformer_FloatTensor, "rows, [..., F]">:$x,
    Arg<Optional<1DTensorOf<[F64, F32, F16, BF16]>>, "[F]">:$weight,
    Arg<F64Attr, "added to the mean square">:$eps);
  let assemblyFormat = [{
    $x (`weight` `(` $weight^ `:` type($weight) `)`)? `eps` `(` $eps `)` attr-dict `:` type($x)
  }];
}

def Transformer_LayerNormOp : Transformer_NormOp<"layer_norm", [AttrSizedOperandSegments]> {
  let summary = "layer normalisation of the last dimension";
  let description = [{
    `result = (x - mean(x)) / sqrt(mean((x - mean(x))^2) + eps) * weight + bias`, means along the last
    dimension.

    - C1: `x` has a static last dimension F; `weight` and `bias` are `[F]`.
    - C2: `weight` and `bias` are not wider than `x`.

    Numerics: two passes over the row; sums as in `tfm.rms_norm`.

    ```mlir
    func.func @f(%x: tensor<?x64xf32>, %w: tensor<64xf32>, %b: tensor<64xf32>) -> tensor<?x64xf32> {
      %0 = tfm.layer_norm %x weight(%w : tensor<64xf32>) bias(%b : tensor<64xf32>) eps(1.0e-5)
        : tensor<?x64xf32>
      return %0 : tensor<?x64xf32>
    }
    ```
  }];
  let arguments = (ins
    Arg<Transformer_FloatTensor, "rows, [..., F]">:$x,
    Arg<Optional<1DTensorOf<[F64, F32, F16, BF16]>>, "[F]">:$weight,
    Arg<Optional<1DTensorOf<[F64, F32, F16, BF16]>>, "[F]">:$bias,
    Arg<F64Attr, "added to the variance">:$eps);
  let assemblyFormat = [{
    $x (`weight` `(` $weight^ `:` type($weight) `)`)? (`bias` `(` $bias^ `:` type($bias) `)`)?
    `eps` `(` $eps `)` attr-dict `:` type($x)
  }];
}

def Transformer_RotaryOp : Transformer_Op<"rotary", [Pure, Reify, Cost, Tokenwise,
    AllTypesMatch<["x", "result"]>]> {
  let summary = "rotary position embedding";
  let description = [{
    Rotates pairs of elements of every head by the angles of the token's position. With R twice the
    columns of `cos`, elements `(i, i + R/2)` are a pair; with `interleaved`, elements
    `(2i, 2i + 1)`, for `i < R/2`:
    `(a, b) -> (a cos[s, i] - b sin[s, i], b cos[s, i] + a sin[s, i])`. Elements from R on pass through.

    - C1: `x` is `[S, H, D]`, `cos` and `sin` are `[S, R/2]`, R is at most D.
    - C2: `cos` and `sin` have the element type of `x`.

    Numerics: two products and one difference or sum, each rounded; no fused multiply-add.

    ```mlir
    func.func @f(%x: tensor<?x8x64xf32>, %cos: tensor<?x32xf32>, %sin: tensor<?x32xf32>) -> tensor<?x8x64xf32> {
      %0 = tfm.rotary %x, %cos, %sin : tensor<?x8x64xf32>, tensor<?x32xf32>
      return %0 : tensor<?x8x64xf32>
    }
    ```
  }];
  let arguments = (ins
    Arg<3DTensorOf<[F64, F32, F16, BF16]>, "heads, [S, H, D]">:$x,
    Arg<2DTensorOf<[F64, F32, F16, BF16]>, "cosines, [S, R/2]">:$cos,
    Arg<2DTensorOf<[F64, F32, F16, BF16]>, "sines, [S, R/2]">:$sin,
    Arg<UnitAttr, "pairs are neighbours">:$interleaved);
  let results = (outs Res<3DTensorOf<[F64, F32, F16, BF16]>, "rotated heads, [S, H, D]">:$result);
  let assemblyFormat = [{
    $x `,` $cos `,` $sin (`interleaved` $interleaved^)? attr-dict `:` type($x) `,` type($cos)
    custom<SameType>(ref(type($cos)), type($sin))
  }];
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// Attention
//===----------------------------------------------------------------------===//

def Transformer_AttentionOp : Transformer_Op<"attention", [Pure, Reify, Cost,
    AttrSizedOperandSegments]> {
  let summary = "scaled dot-product attention with a score and a mask region";
  let description = [{
    For every query row i and head h, over the keys j that the mask keeps:

    ```
    s[j] = score(scale * sum over d of q[h, i, d] * k[h', j, d], b, h, i, j)
    p    = softmax of s, over the kept keys (and the sink logit, whose value is zero)
    o[h, i, :] = sum over j of p[j] * v[h', j, :]
    ```

    with `h' = h / (H / KVH)`: grouped, multi-query and multi-head attention are shapes. The *score*
    region maps `(score, b, h, i, j)` to a score, the *mask* region maps `(b, h, i, j)` to whether the
    key is kept; an absent region is the identity, or keeps every key. A row without a kept key
    yields 0. In graph form `b` is the leading dimension (0 where there is none), `i` and `j` are row
    numbers of `q` and `k`; in phase form `b` is the number of the sequence in the batch, `i` and `j`
    are absolute positions.

    Common regions have short names that build them and print back as themselves: `causal` keeps
    `j <= i`; `window(n)` keeps `i - j < n`; `softcap(c)` is `c * tanh(s / c)`; `alibi(%slopes)` adds
    `slopes[h] * (j - i)` after the soft-cap.

    - C1: graph form: `q` is `[B, H, S, D]` or `[H, S, D]`, `k` is `[B, KVH, T, D]`, `v` is
      `[B, KVH, T, DV]`, all of one rank; the result is `[B, H, S, DV]`.
    - C2: phase form: `q` is `[tokens, H, D]`, a cache of `KVH x D x DV` takes the place of `k` and `v`, a
      batch is given; the result is `[tokens, H, DV]`.
    - C3: KVH divides H.
    - C4: `sinks` is `[H]`.
    - C5: the score region takes (f32, index, index, index, index) and yields f32; the mask region
      takes four indices and yields i1. They are free of side effects.

    Numerics: scores in f32, d ascending, fused multiply-adds. Keys are taken in blocks of 64
    absolute positions with the rescaling of online softmax, 16 partial row sums by key mod 16;
    segments of 1,024 positions start from a fresh state and are folded left to right. Where `q` and the
    cache are bf16, queries times scale (and log2 e, where there is no score region) and the weights p
    are rounded to bf16 before the products with K and V, which then add up in f32 two at a time;
    otherwise keys and values are widened to f32. See docs/Determinism.md.

    ```mlir
    func.func @f(%q: tensor<8x?x64xf32>, %k: tensor<2x?x64xf32>, %v: tensor<2x?x64xf32>,
                 %scale: f32, %slopes: tensor<8xf32>) -> tensor<8x?x64xf32> {
      %0 = tfm.attention %q, %k, %v scale(%scale) causal window(4096) alibi(%slopes : tensor<8xf32>)
        : tensor<8x?x64xf32>, tensor<2x?x64xf32>, tensor<2x?x64xf32> -> tensor<8x?x64xf32>
      %1 = tfm.attention %0, %k, %v scale(%scale)
        mask {
        ^bb0(%b: index, %h: index, %i: index, %j: index):
          %keep = arith.cmpi sle, %j, %i : index
          tfm.yield %keep : i1
        } : tensor<8x?x64xf32>, tensor<2x?x64xf32>, tensor<2x?x64xf32> -> tensor<8x?x64xf32>
      return %1 : tensor<8x?x64xf32>
    }
    ```
  }];
  let arguments = (ins
    Arg<Transformer_FloatTensor, "queries">:$q,
    Arg<Optional<Transformer_FloatTensor>, "keys (graph form)">:$k,
    Arg<Optional<Transformer_FloatTensor>, "values (graph form)">:$v,
    Arg<Optional<Transformer_CacheType>, "keys and values (phase form)">:$cache,
    Arg<Optional<Transformer_BatchType>, "sequences (phase form)">:$batch,
    Arg<Optional<F32>, "factor of the scores; 1 if absent">:$scale,
    Arg<Optional<1DTensorOf<[F32, F16, BF16]>>, "an extra logit per head, with value zero, [H]">:$sinks);
  let results = (outs Res<Transformer_FloatTensor, "weighted values">:$result);
  let regions = (region AnyRegion:$score, AnyRegion:$mask);
  let hasCustomAssemblyFormat = 1;
  let hasVerifier = 1;
  let hasRegionVerifier = 1;
  let hasCanonicalizer = 1;
  let extraClassDeclaration = [{
    /// Whether keys and values come from a cache.
    bool isPhaseForm() { return static_cast<bool>(getCache()); }
    int64_t getHeads();
    int64_t getKVHeads();
    int64_t getKeySize();
    int64_t getValueSize();
  }];
}

def Transformer_YieldOp : Transformer_Op<"yield", [Pure, Terminator, ReturnLike,
    ParentOneOf<["AttentionOp"]>]> {
  let summary = "the value of a score or mask region";
  let description = [{
    Ends a region of `tfm.attention`.

    ```mlir
    func.func @f(%q: tensor<8x?x64xf32>, %k: tensor<8x?x64xf32>) -> tensor<8x?x64xf32> {
      %0 = tfm.attention %q, %k, %k
        score {
        ^bb0(%s: f32, %b: index, %h: index, %i: index, %j: index):
          %t = arith.addf %s, %s : f32
          tfm.yield %t : f32
        } : tensor<8x?x64xf32>, tensor<8x?x64xf32>, tensor<8x?x64xf32> -> tensor<8x?x64xf32>
      return %0 : tensor<8x?x64xf32>
    }
    ```
  }];
  let arguments = (ins Arg<AnyType, "the new score (f32), or whether the key is kept (i1)">:$value);
  let assemblyFormat = "$value attr-dict `:` type($value)";
}

include "ingot/Dialect/Transformer/IR/TransformerExpertOps.td"

//===----------------------------------------------------------------------===//
// Phase form
//===----------------------------------------------------------------------===//

def BatchDimKind : I32EnumAttr<"BatchDimKind", "a size of a batch", [
    I32EnumAttrCase<"Tokens", 0, "tokens">, I32EnumAttrCase<"Sequences", 1, "sequences">,
    I32EnumAttrCase<"Outputs", 2, "outputs">, I32EnumAttrCase<"Keys", 3, "keys">,
    I32EnumAttrCase<"Pairs", 4, "pairs">, I32EnumAttrCase<"Pages", 5, "pages">,
    I32EnumAttrCase<"Items", 6, "items">, I32EnumAttrCase<"AllPairs", 7, "all_pairs">]> {
  let cppNamespace = "::ingot::tfm";
  let genSpecializedAttr = 0;
}
def BatchDimKindAttr : EnumAttr<Transformer_Dialect, BatchDimKind, "batch_dim_kind">;

def Transformer_BatchDimOp : Transformer_Op<"batch_dim", [Pure]> {
  let summary = "a size of a batch";
  let description = [{
    `tokens`: packed rows. `sequences`. `outputs`: rows whose outputs are wanted. `keys`: keys that the
    sequences can see, summed. `pairs`: (row, key) pairs under a causal mask, summed. `pages`: pages
    of 64 positions that a transient cache needs. `items`: blocks of queries that attention is
    divided into. `all_pairs`: every row with every key of its sequence. With `window` (0: none), `keys`
    and `pairs` count at most so many keys back.

    ```mlir
    func.func @f(%batch: !tfm.batch) -> index {
      %n = tfm.batch_dim %batch pairs {window = 4096 : i64}
      return %n : index
    }
    ```
  }];
  let arguments = (ins Arg<Transformer_BatchType, "the batch">:$batch,
                       Arg<BatchDimKindAttr, "which size">:$kind,
                       Arg<DefaultValuedAttr<I64Attr, "0">, "sliding window, 0: none">:$window);
  let results = (outs Res<Index, "the size">:$result);
  let assemblyFormat = "$batch $kind attr-dict";
}

def Transformer_UniformBatchOp : Transformer_Op<"uniform_batch", [Pure]> {
  let summary = "a batch of sequences of equal length";
  let description = [{
    `sequences` sequences of `rows` rows each, the first at position 0; each sees `keys` keys. With it a
    dense graph runs through the same ragged kernels.

    ```mlir
    func.func @f(%b: index, %s: index, %t: index) -> !tfm.batch {
      %0 = tfm.uniform_batch %b, %s, %t
      return %0 : !tfm.batch
    }
    ```
  }];
  let arguments = (ins Arg<Index, "number of sequences">:$sequences, Arg<Index, "rows of each">:$rows,
                       Arg<Index, "keys of each">:$keys);
  let results = (outs Res<Transformer_BatchType, "the batch">:$result);
  let assemblyFormat = "$sequences `,` $rows `,` $keys attr-dict";
}

def Transformer_CacheCreateOp : Transformer_Op<"cache_create", [MemoryEffects<[MemAlloc]>]> {
  let summary = "an empty cache that lives for one step";
  let description = [{
    A transient cache: keys and values of whole sequences that no later step reads. Encoders, graphs
    without a cache and cross attention read their keys through it, so that every attention runs the
    same kernel with the same bits.

    ```mlir
    func.func @f(%batch: !tfm.batch) -> !tfm.cache<4x64x64xf32> {
      %0 = tfm.cache_create %batch : !tfm.cache<4x64x64xf32>
      return %0 : !tfm.cache<4x64x64xf32>
    }
    ```
  }];
  let arguments = (ins Arg<Transformer_BatchType, "whose sequences it has room for">:$batch);
  let results = (outs Res<Transformer_CacheType, "the cache, without positions">:$result);
  let assemblyFormat = "$batch attr-dict `:` type($result)";
}

def Transformer_CacheAppendOp : Transformer_Op<"cache_append", [Pure, Cost,
    AllTypesMatch<["cache", "result"]>]> {
  let summary = "the cache with the keys and values of this step";
  let description = [{
    Stores row t of `k` and `v` at the position of token t of its sequence; the result is the next
    version of the cache, and `cache` must not be used after it. Values are rounded to the cache's
    element type, and read back in that type also within the same step. In a cache of i8 a row of one
    token and head with the largest magnitude m has the unit u = m / 127 (f32), and an element x is read
    back as u * n, n the integer nearest to x / u (ties to even), or as 0 where u is 0; a row with a
    number that is not finite is read back as NaN.

    A cache with `values_in_keys` has no `v`: a value is read back as the first elements of its key are.

    - C1: `k` is `[tokens, heads, keySize]`, `v` is `[tokens, heads, valueSize]` of the cache.
    - C2: There is a `v` unless the cache has its values in the keys.

    ```mlir
    func.func @f(%cache: !tfm.cache<4x64x64xf32>, %k: tensor<?x4x64xf32>, %v: tensor<?x4x64xf32>,
                 %batch: !tfm.batch) -> !tfm.cache<4x64x64xf32> {
      %0 = tfm.cache_append %cache, %k, %v batch(%batch)
        : !tfm.cache<4x64x64xf32>, tensor<?x4x64xf32>, tensor<?x4x64xf32>
      return %0 : !tfm.cache<4x64x64xf32>
    }
    ```
  }];
  let arguments = (ins
    Arg<Transformer_CacheType, "the cache so far">:$cache,
    Arg<3DTensorOf<[F32, F16, BF16]>, "keys, [tokens, heads, keySize]">:$k,
    Arg<Optional<3DTensorOf<[F32, F16, BF16]>>, "values, [tokens, heads, valueSize]">:$v,
    Arg<Transformer_BatchType, "where the rows belong">:$batch);
  let results = (outs Res<Transformer_CacheType, "the next version">:$result);
  let assemblyFormat = [{
    $cache `,` $k (`,` $v^)? `batch` `(` $batch `)` attr-dict `:` type($cache) `,` type($k) (`,` type($v)^)?
  }];
  let hasVerifier = 1;
}

def Transformer_PackedRowOp : Transformer_Op<"packed_row", [Pure]> {
  let summary = "the packed row of a position";
  let description = [{
    The row of a step in which the token at position `position` of sequence `sequence` stands. With it a score
    region reads tensors that have a row per token, such as the products of queries with embeddings of
    distances. The token must be one of the step's.

    ```mlir
    func.func @f(%batch: !tfm.batch, %b: index, %i: index) -> index {
      %row = tfm.packed_row %batch[%b, %i]
      return %row : index
    }
    ```
  }];
  let arguments = (ins Arg<Transformer_BatchType, "the step">:$batch,
                       Arg<Index, "number of the sequence in the batch">:$sequence,
                       Arg<Index, "absolute position in the sequence">:$position);
  let results = (outs Res<Index, "the row">:$result);
  let assemblyFormat = "$batch `[` $sequence `,` $position `]` attr-dict";
}

def Transformer_GatherOutputsOp : Transformer_Op<"gather_outputs", [Pure]> {
  let summary = "the rows whose outputs are wanted";
  let description = [{
    `result[i, ...] = x[row of the i-th wanted output, ...]`. In prefill only the last row of each
    sequence is wanted unless the caller asks for more; in decode every row is.

    - C1: `result` has the type of `x` but for dimension 0, which is dynamic.

    ```mlir
    func.func @f(%x: tensor<?x64xf32>, %batch: !tfm.batch) -> tensor<?x64xf32> {
      %0 = tfm.gather_outputs %x batch(%batch) : tensor<?x64xf32> -> tensor<?x64xf32>
      return %0 : tensor<?x64xf32>
    }
    ```
  }];
  let arguments = (ins Arg<Transformer_FloatTensor, "rows, [tokens, ...]">:$x,
                       Arg<Transformer_BatchType, "which rows are wanted">:$batch);
  let results = (outs Res<Transformer_FloatTensor, "the wanted rows, [outputs, ...]">:$result);
  let assemblyFormat = "$x `batch` `(` $batch `)` attr-dict `:` type($x) `->` type($result)";
  let hasVerifier = 1;
}

#endif // INGOT_DIALECT_TRANSFORMER_OPS_TD
