// RUN: ingot-opt %s --raise-attention="remarks=1" --split-input-file --verify-diagnostics | FileCheck %s
// RUN: ingot-opt %s --raise-attention --split-input-file --verify-numerics -o /dev/null

// CHECK-LABEL: @plain
// CHECK-SAME: %[[Q:[a-z0-9]+]]: tensor<2x5x8xf32>, %[[K:[a-z0-9]+]]: tensor<2x5x8xf32>, %[[V:[a-z0-9]+]]: tensor<2x5x8xf32>
// CHECK-NEXT: %[[O:.*]] = tfm.attention %[[Q]], %[[K]], %[[V]] : tensor<2x5x8xf32>
// CHECK-NEXT: return %[[O]]
func.func @plain(%q: tensor<2x5x8xf32>, %k: tensor<2x5x8xf32>, %v: tensor<2x5x8xf32>) -> tensor<2x5x8xf32> {
  %s = tfm.matmul %q, %k transpose_b : tensor<2x5x8xf32>, tensor<2x5x8xf32> -> tensor<2x5x5xf32>
  // expected-remark @below {{attention raised (no mask, 1 query head per key head)}}
  %p = tfm.softmax %s dim(2) : tensor<2x5x5xf32>
  %o = tfm.matmul %p, %v : tensor<2x5x5xf32>, tensor<2x5x8xf32> -> tensor<2x5x8xf32>
  return %o : tensor<2x5x8xf32>
}

// -----

// Factors on queries, keys and scores are one.
// CHECK-LABEL: @factors
// CHECK: %[[S:.*]] = arith.constant -1.250000e-01 : f32
// CHECK: tfm.attention %{{.*}}, %{{.*}}, %{{.*}} scale(%[[S]]) : tensor<2x5x8xf32>
func.func @factors(%q: tensor<2x5x8xf32>, %k: tensor<2x5x8xf32>, %v: tensor<2x5x8xf32>) -> tensor<2x5x8xf32> {
  %a = arith.constant dense<0.5> : tensor<2x5x8xf32>
  %b = arith.constant dense<-2.0> : tensor<2x5x8xf32>
  %c = arith.constant dense<2.0> : tensor<2x5x5xf32>
  %q1 = arith.mulf %a, %q : tensor<2x5x8xf32>
  %k1 = arith.divf %k, %b : tensor<2x5x8xf32>
  %s = tfm.matmul %q1, %k1 transpose_b : tensor<2x5x8xf32>, tensor<2x5x8xf32> -> tensor<2x5x5xf32>
  %s1 = arith.divf %s, %c : tensor<2x5x5xf32>
  // expected-remark @below {{attention raised (no mask, 1 query head per key head)}}
  %p = tfm.softmax %s1 dim(2) : tensor<2x5x5xf32>
  %o = tfm.matmul %p, %v : tensor<2x5x5xf32>, tensor<2x5x8xf32> -> tensor<2x5x8xf32>
  return %o : tensor<2x5x8xf32>
}

// -----

// A factor that is known at run time, and a constant.
// CHECK-LABEL: @runtime_factor
// CHECK-SAME: %[[F:[a-z0-9]+]]: f32
// CHECK: %[[H:.*]] = arith.constant 5.000000e-01 : f32
// CHECK: %[[S:.*]] = arith.mulf %[[H]], %[[F]] : f32
// CHECK: tfm.attention {{.*}} scale(%[[S]])
func.func @runtime_factor(%q: tensor<2x5x8xf32>, %k: tensor<2x5x8xf32>, %v: tensor<2x5x8xf32>, %f: f32) -> tensor<2x5x8xf32> {
  %s = tfm.matmul %q, %k transpose_b : tensor<2x5x8xf32>, tensor<2x5x8xf32> -> tensor<2x5x5xf32>
  %t = tensor.splat %f : tensor<2x5x5xf32>
  %h = arith.constant dense<0.5> : tensor<2x5x5xf32>
  %s1 = arith.mulf %s, %t : tensor<2x5x5xf32>
  %s2 = arith.mulf %h, %s1 : tensor<2x5x5xf32>
  // expected-remark @below {{attention raised (no mask, 1 query head per key head)}}
  %p = tfm.softmax %s2 dim(2) : tensor<2x5x5xf32>
  %o = tfm.matmul %p, %v : tensor<2x5x5xf32>, tensor<2x5x8xf32> -> tensor<2x5x8xf32>
  return %o : tensor<2x5x8xf32>
}

// -----

// CHECK-LABEL: @causal
// CHECK: tfm.attention %{{.*}}, %{{.*}}, %{{.*}} causal : 
func.func @causal(%q: tensor<2x5x8xf32>, %k: tensor<2x5x8xf32>, %v: tensor<2x5x8xf32>, %ids: tensor<5xi32>) -> tensor<2x5x8xf32> {
  %s = tfm.matmul %q, %k transpose_b : tensor<2x5x8xf32>, tensor<2x5x8xf32> -> tensor<2x5x5xf32>
  %e1 = tensor.empty() : tensor<2x5x5xi32>
  %pos = tfm.positions %ids : tensor<5xi32> -> tensor<5xi32>
  %i = linalg.broadcast ins(%pos : tensor<5xi32>) outs(%e1 : tensor<2x5x5xi32>) dimensions = [0, 2]
  %j = linalg.broadcast ins(%pos : tensor<5xi32>) outs(%e1 : tensor<2x5x5xi32>) dimensions = [0, 1]
  %big = arith.constant dense<-3.40282347E+38> : tensor<2x5x5xf32>
  %keep = arith.cmpi sge, %i, %j : tensor<2x5x5xi32>
  %m = arith.select %keep, %s, %big : tensor<2x5x5xi1>, tensor<2x5x5xf32>
  // expected-remark @below {{attention raised (causal, 1 query head per key head)}}
  %p = tfm.softmax %m dim(2) : tensor<2x5x5xf32>
  %o = tfm.matmul %p, %v : tensor<2x5x5xf32>, tensor<2x5x8xf32> -> tensor<2x5x8xf32>
  return %o : tensor<2x5x8xf32>
}

// -----

// The opposite condition, by De Morgan.
// CHECK-LABEL: @window
// CHECK: tfm.attention %{{.*}}, %{{.*}}, %{{.*}} causal window(3) : 
func.func @window(%q: tensor<2x5x8xf32>, %k: tensor<2x5x8xf32>, %v: tensor<2x5x8xf32>, %ids: tensor<5xi32>) -> tensor<2x5x8xf32> {
  %s = tfm.matmul %q, %k transpose_b : tensor<2x5x8xf32>, tensor<2x5x8xf32> -> tensor<2x5x5xf32>
  %e1 = tensor.empty() : tensor<2x5x5xi32>
  %pos = tfm.positions %ids : tensor<5xi32> -> tensor<5xi32>
  %i = linalg.broadcast ins(%pos : tensor<5xi32>) outs(%e1 : tensor<2x5x5xi32>) dimensions = [0, 2]
  %j = linalg.broadcast ins(%pos : tensor<5xi32>) outs(%e1 : tensor<2x5x5xi32>) dimensions = [0, 1]
  %big = arith.constant dense<-3.40282347E+38> : tensor<2x5x5xf32>
  %near = arith.subi %i, %j : tensor<2x5x5xi32>
  %w = arith.constant dense<3> : tensor<2x5x5xi32>
  %b = arith.cmpi slt, %near, %w : tensor<2x5x5xi32>
  %a = arith.cmpi ule, %j, %i : tensor<2x5x5xi32>
  %c = arith.cmpi sgt, %j, %i : tensor<2x5x5xi32>
  %true = arith.constant dense<true> : tensor<2x5x5xi1>
  %far = arith.xori %b, %true : tensor<2x5x5xi1>
  %drop = arith.ori %c, %far : tensor<2x5x5xi1>
  %m = arith.select %drop, %big, %s : tensor<2x5x5xi1>, tensor<2x5x5xf32>
  // expected-remark @below {{attention raised (causal, window of 3, 1 query head per key head)}}
  %p = tfm.softmax %m dim(2) : tensor<2x5x5xf32>
  %o = tfm.matmul %p, %v : tensor<2x5x5xf32>, tensor<2x5x8xf32> -> tensor<2x5x8xf32>
  return %o : tensor<2x5x8xf32>
}

// -----

// A triangular constant, recognised by value.
// CHECK-LABEL: @triangle
// CHECK: tfm.attention %{{.*}}, %{{.*}}, %{{.*}} causal : 
func.func @triangle(%q: tensor<2x5x8xf32>, %k: tensor<2x5x8xf32>, %v: tensor<2x5x8xf32>) -> tensor<2x5x8xf32> {
  %s = tfm.matmul %q, %k transpose_b : tensor<2x5x8xf32>, tensor<2x5x8xf32> -> tensor<2x5x5xf32>
  %t = arith.constant dense<[[0.0, 0xFF800000, 0xFF800000, 0xFF800000, 0xFF800000], [0.0, 0.0, 0xFF800000, 0xFF800000, 0xFF800000], [0.0, 0.0, 0.0, 0xFF800000, 0xFF800000], [0.0, 0.0, 0.0, 0.0, 0xFF800000], [0.0, 0.0, 0.0, 0.0, 0.0]]> : tensor<5x5xf32>
  %e = tensor.empty() : tensor<2x5x5xf32>
  %mask = linalg.broadcast ins(%t : tensor<5x5xf32>) outs(%e : tensor<2x5x5xf32>) dimensions = [0]
  %m = arith.addf %mask, %s : tensor<2x5x5xf32>
  // expected-remark @below {{attention raised (causal, 1 query head per key head)}}
  %p = tfm.softmax %m dim(2) : tensor<2x5x5xf32>
  %o = tfm.matmul %p, %v : tensor<2x5x5xf32>, tensor<2x5x8xf32> -> tensor<2x5x8xf32>
  return %o : tensor<2x5x8xf32>
}

// -----

// (1 - keep) * -1e9 of a band around the diagonal.
// CHECK-LABEL: @band
// CHECK: mask {
// CHECK: ^bb0(%{{.*}}: index, %{{.*}}: index, %[[I:.*]]: index, %[[J:.*]]: index):
// CHECK: %[[D:.*]] = arith.subi %[[J]], %[[I]] : index
// CHECK: %[[A:.*]] = arith.cmpi sle, %[[D]], %c1{{.*}} : index
// CHECK: %[[E:.*]] = arith.subi %[[I]], %[[J]] : index
// CHECK: %[[B:.*]] = arith.cmpi sle, %[[E]], %c1{{.*}} : index
// CHECK: arith.andi %[[A]], %[[B]] : i1
func.func @band(%q: tensor<2x5x8xf32>, %k: tensor<2x5x8xf32>, %v: tensor<2x5x8xf32>) -> tensor<2x5x8xf32> {
  %s = tfm.matmul %q, %k transpose_b : tensor<2x5x8xf32>, tensor<2x5x8xf32> -> tensor<2x5x5xf32>
  %t = arith.constant dense<[[true, true, false, false, false], [true, true, true, false, false], [false, true, true, true, false], [false, false, true, true, true], [false, false, false, true, true]]> : tensor<5x5xi1>
  %f = arith.uitofp %t : tensor<5x5xi1> to tensor<5x5xf32>
  %one = arith.constant dense<1.0> : tensor<5x5xf32>
  %large = arith.constant dense<-1.0e9> : tensor<5x5xf32>
  %g = arith.subf %one, %f : tensor<5x5xf32>
  %n = arith.mulf %g, %large : tensor<5x5xf32>
  %e = tensor.empty() : tensor<2x5x5xf32>
  %mask = linalg.broadcast ins(%n : tensor<5x5xf32>) outs(%e : tensor<2x5x5xf32>) dimensions = [0]
  %m = arith.addf %s, %mask : tensor<2x5x5xf32>
  // expected-remark @below {{attention raised (mask region, 1 query head per key head)}}
  %p = tfm.softmax %m dim(2) : tensor<2x5x5xf32>
  %o = tfm.matmul %p, %v : tensor<2x5x5xf32>, tensor<2x5x8xf32> -> tensor<2x5x8xf32>
  return %o : tensor<2x5x8xf32>
}

// -----

// Any other constant is a table; every row keeps a key.
// CHECK-LABEL: @table
// CHECK: %[[T:.*]] = arith.constant dense<{{.*}}> : tensor<5x5xi1>
// CHECK: mask {
// CHECK: tensor.extract %[[T]][%{{.*}}, %{{.*}}] : tensor<5x5xi1>
func.func @table(%q: tensor<2x5x8xf32>, %k: tensor<2x5x8xf32>, %v: tensor<2x5x8xf32>) -> tensor<2x5x8xf32> {
  %s = tfm.matmul %q, %k transpose_b : tensor<2x5x8xf32>, tensor<2x5x8xf32> -> tensor<2x5x5xf32>
  %t = arith.constant dense<[[true, false, true, false, true], [true, true, true, false, false], [false, true, false, false, true], [true, true, false, true, true], [true, false, false, false, true]]> : tensor<5x5xi1>
  %e = tensor.empty() : tensor<2x5x5xi1>
  %keep = linalg.broadcast ins(%t : tensor<5x5xi1>) outs(%e : tensor<2x5x5xi1>) dimensions = [0]
  %big = arith.constant dense<-3.40282347E+38> : tensor<2x5x5xf32>
  %m = arith.select %keep, %s, %big : tensor<2x5x5xi1>, tensor<2x5x5xf32>
  // expected-remark @below {{attention raised (mask region, 1 query head per key head)}}
  %p = tfm.softmax %m dim(2) : tensor<2x5x5xf32>
  %o = tfm.matmul %p, %v : tensor<2x5x5xf32>, tensor<2x5x8xf32> -> tensor<2x5x8xf32>
  return %o : tensor<2x5x8xf32>
}

// -----

// A row without a key is the mean of the values: the mask stays in the score.
// CHECK-LABEL: @table_with_empty_row
// CHECK-NOT: mask {
// CHECK: score {
// CHECK: arith.constant -1.000000e+29 : f32
// CHECK: arith.select
func.func @table_with_empty_row(%q: tensor<2x5x8xf32>, %k: tensor<2x5x8xf32>, %v: tensor<2x5x8xf32>) -> tensor<2x5x8xf32> {
  %s = tfm.matmul %q, %k transpose_b : tensor<2x5x8xf32>, tensor<2x5x8xf32> -> tensor<2x5x5xf32>
  %t = arith.constant dense<[[true, false, true, false, true], [true, true, true, false, false], [false, false, false, false, false], [true, true, false, true, true], [true, false, false, false, true]]> : tensor<5x5xi1>
  %e = tensor.empty() : tensor<2x5x5xi1>
  %keep = linalg.broadcast ins(%t : tensor<5x5xi1>) outs(%e : tensor<2x5x5xi1>) dimensions = [0]
  %big = arith.constant dense<-3.40282347E+38> : tensor<2x5x5xf32>
  %m = arith.select %keep, %s, %big : tensor<2x5x5xi1>, tensor<2x5x5xf32>
  // expected-remark @below {{attention raised (no mask, score region, 1 query head per key head)}}
  %p = tfm.softmax %m dim(2) : tensor<2x5x5xf32>
  %o = tfm.matmul %p, %v : tensor<2x5x5xf32>, tensor<2x5x8xf32> -> tensor<2x5x8xf32>
  return %o : tensor<2x5x8xf32>
}

// -----

// Padding that is known at run time can leave a row without a key.
// CHECK-LABEL: @padding
// CHECK-SAME: %[[P:[a-z0-9]+]]: tensor<5xi1>
// CHECK: score {
// CHECK: ^bb0(%{{.*}}: f32, %{{.*}}: index, %{{.*}}: index, %{{.*}}: index, %[[J:.*]]: index)
// CHECK: tensor.extract %[[P]][%[[J]]] : tensor<5xi1>
func.func @padding(%q: tensor<2x5x8xf32>, %k: tensor<2x5x8xf32>, %v: tensor<2x5x8xf32>, %pad: tensor<5xi1>) -> tensor<2x5x8xf32> {
  %s = tfm.matmul %q, %k transpose_b : tensor<2x5x8xf32>, tensor<2x5x8xf32> -> tensor<2x5x5xf32>
  %e1 = tensor.empty() : tensor<2x5x5xi32>
  %e = tensor.empty() : tensor<2x5x5xi1>
  %keep = linalg.broadcast ins(%pad : tensor<5xi1>) outs(%e : tensor<2x5x5xi1>) dimensions = [0, 1]
  %big = arith.constant dense<-3.40282347E+38> : tensor<2x5x5xf32>
  %m = arith.select %keep, %s, %big : tensor<2x5x5xi1>, tensor<2x5x5xf32>
  // expected-remark @below {{attention raised (no mask, score region, 1 query head per key head)}}
  %p = tfm.softmax %m dim(2) : tensor<2x5x5xf32>
  %o = tfm.matmul %p, %v : tensor<2x5x5xf32>, tensor<2x5x8xf32> -> tensor<2x5x8xf32>
  return %o : tensor<2x5x8xf32>
}

// -----

// With -inf such a row has no value in the graph.
// CHECK-LABEL: @padding_inf
// CHECK-SAME: %[[P:[a-z0-9]+]]: tensor<5xi1>
// CHECK: mask {
// CHECK: ^bb0(%{{.*}}: index, %{{.*}}: index, %{{.*}}: index, %[[J:.*]]: index)
// CHECK: tensor.extract %[[P]][%[[J]]] : tensor<5xi1>
func.func @padding_inf(%q: tensor<2x5x8xf32>, %k: tensor<2x5x8xf32>, %v: tensor<2x5x8xf32>, %pad: tensor<5xi1>) -> tensor<2x5x8xf32> {
  %s = tfm.matmul %q, %k transpose_b : tensor<2x5x8xf32>, tensor<2x5x8xf32> -> tensor<2x5x5xf32>
  %e = tensor.empty() : tensor<2x5x5xi1>
  %keep = linalg.broadcast ins(%pad : tensor<5xi1>) outs(%e : tensor<2x5x5xi1>) dimensions = [0, 1]
  %inf = arith.constant dense<0xFF800000> : tensor<2x5x5xf32>
  %m = arith.select %keep, %s, %inf : tensor<2x5x5xi1>, tensor<2x5x5xf32>
  // expected-remark @below {{attention raised (mask region, 1 query head per key head)}}
  %p = tfm.softmax %m dim(2) : tensor<2x5x5xf32>
  %o = tfm.matmul %p, %v : tensor<2x5x5xf32>, tensor<2x5x8xf32> -> tensor<2x5x8xf32>
  return %o : tensor<2x5x8xf32>
}

// -----

// Every token is in its own document, whatever the documents are.
// CHECK-LABEL: @documents
// CHECK-SAME: %[[P:[a-z0-9]+]]: tensor<5xi32>
// CHECK: mask {
// CHECK: arith.cmpi eq
func.func @documents(%q: tensor<2x5x8xf32>, %k: tensor<2x5x8xf32>, %v: tensor<2x5x8xf32>, %doc: tensor<5xi32>) -> tensor<2x5x8xf32> {
  %s = tfm.matmul %q, %k transpose_b : tensor<2x5x8xf32>, tensor<2x5x8xf32> -> tensor<2x5x5xf32>
  %e = tensor.empty() : tensor<2x5x5xi32>
  %a = linalg.broadcast ins(%doc : tensor<5xi32>) outs(%e : tensor<2x5x5xi32>) dimensions = [0, 2]
  %b = linalg.broadcast ins(%doc : tensor<5xi32>) outs(%e : tensor<2x5x5xi32>) dimensions = [0, 1]
  %keep = arith.cmpi eq, %a, %b : tensor<2x5x5xi32>
  %big = arith.constant dense<-3.40282347E+38> : tensor<2x5x5xf32>
  %m = arith.select %keep, %s, %big : tensor<2x5x5xi1>, tensor<2x5x5xf32>
  // expected-remark @below {{attention raised (mask region, 1 query head per key head)}}
  %p = tfm.softmax %m dim(2) : tensor<2x5x5xf32>
  %o = tfm.matmul %p, %v : tensor<2x5x5xf32>, tensor<2x5x8xf32> -> tensor<2x5x8xf32>
  return %o : tensor<2x5x8xf32>
}

// -----

// What is inside of tanh is the cap's quotient and the scale.
// CHECK-LABEL: @softcap
// CHECK: arith.constant 2.000000e+00 : f32
// CHECK: tfm.attention %{{.*}}, %{{.*}}, %{{.*}} scale(%{{.*}}) causal softcap(3.200000e+01) : 
func.func @softcap(%q: tensor<2x5x8xf32>, %k: tensor<2x5x8xf32>, %v: tensor<2x5x8xf32>, %ids: tensor<5xi32>) -> tensor<2x5x8xf32> {
  %s = tfm.matmul %q, %k transpose_b : tensor<2x5x8xf32>, tensor<2x5x8xf32> -> tensor<2x5x5xf32>
  %e1 = tensor.empty() : tensor<2x5x5xi32>
  %pos = tfm.positions %ids : tensor<5xi32> -> tensor<5xi32>
  %i = linalg.broadcast ins(%pos : tensor<5xi32>) outs(%e1 : tensor<2x5x5xi32>) dimensions = [0, 2]
  %j = linalg.broadcast ins(%pos : tensor<5xi32>) outs(%e1 : tensor<2x5x5xi32>) dimensions = [0, 1]
  %big = arith.constant dense<-3.40282347E+38> : tensor<2x5x5xf32>
  %c = arith.constant dense<32.0> : tensor<2x5x5xf32>
  %r = arith.constant dense<0.0625> : tensor<2x5x5xf32>
  %x = arith.mulf %s, %r : tensor<2x5x5xf32>
  %t = math.tanh %x : tensor<2x5x5xf32>
  %u = arith.mulf %c, %t : tensor<2x5x5xf32>
  %keep = arith.cmpi sge, %i, %j : tensor<2x5x5xi32>
  %m = arith.select %keep, %u, %big : tensor<2x5x5xi1>, tensor<2x5x5xf32>
  // expected-remark @below {{attention raised (causal, soft-cap, 1 query head per key head)}}
  %p = tfm.softmax %m dim(2) : tensor<2x5x5xf32>
  %o = tfm.matmul %p, %v : tensor<2x5x5xf32>, tensor<2x5x8xf32> -> tensor<2x5x8xf32>
  return %o : tensor<2x5x8xf32>
}

// -----

// CHECK-LABEL: @alibi
// CHECK-SAME: %[[A:[a-z0-9]+]]: tensor<2xf32>
// CHECK: tfm.attention %{{.*}}, %{{.*}}, %{{.*}} causal alibi(%[[A]] : tensor<2xf32>) : 
func.func @alibi(%q: tensor<2x5x8xf32>, %k: tensor<2x5x8xf32>, %v: tensor<2x5x8xf32>, %ids: tensor<5xi32>, %slopes: tensor<2xf32>) -> tensor<2x5x8xf32> {
  %s = tfm.matmul %q, %k transpose_b : tensor<2x5x8xf32>, tensor<2x5x8xf32> -> tensor<2x5x5xf32>
  %e1 = tensor.empty() : tensor<2x5x5xi32>
  %pos = tfm.positions %ids : tensor<5xi32> -> tensor<5xi32>
  %i = linalg.broadcast ins(%pos : tensor<5xi32>) outs(%e1 : tensor<2x5x5xi32>) dimensions = [0, 2]
  %j = linalg.broadcast ins(%pos : tensor<5xi32>) outs(%e1 : tensor<2x5x5xi32>) dimensions = [0, 1]
  %big = arith.constant dense<-3.40282347E+38> : tensor<2x5x5xf32>
  %d = arith.subi %i, %j : tensor<2x5x5xi32>
  %n = arith.sitofp %d : tensor<2x5x5xi32> to tensor<2x5x5xf32>
  %e = tensor.empty() : tensor<2x5x5xf32>
  %h = linalg.broadcast ins(%slopes : tensor<2xf32>) outs(%e : tensor<2x5x5xf32>) dimensions = [1, 2]
  %bias = arith.mulf %n, %h : tensor<2x5x5xf32>
  %b = arith.subf %s, %bias : tensor<2x5x5xf32>
  %keep = arith.cmpi sge, %i, %j : tensor<2x5x5xi32>
  %m = arith.select %keep, %b, %big : tensor<2x5x5xi1>, tensor<2x5x5xf32>
  // expected-remark @below {{attention raised (causal, alibi, 1 query head per key head)}}
  %p = tfm.softmax %m dim(2) : tensor<2x5x5xf32>
  %o = tfm.matmul %p, %v : tensor<2x5x5xf32>, tensor<2x5x8xf32> -> tensor<2x5x8xf32>
  return %o : tensor<2x5x8xf32>
}

// -----

// The position of the query drops out of a softmax over keys.
// CHECK-LABEL: @alibi_of_keys
// CHECK: tfm.attention %{{.*}}, %{{.*}}, %{{.*}} alibi(%{{.*}} : tensor<2xf32>) : 
func.func @alibi_of_keys(%q: tensor<2x5x8xf32>, %k: tensor<2x5x8xf32>, %v: tensor<2x5x8xf32>, %ids: tensor<5xi32>, %slopes: tensor<2xf32>) -> tensor<2x5x8xf32> {
  %s = tfm.matmul %q, %k transpose_b : tensor<2x5x8xf32>, tensor<2x5x8xf32> -> tensor<2x5x5xf32>
  %e1 = tensor.empty() : tensor<2x5x5xi32>
  %pos = tfm.positions %ids : tensor<5xi32> -> tensor<5xi32>
  %i = linalg.broadcast ins(%pos : tensor<5xi32>) outs(%e1 : tensor<2x5x5xi32>) dimensions = [0, 2]
  %j = linalg.broadcast ins(%pos : tensor<5xi32>) outs(%e1 : tensor<2x5x5xi32>) dimensions = [0, 1]
  %n = arith.sitofp %j : tensor<2x5x5xi32> to tensor<2x5x5xf32>
  %e = tensor.empty() : tensor<2x5x5xf32>
  %h = linalg.broadcast ins(%slopes : tensor<2xf32>) outs(%e : tensor<2x5x5xf32>) dimensions = [1, 2]
  %bias = arith.mulf %h, %n : tensor<2x5x5xf32>
  %b = arith.addf %bias, %s : tensor<2x5x5xf32>
  // expected-remark @below {{attention raised (no mask, alibi, 1 query head per key head)}}
  %p = tfm.softmax %b dim(2) : tensor<2x5x5xf32>
  %o = tfm.matmul %p, %v : tensor<2x5x5xf32>, tensor<2x5x8xf32> -> tensor<2x5x8xf32>
  return %o : tensor<2x5x8xf32>
}

// -----

// Biases that were rounded stay rounded: they are not what the positions say.
// CHECK-LABEL: @alibi_rounded
// CHECK-SAME: %[[A:[a-z0-9]+]]: tensor<2xf32>
// CHECK: score {
// CHECK: ^bb0(%[[S:.*]]: f32, %{{.*}}: index, %[[H:.*]]: index, %{{.*}}: index, %[[J:.*]]: index)
// CHECK-DAG: %[[X:.*]] = tensor.extract %[[A]][%[[H]]]
// CHECK-DAG: %[[J32:.*]] = arith.index_cast %[[J]] : index to i32
// CHECK-DAG: %[[P:.*]] = arith.sitofp %[[J32]] : i32 to f32
// CHECK: %[[M:.*]] = arith.mulf %[[X]], %[[P]]
// CHECK: %[[T:.*]] = arith.truncf %[[M]] : f32 to bf16
// CHECK: %[[B:.*]] = arith.extf %[[T]] : bf16 to f32
// CHECK: %[[R:.*]] = arith.addf %[[S]], %[[B]]
// CHECK: %[[Y:.*]] = arith.maximumf %[[R]]
// CHECK: tfm.yield %[[Y]]
func.func @alibi_rounded(%q: tensor<2x5x8xf32>, %k: tensor<2x5x8xf32>, %v: tensor<2x5x8xf32>, %ids: tensor<5xi32>, %slopes: tensor<2xf32>) -> tensor<2x5x8xf32> {
  %s = tfm.matmul %q, %k transpose_b : tensor<2x5x8xf32>, tensor<2x5x8xf32> -> tensor<2x5x5xf32>
  %e1 = tensor.empty() : tensor<2x5x5xi32>
  %pos = tfm.positions %ids : tensor<5xi32> -> tensor<5xi32>
  %j = linalg.broadcast ins(%pos : tensor<5xi32>) outs(%e1 : tensor<2x5x5xi32>) dimensions = [0, 1]
  %n = arith.sitofp %j : tensor<2x5x5xi32> to tensor<2x5x5xf32>
  %e = tensor.empty() : tensor<2x5x5xf32>
  %h = linalg.broadcast ins(%slopes : tensor<2xf32>) outs(%e : tensor<2x5x5xf32>) dimensions = [1, 2]
  %bias = arith.mulf %h, %n : tensor<2x5x5xf32>
  %narrow = arith.truncf %bias : tensor<2x5x5xf32> to tensor<2x5x5xbf16>
  %rounded = arith.extf %narrow : tensor<2x5x5xbf16> to tensor<2x5x5xf32>
  %b = arith.addf %s, %rounded : tensor<2x5x5xf32>
  // expected-remark @below {{attention raised (no mask, score region, 1 query head per key head)}}
  %p = tfm.softmax %b dim(2) : tensor<2x5x5xf32>
  %o = tfm.matmul %p, %v : tensor<2x5x5xf32>, tensor<2x5x8xf32> -> tensor<2x5x8xf32>
  return %o : tensor<2x5x8xf32>
}

// -----

// CHECK-LABEL: @bias
// CHECK-SAME: %[[B:[a-z0-9]+]]: tensor<5x5xf32>
// CHECK: score {
// CHECK: ^bb0(%[[S:.*]]: f32, %{{.*}}: index, %{{.*}}: index, %[[I:.*]]: index, %[[J:.*]]: index)
// CHECK: %[[X:.*]] = tensor.extract %[[B]][%[[I]], %[[J]]]
// CHECK: arith.addf %[[S]], %[[X]]
func.func @bias(%q: tensor<2x5x8xf32>, %k: tensor<2x5x8xf32>, %v: tensor<2x5x8xf32>, %bias: tensor<5x5xf32>) -> tensor<2x5x8xf32> {
  %s = tfm.matmul %q, %k transpose_b : tensor<2x5x8xf32>, tensor<2x5x8xf32> -> tensor<2x5x5xf32>
  %e = tensor.empty() : tensor<2x5x5xf32>
  %b = linalg.broadcast ins(%bias : tensor<5x5xf32>) outs(%e : tensor<2x5x5xf32>) dimensions = [0]
  %m = arith.addf %s, %b : tensor<2x5x5xf32>
  // expected-remark @below {{attention raised (no mask, score region, 1 query head per key head)}}
  %p = tfm.softmax %m dim(2) : tensor<2x5x5xf32>
  %o = tfm.matmul %p, %v : tensor<2x5x5xf32>, tensor<2x5x8xf32> -> tensor<2x5x8xf32>
  return %o : tensor<2x5x8xf32>
}

// -----

// Heads that are repeated are grouped-query attention; sizes are dynamic.
// CHECK-LABEL: @grouped
// CHECK-SAME: %[[Q:[a-z0-9]+]]: tensor<4x?x8xf32>, %[[K:[a-z0-9]+]]: tensor<2x?x8xf32>, %[[V:[a-z0-9]+]]: tensor<2x?x8xf32>
// CHECK: tfm.attention %[[Q]], %[[K]], %[[V]] : tensor<4x?x8xf32>, tensor<2x?x8xf32>, tensor<2x?x8xf32> -> tensor<4x?x8xf32>
func.func @grouped(%q: tensor<4x?x8xf32>, %k: tensor<2x?x8xf32>, %v: tensor<2x?x8xf32>) -> tensor<4x?x8xf32> {
  %c1 = arith.constant 1 : index
  %n = tensor.dim %k, %c1 : tensor<2x?x8xf32>
  %e = tensor.empty(%n) : tensor<2x2x?x8xf32>
  %k2 = linalg.broadcast ins(%k : tensor<2x?x8xf32>) outs(%e : tensor<2x2x?x8xf32>) dimensions = [1]
  %v2 = linalg.broadcast ins(%v : tensor<2x?x8xf32>) outs(%e : tensor<2x2x?x8xf32>) dimensions = [1]
  %k4 = tensor.collapse_shape %k2 [[0, 1], [2], [3]] : tensor<2x2x?x8xf32> into tensor<4x?x8xf32>
  %v4 = tensor.collapse_shape %v2 [[0, 1], [2], [3]] : tensor<2x2x?x8xf32> into tensor<4x?x8xf32>
  %s = tfm.matmul %q, %k4 transpose_b : tensor<4x?x8xf32>, tensor<4x?x8xf32> -> tensor<4x?x?xf32>
  // expected-remark @below {{attention raised (no mask, 2 query heads per key head)}}
  %p = tfm.softmax %s dim(2) : tensor<4x?x?xf32>
  %o = tfm.matmul %p, %v4 : tensor<4x?x?xf32>, tensor<4x?x8xf32> -> tensor<4x?x8xf32>
  return %o : tensor<4x?x8xf32>
}

// -----

// Repeated the other way: query head h goes with key head h mod 2, so queries change places.
// CHECK-LABEL: @tiled
// CHECK: tensor.expand_shape %{{.*}} {{\[\[}}0, 1], [2], [3]]
// CHECK: linalg.transpose {{.*}} permutation = [1, 0, 2, 3]
// CHECK: tfm.attention %{{.*}}, %{{.*}}, %{{.*}} : tensor<4x5x8xf32>, tensor<2x5x8xf32>, tensor<2x5x8xf32> -> tensor<4x5x8xf32>
// CHECK: linalg.transpose {{.*}} permutation = [1, 0, 2, 3]
func.func @tiled(%q: tensor<4x5x8xf32>, %k: tensor<2x5x8xf32>, %v: tensor<2x5x8xf32>) -> tensor<4x5x8xf32> {
  %e = tensor.empty() : tensor<2x2x5x8xf32>
  %k2 = linalg.broadcast ins(%k : tensor<2x5x8xf32>) outs(%e : tensor<2x2x5x8xf32>) dimensions = [0]
  %v2 = linalg.broadcast ins(%v : tensor<2x5x8xf32>) outs(%e : tensor<2x2x5x8xf32>) dimensions = [0]
  %k4 = tensor.collapse_shape %k2 [[0, 1], [2], [3]] : tensor<2x2x5x8xf32> into tensor<4x5x8xf32>
  %v4 = tensor.collapse_shape %v2 [[0, 1], [2], [3]] : tensor<2x2x5x8xf32> into tensor<4x5x8xf32>
  %s = tfm.matmul %q, %k4 transpose_b : tensor<4x5x8xf32>, tensor<4x5x8xf32> -> tensor<4x5x5xf32>
  // expected-remark @below {{attention raised (no mask, 2 query heads per key head)}}
  %p = tfm.softmax %s dim(2) : tensor<4x5x5xf32>
  %o = tfm.matmul %p, %v4 : tensor<4x5x5xf32>, tensor<4x5x8xf32> -> tensor<4x5x8xf32>
  return %o : tensor<4x5x8xf32>
}

// -----

// One head without a head dimension, everything transposed: o^T = v^T softmax(k q^T)^T.
// CHECK-LABEL: @turned
// CHECK: tfm.attention %{{.*}}, %{{.*}}, %{{.*}} : tensor<1x5x8xf32>, tensor<1x6x8xf32>, tensor<1x6x3xf32> -> tensor<1x5x3xf32>
func.func @turned(%q: tensor<5x8xf32>, %k: tensor<6x8xf32>, %vt: tensor<3x6xf32>) -> tensor<3x5xf32> {
  %zero = arith.constant dense<0.0> : tensor<6x5xf32>
  %e8 = tensor.empty() : tensor<8x5xf32>
  %qt = linalg.transpose ins(%q : tensor<5x8xf32>) outs(%e8 : tensor<8x5xf32>) permutation = [1, 0]
  %st = linalg.matmul ins(%k, %qt : tensor<6x8xf32>, tensor<8x5xf32>) outs(%zero : tensor<6x5xf32>) -> tensor<6x5xf32>
  %e5 = tensor.empty() : tensor<5x6xf32>
  %s = linalg.transpose ins(%st : tensor<6x5xf32>) outs(%e5 : tensor<5x6xf32>) permutation = [1, 0]
  // expected-remark @below {{attention raised (no mask, 1 query head per key head)}}
  %p = tfm.softmax %s dim(1) : tensor<5x6xf32>
  %o = tfm.matmul %vt, %p transpose_b : tensor<3x6xf32>, tensor<5x6xf32> -> tensor<3x5xf32>
  return %o : tensor<3x5xf32>
}

// -----

// Two products with the same probabilities, which are a result too.
// CHECK-LABEL: @probabilities_used_again
// CHECK-COUNT-2: tfm.attention
// CHECK-NOT: tfm.attention
// CHECK: return %{{.*}}, %{{.*}}, %{{.*}}
func.func @probabilities_used_again(%q: tensor<2x5x8xf32>, %k: tensor<2x5x8xf32>, %v: tensor<2x5x8xf32>, %w: tensor<2x5x8xf32>) -> (tensor<2x5x8xf32>, tensor<2x5x8xf32>, tensor<2x5x5xf32>) {
  %s = tfm.matmul %q, %k transpose_b : tensor<2x5x8xf32>, tensor<2x5x8xf32> -> tensor<2x5x5xf32>
  // expected-remark @below {{attention raised (no mask, 1 query head per key head)}}
  %p = tfm.softmax %s dim(2) : tensor<2x5x5xf32>
  %o = tfm.matmul %p, %v : tensor<2x5x5xf32>, tensor<2x5x8xf32> -> tensor<2x5x8xf32>
  %r = tfm.matmul %p, %w : tensor<2x5x5xf32>, tensor<2x5x8xf32> -> tensor<2x5x8xf32>
  return %o, %r, %p : tensor<2x5x8xf32>, tensor<2x5x8xf32>, tensor<2x5x5xf32>
}

// -----

// CHECK-LABEL: @negative_other_axis
// CHECK-NOT: tfm.attention
// CHECK: return
func.func @negative_other_axis(%q: tensor<2x5x8xf32>, %k: tensor<2x5x8xf32>, %v: tensor<2x5x8xf32>) -> tensor<2x5x8xf32> {
  %s = tfm.matmul %q, %k transpose_b : tensor<2x5x8xf32>, tensor<2x5x8xf32> -> tensor<2x5x5xf32>
  // expected-remark @below {{attention not raised: the softmax is along dimension 1, the product with the values sums over another}}
  %p = tfm.softmax %s dim(1) : tensor<2x5x5xf32>
  %o = tfm.matmul %p, %v : tensor<2x5x5xf32>, tensor<2x5x8xf32> -> tensor<2x5x8xf32>
  return %o : tensor<2x5x8xf32>
}

// -----

// CHECK-LABEL: @negative_non_linear
// CHECK-NOT: tfm.attention
// CHECK: return
func.func @negative_non_linear(%q: tensor<2x5x8xf32>, %k: tensor<2x5x8xf32>, %v: tensor<2x5x8xf32>) -> tensor<2x5x8xf32> {
  %s = tfm.matmul %q, %k transpose_b : tensor<2x5x8xf32>, tensor<2x5x8xf32> -> tensor<2x5x5xf32>
  // expected-remark @below {{attention not raised: 'math.exp' between the softmax and the product with the values}}
  %p = tfm.softmax %s dim(2) : tensor<2x5x5xf32>
  // expected-note @below {{see 'math.exp'}}
  %x = math.exp %p : tensor<2x5x5xf32>
  %o = tfm.matmul %x, %v : tensor<2x5x5xf32>, tensor<2x5x8xf32> -> tensor<2x5x8xf32>
  return %o : tensor<2x5x8xf32>
}

// -----

// CHECK-LABEL: @negative_selection
// CHECK-NOT: tfm.attention
// CHECK: return
func.func @negative_selection(%q: tensor<2x5x8xf32>, %k: tensor<2x5x8xf32>, %v: tensor<2x5x8xf32>, %c: tensor<2x5x5xi1>) -> tensor<2x5x8xf32> {
  %s = tfm.matmul %q, %k transpose_b : tensor<2x5x8xf32>, tensor<2x5x8xf32> -> tensor<2x5x5xf32>
  %zero = arith.constant dense<0.0> : tensor<2x5x5xf32>
  // expected-remark @below {{attention not raised: 'arith.select' between the softmax and the product with the values}}
  %p = tfm.softmax %s dim(2) : tensor<2x5x5xf32>
  // expected-note @below {{see 'arith.select'}}
  %x = arith.select %c, %p, %zero : tensor<2x5x5xi1>, tensor<2x5x5xf32>
  %o = tfm.matmul %x, %v : tensor<2x5x5xf32>, tensor<2x5x8xf32> -> tensor<2x5x8xf32>
  return %o : tensor<2x5x8xf32>
}

// -----

// A mask, or dropout that is not the identity.
// CHECK-LABEL: @negative_mask_after
// CHECK-NOT: tfm.attention
// CHECK: return
func.func @negative_mask_after(%q: tensor<2x5x8xf32>, %k: tensor<2x5x8xf32>, %v: tensor<2x5x8xf32>, %m: tensor<2x5x5xf32>) -> tensor<2x5x8xf32> {
  %s = tfm.matmul %q, %k transpose_b : tensor<2x5x8xf32>, tensor<2x5x8xf32> -> tensor<2x5x5xf32>
  // expected-remark @below {{attention not raised: 'arith.mulf' between the softmax and the product with the values}}
  %p = tfm.softmax %s dim(2) : tensor<2x5x5xf32>
  // expected-note @below {{see 'arith.mulf'}}
  %x = arith.mulf %p, %m : tensor<2x5x5xf32>
  %o = tfm.matmul %x, %v : tensor<2x5x5xf32>, tensor<2x5x8xf32> -> tensor<2x5x8xf32>
  return %o : tensor<2x5x8xf32>
}

// -----

// CHECK-LABEL: @negative_slice
// CHECK-NOT: tfm.attention
// CHECK: return
func.func @negative_slice(%q: tensor<2x5x8xf32>, %k: tensor<2x5x8xf32>, %v: tensor<2x5x8xf32>) -> tensor<2x5x8xf32> {
  %s = tfm.matmul %q, %k transpose_b : tensor<2x5x8xf32>, tensor<2x5x8xf32> -> tensor<2x5x5xf32>
  // expected-remark @below {{attention not raised: only some of the probabilities meet values}}
  %p = tfm.softmax %s dim(2) : tensor<2x5x5xf32>
  // expected-note @below {{see 'tensor.extract_slice'}}
  %x = tensor.extract_slice %p[0, 0, 0] [2, 5, 4] [1, 1, 1] : tensor<2x5x5xf32> to tensor<2x5x4xf32>
  %v4 = tensor.extract_slice %v[0, 0, 0] [2, 4, 8] [1, 1, 1] : tensor<2x5x8xf32> to tensor<2x4x8xf32>
  %o = tfm.matmul %x, %v4 : tensor<2x5x4xf32>, tensor<2x4x8xf32> -> tensor<2x5x8xf32>
  return %o : tensor<2x5x8xf32>
}

// -----

// The transposed probabilities meet the values; the matrix is square.
// CHECK-LABEL: @negative_transposed
// CHECK-NOT: tfm.attention
// CHECK: return
func.func @negative_transposed(%q: tensor<2x5x8xf32>, %k: tensor<2x5x8xf32>, %v: tensor<2x5x8xf32>) -> tensor<2x5x8xf32> {
  %s = tfm.matmul %q, %k transpose_b : tensor<2x5x8xf32>, tensor<2x5x8xf32> -> tensor<2x5x5xf32>
  // expected-remark @below {{attention not raised: the softmax is along dimension 2, the product with the values sums over another}}
  %p = tfm.softmax %s dim(2) : tensor<2x5x5xf32>
  %e = tensor.empty() : tensor<2x5x5xf32>
  %x = linalg.transpose ins(%p : tensor<2x5x5xf32>) outs(%e : tensor<2x5x5xf32>) permutation = [0, 2, 1]
  %o = tfm.matmul %x, %v : tensor<2x5x5xf32>, tensor<2x5x8xf32> -> tensor<2x5x8xf32>
  return %o : tensor<2x5x8xf32>
}

// -----

// CHECK-LABEL: @negative_no_values
// CHECK-NOT: tfm.attention
// CHECK: return
func.func @negative_no_values(%q: tensor<2x5x8xf32>, %k: tensor<2x5x8xf32>, %v: tensor<2x5x8xf32>) -> tensor<2x5x5xf32> {
  %s = tfm.matmul %q, %k transpose_b : tensor<2x5x8xf32>, tensor<2x5x8xf32> -> tensor<2x5x5xf32>
  // expected-remark @below {{attention not raised: the probabilities do not enter a product with values}}
  %p = tfm.softmax %s dim(2) : tensor<2x5x5xf32>
  return %p : tensor<2x5x5xf32>
}

// -----

// CHECK-LABEL: @negative_no_product
// CHECK-NOT: tfm.attention
// CHECK: return
func.func @negative_no_product(%s: tensor<2x5x5xf32>, %v: tensor<2x5x8xf32>) -> tensor<2x5x8xf32> {
  // expected-remark @below {{attention not raised: no product of queries and keys in the scores}}
  %p = tfm.softmax %s dim(2) : tensor<2x5x5xf32>
  %o = tfm.matmul %p, %v : tensor<2x5x5xf32>, tensor<2x5x8xf32> -> tensor<2x5x8xf32>
  return %o : tensor<2x5x8xf32>
}

// -----

// Scores of several heads are mixed.
// CHECK-LABEL: @negative_mixed_heads
// CHECK-NOT: tfm.attention
// CHECK: return
func.func @negative_mixed_heads(%q: tensor<2x5x8xf32>, %k: tensor<2x5x8xf32>, %v: tensor<2x5x8xf32>, %w: tensor<2x2xf32>) -> tensor<2x5x8xf32> {
  %s = tfm.matmul %q, %k transpose_b : tensor<2x5x8xf32>, tensor<2x5x8xf32> -> tensor<2x5x5xf32>
  %r = tensor.collapse_shape %s [[0], [1, 2]] : tensor<2x5x5xf32> into tensor<2x25xf32>
  // expected-note @below {{see 'tfm.matmul'}}
  %mixed = tfm.matmul %w, %r : tensor<2x2xf32>, tensor<2x25xf32> -> tensor<2x25xf32>
  %x = tensor.expand_shape %mixed [[0], [1, 2]] output_shape [2, 5, 5] : tensor<2x25xf32> into tensor<2x5x5xf32>
  // expected-remark @below {{attention not raised: the product in the scores is not one of queries and keys}}
  %p = tfm.softmax %x dim(2) : tensor<2x5x5xf32>
  %o = tfm.matmul %p, %v : tensor<2x5x5xf32>, tensor<2x5x8xf32> -> tensor<2x5x8xf32>
  return %o : tensor<2x5x8xf32>
}

// -----

// CHECK-LABEL: @negative_dynamic_heads
// CHECK-NOT: tfm.attention
// CHECK: return
func.func @negative_dynamic_heads(%q: tensor<?x?x5x8xf32>, %k: tensor<?x?x5x8xf32>, %v: tensor<?x?x5x8xf32>) -> tensor<?x?x5x8xf32> {
  %s = tfm.matmul %q, %k transpose_b : tensor<?x?x5x8xf32>, tensor<?x?x5x8xf32> -> tensor<?x?x5x5xf32>
  // expected-remark @below {{attention not raised: more than one batch dimension has no static size}}
  %p = tfm.softmax %s dim(3) : tensor<?x?x5x5xf32>
  // expected-note @below {{see 'tfm.matmul'}}
  %o = tfm.matmul %p, %v : tensor<?x?x5x5xf32>, tensor<?x?x5x8xf32> -> tensor<?x?x5x8xf32>
  return %o : tensor<?x?x5x8xf32>
}

// -----

// CHECK-LABEL: @negative_only_weights
// CHECK-NOT: tfm.attention
// CHECK: return
func.func @negative_only_weights(%x: tensor<5x8xf32>, %w1: tensor<6x8xf32>, %w2: tensor<3x6xf32>) -> tensor<5x3xf32> {
  %s = tfm.linear %x, %w1 : tensor<5x8xf32>, tensor<6x8xf32> -> tensor<5x6xf32>
  // expected-remark @below {{attention not raised: the probabilities do not enter a product with values}}
  %p = tfm.softmax %s dim(1) : tensor<5x6xf32>
  %o = tfm.linear %p, %w2 : tensor<5x6xf32>, tensor<3x6xf32> -> tensor<5x3xf32>
  return %o : tensor<5x3xf32>
}

// -----

// A softmax that is written as exponentials and their sum, as a quotient and as a product.
// CHECK-LABEL: @exponentials
// CHECK-SAME: %[[Q:[a-z0-9]+]]: tensor<2x5x8xf32>, %[[K:[a-z0-9]+]]: tensor<2x5x8xf32>, %[[V:[a-z0-9]+]]: tensor<2x5x8xf32>
// CHECK-COUNT-2: tfm.attention %[[Q]], %[[K]], %[[V]] : tensor<2x5x8xf32>
// CHECK-NOT: math.exp
func.func @exponentials(%q: tensor<2x5x8xf32>, %k: tensor<2x5x8xf32>, %v: tensor<2x5x8xf32>)
    -> (tensor<2x5x8xf32>, tensor<2x5x8xf32>) {
  %s = tfm.matmul %q, %k transpose_b : tensor<2x5x8xf32>, tensor<2x5x8xf32> -> tensor<2x5x5xf32>
  %zero = arith.constant dense<0.0> : tensor<2x5xf32>
  %low = arith.constant dense<0xFF800000> : tensor<2x5xf32>
  %one = arith.constant dense<1.0> : tensor<2x5xf32>
  %e = tensor.empty() : tensor<2x5x5xf32>
  %max = linalg.reduce ins(%s : tensor<2x5x5xf32>) outs(%low : tensor<2x5xf32>) dimensions = [2]
    (%a: f32, %b: f32) { %c = arith.maximumf %a, %b : f32 linalg.yield %c : f32 }
  %maxes = linalg.broadcast ins(%max : tensor<2x5xf32>) outs(%e : tensor<2x5x5xf32>) dimensions = [2]
  %x = arith.subf %s, %maxes : tensor<2x5x5xf32>
  %exp = math.exp %x : tensor<2x5x5xf32>
  %sum = linalg.reduce ins(%exp : tensor<2x5x5xf32>) outs(%zero : tensor<2x5xf32>) dimensions = [2]
    (%a: f32, %b: f32) { %c = arith.addf %a, %b : f32 linalg.yield %c : f32 }
  %sums = linalg.broadcast ins(%sum : tensor<2x5xf32>) outs(%e : tensor<2x5x5xf32>) dimensions = [2]
  // expected-remark @below {{attention raised (no mask, 1 query head per key head)}}
  %p = arith.divf %exp, %sums : tensor<2x5x5xf32>
  %o = tfm.matmul %p, %v : tensor<2x5x5xf32>, tensor<2x5x8xf32> -> tensor<2x5x8xf32>
  %exp1 = math.exp %x : tensor<2x5x5xf32>
  %sum1 = linalg.reduce ins(%exp1 : tensor<2x5x5xf32>) outs(%zero : tensor<2x5xf32>) dimensions = [2]
    (%a: f32, %b: f32) { %c = arith.addf %a, %b : f32 linalg.yield %c : f32 }
  %inverse = arith.divf %one, %sum1 : tensor<2x5xf32>
  %inverses = linalg.broadcast ins(%inverse : tensor<2x5xf32>) outs(%e : tensor<2x5x5xf32>) dimensions = [2]
  // expected-remark @below {{attention raised (no mask, 1 query head per key head)}}
  %p1 = arith.mulf %inverses, %exp1 : tensor<2x5x5xf32>
  %o1 = tfm.matmul %p1, %v : tensor<2x5x5xf32>, tensor<2x5x8xf32> -> tensor<2x5x8xf32>
  return %o, %o1 : tensor<2x5x8xf32>, tensor<2x5x8xf32>
}

// -----

// One more in the denominator, no normalisation, the sum of another dimension, and exponentials that
// can overflow.
// CHECK-LABEL: @negative_exponentials
// CHECK-NOT: tfm.attention
// CHECK-NOT: tfm.softmax
// CHECK: return
func.func @negative_exponentials(%q: tensor<2x5x8xf32>, %k: tensor<2x5x8xf32>, %v: tensor<2x5x8xf32>)
    -> (tensor<2x5x8xf32>, tensor<2x5x8xf32>, tensor<2x5x8xf32>, tensor<2x5x8xf32>) {
  %s0 = tfm.matmul %q, %k transpose_b : tensor<2x5x8xf32>, tensor<2x5x8xf32> -> tensor<2x5x5xf32>
  %low = arith.constant dense<0xFF800000> : tensor<2x5xf32>
  %max = linalg.reduce ins(%s0 : tensor<2x5x5xf32>) outs(%low : tensor<2x5xf32>) dimensions = [2]
    (%a: f32, %b: f32) { %c = arith.maximumf %a, %b : f32 linalg.yield %c : f32 }
  %e0 = tensor.empty() : tensor<2x5x5xf32>
  %maxes = linalg.broadcast ins(%max : tensor<2x5xf32>) outs(%e0 : tensor<2x5x5xf32>) dimensions = [2]
  %s = arith.subf %s0, %maxes : tensor<2x5x5xf32>
  %zero = arith.constant dense<0.0> : tensor<2x5xf32>
  %one = arith.constant dense<1.0> : tensor<2x5xf32>
  %e = tensor.empty() : tensor<2x5x5xf32>
  %exp = math.exp %s : tensor<2x5x5xf32>
  // expected-remark@+1 {{attention not raised: exponentials and their sum, but no quotient of the two is a softmax}}
  %sum = linalg.reduce ins(%exp : tensor<2x5x5xf32>) outs(%zero : tensor<2x5xf32>) dimensions = [2]
    (%a: f32, %b: f32) { %c = arith.addf %a, %b : f32 linalg.yield %c : f32 }
  %more = arith.addf %sum, %one : tensor<2x5xf32>
  %sums = linalg.broadcast ins(%more : tensor<2x5xf32>) outs(%e : tensor<2x5x5xf32>) dimensions = [2]
  %p = arith.divf %exp, %sums : tensor<2x5x5xf32>
  %o = tfm.matmul %p, %v : tensor<2x5x5xf32>, tensor<2x5x8xf32> -> tensor<2x5x8xf32>
  %o1 = tfm.matmul %exp, %v : tensor<2x5x5xf32>, tensor<2x5x8xf32> -> tensor<2x5x8xf32>
  %sums2 = linalg.broadcast ins(%sum : tensor<2x5xf32>) outs(%e : tensor<2x5x5xf32>) dimensions = [1]
  %p2 = arith.divf %exp, %sums2 : tensor<2x5x5xf32>
  %o2 = tfm.matmul %p2, %v : tensor<2x5x5xf32>, tensor<2x5x8xf32> -> tensor<2x5x8xf32>
  %exp3 = math.exp %s0 : tensor<2x5x5xf32>
  // expected-remark@+1 {{attention not raised: a sum of exponentials of something else than scores}}
  %sum3 = linalg.reduce ins(%exp3 : tensor<2x5x5xf32>) outs(%zero : tensor<2x5xf32>) dimensions = [2]
    (%a: f32, %b: f32) { %c = arith.addf %a, %b : f32 linalg.yield %c : f32 }
  %sums3 = linalg.broadcast ins(%sum3 : tensor<2x5xf32>) outs(%e : tensor<2x5x5xf32>) dimensions = [2]
  %p3 = arith.divf %exp3, %sums3 : tensor<2x5x5xf32>
  %o3 = tfm.matmul %p3, %v : tensor<2x5x5xf32>, tensor<2x5x8xf32> -> tensor<2x5x8xf32>
  return %o, %o1, %o2, %o3 : tensor<2x5x8xf32>, tensor<2x5x8xf32>, tensor<2x5x8xf32>, tensor<2x5x8xf32>
}

// -----

// There are as many keys as queries because both come from the rows of x, so the window keeps the
// diagonal and the mask is proved to keep a key in every row.
// CHECK-LABEL: @window_of_dynamic_size
// CHECK: tfm.attention %{{.*}}, %{{.*}}, %{{.*}} causal window(4) : tensor<2x?x8xf32>, tensor<1x?x8xf32>, tensor<1x?x8xf32> -> tensor<2x?x8xf32>
func.func @window_of_dynamic_size(%x: tensor<?x12xf32>, %wq: tensor<16x12xf32>, %wk: tensor<8x12xf32>,
                                  %wv: tensor<8x12xf32>) -> tensor<2x?x8xf32> {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?x12xf32>
  %q0 = tfm.linear %x, %wq : tensor<?x12xf32>, tensor<16x12xf32> -> tensor<?x16xf32>
  %k0 = tfm.linear %x, %wk : tensor<?x12xf32>, tensor<8x12xf32> -> tensor<?x8xf32>
  %v0 = tfm.linear %x, %wv : tensor<?x12xf32>, tensor<8x12xf32> -> tensor<?x8xf32>
  %q1 = tensor.expand_shape %q0 [[0], [1, 2]] output_shape [%n, 2, 8] : tensor<?x16xf32> into tensor<?x2x8xf32>
  %eq = tensor.empty(%n) : tensor<2x?x8xf32>
  %q = linalg.transpose ins(%q1 : tensor<?x2x8xf32>) outs(%eq : tensor<2x?x8xf32>) permutation = [1, 0, 2]
  %k = linalg.broadcast ins(%k0 : tensor<?x8xf32>) outs(%eq : tensor<2x?x8xf32>) dimensions = [0]
  %v = linalg.broadcast ins(%v0 : tensor<?x8xf32>) outs(%eq : tensor<2x?x8xf32>) dimensions = [0]
  %s = tfm.matmul %q, %k transpose_b : tensor<2x?x8xf32>, tensor<2x?x8xf32> -> tensor<2x?x?xf32>
  %ei = tensor.empty(%n, %n) : tensor<?x?xi32>
  %pos = tfm.positions %x : tensor<?x12xf32> -> tensor<?xi32>
  %i = linalg.broadcast ins(%pos : tensor<?xi32>) outs(%ei : tensor<?x?xi32>) dimensions = [1]
  %j = linalg.broadcast ins(%pos : tensor<?xi32>) outs(%ei : tensor<?x?xi32>) dimensions = [0]
  %w = arith.constant 4 : i32
  %ws = tensor.splat %w[%n, %n] : tensor<?x?xi32>
  %far = arith.subi %i, %j : tensor<?x?xi32>
  %near = arith.cmpi slt, %far, %ws : tensor<?x?xi32>
  %past = arith.cmpi sle, %j, %i : tensor<?x?xi32>
  %keep = arith.andi %past, %near : tensor<?x?xi1>
  %eb = tensor.empty(%n, %n) : tensor<2x?x?xi1>
  %keeps = linalg.broadcast ins(%keep : tensor<?x?xi1>) outs(%eb : tensor<2x?x?xi1>) dimensions = [0]
  %never = arith.constant -3.40282347E+38 : f32
  %nevers = tensor.splat %never[%n, %n] : tensor<2x?x?xf32>
  %m = arith.select %keeps, %s, %nevers : tensor<2x?x?xi1>, tensor<2x?x?xf32>
  // expected-remark @below {{attention raised (causal, window of 4, 2 query heads per key head)}}
  %p = tfm.softmax %m dim(2) : tensor<2x?x?xf32>
  %o = tfm.matmul %p, %v : tensor<2x?x?xf32>, tensor<2x?x8xf32> -> tensor<2x?x8xf32>
  return %o : tensor<2x?x8xf32>
}

// -----

// The same mask where nothing says that there are as many keys as queries.
// CHECK-LABEL: @window_without_proof
// CHECK-NOT: window(
// CHECK: score {
func.func @window_without_proof(%q: tensor<2x?x8xf32>, %k: tensor<2x?x8xf32>) -> tensor<2x?x8xf32> {
  %c1 = arith.constant 1 : index
  %n = tensor.dim %q, %c1 : tensor<2x?x8xf32>
  %t = tensor.dim %k, %c1 : tensor<2x?x8xf32>
  %s = tfm.matmul %q, %k transpose_b : tensor<2x?x8xf32>, tensor<2x?x8xf32> -> tensor<2x?x?xf32>
  %e = tensor.empty(%n, %t) : tensor<2x?x?xf32>
  %m = linalg.generic {indexing_maps = [affine_map<(h, i, j) -> (h, i, j)>, affine_map<(h, i, j) -> (h, i, j)>],
                       iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%s : tensor<2x?x?xf32>) outs(%e : tensor<2x?x?xf32>) {
  ^bb0(%x: f32, %out: f32):
    %i = linalg.index 1 : index
    %j = linalg.index 2 : index
    %far = arith.subi %i, %j : index
    %c4 = arith.constant 4 : index
    %keep = arith.cmpi slt, %far, %c4 : index
    %never = arith.constant -3.40282347E+38 : f32
    %y = arith.select %keep, %x, %never : f32
    linalg.yield %y : f32
  } -> tensor<2x?x?xf32>
  // expected-remark @below {{attention raised (no mask, score region, 1 query head per key head)}}
  %p = tfm.softmax %m dim(2) : tensor<2x?x?xf32>
  %o = tfm.matmul %p, %k : tensor<2x?x?xf32>, tensor<2x?x8xf32> -> tensor<2x?x8xf32>
  return %o : tensor<2x?x8xf32>
}

// -----

// Grouped heads in a dimension of their own, in a batch.
// CHECK-LABEL: @grouped_in_rank_5
// CHECK-SAME: %{{.*}}: tensor<3x2x2x5x8xf32>, %[[K:[a-z0-9]+]]: tensor<3x2x6x8xf32>, %[[V:[a-z0-9]+]]: tensor<3x2x6x8xf32>
// CHECK: tfm.attention %{{.*}}, %[[K]], %[[V]] : tensor<3x4x5x8xf32>, tensor<3x2x6x8xf32>, tensor<3x2x6x8xf32> -> tensor<3x4x5x8xf32>
func.func @grouped_in_rank_5(%q: tensor<3x2x2x5x8xf32>, %k: tensor<3x2x6x8xf32>, %v: tensor<3x2x6x8xf32>)
    -> tensor<3x2x2x5x8xf32> {
  %e = tensor.empty() : tensor<3x2x2x6x8xf32>
  %k2 = linalg.broadcast ins(%k : tensor<3x2x6x8xf32>) outs(%e : tensor<3x2x2x6x8xf32>) dimensions = [2]
  %v2 = linalg.broadcast ins(%v : tensor<3x2x6x8xf32>) outs(%e : tensor<3x2x2x6x8xf32>) dimensions = [2]
  %s = tfm.matmul %q, %k2 transpose_b
    : tensor<3x2x2x5x8xf32>, tensor<3x2x2x6x8xf32> -> tensor<3x2x2x5x6xf32>
  // expected-remark @below {{attention raised (no mask, 2 query heads per key head)}}
  %p = tfm.softmax %s dim(4) : tensor<3x2x2x5x6xf32>
  %o = tfm.matmul %p, %v2 : tensor<3x2x2x5x6xf32>, tensor<3x2x2x6x8xf32> -> tensor<3x2x2x5x8xf32>
  return %o : tensor<3x2x2x5x8xf32>
}

// -----

// Scores are multiplied by the mask before the rest of it is subtracted.
// CHECK-LABEL: @mask_times_scores
// CHECK: tfm.attention %{{.*}}, %{{.*}}, %{{.*}} causal : tensor<2x3x8xf32>
func.func @mask_times_scores(%q: tensor<2x3x8xf32>, %k: tensor<2x3x8xf32>, %v: tensor<2x3x8xf32>)
    -> tensor<2x3x8xf32> {
  %s = tfm.matmul %q, %k transpose_b : tensor<2x3x8xf32>, tensor<2x3x8xf32> -> tensor<2x3x3xf32>
  %b = arith.constant dense<[[1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [1.0, 1.0, 1.0]]> : tensor<3x3xf32>
  %one = arith.constant dense<1.0> : tensor<3x3xf32>
  %large = arith.constant dense<1.0e10> : tensor<3x3xf32>
  %c = arith.subf %one, %b : tensor<3x3xf32>
  %d = arith.mulf %large, %c : tensor<3x3xf32>
  %e = tensor.empty() : tensor<2x3x3xf32>
  %keep = linalg.broadcast ins(%b : tensor<3x3xf32>) outs(%e : tensor<2x3x3xf32>) dimensions = [0]
  %drop = linalg.broadcast ins(%d : tensor<3x3xf32>) outs(%e : tensor<2x3x3xf32>) dimensions = [0]
  %t = arith.mulf %s, %keep : tensor<2x3x3xf32>
  %m = arith.subf %t, %drop : tensor<2x3x3xf32>
  // expected-remark @below {{attention raised (causal, 1 query head per key head)}}
  %p = tfm.softmax %m dim(2) : tensor<2x3x3xf32>
  %o = tfm.matmul %p, %v : tensor<2x3x3xf32>, tensor<2x3x8xf32> -> tensor<2x3x8xf32>
  return %o : tensor<2x3x8xf32>
}

// -----

// One more column of scores, a number for each head, is a sink.
// CHECK-LABEL: @sinks
// CHECK-SAME: %[[Q:[a-z0-9]+]]: tensor<4x?x8xf32>, %[[K:[a-z0-9]+]]: tensor<2x?x8xf32>, %[[T:[a-z0-9]+]]: tensor<4xf32>
// CHECK: tfm.attention %[[Q]], %[[K]], %[[K]] sinks(%[[T]] : tensor<4xf32>) : tensor<4x?x8xf32>
// CHECK-NOT: tensor.concat
func.func @sinks(%q: tensor<4x?x8xf32>, %k: tensor<2x?x8xf32>, %sinks: tensor<4xf32>) -> tensor<4x?x8xf32> {
  %c1 = arith.constant 1 : index
  %m = tensor.dim %q, %c1 : tensor<4x?x8xf32>
  %n = tensor.dim %k, %c1 : tensor<2x?x8xf32>
  %e = tensor.empty(%n) : tensor<2x2x?x8xf32>
  %r = linalg.broadcast ins(%k : tensor<2x?x8xf32>) outs(%e : tensor<2x2x?x8xf32>) dimensions = [1]
  %k4 = tensor.collapse_shape %r [[0, 1], [2], [3]] : tensor<2x2x?x8xf32> into tensor<4x?x8xf32>
  %s = tfm.matmul %q, %k4 transpose_b : tensor<4x?x8xf32>, tensor<4x?x8xf32> -> tensor<4x?x?xf32>
  %f = tensor.empty(%m) : tensor<4x?xf32>
  %t = linalg.broadcast ins(%sinks : tensor<4xf32>) outs(%f : tensor<4x?xf32>) dimensions = [1]
  %column = tensor.expand_shape %t [[0], [1, 2]] output_shape [4, %m, 1] : tensor<4x?xf32> into tensor<4x?x1xf32>
  %all = tensor.concat dim(2) %s, %column : (tensor<4x?x?xf32>, tensor<4x?x1xf32>) -> tensor<4x?x?xf32>
  // expected-remark @below {{attention raised (no mask, sinks, 2 query heads per key head)}}
  %p = tfm.softmax %all dim(2) : tensor<4x?x?xf32>
  %w = tensor.extract_slice %p[0, 0, 0] [4, %m, %n] [1, 1, 1] : tensor<4x?x?xf32> to tensor<4x?x?xf32>
  %o = tfm.matmul %w, %k4 : tensor<4x?x?xf32>, tensor<4x?x8xf32> -> tensor<4x?x8xf32>
  return %o : tensor<4x?x8xf32>
}

// -----

// The column differs between queries: that is no sink.
// CHECK-LABEL: @negative_sink_per_query
// CHECK: tfm.softmax
func.func @negative_sink_per_query(%q: tensor<4x5x8xf32>, %k: tensor<4x5x8xf32>, %column: tensor<4x5x1xf32>) -> tensor<4x5x8xf32> {
  %s = tfm.matmul %q, %k transpose_b : tensor<4x5x8xf32>, tensor<4x5x8xf32> -> tensor<4x5x5xf32>
  %all = tensor.concat dim(2) %s, %column : (tensor<4x5x5xf32>, tensor<4x5x1xf32>) -> tensor<4x5x6xf32>
  // expected-remark @below {{attention not raised: the extra column of the scores is not a number per head}}
  %p = tfm.softmax %all dim(2) : tensor<4x5x6xf32>
  %w = tensor.extract_slice %p[0, 0, 0] [4, 5, 5] [1, 1, 1] : tensor<4x5x6xf32> to tensor<4x5x5xf32>
  %o = tfm.matmul %w, %k : tensor<4x5x5xf32>, tensor<4x5x8xf32> -> tensor<4x5x8xf32>
  return %o : tensor<4x5x8xf32>
}

// -----

// Not all probabilities meet values.
// CHECK-LABEL: @negative_sink_and_selection
// CHECK: tfm.softmax
func.func @negative_sink_and_selection(%q: tensor<4x5x8xf32>, %k: tensor<4x5x8xf32>, %column: tensor<4x5x1xf32>, %v: tensor<4x3x8xf32>)
    -> tensor<4x5x8xf32> {
  %s = tfm.matmul %q, %k transpose_b : tensor<4x5x8xf32>, tensor<4x5x8xf32> -> tensor<4x5x5xf32>
  %all = tensor.concat dim(2) %s, %column : (tensor<4x5x5xf32>, tensor<4x5x1xf32>) -> tensor<4x5x6xf32>
  // expected-remark @below {{attention not raised: only some of the probabilities meet values}}
  %p = tfm.softmax %all dim(2) : tensor<4x5x6xf32>
  %w = tensor.extract_slice %p[0, 0, 0] [4, 5, 3] [1, 1, 1] : tensor<4x5x6xf32> to tensor<4x5x3xf32>
  %o = tfm.matmul %w, %v : tensor<4x5x3xf32>, tensor<4x3x8xf32> -> tensor<4x5x8xf32>
  return %o : tensor<4x5x8xf32>
}

// -----

// A router's probabilities weigh no values: nothing is missed.
// CHECK-LABEL: @router
// CHECK: tfm.softmax
// CHECK: tfm.route
func.func @router(%logits: tensor<?x4xf32>) -> (tensor<?x2xi32>, tensor<?x2xf32>) {
  %p = tfm.softmax %logits dim(1) : tensor<?x4xf32>
  %ids, %w = tfm.route %p : tensor<?x4xf32> -> tensor<?x2xi32>, tensor<?x2xf32>
  return %ids, %w : tensor<?x2xi32>, tensor<?x2xf32>
}

// -----

// A bias by distance: a table that is read at computed places stays a table, in the score region.
// CHECK-LABEL: @distance_bias
// CHECK: %[[O:.*]] = tfm.attention %{{.*}}, %{{.*}}, %{{.*}} score {
// CHECK: ^bb0(%[[S:.*]]: f32, %{{.*}}: index, %[[H:.*]]: index, %[[I:.*]]: index, %[[J:.*]]: index):
// CHECK: %[[D:.*]] = arith.subi
// CHECK: %[[C:.*]] = arith.maxsi %[[D]]
// CHECK: %[[N:.*]] = arith.index_cast
// CHECK: %[[BUCKET:.*]] = tensor.extract %{{.*}}[%[[N]]] : tensor<5xi32>
// CHECK: %[[B:.*]] = arith.index_cast %[[BUCKET]]
// CHECK: %[[BIAS:.*]] = tensor.extract %arg3[%[[B]], %[[H]]] : tensor<3x2xf32>
// CHECK: %[[T:.*]] = arith.addf %[[S]], %[[BIAS]]
func.func @distance_bias(%q: tensor<2x?x8xf32>, %k: tensor<2x?x8xf32>, %v: tensor<2x?x8xf32>, %table: tensor<3x2xf32>,
                         %ids: tensor<?xi32>) -> tensor<2x?x8xf32> {
  %c1 = arith.constant 1 : index
  %n = tensor.dim %q, %c1 : tensor<2x?x8xf32>
  %buckets = arith.constant dense<[2, 1, 0, 1, 2]> : tensor<5xi32>
  %p = tfm.positions %ids : tensor<?xi32> -> tensor<?xi32>
  %e = tensor.empty(%n, %n) : tensor<2x?x?xf32>
  %bias = linalg.generic {indexing_maps = [affine_map<(h, i, j) -> (i)>, affine_map<(h, i, j) -> (j)>, affine_map<(h, i, j) -> (h, i, j)>],
                          iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%p, %p : tensor<?xi32>, tensor<?xi32>) outs(%e : tensor<2x?x?xf32>) {
  ^bb0(%i: i32, %j: i32, %o: f32):
    %low = arith.constant -2 : i32
    %high = arith.constant 2 : i32
    %d = arith.subi %j, %i : i32
    %d0 = arith.maxsi %d, %low : i32
    %d1 = arith.minsi %d0, %high : i32
    %d2 = arith.addi %d1, %high : i32
    %d3 = arith.index_cast %d2 : i32 to index
    %b = tensor.extract %buckets[%d3] : tensor<5xi32>
    %b0 = arith.index_cast %b : i32 to index
    %h = linalg.index 0 : index
    %x = tensor.extract %table[%b0, %h] : tensor<3x2xf32>
    linalg.yield %x : f32
  } -> tensor<2x?x?xf32>
  %s = tfm.matmul %q, %k transpose_b : tensor<2x?x8xf32>, tensor<2x?x8xf32> -> tensor<2x?x?xf32>
  %t = arith.addf %s, %bias : tensor<2x?x?xf32>
  // expected-remark @below {{attention raised}}
  %w = tfm.softmax %t dim(2) : tensor<2x?x?xf32>
  %r = tfm.matmul %w, %v : tensor<2x?x?xf32>, tensor<2x?x8xf32> -> tensor<2x?x8xf32>
  return %r : tensor<2x?x8xf32>
}
