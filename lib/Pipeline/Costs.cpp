//===- Costs.cpp - what the programs of a plan cost -------------------------------------------===//

#include "Costs.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/FormatVariadic.h"
#include <cmath>

using namespace mlir;
using namespace ingot;
using namespace ingot::tfm;

static CostSize describeSize(Value size, plan::ProgramOp program) {
  if (auto batchDim = size.getDefiningOp<BatchDimOp>()) {
    int64_t window = batchDim.getWindow();
    return {stringifyBatchDimKind(batchDim.getKind()).str() +
                (window ? " (window " + std::to_string(window) + ")" : ""),
            batchDim.getKind(), window};
  }
  if (auto dim = size.getDefiningOp<tensor::DimOp>())
    if (auto argument = dyn_cast<BlockArgument>(dim.getSource());
        argument && dim.getConstantIndex()) {
      auto name = program.getArgAttrOfType<StringAttr>(argument.getArgNumber(), plan::kNameAttr);
      return {"dim " + std::to_string(*dim.getConstantIndex()) + " of " +
                  (name ? name.str() : "input"),
              std::nullopt};
    }
  IntegerAttr constant;
  if (matchPattern(size, m_Constant(&constant)))
    return {std::to_string(constant.getInt()), std::nullopt};
  if (auto min = size.getDefiningOp<arith::MinSIOp>()) {
    CostSize result{"min(" + describeSize(min.getLhs(), program).name + ", " +
                        describeSize(min.getRhs(), program).name + ")",
                    std::nullopt};
    IntegerAttr experts, chosen;
    auto choices = min.getLhs().getDefiningOp<arith::MulIOp>();
    if (matchPattern(min.getRhs(), m_Constant(&experts))) {
      result.experts = experts.getInt();
      bool several = choices && matchPattern(choices.getRhs(), m_Constant(&chosen));
      result.chosen = several ? chosen.getInt() : 1;
    }
    return result;
  }
  std::string text;
  if (Operation *op = size.getDefiningOp())
    for (Value operand : op->getOperands())
      text += (text.empty() ? "" : " * ") + describeSize(operand, program).name;
  return {text.empty() ? "size" : text, std::nullopt};
}

void Costs::add(plan::DispatchOp dispatch, plan::ProgramOp program) {
  if (!dispatch.getCostClasses())
    return;
  for (auto [size, cost, coefficient] : llvm::zip(
           dispatch.getCostSizes(), *dispatch.getCostClasses(), *dispatch.getCostCoefficients())) {
    IntegerAttr constant;
    CostEntry entry{CostClass(cost), describeSize(size, program), coefficient};
    if (matchPattern(size, m_Constant(&constant))) {
      entry.size.name = "1";
      entry.coefficient *= constant.getInt();
    }
    auto key = [](const CostEntry &e) { return std::make_pair(e.cost, StringRef(e.size.name)); };
    auto at = llvm::lower_bound(
        entries, entry, [&](const CostEntry &a, const CostEntry &b) { return key(a) < key(b); });
    if (at != entries.end() && key(*at) == key(entry))
      at->coefficient += entry.coefficient;
    else
      entries.insert(at, std::move(entry));
  }
}

double ingot::countPairs(int64_t position, int64_t rows, int64_t window) {
  // Rows before `growing` see position + 1 keys, later ones the window.
  int64_t growing = window ? std::clamp<int64_t>(window - position, 0, rows) : rows;
  return double(growing) * double(position) + double(growing) * double(growing + 1) / 2 +
         double(rows - growing) * double(window);
}

std::optional<std::array<double, 4>> Costs::evaluate(const StepShape &step) const {
  std::array<double, 4> totals = {};
  for (const CostEntry &entry : entries) {
    double size = 1, sequences = double(step.sequences);
    int64_t held = step.position + step.rows, window = entry.size.window;
    if (entry.size.batchDim) {
      switch (*entry.size.batchDim) {
      case BatchDimKind::Tokens:
        size = sequences * double(step.rows);
        break;
      case BatchDimKind::Sequences:
        size = sequences;
        break;
      case BatchDimKind::Outputs:
        size = sequences * double(step.outputs);
        break;
      case BatchDimKind::Keys:
        size = sequences * double(window ? std::min(held, window + step.rows - 1) : held);
        break;
      case BatchDimKind::Pairs:
        size = sequences * countPairs(step.position, step.rows, window);
        break;
      case BatchDimKind::AllPairs:
        size = sequences * double(step.rows) * double(held);
        break;
      default:
        return std::nullopt;
      }
    } else if (entry.size.experts) {
      size = entry.size.expectedExperts(sequences * double(step.rows));
    } else if (entry.size.name != "1") {
      return std::nullopt;
    }
    totals[size_t(entry.cost)] += double(entry.coefficient) * size;
  }
  return totals;
}

int64_t Costs::per(CostClass cost, std::optional<BatchDimKind> dim) const {
  int64_t sum = 0;
  for (const CostEntry &entry : entries)
    if (entry.cost == cost && entry.size.batchDim == dim && (dim || entry.size.name == "1"))
      sum += entry.coefficient;
  return sum;
}

double CostSize::expectedExperts(double tokens) const {
  return double(experts) * (1 - std::pow(1 - double(chosen) / double(experts), tokens));
}

double Costs::expertBytes(double tokens) const {
  double sum = 0;
  for (const CostEntry &entry : entries)
    if (entry.cost == CostClass::Weights && entry.size.experts)
      sum += double(entry.coefficient) * entry.size.expectedExperts(tokens);
  return sum;
}

double Costs::allExpertBytes() const {
  double sum = 0;
  for (const CostEntry &entry : entries)
    if (entry.cost == CostClass::Weights)
      sum += double(entry.coefficient) * double(entry.size.experts);
  return sum;
}

Costs ingot::getCosts(plan::ProgramOp program) {
  Costs costs;
  program.walk([&](plan::DispatchOp dispatch) { costs.add(dispatch, program); });
  return costs;
}

StringRef ingot::getCostName(CostClass cost) {
  static constexpr StringLiteral names[] = {"weights", "cache", "activations", "flops"};
  return names[size_t(cost)];
}

std::string ingot::formatAmount(double value, StringRef unit) {
  static constexpr StringLiteral prefixes[] = {"", "k", "M", "G", "T", "P"};
  unsigned prefix = 0;
  for (; value >= 1000 && prefix < 5; ++prefix)
    value /= 1000;
  return llvm::formatv(prefix ? "{0:f2} {1}{2}" : "{0:f0} {1}{2}", value, prefixes[prefix], unit)
      .str();
}

std::string ingot::formatSeconds(double seconds) {
  if (seconds >= 1)
    return llvm::formatv("{0:f2} s", seconds).str();
  return seconds >= 1e-3 ? llvm::formatv("{0:f2} ms", seconds * 1e3).str()
                         : llvm::formatv("{0:f2} us", seconds * 1e6).str();
}
