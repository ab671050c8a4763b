// RUN: ingot-opt %s --fuse-norms --split-input-file | FileCheck %s
// RUN: ingot-opt %s --fuse-norms --split-input-file --verify-numerics -o /dev/null

// CHECK-LABEL: @rms
// CHECK-SAME: %[[X:[a-z0-9]+]]: tensor<?x8xf32>, %[[W:[a-z0-9]+]]: tensor<8xbf16>
// CHECK-NEXT: %[[Y:.*]] = tfm.rms_norm %[[X]] weight(%[[W]] : tensor<8xbf16>) eps(9.9999997473787516E-6) : tensor<?x8xf32>
// CHECK-NEXT: return %[[Y]]
func.func @rms(%x: tensor<?x8xf32>, %w: tensor<8xbf16>) -> tensor<?x8xf32> {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?x8xf32>
  %f0 = arith.constant 0.0 : f32
  %f8 = arith.constant 8.0 : f32
  %fe = arith.constant 1.0e-5 : f32
  %rows = tensor.empty(%n) : tensor<?xf32>
  %zero = linalg.fill ins(%f0 : f32) outs(%rows : tensor<?xf32>) -> tensor<?xf32>
  %size = linalg.fill ins(%f8 : f32) outs(%rows : tensor<?xf32>) -> tensor<?xf32>
  %eps = linalg.fill ins(%fe : f32) outs(%rows : tensor<?xf32>) -> tensor<?xf32>
  %square = arith.mulf %x, %x : tensor<?x8xf32>
  %sum = linalg.reduce ins(%square : tensor<?x8xf32>) outs(%zero : tensor<?xf32>) dimensions = [1]
    (%a: f32, %b: f32) { %c = arith.addf %a, %b : f32 linalg.yield %c : f32 }
  %mean = arith.divf %sum, %size : tensor<?xf32>
  %safe = arith.addf %mean, %eps : tensor<?xf32>
  %root = math.rsqrt %safe : tensor<?xf32>
  %empty = tensor.empty(%n) : tensor<?x8xf32>
  %factor = linalg.broadcast ins(%root : tensor<?xf32>) outs(%empty : tensor<?x8xf32>) dimensions = [1]
  %wide = arith.extf %w : tensor<8xbf16> to tensor<8xf32>
  %weight = linalg.broadcast ins(%wide : tensor<8xf32>) outs(%empty : tensor<?x8xf32>) dimensions = [0]
  %y = arith.mulf %x, %factor : tensor<?x8xf32>
  %z = arith.mulf %y, %weight : tensor<?x8xf32>
  return %z : tensor<?x8xf32>
}

// -----

// The weight first, a power for the square, 1/F as a factor, divided by a root, in rank 3.
// CHECK-LABEL: @rms_other_writing
// CHECK-SAME: %[[X:[a-z0-9]+]]: tensor<5x3x8xf32>, %[[W:[a-z0-9]+]]: tensor<8xf32>
// CHECK: %[[Y:.*]] = tfm.rms_norm %[[X]] weight(%[[W]] : tensor<8xf32>) eps(9.9999997473787516E-6) : tensor<5x3x8xf32>
// CHECK-NEXT: return %[[Y]]
func.func @rms_other_writing(%x: tensor<5x3x8xf32>, %w: tensor<8xf32>) -> tensor<5x3x8xf32> {
  %zero = arith.constant dense<0.0> : tensor<5x3xf32>
  %inverse = arith.constant dense<0.125> : tensor<5x3xf32>
  %eps = arith.constant dense<1.0e-5> : tensor<5x3xf32>
  %two = arith.constant dense<2.0> : tensor<5x3x8xf32>
  %square = math.powf %x, %two : tensor<5x3x8xf32>
  %sum = linalg.reduce ins(%square : tensor<5x3x8xf32>) outs(%zero : tensor<5x3xf32>) dimensions = [2]
    (%a: f32, %b: f32) { %c = arith.addf %b, %a : f32 linalg.yield %c : f32 }
  %mean = arith.mulf %inverse, %sum : tensor<5x3xf32>
  %safe = arith.addf %eps, %mean : tensor<5x3xf32>
  %root = math.sqrt %safe : tensor<5x3xf32>
  %empty = tensor.empty() : tensor<5x3x8xf32>
  %divisor = linalg.broadcast ins(%root : tensor<5x3xf32>) outs(%empty : tensor<5x3x8xf32>) dimensions = [2]
  %weight = linalg.broadcast ins(%w : tensor<8xf32>) outs(%empty : tensor<5x3x8xf32>) dimensions = [0, 1]
  %y = arith.mulf %weight, %x : tensor<5x3x8xf32>
  %z = arith.divf %y, %divisor : tensor<5x3x8xf32>
  return %z : tensor<5x3x8xf32>
}

// -----

// 1 + w is computed; the norm that is not scaled has no weight.
// CHECK-LABEL: @rms_computed_weight
// CHECK-SAME: %[[X:[a-z0-9]+]]: tensor<5x8xf32>, %[[W:[a-z0-9]+]]: tensor<8xf32>
// CHECK: %[[W1:.*]] = arith.addf %[[W]], %{{.*}} : tensor<8xf32>
// CHECK: %[[R:.*]] = tfm.rms_norm %[[X]] eps(0.000000e+00)
// CHECK: %[[RW:.*]] = tfm.rms_norm %[[X]] weight(%[[W1]] : tensor<8xf32>) eps(0.000000e+00)
// CHECK: arith.addf %[[RW]], %[[R]]
func.func @rms_computed_weight(%x: tensor<5x8xf32>, %w: tensor<8xf32>) -> tensor<5x8xf32> {
  %zero = arith.constant dense<0.0> : tensor<5xf32>
  %size = arith.constant dense<8.0> : tensor<5xf32>
  %one = arith.constant dense<1.0> : tensor<8xf32>
  %minus_half = arith.constant dense<-0.5> : tensor<5xf32>
  %square = arith.mulf %x, %x : tensor<5x8xf32>
  %sum = linalg.reduce ins(%square : tensor<5x8xf32>) outs(%zero : tensor<5xf32>) dimensions = [1]
    (%a: f32, %b: f32) { %c = arith.addf %a, %b : f32 linalg.yield %c : f32 }
  %mean = arith.divf %sum, %size : tensor<5xf32>
  %root = math.powf %mean, %minus_half : tensor<5xf32>
  %empty = tensor.empty() : tensor<5x8xf32>
  %factor = linalg.broadcast ins(%root : tensor<5xf32>) outs(%empty : tensor<5x8xf32>) dimensions = [1]
  %w1 = arith.addf %w, %one : tensor<8xf32>
  %weight = linalg.broadcast ins(%w1 : tensor<8xf32>) outs(%empty : tensor<5x8xf32>) dimensions = [0]
  %y = arith.mulf %x, %factor : tensor<5x8xf32>
  %z = arith.mulf %y, %weight : tensor<5x8xf32>
  %r = arith.addf %z, %y : tensor<5x8xf32>
  return %r : tensor<5x8xf32>
}

// -----

// CHECK-LABEL: @layer
// CHECK-SAME: %[[X:[a-z0-9]+]]: tensor<5x8xf32>, %[[W:[a-z0-9]+]]: tensor<8xf32>, %[[B:[a-z0-9]+]]: tensor<8xf32>
// CHECK: %[[Y:.*]] = tfm.layer_norm %[[X]] weight(%[[W]] : tensor<8xf32>) bias(%[[B]] : tensor<8xf32>) eps(9.9999997473787516E-6) : tensor<5x8xf32>
// CHECK-NEXT: return %[[Y]]
func.func @layer(%x: tensor<5x8xf32>, %w: tensor<8xf32>, %b: tensor<8xf32>) -> tensor<5x8xf32> {
  %zero = arith.constant dense<0.0> : tensor<5xf32>
  %size = arith.constant dense<8.0> : tensor<5xf32>
  %one = arith.constant dense<1.0> : tensor<5xf32>
  %eps = arith.constant dense<1.0e-5> : tensor<5xf32>
  %empty = tensor.empty() : tensor<5x8xf32>
  %sum = linalg.reduce ins(%x : tensor<5x8xf32>) outs(%zero : tensor<5xf32>) dimensions = [1]
    (%a: f32, %c: f32) { %d = arith.addf %a, %c : f32 linalg.yield %d : f32 }
  %mean = arith.divf %sum, %size : tensor<5xf32>
  %means = linalg.broadcast ins(%mean : tensor<5xf32>) outs(%empty : tensor<5x8xf32>) dimensions = [1]
  %centered = arith.subf %x, %means : tensor<5x8xf32>
  %square = arith.mulf %centered, %centered : tensor<5x8xf32>
  %sum2 = linalg.reduce ins(%square : tensor<5x8xf32>) outs(%zero : tensor<5xf32>) dimensions = [1]
    (%a: f32, %c: f32) { %d = arith.addf %a, %c : f32 linalg.yield %d : f32 }
  %variance = arith.divf %sum2, %size : tensor<5xf32>
  %safe = arith.addf %variance, %eps : tensor<5xf32>
  %root = math.sqrt %safe : tensor<5xf32>
  %scale = arith.divf %one, %root : tensor<5xf32>
  %factor = linalg.broadcast ins(%scale : tensor<5xf32>) outs(%empty : tensor<5x8xf32>) dimensions = [1]
  %weight = linalg.broadcast ins(%w : tensor<8xf32>) outs(%empty : tensor<5x8xf32>) dimensions = [0]
  %bias = linalg.broadcast ins(%b : tensor<8xf32>) outs(%empty : tensor<5x8xf32>) dimensions = [0]
  %y = arith.mulf %centered, %factor : tensor<5x8xf32>
  %z = arith.mulf %y, %weight : tensor<5x8xf32>
  %r = arith.addf %z, %bias : tensor<5x8xf32>
  return %r : tensor<5x8xf32>
}

// -----

// Divided by 7 of 8: not a mean.
// CHECK-LABEL: @negative_not_the_mean
// CHECK-NOT: tfm.rms_norm
// CHECK: return
func.func @negative_not_the_mean(%x: tensor<5x8xf32>) -> tensor<5x8xf32> {
  %zero = arith.constant dense<0.0> : tensor<5xf32>
  %size = arith.constant dense<7.0> : tensor<5xf32>
  %square = arith.mulf %x, %x : tensor<5x8xf32>
  %sum = linalg.reduce ins(%square : tensor<5x8xf32>) outs(%zero : tensor<5xf32>) dimensions = [1]
    (%a: f32, %b: f32) { %c = arith.addf %a, %b : f32 linalg.yield %c : f32 }
  %mean = arith.divf %sum, %size : tensor<5xf32>
  %root = math.rsqrt %mean : tensor<5xf32>
  %empty = tensor.empty() : tensor<5x8xf32>
  %factor = linalg.broadcast ins(%root : tensor<5xf32>) outs(%empty : tensor<5x8xf32>) dimensions = [1]
  %y = arith.mulf %x, %factor : tensor<5x8xf32>
  return %y : tensor<5x8xf32>
}

// -----

// The mean of x * y, and of another tensor than the one that is scaled.
// CHECK-LABEL: @negative_squares_of_another
// CHECK-NOT: tfm.rms_norm
// CHECK: return
func.func @negative_squares_of_another(%x: tensor<5x8xf32>, %y: tensor<5x8xf32>)
    -> (tensor<5x8xf32>, tensor<5x8xf32>) {
  %zero = arith.constant dense<0.0> : tensor<5xf32>
  %size = arith.constant dense<8.0> : tensor<5xf32>
  %empty = tensor.empty() : tensor<5x8xf32>
  %square = arith.mulf %x, %y : tensor<5x8xf32>
  %sum = linalg.reduce ins(%square : tensor<5x8xf32>) outs(%zero : tensor<5xf32>) dimensions = [1]
    (%a: f32, %b: f32) { %c = arith.addf %a, %b : f32 linalg.yield %c : f32 }
  %mean = arith.divf %sum, %size : tensor<5xf32>
  %root = math.rsqrt %mean : tensor<5xf32>
  %factor = linalg.broadcast ins(%root : tensor<5xf32>) outs(%empty : tensor<5x8xf32>) dimensions = [1]
  %r0 = arith.mulf %x, %factor : tensor<5x8xf32>
  %square1 = arith.mulf %y, %y : tensor<5x8xf32>
  %sum1 = linalg.reduce ins(%square1 : tensor<5x8xf32>) outs(%zero : tensor<5xf32>) dimensions = [1]
    (%a: f32, %b: f32) { %c = arith.addf %a, %b : f32 linalg.yield %c : f32 }
  %mean1 = arith.divf %sum1, %size : tensor<5xf32>
  %root1 = math.rsqrt %mean1 : tensor<5xf32>
  %factor1 = linalg.broadcast ins(%root1 : tensor<5xf32>) outs(%empty : tensor<5x8xf32>) dimensions = [1]
  %r1 = arith.mulf %x, %factor1 : tensor<5x8xf32>
  return %r0, %r1 : tensor<5x8xf32>, tensor<5x8xf32>
}

// -----

// The mean over the rows of a column, which a square matrix would hide.
// CHECK-LABEL: @negative_other_dimension
// CHECK-NOT: tfm.rms_norm
// CHECK: return
func.func @negative_other_dimension(%x: tensor<8x8xf32>) -> tensor<8x8xf32> {
  %zero = arith.constant dense<0.0> : tensor<8xf32>
  %size = arith.constant dense<8.0> : tensor<8xf32>
  %square = arith.mulf %x, %x : tensor<8x8xf32>
  %sum = linalg.reduce ins(%square : tensor<8x8xf32>) outs(%zero : tensor<8xf32>) dimensions = [1]
    (%a: f32, %b: f32) { %c = arith.addf %a, %b : f32 linalg.yield %c : f32 }
  %mean = arith.divf %sum, %size : tensor<8xf32>
  %root = math.rsqrt %mean : tensor<8xf32>
  %empty = tensor.empty() : tensor<8x8xf32>
  %factor = linalg.broadcast ins(%root : tensor<8xf32>) outs(%empty : tensor<8x8xf32>) dimensions = [0]
  %y = arith.mulf %x, %factor : tensor<8x8xf32>
  return %y : tensor<8x8xf32>
}

// -----

// A bias stays outside of rms norm.
// CHECK-LABEL: @negative_bias_of_rms
// CHECK: %[[Y:.*]] = tfm.rms_norm %{{.*}} eps(0.000000e+00)
// CHECK: arith.addf %[[Y]]
func.func @negative_bias_of_rms(%x: tensor<5x8xf32>, %b: tensor<8xf32>) -> tensor<5x8xf32> {
  %zero = arith.constant dense<0.0> : tensor<5xf32>
  %size = arith.constant dense<8.0> : tensor<5xf32>
  %square = arith.mulf %x, %x : tensor<5x8xf32>
  %sum = linalg.reduce ins(%square : tensor<5x8xf32>) outs(%zero : tensor<5xf32>) dimensions = [1]
    (%a: f32, %c: f32) { %d = arith.addf %a, %c : f32 linalg.yield %d : f32 }
  %mean = arith.divf %sum, %size : tensor<5xf32>
  %root = math.rsqrt %mean : tensor<5xf32>
  %empty = tensor.empty() : tensor<5x8xf32>
  %factor = linalg.broadcast ins(%root : tensor<5xf32>) outs(%empty : tensor<5x8xf32>) dimensions = [1]
  %bias = linalg.broadcast ins(%b : tensor<8xf32>) outs(%empty : tensor<5x8xf32>) dimensions = [0]
  %y = arith.mulf %x, %factor : tensor<5x8xf32>
  %z = arith.addf %y, %bias : tensor<5x8xf32>
  return %z : tensor<5x8xf32>
}

// -----

// The largest element in place of the sum.
// CHECK-LABEL: @negative_not_a_sum
// CHECK-NOT: tfm.rms_norm
// CHECK: return
func.func @negative_not_a_sum(%x: tensor<5x8xf32>) -> tensor<5x8xf32> {
  %zero = arith.constant dense<0.0> : tensor<5xf32>
  %size = arith.constant dense<8.0> : tensor<5xf32>
  %square = arith.mulf %x, %x : tensor<5x8xf32>
  %sum = linalg.reduce ins(%square : tensor<5x8xf32>) outs(%zero : tensor<5xf32>) dimensions = [1]
    (%a: f32, %b: f32) { %c = arith.maximumf %a, %b : f32 linalg.yield %c : f32 }
  %mean = arith.divf %sum, %size : tensor<5xf32>
  %root = math.rsqrt %mean : tensor<5xf32>
  %empty = tensor.empty() : tensor<5x8xf32>
  %factor = linalg.broadcast ins(%root : tensor<5xf32>) outs(%empty : tensor<5x8xf32>) dimensions = [1]
  %y = arith.mulf %x, %factor : tensor<5x8xf32>
  return %y : tensor<5x8xf32>
}
