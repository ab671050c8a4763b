//===- TestPasses.cpp - passes that only the tests run ----------------------------------------===//

#include "ingot/Dialect/Transformer/IR/TransformerDialect.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Builders.h"
#include "mlir/Pass/Pass.h"

using namespace mlir;

namespace {

/// A pass with a bug, for --verify-numerics to find.
struct BreakNumerics : PassWrapper<BreakNumerics, OperationPass<func::FuncOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(BreakNumerics)

  BreakNumerics() = default;
  BreakNumerics(const BreakNumerics &other) : PassWrapper(other) {}
  StringRef getArgument() const override { return "test-break-numerics"; }
  StringRef getDescription() const override { return "change what functions compute"; }

  Option<std::string> bug{
      *this, "bug", llvm::cl::init("sign"),
      llvm::cl::desc("sign: additions become subtractions; eps: norms get another eps, by a "
                     "millionth; mask: attention loses its mask; id: embeddings read past their "
                     "table; positions: every sequence starts at 0; gather: all outputs are "
                     "returned; swap: none, additions are commuted")};

  void runOnOperation() override {
    getOperation().walk([&](Operation *op) {
      OpBuilder builder(op);
      if (auto add = dyn_cast<arith::AddFOp>(op)) {
        if (bug == "sign")
          replace(op, arith::SubFOp::create(builder, op->getLoc(), add.getLhs(), add.getRhs()));
        if (bug == "swap")
          replace(op, arith::AddFOp::create(builder, op->getLoc(), add.getRhs(), add.getLhs()));
      } else if (auto norm = dyn_cast<ingot::tfm::RMSNormOp>(op)) {
        if (bug == "eps")
          norm.setEpsAttr(builder.getF64FloatAttr(norm.getEps().convertToDouble() * 1.000001));
      } else if (auto attention = dyn_cast<ingot::tfm::AttentionOp>(op)) {
        if (bug == "mask" && !attention.getMask().empty())
          attention.getMask().front().erase();
      } else if (auto positions = dyn_cast<ingot::tfm::PositionsOp>(op)) {
        if (bug == "positions")
          positions.getBatchMutable().clear();
      } else if (auto gather = dyn_cast<ingot::tfm::GatherOutputsOp>(op)) {
        if (bug == "gather")
          gather.replaceAllUsesWith(Value(gather.getX()));
      } else if (auto embedding = dyn_cast<ingot::tfm::EmbeddingOp>(op)) {
        if (bug != "id")
          return;
        auto type = cast<RankedTensorType>(embedding.getIds().getType());
        Value far = arith::ConstantOp::create(
            builder, op->getLoc(), builder.getIntegerAttr(type.getElementType(), 1 << 20));
        Value zero = arith::ConstantIndexOp::create(builder, op->getLoc(), 0);
        Value ids = tensor::InsertOp::create(builder, op->getLoc(), far, embedding.getIds(), zero);
        embedding.getIdsMutable().assign(ids);
      }
    });
  }

  static void replace(Operation *op, Value value) {
    op->getResult(0).replaceAllUsesWith(value);
    op->erase();
  }
};

} // namespace

namespace ingot::test {
void registerTestPasses() { PassRegistration<BreakNumerics>(); }
} // namespace ingot::test
