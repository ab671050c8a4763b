//===- Reductions.cpp - sums and maxima along a dimension -------------------------------------===//

#include "Reductions.h"
#include "ElementExpr.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"

using namespace mlir;

namespace ingot {

/// The operation that joins the two arguments of `block`, if that is all it does.
static Operation *combinerOf(Block &block) {
  if (block.getNumArguments() != 2 || !llvm::hasNItems(block, 2))
    return nullptr;
  Operation &op = block.front();
  if (op.getNumOperands() != 2 || op.getNumResults() != 1 ||
      block.getTerminator()->getOperand(0) != op.getResult(0))
    return nullptr;
  Value a = op.getOperand(0), b = op.getOperand(1);
  bool joins = (a == block.getArgument(0) && b == block.getArgument(1)) ||
               (a == block.getArgument(1) && b == block.getArgument(0));
  return joins ? &op : nullptr;
}

std::optional<Reduction> reductionOf(Operation *op) {
  auto linalgOp = dyn_cast<linalg::LinalgOp>(op);
  if (!linalgOp || !isa<linalg::ReduceOp, linalg::GenericOp>(op) || op->getNumResults() != 1 ||
      linalgOp.getNumDpsInputs() != 1 || linalgOp.getNumReductionLoops() != 1)
    return std::nullopt;
  SmallVector<unsigned> dims;
  linalgOp.getReductionDims(dims);
  SmallVector<AffineMap> maps = linalgOp.getIndexingMapsArray();
  AffineMap kept = AffineMap::getMultiDimIdentityMap(linalgOp.getNumLoops(), op->getContext())
                       .dropResult(dims[0]);
  if (!maps[0].isIdentity() || maps[1] != kept)
    return std::nullopt;
  std::optional<double> init = splatOf(linalgOp.getDpsInitOperand(0)->get());
  Operation *combiner = combinerOf(*linalgOp.getBlock());
  if (!init || !combiner)
    return std::nullopt;
  Reduction reduction{Reduction::Sum, linalgOp.getDpsInputOperand(0)->get(), int64_t(dims[0])};
  if (isa<arith::AddFOp>(combiner) && *init == 0)
    return reduction;
  reduction.kind = Reduction::Max;
  if (isa<arith::MaximumFOp, arith::MaxNumFOp>(combiner) && *init <= -3.4e38)
    return reduction;
  return std::nullopt;
}

} // namespace ingot
