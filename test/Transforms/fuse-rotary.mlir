// RUN: ingot-opt %s --fuse-rotary --split-input-file | FileCheck %s
// RUN: ingot-opt %s --fuse-rotary --split-input-file --verify-numerics -o /dev/null

// CHECK-LABEL: @halves
// CHECK-SAME: %[[X:[a-z0-9]+]]: tensor<5x3x4xf32>, %[[C:[a-z0-9]+]]: tensor<5x2xf32>, %[[S:[a-z0-9]+]]: tensor<5x2xf32>
// CHECK-NEXT: %[[Y:.*]] = tfm.rotary %[[X]], %[[C]], %[[S]] : tensor<5x3x4xf32>, tensor<5x2xf32>
// CHECK-NEXT: return %[[Y]]
func.func @halves(%x: tensor<5x3x4xf32>, %cos: tensor<5x2xf32>, %sin: tensor<5x2xf32>) -> tensor<5x3x4xf32> {
  %empty = tensor.empty() : tensor<5x3x2xf32>
  %c = linalg.broadcast ins(%cos : tensor<5x2xf32>) outs(%empty : tensor<5x3x2xf32>) dimensions = [1]
  %s = linalg.broadcast ins(%sin : tensor<5x2xf32>) outs(%empty : tensor<5x3x2xf32>) dimensions = [1]
  %x0 = tensor.extract_slice %x[0, 0, 0] [5, 3, 2] [1, 1, 1] : tensor<5x3x4xf32> to tensor<5x3x2xf32>
  %x1 = tensor.extract_slice %x[0, 0, 2] [5, 3, 2] [1, 1, 1] : tensor<5x3x4xf32> to tensor<5x3x2xf32>
  %a = arith.mulf %x0, %c : tensor<5x3x2xf32>
  %b = arith.mulf %x1, %s : tensor<5x3x2xf32>
  %y0 = arith.subf %a, %b : tensor<5x3x2xf32>
  %d = arith.mulf %x1, %c : tensor<5x3x2xf32>
  %e = arith.mulf %x0, %s : tensor<5x3x2xf32>
  %y1 = arith.addf %e, %d : tensor<5x3x2xf32>
  %y = tensor.concat dim(2) %y0, %y1 : (tensor<5x3x2xf32>, tensor<5x3x2xf32>) -> tensor<5x3x4xf32>
  return %y : tensor<5x3x4xf32>
}

// -----

// x * cos + rotate_half(x) * sin with tables that are repeated, dynamic rows.
// CHECK-LABEL: @rotate_half
// CHECK-SAME: %[[X:[a-z0-9]+]]: tensor<?x3x4xf32>, %[[C:[a-z0-9]+]]: tensor<?x2xf32>, %[[S:[a-z0-9]+]]: tensor<?x2xf32>
// CHECK: %[[Y:.*]] = tfm.rotary %[[X]], %[[C]], %[[S]] : tensor<?x3x4xf32>, tensor<?x2xf32>
// CHECK-NEXT: return %[[Y]]
func.func @rotate_half(%x: tensor<?x3x4xf32>, %cos: tensor<?x2xf32>, %sin: tensor<?x2xf32>) -> tensor<?x3x4xf32> {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?x3x4xf32>
  %cc = tensor.concat dim(1) %cos, %cos : (tensor<?x2xf32>, tensor<?x2xf32>) -> tensor<?x4xf32>
  %ss = tensor.concat dim(1) %sin, %sin : (tensor<?x2xf32>, tensor<?x2xf32>) -> tensor<?x4xf32>
  %empty = tensor.empty(%n) : tensor<?x3x4xf32>
  %c = linalg.broadcast ins(%cc : tensor<?x4xf32>) outs(%empty : tensor<?x3x4xf32>) dimensions = [1]
  %s = linalg.broadcast ins(%ss : tensor<?x4xf32>) outs(%empty : tensor<?x3x4xf32>) dimensions = [1]
  %x0 = tensor.extract_slice %x[0, 0, 0] [%n, 3, 2] [1, 1, 1] : tensor<?x3x4xf32> to tensor<?x3x2xf32>
  %x1 = tensor.extract_slice %x[0, 0, 2] [%n, 3, 2] [1, 1, 1] : tensor<?x3x4xf32> to tensor<?x3x2xf32>
  %minus = arith.negf %x1 : tensor<?x3x2xf32>
  %half = tensor.concat dim(2) %minus, %x0 : (tensor<?x3x2xf32>, tensor<?x3x2xf32>) -> tensor<?x3x4xf32>
  %a = arith.mulf %x, %c : tensor<?x3x4xf32>
  %b = arith.mulf %half, %s : tensor<?x3x4xf32>
  %y = arith.addf %a, %b : tensor<?x3x4xf32>
  return %y : tensor<?x3x4xf32>
}

// -----

// [H, S, D]: turned for the operation and back.
// CHECK-LABEL: @heads_first
// CHECK-SAME: %[[X:[a-z0-9]+]]: tensor<3x5x4xf32>
// CHECK: %[[T:.*]] = linalg.transpose ins(%[[X]] : tensor<3x5x4xf32>) {{.*}} permutation = [1, 0, 2]
// CHECK: %[[R:.*]] = tfm.rotary %[[T]], %{{.*}} : tensor<5x3x4xf32>, tensor<5x2xf32>
// CHECK: %[[Y:.*]] = linalg.transpose ins(%[[R]] : tensor<5x3x4xf32>) {{.*}} permutation = [1, 0, 2]
// CHECK: return %[[Y]]
func.func @heads_first(%x: tensor<3x5x4xf32>, %cos: tensor<5x2xf32>, %sin: tensor<5x2xf32>) -> tensor<3x5x4xf32> {
  %empty = tensor.empty() : tensor<3x5x2xf32>
  %c = linalg.broadcast ins(%cos : tensor<5x2xf32>) outs(%empty : tensor<3x5x2xf32>) dimensions = [0]
  %s = linalg.broadcast ins(%sin : tensor<5x2xf32>) outs(%empty : tensor<3x5x2xf32>) dimensions = [0]
  %x0 = tensor.extract_slice %x[0, 0, 0] [3, 5, 2] [1, 1, 1] : tensor<3x5x4xf32> to tensor<3x5x2xf32>
  %x1 = tensor.extract_slice %x[0, 0, 2] [3, 5, 2] [1, 1, 1] : tensor<3x5x4xf32> to tensor<3x5x2xf32>
  %a = arith.mulf %x0, %c : tensor<3x5x2xf32>
  %b = arith.mulf %x1, %s : tensor<3x5x2xf32>
  %y0 = arith.subf %a, %b : tensor<3x5x2xf32>
  %d = arith.mulf %x1, %c : tensor<3x5x2xf32>
  %e = arith.mulf %x0, %s : tensor<3x5x2xf32>
  %y1 = arith.addf %d, %e : tensor<3x5x2xf32>
  %y = tensor.concat dim(2) %y0, %y1 : (tensor<3x5x2xf32>, tensor<3x5x2xf32>) -> tensor<3x5x4xf32>
  return %y : tensor<3x5x4xf32>
}

// -----

// Neighbours are pairs, by strided slices; the last two columns pass through.
// CHECK-LABEL: @interleaved_partial
// CHECK-SAME: %[[X:[a-z0-9]+]]: tensor<5x3x6xf32>
// CHECK-NEXT: %[[Y:.*]] = tfm.rotary %[[X]], %{{.*}}, %{{.*}} interleaved : tensor<5x3x6xf32>, tensor<5x2xf32>
// CHECK-NEXT: return %[[Y]]
func.func @interleaved_partial(%x: tensor<5x3x6xf32>, %cos: tensor<5x2xf32>, %sin: tensor<5x2xf32>) -> tensor<5x3x6xf32> {
  %empty = tensor.empty() : tensor<5x3x2xf32>
  %c = linalg.broadcast ins(%cos : tensor<5x2xf32>) outs(%empty : tensor<5x3x2xf32>) dimensions = [1]
  %s = linalg.broadcast ins(%sin : tensor<5x2xf32>) outs(%empty : tensor<5x3x2xf32>) dimensions = [1]
  %x0 = tensor.extract_slice %x[0, 0, 0] [5, 3, 2] [1, 1, 2] : tensor<5x3x6xf32> to tensor<5x3x2xf32>
  %x1 = tensor.extract_slice %x[0, 0, 1] [5, 3, 2] [1, 1, 2] : tensor<5x3x6xf32> to tensor<5x3x2xf32>
  %rest = tensor.extract_slice %x[0, 0, 4] [5, 3, 2] [1, 1, 1] : tensor<5x3x6xf32> to tensor<5x3x2xf32>
  %a = arith.mulf %x0, %c : tensor<5x3x2xf32>
  %b = arith.mulf %x1, %s : tensor<5x3x2xf32>
  %y0 = arith.subf %a, %b : tensor<5x3x2xf32>
  %d = arith.mulf %x1, %c : tensor<5x3x2xf32>
  %e = arith.mulf %x0, %s : tensor<5x3x2xf32>
  %y1 = arith.addf %d, %e : tensor<5x3x2xf32>
  %z0 = tensor.expand_shape %y0 [[0], [1], [2, 3]] output_shape [5, 3, 2, 1] : tensor<5x3x2xf32> into tensor<5x3x2x1xf32>
  %z1 = tensor.expand_shape %y1 [[0], [1], [2, 3]] output_shape [5, 3, 2, 1] : tensor<5x3x2xf32> into tensor<5x3x2x1xf32>
  %pairs = tensor.concat dim(3) %z0, %z1 : (tensor<5x3x2x1xf32>, tensor<5x3x2x1xf32>) -> tensor<5x3x2x2xf32>
  %turned = tensor.collapse_shape %pairs [[0], [1], [2, 3]] : tensor<5x3x2x2xf32> into tensor<5x3x4xf32>
  %y = tensor.concat dim(2) %turned, %rest : (tensor<5x3x4xf32>, tensor<5x3x2xf32>) -> tensor<5x3x6xf32>
  return %y : tensor<5x3x6xf32>
}

// -----

// [B, H, S, D]: batch and heads are all alike.
// CHECK-LABEL: @batch
// CHECK-SAME: %[[X:[a-z0-9]+]]: tensor<2x3x5x4xf32>
// CHECK: tfm.rotary %{{.*}}, %{{.*}} : tensor<5x6x4xf32>, tensor<5x2xf32>
// CHECK: return %{{.*}} : tensor<2x3x5x4xf32>
func.func @batch(%x: tensor<2x3x5x4xf32>, %cos: tensor<5x2xf32>, %sin: tensor<5x2xf32>) -> tensor<2x3x5x4xf32> {
  %empty = tensor.empty() : tensor<2x3x5x2xf32>
  %c = linalg.broadcast ins(%cos : tensor<5x2xf32>) outs(%empty : tensor<2x3x5x2xf32>) dimensions = [0, 1]
  %s = linalg.broadcast ins(%sin : tensor<5x2xf32>) outs(%empty : tensor<2x3x5x2xf32>) dimensions = [0, 1]
  %x0 = tensor.extract_slice %x[0, 0, 0, 0] [2, 3, 5, 2] [1, 1, 1, 1] : tensor<2x3x5x4xf32> to tensor<2x3x5x2xf32>
  %x1 = tensor.extract_slice %x[0, 0, 0, 2] [2, 3, 5, 2] [1, 1, 1, 1] : tensor<2x3x5x4xf32> to tensor<2x3x5x2xf32>
  %a = arith.mulf %x0, %c : tensor<2x3x5x2xf32>
  %b = arith.mulf %x1, %s : tensor<2x3x5x2xf32>
  %y0 = arith.subf %a, %b : tensor<2x3x5x2xf32>
  %d = arith.mulf %x1, %c : tensor<2x3x5x2xf32>
  %e = arith.mulf %x0, %s : tensor<2x3x5x2xf32>
  %y1 = arith.addf %d, %e : tensor<2x3x5x2xf32>
  %y = tensor.concat dim(3) %y0, %y1 : (tensor<2x3x5x2xf32>, tensor<2x3x5x2xf32>) -> tensor<2x3x5x4xf32>
  return %y : tensor<2x3x5x4xf32>
}

// -----

// Both products have a plus: no rotation.
// CHECK-LABEL: @negative_sign
// CHECK-NOT: tfm.rotary
// CHECK: return
func.func @negative_sign(%x: tensor<5x3x4xf32>, %cos: tensor<5x2xf32>, %sin: tensor<5x2xf32>) -> tensor<5x3x4xf32> {
  %empty = tensor.empty() : tensor<5x3x2xf32>
  %c = linalg.broadcast ins(%cos : tensor<5x2xf32>) outs(%empty : tensor<5x3x2xf32>) dimensions = [1]
  %s = linalg.broadcast ins(%sin : tensor<5x2xf32>) outs(%empty : tensor<5x3x2xf32>) dimensions = [1]
  %x0 = tensor.extract_slice %x[0, 0, 0] [5, 3, 2] [1, 1, 1] : tensor<5x3x4xf32> to tensor<5x3x2xf32>
  %x1 = tensor.extract_slice %x[0, 0, 2] [5, 3, 2] [1, 1, 1] : tensor<5x3x4xf32> to tensor<5x3x2xf32>
  %a = arith.mulf %x0, %c : tensor<5x3x2xf32>
  %b = arith.mulf %x1, %s : tensor<5x3x2xf32>
  %y0 = arith.addf %a, %b : tensor<5x3x2xf32>
  %d = arith.mulf %x1, %c : tensor<5x3x2xf32>
  %e = arith.mulf %x0, %s : tensor<5x3x2xf32>
  %y1 = arith.addf %d, %e : tensor<5x3x2xf32>
  %y = tensor.concat dim(2) %y0, %y1 : (tensor<5x3x2xf32>, tensor<5x3x2xf32>) -> tensor<5x3x4xf32>
  return %y : tensor<5x3x4xf32>
}

// -----

// The second half is turned by another angle.
// CHECK-LABEL: @negative_other_angle
// CHECK-NOT: tfm.rotary
// CHECK: return
func.func @negative_other_angle(%x: tensor<5x3x4xf32>, %cos: tensor<5x2xf32>, %sin: tensor<5x2xf32>, %cos1: tensor<5x2xf32>) -> tensor<5x3x4xf32> {
  %empty = tensor.empty() : tensor<5x3x2xf32>
  %c = linalg.broadcast ins(%cos : tensor<5x2xf32>) outs(%empty : tensor<5x3x2xf32>) dimensions = [1]
  %c1 = linalg.broadcast ins(%cos1 : tensor<5x2xf32>) outs(%empty : tensor<5x3x2xf32>) dimensions = [1]
  %s = linalg.broadcast ins(%sin : tensor<5x2xf32>) outs(%empty : tensor<5x3x2xf32>) dimensions = [1]
  %x0 = tensor.extract_slice %x[0, 0, 0] [5, 3, 2] [1, 1, 1] : tensor<5x3x4xf32> to tensor<5x3x2xf32>
  %x1 = tensor.extract_slice %x[0, 0, 2] [5, 3, 2] [1, 1, 1] : tensor<5x3x4xf32> to tensor<5x3x2xf32>
  %a = arith.mulf %x0, %c : tensor<5x3x2xf32>
  %b = arith.mulf %x1, %s : tensor<5x3x2xf32>
  %y0 = arith.subf %a, %b : tensor<5x3x2xf32>
  %d = arith.mulf %x1, %c1 : tensor<5x3x2xf32>
  %e = arith.mulf %x0, %s : tensor<5x3x2xf32>
  %y1 = arith.addf %d, %e : tensor<5x3x2xf32>
  %y = tensor.concat dim(2) %y0, %y1 : (tensor<5x3x2xf32>, tensor<5x3x2xf32>) -> tensor<5x3x4xf32>
  return %y : tensor<5x3x4xf32>
}

// -----

// Full tables as arguments: their halves need not be equal.
// CHECK-LABEL: @negative_unknown_tables
// CHECK-NOT: tfm.rotary
// CHECK: return
func.func @negative_unknown_tables(%x: tensor<5x3x4xf32>, %cos: tensor<5x4xf32>, %sin: tensor<5x4xf32>) -> tensor<5x3x4xf32> {
  %empty = tensor.empty() : tensor<5x3x4xf32>
  %c = linalg.broadcast ins(%cos : tensor<5x4xf32>) outs(%empty : tensor<5x3x4xf32>) dimensions = [1]
  %s = linalg.broadcast ins(%sin : tensor<5x4xf32>) outs(%empty : tensor<5x3x4xf32>) dimensions = [1]
  %x0 = tensor.extract_slice %x[0, 0, 0] [5, 3, 2] [1, 1, 1] : tensor<5x3x4xf32> to tensor<5x3x2xf32>
  %x1 = tensor.extract_slice %x[0, 0, 2] [5, 3, 2] [1, 1, 1] : tensor<5x3x4xf32> to tensor<5x3x2xf32>
  %minus = arith.negf %x1 : tensor<5x3x2xf32>
  %half = tensor.concat dim(2) %minus, %x0 : (tensor<5x3x2xf32>, tensor<5x3x2xf32>) -> tensor<5x3x4xf32>
  %a = arith.mulf %x, %c : tensor<5x3x4xf32>
  %b = arith.mulf %half, %s : tensor<5x3x4xf32>
  %y = arith.addf %a, %b : tensor<5x3x4xf32>
  return %y : tensor<5x3x4xf32>
}

// -----

// The last columns are those of another tensor.
// CHECK-LABEL: @negative_rest
// CHECK-NOT: tfm.rotary
// CHECK: return
func.func @negative_rest(%x: tensor<5x3x6xf32>, %o: tensor<5x3x6xf32>, %cos: tensor<5x2xf32>, %sin: tensor<5x2xf32>) -> tensor<5x3x6xf32> {
  %empty = tensor.empty() : tensor<5x3x2xf32>
  %c = linalg.broadcast ins(%cos : tensor<5x2xf32>) outs(%empty : tensor<5x3x2xf32>) dimensions = [1]
  %s = linalg.broadcast ins(%sin : tensor<5x2xf32>) outs(%empty : tensor<5x3x2xf32>) dimensions = [1]
  %x0 = tensor.extract_slice %x[0, 0, 0] [5, 3, 2] [1, 1, 1] : tensor<5x3x6xf32> to tensor<5x3x2xf32>
  %x1 = tensor.extract_slice %x[0, 0, 2] [5, 3, 2] [1, 1, 1] : tensor<5x3x6xf32> to tensor<5x3x2xf32>
  %rest = tensor.extract_slice %o[0, 0, 4] [5, 3, 2] [1, 1, 1] : tensor<5x3x6xf32> to tensor<5x3x2xf32>
  %a = arith.mulf %x0, %c : tensor<5x3x2xf32>
  %b = arith.mulf %x1, %s : tensor<5x3x2xf32>
  %y0 = arith.subf %a, %b : tensor<5x3x2xf32>
  %d = arith.mulf %x1, %c : tensor<5x3x2xf32>
  %e = arith.mulf %x0, %s : tensor<5x3x2xf32>
  %y1 = arith.addf %d, %e : tensor<5x3x2xf32>
  %y = tensor.concat dim(2) %y0, %y1, %rest : (tensor<5x3x2xf32>, tensor<5x3x2xf32>, tensor<5x3x2xf32>) -> tensor<5x3x6xf32>
  return %y : tensor<5x3x6xf32>
}
