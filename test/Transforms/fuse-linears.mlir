// RUN: ingot-opt %s --fuse-linears --split-input-file | FileCheck %s
// RUN: ingot-opt %s --fuse-linears --split-input-file --verify-numerics -o /dev/null

// CHECK-LABEL: @qkv
// CHECK-SAME: %[[X:[a-z0-9]+]]: tensor<?x8xf32>, %[[Q:[a-z0-9]+]]: tensor<8x8xbf16>, %[[K:[a-z0-9]+]]: tensor<4x8xbf16>, %[[V:[a-z0-9]+]]: tensor<4x8xbf16>
// CHECK: %[[W:.*]] = tensor.concat dim(0) %[[Q]], %[[K]], %[[V]] : {{.*}} -> tensor<16x8xbf16>
// CHECK: %[[Y:.*]] = tfm.linear %[[X]], %[[W]] : tensor<?x8xf32>, tensor<16x8xbf16> -> tensor<?x16xf32>
// CHECK: tensor.extract_slice %[[Y]][0, 0] [%{{.*}}, 8] [1, 1]
// CHECK: tensor.extract_slice %[[Y]][0, 8] [%{{.*}}, 4] [1, 1]
// CHECK: tensor.extract_slice %[[Y]][0, 12] [%{{.*}}, 4] [1, 1]
// CHECK-NOT: tfm.linear
func.func @qkv(%x: tensor<?x8xf32>, %wq: tensor<8x8xbf16>, %wk: tensor<4x8xbf16>,
               %wv: tensor<4x8xbf16>) -> (tensor<?x8xf32>, tensor<?x4xf32>, tensor<?x4xf32>) {
  %q = tfm.linear %x, %wq : tensor<?x8xf32>, tensor<8x8xbf16> -> tensor<?x8xf32>
  %k = tfm.linear %x, %wk : tensor<?x8xf32>, tensor<4x8xbf16> -> tensor<?x4xf32>
  %v = tfm.linear %x, %wv : tensor<?x8xf32>, tensor<4x8xbf16> -> tensor<?x4xf32>
  return %q, %k, %v : tensor<?x8xf32>, tensor<?x4xf32>, tensor<?x4xf32>
}

// -----

// CHECK-LABEL: @transposed_with_bias
// CHECK: tensor.concat dim(1) {{.*}} -> tensor<8x6xf32>
// CHECK: tensor.concat dim(0) {{.*}} -> tensor<6xf32>
// CHECK: tfm.linear %{{.*}}, %{{.*}} bias(%{{.*}} : tensor<6xf32>) transposed
// CHECK-NOT: tfm.linear
func.func @transposed_with_bias(%x: tensor<5x8xf32>, %w0: tensor<8x4xf32>, %w1: tensor<8x2xf32>,
                                %b0: tensor<4xf32>, %b1: tensor<2xf32>)
    -> (tensor<5x4xf32>, tensor<5x2xf32>) {
  %0 = tfm.linear %x, %w0 bias(%b0 : tensor<4xf32>) transposed
    : tensor<5x8xf32>, tensor<8x4xf32> -> tensor<5x4xf32>
  %1 = tfm.linear %x, %w1 bias(%b1 : tensor<2xf32>) transposed
    : tensor<5x8xf32>, tensor<8x2xf32> -> tensor<5x2xf32>
  return %0, %1 : tensor<5x4xf32>, tensor<5x2xf32>
}

// -----

// A parameter that is made after the first linear moves before it.
// CHECK-LABEL: @parameters
// CHECK: tfm.parameter "gate"
// CHECK: tfm.parameter "up"
// CHECK: tensor.concat
// CHECK: tfm.linear
// CHECK-NOT: tfm.linear
func.func @parameters(%x: tensor<5x8xf32>) -> tensor<5x4xf32> {
  %gate = tfm.parameter "gate" from "f" at 0 : tensor<4x8xf32>
  %0 = tfm.linear %x, %gate : tensor<5x8xf32>, tensor<4x8xf32> -> tensor<5x4xf32>
  %up = tfm.parameter "up" from "f" at 128 : tensor<4x8xf32>
  %1 = tfm.linear %x, %up : tensor<5x8xf32>, tensor<4x8xf32> -> tensor<5x4xf32>
  %2 = arith.mulf %0, %1 : tensor<5x4xf32>
  return %2 : tensor<5x4xf32>
}

// -----

// Two and two: the biases decide who goes together.
// CHECK-LABEL: @groups
// CHECK-COUNT-2: tfm.linear
// CHECK-NOT: tfm.linear
func.func @groups(%x: tensor<5x8xf32>, %w0: tensor<4x8xf32>, %w1: tensor<4x8xf32>,
                  %w2: tensor<4x8xf32>, %w3: tensor<4x8xf32>, %b0: tensor<4xf32>,
                  %b1: tensor<4xf32>)
    -> (tensor<5x4xf32>, tensor<5x4xf32>, tensor<5x4xf32>, tensor<5x4xf32>) {
  %0 = tfm.linear %x, %w0 bias(%b0 : tensor<4xf32>)
    : tensor<5x8xf32>, tensor<4x8xf32> -> tensor<5x4xf32>
  %1 = tfm.linear %x, %w1 : tensor<5x8xf32>, tensor<4x8xf32> -> tensor<5x4xf32>
  %2 = tfm.linear %x, %w2 bias(%b1 : tensor<4xf32>)
    : tensor<5x8xf32>, tensor<4x8xf32> -> tensor<5x4xf32>
  %3 = tfm.linear %x, %w3 : tensor<5x8xf32>, tensor<4x8xf32> -> tensor<5x4xf32>
  return %0, %1, %2, %3 : tensor<5x4xf32>, tensor<5x4xf32>, tensor<5x4xf32>, tensor<5x4xf32>
}

// -----

// CHECK-LABEL: @negative_other_input
// CHECK-NOT: tensor.concat
// CHECK: return
func.func @negative_other_input(%x: tensor<5x8xf32>, %y: tensor<5x8xf32>, %w0: tensor<4x8xf32>,
                                %w1: tensor<4x8xf32>) -> (tensor<5x4xf32>, tensor<5x4xf32>) {
  %0 = tfm.linear %x, %w0 : tensor<5x8xf32>, tensor<4x8xf32> -> tensor<5x4xf32>
  %1 = tfm.linear %y, %w1 : tensor<5x8xf32>, tensor<4x8xf32> -> tensor<5x4xf32>
  return %0, %1 : tensor<5x4xf32>, tensor<5x4xf32>
}

// -----

// CHECK-LABEL: @negative_element_types
// CHECK-NOT: tensor.concat
// CHECK: return
func.func @negative_element_types(%x: tensor<5x8xf32>, %w0: tensor<4x8xf32>, %w1: tensor<4x8xbf16>)
    -> (tensor<5x4xf32>, tensor<5x4xf32>) {
  %0 = tfm.linear %x, %w0 : tensor<5x8xf32>, tensor<4x8xf32> -> tensor<5x4xf32>
  %1 = tfm.linear %x, %w1 : tensor<5x8xf32>, tensor<4x8xbf16> -> tensor<5x4xf32>
  return %0, %1 : tensor<5x4xf32>, tensor<5x4xf32>
}

// -----

// CHECK-LABEL: @negative_storage
// CHECK-NOT: tensor.concat
// CHECK: return
func.func @negative_storage(%x: tensor<5x8xf32>, %w0: tensor<8x8xf32>, %w1: tensor<8x8xf32>)
    -> (tensor<5x8xf32>, tensor<5x8xf32>) {
  %0 = tfm.linear %x, %w0 : tensor<5x8xf32>, tensor<8x8xf32> -> tensor<5x8xf32>
  %1 = tfm.linear %x, %w1 transposed : tensor<5x8xf32>, tensor<8x8xf32> -> tensor<5x8xf32>
  return %0, %1 : tensor<5x8xf32>, tensor<5x8xf32>
}

// -----

// Adding a bias of +0 to the linear without one would turn -0 into +0.
// CHECK-LABEL: @negative_one_bias
// CHECK-NOT: tensor.concat
// CHECK: return
func.func @negative_one_bias(%x: tensor<5x8xf32>, %w0: tensor<4x8xf32>, %w1: tensor<4x8xf32>,
                             %b: tensor<4xf32>) -> (tensor<5x4xf32>, tensor<5x4xf32>) {
  %0 = tfm.linear %x, %w0 : tensor<5x8xf32>, tensor<4x8xf32> -> tensor<5x4xf32>
  %1 = tfm.linear %x, %w1 bias(%b : tensor<4xf32>)
    : tensor<5x8xf32>, tensor<4x8xf32> -> tensor<5x4xf32>
  return %0, %1 : tensor<5x4xf32>, tensor<5x4xf32>
}

// -----

// CHECK-LABEL: @negative_shared_weight
// CHECK-NOT: tensor.concat
// CHECK: return
func.func @negative_shared_weight(%x: tensor<5x8xf32>, %ids: tensor<3xi32>, %w0: tensor<4x8xf32>,
                                  %w1: tensor<4x8xf32>)
    -> (tensor<5x4xf32>, tensor<5x4xf32>, tensor<3x8xf32>) {
  %0 = tfm.linear %x, %w0 : tensor<5x8xf32>, tensor<4x8xf32> -> tensor<5x4xf32>
  %1 = tfm.linear %x, %w1 : tensor<5x8xf32>, tensor<4x8xf32> -> tensor<5x4xf32>
  %2 = tfm.embedding %ids, %w1 : tensor<3xi32>, tensor<4x8xf32> -> tensor<3x8xf32>
  return %0, %1, %2 : tensor<5x4xf32>, tensor<5x4xf32>, tensor<3x8xf32>
}

// -----

// CHECK-LABEL: @negative_computed_weight
// CHECK-NOT: tensor.concat
// CHECK: return
func.func @negative_computed_weight(%x: tensor<5x8xf32>, %w0: tensor<4x8xf32>, %w1: tensor<4x8xf32>)
    -> (tensor<5x4xf32>, tensor<5x4xf32>) {
  %w2 = arith.negf %w1 : tensor<4x8xf32>
  %0 = tfm.linear %x, %w0 : tensor<5x8xf32>, tensor<4x8xf32> -> tensor<5x4xf32>
  %1 = tfm.linear %x, %w2 : tensor<5x8xf32>, tensor<4x8xf32> -> tensor<5x4xf32>
  return %0, %1 : tensor<5x4xf32>, tensor<5x4xf32>
}
