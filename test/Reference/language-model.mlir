// A language model keeps its logits from the plain graph to the plan: by --verify-numerics ...

// RUN: ingot-opt %s --verify-numerics --pass-pipeline="builtin.module(canonicalize,raise-attention,func.func(fuse-linears),insert-kv-cache,canonicalize,split-phases,cse,form-dispatches,select-schedule,plan-buffers)" -o %t.plan.mlir 2> %t.notes
// RUN: FileCheck %s --check-prefix=PLAN < %t.plan.mlir
// RUN: count 0 < %t.notes
// PLAN-DAG: plan.program @prefill
// PLAN-DAG: plan.program @decode

// ... and by comparing what the two ends print, in other steps than the default.

// RUN: ingot-opt %s --tfm-interpret="tokens=3,1,4,1,5,2,6,5,3,5,0 parameters=random digits=9" -o /dev/null > %t.graph
// RUN: ingot-opt %t.plan.mlir --tfm-interpret="tokens=3,1,4,1,5,2,6,5,3,5,0 parameters=random digits=9 prefill=1,5,2" -o /dev/null > %t.plan
// RUN: diff %t.graph %t.plan
// RUN: FileCheck %s --check-prefix=LOGITS < %t.graph
// LOGITS: result 0: 11x7xf32: min

// Bugs that one sequence whose outputs are all wanted would not show.

// RUN: not ingot-opt %s --verify-numerics --pass-pipeline="builtin.module(raise-attention,insert-kv-cache,func.func(test-break-numerics{bug=positions}),split-phases)" -o /dev/null 2>&1 | FileCheck %s --check-prefix=POSITIONS
// RUN: not ingot-opt %s --verify-numerics --pass-pipeline="builtin.module(raise-attention,insert-kv-cache,func.func(test-break-numerics{bug=gather}),split-phases)" -o /dev/null 2>&1 | FileCheck %s --check-prefix=GATHER
// RUN: not ingot-opt %s --verify-numerics --pass-pipeline="builtin.module(raise-attention,insert-kv-cache,split-phases,func.func(test-break-numerics{bug=mask}),form-dispatches)" -o /dev/null 2>&1 | FileCheck %s --check-prefix=MASK
// POSITIONS: error: pass 'test-break-numerics' changes the result: the language model: result 0, element
// GATHER: error: pass 'test-break-numerics' changes the result: the language model cannot be evaluated any more: function 'forward' expected logits of 2 tokens and 2 caches as results, got 5x7xf32 and 2 caches
// MASK: error: pass 'test-break-numerics' changes the result: the language model

func.func private @layer(%x: tensor<?x6xf32>, %wq: tensor<6x6xf32>, %wk: tensor<3x6xf32>, %wv: tensor<3x6xf32>,
                         %factor: f32) -> tensor<?x6xf32> {
  %c0 = arith.constant 0 : index
  %s = tensor.dim %x, %c0 : tensor<?x6xf32>
  %q0 = tfm.linear %x, %wq : tensor<?x6xf32>, tensor<6x6xf32> -> tensor<?x6xf32>
  %k0 = tfm.linear %x, %wk : tensor<?x6xf32>, tensor<3x6xf32> -> tensor<?x3xf32>
  %v0 = tfm.linear %x, %wv : tensor<?x6xf32>, tensor<3x6xf32> -> tensor<?x3xf32>
  %q1 = tensor.expand_shape %q0 [[0], [1, 2]] output_shape [%s, 2, 3] : tensor<?x6xf32> into tensor<?x2x3xf32>
  %k1 = tensor.expand_shape %k0 [[0], [1, 2]] output_shape [%s, 1, 3] : tensor<?x3xf32> into tensor<?x1x3xf32>
  %v1 = tensor.expand_shape %v0 [[0], [1, 2]] output_shape [%s, 1, 3] : tensor<?x3xf32> into tensor<?x1x3xf32>
  %eq = tensor.empty(%s) : tensor<2x?x3xf32>
  %ek = tensor.empty(%s) : tensor<1x?x3xf32>
  %q = linalg.transpose ins(%q1 : tensor<?x2x3xf32>) outs(%eq : tensor<2x?x3xf32>) permutation = [1, 0, 2]
  %k = linalg.transpose ins(%k1 : tensor<?x1x3xf32>) outs(%ek : tensor<1x?x3xf32>) permutation = [1, 0, 2]
  %v = linalg.transpose ins(%v1 : tensor<?x1x3xf32>) outs(%ek : tensor<1x?x3xf32>) permutation = [1, 0, 2]
  %a = tfm.attention %q, %k, %v scale(%factor) causal
    : tensor<2x?x3xf32>, tensor<1x?x3xf32>, tensor<1x?x3xf32> -> tensor<2x?x3xf32>
  %eo = tensor.empty(%s) : tensor<?x2x3xf32>
  %o1 = linalg.transpose ins(%a : tensor<2x?x3xf32>) outs(%eo : tensor<?x2x3xf32>) permutation = [1, 0, 2]
  %o = tensor.collapse_shape %o1 [[0], [1, 2]] : tensor<?x2x3xf32> into tensor<?x6xf32>
  %y = arith.addf %x, %o : tensor<?x6xf32>
  return %y : tensor<?x6xf32>
}

func.func @forward(%ids: tensor<?xi32>) -> tensor<?x7xf32> {
  %e = tfm.parameter "tokens" from "m" at 0 : tensor<7x6xf32>
  %p = tfm.parameter "positions" from "m" at 168 : tensor<16x6xf32>
  %wq0 = tfm.parameter "q0" from "m" at 552 : tensor<6x6xf32>
  %wk0 = tfm.parameter "k0" from "m" at 696 : tensor<3x6xf32>
  %wv0 = tfm.parameter "v0" from "m" at 768 : tensor<3x6xf32>
  %wq1 = tfm.parameter "q1" from "m" at 840 : tensor<6x6xf32>
  %wk1 = tfm.parameter "k1" from "m" at 984 : tensor<3x6xf32>
  %wv1 = tfm.parameter "v1" from "m" at 1056 : tensor<3x6xf32>
  %half = arith.constant 0.5 : f32
  %twelve = arith.constant 12.0 : f32
  %pos = tfm.positions %ids : tensor<?xi32> -> tensor<?xi32>
  %x0 = tfm.embedding %ids, %e : tensor<?xi32>, tensor<7x6xf32> -> tensor<?x6xf32>
  %x1 = tfm.embedding %pos, %p : tensor<?xi32>, tensor<16x6xf32> -> tensor<?x6xf32>
  %x = arith.addf %x0, %x1 : tensor<?x6xf32>
  %y = call @layer(%x, %wq0, %wk0, %wv0, %half)
    : (tensor<?x6xf32>, tensor<6x6xf32>, tensor<3x6xf32>, tensor<3x6xf32>, f32) -> tensor<?x6xf32>
  %z = call @layer(%y, %wq1, %wk1, %wv1, %twelve)
    : (tensor<?x6xf32>, tensor<6x6xf32>, tensor<3x6xf32>, tensor<3x6xf32>, f32) -> tensor<?x6xf32>
  %logits = tfm.linear %z, %e : tensor<?x6xf32>, tensor<7x6xf32> -> tensor<?x7xf32>
  return %logits : tensor<?x7xf32>
}
