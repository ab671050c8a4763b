// RUN: ingot-opt %s -split-input-file -verify-diagnostics

func.func @parameter_c1() {
  // expected-error @+1 {{expected at least one element and fewer than 2^63, got 'tensor<3x0xf32>'}}
  %0 = tfm.parameter "a" from "m" at 0 : tensor<3x0xf32>
  return
}

// -----

// expected-error @+1 {{expected a block format, got q4_2}}
func.func @block_of_unknown_format(%w: tensor<2x32x!tfm.block<q4_2>>) {
  return
}

// -----

// expected-error @+1 {{expected a block format, got bf16}}
func.func @block_of_floats(%w: tensor<2x32x!tfm.block<bf16>>) {
  return
}

// -----

func.func @parameter_c3() {
  // expected-error @+1 {{expected rows of whole blocks of 32 elements, got 'tensor<2x48x!tfm.block<q4_0>>'}}
  %0 = tfm.parameter "a" from "m" at 0 : tensor<2x48x!tfm.block<q4_0>>
  return
}

// -----

func.func @parameter_elements() {
  // expected-error @+1 {{expected integer or float elements, or blocks, got 'tensor<2xcomplex<f32>>'}}
  %0 = tfm.parameter "a" from "m" at 0 : tensor<2xcomplex<f32>>
  return
}

// -----

func.func @convert_weight_c1(%w: tensor<2x32xf32>) {
  // expected-error @+1 {{expected two tensors of one shape of f32, f16, bf16 or blocks, got}}
  %0 = tfm.convert_weight %w : tensor<2x32xf32> -> tensor<64xf32>
  return
}

// -----

func.func @convert_weight_c1_types(%w: tensor<2x32xf64>) {
  // expected-error @+1 {{expected two tensors of one shape of f32, f16, bf16 or blocks, got}}
  %0 = tfm.convert_weight %w : tensor<2x32xf64> -> tensor<2x32xf32>
  return
}

// -----

func.func @convert_weight_c2(%w: tensor<2x256xf32>) {
  // expected-error @+1 {{expected a result in f32, f16, bf16, q8_0 or q4_0, got}}
  %0 = tfm.convert_weight %w : tensor<2x256xf32> -> tensor<2x256x!tfm.block<q6_k>>
  return
}

// -----

func.func @convert_weight_c1_transposed(%w: tensor<2x32xf32>) {
  // expected-error @+1 {{expected two tensors of one shape, transposed, of f32, f16, bf16 or blocks, got}}
  %0 = tfm.convert_weight %w transposed : tensor<2x32xf32> -> tensor<2x32xbf16>
  return
}

// -----

func.func @convert_weight_c2_rows(%w: tensor<2x32xf32>) {
  // expected-error @+1 {{expected a result in f32, f16, bf16, q8_0 or q4_0, got}}
  %0 = tfm.convert_weight %w : tensor<2x32xf32> -> tensor<2x32x!tfm.block<q8_x>>
  return
}

// -----

func.func @convert_weight_c3(%w: tensor<32x2x!tfm.block<q8_0>>) {
  // expected-error @+1 {{expected rows of whole blocks of 32 elements}}
  %0 = tfm.convert_weight %w : tensor<32x2x!tfm.block<q8_0>> -> tensor<32x2xf32>
  return
}

// -----

func.func @convert_weight_c3_transposed(%w: tensor<32x32x!tfm.block<q8_0>>) {
  // expected-error @+1 {{expected a weight in blocks not to be transposed}}
  %0 = tfm.convert_weight %w transposed : tensor<32x32x!tfm.block<q8_0>> -> tensor<32x32xf32>
  return
}

// -----

func.func @quantize_c1(%x: tensor<4x?xf32>) {
  // expected-error @+1 {{expected rows of static size and a result of their shape in q8_x, got}}
  %0 = tfm.quantize %x : tensor<4x?xf32> -> tensor<4x?x!tfm.block<q8_x>>
  return
}

// -----

func.func @quantize_c1_format(%x: tensor<4x32xf32>) {
  // expected-error @+1 {{expected rows of static size and a result of their shape in q8_x, got}}
  %0 = tfm.quantize %x : tensor<4x32xf32> -> tensor<4x32x!tfm.block<q8_0>>
  return
}

// -----

func.func @linear_c6(%x: tensor<?x32x!tfm.block<q8_x>>, %w: tensor<2x32xbf16>) {
  // expected-error @+1 {{expected rows in blocks to be q8_x and to meet a weight in blocks, got}}
  %0 = tfm.linear %x, %w : tensor<?x32x!tfm.block<q8_x>>, tensor<2x32xbf16> -> tensor<?x2xf32>
  return
}

// -----

func.func @linear_c6_format(%x: tensor<?x32x!tfm.block<q8_0>>, %w: tensor<2x32x!tfm.block<q8_0>>) {
  // expected-error @+1 {{expected rows in blocks to be q8_x and to meet a weight in blocks, got}}
  %0 = tfm.linear %x, %w : tensor<?x32x!tfm.block<q8_0>>, tensor<2x32x!tfm.block<q8_0>> -> tensor<?x2xf32>
  return
}

// -----

func.func @linear_c6_weight(%x: tensor<?x32xf32>, %w: tensor<2x32x!tfm.block<q8_x>>) {
  // expected-error @+1 {{expected a weight in a format of weights, got}}
  %0 = tfm.linear %x, %w : tensor<?x32xf32>, tensor<2x32x!tfm.block<q8_x>> -> tensor<?x2xf32>
  return
}

// -----

func.func @linear_c4_blocks(%x: tensor<?x32xbf16>, %w: tensor<2x32x!tfm.block<q8_0>>) {
  // expected-error @+1 {{expected a result no narrower than its operands}}
  %0 = tfm.linear %x, %w : tensor<?x32xbf16>, tensor<2x32x!tfm.block<q8_0>> -> tensor<?x2xbf16>
  return
}

// -----

func.func @linear_c5(%x: tensor<?x2xf32>, %w: tensor<2x32x!tfm.block<q8_0>>) {
  // expected-error @+1 {{expected a weight in blocks not to be transposed}}
  %0 = tfm.linear %x, %w transposed : tensor<?x2xf32>, tensor<2x32x!tfm.block<q8_0>> -> tensor<?x32xf32>
  return
}

// -----

func.func @scale_weight_c1(%w: tensor<4x8xi8>, %s: tensor<1x1xf32>) {
  // expected-error @+1 {{expected a matrix of f32, f16 or bf16, got 'tensor<4x8xi32>'}}
  %0 = tfm.scale_weight %w, %s blocks(4, 8) : tensor<4x8xi8>, tensor<1x1xf32> -> tensor<4x8xi32>
  return
}

// -----

func.func @scale_weight_c2(%w: tensor<4x3xi8>, %s: tensor<1x1xf32>) {
  // expected-error @+1 {{expected bytes [4, 8] or half as many columns, got 'tensor<4x3xi8>'}}
  %0 = tfm.scale_weight %w, %s blocks(4, 8) : tensor<4x3xi8>, tensor<1x1xf32> -> tensor<4x8xf32>
  return
}

// -----

func.func @scale_weight_c3(%w: tensor<4x8xi8>, %s: tensor<1x2xf32>) {
  // expected-error @+1 {{expected a scale for every block of 3 by 4, got 'tensor<1x2xf32>'}}
  %0 = tfm.scale_weight %w, %s blocks(3, 4) : tensor<4x8xi8>, tensor<1x2xf32> -> tensor<4x8xf32>
  return
}

// -----

func.func @parameter_c2() {
  // expected-error @+1 {{expected an offset of at least 0, got -4}}
  %0 = tfm.parameter "a" from "m" at -4 : tensor<3xf32>
  return
}

// -----

func.func @positions_c1(%x: tensor<4x2xf32>) {
  // expected-error @+1 {{expected one position per row, got 'tensor<4x2xf32>' and 'tensor<5xi32>'}}
  %0 = tfm.positions %x : tensor<4x2xf32> -> tensor<5xi32>
  return
}

// -----

func.func @prompt_lengths_c1(%x: tensor<4x2xf32>) {
  // expected-error @+1 {{expected one length per row, got 'tensor<4x2xf32>' and 'tensor<5xi32>'}}
  %0 = tfm.prompt_lengths %x : tensor<4x2xf32> -> tensor<5xi32>
  return
}

// -----

func.func @embedding_c1(%ids: tensor<4xi32>, %t: tensor<8x3xf32>) {
  // expected-error @+1 {{expected a result of [ids, columns]}}
  %0 = tfm.embedding %ids, %t : tensor<4xi32>, tensor<8x3xf32> -> tensor<4x5xf32>
  return
}

// -----

func.func @embedding_c2(%ids: tensor<4xi32>, %t: tensor<8x3xf32>) {
  // expected-error @+1 {{expected a result no narrower than the table}}
  %0 = tfm.embedding %ids, %t : tensor<4xi32>, tensor<8x3xf32> -> tensor<4x3xf16>
  return
}

// -----

func.func @linear_c1(%x: tensor<4x8xf32>, %w: tensor<6x7xf32>) {
  // expected-error @+1 {{expected rows of the weight's inner size}}
  %0 = tfm.linear %x, %w : tensor<4x8xf32>, tensor<6x7xf32> -> tensor<4x6xf32>
  return
}

// -----

func.func @linear_c2(%x: tensor<4x7xf32>, %w: tensor<6x7xf32>) {
  // expected-error @+1 {{expected a result of the rows' shape with last dimension 6}}
  %0 = tfm.linear %x, %w : tensor<4x7xf32>, tensor<6x7xf32> -> tensor<5x6xf32>
  return
}

// -----

func.func @linear_c3(%x: tensor<4x7xf32>, %w: tensor<6x7xf32>, %b: tensor<7xf32>) {
  // expected-error @+1 {{expected a bias of 6 elements, got 'tensor<7xf32>'}}
  %0 = tfm.linear %x, %w bias(%b : tensor<7xf32>) : tensor<4x7xf32>, tensor<6x7xf32> -> tensor<4x6xf32>
  return
}

// -----

func.func @linear_c4(%x: tensor<4x7xbf16>, %w: tensor<6x7xf16>) {
  // expected-error @+1 {{expected a result no narrower than its operands}}
  %0 = tfm.linear %x, %w : tensor<4x7xbf16>, tensor<6x7xf16> -> tensor<4x6xbf16>
  return
}

// -----

func.func @matmul_c1(%a: tensor<2x4x7xf32>, %b: tensor<3x7x5xf32>) {
  // expected-error @+1 {{expected equal leading dimensions}}
  %0 = tfm.matmul %a, %b : tensor<2x4x7xf32>, tensor<3x7x5xf32> -> tensor<2x4x5xf32>
  return
}

// -----

func.func @matmul_c2(%a: tensor<4x7xf32>, %b: tensor<7x5xf32>) {
  // expected-error @+1 {{expected [M, K] times [K, N] to be [M, N], got 'tensor<4x7xf32>', 'tensor<7x5xf32>' (transposed)}}
  %0 = tfm.matmul %a, %b transpose_b : tensor<4x7xf32>, tensor<7x5xf32> -> tensor<4x5xf32>
  return
}

// -----

func.func @matmul_c3(%a: tensor<4x7xf32>, %b: tensor<7x5xf32>) {
  // expected-error @+1 {{expected a result no narrower than its operands}}
  %0 = tfm.matmul %a, %b : tensor<4x7xf32>, tensor<7x5xf32> -> tensor<4x5xbf16>
  return
}

// -----

func.func @softmax_c1(%x: tensor<4x7xf32>) {
  // expected-error @+1 {{expected a dimension of 'tensor<4x7xf32>', got 2}}
  %0 = tfm.softmax %x dim(2) : tensor<4x7xf32>
  return
}

// -----

func.func @norm_c1(%x: tensor<4x?xf32>) {
  // expected-error @+1 {{expected rows of static size, got 'tensor<4x?xf32>'}}
  %0 = tfm.rms_norm %x eps(0.0) : tensor<4x?xf32>
  return
}

// -----

func.func @norm_weight(%x: tensor<4x8xf32>, %w: tensor<7xf32>) {
  // expected-error @+1 {{expected 8 elements, got 'tensor<7xf32>'}}
  %0 = tfm.layer_norm %x weight(%w : tensor<7xf32>) eps(0.0) : tensor<4x8xf32>
  return
}

// -----

func.func @norm_c2(%x: tensor<4x8xbf16>, %w: tensor<8xf32>) {
  // expected-error @+1 {{expected an operand no wider than 'tensor<4x8xbf16>', got 'tensor<8xf32>'}}
  %0 = tfm.rms_norm %x weight(%w : tensor<8xf32>) eps(0.0) : tensor<4x8xbf16>
  return
}

// -----

func.func @norm_eps(%x: tensor<4x8xf32>) {
  // expected-error @+1 {{expected eps of at least 0}}
  %0 = tfm.rms_norm %x eps(-1.0) : tensor<4x8xf32>
  return
}

// -----

func.func @rotary_c1(%x: tensor<4x2x8xf32>, %c: tensor<4x5xf32>) {
  // expected-error @+1 {{expected heads [S, H, D] and tables [S, R/2] with R at most D}}
  %0 = tfm.rotary %x, %c, %c : tensor<4x2x8xf32>, tensor<4x5xf32>
  return
}

// -----

func.func @rotary_c2(%x: tensor<4x2x8xf32>, %c: tensor<4x4xf64>) {
  // expected-error @+1 {{expected tables of the heads' element type}}
  %0 = tfm.rotary %x, %c, %c : tensor<4x2x8xf32>, tensor<4x4xf64>
  return
}

// -----

func.func @attention_c1(%q: tensor<4x?x8xf32>, %k: tensor<2x?x8xf32>, %v: tensor<1x?x8xf32>) {
  // expected-error @+1 {{expected q [B, H, S, D], k [B, KVH, T, D], v [B, KVH, T, DV] and result [B, H, S, DV], got dimension 0}}
  %0 = tfm.attention %q, %k, %v : tensor<4x?x8xf32>, tensor<2x?x8xf32>, tensor<1x?x8xf32> -> tensor<4x?x8xf32>
  return
}

// -----

func.func @attention_c2(%q: tensor<?x4x8xf32>, %c: !tfm.cache<2x16x8xf32>, %b: !tfm.batch) {
  // expected-error @+1 {{expected queries [tokens, H, 16] and result [tokens, H, 8]}}
  %0 = tfm.attention %q, %c batch(%b) : tensor<?x4x8xf32>, !tfm.cache<2x16x8xf32> -> tensor<?x4x8xf32>
  return
}

// -----

func.func @attention_no_batch(%q: tensor<?x4x8xf32>, %c: !tfm.cache<2x8x8xf32>) {
  // expected-error @+1 {{expected a batch beside the cache}}
  %0 = tfm.attention %q, %c : tensor<?x4x8xf32>, !tfm.cache<2x8x8xf32> -> tensor<?x4x8xf32>
  return
}

// -----

func.func @attention_c3(%q: tensor<4x?x8xf32>, %k: tensor<3x?x8xf32>) {
  // expected-error @+1 {{expected key heads to divide query heads, got 3 and 4}}
  %0 = tfm.attention %q, %k, %k : tensor<4x?x8xf32>, tensor<3x?x8xf32>, tensor<3x?x8xf32> -> tensor<4x?x8xf32>
  return
}

// -----

func.func @attention_c4(%q: tensor<4x?x8xf32>, %s: tensor<3xf32>) {
  // expected-error @+1 {{expected one sink per head, got 'tensor<3xf32>' for 4 heads}}
  %0 = tfm.attention %q, %q, %q sinks(%s : tensor<3xf32>) : tensor<4x?x8xf32>, tensor<4x?x8xf32>, tensor<4x?x8xf32> -> tensor<4x?x8xf32>
  return
}

// -----

func.func @attention_c5(%q: tensor<4x?x8xf32>) {
  // expected-error @+1 {{expected the mask region to yield 'i1'}}
  %0 = tfm.attention %q, %q, %q
    mask {
    ^bb0(%b: index, %h: index, %i: index, %j: index):
      tfm.yield %j : index
    } : tensor<4x?x8xf32>, tensor<4x?x8xf32>, tensor<4x?x8xf32> -> tensor<4x?x8xf32>
  return
}

// -----

func.func @attention_c5_arguments(%q: tensor<4x?x8xf32>) {
  // expected-error @+1 {{expected one block with arguments (f32, index, index, index, index) in the score region}}
  %0 = tfm.attention %q, %q, %q
    score {
    ^bb0(%s: f32, %i: index):
      tfm.yield %s : f32
    } : tensor<4x?x8xf32>, tensor<4x?x8xf32>, tensor<4x?x8xf32> -> tensor<4x?x8xf32>
  return
}

// -----

func.func @attention_both(%q: tensor<4x?x8xf32>) {
  %0 = tfm.attention %q, %q, %q causal
    // expected-error @+1 {{expected a mask region or causal and window, got both}}
    mask {
    ^bb0(%b: index, %h: index, %i: index, %j: index):
      %t = arith.constant true
      tfm.yield %t : i1
    } : tensor<4x?x8xf32>, tensor<4x?x8xf32>, tensor<4x?x8xf32> -> tensor<4x?x8xf32>
  return
}

// -----

func.func @attention_window(%q: tensor<4x?x8xf32>) {
  // expected-error @+1 {{expected a positive window, got 0}}
  %0 = tfm.attention %q, %q, %q window(0) : tensor<4x?x8xf32>, tensor<4x?x8xf32>, tensor<4x?x8xf32> -> tensor<4x?x8xf32>
  return
}

// -----

// expected-error @+1 {{expected heads x key size x value size, got 2 sizes}}
func.func @cache_type(%c: !tfm.cache<2x8xf32>) { return }

// -----

// expected-error @+1 {{expected f32, f16, bf16 or i8 cache elements, got 'i32'}}
func.func @cache_element(%c: !tfm.cache<2x8x8xi32>) { return }

// -----

// expected-error @+1 {{expected values in keys to be at most as long as the keys, got 9 of 8}}
func.func @cache_values(%c: !tfm.cache<2x8x9xf32, values_in_keys>) { return }

// -----

// expected-error @+1 {{expected 'values_in_keys'}}
func.func @cache_keyword(%c: !tfm.cache<2x8x8xf32, values>) { return }

// -----

func.func @cache_append_c2(%c: !tfm.cache<2x8x8xf32, values_in_keys>, %k: tensor<?x2x8xf32>, %b: !tfm.batch) {
  // expected-error @+1 {{expected values unless the cache has them in its keys, got values and '!tfm.cache<2x8x8xf32, values_in_keys>'}}
  %0 = tfm.cache_append %c, %k, %k batch(%b) : !tfm.cache<2x8x8xf32, values_in_keys>, tensor<?x2x8xf32>, tensor<?x2x8xf32>
  return
}

// -----

func.func @cache_append_no_values(%c: !tfm.cache<2x8x8xf32>, %k: tensor<?x2x8xf32>, %b: !tfm.batch) {
  // expected-error @+1 {{expected values unless the cache has them in its keys, got none and}}
  %0 = tfm.cache_append %c, %k batch(%b) : !tfm.cache<2x8x8xf32>, tensor<?x2x8xf32>
  return
}

// -----

func.func @cache_append_keys(%c: !tfm.cache<2x8x8xf32, values_in_keys>, %k: tensor<?x2x7xf32>, %b: !tfm.batch) {
  // expected-error @+1 {{expected keys [tokens, 2, 8], got}}
  %0 = tfm.cache_append %c, %k batch(%b) : !tfm.cache<2x8x8xf32, values_in_keys>, tensor<?x2x7xf32>
  return
}

// -----

func.func @cache_append_c1(%c: !tfm.cache<2x8x8xf32>, %k: tensor<?x2x8xf32>, %v: tensor<?x2x7xf32>, %b: !tfm.batch) {
  // expected-error @+1 {{expected keys [tokens, 2, 8] and values [tokens, 2, 8]}}
  %0 = tfm.cache_append %c, %k, %v batch(%b) : !tfm.cache<2x8x8xf32>, tensor<?x2x8xf32>, tensor<?x2x7xf32>
  return
}

// -----

func.func @gather_outputs_c1(%x: tensor<?x8xf32>, %b: !tfm.batch) {
  // expected-error @+1 {{expected a result of the rows' type with a dynamic dimension 0}}
  %0 = tfm.gather_outputs %x batch(%b) : tensor<?x8xf32> -> tensor<4x8xf32>
  return
}

// -----

func.func @route_c1(%s: tensor<?x8xf32>) {
  // expected-error @+1 {{expected scores [S, E], ids and weights [S, k] with k from 1 to E, got 'tensor<?x8xf32>', 'tensor<?x9xi32>'}}
  %0, %1 = tfm.route %s : tensor<?x8xf32> -> tensor<?x9xi32>, tensor<?x9xf32>
  return
}

// -----

func.func @route_c2(%s: tensor<?x8xf32>, %b: tensor<7xf32>) {
  // expected-error @+1 {{expected a bias of 8 elements, got 'tensor<7xf32>'}}
  %0, %1 = tfm.route %s bias(%b : tensor<7xf32>) : tensor<?x8xf32> -> tensor<?x2xi32>, tensor<?x2xf32>
  return
}

// -----

func.func @route_c3(%s: tensor<?x8xf32>) {
  // expected-error @+1 {{expected groups that divide 8 experts and have room for 3 choices, got groups(4, 1, 1)}}
  %0, %1 = tfm.route %s groups(4, 1, 1) : tensor<?x8xf32> -> tensor<?x3xi32>, tensor<?x3xf32>
  return
}

// -----

func.func @expert_linear_c1(%x: tensor<?x5xf32>, %w: tensor<55x5xf32>) {
  // expected-error @+1 {{expected the matrices of 8 experts, got 'tensor<55x5xf32>'}}
  %0 = tfm.expert_linear %x, %w experts(8) : tensor<?x5xf32>, tensor<55x5xf32> -> tensor<?x8x7xf32>
  return
}

// -----

func.func @expert_linear_c2(%x: tensor<?x5xf32>, %w: tensor<56x5xf32>) {
  // expected-error @+1 {{expected rows [S, 5] or [S, k, 5], ids [S, k] (absent: k is 8) and a result [S, k, 7]}}
  %0 = tfm.expert_linear %x, %w experts(8) : tensor<?x5xf32>, tensor<56x5xf32> -> tensor<?x2x7xf32>
  return
}

// -----

func.func @expert_linear_c3(%x: tensor<?x5xf32>, %w: tensor<56x5xf32>, %b: tensor<7x8xf32>) {
  // expected-error @+1 {{expected a bias [8, 7], got 'tensor<7x8xf32>'}}
  %0 = tfm.expert_linear %x, %w bias(%b : tensor<7x8xf32>) experts(8) : tensor<?x5xf32>, tensor<56x5xf32> -> tensor<?x8x7xf32>
  return
}

// -----

func.func @expert_linear_c4(%x: tensor<?x5xbf16>, %w: tensor<56x5xf16>) {
  // expected-error @+1 {{expected a result no narrower than its operands}}
  %0 = tfm.expert_linear %x, %w experts(8) : tensor<?x5xbf16>, tensor<56x5xf16> -> tensor<?x8x7xbf16>
  return
}

// -----

func.func @expert_linear_c5(%x: tensor<?x5xf32>, %w: tensor<5x64x!tfm.block<q8_0>>) {
  // expected-error @+1 {{expected a weight in blocks not to be transposed}}
  %0 = tfm.expert_linear %x, %w experts(2) transposed : tensor<?x5xf32>, tensor<5x64x!tfm.block<q8_0>> -> tensor<?x2x32xf32>
  return
}

// -----

func.func @combine_c1(%x: tensor<?x2x5xf32>, %w: tensor<?x3xf32>) {
  // expected-error @+1 {{expected rows [S, k, N], weights [S, k] and a result [S, N]}}
  %0 = tfm.combine %x, %w : tensor<?x2x5xf32>, tensor<?x3xf32> -> tensor<?x5xf32>
  return
}

// -----

func.func @combine_c2(%x: tensor<?x2x5xf32>, %w: tensor<?x2xf64>) {
  // expected-error @+1 {{expected operands of the result's element type, got 'tensor<?x2xf64>'}}
  %0 = tfm.combine %x, %w : tensor<?x2x5xf32>, tensor<?x2xf64> -> tensor<?x5xf32>
  return
}
