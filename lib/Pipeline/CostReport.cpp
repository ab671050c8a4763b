//===- CostReport.cpp - what a model costs, from its config alone -----------------------------===//
//
// The graph of a model follows from its config; its plan follows from the graph; the plan carries
// costs. So the same importer, passes and cost formulas that compile a checkpoint say what a model
// takes on a machine, without a weight. Weights are counted in numbers first and then weighed in
// each format; the cache in 16 bits.
//
//===----------------------------------------------------------------------------------------===//

#include "Costs.h"
#include "ingot/Import/ModelInfo.h"
#include "ingot/Pipeline/Compiler.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;
using namespace ingot;
using namespace ingot::tfm;

namespace {

/// How a weight is stored, and the arithmetic that its matrices are multiplied in.
struct Format {
  StringLiteral name;
  double bits;
  double Limits::*rate;
};
const Format kFormats[] = {{"f32", 32, &Limits::f32Gflops},  {"bf16", 16, &Limits::bf16Gflops},
                           {"f16", 16, &Limits::bf16Gflops}, {"8bit", 8, &Limits::int8Gops},
                           {"q8", 8.5, &Limits::int8Gops},   {"q4", 4.5, &Limits::int8Gops}};
constexpr double kCacheBytes = 2;

class CostReport {
public:
  CostReport(ModuleOp module, const ModelInfo &model, const CostOptions &options, int64_t context)
      : module(module), model(model), options(options), context(context) {}

  std::string getText();

private:
  void collect();
  void addTimes();
  void addCache();
  void addSavings();
  /// Seconds of a step of `batch` sequences, one token each, at a position.
  double stepSeconds(const Format &format, int64_t position) const;
  /// Numbers of the caches that a token at `position` reads, its own included.
  double keysRead(int64_t position) const;
  double scoreFlops(int64_t position, int64_t rows) const;
  void line(StringRef name, const llvm::Twine &text) {
    out << llvm::formatv("{0,-10} {1}\n", name, text.str());
  }

  ModuleOp module;
  const ModelInfo &model;
  const CostOptions &options;
  int64_t context;
  std::string text;
  llvm::raw_string_ostream out{text};

  /// Numbers of weights that a step of so many tokens reads, those of experts as expected.
  double weightsRead(double tokens) const {
    return weights + tokens * weightsPerToken + costs.expertBytes(tokens) / 2;
  }
  Costs costs;
  double weights = 0, weightsPerToken = 0;
  double flopsPerToken = 0;
  /// Numbers that a token adds to the caches.
  double cachePerToken = 0;
  /// Window, and numbers read per key or operations per pair.
  std::vector<std::pair<int64_t, double>> keys, pairs;
};

} // namespace

void CostReport::collect() {
  auto program = module.lookupSymbol<plan::ProgramOp>("decode");
  costs = getCosts(program);
  double cacheBytes = 1;
  for (Type type : program.getFunctionType().getInputs())
    if (auto cache = dyn_cast<CacheType>(type))
      cacheBytes = double(cache.getElementType().getIntOrFloatBitWidth()) / 8;
  // Weights are promised in 16 bits.
  weights = double(costs.per(CostClass::Weights, std::nullopt)) / 2;
  weightsPerToken = double(costs.per(CostClass::Weights, BatchDimKind::Tokens)) / 2;
  flopsPerToken = double(costs.per(CostClass::Flops, BatchDimKind::Tokens) +
                         costs.per(CostClass::Flops, BatchDimKind::Outputs));
  cachePerToken = double(costs.per(CostClass::Cache, BatchDimKind::Tokens)) / cacheBytes;
  for (const CostEntry &entry : costs.getEntries()) {
    if (entry.cost == CostClass::Cache && entry.size.batchDim == BatchDimKind::Keys)
      keys.push_back({entry.size.window, double(entry.coefficient) / cacheBytes});
    if (entry.cost == CostClass::Flops && entry.size.batchDim == BatchDimKind::Pairs)
      pairs.push_back({entry.size.window, double(entry.coefficient)});
  }
}

double CostReport::keysRead(int64_t position) const {
  double sum = 0;
  for (auto [window, perKey] : keys)
    sum += perKey * double(window ? std::min(window, position + 1) : position + 1);
  return sum;
}

double CostReport::scoreFlops(int64_t position, int64_t rows) const {
  double sum = 0;
  for (auto [window, perPair] : pairs)
    sum += perPair * countPairs(position, rows, window);
  return sum;
}

double CostReport::stepSeconds(const Format &format, int64_t position) const {
  double batch = double(options.batch);
  double bytes = weightsRead(batch) * format.bits / 8 +
                 batch * (keysRead(position) + cachePerToken) * kCacheBytes;
  double flops = batch * (flopsPerToken + scoreFlops(position, 1));
  return options.limits.seconds(bytes, flops, options.limits.*format.rate);
}

//===----------------------------------------------------------------------===//
// Paragraphs
//===----------------------------------------------------------------------===//

void CostReport::addTimes() {
  const Limits &limits = options.limits;
  bool known = limits.readGBs > 0 || limits.f32Gflops > 0 || limits.int8Gops > 0;
  if (known) {
    auto rate = [](double value, StringRef unit) {
      return value > 0 ? llvm::formatv("{0:f1} {1}", value, unit).str() : std::string("not given");
    };
    line("limits", "read " + rate(limits.readGBs, "GB/s") + ", f32 " +
                       rate(limits.f32Gflops, "Gflop/s") + ", f16 " +
                       rate(limits.bf16Gflops, "Gflop/s") + ", int8 " +
                       rate(limits.int8Gops, "Gop/s"));
  }
  std::string head = options.batch == 1
                         ? std::string("a token")
                         : "a step of " + std::to_string(options.batch) + " sequences";
  out << llvm::formatv("\n{0,-10} {1,12} {2,12}", "weights", "bits", "bytes");
  if (known)
    out << llvm::formatv(" {0,12} {1,12}   {2}", "at the start", "at the end",
                         "(time of " + head + ", position 0 and " + std::to_string(context - 1) +
                             ")");
  out << "\n";
  for (const Format &format : kFormats) {
    if (!options.weights.empty() && options.weights != format.name)
      continue;
    double bytes = weightsRead(double(options.batch)) * format.bits / 8;
    out << llvm::formatv("  {0,-8} {1,12:f1} {2,12}", format.name, format.bits,
                         formatAmount(bytes, "B"));
    if (known)
      out << llvm::formatv(" {0,12} {1,12}", formatSeconds(stepSeconds(format, 0)),
                           formatSeconds(stepSeconds(format, context - 1)));
    out << "\n";
  }
}

void CostReport::addCache() {
  double bytes = cachePerToken * kCacheBytes;
  double held = (keysRead(context - 1)) * kCacheBytes * double(options.batch);
  out << "\n";
  line("cache", formatAmount(bytes, "B") + " per token at 16 bits; " + formatAmount(held, "B") +
                    " for " + llvm::Twine(options.batch) + " x " + llvm::Twine(context) +
                    " positions");
  if (model.heads != model.kvHeads && model.kvHeads > 0) {
    double group = double(model.heads) / double(model.kvHeads);
    line("", "without grouped heads: " + formatAmount(bytes * group, "B") + " per token; " +
                 formatAmount(held * group, "B"));
  }
}

/// A prompt of half of the context, then one token after the other.
void CostReport::addSavings() {
  int64_t prompt = std::max<int64_t>(context / 2, 1), steps = context - prompt;
  if (steps < 1)
    return;
  // Keys and values are made from the residual stream.
  double keysOfToken = 2 * double(model.hidden) * cachePerToken;
  double p = double(prompt), g = double(steps);
  double scoresWith = scoreFlops(prompt, steps), scoresWithout = 0;
  for (int64_t t = 1; t <= steps; ++t)
    scoresWithout += scoreFlops(0, prompt + t);
  double tokensWithout = g * p + g * (g + 1) / 2;
  // Per pair over all sites, without windows: what the usual formulas assume.
  double perPair = 0;
  for (auto [window, flops] : pairs)
    perPair += flops;
  double cube = [](double n) { return n * n * n; }(p + g) - p * p * p;
  out << llvm::formatv(
      "\n{0,-10} a prompt of {1} tokens, then {2} more, without and with the cache\n", "saved",
      prompt, steps);
  out << llvm::formatv("  {0,-22} {1,14} {2,14} {3,10}   {4}\n", "", "without", "with", "factor",
                       "usual formula, without");
  auto row = [&](StringRef name, double without, double with, double usual) {
    out << llvm::formatv("  {0,-22} {1,14} {2,14} {3,10:f1}   {4}\n", name,
                         formatAmount(without, "flop"), formatAmount(with, "flop"), without / with,
                         usual > 0 ? formatAmount(usual, "flop") : "");
  };
  double promptScores = scoreFlops(0, prompt);
  row("prefill: K and V", keysOfToken * p, keysOfToken * p, 0);
  row("prefill: scores", promptScores, promptScores, 0);
  row("decode: K and V", keysOfToken * tokensWithout, keysOfToken * g,
      keysOfToken * ((p + g) * (p + g) - p * p) / 2);
  row("decode: scores", scoresWithout, scoresWith, perPair * cube / 6);
  row("decode: all matrices", flopsPerToken * tokensWithout, flopsPerToken * g,
      flopsPerToken * ((p + g) * (p + g) - p * p) / 2);
  out << "  (exact sums beside n^2/2 tokens and n^3/6 pairs for n tokens)\n";
}

std::string CostReport::getText() {
  collect();
  line("model", llvm::Twine(model.modelType) + ": " + llvm::Twine(model.layers) +
                    " layers, width " + llvm::Twine(model.hidden) + ", " +
                    llvm::Twine(model.heads) + " heads of " + llvm::Twine(model.headDim) + " on " +
                    llvm::Twine(model.kvHeads) + " of keys and values, vocabulary " +
                    llvm::Twine(model.vocab));
  line("a token", "reads " + formatAmount(weightsRead(1), "") + " weights, " +
                      formatAmount(flopsPerToken, "flop") + " and " +
                      formatAmount(scoreFlops(0, 1), "flop") + " per position that it sees");
  if (double all = costs.allExpertBytes() / 2; all > 0) {
    auto entry =
        llvm::find_if(costs.getEntries(), [](const CostEntry &e) { return e.size.experts > 0; });
    line("experts", llvm::Twine(entry->size.chosen) + " of " + llvm::Twine(entry->size.experts) +
                        " for each token, " + formatAmount(all, "") + " weights in all");
    for (int64_t tokens :
         {int64_t(1), int64_t(2), int64_t(4), int64_t(8), int64_t(16), int64_t(64), options.batch})
      line("", llvm::formatv("{0,6} tokens meet {1:f2} of them on average: {2} weights are read",
                             tokens, entry->size.expectedExperts(double(tokens)),
                             formatAmount(weightsRead(double(tokens)), ""))
                   .str());
  }
  addTimes();
  addCache();
  addSavings();
  return text;
}

llvm::Expected<std::string> ingot::describeCosts(ModuleOp module, const CostOptions &options) {
  auto fail = [](const llvm::Twine &text) {
    return llvm::createStringError(llvm::inconvertibleErrorCode(), text);
  };
  FailureOr<ModelInfo> model = failure();
  if (module->hasAttr(TransformerDialect::getModelAttrName()))
    model = ModelInfo::get(module);
  if (failed(model) || !module.lookupSymbol<plan::ProgramOp>("decode"))
    return fail("costs are known for language models with a cache only");
  return CostReport(module, *model, options, std::max<int64_t>(model->context, 1)).getText();
}

bool ingot::isCostFormat(StringRef name) {
  return llvm::any_of(kFormats, [&](const Format &format) { return format.name == name; });
}
