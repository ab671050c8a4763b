// RUN: ingot-opt %s --pass-pipeline="builtin.module(insert-kv-cache{entry=step},split-phases{entry=step})" | FileCheck %s
// RUN: not ingot-opt %s --insert-kv-cache 2>&1 | FileCheck %s --check-prefix=NONE

// The function to make a step of is found by name; by default it is @forward.
// CHECK-NOT: @step
// CHECK: func.func @prefill(%{{.*}}: tensor<?xi32>, %{{.*}}: !tfm.batch)
// CHECK: func.func @decode(%{{.*}}: tensor<?xi32>, %{{.*}}: !tfm.batch)
// NONE: error: expected a function named 'forward'
func.func @step(%ids: tensor<?xi32>) -> tensor<?x5xf32> {
  %table = tfm.parameter "t" from "m" at 0 : tensor<5x12xf32>
  %x = tfm.embedding %ids, %table : tensor<?xi32>, tensor<5x12xf32> -> tensor<?x12xf32>
  %l = tfm.linear %x, %table : tensor<?x12xf32>, tensor<5x12xf32> -> tensor<?x5xf32>
  return %l : tensor<?x5xf32>
}
