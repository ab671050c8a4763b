// Every operation, type and short name, printed and read back in both forms.
// RUN: ingot-opt %s | ingot-opt | FileCheck %s
// RUN: ingot-opt %s --mlir-print-op-generic | ingot-opt | FileCheck %s

// CHECK-LABEL: func.func @blocks
// CHECK-SAME: (%{{.*}}: tensor<?xi32>, %{{.*}}: tensor<?x256xf32>, %[[W:.*]]: tensor<3x256x!tfm.block<iq2_xxs>>)
func.func @blocks(%ids: tensor<?xi32>, %x: tensor<?x256xf32>, %w: tensor<3x256x!tfm.block<iq2_xxs>>)
    -> (tensor<?x96xf32>, tensor<?x3xf32>) {
  // CHECK: tfm.parameter "a" from "m.gguf" at 7 : tensor<5x96x!tfm.block<q4_1>>
  %t = tfm.parameter "a" from "m.gguf" at 7 : tensor<5x96x!tfm.block<q4_1>>
  // CHECK: tfm.embedding %{{.*}}, %{{.*}} : tensor<?xi32>, tensor<5x96x!tfm.block<q4_1>> -> tensor<?x96xf32>
  %0 = tfm.embedding %ids, %t : tensor<?xi32>, tensor<5x96x!tfm.block<q4_1>> -> tensor<?x96xf32>
  // CHECK: tfm.linear %{{.*}}, %[[W]] : tensor<?x256xf32>, tensor<3x256x!tfm.block<iq2_xxs>> -> tensor<?x3xf32>
  %1 = tfm.linear %x, %w : tensor<?x256xf32>, tensor<3x256x!tfm.block<iq2_xxs>> -> tensor<?x3xf32>
  return %0, %1 : tensor<?x96xf32>, tensor<?x3xf32>
}

// CHECK-LABEL: func.func @scale_weight
func.func @scale_weight(%w: tensor<5x16xi8>, %s: tensor<5x1xi8>, %v: tensor<5x32xi8>, %t: tensor<2x4xbf16>) -> tensor<5x32xf32> {
  // CHECK: tfm.scale_weight %{{.*}}, %{{.*}} blocks(1, 32) : tensor<5x16xi8>, tensor<5x1xi8> -> tensor<5x32xbf16>
  %0 = tfm.scale_weight %w, %s blocks(1, 32) : tensor<5x16xi8>, tensor<5x1xi8> -> tensor<5x32xbf16>
  // CHECK: tfm.scale_weight %{{.*}}, %{{.*}} blocks(3, 8) : tensor<5x32xi8>, tensor<2x4xbf16> -> tensor<5x32xf32>
  %1 = tfm.scale_weight %v, %t blocks(3, 8) : tensor<5x32xi8>, tensor<2x4xbf16> -> tensor<5x32xf32>
  return %1 : tensor<5x32xf32>
}

// CHECK-LABEL: func.func @quantize
func.func @quantize(%x: tensor<?x40xf32>, %w: tensor<3x40x!tfm.block<q4_0>>, %ids: tensor<?x2xi32>) -> (tensor<?x3xf32>, tensor<?x2x1xf32>) {
  // CHECK: %[[Q:.*]] = tfm.quantize %{{.*}} : tensor<?x40xf32> -> tensor<?x40x!tfm.block<q8_x>>
  %q = tfm.quantize %x : tensor<?x40xf32> -> tensor<?x40x!tfm.block<q8_x>>
  // CHECK: tfm.linear %[[Q]], %{{.*}} : tensor<?x40x!tfm.block<q8_x>>, tensor<3x40x!tfm.block<q4_0>> -> tensor<?x3xf32>
  %0 = tfm.linear %q, %w : tensor<?x40x!tfm.block<q8_x>>, tensor<3x40x!tfm.block<q4_0>> -> tensor<?x3xf32>
  // CHECK: tfm.expert_linear %[[Q]], %{{.*}} experts(3) : tensor<?x40x!tfm.block<q8_x>>, tensor<3x40x!tfm.block<q4_0>> -> tensor<?x2x1xf32>
  %1 = tfm.expert_linear %q, %w ids(%ids : tensor<?x2xi32>) experts(3)
    : tensor<?x40x!tfm.block<q8_x>>, tensor<3x40x!tfm.block<q4_0>> -> tensor<?x2x1xf32>
  return %0, %1 : tensor<?x3xf32>, tensor<?x2x1xf32>
}

// CHECK-LABEL: func.func @convert_weight_transposed
func.func @convert_weight_transposed(%w: tensor<40x3xf32>) -> tensor<3x40x!tfm.block<q8_0>> {
  // CHECK: tfm.convert_weight %{{.*}} transposed : tensor<40x3xf32> -> tensor<3x40x!tfm.block<q8_0>>
  %0 = tfm.convert_weight %w transposed : tensor<40x3xf32> -> tensor<3x40x!tfm.block<q8_0>>
  return %0 : tensor<3x40x!tfm.block<q8_0>>
}

// CHECK-LABEL: func.func @convert_weight(
func.func @convert_weight(%w: tensor<2x32x!tfm.block<mxfp4>>) -> tensor<2x32x!tfm.block<q8_0>> {
  // CHECK: tfm.convert_weight %{{.*}} : tensor<2x32x!tfm.block<mxfp4>> -> tensor<2x32xbf16>
  %0 = tfm.convert_weight %w : tensor<2x32x!tfm.block<mxfp4>> -> tensor<2x32xbf16>
  // CHECK: tfm.convert_weight %{{.*}} : tensor<2x32xbf16> -> tensor<2x32x!tfm.block<q8_0>>
  %1 = tfm.convert_weight %0 : tensor<2x32xbf16> -> tensor<2x32x!tfm.block<q8_0>>
  return %1 : tensor<2x32x!tfm.block<q8_0>>
}

// CHECK-LABEL: func.func @parameter
func.func @parameter() -> tensor<3x5xbf16> {
  // CHECK: tfm.parameter "a.b" from "m.safetensors" at 16 : tensor<3x5xbf16>
  %0 = tfm.parameter "a.b" from "m.safetensors" at 16 : tensor<3x5xbf16>
  return %0 : tensor<3x5xbf16>
}

// CHECK-LABEL: func.func @positions
func.func @positions(%ids: tensor<?xi32>, %batch: !tfm.batch) -> (tensor<?xi32>, tensor<?xi32>) {
  // CHECK: tfm.positions %{{.*}} : tensor<?xi32> -> tensor<?xi32>
  %0 = tfm.positions %ids : tensor<?xi32> -> tensor<?xi32>
  // CHECK: tfm.positions %{{.*}} batch(%{{.*}}) : tensor<?xi32> -> tensor<?xi32>
  %1 = tfm.positions %ids batch(%batch) : tensor<?xi32> -> tensor<?xi32>
  return %0, %1 : tensor<?xi32>, tensor<?xi32>
}

// CHECK-LABEL: func.func @prompt_lengths
func.func @prompt_lengths(%ids: tensor<?xi32>, %batch: !tfm.batch) -> (tensor<?xi32>, tensor<?xi32>) {
  // CHECK: tfm.prompt_lengths %{{.*}} : tensor<?xi32> -> tensor<?xi32>
  %0 = tfm.prompt_lengths %ids : tensor<?xi32> -> tensor<?xi32>
  // CHECK: tfm.prompt_lengths %{{.*}} batch(%{{.*}}) : tensor<?xi32> -> tensor<?xi32>
  %1 = tfm.prompt_lengths %ids batch(%batch) : tensor<?xi32> -> tensor<?xi32>
  return %0, %1 : tensor<?xi32>, tensor<?xi32>
}

// CHECK-LABEL: func.func @products
func.func @products(%x: tensor<?x5xf32>, %w: tensor<7x5xf16>, %wt: tensor<5x7xf32>, %b: tensor<7xf16>,
                    %q: tensor<2x?x3xf32>) -> tensor<2x?x?xf32> {
  // CHECK: tfm.linear %{{.*}}, %{{.*}} : tensor<?x5xf32>, tensor<7x5xf16> -> tensor<?x7xf32>
  %0 = tfm.linear %x, %w : tensor<?x5xf32>, tensor<7x5xf16> -> tensor<?x7xf32>
  // CHECK: tfm.linear %{{.*}}, %{{.*}} bias(%{{.*}} : tensor<7xf16>) transposed : tensor<?x5xf32>, tensor<5x7xf32> -> tensor<?x7xf32>
  %1 = tfm.linear %x, %wt bias(%b : tensor<7xf16>) transposed : tensor<?x5xf32>, tensor<5x7xf32> -> tensor<?x7xf32>
  // CHECK: tfm.matmul %{{.*}}, %{{.*}} transpose_b : tensor<2x?x3xf32>, tensor<2x?x3xf32> -> tensor<2x?x?xf32>
  %2 = tfm.matmul %q, %q transpose_b : tensor<2x?x3xf32>, tensor<2x?x3xf32> -> tensor<2x?x?xf32>
  return %2 : tensor<2x?x?xf32>
}

// CHECK-LABEL: func.func @rows
func.func @rows(%ids: tensor<?xi32>, %table: tensor<11x6xf16>, %w: tensor<6xf16>, %h: tensor<?x2x6xf32>,
                %cos: tensor<?x2xf32>) -> tensor<?x6xf32> {
  // CHECK: tfm.embedding %{{.*}}, %{{.*}} : tensor<?xi32>, tensor<11x6xf16> -> tensor<?x6xf32>
  %0 = tfm.embedding %ids, %table : tensor<?xi32>, tensor<11x6xf16> -> tensor<?x6xf32>
  // CHECK: tfm.rms_norm %{{.*}} eps(9.9999999999999995E-7) : tensor<?x6xf32>
  %1 = tfm.rms_norm %0 eps(1.0e-6) : tensor<?x6xf32>
  // CHECK: tfm.layer_norm %{{.*}} weight(%{{.*}} : tensor<6xf16>) bias(%{{.*}} : tensor<6xf16>) eps({{.*}}) : tensor<?x6xf32>
  %2 = tfm.layer_norm %1 weight(%w : tensor<6xf16>) bias(%w : tensor<6xf16>) eps(1.0e-6) : tensor<?x6xf32>
  // CHECK: tfm.layer_norm %{{.*}} bias(%{{.*}} : tensor<6xf16>) eps
  %3 = tfm.layer_norm %2 bias(%w : tensor<6xf16>) eps(1.0e-6) : tensor<?x6xf32>
  // CHECK: tfm.softmax %{{.*}} dim(1) : tensor<?x6xf32>
  %4 = tfm.softmax %3 dim(1) : tensor<?x6xf32>
  // CHECK: tfm.rotary %{{.*}}, %{{.*}}, %{{.*}} interleaved : tensor<?x2x6xf32>, tensor<?x2xf32>
  %5 = tfm.rotary %h, %cos, %cos interleaved : tensor<?x2x6xf32>, tensor<?x2xf32>
  return %4 : tensor<?x6xf32>
}

// CHECK-LABEL: func.func @experts
func.func @experts(%x: tensor<?x5xf32>, %scores: tensor<?x8xf32>, %bias: tensor<8xbf16>, %w: tensor<56x5xbf16>,
                   %wt: tensor<7x40xf16>, %b: tensor<8x5xf32>) -> tensor<?x5xf32> {
  // CHECK: tfm.route %{{.*}} : tensor<?x8xf32> -> tensor<?x3xi32>, tensor<?x3xf32>
  %ids, %weights = tfm.route %scores : tensor<?x8xf32> -> tensor<?x3xi32>, tensor<?x3xf32>
  // CHECK: tfm.route %{{.*}} bias(%{{.*}} : tensor<8xbf16>) groups(4, 2, 2) normalize scale(2.500000e+00) :
  %ids2, %weights2 = tfm.route %scores bias(%bias : tensor<8xbf16>) groups(4, 2, 2) normalize scale(2.5)
    : tensor<?x8xf32> -> tensor<?x3xi32>, tensor<?x3xf32>
  // CHECK: tfm.expert_linear %{{.*}}, %{{.*}} ids(%{{.*}} : tensor<?x3xi32>) experts(8) : tensor<?x5xf32>, tensor<56x5xbf16> -> tensor<?x3x7xf32>
  %0 = tfm.expert_linear %x, %w ids(%ids : tensor<?x3xi32>) experts(8)
    : tensor<?x5xf32>, tensor<56x5xbf16> -> tensor<?x3x7xf32>
  // CHECK: tfm.expert_linear %{{.*}}, %{{.*}} ids(%{{.*}}) bias(%{{.*}} : tensor<8x5xf32>) experts(8) transposed : tensor<?x3x7xf32>, tensor<7x40xf16> -> tensor<?x3x5xf32>
  %1 = tfm.expert_linear %0, %wt ids(%ids : tensor<?x3xi32>) bias(%b : tensor<8x5xf32>) experts(8) transposed
    : tensor<?x3x7xf32>, tensor<7x40xf16> -> tensor<?x3x5xf32>
  // CHECK: tfm.expert_linear %{{.*}}, %{{.*}} experts(8) : tensor<?x5xf32>, tensor<56x5xbf16> -> tensor<?x8x7xf32>
  %2 = tfm.expert_linear %x, %w experts(8) : tensor<?x5xf32>, tensor<56x5xbf16> -> tensor<?x8x7xf32>
  // CHECK: tfm.combine %{{.*}}, %{{.*}} : tensor<?x3x5xf32>, tensor<?x3xf32> -> tensor<?x5xf32>
  %3 = tfm.combine %1, %weights : tensor<?x3x5xf32>, tensor<?x3xf32> -> tensor<?x5xf32>
  // CHECK: tfm.combine %{{.*}}, %{{.*}} base(%{{.*}} : tensor<?x5xf32>) :
  %4 = tfm.combine %1, %weights2 base(%3 : tensor<?x5xf32>) : tensor<?x3x5xf32>, tensor<?x3xf32> -> tensor<?x5xf32>
  return %4 : tensor<?x5xf32>
}

// CHECK-LABEL: func.func @attention_short_names
func.func @attention_short_names(%q: tensor<3x4x?x8xf32>, %k: tensor<3x2x?x8xf32>, %v: tensor<3x2x?x5xf32>, %s: f32,
                                 %sinks: tensor<4xf32>, %slopes: tensor<4xbf16>) -> tensor<3x4x?x5xf32> {
  // CHECK: tfm.attention %{{.*}}, %{{.*}}, %{{.*}} : tensor<3x4x?x8xf32>
  %0 = tfm.attention %q, %k, %v : tensor<3x4x?x8xf32>, tensor<3x2x?x8xf32>, tensor<3x2x?x5xf32> -> tensor<3x4x?x5xf32>
  // CHECK: scale(%{{.*}}) sinks(%{{.*}} : tensor<4xf32>) causal window(17) softcap(5.000000e+01) alibi(%{{.*}} : tensor<4xbf16>) :
  %1 = tfm.attention %q, %k, %v scale(%s) sinks(%sinks : tensor<4xf32>) causal window(17) softcap(50.0) alibi(%slopes : tensor<4xbf16>)
    : tensor<3x4x?x8xf32>, tensor<3x2x?x8xf32>, tensor<3x2x?x5xf32> -> tensor<3x4x?x5xf32>
  // CHECK: tfm.attention %{{.*}}, %{{.*}}, %{{.*}} window(3) : tensor
  %2 = tfm.attention %q, %k, %v window(3) : tensor<3x4x?x8xf32>, tensor<3x2x?x8xf32>, tensor<3x2x?x5xf32> -> tensor<3x4x?x5xf32>
  return %1 : tensor<3x4x?x5xf32>
}

// A region that equals what a short name builds prints as the short name; another one as it is.
// CHECK-LABEL: func.func @attention_regions
func.func @attention_regions(%q: tensor<2x?x8xf32>) -> tensor<2x?x8xf32> {
  // CHECK: tfm.attention %{{.*}}, %{{.*}}, %{{.*}} causal : tensor
  %0 = tfm.attention %q, %q, %q
    mask {
    ^bb0(%b: index, %h: index, %i: index, %j: index):
      %keep = arith.cmpi sle, %j, %i : index
      tfm.yield %keep : i1
    } : tensor<2x?x8xf32>, tensor<2x?x8xf32>, tensor<2x?x8xf32> -> tensor<2x?x8xf32>
  // CHECK: mask {
  // CHECK: arith.cmpi slt
  %1 = tfm.attention %0, %q, %q
    mask {
    ^bb0(%b: index, %h: index, %i: index, %j: index):
      %keep = arith.cmpi slt, %j, %i : index
      tfm.yield %keep : i1
    } : tensor<2x?x8xf32>, tensor<2x?x8xf32>, tensor<2x?x8xf32> -> tensor<2x?x8xf32>
  return %1 : tensor<2x?x8xf32>
}

// CHECK-LABEL: func.func @phase_form
func.func @phase_form(%n: index, %q: tensor<?x4x8xf32>, %k: tensor<?x2x8xf32>, %v: tensor<?x2x5xf32>) -> tensor<?x4x5xf32> {
  // CHECK: %[[BATCH:.*]] = tfm.uniform_batch %{{.*}}, %{{.*}}, %{{.*}}
  %batch = tfm.uniform_batch %n, %n, %n
  // CHECK: tfm.batch_dim %[[BATCH]] pairs {window = 9 : i64}
  %0 = tfm.batch_dim %batch pairs {window = 9 : i64}
  // CHECK: tfm.cache_create %[[BATCH]] : <2x8x5xf32>
  %cache = tfm.cache_create %batch : !tfm.cache<2x8x5xf32>
  // CHECK: tfm.cache_append %{{.*}}, %{{.*}}, %{{.*}} batch(%[[BATCH]]) : <2x8x5xf32>, tensor<?x2x8xf32>, tensor<?x2x5xf32>
  %next = tfm.cache_append %cache, %k, %v batch(%batch) : !tfm.cache<2x8x5xf32>, tensor<?x2x8xf32>, tensor<?x2x5xf32>
  // CHECK: tfm.attention %{{.*}}, %{{.*}} batch(%[[BATCH]]) causal : tensor<?x4x8xf32>, !tfm.cache<2x8x5xf32> -> tensor<?x4x5xf32>
  %o = tfm.attention %q, %next batch(%batch) causal : tensor<?x4x8xf32>, !tfm.cache<2x8x5xf32> -> tensor<?x4x5xf32>
  // CHECK: tfm.cache_append %{{.*}}, %{{.*}} batch(%[[BATCH]]) : <2x8x5xbf16, values_in_keys>, tensor<?x2x8xf32>
  %latent = tfm.cache_create %batch : !tfm.cache<2x8x5xbf16, values_in_keys>
  %later = tfm.cache_append %latent, %k batch(%batch) : !tfm.cache<2x8x5xbf16, values_in_keys>, tensor<?x2x8xf32>
  // CHECK: tfm.packed_row %[[BATCH]][%{{.*}}, %{{.*}}]
  %row = tfm.packed_row %batch[%n, %0]
  // CHECK: tfm.gather_outputs %{{.*}} batch(%[[BATCH]]) : tensor<?x4x5xf32> -> tensor<?x4x5xf32>
  %r = tfm.gather_outputs %o batch(%batch) : tensor<?x4x5xf32> -> tensor<?x4x5xf32>
  return %r : tensor<?x4x5xf32>
}
