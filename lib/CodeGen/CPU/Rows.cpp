//===- Rows.cpp - kernels of light operations -------------------------------------------------===//

#include "Emitters.h"

using namespace mlir;
using namespace ingot;
using namespace ingot::codegen;

/// Work items are rows: all dimensions of the results but the last, row-major. A result of rank 0 or
/// 1 is one item.
void codegen::emitRows(KernelEmission &emission) {
  KernelBuilder &kb = emission.kb;
  Evaluator &eval = emission.eval;
  auto yield = cast<plan::YieldOp>(emission.kernel.getBody().front().getTerminator());

  // Results whose rows have one size share a loop over lanes.
  struct Group {
    int64_t size;
    SmallVector<unsigned> results;
  };
  SmallVector<Group> groups;
  std::optional<int64_t> rows;
  for (auto [index, value] : llvm::enumerate(yield.getValues())) {
    auto type = dyn_cast<RankedTensorType>(value.getType());
    if (!type)
      return kb.fail(yield, "expected tensor results");
    ArrayRef<int64_t> shape = type.getShape();
    int64_t size = shape.empty() ? 1 : shape.back(), count = 1;
    for (int64_t extent : shape.empty() ? shape : shape.drop_back())
      count = ShapedType::isDynamic(extent) || count < 0 ? -1 : count * extent;
    if (count >= 0 && rows && *rows != count)
      return kb.fail(yield, "its results have different numbers of rows");
    if (count >= 0)
      rows = count;
    Group *group = llvm::find_if(
        groups, [&](Group &g) { return g.size == size && !ShapedType::isDynamic(size); });
    if (group == groups.end())
      group = &groups.emplace_back(Group{size, {}});
    group->results.push_back(index);
  }

  kb.loop(kb.begin(), kb.end(), kb.c(1), [&](Value row) {
    for (Group &group : groups) {
      Size size{kb.c(1), 1};
      SmallVector<int64_t> breaks;
      for (unsigned index : group.results) {
        Value value = yield.getValues()[index];
        unsigned rank = cast<RankedTensorType>(value.getType()).getRank();
        if (rank == 0)
          continue;
        size = eval.resultDim(index, rank - 1);
        eval.collectBreaks(value, rank - 1, breaks);
      }
      llvm::sort(breaks);
      eval.forLanes(size, breaks, [&](Coord lane, Value mask) {
        for (unsigned index : group.results) {
          Value value = yield.getValues()[index];
          auto type = cast<RankedTensorType>(value.getType());
          Point point{{}, mask, false};
          Value offset = kb.c(0);
          if (type.getRank() == 0) {
            point.mask = {};
            eval.store(eval.at(value, point), eval.resultBuffer(index), type.getElementType(),
                       offset, {});
            continue;
          }
          SmallVector<Size, 4> sizes;
          for (unsigned d = 0; d + 1 < type.getRank(); ++d)
            sizes.push_back(eval.resultDim(index, d));
          point.coords = eval.delinearize(eval.uniform(row), sizes);
          point.coords.push_back(lane);
          offset = type.getRank() == 1 ? lane.base : kb.add(kb.mul(row, size.value), lane.base);
          Value lanes = eval.broadcast(eval.at(value, point));
          eval.store({lanes}, eval.resultBuffer(index), type.getElementType(), offset, mask);
        }
      });
    }
  });
}
