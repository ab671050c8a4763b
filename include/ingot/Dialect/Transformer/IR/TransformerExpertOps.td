//===- TransformerExpertOps.td - mixtures of experts ---------------------------*- tablegen -*-===//
#ifndef INGOT_DIALECT_TRANSFORMER_EXPERT_OPS_TD
#define INGOT_DIALECT_TRANSFORMER_EXPERT_OPS_TD

def Transformer_RouteOp : Transformer_Op<"route", [Pure, Reify, Cost, Tokenwise]> {
  let summary = "which experts a token goes to, and with what weights";
  let description = [{
    Every token goes to the `k` experts with the largest *rank*, `rank[e] = scores[t, e] (+ bias[e])`.
    `ids[t, :]` are their numbers in ascending order. The bias decides the choice alone:

    `weights[t, j] = scores[t, ids[t, j]]`, with `normalize` divided by `1e-20 + ` their sum, j
    ascending, and then multiplied by `scale`.

    `groups(g, keep, best)` limits the choice: the experts are `g` groups of neighbours, a group's rank
    is the sum of its `best` largest ranks, and only experts of the `keep` groups of largest rank can
    be chosen.

    How scores come from a router's logits is written before: softmax, sigmoid. A softmax over the
    chosen logits alone is the softmax over all, normalised.

    - C1: `scores` is `[S, E]`, `ids` and `weights` are `[S, k]` with a static k from 1 to E, `weights`
      has the element type of `scores`.
    - C2: `bias` is `[E]`.
    - C3: `g` divides E, `keep` is from 1 to g, `best` from 1 to 2 and at most E / g, and k is at most
      `keep * E / g`.

    Numerics: equal ranks go to the lower number, of experts and of groups; a rank that is not a number
    is -inf. No token is dropped.

    ```mlir
    func.func @f(%scores: tensor<?x8xf32>, %bias: tensor<8xf32>) -> (tensor<?x2xi32>, tensor<?x2xf32>) {
      %ids, %weights = tfm.route %scores bias(%bias : tensor<8xf32>) groups(4, 2, 2) normalize scale(2.5)
        : tensor<?x8xf32> -> tensor<?x2xi32>, tensor<?x2xf32>
      return %ids, %weights : tensor<?x2xi32>, tensor<?x2xf32>
    }
    ```
  }];
  let arguments = (ins
    Arg<2DTensorOf<[F64, F32]>, "of every expert, [S, E]">:$scores,
    Arg<Optional<1DTensorOf<[F64, F32, F16, BF16]>>, "added to the scores for the choice, [E]">:$bias,
    Arg<DefaultValuedAttr<I64Attr, "1">, "groups of experts">:$groups,
    Arg<DefaultValuedAttr<I64Attr, "1">, "groups that are kept">:$keep,
    Arg<DefaultValuedAttr<I64Attr, "1">, "ranks that make up a group's">:$best,
    Arg<UnitAttr, "weights are divided by their sum">:$normalize,
    Arg<DefaultValuedAttr<F64Attr, "1.0">, "factor of the weights">:$scale);
  let results = (outs Res<2DTensorOf<[I32]>, "the chosen experts, ascending, [S, k]">:$ids,
                      Res<2DTensorOf<[F64, F32]>, "their weights, [S, k]">:$weights);
  let assemblyFormat = [{
    $scores (`bias` `(` $bias^ `:` type($bias) `)`)? (`groups` `(` $groups^ `,` $keep `,` $best `)`)?
    (`normalize` $normalize^)? (`scale` `(` $scale^ `)`)? attr-dict
    `:` type($scores) `->` type($ids) `,` type($weights)
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    int64_t getExperts() { return getScores().getType().getDimSize(1); }
    int64_t getChosen() { return getIds().getType().getDimSize(1); }
  }];
}

def Transformer_ExpertLinearOp : Transformer_Op<"expert_linear", [Pure, Reify, Cost, Tokenwise,
    AttrSizedOperandSegments]> {
  let summary = "rows times the matrices of the experts that they go to";
  let description = [{
    `result[t, j, n] = sum over i of row[i] * W_e[n, i] (+ bias[e, n])` with `e = ids[t, j]`, where `row`
    is `x[t, :]`, or `x[t, j, :]` if x has a row for every choice. Without ids, `e = j`: every token
    goes to all experts, which is how a product with a matrix per head is written.

    `weight` is the matrices `W_e` of shape `[N, K]` below each other; with `transposed` they are stored
    `[K, N]` and stand beside each other.

    - C1: `weight` is static, `[E * N, K]` (`[K, E * N]` with `transposed`), where E is `experts`.
    - C2: `x` is `[S, K]` or `[S, k, K]`, `ids` is `[S, k]`, `result` is `[S, k, N]`; without ids, k is E.
    - C3: `bias` is `[E, N]`.
    - C4: no operand's element type is wider than the result's.
    - C5: blocks, of the weight or of x, are as in `tfm.linear`.

    Numerics: as `tfm.linear`, whatever rows are computed together. An id outside 0 to E - 1 is
    undefined behaviour; `tfm.route` makes none.

    ```mlir
    func.func @f(%x: tensor<?x64xf32>, %ids: tensor<?x2xi32>, %w: tensor<768x64xbf16>)
        -> tensor<?x2x96xf32> {
      %0 = tfm.expert_linear %x, %w ids(%ids : tensor<?x2xi32>) experts(8)
        : tensor<?x64xf32>, tensor<768x64xbf16> -> tensor<?x2x96xf32>
      return %0 : tensor<?x2x96xf32>
    }
    ```
  }];
  let arguments = (ins
    Arg<Transformer_Rows, "rows, [S, K] or [S, k, K]">:$x,
    Arg<Transformer_WeightMatrix, "the matrices, [E * N, K]">:$weight,
    Arg<Optional<2DTensorOf<[I32]>>, "the expert of every row, [S, k]">:$ids,
    Arg<Optional<2DTensorOf<[F64, F32, F16, BF16]>>, "[E, N]">:$bias,
    Arg<I64Attr, "number of experts, E">:$experts,
    Arg<UnitAttr, "the matrices are stored [K, N]">:$transposed);
  let results = (outs Res<3DTensorOf<[F64, F32, F16, BF16]>, "[S, k, N]">:$result);
  let assemblyFormat = [{
    $x `,` $weight (`ids` `(` $ids^ `:` type($ids) `)`)? (`bias` `(` $bias^ `:` type($bias) `)`)?
    `experts` `(` $experts `)` (`transposed` $transposed^)? attr-dict
    `:` type($x) `,` type($weight) `->` type($result)
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// Sizes of one expert's matrix.
    int64_t getN() {
      return getWeight().getType().getDimSize(getTransposed() ? 1 : 0) / int64_t(getExperts());
    }
    int64_t getK() { return getWeight().getType().getDimSize(getTransposed() ? 0 : 1); }
    /// Experts that a token goes to.
    int64_t getChosen() { return getType().getDimSize(1); }
    /// Whether x has a row for every choice of a token.
    bool hasRowPerChoice() { return getX().getType().getRank() == 3; }
  }];
}

def Transformer_CombineOp : Transformer_Op<"combine", [Pure, Reify, Cost, Tokenwise]> {
  let summary = "the weighted sum of what experts made of a token";
  let description = [{
    `result[t, n] = base[t, n] + sum over j of weights[t, j] * x[t, j, n]`. The base is what shared
    experts made.

    - C1: `x` is `[S, k, N]`, k static, `weights` is `[S, k]`, `base` and `result` are `[S, N]`.
    - C2: all have one element type.

    Numerics: j ascending, each step one fused multiply-add, from the base, or from +0.

    ```mlir
    func.func @f(%x: tensor<?x2x64xf32>, %w: tensor<?x2xf32>, %shared: tensor<?x64xf32>) -> tensor<?x64xf32> {
      %0 = tfm.combine %x, %w base(%shared : tensor<?x64xf32>)
        : tensor<?x2x64xf32>, tensor<?x2xf32> -> tensor<?x64xf32>
      return %0 : tensor<?x64xf32>
    }
    ```
  }];
  let arguments = (ins
    Arg<3DTensorOf<[F64, F32]>, "a row for every choice, [S, k, N]">:$x,
    Arg<2DTensorOf<[F64, F32]>, "[S, k]">:$weights,
    Arg<Optional<2DTensorOf<[F64, F32]>>, "[S, N]">:$base);
  let results = (outs Res<2DTensorOf<[F64, F32]>, "[S, N]">:$result);
  let assemblyFormat = [{
    $x `,` $weights (`base` `(` $base^ `:` type($base) `)`)? attr-dict
    `:` type($x) `,` type($weights) `->` type($result)
  }];
  let hasVerifier = 1;
}

#endif // INGOT_DIALECT_TRANSFORMER_EXPERT_OPS_TD
