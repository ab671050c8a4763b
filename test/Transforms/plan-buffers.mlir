// RUN: ingot-opt %s --plan-buffers --canonicalize --cse | FileCheck %s

plan.kernel @neg(%x: tensor<?x8xf32>) -> tensor<?x8xf32> attributes {schedule = #plan.schedule<rows>} {
  %0 = arith.negf %x : tensor<?x8xf32>
  plan.yield %0 : tensor<?x8xf32>
}
plan.kernel @append(%c: !tfm.cache<2x4x4xf32>, %k: tensor<?x2x4xf32>, %b: !tfm.batch) -> !tfm.cache<2x4x4xf32>
    attributes {schedule = #plan.schedule<append>} {
  %0 = tfm.cache_append %c, %k, %k batch(%b) : !tfm.cache<2x4x4xf32>, tensor<?x2x4xf32>, tensor<?x2x4xf32>
  plan.yield %0 : !tfm.cache<2x4x4xf32>
}
plan.kernel @global(%q: tensor<?x2x4xf32>, %c: !tfm.cache<2x4x4xf32>, %b: !tfm.batch) -> tensor<?x8xf32>
    attributes {schedule = #plan.schedule<attention, tileRows = 16>} {
  %0 = tfm.attention %q, %c batch(%b) causal : tensor<?x2x4xf32>, !tfm.cache<2x4x4xf32> -> tensor<?x2x4xf32>
  %1 = tensor.collapse_shape %0 [[0], [1, 2]] : tensor<?x2x4xf32> into tensor<?x8xf32>
  plan.yield %1 : tensor<?x8xf32>
}
plan.kernel @local(%q: tensor<?x2x4xf32>, %c: !tfm.cache<2x4x4xf32>, %b: !tfm.batch) -> tensor<?x8xf32>
    attributes {schedule = #plan.schedule<attention, tileRows = 16>} {
  %0 = tfm.attention %q, %c batch(%b) causal window(9) : tensor<?x2x4xf32>, !tfm.cache<2x4x4xf32> -> tensor<?x2x4xf32>
  %1 = tensor.collapse_shape %0 [[0], [1, 2]] : tensor<?x2x4xf32> into tensor<?x8xf32>
  plan.yield %1 : tensor<?x8xf32>
}

// Three values that follow each other need two slots; the output has none. Calls are flattened, names stay.
// CHECK-LABEL: plan.program @chain
// CHECK-SAME: (%[[X:.*]]: tensor<?x8xf32> {plan.name = "x"}) -> (tensor<?x8xf32> {plan.name = "y"})
// CHECK: %[[N:.*]] = tensor.dim %[[X]], %c0
// CHECK: plan.dispatch @neg(%[[X]]) sizes(%[[N]]) grid(%[[N]]) slots [0] cost(%[[N]]) classes [2] coefficients [64]
// CHECK: plan.dispatch @neg{{.*}} slots [1]
// CHECK: plan.dispatch @neg{{.*}} slots [0]
// CHECK: plan.dispatch @neg{{.*}} slots [-1]
// CHECK: plan.slot 0 bytes(%[[B:.*]])
// CHECK: plan.slot 1 bytes(%[[B]])
// CHECK-NOT: plan.slot
func.func private @twice(%x: tensor<?x8xf32>) -> tensor<?x8xf32> {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?x8xf32>
  %0 = plan.dispatch @neg(%x) sizes(%n) : (tensor<?x8xf32>) -> tensor<?x8xf32>
  %m = tensor.dim %0, %c0 : tensor<?x8xf32>
  %1 = plan.dispatch @neg(%0) sizes(%m) : (tensor<?x8xf32>) -> tensor<?x8xf32>
  return %1 : tensor<?x8xf32>
}
func.func @chain(%x: tensor<?x8xf32> {plan.name = "x"}) -> (tensor<?x8xf32> {plan.name = "y"}) {
  %0 = call @twice(%x) : (tensor<?x8xf32>) -> tensor<?x8xf32>
  %1 = call @twice(%0) : (tensor<?x8xf32>) -> tensor<?x8xf32>
  return %1 : tensor<?x8xf32>
}

// The largest values choose first: a small one never keeps a large slot from a large one, so no slot is added for it.
// CHECK-LABEL: plan.program @sizes
// CHECK: plan.dispatch @neg_fixed{{.*}} slots [0]
// CHECK: plan.dispatch @shrink{{.*}} slots [1]
// CHECK: plan.dispatch @halve{{.*}} slots [2]
// CHECK: plan.dispatch @grow{{.*}} slots [0]
// CHECK: plan.dispatch @join{{.*}} slots [-1]
// CHECK: plan.slot 0 bytes(%c128)
// CHECK: plan.slot 1 bytes(%c32)
// CHECK: plan.slot 2 bytes(%c32)
// CHECK-NOT: plan.slot
plan.kernel @neg_fixed(%x: tensor<4x8xf32>) -> tensor<4x8xf32> attributes {schedule = #plan.schedule<rows>} {
  %0 = arith.negf %x : tensor<4x8xf32>
  plan.yield %0 : tensor<4x8xf32>
}
plan.kernel @shrink(%x: tensor<4x8xf32>) -> tensor<4x2xf32> attributes {schedule = #plan.schedule<rows>} {
  %0 = tensor.extract_slice %x[0, 0] [4, 2] [1, 1] : tensor<4x8xf32> to tensor<4x2xf32>
  plan.yield %0 : tensor<4x2xf32>
}
plan.kernel @halve(%x: tensor<4x2xf32>) -> tensor<4x2xf32> attributes {schedule = #plan.schedule<rows>} {
  %0 = arith.negf %x : tensor<4x2xf32>
  plan.yield %0 : tensor<4x2xf32>
}
plan.kernel @grow(%x: tensor<4x2xf32>) -> tensor<4x8xf32> attributes {schedule = #plan.schedule<rows>} {
  %0 = tensor.concat dim(1) %x, %x, %x, %x : (tensor<4x2xf32>, tensor<4x2xf32>, tensor<4x2xf32>, tensor<4x2xf32>) -> tensor<4x8xf32>
  plan.yield %0 : tensor<4x8xf32>
}
plan.kernel @join(%x: tensor<4x8xf32>, %y: tensor<4x2xf32>, %z: tensor<4x2xf32>) -> tensor<4x12xf32> attributes {schedule = #plan.schedule<rows>} {
  %0 = tensor.concat dim(1) %x, %y, %z : (tensor<4x8xf32>, tensor<4x2xf32>, tensor<4x2xf32>) -> tensor<4x12xf32>
  plan.yield %0 : tensor<4x12xf32>
}
func.func @sizes(%x: tensor<4x8xf32>) -> tensor<4x12xf32> {
  %large = plan.dispatch @neg_fixed(%x) : (tensor<4x8xf32>) -> tensor<4x8xf32>
  %small = plan.dispatch @shrink(%large) : (tensor<4x8xf32>) -> tensor<4x2xf32>
  %other = plan.dispatch @halve(%small) : (tensor<4x2xf32>) -> tensor<4x2xf32>
  %again = plan.dispatch @grow(%other) : (tensor<4x2xf32>) -> tensor<4x8xf32>
  %all = plan.dispatch @join(%again, %small, %other) : (tensor<4x8xf32>, tensor<4x2xf32>, tensor<4x2xf32>) -> tensor<4x12xf32>
  return %all : tensor<4x12xf32>
}

// Sites with another window have pages of their own; rows come from the batch; a grid of items times heads.
// CHECK-LABEL: plan.program @groups
// CHECK-SAME: !tfm.cache<2x4x4xf32> {plan.group = 0 : i64, plan.offset = 0 : i64}
// CHECK-SAME: !tfm.cache<2x4x4xf32> {plan.group = 1 : i64, plan.offset = 0 : i64}
// CHECK-SAME: !tfm.cache<2x4x4xf32> {plan.group = 0 : i64, plan.offset = 4096 : i64}
// CHECK: %[[T:.*]] = tfm.batch_dim %{{.*}} tokens
// CHECK: plan.dispatch @append{{.*}} grid(%[[T]]) slots [-1]
// CHECK: %[[I:.*]] = tfm.batch_dim %{{.*}} items
// CHECK: %[[G:.*]] = arith.muli %[[I]], %c2
// CHECK: plan.dispatch @global{{.*}} grid(%[[G]])
func.func @groups(%q: tensor<?x2x4xf32>, %b: !tfm.batch, %c0: !tfm.cache<2x4x4xf32>, %c1: !tfm.cache<2x4x4xf32>, %c2: !tfm.cache<2x4x4xf32>)
    -> (tensor<?x8xf32>, tensor<?x8xf32>, tensor<?x8xf32>, !tfm.cache<2x4x4xf32>, !tfm.cache<2x4x4xf32>, !tfm.cache<2x4x4xf32>) {
  %z = arith.constant 0 : index
  %n = tensor.dim %q, %z : tensor<?x2x4xf32>
  %d0 = plan.dispatch @append(%c0, %q, %b) : (!tfm.cache<2x4x4xf32>, tensor<?x2x4xf32>, !tfm.batch) -> !tfm.cache<2x4x4xf32>
  %0 = plan.dispatch @global(%q, %d0, %b) sizes(%n) : (tensor<?x2x4xf32>, !tfm.cache<2x4x4xf32>, !tfm.batch) -> tensor<?x8xf32>
  %d1 = plan.dispatch @append(%c1, %q, %b) : (!tfm.cache<2x4x4xf32>, tensor<?x2x4xf32>, !tfm.batch) -> !tfm.cache<2x4x4xf32>
  %1 = plan.dispatch @local(%q, %d1, %b) sizes(%n) : (tensor<?x2x4xf32>, !tfm.cache<2x4x4xf32>, !tfm.batch) -> tensor<?x8xf32>
  %d2 = plan.dispatch @append(%c2, %q, %b) : (!tfm.cache<2x4x4xf32>, tensor<?x2x4xf32>, !tfm.batch) -> !tfm.cache<2x4x4xf32>
  %2 = plan.dispatch @global(%q, %d2, %b) sizes(%n) : (tensor<?x2x4xf32>, !tfm.cache<2x4x4xf32>, !tfm.batch) -> tensor<?x8xf32>
  return %0, %1, %2, %d0, %d1, %d2 : tensor<?x8xf32>, tensor<?x8xf32>, tensor<?x8xf32>, !tfm.cache<2x4x4xf32>, !tfm.cache<2x4x4xf32>, !tfm.cache<2x4x4xf32>
}

plan.kernel @experts(%x: tensor<?x6xf32>, %w: tensor<320x6xf32, #plan.panels<64, 1, 4>>, %ids: tensor<?x2xi32>) -> tensor<?x2x80xf32>
    attributes {schedule = #plan.schedule<experts>} {
  %0 = tfm.expert_linear %x, %w ids(%ids : tensor<?x2xi32>) experts(4)
    : tensor<?x6xf32>, tensor<320x6xf32, #plan.panels<64, 1, 4>> -> tensor<?x2x80xf32>
  plan.yield %0 : tensor<?x2x80xf32>
}

// Five sub-panels of four experts are the work; the weights are those of at most two experts a token, and of four.
// CHECK-LABEL: plan.program @mixture
// CHECK-DAG: %[[E:.*]] = arith.constant 4 : index
// CHECK-DAG: %[[G:.*]] = arith.constant 20 : index
// CHECK: %[[N:.*]] = tensor.dim
// CHECK: %[[C:.*]] = arith.muli %[[N]], %c2
// CHECK: %[[MIN:.*]] = arith.minsi %[[C]], %[[E]]
// CHECK: plan.dispatch @experts{{.*}} grid(%[[G]]) {{.*}} cost(%[[MIN]], %[[N]]{{.*}}) classes [0, 3, 2, 2] coefficients [1920,
func.func @mixture(%x: tensor<?x6xf32> {plan.name = "x"}, %ids: tensor<?x2xi32> {plan.name = "ids"}) -> (tensor<?x2x80xf32> {plan.name = "y"}) {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?x6xf32>
  %p = tfm.parameter "w" from "m" at 0 : tensor<320x6xf32>
  %w = plan.pack %p : tensor<320x6xf32> -> tensor<320x6xf32, #plan.panels<64, 1, 4>>
  %0 = plan.dispatch @experts(%x, %w, %ids) sizes(%n)
    : (tensor<?x6xf32>, tensor<320x6xf32, #plan.panels<64, 1, 4>>, tensor<?x2xi32>) -> tensor<?x2x80xf32>
  return %0 : tensor<?x2x80xf32>
}
