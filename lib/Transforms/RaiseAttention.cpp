//===- RaiseAttention.cpp - the mathematics of attention becomes tfm.attention --------------===//
//
// A site is a softmax. Each product that its probabilities can enter is a candidate
// (AttentionCandidate.h); one that is raised makes the site raised. Exponentials that are summed up
// and enter a product, but are no softmax, are a site that is not raised.
//
//===----------------------------------------------------------------------------------------===//

#include "AttentionCandidate.h"
#include "EraseDead.h"
#include "RaiseSoftmax.h"
#include "ingot/Transforms/Passes.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/SetVector.h"

namespace ingot {
#define GEN_PASS_DEF_RAISEATTENTION
#include "ingot/Transforms/Passes.h.inc"
} // namespace ingot

using namespace mlir;
using namespace ingot;
using namespace ingot::tfm;

//===----------------------------------------------------------------------===//
// Sites
//===----------------------------------------------------------------------===//

/// What the model calls an operation: the name that an importer gave it, else line and column.
static std::string describeLocation(Location loc) {
  std::string text;
  loc->walk([&](Location part) {
    if (auto name = dyn_cast<NameLoc>(part)) {
      text = name.getName().str();
      return WalkResult::interrupt();
    }
    if (auto file = dyn_cast<FileLineColLoc>(part); file && text.empty())
      text = "line " + std::to_string(file.getLine()) + ":" + std::to_string(file.getColumn());
    return WalkResult::advance();
  });
  return text.empty() ? "unknown" : text;
}

/// The products that elements of a softmax's result can enter, through whatever else.
static void findProducts(Value result, SmallVectorImpl<OpOperand *> &products) {
  llvm::SetVector<Value> values;
  values.insert(result);
  for (size_t k = 0; k < values.size(); ++k)
    for (OpOperand &use : values[k].getUses()) {
      Operation *user = use.getOwner();
      std::optional<Product> product = productOf(user);
      if (product) {
        products.push_back(&use);
        continue;
      }
      auto generic = dyn_cast<linalg::GenericOp>(user);
      bool follows =
          OpTrait::hasElementwiseMappableTraits(user) ||
          (generic && generic.getNumReductionLoops() == 0) ||
          isa<linalg::TransposeOp, linalg::BroadcastOp, tensor::CastOp, tensor::ExpandShapeOp,
              tensor::CollapseShapeOp, tensor::ExtractSliceOp>(user);
      if (follows && user->getNumResults() == 1)
        values.insert(user->getResult(0));
    }
}

/// How often the entry points run each function.
static llvm::DenseMap<Operation *, int64_t> countCalls(ModuleOp module) {
  llvm::DenseMap<Operation *, int64_t> calls;
  llvm::DenseMap<Operation *, SmallVector<Operation *>> callers;
  module.walk([&](func::CallOp call) {
    if (auto callee = module.lookupSymbol<func::FuncOp>(call.getCallee()))
      callers[callee].push_back(call->getParentOfType<func::FuncOp>());
  });
  // Recursion, which no graph has, counts as no call.
  std::function<int64_t(Operation *)> count = [&](Operation *function) -> int64_t {
    auto [known, inserted] = calls.try_emplace(function, 0);
    if (!inserted)
      return known->second;
    int64_t total = cast<func::FuncOp>(function).isPublic() ? 1 : 0;
    for (Operation *caller : callers.lookup(function))
      if (caller)
        total += count(caller);
    return calls[function] = total;
  };
  module.walk([&](func::FuncOp function) { count(function); });
  return calls;
}

/// Whether the probabilities are those of a router, which chooses experts and weighs no values.
static bool isRouter(Operation *softmax) {
  return llvm::all_of(softmax->getUsers(), [](Operation *user) { return isa<RouteOp>(user); });
}

namespace {
struct RaiseAttentionPass : ingot::impl::RaiseAttentionBase<RaiseAttentionPass> {
  using RaiseAttentionBase::RaiseAttentionBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    SmallVector<AttentionSite> sites;
    // What an earlier run raised stays raised; what it did not is looked at again.
    for (AttentionSite &site : getAttentionSites(module))
      if (site.raised())
        sites.push_back(site);
    llvm::DenseMap<Operation *, int64_t> calls = countCalls(module);
    bool failed = false;
    for (auto function : module.getOps<func::FuncOp>()) {
      numSoftmaxes += raiseSoftmaxes(function);
      SmallVector<Operation *> softmaxes;
      int64_t dim;
      function.walk([&](Operation *op) {
        if (softmaxInput(op, dim))
          softmaxes.push_back(op);
      });
      erased.clear();
      for (Operation *softmax : softmaxes) {
        if (erased.contains(softmax) || softmax->use_empty() || isRouter(softmax))
          continue;
        AttentionSite &site = sites.emplace_back(describe(softmax, calls));
        failed |= !raise(softmax, site);
      }
      for (UnnamedSoftmax &unnamed : findUnnamedSoftmaxes(function)) {
        SmallVector<OpOperand *> uses;
        findProducts(unnamed.exponentials, uses);
        if (uses.empty())
          continue;
        AttentionSite &site = sites.emplace_back(describe(unnamed.sum, calls));
        failed |= !reject(unnamed.sum, {NotRaised::NoSoftmax, unnamed.why.str()}, site);
      }
    }
    setAttentionSites(module, sites);
    if (failed)
      signalPassFailure();
  }

  AttentionSite describe(Operation *op, const llvm::DenseMap<Operation *, int64_t> &calls) {
    auto function = op->getParentOfType<func::FuncOp>();
    AttentionSite site;
    site.function = function.getName().str();
    site.calls = calls.lookup(function);
    site.location = describeLocation(op->getLoc());
    return site;
  }

  /// Records why `op` is not raised. False where that is an error.
  bool reject(Operation *op, const Failure &failure, AttentionSite &site) {
    ++numNotRaised;
    site.reason = failure.reason;
    site.detail = failure.detail;
    if (!remarks && !require)
      return true;
    InFlightDiagnostic diagnostic = require ? emitError(op->getLoc()) : emitRemark(op->getLoc());
    diagnostic << "attention not raised: " << failure.detail;
    if (failure.blame && failure.blame != op)
      diagnostic.attachNote(failure.blame->getLoc()) << "see '" << failure.blame->getName() << "'";
    return !require;
  }

  /// Raises what can be raised of one softmax. False where that is an error.
  bool raise(Operation *softmax, AttentionSite &site) {
    SmallVector<OpOperand *> uses;
    findProducts(softmax->getResult(0), uses);
    Failure failure{NotRaised::NoValues, "the probabilities do not enter a product with values",
                    softmax};
    bool raised = false;
    Location loc = softmax->getLoc();
    SmallVector<Operation *> replaced;
    for (auto [n, use] : llvm::enumerate(uses)) {
      Operation *valuesOp = use->getOwner();
      Product product = *productOf(valuesOp);
      if (valuesOp->use_empty() || use->getOperandNumber() > 1)
        continue;
      AttentionCandidate candidate(softmax, valuesOp, product, use->getOperandNumber());
      if (std::optional<Failure> why = candidate.match()) {
        if (n == 0)
          failure = *why;
        continue;
      }
      OpBuilder builder(valuesOp);
      site.detail = candidate.build(builder);
      replaced.push_back(valuesOp);
      raised = true;
    }
    if (raised) {
      ++numRaised;
      if (remarks)
        emitRemark(loc) << "attention raised (" << site.detail << ")";
      for (Operation *op : replaced)
        eraseDead(op, erased);
      return true;
    }
    return reject(softmax, failure, site);
  }

  /// What raising has erased of the function that is walked.
  llvm::SmallPtrSet<Operation *, 16> erased;
};
} // namespace
