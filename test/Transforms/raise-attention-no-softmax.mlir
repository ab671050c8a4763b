// RUN: ingot-opt %s --split-input-file --raise-attention="require=true" --verify-diagnostics -o /dev/null
// RUN: ingot-opt %s --split-input-file --raise-attention | FileCheck %s

// Exponentials that are summed up and meet values, but are no softmax, are sites too.

// CHECK: tfm.attention_sites = [{calls = 1 : i64, detail = "a sum of exponentials of something else than scores less the largest of their row, so no softmax", function = "no_maximum", location = "{{.*}}", reason = "no-softmax"}]
func.func @no_maximum(%q: tensor<5x8xf32>, %k: tensor<7x8xf32>, %v: tensor<7x8xf32>) -> tensor<5x8xf32> {
  %s = tfm.matmul %q, %k transpose_b : tensor<5x8xf32>, tensor<7x8xf32> -> tensor<5x7xf32>
  %e = math.exp %s : tensor<5x7xf32>
  %zero = arith.constant dense<0.0> : tensor<5xf32>
  // expected-error@+1 {{attention not raised: a sum of exponentials of something else than scores less the largest of their row, so no softmax}}
  %sum = linalg.reduce { arith.addf } ins(%e : tensor<5x7xf32>) outs(%zero : tensor<5xf32>) dimensions = [1]
  %empty = tensor.empty() : tensor<5x7xf32>
  %wide = linalg.broadcast ins(%sum : tensor<5xf32>) outs(%empty : tensor<5x7xf32>) dimensions = [1]
  %p = arith.divf %e, %wide : tensor<5x7xf32>
  %o = tfm.matmul %p, %v : tensor<5x7xf32>, tensor<7x8xf32> -> tensor<5x8xf32>
  return %o : tensor<5x8xf32>
}

// -----

// CHECK: reason = "no-softmax"
func.func @divided_afterwards(%q: tensor<5x8xf32>, %k: tensor<7x8xf32>, %v: tensor<7x8xf32>) -> tensor<5x8xf32> {
  %s = tfm.matmul %q, %k transpose_b : tensor<5x8xf32>, tensor<7x8xf32> -> tensor<5x7xf32>
  %low = arith.constant dense<0xFF800000> : tensor<5xf32>
  %max = linalg.reduce { arith.maximumf } ins(%s : tensor<5x7xf32>) outs(%low : tensor<5xf32>) dimensions = [1]
  %empty = tensor.empty() : tensor<5x7xf32>
  %largest = linalg.broadcast ins(%max : tensor<5xf32>) outs(%empty : tensor<5x7xf32>) dimensions = [1]
  %d = arith.subf %s, %largest : tensor<5x7xf32>
  %e = math.exp %d : tensor<5x7xf32>
  %zero = arith.constant dense<0.0> : tensor<5xf32>
  // expected-error@+1 {{attention not raised: exponentials and their sum, but no quotient of the two is a softmax}}
  %sum = linalg.reduce { arith.addf } ins(%e : tensor<5x7xf32>) outs(%zero : tensor<5xf32>) dimensions = [1]
  %u = tfm.matmul %e, %v : tensor<5x7xf32>, tensor<7x8xf32> -> tensor<5x8xf32>
  %empty2 = tensor.empty() : tensor<5x8xf32>
  %wide = linalg.broadcast ins(%sum : tensor<5xf32>) outs(%empty2 : tensor<5x8xf32>) dimensions = [1]
  %o = arith.divf %u, %wide : tensor<5x8xf32>
  return %o : tensor<5x8xf32>
}

// -----

// The mask multiplies what the sum is made of.
// CHECK: reason = "no-softmax"
func.func @masked_exponentials(%s: tensor<5x7xf32>, %mask: tensor<5x7xf32>, %v: tensor<7x8xf32>) -> tensor<5x8xf32> {
  %e = math.exp2 %s : tensor<5x7xf32>
  %m = arith.mulf %mask, %e : tensor<5x7xf32>
  %zero = arith.constant dense<0.0> : tensor<5xf32>
  // expected-error@+1 {{attention not raised: a sum of powers of 2, which is no softmax of their exponents}}
  %sum = linalg.reduce { arith.addf } ins(%m : tensor<5x7xf32>) outs(%zero : tensor<5xf32>) dimensions = [1]
  %empty = tensor.empty() : tensor<5x7xf32>
  %wide = linalg.broadcast ins(%sum : tensor<5xf32>) outs(%empty : tensor<5x7xf32>) dimensions = [1]
  %p = arith.divf %m, %wide : tensor<5x7xf32>
  %o = tfm.matmul %p, %v : tensor<5x7xf32>, tensor<7x8xf32> -> tensor<5x8xf32>
  return %o : tensor<5x8xf32>
}

// -----

// The logarithm of a sum of exponentials weighs no values.
// CHECK-NOT: tfm.attention_sites
func.func @log_sum(%s: tensor<5x7xf32>) -> tensor<5xf32> {
  %e = math.exp %s : tensor<5x7xf32>
  %zero = arith.constant dense<0.0> : tensor<5xf32>
  %sum = linalg.reduce { arith.addf } ins(%e : tensor<5x7xf32>) outs(%zero : tensor<5xf32>) dimensions = [1]
  %o = math.log %sum : tensor<5xf32>
  return %o : tensor<5xf32>
}

// -----

// Nor does one that enters a projection, whatever the sum is written with.
// CHECK-NOT: tfm.attention_sites
// CHECK: @log_sum_projected
func.func @log_sum_projected(%s: tensor<5x7xf32>, %w: tensor<8x3xf32>) -> tensor<5x3xf32> {
  %e = math.exp %s : tensor<5x7xf32>
  %zero = arith.constant dense<0.0> : tensor<5xf32>
  %sum = linalg.generic {indexing_maps = [affine_map<(a, b) -> (a, b)>, affine_map<(a, b) -> (a)>],
                         iterator_types = ["parallel", "reduction"]}
      ins(%e : tensor<5x7xf32>) outs(%zero : tensor<5xf32>) {
    ^bb0(%a: f32, %b: f32):
      %c = arith.addf %a, %b : f32
      linalg.yield %c : f32
  } -> tensor<5xf32>
  %l = math.log %sum : tensor<5xf32>
  %empty = tensor.empty() : tensor<5x8xf32>
  %wide = linalg.broadcast ins(%l : tensor<5xf32>) outs(%empty : tensor<5x8xf32>) dimensions = [1]
  %o = tfm.matmul %wide, %w : tensor<5x8xf32>, tensor<8x3xf32> -> tensor<5x3xf32>
  return %o : tensor<5x3xf32>
}

// -----

// A gate of exponentials whose mean a norm takes: nothing is divided by the sum.
// CHECK-NOT: tfm.attention_sites
// CHECK: @gated
func.func @gated(%x: tensor<5x8xf32>, %g: tensor<5x8xf32>, %w: tensor<8x3xf32>) -> tensor<5x3xf32> {
  %d = math.exp %g : tensor<5x8xf32>
  %y = arith.mulf %x, %d : tensor<5x8xf32>
  %zero = arith.constant dense<0.0> : tensor<5xf32>
  %size = arith.constant dense<8.0> : tensor<5xf32>
  %sum = linalg.reduce { arith.addf } ins(%y : tensor<5x8xf32>) outs(%zero : tensor<5xf32>) dimensions = [1]
  %mean = arith.divf %sum, %size : tensor<5xf32>
  %root = math.rsqrt %mean : tensor<5xf32>
  %e = tensor.empty() : tensor<5x8xf32>
  %f = linalg.broadcast ins(%root : tensor<5xf32>) outs(%e : tensor<5x8xf32>) dimensions = [1]
  %z = arith.mulf %y, %f : tensor<5x8xf32>
  %o = tfm.matmul %z, %w : tensor<5x8xf32>, tensor<8x3xf32> -> tensor<5x3xf32>
  return %o : tensor<5x3xf32>
}
