//===- Route.cpp - which experts a token goes to --------------------------------------------===//
//
// A work item is a token. Its scores go to scratch memory; an expert is chosen if fewer than k
// others come before it, being larger, or equal with a lower number. That is one comparison of
// every expert with every other, sixteen at a time: no order to keep, the chosen come out
// ascending, and exactly k of them whatever the numbers are.
//
//===----------------------------------------------------------------------------------------===//

#include "Emitters.h"
#include <limits>

using namespace mlir;
using namespace ingot;
using namespace ingot::codegen;
using arith::CmpFPredicate;

static constexpr double kLowest = -std::numeric_limits<double>::infinity();

namespace {

struct RouteEmitter {
  KernelEmission &emission;
  KernelBuilder &kb = emission.kb;
  Evaluator &eval = emission.eval;
  tfm::RouteOp op{};
  Value scores{}, ranks{}, groupRanks{}; ///< scratch, f32, padded to whole vectors

  Value at(Value buffer, Value index) { return kb.gep(buffer, index, kb.f32); }
  Value read(Value buffer, Value index) { return kb.loadScratch(kb.f32, at(buffer, index)); }
  Value lowest(Type type) { return kb.constantFloat(type, kLowest); }
  Value scratchOf(int64_t size) { return emission.scratch(llvm::alignTo(size, kLanes) * 4); }
  void pad(Value buffer, int64_t size);
  Value isAmongFirst(Value buffer, int64_t size, Value index, int64_t count);
  void evaluateScores(Value token);
  void limitGroups();
  void token(Value token);
};

} // namespace

/// Fills the last vector, of which the first lanes are written later.
void RouteEmitter::pad(Value buffer, int64_t size) {
  int64_t last = (size - 1) / kLanes * kLanes;
  kb.store(lowest(kb.vec(kb.f32)), kb.gep(buffer, last, kb.f32));
}

/// Whether fewer than `count` of the `size` numbers in `buffer` come before number `index`.
Value RouteEmitter::isAmongFirst(Value buffer, int64_t size, Value index, int64_t count) {
  Value own = kb.broadcast(read(buffer, index));
  auto ints = kb.vec(kb.i32);
  Value ownIndex = kb.broadcast(kb.make<arith::TruncIOp>(kb.i32, index));
  Value one = kb.constantInt(ints, 1), none = kb.zero(ints);
  Value before =
      kb.loop(kb.c(0), kb.c(llvm::alignTo(size, kLanes)), kb.c(kLanes), {none},
              [&](Value first, ValueRange state) -> KernelBuilder::Values {
                Value other = kb.loadScratch(kb.vec(kb.f32), at(buffer, first));
                Value index =
                    kb.add(kb.broadcast(kb.make<arith::TruncIOp>(kb.i32, first)), kb.iota(kb.i32));
                Value larger = kb.fcmp(CmpFPredicate::OGT, other, own);
                Value equal = kb.fcmp(CmpFPredicate::OEQ, other, own);
                Value comes = kb.ori(larger, kb.andi(equal, kb.lt(index, ownIndex)));
                return {kb.add(state.front(), kb.select(comes, one, none))};
              })
          .front();
  Value sum = kb.reduceTree(before, [&](Value a, Value x) { return kb.add(a, x); });
  return kb.lt(sum, kb.constantInt(kb.i32, count));
}

/// Scores, and ranks: with the bias, and in an order.
void RouteEmitter::evaluateScores(Value token) {
  int64_t experts = op.getExperts();
  pad(ranks, experts);
  SmallVector<int64_t> breaks;
  eval.collectBreaks(op.getScores(), 1, breaks);
  eval.forLanes({kb.c(experts), experts}, breaks, [&](Coord lane, Value mask) {
    Point point{{eval.uniform(token), lane}, mask, false};
    Value score = eval.broadcast(eval.at(op.getScores(), point));
    eval.store({score}, scores, kb.f32, lane.base, mask);
    if (Value bias = op.getBias()) {
      Value value = eval.broadcast(eval.at(bias, Point{{lane}, mask, false}));
      score = kb.fadd(score, kb.extend(value, kb.f32, getElementTypeOrSelf(bias.getType())));
    }
    Value isNumber = kb.fcmp(CmpFPredicate::ORD, score, score);
    Value rank = kb.select(isNumber, score, lowest(score.getType()));
    eval.store({rank}, ranks, kb.f32, lane.base, mask);
  });
}

/// Ranks outside the groups that are kept become the lowest.
void RouteEmitter::limitGroups() {
  int64_t groups = op.getGroups(), size = op.getExperts() / groups;
  pad(groupRanks, groups);
  kb.loop(kb.c(0), kb.c(groups), kb.c(1), [&](Value group) {
    Value none = lowest(kb.f32);
    KernelBuilder::Values best =
        kb.loop(kb.c(0), kb.c(size), kb.c(1), {none, none},
                [&](Value member, ValueRange state) -> KernelBuilder::Values {
                  Value x = read(ranks, kb.add(kb.mul(group, size), member));
                  Value first = state[0], second = state[1];
                  Value less = kb.select(kb.fcmp(CmpFPredicate::OGT, first, x), x, first);
                  return {kb.fmax(first, x), kb.fmax(second, less)};
                });
    Value rank = op.getBest() == 2 ? kb.fadd(best[0], best[1]) : best[0];
    kb.store(rank, at(groupRanks, group));
  });
  kb.loop(kb.c(0), kb.c(groups), kb.c(1), [&](Value group) {
    Value kept = isAmongFirst(groupRanks, groups, group, op.getKeep());
    kb.branch(
        kept, TypeRange{}, [&] { return KernelBuilder::Values(); },
        [&] {
          kb.loop(kb.c(0), kb.c(size), kb.c(1), [&](Value member) {
            kb.store(lowest(kb.f32), at(ranks, kb.add(kb.mul(group, size), member)));
          });
          return KernelBuilder::Values();
        });
  });
}

void RouteEmitter::token(Value token) {
  int64_t experts = op.getExperts(), chosen = op.getChosen();
  evaluateScores(token);
  if (op.getGroups() > 1)
    limitGroups();
  Value first = kb.mul(token, chosen);
  Value ids = kb.gep(eval.resultBuffer(0), first, kb.i32),
        weights = at(eval.resultBuffer(1), first);
  // The chosen in ascending order, and the sum of their scores in that order.
  Value sum =
      kb.loop(kb.c(0), kb.c(experts), kb.c(1), {kb.c(0), kb.zero(kb.f32)},
              [&](Value expert, ValueRange state) -> KernelBuilder::Values {
                Value isChosen = isAmongFirst(ranks, experts, expert, chosen);
                return kb.branch(
                    isChosen, {kb.i64, kb.f32},
                    [&]() -> KernelBuilder::Values {
                      Value score = read(scores, expert), next = state[0];
                      kb.store(kb.make<arith::TruncIOp>(kb.i32, expert), kb.gep(ids, next, kb.i32));
                      kb.store(score, at(weights, next));
                      return {kb.add(next, 1), kb.fadd(state[1], score)};
                    },
                    [&]() -> KernelBuilder::Values {
                      return {state[0], state[1]};
                    });
              })[1];
  double scale = op.getScale().convertToDouble();
  if (!op.getNormalize() && scale == 1)
    return;
  kb.loop(kb.c(0), kb.c(chosen), kb.c(1), [&](Value j) {
    Value weight = read(weights, j);
    if (op.getNormalize())
      weight = kb.fdiv(weight, kb.fadd(sum, kb.constantFloat(kb.f32, 1e-20)));
    kb.store(kb.fmul(weight, kb.constantFloat(kb.f32, scale)), at(weights, j));
  });
}

void codegen::emitRoute(KernelEmission &emission) {
  KernelBuilder &kb = emission.kb;
  Block &body = emission.kernel.getBody().front();
  auto routes = body.getOps<tfm::RouteOp>();
  if (!llvm::hasSingleElement(routes))
    return kb.fail(emission.kernel, "expected one tfm.route");
  RouteEmitter emitter{emission};
  emitter.op = *routes.begin();
  tfm::RouteOp op = emitter.op;
  auto yield = cast<plan::YieldOp>(body.getTerminator());
  if (yield.getValues() != op.getResults())
    return kb.fail(yield, "expected the results of tfm.route");
  if (!getElementTypeOrSelf(op.getScores().getType()).isF32())
    return kb.fail(op, "expected scores of f32");
  emitter.scores = emitter.scratchOf(op.getExperts());
  emitter.ranks = emitter.scratchOf(op.getExperts());
  if (op.getGroups() > 1)
    emitter.groupRanks = emitter.scratchOf(op.getGroups());
  kb.loop(kb.begin(), kb.end(), kb.c(1), [&](Value token) { emitter.token(token); });
}
