// A pass that is wrong is found, and only that one.

// RUN: not ingot-opt %s --verify-numerics --pass-pipeline="builtin.module(cse,func.func(canonicalize,test-break-numerics),canonicalize)" 2>&1 | FileCheck %s --check-prefix=SIGN
// RUN: not ingot-opt %s --verify-numerics --pass-pipeline="builtin.module(func.func(test-break-numerics{bug=eps}),canonicalize)" 2>&1 | FileCheck %s --check-prefix=EPS
// RUN: not ingot-opt %s --verify-numerics --pass-pipeline="builtin.module(func.func(test-break-numerics{bug=mask}))" 2>&1 | FileCheck %s --check-prefix=MASK
// RUN: not ingot-opt %s --verify-numerics --pass-pipeline="builtin.module(func.func(test-break-numerics{bug=id}))" 2>&1 | FileCheck %s --check-prefix=ID
// The last pass of the pipeline fails too, and nothing is printed.
// RUN: not ingot-opt %s --verify-numerics --pass-pipeline="builtin.module(func.func(test-break-numerics))" 2>/dev/null | count 0

// Passes that change nothing, and a difference below the tolerance.
// RUN: ingot-opt %s --verify-numerics --pass-pipeline="builtin.module(func.func(test-break-numerics{bug=swap},cse),canonicalize,inline)" 2>&1 | FileCheck %s --check-prefix=RIGHT
// RUN: ingot-opt %s --verify-numerics --verify-numerics-tolerance=1e-4 --pass-pipeline="builtin.module(func.func(test-break-numerics{bug=eps}))" | FileCheck %s --check-prefix=RIGHT

// The control: without the flag nobody notices.
// RUN: ingot-opt %s --pass-pipeline="builtin.module(func.func(test-break-numerics))" | FileCheck %s --check-prefix=RIGHT

// SIGN: error: pass 'test-break-numerics' changes the result: @f on random inputs: result 0, element {{.*}}: expected {{.*}}, got {{.*}}, a difference of {{.*}}; the tolerance is 1e-09
// SIGN-NOT: error
// EPS: error: pass 'test-break-numerics' changes the result: @f on {{random|extreme}} inputs
// MASK: error: pass 'test-break-numerics' changes the result: @g on random inputs: result 0
// ID: error: pass 'test-break-numerics' changes the result: @h on random inputs cannot be evaluated any more: 'tfm.embedding' op expected ids of rows of 5x4xf32, got 1048576
// RIGHT: func.func @f

func.func private @layer(%x: tensor<?x6xf32>, %w: tensor<6xf32>) -> tensor<?x6xf32> {
  %0 = tfm.rms_norm %x weight(%w : tensor<6xf32>) eps(0.1) : tensor<?x6xf32>
  %1 = arith.addf %x, %0 : tensor<?x6xf32>
  return %1 : tensor<?x6xf32>
}

func.func @f(%x: tensor<?x6xf32>, %w: tensor<6xf32>) -> tensor<?x6xf32> {
  %0 = call @layer(%x, %w) : (tensor<?x6xf32>, tensor<6xf32>) -> tensor<?x6xf32>
  return %0 : tensor<?x6xf32>
}

func.func @g(%q: tensor<2x?x6xf32>, %k: tensor<1x?x6xf32>) -> tensor<2x?x6xf32> {
  %0 = tfm.attention %q, %k, %k causal
    : tensor<2x?x6xf32>, tensor<1x?x6xf32>, tensor<1x?x6xf32> -> tensor<2x?x6xf32>
  return %0 : tensor<2x?x6xf32>
}

func.func @h(%ids: tensor<?xi32>) -> tensor<?x4xf32> {
  %table = tfm.parameter "table" from "model.safetensors" at 40 : tensor<5x4xf32>
  %0 = tfm.embedding %ids, %table : tensor<?xi32>, tensor<5x4xf32> -> tensor<?x4xf32>
  return %0 : tensor<?x4xf32>
}
