//===- KernelBuilder.cpp - emits the vector code of one kernel --------------------------------===//

#include "KernelBuilder.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace ingot::codegen;

KernelBuilder::KernelBuilder(ModuleOp module, StringRef name, Location loc)
    : b(module.getContext()), loc(loc), module(module), errorLoc(loc) {
  i1 = b.getI1Type();
  i8 = b.getI8Type();
  i16 = b.getI16Type();
  i32 = b.getI32Type();
  i64 = b.getI64Type();
  f16 = b.getF16Type();
  f32 = b.getF32Type();
  f64 = b.getF64Type();
  ptr = LLVM::LLVMPointerType::get(module.getContext());
  b.setInsertionPointToEnd(module.getBody());
  auto function = func::FuncOp::create(b, loc, name, b.getFunctionType({ptr, i64, i64}, {}));
  entry = function.addEntryBlock();
  scopes.push_back({entry, nullptr, false});
}

void KernelBuilder::finish() {
  toInnermost();
  func::ReturnOp::create(b, loc);
}

void KernelBuilder::fail(Operation *op, const Twine &why) {
  if (hasFailed())
    return;
  error =
      (Twine("'") + op->getName().getStringRef() + "' cannot be compiled for a CPU: " + why).str();
  errorLoc = op->getLoc();
}

Type KernelBuilder::registerType(Type element) const {
  if (element.isIndex())
    return i64;
  return element.isBF16() ? i16 : element;
}

//===----------------------------------------------------------------------===//
// Scopes
//===----------------------------------------------------------------------===//

std::optional<unsigned> KernelBuilder::depthOf(Value value) const {
  Block *block = value.getParentBlock();
  for (unsigned i = scopes.size(); i--;)
    if (scopes[i].block == block)
      return i;
  return std::nullopt;
}

unsigned KernelBuilder::guardDepth() const {
  for (unsigned i = scopes.size(); i--;)
    if (scopes[i].guard)
      return i;
  return 0;
}

void KernelBuilder::toInnermost() {
  Scope &scope = scopes.back();
  if (scope.child)
    b.setInsertionPoint(scope.child);
  else
    b.setInsertionPointToEnd(scope.block);
}

void KernelBuilder::enter(Block *block, Operation *op, bool guard) {
  if (block->mightHaveTerminator())
    block->getTerminator()->erase();
  savedChildren.push_back(scopes.back().child);
  scopes.back().child = op;
  scopes.push_back({block, nullptr, guard});
}

void KernelBuilder::leave() {
  scopes.pop_back();
  scopes.back().child = savedChildren.pop_back_val();
}

void KernelBuilder::atDepth(unsigned depth, function_ref<void()> body) {
  SmallVector<Scope> all = scopes;
  scopes.resize(depth + 1);
  body();
  scopes = all;
}

Value KernelBuilder::place(Operation *op, bool speculatable, unsigned result) {
  SmallVector<OpFoldResult, 1> folded;
  // A constant folds to itself.
  if (!op->hasTrait<OpTrait::ConstantLike>() && succeeded(op->fold(folded)) && !folded.empty()) {
    OpFoldResult value = folded[result];
    op->erase();
    if (auto attr = dyn_cast<Attribute>(value))
      return constant(cast<TypedAttr>(attr));
    return cast<Value>(value);
  }
  unsigned target = speculatable ? 0 : guardDepth();
  for (Value operand : op->getOperands()) {
    std::optional<unsigned> at = depthOf(operand);
    assert(at && "operand is not visible here");
    target = std::max(target, *at);
  }
  unsigned hash = OperationEquivalence::computeHash(op, OperationEquivalence::directHashValue,
                                                    OperationEquivalence::ignoreHashValue,
                                                    OperationEquivalence::IgnoreLocations);
  for (Operation *other : known[hash])
    if (depthOf(other->getResult(0)) &&
        OperationEquivalence::isEquivalentTo(op, other, OperationEquivalence::IgnoreLocations)) {
      op->erase();
      return other->getResult(result);
    }
  if (target < depth())
    op->moveBefore(scopes[target].child);
  known[hash].push_back(op);
  return op->getResult(result);
}

Value KernelBuilder::makeGeneric(OperationState &state, unsigned result) {
  toInnermost();
  return place(b.create(state), /*speculatable=*/true, result);
}

//===----------------------------------------------------------------------===//
// Constants
//===----------------------------------------------------------------------===//

Value KernelBuilder::constant(TypedAttr attr) { return make<arith::ConstantOp>(attr); }

Value KernelBuilder::constantInt(Type type, int64_t value) {
  Type element = getElementTypeOrSelf(type);
  TypedAttr scalar = IntegerAttr::get(element, value);
  if (auto vector = dyn_cast<VectorType>(type))
    return constant(DenseElementsAttr::get(vector, scalar));
  return constant(scalar);
}

Value KernelBuilder::constantFloat(Type type, double value) {
  TypedAttr scalar = FloatAttr::get(getElementTypeOrSelf(type), value);
  if (auto vector = dyn_cast<VectorType>(type))
    return constant(DenseElementsAttr::get(vector, scalar));
  return constant(scalar);
}

Value KernelBuilder::zero(Type type) { return constant(cast<TypedAttr>(b.getZeroAttr(type))); }

Value KernelBuilder::iota(Type element, int64_t scale) {
  SmallVector<Attribute> values;
  for (int64_t lane = 0; lane < kLanes; ++lane)
    values.push_back(IntegerAttr::get(element, lane * scale));
  return constant(DenseElementsAttr::get(vec(element), values));
}

Value KernelBuilder::firstLanes(int64_t count) {
  SmallVector<bool> values;
  for (int64_t lane = 0; lane < kLanes; ++lane)
    values.push_back(lane < count);
  return constant(DenseElementsAttr::get(vec(i1), values));
}

Value KernelBuilder::firstLanes(Value count) {
  Value bounded = make<arith::TruncIOp>(i32, min(count, c(kLanes)));
  return lt(iota(i32), broadcast(bounded));
}

//===----------------------------------------------------------------------===//
// Pure operations
//===----------------------------------------------------------------------===//

Value KernelBuilder::select(Value condition, Value a, Value x) {
  return make<arith::SelectOp>(condition, a, x);
}

Value KernelBuilder::fma(Value a, Value x, Value acc) {
  // Not vector.fma: it becomes llvm.fmuladd, which is not fused where contraction is forbidden.
  return make<LLVM::FMAOp>(a, x, acc);
}

Value KernelBuilder::dotPairs(Value acc, Value a, Value x) {
  auto pairs = VectorType::get({2 * kLanes}, b.getBF16Type());
  a = make<LLVM::BitcastOp>(pairs, a);
  x = make<LLVM::BitcastOp>(pairs, x);
  return make<LLVM::CallIntrinsicOp>(
      acc.getType(), b.getStringAttr("llvm.x86.avx512bf16.dpbf16ps.512"), ValueRange{acc, a, x});
}

Value KernelBuilder::bitcast(Type type, Value value) {
  return value.getType() == type ? value : make<arith::BitcastOp>(type, value);
}

Value KernelBuilder::broadcast(Value value) {
  return isVector(value) ? value : make<vector::BroadcastOp>(vec(value.getType()), value);
}

Value KernelBuilder::anyLane(Value mask) {
  Value bits = make<LLVM::BitcastOp>(i16, mask);
  return cmp(arith::CmpIPredicate::ne, bits, zero(i16));
}

Value KernelBuilder::extract(Value vector, int64_t lane) {
  return make<vector::ExtractOp>(vector, lane);
}
Value KernelBuilder::extract(Value vector, Value lane) {
  return make<LLVM::ExtractElementOp>(vector, lane);
}
Value KernelBuilder::insert(Value scalar, Value vector, Value lane) {
  return make<LLVM::InsertElementOp>(vector, scalar, lane);
}

Value KernelBuilder::reduceTree(Value vector, function_ref<Value(Value, Value)> combine) {
  for (int64_t half = kLanes / 2; half; half /= 2) {
    SmallVector<int64_t> lanes;
    for (int64_t lane = 0; lane < kLanes; ++lane)
      lanes.push_back((lane + half) % kLanes);
    vector = combine(vector, make<vector::ShuffleOp>(vector, vector, lanes));
  }
  return extract(vector, 0);
}

Value KernelBuilder::extend(Value value, Type element, Type from) {
  if (from.isBF16()) {
    Value wide = make<arith::ExtUIOp>(shapedAs(value, i32), value);
    wide = make<arith::ShLIOp>(wide, constantInt(wide.getType(), 16));
    value = bitcast(shapedAs(value, f32), wide);
  } else if (from.isF16()) {
    value = make<arith::ExtFOp>(shapedAs(value, f32), value);
  }
  if (getElementTypeOrSelf(value.getType()) != element)
    value = make<arith::ExtFOp>(shapedAs(value, element), value);
  return value;
}

Value KernelBuilder::truncate(Value value, Type element) {
  Type from = getElementTypeOrSelf(value.getType());
  if (from == element)
    return value;
  if (element.isF64())
    return make<arith::ExtFOp>(shapedAs(value, f64), value);
  if (from.isF64())
    value = make<arith::TruncFOp>(shapedAs(value, f32), value);
  if (element.isF16())
    return make<arith::TruncFOp>(shapedAs(value, f16), value);
  if (!element.isBF16())
    return value;
  // Round to nearest even on the bits; a NaN stays one.
  Type bits = shapedAs(value, i32);
  Value u = bitcast(bits, value), sixteen = constantInt(bits, 16);
  Value high = make<arith::ShRUIOp>(u, sixteen);
  Value rounded = add(add(u, constantInt(bits, 0x7fff)), andi(high, constantInt(bits, 1)));
  rounded = make<arith::ShRUIOp>(rounded, sixteen);
  Value quiet = ori(high, constantInt(bits, 0x40));
  Value result = select(fcmp(arith::CmpFPredicate::UNO, value, value), quiet, rounded);
  return make<arith::TruncIOp>(shapedAs(value, i16), result);
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

Value KernelBuilder::gep(Value base, Value index, Type element) {
  Type type = isVector(index) ? Type(VectorType::get({kLanes}, ptr)) : ptr;
  IntegerAttr attr;
  if (matchPattern(index, m_Constant(&attr)) && llvm::isInt<31>(attr.getInt()))
    return gep(base, attr.getInt(), element);
  return make<LLVM::GEPOp>(type, element, base, ValueRange{index});
}

Value KernelBuilder::gep(Value base, int64_t index, Type element) {
  if (index == 0)
    return base;
  if (!llvm::isInt<31>(index))
    return make<LLVM::GEPOp>(ptr, element, base, ValueRange{c(index)});
  return make<LLVM::GEPOp>(ptr, element, base, ArrayRef<LLVM::GEPArg>{int32_t(index)});
}

Value KernelBuilder::load(Type type, Value pointer) {
  toInnermost();
  auto op = LLVM::LoadOp::create(b, loc, type, pointer, bytesOf(getElementTypeOrSelf(type)),
                                 /*isVolatile=*/false, /*isNonTemporal=*/false,
                                 /*isInvariant=*/true);
  return place(op, /*speculatable=*/false);
}

Value KernelBuilder::loadScratch(Type type, Value pointer) {
  toInnermost();
  return LLVM::LoadOp::create(b, loc, type, pointer, bytesOf(getElementTypeOrSelf(type)));
}

Value KernelBuilder::maskedLoad(VectorType type, Value pointer, Value mask) {
  toInnermost();
  auto op = LLVM::MaskedLoadOp::create(b, loc, type, pointer, mask, zero(type),
                                       uint32_t(bytesOf(type.getElementType())));
  return place(op, /*speculatable=*/false);
}

Value KernelBuilder::gather(VectorType type, Value pointers, Value mask) {
  if (!mask)
    mask = firstLanes(kLanes);
  Value none = zero(type);
  toInnermost();
  auto op = LLVM::masked_gather::create(b, loc, type, pointers, mask, ValueRange{none},
                                        uint32_t(bytesOf(type.getElementType())));
  return place(op, /*speculatable=*/false);
}

void KernelBuilder::store(Value value, Value pointer, Value mask) {
  toInnermost();
  int64_t align = bytesOf(getElementTypeOrSelf(value.getType()));
  if (mask && isVector(value))
    LLVM::MaskedStoreOp::create(b, loc, value, pointer, mask, uint32_t(align));
  else
    LLVM::StoreOp::create(b, loc, value, pointer, align);
}

void KernelBuilder::fence() {
  toInnermost();
  LLVM::InlineAsmOp::create(b, loc, TypeRange{}, ValueRange{}, "", "~{memory}",
                            /*has_side_effects=*/true, /*is_align_stack=*/false,
                            LLVM::tailcallkind::TailCallKind::None, LLVM::AsmDialectAttr(),
                            ArrayAttr());
}

Value KernelBuilder::pin(Value vector) {
  toInnermost();
  return LLVM::InlineAsmOp::create(b, loc, TypeRange{vector.getType()}, ValueRange{vector}, "",
                                   "=v,0", /*has_side_effects=*/true, /*is_align_stack=*/false,
                                   LLVM::tailcallkind::TailCallKind::None, LLVM::AsmDialectAttr(),
                                   ArrayAttr())
      ->getResult(0);
}

void KernelBuilder::prefetch(Value address, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    Value line = field(address, i * 64);
    toInnermost();
    LLVM::Prefetch::create(b, loc, line, /*rw=*/0, /*hint=*/3, /*cache=*/1);
  }
}

void KernelBuilder::scatter(Value value, Value pointers, Value mask) {
  if (!mask)
    mask = firstLanes(kLanes);
  toInnermost();
  LLVM::masked_scatter::create(b, loc, value, pointers, mask,
                               uint32_t(bytesOf(getElementTypeOrSelf(value.getType()))));
}

Value KernelBuilder::constantData(DenseElementsAttr data) {
  Type element = data.getElementType(), stored = memoryType(element);
  LLVM::GlobalOp &global = globals[data];
  if (!global) {
    int64_t count = data.getNumElements();
    Attribute attr = data;
    auto flat = RankedTensorType::get({count}, stored);
    if (element.isInteger(1)) {
      SmallVector<int8_t> bytes;
      for (bool value : data.getValues<bool>())
        bytes.push_back(value);
      attr = DenseElementsAttr::get(flat, ArrayRef(bytes));
    } else if (element.isIndex()) {
      SmallVector<int64_t> words;
      for (const APInt &value : data.getValues<APInt>())
        words.push_back(value.getSExtValue());
      attr = DenseElementsAttr::get(flat, ArrayRef(words));
    } else {
      attr = data.reshape(RankedTensorType::get({count}, element)).bitcast(stored);
    }
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(module.getBody());
    global = LLVM::GlobalOp::create(b, loc, LLVM::LLVMArrayType::get(stored, count),
                                    /*isConstant=*/true, LLVM::Linkage::Internal,
                                    "constant" + std::to_string(globals.size()), attr,
                                    /*alignment=*/64);
  }
  return make<LLVM::AddressOfOp>(global);
}

//===----------------------------------------------------------------------===//
// Control flow
//===----------------------------------------------------------------------===//

void KernelBuilder::loop(Value lower, Value upper, Value step, function_ref<void(Value)> body) {
  loop(lower, upper, step, ValueRange{}, [&](Value i, ValueRange) {
    body(i);
    return Values();
  });
}

KernelBuilder::Values KernelBuilder::loop(Value lower, Value upper, Value step, ValueRange inits,
                                          function_ref<Values(Value, ValueRange)> body) {
  IntegerAttr first, last, stride;
  if (matchPattern(lower, m_Constant(&first)) && matchPattern(upper, m_Constant(&last)) &&
      matchPattern(step, m_Constant(&stride))) {
    if (first.getInt() >= last.getInt())
      return Values(inits);
    if (last.getInt() - first.getInt() <= stride.getInt())
      return body(lower, inits);
  }
  toInnermost();
  auto op = scf::ForOp::create(b, loc, lower, upper, step, inits);
  enter(op.getBody(), op, /*guard=*/false);
  Values yielded = body(op.getInductionVar(), op.getRegionIterArgs());
  toInnermost();
  scf::YieldOp::create(b, loc, yielded);
  leave();
  return Values(op.getResults());
}

void KernelBuilder::branch(Value condition, function_ref<void()> then) {
  IntegerAttr known;
  if (matchPattern(condition, m_Constant(&known))) {
    if (!known.getValue().isZero())
      then();
    return;
  }
  toInnermost();
  auto op = scf::IfOp::create(b, loc, TypeRange{}, condition, /*addThenBlock=*/true,
                              /*addElseBlock=*/false);
  enter(op.thenBlock(), op, /*guard=*/true);
  then();
  toInnermost();
  scf::YieldOp::create(b, loc);
  leave();
}

KernelBuilder::Values KernelBuilder::branch(Value condition, TypeRange types,
                                            function_ref<Values()> then,
                                            function_ref<Values()> otherwise) {
  IntegerAttr known;
  if (matchPattern(condition, m_Constant(&known)))
    return known.getValue().isZero() ? otherwise() : then();
  toInnermost();
  auto op = scf::IfOp::create(b, loc, types, condition, /*addThenBlock=*/true,
                              /*addElseBlock=*/true);
  for (bool isThen : {true, false}) {
    enter(isThen ? op.thenBlock() : op.elseBlock(), op, /*guard=*/true);
    Values yielded = isThen ? then() : otherwise();
    toInnermost();
    scf::YieldOp::create(b, loc, yielded);
    leave();
  }
  return Values(op.getResults());
}
