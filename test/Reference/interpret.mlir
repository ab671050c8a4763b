// RUN: ingot-opt %s --tfm-interpret="function=constants" -o /dev/null | FileCheck %s --check-prefix=CONSTANTS
// RUN: ingot-opt %s --tfm-interpret="function=causal" -o /dev/null | FileCheck %s --check-prefix=CAUSAL
// RUN: ingot-opt %s --tfm-interpret="function=embed parameters=%S/Inputs" -o /dev/null | FileCheck %s --check-prefix=EMBED
// RUN: ingot-opt %s --tfm-interpret="function=round precision=f64 digits=9" -o /dev/null | FileCheck %s --check-prefix=ROUND64
// RUN: ingot-opt %s --tfm-interpret="function=round precision=f32 digits=9" -o /dev/null | FileCheck %s --check-prefix=ROUND32
// RUN: ingot-opt %s --tfm-interpret="function=dynamic dims=2,3" -o /dev/null | FileCheck %s --check-prefix=DIMS
// RUN: ingot-opt %s --tfm-interpret="function=dynamic seed=2" -o /dev/null | FileCheck %s --check-prefix=DEFAULT
// RUN: ingot-opt %s --tfm-interpret="function=ids dims=3 ids-below=1" -o /dev/null | FileCheck %s --check-prefix=IDS
// RUN: ingot-opt %s --tfm-interpret="function=rows batch-rows=3,4" -o /dev/null | FileCheck %s --check-prefix=BATCH
// RUN: ingot-opt %s --tfm-interpret="function=dynamic dims=40,1 extreme=true" -o /dev/null | FileCheck %s --check-prefix=EXTREME

// What .npy files hold comes back.
// RUN: ingot-opt %s --tfm-interpret="function=dynamic dims=2,3 outputs=%t.npy" -o /dev/null > %t.made
// RUN: ingot-opt %s --tfm-interpret="function=negate inputs=%t.npy" -o /dev/null > %t.read
// RUN: %python -c "import sys; a, b = (open(f).read().split('= ')[1] for f in sys.argv[1:]); assert eval(a) == [[-x for x in r] for r in eval(b)] and len(eval(a)) == 2" %t.made %t.read

// CONSTANTS: result 0: 2x3xf32 = {{\[}}[1.5, -2, 0], [0.25, 1e+06, 4]]
// CONSTANTS: result 1: 3xi32 = [7, -1, 3]
// CONSTANTS: result 2: 2xi1 = [1, 0]
// CONSTANTS: result 3: f32 = 0.1
// CONSTANTS: result 4: index = -4
func.func @constants() -> (tensor<2x3xf32>, tensor<3xi32>, tensor<2xi1>, f32, index) {
  %0 = arith.constant dense<[[1.5, -2.0, 0.0], [0.25, 1.0e6, 4.0]]> : tensor<2x3xf32>
  %1 = arith.constant dense<[7, -1, 3]> : tensor<3xi32>
  %2 = arith.constant dense<[true, false]> : tensor<2xi1>
  %3 = arith.constant 0.1 : f32
  %4 = arith.constant -4 : index
  return %0, %1, %2, %3, %4 : tensor<2x3xf32>, tensor<3xi32>, tensor<2xi1>, f32, index
}

// One head; the first row sees its own value only, the second softmax(1, 2) = (0.268941, 0.731059) of 1 and 3.
// CAUSAL: result 0: 1x2x1xf32 = {{\[\[}}[1], [2.46212]]]
func.func @causal() -> tensor<1x2x1xf32> {
  %q = arith.constant dense<[[[5.0], [1.0]]]> : tensor<1x2x1xf32>
  %k = arith.constant dense<[[[1.0], [2.0]]]> : tensor<1x2x1xf32>
  %v = arith.constant dense<[[[1.0], [3.0]]]> : tensor<1x2x1xf32>
  %0 = tfm.attention %q, %k, %v causal
    : tensor<1x2x1xf32>, tensor<1x2x1xf32>, tensor<1x2x1xf32> -> tensor<1x2x1xf32>
  return %0 : tensor<1x2x1xf32>
}

// The file holds the f16 numbers 1, 2, 3, 4, 5, 6 behind two bytes of something else.
// EMBED: result 0: 2x2xf32 = {{\[}}[5, 6], [1, 2]]
func.func @embed() -> tensor<2x2xf32> {
  %ids = arith.constant dense<[2, 0]> : tensor<2xi32>
  %table = tfm.parameter "table" from "six.bin" at 2 : tensor<3x2xf16>
  %0 = tfm.embedding %ids, %table : tensor<2xi32>, tensor<3x2xf16> -> tensor<2x2xf32>
  return %0 : tensor<2x2xf32>
}

// ROUND64: result 0: bf16 = 0.333333333
// ROUND32: result 0: bf16 = 0.333984375
func.func @round() -> bf16 {
  %one = arith.constant 1.0 : f32
  %three = arith.constant 3.0 : f32
  %0 = arith.divf %one, %three : f32
  %1 = arith.truncf %0 : f32 to bf16
  return %1 : bf16
}

// DIMS: result 0: 2x3xf32 =
// DEFAULT: result 0: 7x7xf32 =
func.func @dynamic(%x: tensor<?x?xf32>) -> tensor<?x?xf32> {
  return %x : tensor<?x?xf32>
}

func.func @negate(%x: tensor<2x?xf32>) -> tensor<2x?xf32> {
  %0 = arith.negf %x : tensor<2x?xf32>
  return %0 : tensor<2x?xf32>
}

// IDS: result 0: 3xi32 = [0, 0, 0]
func.func @ids(%x: tensor<?xi32>) -> tensor<?xi32> {
  return %x : tensor<?xi32>
}

// BATCH: result 0: index = 7
// BATCH: result 1: index = 2
func.func @rows(%batch: !tfm.batch) -> (index, index) {
  %0 = tfm.batch_dim %batch tokens
  %1 = tfm.batch_dim %batch sequences
  return %0, %1 : index, index
}

// Numbers beyond the usual are among them.
// EXTREME: result 0: 40x1xf32 =
// EXTREME-SAME: [-30]
