// The forms of attention: which schedule they write, and why one cannot be taken.
// RUN: ingot-opt %s --pack-attention --canonicalize --form-dispatches --select-schedule | FileCheck %s --check-prefix=AUTO
// RUN: ingot-opt %s --pack-attention --canonicalize --form-dispatches --select-schedule=attention=blocked | FileCheck %s --check-prefix=BLOCKED
// RUN: ingot-opt %s --pack-attention --canonicalize --form-dispatches --select-schedule=attention=math | FileCheck %s --check-prefix=MATH
// RUN: not ingot-opt %s --select-schedule=attention=tiled 2>&1 | FileCheck %s --check-prefix=UNKNOWN
// RUN: not ingot-compile %s -o %t.ingot --attention=tiled 2>&1 | FileCheck %s --check-prefix=OPTION
// RUN: sed -e "s/2x100x8/2x?x8/g" %s > %t1.mlir && not ingot-compile %t1.mlir -o %t.ingot --attention=blocked 2>&1 | FileCheck %s --check-prefix=DYNAMIC
// RUN: sed -e "s/2x100x8/2x40000x8/g" %s > %t2.mlir && not ingot-compile %t2.mlir -o %t.ingot --attention=math 2>&1 | FileCheck %s --check-prefix=LARGE

// AUTO: schedule = #plan.schedule<attention, tileRows = 48>
// BLOCKED: schedule = #plan.schedule<attention, tileRows = 48, keys = 100>
// MATH: schedule = #plan.schedule<attention, tileRows = 100, keys = 100>
// UNKNOWN: form of attention 'tiled': expected auto, math, blocked or flash
// OPTION: --attention=tiled: expected auto, math, blocked or flash
// DYNAMIC: cannot take the form 'blocked': the number of its keys is not known when compiling; give static sizes
// LARGE: cannot take the form 'math': 40000 rows of 40000 scores are more than the 1 GiB that a thread may hold
func.func @f(%q: tensor<2x100x8xf32>) -> tensor<2x100x8xf32> {
  %0 = tfm.attention %q, %q, %q : tensor<2x100x8xf32>, tensor<2x100x8xf32>, tensor<2x100x8xf32> -> tensor<2x100x8xf32>
  return %0 : tensor<2x100x8xf32>
}
