//===- Experts.cpp - rows times the matrices of the experts that they go to -----------------===//
//
// A work item is a sub-panel of one expert's matrix. For each expert the rows that go to it are
// listed, by looking through the ids, and its panels of this thread are for these rows what panels
// of a linear are for all rows (Linear.cpp): so a row has the same bits alone and in company,
// whatever the router decides for others. An expert that nobody goes to costs a look at the ids;
// its matrix is not read.
//
// Sub-panels are the outer dimension of the work items and experts the inner: threads that take a
// contiguous share each have a part of every expert, and none waits for another whatever is chosen.
// A thread runs through its part of one expert after the other, which is one stream from memory.
//
// The list has a limit, since scratch memory has a size at compile time: when it may overflow, what
// it names is computed. 2,048 rows of an expert amortise reading its panel.
//
//===----------------------------------------------------------------------------------------===//

#include "LinearEmitter.h"

using namespace mlir;
using namespace ingot;
using namespace ingot::codegen;

/// Choices that are looked through at once, and rows that the list holds.
static constexpr int64_t kBlock = 512, kListed = 2048;

namespace {

struct ExpertsEmitter {
  KernelEmission &emission;
  KernelBuilder &kb = emission.kb;
  Evaluator &eval = emission.eval;
  tfm::ExpertLinearOp op{};
  LinearEmitter linear{emission};
  Value ids{};  ///< i32, one per choice; null: choice j of a token is expert j
  Value list{}; ///< i32 numbers of choices
  Value x{}, gathered{};
  int64_t gatheredRows = 0; ///< that there is room for

  Value append(Value choice, Value count);
  Value listBlock(Value first, Value end, Value expert, Value count);
  Value gather(Value first, Value count);
  void subPanels(Value expert, Value begin, Value end);
};

} // namespace

/// Appends `choice`; the caller decides whether the count grows.
Value ExpertsEmitter::append(Value choice, Value count) {
  kb.store(kb.make<arith::TruncIOp>(kb.i32, choice), kb.gep(list, count, kb.i32));
  return kb.add(count, 1);
}

/// Appends the choices of [first, end), or tokens without ids, that go to the expert. Returns how
/// many are listed then.
Value ExpertsEmitter::listBlock(Value first, Value end, Value expert, Value count) {
  int64_t chosen = op.getChosen();
  if (!ids)
    return kb
        .loop(first, end, kb.c(1), {count},
              [&](Value token, ValueRange state) -> KernelBuilder::Values {
                return {append(kb.add(kb.mul(token, chosen), expert), state.front())};
              })
        .front();
  Value wanted = kb.make<arith::TruncIOp>(kb.i32, expert);
  // Writes always and counts what matches: no branch to predict.
  auto one = [&](Value choice, Value count) {
    Value id = kb.load(kb.i32, kb.gep(ids, choice, kb.i32));
    Value more = append(choice, count);
    return kb.select(kb.cmp(arith::CmpIPredicate::eq, id, wanted), more, count);
  };
  Value wholeEnd = kb.add(first, kb.mul(kb.div(kb.sub(end, first), kLanes), kLanes));
  Value listed = kb.loop(first, wholeEnd, kb.c(kLanes), {count},
                         [&](Value at, ValueRange state) -> KernelBuilder::Values {
                           Value lanes = kb.load(kb.vec(kb.i32), kb.gep(ids, at, kb.i32));
                           Value some = kb.anyLane(
                               kb.cmp(arith::CmpIPredicate::eq, lanes, kb.broadcast(wanted)));
                           return kb.branch(
                               some, {kb.i64},
                               [&]() -> KernelBuilder::Values {
                                 Value count = state.front();
                                 for (int64_t lane = 0; lane < kLanes; ++lane)
                                   count = one(kb.add(at, lane), count);
                                 return {count};
                               },
                               [&]() -> KernelBuilder::Values { return {state.front()}; });
                         })
                     .front();
  return kb
      .loop(wholeEnd, end, kb.c(1), {listed},
            [&](Value at, ValueRange state) -> KernelBuilder::Values {
              return {one(at, state.front())};
            })
      .front();
}

/// Rows [first, first + count) of the list, one after the other as products want them. One row is
/// where it is already.
Value ExpertsEmitter::gather(Value first, Value count) {
  int64_t k = linear.layout.k, padded = linear.engine->rowElements();
  Type element = getElementTypeOrSelf(op.getX().getType()), rowType = linear.engine->rowType();
  bool blocks = isa<tfm::BlockType>(element);
  auto rowOf = [&](Value index) {
    Value choice = kb.loadScratch(kb.i32, kb.gep(list, index, kb.i32));
    Value row = kb.make<arith::ExtSIOp>(kb.i64, choice);
    if (!op.hasRowPerChoice())
      row = kb.div(row, op.getChosen());
    if (blocks)
      return kb.gep(x, kb.mul(row, linear.engine->rowBytes()), kb.i8);
    return kb.gep(x, kb.mul(row, k), kb.registerType(element));
  };
  // A row in blocks is copied in words, another in elements.
  if (blocks) {
    rowType = element = kb.i32;
    k = padded = linear.engine->rowBytes() / 4;
  }
  auto copy = [&]() -> KernelBuilder::Values {
    kb.loop(kb.c(0), count, kb.c(1), [&](Value index) {
      Value from = rowOf(kb.add(first, index));
      Value into = kb.gep(gathered, kb.mul(index, padded), kb.registerType(rowType));
      zeroFrom(kb, into, k, padded, rowType);
      eval.forLanes({kb.c(k), k}, {}, [&](Coord lane, Value mask) {
        Point point{{lane}, mask, false};
        Value value = eval.broadcast(eval.load(from, element, lane, point));
        if (rowType != element)
          value = kb.extend(value, rowType, element);
        eval.store({value}, into, rowType, lane.base, mask);
      });
    });
    return {gathered};
  };
  if (rowType != element || k != padded)
    return copy().front();
  return kb
      .branch(
          kb.cmp(arith::CmpIPredicate::eq, count, kb.c(1)), {kb.ptr},
          [&]() -> KernelBuilder::Values { return {rowOf(first)}; }, copy)
      .front();
}

/// Sub-panels [begin, end) of an expert, for all rows that go to it.
void ExpertsEmitter::subPanels(Value expert, Value begin, Value end) {
  Value total = ids ? kb.mul(linear.leading[0].value, op.getChosen()) : linear.leading[0].value;
  linear.expert = expert;
  auto compute = [&](Value count) {
    kb.loop(kb.c(0), count, kb.c(gatheredRows), [&](Value first) {
      linear.rowBegin = first;
      linear.rowCount = kb.min(kb.sub(count, first), kb.c(gatheredRows));
      linear.xRows = gather(first, linear.rowCount);
      linear.subPanels(begin, end);
    });
  };
  kb.loop(kb.c(0), total, kb.c(kBlock), {kb.c(0)},
          [&](Value first, ValueRange state) -> KernelBuilder::Values {
            Value last = kb.min(kb.add(first, kBlock), total);
            Value count = listBlock(first, last, expert, state.front());
            Value isLast = kb.cmp(arith::CmpIPredicate::eq, last, total);
            Value isFull = kb.lt(kb.c(kListed - kBlock), count);
            return kb.branch(
                kb.ori(isLast, isFull), {kb.i64},
                [&]() -> KernelBuilder::Values {
                  compute(count);
                  return {kb.c(0)};
                },
                [&]() -> KernelBuilder::Values { return {count}; });
          });
}

void codegen::emitExperts(KernelEmission &emission) {
  KernelBuilder &kb = emission.kb;
  auto linears = emission.kernel.getBody().front().getOps<tfm::ExpertLinearOp>();
  if (!llvm::hasSingleElement(linears))
    return kb.fail(emission.kernel, "expected one tfm.expert_linear");
  ExpertsEmitter emitter{emission};
  emitter.op = *linears.begin();
  tfm::ExpertLinearOp op = emitter.op;
  if (!isa_and_present<plan::PanelsAttr>(op.getWeight().getType().getEncoding()))
    return kb.fail(op, "expected matrices that are packed");
  auto buffer = [&](Value operand) -> Value {
    auto argument = dyn_cast<BlockArgument>(peelReshapes(operand));
    return argument ? emission.eval.operandBuffer(argument.getArgNumber()) : Value();
  };
  LinearEmitter &linear = emitter.linear;
  if (!linear.prepare(op, op.getX(), op.getWeight(), op.getBias()))
    return;
  if (linear.layout.matrices != int64_t(op.getExperts()))
    return kb.fail(op, "expected a packed matrix for each expert");
  emitter.x = buffer(op.getX());
  emitter.ids = op.getIds() ? buffer(op.getIds()) : Value();
  if (!emitter.x || (op.getIds() && !emitter.ids))
    return kb.fail(op, "expected rows and ids that are operands of the kernel");
  int64_t rowBytes = linear.engine->rowBytes();
  emitter.gatheredRows = LinearEmitter::getEvaluatedRows(rowBytes);
  // Items in a piece of a thread's range would be parts of different experts' panels.
  emission.dividedRows = 0;
  emitter.gathered = emission.scratch(emitter.gatheredRows * rowBytes);
  // One more, for what is written but not counted.
  linear.list = emitter.list = emission.scratch((kListed + 1) * 4);
  // Item p * experts + e is sub-panel p of expert e. Those of an expert follow each other in
  // memory.
  int64_t experts = op.getExperts();
  kb.loop(kb.c(0), kb.c(experts), kb.c(1), [&](Value expert) {
    auto first = [&](Value item) {
      return kb.div(kb.add(kb.sub(item, expert), experts - 1), experts);
    };
    Value begin = first(kb.begin()), end = first(kb.end());
    kb.branch(kb.lt(begin, end), [&] { emitter.subPanels(expert, begin, end); });
  });
}
