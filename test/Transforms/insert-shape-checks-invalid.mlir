// RUN: ingot-opt %s --split-input-file --pass-pipeline="builtin.module(func.func(insert-shape-checks))" --verify-diagnostics -o /dev/null

func.func @negative_offset(%a: tensor<?x3xf32>) -> tensor<1x3xf32> {
  %c = arith.constant -5 : index
  // expected-error@+1 {{'tensor.extract_slice' takes -5 in dimension 0: expected offsets and sizes from 0, strides from 1, all below 2^31}}
  %0 = tensor.extract_slice %a[%c, 0] [1, 3] [1, 1] : tensor<?x3xf32> to tensor<1x3xf32>
  return %0 : tensor<1x3xf32>
}

// -----

func.func @backwards(%a: tensor<6x3xf32>) -> tensor<2x3xf32> {
  // expected-error@+1 {{'tensor.extract_slice' takes -3 in dimension 0}}
  %0 = tensor.extract_slice %a[5, 0] [2, 3] [-3, 1] : tensor<6x3xf32> to tensor<2x3xf32>
  return %0 : tensor<2x3xf32>
}

// -----

func.func @far_beyond(%a: tensor<?x3xf32>) -> tensor<1x3xf32> {
  // expected-error@+1 {{'tensor.extract_slice' takes 9223372036854775807 in dimension 0}}
  %0 = tensor.extract_slice %a[9223372036854775807, 0] [1, 3] [1, 1] : tensor<?x3xf32> to tensor<1x3xf32>
  return %0 : tensor<1x3xf32>
}
