//===- Relayout.cpp - moves the elements of a tensor into another order -----------------------===//

#include "Relayout.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include <numeric>

using namespace mlir;

namespace ingot {

std::optional<Layout> layoutOf(ArrayRef<Index> indices, RankedTensorType type) {
  Layout layout;
  for (auto [index, size] : llvm::zip(indices, type.getShape())) {
    int64_t extent = 1;
    for (const Digit &digit : index.digits)
      extent = ShapedType::isDynamic(digit.size) || ShapedType::isDynamic(extent)
                   ? ShapedType::kDynamic
                   : extent * digit.size;
    if (index.offset || extent != size ||
        llvm::any_of(index.digits, [](const Digit &digit) { return digit.isConstant(); }))
      return std::nullopt;
    layout.emplace_back(index.digits.begin(), index.digits.end());
  }
  return layout;
}

void refineLayouts(ArrayRef<Layout *> layouts) {
  // The weights within its variable at which some digit begins or ends.
  llvm::DenseMap<unsigned, SmallVector<int64_t>> cuts;
  for (Layout *layout : layouts)
    for (auto &dim : *layout)
      for (const Digit &digit : dim) {
        cuts[digit.var].push_back(digit.stride);
        if (!ShapedType::isDynamic(digit.size))
          cuts[digit.var].push_back(digit.stride * digit.size);
      }
  for (auto &[var, at] : cuts) {
    llvm::sort(at);
    at.erase(llvm::unique(at), at.end());
  }
  for (Layout *layout : layouts)
    for (auto &dim : *layout) {
      SmallVector<Digit, 2> refined;
      for (const Digit &digit : dim) {
        SmallVector<Digit, 2> parts{digit};
        for (int64_t cut : cuts[digit.var]) {
          Digit &high = parts.front();
          bool dynamic = ShapedType::isDynamic(high.size);
          if (cut <= high.stride || cut % high.stride != 0 ||
              (!dynamic && (cut >= high.stride * high.size || high.stride * high.size % cut != 0)))
            continue;
          Digit low{high.var, high.stride, cut / high.stride};
          high.size = dynamic ? ShapedType::kDynamic : high.size / low.size;
          high.stride = cut;
          parts.insert(parts.begin() + 1, low);
        }
        refined.append(parts.begin(), parts.end());
      }
      dim = refined;
    }
}

static SmallVector<Digit> flatten(const Layout &layout) {
  SmallVector<Digit> digits;
  for (const auto &dim : layout)
    digits.append(dim.begin(), dim.end());
  return digits;
}

bool canRelayout(const Layout &from, const Layout &to) {
  SmallVector<Digit> source = flatten(from), target = flatten(to);
  for (const Digit &digit : source)
    if (llvm::count(source, digit) != 1 || !llvm::is_contained(target, digit))
      return false;
  for (const Digit &digit : target)
    if (llvm::count(target, digit) != 1)
      return false;
  // One size of a dimension that is split can be found by dividing.
  for (const Layout *layout : {&from, &to})
    for (const auto &dim : *layout)
      if (llvm::count_if(dim, [](Digit d) { return ShapedType::isDynamic(d.size); }) > 1)
        return false;
  return true;
}

/// Collapses `value` to dimensions that each hold one entry of `groups`, source dimensions in
/// order.
static Value collapse(OpBuilder &builder, Location loc, Value value,
                      ArrayRef<ReassociationIndices> groups) {
  if (int64_t(groups.size()) == cast<RankedTensorType>(value.getType()).getRank())
    return value;
  return tensor::CollapseShapeOp::create(builder, loc, value, groups);
}

/// Groups of consecutive dimensions, one for each dimension with a digit; dimensions of size 1 go
/// with a neighbour.
static SmallVector<ReassociationIndices> groupUnits(const Layout &layout) {
  SmallVector<ReassociationIndices> groups;
  ReassociationIndices leading;
  for (auto [k, dim] : llvm::enumerate(layout)) {
    if (dim.empty()) {
      (groups.empty() ? leading : groups.back()).push_back(k);
      continue;
    }
    groups.emplace_back();
    if (!leading.empty())
      std::swap(groups.back(), leading);
    groups.back().push_back(k);
  }
  return groups;
}

static Value expand(OpBuilder &builder, Location loc, Value value,
                    ArrayRef<ReassociationIndices> groups, ArrayRef<int64_t> shape) {
  auto type = cast<RankedTensorType>(value.getType());
  if (int64_t(shape.size()) == type.getRank())
    return value;
  SmallVector<OpFoldResult> sizes;
  for (int64_t size : shape)
    sizes.push_back(ShapedType::isDynamic(size) ? OpFoldResult() : builder.getIndexAttr(size));
  for (auto [k, group] : llvm::enumerate(groups)) {
    int64_t known = 1;
    for (int64_t d : group)
      if (!ShapedType::isDynamic(shape[d]))
        known *= shape[d];
    for (int64_t d : group) {
      if (!ShapedType::isDynamic(shape[d]))
        continue;
      Value size = tensor::DimOp::create(builder, loc, value, k);
      if (known != 1)
        size = arith::DivUIOp::create(builder, loc, size,
                                      arith::ConstantIndexOp::create(builder, loc, known));
      sizes[d] = size;
    }
  }
  auto expanded = RankedTensorType::get(shape, type.getElementType());
  return tensor::ExpandShapeOp::create(builder, loc, expanded, value, groups, sizes);
}

/// Joins digits that are neighbours in both layouts, so that nothing is split for nothing.
static void joinDigits(Layout &a, Layout &b) {
  auto find = [](Layout &layout, const Digit &high, const Digit &low) {
    for (auto &dim : layout)
      for (size_t k = 0; k + 1 < dim.size(); ++k)
        if (dim[k] == high && dim[k + 1] == low)
          return std::pair(&dim, k);
    return std::pair((SmallVector<Digit, 2> *)nullptr, size_t(0));
  };
  for (auto &dim : a)
    for (size_t k = 0; k + 1 < dim.size();) {
      Digit high = dim[k], low = dim[k + 1];
      auto [other, at] = find(b, high, low);
      if (high.var != low.var || high.stride != low.stride * low.size || !other) {
        ++k;
        continue;
      }
      Digit joined{low.var, low.stride,
                   ShapedType::isDynamic(high.size) ? high.size : high.size * low.size};
      for (auto [in, position] : {std::pair(&dim, k), std::pair(other, at)}) {
        (*in)[position] = joined;
        in->erase(in->begin() + position + 1);
      }
    }
}

Value relayout(OpBuilder &builder, Location loc, Value value, Layout from, Layout to,
               function_ref<OpFoldResult(unsigned)> varSize) {
  Type elementType = cast<RankedTensorType>(value.getType()).getElementType();
  joinDigits(from, to);
  if (from == to)
    return value;
  // One dimension per digit.
  SmallVector<Digit> digits = flatten(from), target = flatten(to);
  if (digits.empty()) {
    value = collapse(builder, loc, value, {});
  } else {
    value = collapse(builder, loc, value, groupUnits(from));
    SmallVector<ReassociationIndices> groups;
    SmallVector<int64_t> shape;
    for (const auto &dim : from) {
      if (dim.empty())
        continue;
      groups.emplace_back();
      for (const Digit &digit : dim) {
        groups.back().push_back(shape.size());
        shape.push_back(digit.size);
      }
    }
    value = expand(builder, loc, value, groups, shape);
  }
  // In the order of the target; what it repeats goes in front, then everything is in place.
  auto place = [&](const Digit &digit) { return llvm::find(target, digit) - target.begin(); };
  SmallVector<int64_t> permutation(digits.size());
  std::iota(permutation.begin(), permutation.end(), 0);
  llvm::sort(permutation,
             [&](int64_t a, int64_t b) { return place(digits[a]) < place(digits[b]); });
  auto emptyOf = [&](ArrayRef<OpFoldResult> sizes) {
    return tensor::EmptyOp::create(builder, loc, sizes, elementType);
  };
  if (!llvm::is_sorted(permutation)) {
    SmallVector<OpFoldResult> sizes = tensor::getMixedSizes(builder, loc, value), permuted;
    for (int64_t d : permutation)
      permuted.push_back(sizes[d]);
    value = linalg::TransposeOp::create(builder, loc, value, emptyOf(permuted), permutation)
                ->getResult(0);
  }
  if (digits.size() < target.size()) {
    SmallVector<OpFoldResult> sizes = tensor::getMixedSizes(builder, loc, value), repeated;
    SmallVector<int64_t> added;
    for (auto [k, digit] : llvm::enumerate(target)) {
      if (llvm::is_contained(digits, digit)) {
        repeated.push_back(sizes[repeated.size() - added.size()]);
        continue;
      }
      added.push_back(k);
      repeated.push_back(ShapedType::isDynamic(digit.size) ? varSize(digit.var)
                                                           : builder.getIndexAttr(digit.size));
    }
    value =
        linalg::BroadcastOp::create(builder, loc, value, emptyOf(repeated), added)->getResult(0);
  }
  // The target's dimensions.
  SmallVector<ReassociationIndices> merged;
  SmallVector<int64_t> shape;
  int64_t next = 0;
  for (const auto &dim : to) {
    int64_t size = 1;
    for (const Digit &digit : dim)
      size = ShapedType::isDynamic(digit.size) || ShapedType::isDynamic(size) ? ShapedType::kDynamic
                                                                              : size * digit.size;
    shape.push_back(size);
    if (dim.empty())
      continue;
    merged.emplace_back();
    for (size_t k = 0; k < dim.size(); ++k)
      merged.back().push_back(next++);
  }
  value = collapse(builder, loc, value, merged);
  return expand(builder, loc, value, groupUnits(to), shape);
}

} // namespace ingot
