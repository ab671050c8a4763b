//===- CheckCaches.cpp - no version of a cache is ever copied ---------------------------------===//

#include "ingot/Transforms/Passes.h"

namespace ingot {
#define GEN_PASS_DEF_CHECKCACHES
#include "ingot/Transforms/Passes.h.inc"
} // namespace ingot

using namespace mlir;
using namespace ingot;
using namespace ingot::tfm;

/// Whether `op` makes the next version of the caches among its operands.
static bool advances(Operation *op) {
  return llvm::any_of(op->getResultTypes(), [](Type type) { return isa<CacheType>(type); });
}

static LogicalResult check(Value version) {
  Operation *next = nullptr;
  for (OpOperand &use : version.getUses()) {
    Operation *user = use.getOwner();
    if (user->getBlock() != version.getParentBlock())
      return user->emitOpError("uses a cache of another block");
    if (!advances(user))
      continue;
    if (next) {
      // Uses come in no order: the later one is wrong.
      auto [first, second] =
          next->isBeforeInBlock(user) ? std::pair(next, user) : std::pair(user, next);
      return (second->emitOpError("appends to a version of a cache that was appended to before")
                  .attachNote(first->getLoc())
              << "see '" << first->getName() << "'");
    }
    next = user;
  }
  if (!next)
    return success();
  for (Operation *user : version.getUsers())
    if (user != next && !user->hasTrait<OpTrait::IsTerminator>() && !user->isBeforeInBlock(next))
      return (user->emitOpError("reads a version of a cache after the next was made")
                  .attachNote(next->getLoc())
              << "see '" << next->getName() << "'");
  for (Operation *user : version.getUsers())
    if (user != next && user->hasTrait<OpTrait::IsTerminator>())
      return user->emitOpError("returns a version of a cache that was appended to");
  return success();
}

namespace {
struct CheckCachesPass : ingot::impl::CheckCachesBase<CheckCachesPass> {
  void runOnOperation() override {
    WalkResult result = getOperation()->walk([&](Operation *op) {
      SmallVector<Value> values(op->getResults());
      for (Region &region : op->getRegions())
        for (Block &block : region)
          llvm::append_range(values, block.getArguments());
      for (Value value : values) {
        if (!isa<CacheType>(value.getType()))
          continue;
        ++numVersions;
        if (failed(check(value)))
          return WalkResult::interrupt();
      }
      return WalkResult::advance();
    });
    if (result.wasInterrupted())
      signalPassFailure();
  }
};
} // namespace
