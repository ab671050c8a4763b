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

def ChooseFormats : Pass<"choose-formats", "::mlir::ModuleOp"> {
  let summary = "decides the number formats of weights and activations";
  let description = [{
    Matrices (of projections and embeddings) whose names match a rule of `weights` are stored in its format; the last
    rule that matches counts, and one without a pattern matches all: `weights=q8,*embed*=bf16`. `q8` and
    `q4` are blocks of 32 numbers with a 16-bit scale, 8.5 and 4.5 bits a number. A matrix that cannot be
    stored so stays as it is, with a remark that says why; one that is stored `[K, N]` is transposed where it
    becomes blocks, and the last block of a row is padded where K is no multiple of 32. With `activations=bf16`
    the rows that meet a matrix are rounded to bf16, with `int8` those that meet one of 8 or fewer bits are
    rounded by `tfm.quantize` and others to bf16; sums stay f32. A row is rounded once for all that read it, and a
    router's are not rounded. `auto` is what most elements of a model's matrices are stored in: f32, bf16 for 16
    bits, int8 for blocks; in a plain graph it is f32. The choice is written into `tfm.model`.

    ```mlir
    func.func @f(%x: tensor<?x64xf32>) -> tensor<?x8xf32> {
      %w = tfm.parameter "w" from "m.safetensors" at 4096 : tensor<8x64xbf16>
      %0 = tfm.linear %x, %w : tensor<?x64xf32>, tensor<8x64xbf16> -> tensor<?x8xf32>
      return %0 : tensor<?x8xf32>
    }
    ```
    becomes, with `weights=q8 activations=bf16`,
    ```mlir
    func.func @f(%x: tensor<?x64xf32>) -> tensor<?x8xf32> {
      %r = arith.truncf %x : tensor<?x64xf32> to tensor<?x64xbf16>
      %w = tfm.parameter "w" from "m.safetensors" at 4096 : tensor<8x64xbf16>
      %q = tfm.convert_weight %w : tensor<8x64xbf16> -> tensor<8x64x!tfm.block<q8_0>>
      %0 = tfm.linear %r, %q : tensor<?x64xbf16>, tensor<8x64x!tfm.block<q8_0>> -> tensor<?x8xf32>
      return %0 : tensor<?x8xf32>
    }
    ```

    Numerics: this is where they change: weights are rounded once, when the artifact is written, rows
    before every product. The other passes are compared with what comes out of this one.
  }];
  let options = [
    ListOption<"weights", "weights", "std::string", "[PATTERN=]FORMAT, the last that matches counts">,
    Option<"activations", "activations", "std::string", "\"f32\"", "auto, f32, bf16 or int8">];
  let statistics = [
    Statistic<"numConverted", "converted", "weights in another format">,
    Statistic<"numKept", "kept", "weights that could not be converted">,
    Statistic<"numRounded", "rounded", "projections of rounded rows">];
  let dependentDialects = ["::mlir::arith::ArithDialect"];
}

def WidenWeights : Pass<"widen-weights", "::mlir::ModuleOp"> {
  let summary = "widens weights in block formats that have no kernel";
  let description = [{
    Every parameter in a block format (`!tfm.block`) is followed by a `tfm.convert_weight` to the narrowest of bf16, f16
    and f32 that holds all its numbers (mxfp4: bf16, tq1_0 and tq2_0: f16), which all its users read instead, and the
    functions that it is passed to take the wide type. q8_0, q4_0, q4_1, q5_0, q5_1,
    q4_k, q5_k and q6_k have kernels of their own and stay. What it costs is a warning for each of the other formats.

    ```mlir
    func.func private @body(%x: tensor<?x64xf32>, %w: tensor<8x64x!tfm.block<iq4_nl>>) -> tensor<?x8xf32> {
      %0 = tfm.linear %x, %w : tensor<?x64xf32>, tensor<8x64x!tfm.block<iq4_nl>> -> tensor<?x8xf32>
      return %0 : tensor<?x8xf32>
    }
    func.func @f(%x: tensor<?x64xf32>) -> tensor<?x8xf32> {
      %w = tfm.parameter "w" from "m.gguf" at 4096 : tensor<8x64x!tfm.block<iq4_nl>>
      %0 = call @body(%x, %w) : (tensor<?x64xf32>, tensor<8x64x!tfm.block<iq4_nl>>) -> tensor<?x8xf32>
      return %0 : tensor<?x8xf32>
    }
    ```
    becomes
    ```mlir
    func.func private @body(%x: tensor<?x64xf32>, %w: tensor<8x64xf32>) -> tensor<?x8xf32> {
      %0 = tfm.linear %x, %w : tensor<?x64xf32>, tensor<8x64xf32> -> tensor<?x8xf32>
      return %0 : tensor<?x8xf32>
    }
    func.func @f(%x: tensor<?x64xf32>) -> tensor<?x8xf32> {
      %w = tfm.parameter "w" from "m.gguf" at 4096 : tensor<8x64x!tfm.block<iq4_nl>>
      %wide = tfm.convert_weight %w : tensor<8x64x!tfm.block<iq4_nl>> -> tensor<8x64xf32>
      %0 = call @body(%x, %wide) : (tensor<?x64xf32>, tensor<8x64xf32>) -> tensor<?x8xf32>
      return %0 : tensor<?x8xf32>
    }
    ```

    Numerics: none change.
  }];
  let statistics = [Statistic<"numWidened", "widened", "parameters that were widened">];
}

def RaiseAttention : Pass<"raise-attention", "::mlir::ModuleOp"> {
  let summary = "turns the mathematics of attention into tfm.attention";
  let description = [{
    Finds what is `softmax(factor * q k^T + f(b, h, i, j)) v` and replaces it by `tfm.attention`. Not
    the operations are matched but the expression that an element is computed from: reshapes,
    transposes, broadcasts and casts disappear into indices first, so where and how often they are
    written makes no difference.

    ```mlir
    func.func @f(%q: tensor<4x?x8xf32>, %k: tensor<4x?x8xf32>, %v: tensor<4x?x8xf32>)
        -> tensor<4x?x8xf32> {
      %c1 = arith.constant 1 : index
      %n = tensor.dim %k, %c1 : tensor<4x?x8xf32>
      %scale = arith.constant 5.000000e-01 : f32
      %s = tfm.matmul %q, %k transpose_b
        : tensor<4x?x8xf32>, tensor<4x?x8xf32> -> tensor<4x?x?xf32>
      %m = tensor.dim %q, %c1 : tensor<4x?x8xf32>
      %factor = tensor.splat %scale[%m, %n] : tensor<4x?x?xf32>
      %t = arith.mulf %s, %factor : tensor<4x?x?xf32>
      %p = tfm.softmax %t dim(2) : tensor<4x?x?xf32>
      %o = tfm.matmul %p, %v : tensor<4x?x?xf32>, tensor<4x?x8xf32> -> tensor<4x?x8xf32>
      return %o : tensor<4x?x8xf32>
    }
    ```
    becomes
    ```mlir
    func.func @f(%q: tensor<4x?x8xf32>, %k: tensor<4x?x8xf32>, %v: tensor<4x?x8xf32>)
        -> tensor<4x?x8xf32> {
      %scale = arith.constant 5.000000e-01 : f32
      %o = tfm.attention %q, %k, %v scale(%scale)
        : tensor<4x?x8xf32>, tensor<4x?x8xf32>, tensor<4x?x8xf32> -> tensor<4x?x8xf32>
      return %o : tensor<4x?x8xf32>
    }
    ```

    *Factors* are found on the queries, the keys and the scores, as products and quotients of
    constants and of scalars known at run time. *Repeated heads* of keys and values are removed:
    they are grouped-query attention. *Masks* are recognised as comparisons of positions, as
    constants (by value: a band around the diagonal is causal or a window), as selections of and sums
    with numbers of -1e9 and below, and as combinations of these. *Scores* may pass through any
    element-wise function; a soft-cap and ALiBi have short names.

    A mask becomes a mask region only where that is the same: a row without a key is 0 in
    `tfm.attention`, while a graph that masks with a finite number takes the mean of all values
    there. Where it is not proved that every row keeps a key, such a mask stays in the score region.
    With -inf a graph gives such a row no value (NaN), and the mask region is used.

    A softmax may itself be written as exponentials divided by their sum; it becomes `tfm.softmax`
    first. Exponentials that are summed up and enter a product, but do not make a softmax, are a site
    that is not raised. Nothing may happen between the softmax and the product with the values but moving elements and
    casts. The reason is in the record for each site that is not raised, see
    `ingot/Transforms/AttentionSites.h`; the record is the module attribute `tfm.attention_sites`.

    Numerics: the same mathematics in another order of operations (online softmax). Roundings of
    scores and probabilities to narrower types are dropped, scores are f32. Several factors are
    multiplied at compile time.
  }];
  let options = [
    Option<"remarks", "remarks", "bool", "false", "emit a remark for every site">,
    Option<"require", "require", "bool", "false",
           "a site that does not become attention is an error">,
  ];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::linalg::LinalgDialect",
                           "::mlir::tensor::TensorDialect", "::ingot::tfm::TransformerDialect"];
  let statistics = [
    Statistic<"numRaised", "raised", "softmaxes that became attention">,
    Statistic<"numNotRaised", "not-raised", "softmaxes that did not">,
    Statistic<"numSoftmaxes", "softmaxes", "softmaxes that were written as exponentials and sums">,
  ];
}

def FuseNorms : Pass<"fuse-norms", "::mlir::func::FuncOp"> {
  let summary = "turns the mathematics of norms into tfm.rms_norm and tfm.layer_norm";
  let description = [{
    Finds rows that are multiplied by one over the root of their mean square (plus eps) and, if there
    is one, by a weight; with the mean taken off before it is layer norm, which can have a bias. The
    mean may be a quotient or a product, the square a product or a power, the root `rsqrt`, `sqrt` or a
    power, the factors in any order.

    ```mlir
    func.func @f(%x: tensor<3x8xf32>, %w: tensor<8xf32>) -> tensor<3x8xf32> {
      %zero = arith.constant dense<0.0> : tensor<3xf32>
      %size = arith.constant dense<8.0> : tensor<3xf32>
      %eps = arith.constant dense<1.0e-5> : tensor<3xf32>
      %square = arith.mulf %x, %x : tensor<3x8xf32>
      %sum = linalg.reduce ins(%square : tensor<3x8xf32>) outs(%zero : tensor<3xf32>) dimensions = [1]
        (%a: f32, %b: f32) { %c = arith.addf %a, %b : f32 linalg.yield %c : f32 }
      %mean = arith.divf %sum, %size : tensor<3xf32>
      %safe = arith.addf %mean, %eps : tensor<3xf32>
      %root = math.rsqrt %safe : tensor<3xf32>
      %empty = tensor.empty() : tensor<3x8xf32>
      %factor = linalg.broadcast ins(%root : tensor<3xf32>) outs(%empty : tensor<3x8xf32>) dimensions = [1]
      %weight = linalg.broadcast ins(%w : tensor<8xf32>) outs(%empty : tensor<3x8xf32>) dimensions = [0]
      %y = arith.mulf %x, %factor : tensor<3x8xf32>
      %z = arith.mulf %y, %weight : tensor<3x8xf32>
      return %z : tensor<3x8xf32>
    }
    ```
    becomes
    ```mlir
    func.func @f(%x: tensor<3x8xf32>, %w: tensor<8xf32>) -> tensor<3x8xf32> {
      %0 = tfm.rms_norm %x weight(%w : tensor<8xf32>) eps(9.9999997473787516E-6) : tensor<3x8xf32>
      return %0 : tensor<3x8xf32>
    }
    ```

    A weight that is computed, `1 + w` say, stays computed and becomes the weight of the norm.

    Numerics: the same mathematics; the sums are in the order of the operations' documentation, and
    the factors are multiplied in their order.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::linalg::LinalgDialect",
                           "::mlir::tensor::TensorDialect", "::ingot::tfm::TransformerDialect"];
  let statistics = [
    Statistic<"numRMSNorms", "rms-norms", "norms that became tfm.rms_norm">,
    Statistic<"numLayerNorms", "layer-norms", "norms that became tfm.layer_norm">,
  ];
}

def FuseRotary : Pass<"fuse-rotary", "::mlir::func::FuncOp"> {
  let summary = "turns the mathematics of rotary embeddings into tfm.rotary";
  let description = [{
    Finds pairs of columns that are turned by an angle, halves or neighbours, in `[S, H, D]`,
    `[H, S, D]` or with a batch: written with slices of x and tables of half the width, or as
    `x * cos + rotate_half(x) * sin` with tables whose repetition is visible. Columns beyond the pairs
    may pass through.

    ```mlir
    func.func @f(%x: tensor<5x3x4xf32>, %cos: tensor<5x2xf32>, %sin: tensor<5x2xf32>) -> tensor<5x3x4xf32> {
      %empty = tensor.empty() : tensor<5x3x2xf32>
      %c = linalg.broadcast ins(%cos : tensor<5x2xf32>) outs(%empty : tensor<5x3x2xf32>) dimensions = [1]
      %s = linalg.broadcast ins(%sin : tensor<5x2xf32>) outs(%empty : tensor<5x3x2xf32>) dimensions = [1]
      %x0 = tensor.extract_slice %x[0, 0, 0] [5, 3, 2] [1, 1, 1] : tensor<5x3x4xf32> to tensor<5x3x2xf32>
      %x1 = tensor.extract_slice %x[0, 0, 2] [5, 3, 2] [1, 1, 1] : tensor<5x3x4xf32> to tensor<5x3x2xf32>
      %a = arith.mulf %x0, %c : tensor<5x3x2xf32>
      %b = arith.mulf %x1, %s : tensor<5x3x2xf32>
      %y0 = arith.subf %a, %b : tensor<5x3x2xf32>
      %d = arith.mulf %x1, %c : tensor<5x3x2xf32>
      %e = arith.mulf %x0, %s : tensor<5x3x2xf32>
      %y1 = arith.addf %d, %e : tensor<5x3x2xf32>
      %y = tensor.concat dim(2) %y0, %y1 : (tensor<5x3x2xf32>, tensor<5x3x2xf32>) -> tensor<5x3x4xf32>
      return %y : tensor<5x3x4xf32>
    }
    ```
    becomes
    ```mlir
    func.func @f(%x: tensor<5x3x4xf32>, %cos: tensor<5x2xf32>, %sin: tensor<5x2xf32>) -> tensor<5x3x4xf32> {
      %0 = tfm.rotary %x, %cos, %sin : tensor<5x3x4xf32>, tensor<5x2xf32>
      return %0 : tensor<5x3x4xf32>
    }
    ```

    Numerics: none change, `tfm.rotary` rounds as these operations do.
  }];
  let dependentDialects = ["::mlir::linalg::LinalgDialect", "::mlir::tensor::TensorDialect",
                           "::ingot::tfm::TransformerDialect"];
  let statistics = [Statistic<"numFused", "fused", "rotary embeddings that became tfm.rotary">];
}

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

def SlideContext : Pass<"slide-context", "::mlir::ModuleOp"> {
  let summary = "limits how far back a language model looks";
  let description = [{
    Makes a model whose context slides out of one with a fixed context: every attention keeps only keys
    fewer than `window` positions back, and row numbers of tables that are computed from positions use
    `min(t, window - 1)`. Rotary angles and ALiBi keep the true position. The result is a definition in its
    own right, with or without a cache and however it is cut into steps.

    ```mlir
    func.func @f(%q: tensor<4x?x8xf32>) -> tensor<4x?x8xf32> {
      %0 = tfm.attention %q, %q, %q causal
        : tensor<4x?x8xf32>, tensor<4x?x8xf32>, tensor<4x?x8xf32> -> tensor<4x?x8xf32>
      return %0 : tensor<4x?x8xf32>
    }
    ```
    becomes, with `window=16`,
    ```mlir
    func.func @f(%q: tensor<4x?x8xf32>) -> tensor<4x?x8xf32> {
      %0 = tfm.attention %q, %q, %q causal window(16)
        : tensor<4x?x8xf32>, tensor<4x?x8xf32>, tensor<4x?x8xf32> -> tensor<4x?x8xf32>
      return %0 : tensor<4x?x8xf32>
    }
    ```

    Numerics: the first `window` positions do not change.
  }];
  let options = [Option<"window", "window", "int64_t", "0", "positions that a query can see">];
  let statistics = [
    Statistic<"numSites", "sites", "attention sites that were limited">,
    Statistic<"numTables", "tables", "tables of learned positions that were limited">,
  ];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::tensor::TensorDialect"];
}

//===----------------------------------------------------------------------===//
// Phase form
//===----------------------------------------------------------------------===//

def InsertShapeChecks : Pass<"insert-shape-checks", "::mlir::func::FuncOp"> {
  let summary = "writes down what a graph assumes of the shapes of its inputs";
  let description = [{
    Types with dynamic dimensions do not say which of them are equal, but operations assume it: element-wise
    operands, keys and values, the inner sizes of a product, the parts of a split dimension; a cast says
    what size there is, a slice that it lies inside (which is an equality, of the lesser of two sizes and
    one of them). Each such equality becomes a `cf.assert`; those that follow from the graph fold away, the others are checked by the runtime before a program
    runs, so that no input can make a kernel read beyond a buffer.

    ```mlir
    func.func @f(%x: tensor<?xf32>, %y: tensor<?xf32>) -> tensor<?xf32> {
      %0 = arith.addf %x, %y : tensor<?xf32>
      return %0 : tensor<?xf32>
    }
    ```
    becomes
    ```mlir
    func.func @f(%x: tensor<?xf32>, %y: tensor<?xf32>) -> tensor<?xf32> {
      %c0 = arith.constant 0 : index
      %n = tensor.dim %x, %c0 : tensor<?xf32>
      %m = tensor.dim %y, %c0 : tensor<?xf32>
      %same = arith.cmpi eq, %n, %m : index
      cf.assert %same, "expected operands of 'arith.addf' that agree in dimensions 0 and 0"
      %0 = arith.addf %x, %y : tensor<?xf32>
      return %0 : tensor<?xf32>
    }
    ```

    Numerics: none change.
  }];
  let statistics = [Statistic<"numChecks", "checks", "equalities that were written down">];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::cf::ControlFlowDialect",
                           "::mlir::tensor::TensorDialect"];
}

def PackAttention : Pass<"pack-attention"> {
  let summary = "runs the attention of dense graphs on packed rows";
  let description = [{
    Brings graph-form attention of plain graphs to phase form: a batch of sequences of equal length, a
    cache that lives for one step. So one attention kernel, with one order of arithmetic, serves
    language models, encoders and bare graphs.

    ```mlir
    func.func @f(%q: tensor<4x?x8xf32>, %k: tensor<2x?x8xf32>) -> tensor<4x?x8xf32> {
      %0 = tfm.attention %q, %k, %k
        : tensor<4x?x8xf32>, tensor<2x?x8xf32>, tensor<2x?x8xf32> -> tensor<4x?x8xf32>
      return %0 : tensor<4x?x8xf32>
    }
    ```
    becomes
    ```mlir
    func.func @f(%q: tensor<4x?x8xf32>, %k: tensor<2x?x8xf32>) -> tensor<4x?x8xf32> {
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %s = tensor.dim %q, %c1 : tensor<4x?x8xf32>
      %t = tensor.dim %k, %c1 : tensor<2x?x8xf32>
      %keys = tfm.uniform_batch %c1, %t, %t
      %queries = tfm.uniform_batch %c1, %s, %t
      %empty = tfm.cache_create %keys : !tfm.cache<2x8x8xf32>
      %k0 = tensor.empty(%t) : tensor<?x2x8xf32>
      %k1 = linalg.transpose ins(%k : tensor<2x?x8xf32>) outs(%k0 : tensor<?x2x8xf32>) permutation = [1, 0, 2]
      %cache = tfm.cache_append %empty, %k1, %k1 batch(%keys)
        : !tfm.cache<2x8x8xf32>, tensor<?x2x8xf32>, tensor<?x2x8xf32>
      %q0 = tensor.empty(%s) : tensor<?x4x8xf32>
      %q1 = linalg.transpose ins(%q : tensor<4x?x8xf32>) outs(%q0 : tensor<?x4x8xf32>) permutation = [1, 0, 2]
      %o = tfm.attention %q1, %cache batch(%queries)
        : tensor<?x4x8xf32>, !tfm.cache<2x8x8xf32> -> tensor<?x4x8xf32>
      %n = tensor.dim %o, %c0 : tensor<?x4x8xf32>
      %r0 = tensor.empty(%n) : tensor<4x?x8xf32>
      %r1 = linalg.transpose ins(%o : tensor<?x4x8xf32>) outs(%r0 : tensor<4x?x8xf32>) permutation = [1, 0, 2]
      return %r1 : tensor<4x?x8xf32>
    }
    ```
    Code generation reads queries, keys and values where they lie: the transpositions cost nothing.

    Numerics: the mathematics does not change; keys and values are rounded to the type of the caches.
  }];
  let options = [
    Option<"cacheType", "cache", "std::string", "\"\"",
           "element type of the caches: f32, bf16, f16 or int8 (default: as the keys)">,
  ];
  let statistics = [Statistic<"numPacked", "packed", "attention operations that were packed">];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::linalg::LinalgDialect",
                           "::mlir::tensor::TensorDialect"];
}

def SplitSource : Pass<"split-source", "::mlir::ModuleOp"> {
  let summary = "computes once what depends on the source alone";
  let description = [{
    An encoder-decoder is two functions: `@encode`, from the ids of the source to its states, and
    `@forward`, from the ids of a text and those states (the argument marked `tfm.source`) to logits. What
    `@forward` computes of the states alone, the keys and values of cross attention, moves to `@encode`:
    those become results of the one and arguments of the other.

    ```mlir
    func.func @encode(%ids: tensor<?xi32>) -> tensor<?x8xf32> {
      %w = tfm.parameter "e" from "m.safetensors" at 0 : tensor<32x8xf32>
      %0 = tfm.embedding %ids, %w : tensor<?xi32>, tensor<32x8xf32> -> tensor<?x8xf32>
      return %0 : tensor<?x8xf32>
    }
    func.func private @keys(%x: tensor<?x8xf32>) -> tensor<?x8xf32> {
      %0 = arith.negf %x : tensor<?x8xf32>
      return %0 : tensor<?x8xf32>
    }
    func.func private @layer(%x: tensor<?x8xf32>, %k: tensor<?x8xf32>) -> tensor<?x8xf32>
    func.func @forward(%x: tensor<?x8xf32>, %s: tensor<?x8xf32> {tfm.source}) -> tensor<?x8xf32> {
      %k = call @keys(%s) : (tensor<?x8xf32>) -> tensor<?x8xf32>
      %0 = call @layer(%x, %k) : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
      return %0 : tensor<?x8xf32>
    }
    ```
    becomes
    ```mlir
    func.func @encode(%ids: tensor<?xi32>) -> (tensor<?x8xf32>, tensor<?x8xf32> {tfm.source}) {
      %w = tfm.parameter "e" from "m.safetensors" at 0 : tensor<32x8xf32>
      %0 = tfm.embedding %ids, %w : tensor<?xi32>, tensor<32x8xf32> -> tensor<?x8xf32>
      %k = call @keys(%0) : (tensor<?x8xf32>) -> tensor<?x8xf32>
      return %0, %k : tensor<?x8xf32>, tensor<?x8xf32>
    }
    func.func private @keys(%x: tensor<?x8xf32>) -> tensor<?x8xf32> {
      %0 = arith.negf %x : tensor<?x8xf32>
      return %0 : tensor<?x8xf32>
    }
    func.func private @layer(%x: tensor<?x8xf32>, %k: tensor<?x8xf32>) -> tensor<?x8xf32>
    func.func @forward(%x: tensor<?x8xf32>, %k: tensor<?x8xf32> {tfm.source}) -> tensor<?x8xf32> {
      %0 = call @layer(%x, %k) : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
      return %0 : tensor<?x8xf32>
    }
    ```

    Numerics: none change.
  }];
  let statistics = [Statistic<"numValues", "values", "values that the encoder computes for the decoder">];
}

def InsertKVCache : Pass<"insert-kv-cache", "::mlir::ModuleOp"> {
  let summary = "packs the tokens of several sequences and gives attention a cache";
  let description = [{
    Turns an entry point on one whole sequence into a step on packed tokens of several sequences: it and
    its callees get a `!tfm.batch`, positions come from the batch, and every attention site appends its
    keys and values to a `!tfm.cache` and reads them from it. Caches are arguments and results, in the
    order of the sites. The rows whose outputs are wanted are gathered before the last row operations,
    so that the head runs on those alone.

    It proves first that every operation but attention keeps tokens apart (`TokenwiseOpInterface`, maps
    of `linalg` operations, reshapes) and that every attention is causal; what cannot be proved is an
    error at the operation. With `transient` the caches live for one step, which then holds whole
    sequences: attention need not be causal, and no cache is an argument.

    Keys and values of the source of a sequence (arguments and results marked `tfm.source`, as
    `split-source` leaves them) are stored in caches too: the function that computes them appends to
    those, others read them. They do not grow with the sequence.

    ```mlir
    func.func @forward(%x: tensor<?x4x8xf32>) -> tensor<?x4x8xf32> {
      %c0 = arith.constant 0 : index
      %s = tensor.dim %x, %c0 : tensor<?x4x8xf32>
      %e = tensor.empty(%s) : tensor<4x?x8xf32>
      %t = linalg.transpose ins(%x : tensor<?x4x8xf32>) outs(%e : tensor<4x?x8xf32>) permutation = [1, 0, 2]
      %o = tfm.attention %t, %t, %t causal
        : tensor<4x?x8xf32>, tensor<4x?x8xf32>, tensor<4x?x8xf32> -> tensor<4x?x8xf32>
      %f = tensor.empty(%s) : tensor<?x4x8xf32>
      %r = linalg.transpose ins(%o : tensor<4x?x8xf32>) outs(%f : tensor<?x4x8xf32>) permutation = [1, 0, 2]
      return %r : tensor<?x4x8xf32>
    }
    ```
    becomes, after canonicalisation,
    ```mlir
    func.func @forward(%x: tensor<?x4x8xf32>, %batch: !tfm.batch, %cache: !tfm.cache<4x8x8xf32>)
        -> (tensor<?x4x8xf32>, !tfm.cache<4x8x8xf32>) {
      %next = tfm.cache_append %cache, %x, %x batch(%batch)
        : !tfm.cache<4x8x8xf32>, tensor<?x4x8xf32>, tensor<?x4x8xf32>
      %o = tfm.attention %x, %next batch(%batch) causal
        : tensor<?x4x8xf32>, !tfm.cache<4x8x8xf32> -> tensor<?x4x8xf32>
      %r = tfm.gather_outputs %o batch(%batch) : tensor<?x4x8xf32> -> tensor<?x4x8xf32>
      return %r, %next : tensor<?x4x8xf32>, !tfm.cache<4x8x8xf32>
    }
    ```

    Numerics: the mathematics does not change; keys and values are rounded to the type of the caches.
  }];
  let options = [
    Option<"entryName", "entry", "std::string", "\"forward\"",
           "the function to turn into a step; empty: every public one">,
    Option<"transient", "transient", "bool", "false", "caches live for one step">,
    Option<"roundQueries", "round-queries", "bool", "false",
           "queries of f32 are rounded to bf16 where the cache is bf16: both are then multiplied in pairs">,
    Option<"cacheType", "cache", "std::string", "\"\"",
           "element type of the caches: f32, bf16, f16 or int8 (default: as the keys)">,
  ];
  let statistics = [Statistic<"numSites", "sites", "attention sites that read a cache">];
  let dependentDialects = ["::mlir::linalg::LinalgDialect", "::mlir::tensor::TensorDialect",
                           "::ingot::tfm::TransformerDialect"];
}

def CheckCaches : Pass<"check-caches"> {
  let summary = "proves that no version of a cache is copied";
  let description = [{
    A `!tfm.cache` is a linear handle: every version is appended to at most once, and read before that. Then
    the next version can take its place in memory, and no cache is ever copied. The pass changes nothing;
    what breaks the rule is an error at the operation.

    ```mlir
    func.func @f(%k: tensor<?x2x4xf32>, %c: !tfm.cache<2x4x4xf32>, %b: !tfm.batch) -> !tfm.cache<2x4x4xf32> {
      %0 = tfm.cache_append %c, %k, %k batch(%b) : !tfm.cache<2x4x4xf32>, tensor<?x2x4xf32>, tensor<?x2x4xf32>
      return %0 : !tfm.cache<2x4x4xf32>
    }
    ```

    Numerics: none change.
  }];
  let statistics = [Statistic<"numVersions", "versions", "versions of caches that were checked">];
}

def SplitPhases : Pass<"split-phases", "::mlir::ModuleOp"> {
  let summary = "makes prefill and decode of a step";
  let description = [{
    Copies an entry point and its callees into `prefill`, which feeds any number of tokens of each
    sequence, and `decode`, which feeds one token of each: there every row is wanted, so gathering rows
    is the identity. Later passes choose schedules per phase.

    ```mlir
    func.func @forward(%x: tensor<?x8xf32>, %batch: !tfm.batch) -> tensor<?x8xf32> {
      %0 = tfm.gather_outputs %x batch(%batch) : tensor<?x8xf32> -> tensor<?x8xf32>
      return %0 : tensor<?x8xf32>
    }
    ```
    becomes
    ```mlir
    func.func @prefill(%x: tensor<?x8xf32>, %batch: !tfm.batch) -> tensor<?x8xf32> {
      %0 = tfm.gather_outputs %x batch(%batch) : tensor<?x8xf32> -> tensor<?x8xf32>
      return %0 : tensor<?x8xf32>
    }
    func.func @decode(%x: tensor<?x8xf32>, %batch: !tfm.batch) -> tensor<?x8xf32> {
      return %x : tensor<?x8xf32>
    }
    ```

    Numerics: none change.
  }];
  let options = [
    Option<"entryName", "entry", "std::string", "\"forward\"", "the step">,
  ];
  let statistics = [Statistic<"numFunctions", "functions", "functions that were copied">];
}

def FormDispatches : Pass<"form-dispatches", "::mlir::ModuleOp"> {
  let summary = "cuts functions into dispatches of outlined kernels";
  let description = [{
    Every linear on a weight, every attention on a cache and every append becomes a kernel; a linear
    takes in the element-wise operations that follow it, attention and appends the light operations
    that make their operands. What remains becomes kernels over rows. A light value is stored only
    where a heavy kernel reads its rows, where it leaves the function or where computing it again in
    every reader would cost more; else its operations are cloned into the readers. Equal kernels are one.

    ```mlir
    func.func @f(%x: tensor<?x8xf32>, %y: tensor<?x8xf32>) -> tensor<?x8xf32> {
      %w = tfm.parameter "w" from "m.safetensors" at 0 : tensor<8x8xf32>
      %0 = tfm.linear %x, %w : tensor<?x8xf32>, tensor<8x8xf32> -> tensor<?x8xf32>
      %1 = arith.addf %y, %0 : tensor<?x8xf32>
      return %1 : tensor<?x8xf32>
    }
    ```
    becomes
    ```mlir
    plan.kernel @linear(%x: tensor<?x8xf32>, %w: tensor<8x8xf32>, %y: tensor<?x8xf32>) -> tensor<?x8xf32>
        attributes {schedule = #plan.schedule<linear>} {
      %0 = tfm.linear %x, %w : tensor<?x8xf32>, tensor<8x8xf32> -> tensor<?x8xf32>
      %1 = arith.addf %y, %0 : tensor<?x8xf32>
      plan.yield %1 : tensor<?x8xf32>
    }
    func.func @f(%x: tensor<?x8xf32>, %y: tensor<?x8xf32>) -> tensor<?x8xf32> {
      %c0 = arith.constant 0 : index
      %w = tfm.parameter "w" from "m.safetensors" at 0 : tensor<8x8xf32>
      %n = tensor.dim %y, %c0 : tensor<?x8xf32>
      %0 = plan.dispatch @linear(%x, %w, %y) sizes(%n) : (tensor<?x8xf32>, tensor<8x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
      return %0 : tensor<?x8xf32>
    }
    ```

    Numerics: none change; a value that is computed twice is computed alike.
  }];
  let statistics = [
    Statistic<"numDispatches", "dispatches", "dispatches that were formed">,
    Statistic<"numKernels", "kernels", "different kernels">,
    Statistic<"numFused", "fused", "operations taken into the epilogue of a linear">,
  ];
  let dependentDialects = ["::ingot::plan::PlanDialect", "::mlir::arith::ArithDialect",
                           "::mlir::tensor::TensorDialect"];
}

def SelectSchedule : Pass<"select-schedule", "::mlir::ModuleOp"> {
  let summary = "decides how kernels are generated and weights are packed";
  let description = [{
    Writes the decisions that code generation obeys: the packed layout of every weight matrix (one copy for
    all kernels that read it, also for a table that is both embedding and head; the halves of a gated
    feed-forward network side by side in a panel), how many queries an item of attention has, and the form
    of attention: `flash` (blocks of keys with online softmax; the default), `blocked` (blocks of queries
    with whole rows of scores) or `math` (the whole matrix of scores of a head in memory between its
    three steps). The latter two need a bound of the number of keys: static sizes, or a model's context.

    ```mlir
    plan.kernel @linear(%x: tensor<?x8xf32>, %w: tensor<8x8xf32>) -> tensor<?x8xf32>
        attributes {schedule = #plan.schedule<linear>} {
      %0 = tfm.linear %x, %w : tensor<?x8xf32>, tensor<8x8xf32> -> tensor<?x8xf32>
      plan.yield %0 : tensor<?x8xf32>
    }
    func.func @f(%x: tensor<?x8xf32>) -> tensor<?x8xf32> {
      %c0 = arith.constant 0 : index
      %w = tfm.parameter "w" from "m.safetensors" at 0 : tensor<8x8xf32>
      %n = tensor.dim %x, %c0 : tensor<?x8xf32>
      %0 = plan.dispatch @linear(%x, %w) sizes(%n) : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x8xf32>
      return %0 : tensor<?x8xf32>
    }
    ```
    becomes
    ```mlir
    plan.kernel @linear(%x: tensor<?x8xf32>, %w: tensor<8x8xf32, #plan.panels<64, 1>>) -> tensor<?x8xf32>
        attributes {schedule = #plan.schedule<linear>} {
      %0 = tfm.linear %x, %w : tensor<?x8xf32>, tensor<8x8xf32, #plan.panels<64, 1>> -> tensor<?x8xf32>
      plan.yield %0 : tensor<?x8xf32>
    }
    func.func @f(%x: tensor<?x8xf32>) -> tensor<?x8xf32> {
      %c0 = arith.constant 0 : index
      %w = tfm.parameter "w" from "m.safetensors" at 0 : tensor<8x8xf32>
      %n = tensor.dim %x, %c0 : tensor<?x8xf32>
      %p = plan.pack %w : tensor<8x8xf32> -> tensor<8x8xf32, #plan.panels<64, 1>>
      %0 = plan.dispatch @linear(%x, %p) sizes(%n) : (tensor<?x8xf32>, tensor<8x8xf32, #plan.panels<64, 1>>) -> tensor<?x8xf32>
      return %0 : tensor<?x8xf32>
    }
    ```

    Numerics: forms of attention differ in the last places; nothing else changes a bit of the result.
  }];
  let options = [
    Option<"attentionForm", "attention", "std::string", "\"auto\"",
           "form of attention: auto, math, blocked or flash">,
  ];
  let statistics = [
    Statistic<"numPacked", "packed", "weights of dispatches that are packed">,
    Statistic<"numShared", "shared", "embedding tables that share the head's packed copy">,
  ];
  let dependentDialects = ["::ingot::plan::PlanDialect"];
}

def PlanBuffers : Pass<"plan-buffers", "::mlir::ModuleOp"> {
  let summary = "flattens functions into programs and gives every value a slot";
  let description = [{
    Every public function becomes a `plan.program`: calls are replaced by the dispatches of the callee, every
    size is expressed by dimensions of inputs and sizes of batches, dispatches get their grid and cost, values
    whose lives do not overlap share slots of the arena (the largest choose first, so no slot grows), and caches get their place in the pages of a group
    (sites with the same sliding window share a page table). Every result is memory of its own that a dispatch
    writes: an argument, a constant or a value that is returned again is copied.

    ```mlir
    plan.kernel @neg(%x: tensor<?x8xf32>) -> tensor<?x8xf32> attributes {schedule = #plan.schedule<rows>} {
      %0 = arith.negf %x : tensor<?x8xf32>
      plan.yield %0 : tensor<?x8xf32>
    }
    func.func @f(%x: tensor<?x8xf32>) -> tensor<?x8xf32> {
      %c0 = arith.constant 0 : index
      %n = tensor.dim %x, %c0 : tensor<?x8xf32>
      %0 = plan.dispatch @neg(%x) sizes(%n) : (tensor<?x8xf32>) -> tensor<?x8xf32>
      %m = tensor.dim %0, %c0 : tensor<?x8xf32>
      %1 = plan.dispatch @neg(%0) sizes(%m) : (tensor<?x8xf32>) -> tensor<?x8xf32>
      return %1 : tensor<?x8xf32>
    }
    ```
    becomes
    ```mlir
    plan.kernel @neg(%x: tensor<?x8xf32>) -> tensor<?x8xf32> attributes {schedule = #plan.schedule<rows>} {
      %0 = arith.negf %x : tensor<?x8xf32>
      plan.yield %0 : tensor<?x8xf32>
    }
    plan.program @f(%x: tensor<?x8xf32> {plan.name = "arg0"}) -> (tensor<?x8xf32> {plan.name = "result0"}) {
      %c0 = arith.constant 0 : index
      %n = tensor.dim %x, %c0 : tensor<?x8xf32>
      %0 = plan.dispatch @neg(%x) sizes(%n) grid(%n) slots [0] cost(%n) classes [2] coefficients [64]
        : (tensor<?x8xf32>) -> tensor<?x8xf32>
      %1 = plan.dispatch @neg(%0) sizes(%n) grid(%n) slots [-1] cost(%n) classes [2] coefficients [64]
        : (tensor<?x8xf32>) -> tensor<?x8xf32>
      %c32 = arith.constant 32 : index
      %b = arith.muli %n, %c32 : index
      plan.slot 0 bytes(%b)
      plan.yield %1 : tensor<?x8xf32>
    }
    ```

    Numerics: none change.
  }];
  let statistics = [
    Statistic<"numPrograms", "programs", "programs that were made">,
    Statistic<"numSlots", "slots", "slots of all programs">,
  ];
  let dependentDialects = ["::ingot::plan::PlanDialect", "::mlir::arith::ArithDialect",
                           "::mlir::tensor::TensorDialect"];
}

#endif // INGOT_TRANSFORMS_PASSES_TD
