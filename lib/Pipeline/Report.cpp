//===- Report.cpp - what a compile decided, and why -------------------------------------------===//

#include "Report.h"
#include "ingot/Dialect/Plan/IR/PlanDialect.h"
#include "ingot/Dialect/Transformer/IR/TransformerDialect.h"
#include "ingot/Transforms/AttentionSites.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/JSON.h"
#include <cmath>
#include <map>

using namespace mlir;
using namespace ingot;
using namespace ingot::tfm;

static constexpr const char *kClassNames[] = {"weights", "cache", "activations", "flops"};

/// A size that costs grow with, as people name it: "tokens", "pairs", "dim 2 of arg0".
static std::string nameSize(Value size, plan::ProgramOp program) {
  if (auto batchDim = size.getDefiningOp<BatchDimOp>())
    return stringifyBatchDimKind(batchDim.getKind()).str() +
           (batchDim.getWindow() ? " (window " + std::to_string(batchDim.getWindow()) + ")" : "");
  if (auto dim = size.getDefiningOp<tensor::DimOp>())
    if (auto argument = dyn_cast<BlockArgument>(dim.getSource());
        argument && dim.getConstantIndex()) {
      auto name = program.getArgAttrOfType<StringAttr>(argument.getArgNumber(), plan::kNameAttr);
      return "dim " + std::to_string(*dim.getConstantIndex()) + " of " +
             (name ? name.str() : "input");
    }
  IntegerAttr constant;
  if (matchPattern(size, m_Constant(&constant)))
    return std::to_string(constant.getInt());
  if (auto min = size.getDefiningOp<arith::MinSIOp>())
    return "min(" + nameSize(min.getLhs(), program) + ", " + nameSize(min.getRhs(), program) + ")";
  std::string text;
  if (Operation *op = size.getDefiningOp())
    for (Value operand : op->getOperands())
      text += (text.empty() ? "" : " * ") + nameSize(operand, program);
  return text.empty() ? "size" : text;
}

namespace {
/// (class, size) -> coefficient, over all dispatches of a program.
using Totals = std::map<std::pair<int32_t, std::string>, int64_t>;
} // namespace

static void addCosts(plan::DispatchOp dispatch, plan::ProgramOp program, Totals &totals) {
  if (!dispatch.getCostClasses())
    return;
  for (auto [size, cost, coefficient] : llvm::zip(
           dispatch.getCostSizes(), *dispatch.getCostClasses(), *dispatch.getCostCoefficients())) {
    IntegerAttr constant;
    if (matchPattern(size, m_Constant(&constant)))
      totals[{cost, "1"}] += coefficient * constant.getInt();
    else
      totals[{cost, nameSize(size, program)}] += coefficient;
  }
}

//===----------------------------------------------------------------------===//
// Experts
//===----------------------------------------------------------------------===//

namespace {
/// Matrices of which a step reads those of the experts that its tokens go to.
struct ExpertMatrices {
  int64_t bytes; ///< of one expert
  int64_t experts, chosen;

  /// What a step of so many tokens reads if routers choose evenly: an expert is met unless every
  /// token passes it by.
  double expectedBytes(int64_t tokens) const {
    double passed = std::pow(1 - double(chosen) / double(experts), double(tokens));
    return double(bytes) * double(experts) * (1 - passed);
  }
};
} // namespace

/// The expert matrices of a program, from costs per min(chosen * tokens, experts).
static SmallVector<ExpertMatrices> collectExperts(plan::ProgramOp program) {
  SmallVector<ExpertMatrices> result;
  program.walk([&](plan::DispatchOp dispatch) {
    if (!dispatch.getCostClasses())
      return;
    for (auto [size, cost, bytes] : llvm::zip(dispatch.getCostSizes(), *dispatch.getCostClasses(),
                                              *dispatch.getCostCoefficients())) {
      auto min = size.getDefiningOp<arith::MinSIOp>();
      IntegerAttr experts, chosen;
      if (cost != int32_t(CostClass::Weights) || !min ||
          !matchPattern(min.getRhs(), m_Constant(&experts)))
        continue;
      auto choices = min.getLhs().getDefiningOp<arith::MulIOp>();
      bool several = choices && matchPattern(choices.getRhs(), m_Constant(&chosen));
      result.push_back({bytes, experts.getInt(), several ? chosen.getInt() : 1});
    }
  });
  return result;
}

/// All programs of a model have the same experts.
static SmallVector<ExpertMatrices> collectExperts(ModuleOp module) {
  for (auto program : module.getOps<plan::ProgramOp>())
    if (SmallVector<ExpertMatrices> found = collectExperts(program); !found.empty())
      return found;
  return {};
}

/// Batches whose expected reads are reported.
static constexpr int64_t kBatches[] = {1, 4, 16};

static double sumOfExpected(ArrayRef<ExpertMatrices> matrices, int64_t tokens) {
  double sum = 0;
  for (const ExpertMatrices &each : matrices)
    sum += each.expectedBytes(tokens);
  return sum;
}

static int64_t sumOfAll(ArrayRef<ExpertMatrices> matrices) {
  int64_t sum = 0;
  for (const ExpertMatrices &each : matrices)
    sum += each.bytes * each.experts;
  return sum;
}

static std::string formatQuantity(int64_t value, bool isFlops) {
  const char *units[] = {"", "k", "M", "G", "T"};
  double scaled = double(value);
  unsigned unit = 0;
  for (; scaled >= 1000 && unit < 4; ++unit)
    scaled /= 1000;
  return llvm::formatv(unit ? "{0:f2} {1}{2}" : "{0:f0} {1}{2}", scaled, units[unit],
                       isFlops ? "flop" : "B")
      .str();
}

/// Whether something is fixed for each sequence by the length of its prompt.
static bool readsPromptLengths(ModuleOp module) {
  return module.walk([](PromptLengthsOp) { return WalkResult::interrupt(); })
      .wasInterrupted();
}

std::string Report::getText() {
  std::string text;
  llvm::raw_string_ostream out(text);
  SmallVector<AttentionSite> sites = getAttentionSites(module);
  int64_t fused = 0, all = 0;
  for (const AttentionSite &site : sites) {
    all += site.calls;
    fused += site.raised() ? site.calls : 0;
  }
  if (all)
    out << "attention: " << fused << " of " << all << " sites fused\n";
  for (const AttentionSite &site : sites)
    if (!site.raised())
      out << "  not fused: " << site.location << ": " << site.detail << "\n";
  if (SmallVector<ExpertMatrices> experts = collectExperts(module); !experts.empty()) {
    out << "experts: " << formatQuantity(sumOfAll(experts), false);
    for (int64_t tokens : kBatches) {
      std::string bytes = formatQuantity(int64_t(sumOfExpected(experts, tokens)), false);
      if (tokens == 1)
        out << "; a token reads " << bytes;
      else
        out << ", " << tokens << " about " << bytes;
    }
    out << "\n";
  }
  if (readsPromptLengths(module))
    out << "positions: rotary frequencies follow the length of a sequence's prompt and stay to its "
           "end\n";
  for (auto program : module.getOps<plan::ProgramOp>()) {
    Totals totals;
    int64_t dispatches = 0;
    program.walk([&](plan::DispatchOp dispatch) {
      addCosts(dispatch, program, totals);
      ++dispatches;
    });
    out << program.getName() << ": " << dispatches << " dispatches";
    for (auto &[key, coefficient] : totals) {
      // Fixed bytes of weights and everything per cached key or pair say what the limits are.
      if (key.first == int32_t(CostClass::Activations))
        continue;
      out << ", " << formatQuantity(coefficient, key.first == int32_t(CostClass::Flops)) << " "
          << (key.first == int32_t(CostClass::Flops) ? "" : kClassNames[key.first]);
      if (key.second != "1")
        out << (key.first == int32_t(CostClass::Flops) ? "x " : " x ") << key.second;
    }
    out << "\n";
  }
  return text;
}

std::string Report::getJson() {
  std::string text;
  llvm::raw_string_ostream out(text);
  llvm::json::OStream json(out, 2);
  auto strings = [&](StringRef key, const std::vector<std::string> &values) {
    json.attributeArray(key, [&] {
      for (const std::string &value : values)
        json.value(value);
    });
  };
  json.object([&] {
    json.attribute("schema_version", 1);
    json.attribute("reads_prompt_lengths", readsPromptLengths(module));
    json.attributeArray("attention", [&] {
      for (const AttentionSite &site : getAttentionSites(module))
        json.object([&] {
          json.attribute("location", site.location);
          json.attribute("function", site.function);
          json.attribute("calls", site.calls);
          json.attribute("fused", site.raised());
          json.attribute("reason", stringifyNotRaised(site.reason));
          json.attribute("detail", site.detail);
        });
    });
    if (SmallVector<ExpertMatrices> experts = collectExperts(module); !experts.empty())
      json.attributeObject("experts", [&] {
        json.attribute("bytes", sumOfAll(experts));
        json.attributeArray("expected", [&] {
          for (int64_t tokens : kBatches)
            json.object([&] {
              json.attribute("tokens", tokens);
              json.attribute("bytes", int64_t(sumOfExpected(experts, tokens)));
            });
        });
      });
    json.attributeObject("config", [&] {
      strings("read", import.fieldsRead);
      strings("without_effect", import.fieldsWithoutEffect);
      strings("unknown", import.fieldsUnknown);
    });
    json.attributeObject("tensors", [&] {
      strings("without_effect", import.tensorsWithoutEffect);
      strings("unused", import.tensorsUnused);
    });
    json.attributeArray("messages", [&] {
      for (const ImportMessage &message : import.messages)
        json.value(message.str());
    });
    json.attributeArray("kernels", [&] {
      for (auto kernel : module.getOps<plan::KernelOp>())
        json.object([&] {
          json.attribute("name", kernel.getName());
          if (auto schedule = kernel.getSchedule())
            json.attribute("kind", plan::stringifyScheduleKind(schedule->getKind()));
        });
    });
    json.attributeArray("programs", [&] {
      for (auto program : module.getOps<plan::ProgramOp>())
        json.object([&] {
          json.attribute("name", program.getName());
          Totals totals;
          auto writeCosts = [&](const Totals &costs) {
            json.attributeArray("cost", [&] {
              for (const auto &term : costs)
                json.object([&] {
                  json.attribute("class", kClassNames[term.first.first]);
                  json.attribute("per", term.first.second);
                  json.attribute("amount", term.second);
                });
            });
          };
          json.attributeArray("dispatches", [&] {
            program.walk([&](plan::DispatchOp dispatch) {
              Totals own;
              addCosts(dispatch, program, own);
              addCosts(dispatch, program, totals);
              json.object([&] {
                json.attribute("kernel", dispatch.getKernel());
                std::string location;
                llvm::raw_string_ostream(location) << dispatch.getLoc();
                json.attribute("location", location);
                writeCosts(own);
              });
            });
          });
          writeCosts(totals);
        });
    });
  });
  out << "\n";
  return text;
}
