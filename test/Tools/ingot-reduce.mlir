// What is left is what the script asks for: one softmax and nothing around it.
// RUN: ingot-reduce %s --test=%S/Inputs/has-softmax.sh 2>%t.err | FileCheck %s
// RUN: FileCheck %s --check-prefix=SIZE < %t.err
// RUN: not ingot-reduce %s --test=false 2>&1 | FileCheck %s --check-prefix=NONE
// RUN: not ingot-reduce %s --test=%t.none 2>&1 | FileCheck %s --check-prefix=SCRIPT
// RUN: not ingot-reduce %s --test=true -o %t.none/out.mlir 2>&1 | FileCheck %s --check-prefix=OUTPUT

// CHECK: func.func @f(%[[X:.*]]: tensor<?x64xf32>) {
// CHECK-NEXT: tfm.softmax %[[X]] dim(1)
// CHECK-NEXT: return
// CHECK-NOT: func.func
// SIZE: size 15 -> 5,
// NONE: error: {{.*}}ingot-reduce.mlir: does not show the problem
// SCRIPT: error: {{.*}}.none: cannot be run
// OUTPUT: error: cannot open output file
func.func @f(%x: tensor<?x64xf32>, %unused: index) -> (tensor<?x64xf32>, tensor<?x64xf32>) {
  %0 = arith.addf %x, %x : tensor<?x64xf32>
  %1 = tfm.softmax %0 dim(1) : tensor<?x64xf32>
  %2 = func.call @body(%1) : (tensor<?x64xf32>) -> tensor<?x64xf32>
  return %2, %0 : tensor<?x64xf32>, tensor<?x64xf32>
}
func.func private @body(%x: tensor<?x64xf32>) -> tensor<?x64xf32> {
  %0 = math.tanh %x : tensor<?x64xf32>
  return %0 : tensor<?x64xf32>
}
