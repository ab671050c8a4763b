//===- Report.cpp - what a compile decided, and why -------------------------------------------===//

#include "Report.h"
#include "Costs.h"
#include "ingot/Artifact/ModuleTables.h"
#include "ingot/Dialect/Transformer/IR/TransformerDialect.h"
#include "ingot/Import/ModelInfo.h"
#include "ingot/Transforms/AttentionSites.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/JSON.h"
#include <map>

using namespace mlir;
using namespace ingot;
using namespace ingot::tfm;

/// The arithmetic of the module's matrices: the type in which activations meet most of their
/// elements.
static std::pair<StringRef, double> getArithmetic(ModuleOp module, const Limits &limits) {
  std::map<unsigned, double> elements;
  module.walk([&](Operation *op) {
    if (!isa<LinearOp, ExpertLinearOp>(op))
      return;
    Type type = getElementTypeOrSelf(op->getOperand(0).getType());
    auto weight = cast<RankedTensorType>(op->getOperand(1).getType());
    elements[isa<BlockType>(type) ? 8 : type.getIntOrFloatBitWidth()] +=
        double(weight.getNumElements());
  });
  unsigned bits = 32;
  for (auto [width, count] : elements)
    if (count > elements[bits])
      bits = width;
  if (bits == 8)
    return {"int8", limits.int8Gops};
  return bits == 16 ? std::make_pair(StringRef("bf16"), limits.bf16Gflops)
                    : std::make_pair(StringRef("f32"), limits.f32Gflops);
}

/// "activations: int8, cache: bf16"
static std::string describeFormats(ModuleOp module) {
  auto model = module->getAttrOfType<DictionaryAttr>(TransformerDialect::getModelAttrName());
  auto activations = model ? model.getAs<StringAttr>("activations") : StringAttr();
  if (!activations)
    return "";
  std::string text = "activations: " + activations.str();
  module.walk([&](Operation *op) {
    for (Value result : op->getResults())
      if (auto cache = dyn_cast<CacheType>(result.getType())) {
        llvm::raw_string_ostream(text) << ", cache: " << cache.getElementType();
        return WalkResult::interrupt();
      }
    return WalkResult::advance();
  });
  return text;
}

static std::string formatTerm(const CostEntry &entry) {
  return formatAmount(double(entry.coefficient), entry.cost == CostClass::Flops ? "flop" : "B") +
         (entry.size.name == "1" ? "" : " x " + entry.size.name);
}

/// "16 tokens from position 0: 1.20 ms (bytes 0.80 ms, arithmetic 1.20 ms), 13333 tok/s"
static std::string describeStep(const Costs &costs, const StepShape &step, const Limits &limits,
                                std::pair<StringRef, double> arithmetic) {
  std::optional<std::array<double, 4>> totals = costs.evaluate(step);
  if (!totals)
    return "";
  // Activations stay in the processor's caches.
  double bytes = (*totals)[size_t(CostClass::Weights)] + (*totals)[size_t(CostClass::Cache)];
  double flops = (*totals)[size_t(CostClass::Flops)];
  double seconds = limits.seconds(bytes, flops, arithmetic.second);
  if (seconds <= 0)
    return "";
  std::string text;
  llvm::raw_string_ostream(text) << llvm::formatv(
      "{0} token{1} from position {2}: {3}, {4:f1} tok/s (bytes {5}, {6} arithmetic {7})",
      step.rows, step.rows == 1 ? "" : "s", step.position, formatSeconds(seconds),
      double(step.rows) / seconds, formatSeconds(limits.seconds(bytes, 0, 0)), arithmetic.first,
      formatSeconds(limits.seconds(0, flops, arithmetic.second)));
  return text;
}

/// The costs of a program with mixtures of experts: all programs of a model have the same.
static Costs getExpertCosts(ModuleOp module) {
  for (auto program : module.getOps<plan::ProgramOp>())
    if (Costs costs = getCosts(program); costs.allExpertBytes() > 0)
      return costs;
  return {};
}

/// Batches whose expected reads of experts are reported.
static constexpr int64_t kBatches[] = {1, 4, 16};

/// Whether something is fixed for each sequence by the length of its prompt.
static bool readsPromptLengths(ModuleOp module) {
  return module.walk([](PromptLengthsOp) { return WalkResult::interrupt(); }).wasInterrupted();
}

std::string Report::getText(const Limits &limits) {
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
  Costs costsOfExperts = getExpertCosts(module);
  if (double all = costsOfExperts.allExpertBytes(); all > 0) {
    out << "experts: " << formatAmount(all, "B");
    for (int64_t tokens : kBatches)
      out << (tokens == 1 ? "; a token reads " : ", " + std::to_string(tokens) + " about ")
          << formatAmount(costsOfExperts.expertBytes(tokens), "B");
    out << "\n";
  }
  if (readsPromptLengths(module))
    out << "positions: rotary frequencies follow the length of a sequence's prompt and stay to its "
           "end\n";
  for (const Tuning &tuning : tunings) {
    out << "tiles measured for " << tuning.target << ":\n";
    for (const codegen::TunedTile &tile : tuning.tiles) {
      out << "  " << tile.kernel << ": " << tile.chosen.getTileRows() << " rows x "
          << 16 * tile.chosen.getTileVectors() << " columns";
      if (tile.gain > 1)
        out << llvm::formatv(", {0:f2} x as fast as the default", tile.gain);
      out << "\n";
    }
  }
  FailureOr<ModelInfo> model = failure();
  if (module->hasAttr(TransformerDialect::getModelAttrName()))
    model = ModelInfo::get(module);
  if (std::string formats = describeFormats(module); !formats.empty())
    out << formats << "\n";
  auto arithmetic = getArithmetic(module, limits);
  for (auto program : module.getOps<plan::ProgramOp>()) {
    Costs costs = getCosts(program);
    int64_t dispatches = llvm::range_size(program.getBody().getOps<plan::DispatchOp>());
    out << program.getName() << ": " << dispatches << " dispatches\n";
    for (CostClass cost :
         {CostClass::Weights, CostClass::Cache, CostClass::Activations, CostClass::Flops}) {
      std::string terms;
      for (const CostEntry &entry : costs.getEntries())
        if (entry.cost == cost)
          terms += (terms.empty() ? "" : " + ") + formatTerm(entry);
      if (!terms.empty())
        out << llvm::formatv("  {0,-12} {1}\n", getCostName(cost), terms);
    }
    if (failed(model))
      continue;
    // A prefill in one step from the start; a token at the start and one at the end.
    bool decode = program.getName() == "decode";
    int64_t rows = std::min<int64_t>(model->context, 512);
    SmallVector<StepShape> steps = {{1, decode ? 1 : rows, 0, 1}};
    if (decode && model->context > 1)
      steps.push_back({1, 1, model->context - 1, 1});
    for (const StepShape &step : steps)
      if (std::string text = describeStep(costs, step, limits, arithmetic); !text.empty())
        out << llvm::formatv("  {0,-12} {1}\n", "limits allow", text);
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
    json.attribute("formats", describeFormats(module));
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
    if (Costs costs = getExpertCosts(module); costs.allExpertBytes() > 0)
      json.attributeObject("experts", [&] {
        json.attribute("bytes", int64_t(costs.allExpertBytes()));
        json.attributeArray("expected", [&] {
          for (int64_t tokens : kBatches)
            json.object([&] {
              json.attribute("tokens", tokens);
              json.attribute("bytes", int64_t(costs.expertBytes(tokens)));
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
    if (!tunings.empty())
      json.attributeArray("tuned", [&] {
        for (const Tuning &tuning : tunings)
          for (const codegen::TunedTile &tile : tuning.tiles)
            json.object([&] {
              json.attribute("target", tuning.target);
              json.attribute("kernel", tile.kernel);
              json.attribute("tile_rows", tile.chosen.getTileRows());
              json.attribute("tile_vectors", tile.chosen.getTileVectors());
              json.attribute("gain", tile.gain);
            });
      });
    json.attributeArray("programs", [&] {
      for (auto program : module.getOps<plan::ProgramOp>())
        json.object([&] {
          json.attribute("name", program.getName());
          auto writeCosts = [&](const Costs &costs) {
            json.attributeArray("cost", [&] {
              for (const CostEntry &entry : costs.getEntries())
                json.object([&] {
                  json.attribute("class", getCostName(entry.cost));
                  json.attribute("per", entry.size.name);
                  json.attribute("amount", entry.coefficient);
                });
            });
          };
          json.attributeArray("dispatches", [&] {
            program.walk([&](plan::DispatchOp dispatch) {
              Costs own;
              own.add(dispatch, program);
              json.object([&] {
                json.attribute("kernel", dispatch.getKernel());
                json.attribute("location", artifact::describeLocation(dispatch.getLoc()));
                writeCosts(own);
              });
            });
          });
          writeCosts(getCosts(program));
        });
    });
  });
  out << "\n";
  return text;
}
