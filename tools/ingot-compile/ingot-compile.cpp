//===- ingot-compile.cpp - compiles a model to an ingot ---------------------------------------===//

#include "ingot/Pipeline/Compiler.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/Process.h"
#include "llvm/Support/WithColor.h"
#include <chrono>
#include <thread>

using namespace ingot;
namespace cl = llvm::cl;

static cl::OptionCategory category("Options");

static cl::opt<std::string> input(cl::Positional,
                                  cl::desc("<directory | file.gguf | file.mlir | file.ingot>"),
                                  cl::Required, cl::cat(category));
static cl::opt<std::string> output("o", cl::desc("the artifact, or with --compile-to the module"),
                                   cl::value_desc("file"), cl::cat(category));
static cl::list<std::string> targets(
    "target",
    cl::desc("processors to make code for, best first: x86-64-v3, x86-64-v4, znver4, ..., native "
             "(default: x86-64-v4,x86-64-v3)"),
    cl::value_desc("list"), cl::CommaSeparated, cl::cat(category));
static cl::opt<int64_t> context("context",
                                cl::desc("positions of the context (default: the model's)"),
                                cl::value_desc("n"), cl::init(0), cl::cat(category));
static cl::opt<std::string> pastContext(
    "past-context",
    cl::desc("when the context is full: stop; slide (look back that far and go on); restart[:keep] "
             "(begin "
             "again with the newest tokens). Default: restart with learned positions, go on with "
             "a model's own sliding window, else stop"),
    cl::value_desc("stop|slide|restart[:keep]"), cl::cat(category));
static cl::opt<bool> noKVCache("no-kv-cache", cl::desc("run whole sequences in every step"),
                               cl::cat(category));
static cl::opt<std::string> cacheType(
    "cache",
    cl::desc("type of the cached keys and values: f32, bf16, f16, int8 (a scale per token "
             "and head); default: the type of the activations, bf16 under int8"),
    cl::value_desc("type"), cl::cat(category));
static cl::opt<std::string> attentionForm(
    "attention",
    cl::desc("form of attention: auto; flash (blocks of keys, online softmax); blocked (blocks of "
             "queries with whole rows of scores); math (all scores of a head in memory)"),
    cl::value_desc("auto|math|blocked|flash"), cl::init("auto"), cl::cat(category));
static cl::opt<bool> requireFused("require-fused",
                                  cl::desc("an attention site that is not fused is an error"),
                                  cl::cat(category));
static cl::opt<bool>
    verifyNumerics("verify-numerics",
                   cl::desc("run the reference interpreter after every pass (slow)"),
                   cl::cat(category));
static cl::opt<bool>
    strict("strict", cl::desc("config fields and tensors that are not understood are errors"),
           cl::cat(category));
static cl::list<std::string> weights(
    "weights",
    cl::desc("formats of the matrices: f32, bf16, f16, q8 or q4 (blocks of 32 with a 16-bit "
             "scale), for all or for names: q8,*embed*=bf16 (default: as stored)"),
    cl::value_desc("[pattern=]format"), cl::CommaSeparated, cl::cat(category));
static cl::opt<std::string> activations(
    "activations",
    cl::desc("type of the rows that meet a matrix: f32, bf16, int8 (rounded in groups of "
             "32 before matrices of 8 or fewer bits, to bf16 before others) or auto "
             "(default: f32, bf16 or int8 as the matrices are f32, of 16 bits or of 8 and fewer)"),
    cl::value_desc("type"), cl::init("auto"), cl::cat(category));
static cl::opt<std::string> report("report", cl::desc("write what was decided and why, as JSON"),
                                   cl::value_desc("file"), cl::cat(category));
static cl::opt<int64_t>
    maxTokens("max-tokens",
              cl::desc("most tokens in one step; longer prompts are cut (default 512)"),
              cl::value_desc("n"), cl::init(512), cl::cat(category));
static cl::opt<std::string>
    compileTo("compile-to",
              cl::desc("stop after a stage and write the module: input, graph, phases, "
                       "dispatches, plan"),
              cl::value_desc("stage"), cl::cat(category));
static cl::opt<std::string>
    compileFrom("compile-from", cl::desc("the stage that an MLIR file is in (default: input)"),
                cl::value_desc("stage"), cl::init("input"), cl::cat(category));
static cl::opt<std::string>
    dumpPhasesTo("dump-phases-to",
                 cl::desc("write the module of every stage, and the IR and assembly of every "
                          "kernel, into a folder"),
                 cl::value_desc("folder"), cl::cat(category));
static cl::opt<unsigned> threads("jobs", cl::desc("worker threads (default: one per processor)"),
                                 cl::value_desc("n"), cl::init(0), cl::cat(category));
static cl::opt<bool>
    tune("tune",
         cl::desc("measure tiles of the projections on this machine, which takes some seconds for "
                  "each of them; never changes a bit of a result"),
         cl::cat(category));
static cl::opt<bool>
    costOnly("cost-only",
             cl::desc("compile nothing: print what a model costs, from its config.json alone"),
             cl::cat(category));
static cl::opt<std::string> limitsText(
    "limits",
    cl::desc("what a machine can do, as read=1008GB/s,f16=83T (also f32, int8); default: "
             "this one is measured"),
    cl::value_desc("rates"), cl::cat(category));
static cl::opt<int64_t> batch("batch", cl::desc("--cost-only: sequences decoded together"),
                              cl::value_desc("n"), cl::init(1), cl::cat(category));
static cl::opt<bool> quiet("quiet", cl::desc("print nothing but errors"), cl::cat(category));

static cl::extrahelp examples(R"(
Examples:
  ingot-compile SmolLM2-135M-Instruct -o chat.ingot
  ingot-compile SmolLM2-135M-Instruct.Q4_1.gguf -o chat.ingot
  ingot-compile attention.mlir -o attention.ingot --target=native
  ingot-compile model -o model.ingot --target=native --tune
  ingot-compile model -o model.ingot --weights=q8,*embed*=bf16 --activations=bf16
  ingot-compile model -o model.ingot --context=2048 --past-context=slide
  ingot-compile model --compile-to=graph -o -            read what was fused
  ingot-compile model -o model.ingot --dump-phases-to=phases --report=report.json
  ingot-compile --cost-only config.json --limits=read=1008GB/s,f16=83T --batch=8
  ingot-compile model.ingot -o other.ingot --target=znver5   other code, without the checkpoint
)");

static int fail(const llvm::Twine &message) {
  llvm::errs() << "error: " << message << "\n";
  return 1;
}

/// The value of --quiet: linking in process resets all options of the command line.
static bool isQuiet = false;

/// One line on a terminal that is written over; nothing elsewhere.
static void showProgress(llvm::StringRef step, uint64_t done, uint64_t total) {
  static bool isTerminal = llvm::sys::Process::StandardErrIsDisplayed();
  static auto last = std::chrono::steady_clock::time_point();
  auto now = std::chrono::steady_clock::now();
  if (!isTerminal || isQuiet ||
      (total && done < total && now - last < std::chrono::milliseconds(50)))
    return;
  last = now;
  llvm::errs() << "\r\x1b[K" << step;
  if (total)
    llvm::errs() << ": " << 100 * done / total << " %";
}
static void endProgress() {
  if (llvm::sys::Process::StandardErrIsDisplayed() && !isQuiet)
    llvm::errs() << "\r\x1b[K";
}

/// "stop", "slide", "restart" or "restart:KEEP".
static bool parsePastContext(llvm::StringRef text, CompileOptions &options) {
  auto [policy, keep] = text.split(':');
  if (policy == "stop")
    options.pastContext = PastContext::Stop;
  else if (policy == "slide")
    options.pastContext = PastContext::Slide;
  else if (policy == "restart")
    options.pastContext = PastContext::Restart;
  else
    return false;
  if (text.contains(':'))
    return policy == "restart" && !keep.getAsInteger(10, options.keep) && options.keep > 0;
  return true;
}

/// The first option given that has no say when an artifact is compiled again; empty: none.
static std::string findDecidedOption() {
  static const llvm::StringRef open[] = {
      "o",     "target", "report", "compile-to", "jobs", "dump-phases-to", "compile-from",
      "quiet", "limits", "tune"};
  for (auto &entry : cl::getRegisteredOptions()) {
    cl::Option *option = entry.second;
    if (option->getNumOccurrences() && llvm::is_contained(option->Categories, &category) &&
        !option->ArgStr.empty() && !llvm::is_contained(open, option->ArgStr))
      return option->ArgStr.str();
  }
  return "";
}

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  cl::HideUnrelatedOptions(category);
  cl::SetVersionPrinter([](llvm::raw_ostream &out) { out << "ingot-compile " INGOT_VERSION "\n"; });
  cl::ParseCommandLineOptions(
      argc, argv,
      "Compiles a transformer to an ingot: one file with native code, packed "
      "weights and an execution plan.\n");
  CompileOptions options;
  options.input = input;
  options.output = output;
  if (!targets.empty())
    options.targets = targets;
  options.context = context;
  options.kvCache = !noKVCache;
  options.cacheType = cacheType;
  options.attentionForm = attentionForm;
  options.requireFused = requireFused;
  options.verifyNumerics = verifyNumerics;
  options.strict = strict;
  options.maxTokens = maxTokens;
  options.reportPath = report;
  options.dumpFolder = dumpPhasesTo;
  options.threads = threads;
  options.tune = tune;
  isQuiet = quiet;
  if (context.getNumOccurrences() && context < 1)
    return fail("--context=" + llvm::Twine(context) + ": expected at least 1 position");
  if (maxTokens < 1 || maxTokens > 65536)
    return fail("--max-tokens=" + llvm::Twine(maxTokens) + ": expected 1 to 65536 tokens");
  if (cacheType.getNumOccurrences() &&
      !llvm::is_contained({"f32", "bf16", "f16", "int8"}, llvm::StringRef(cacheType)))
    return fail("--cache=" + cacheType + ": expected f32, bf16, f16 or int8");
  if (!llvm::is_contained({"auto", "math", "blocked", "flash"}, llvm::StringRef(attentionForm)))
    return fail("--attention=" + attentionForm + ": expected auto, math, blocked or flash");
  if (!llvm::is_contained({"auto", "f32", "bf16", "int8"}, llvm::StringRef(activations)))
    return fail("--activations=" + activations + ": expected auto, f32, bf16 or int8");
  options.activations = activations;
  options.weights = weights;
  if (pastContext.getNumOccurrences() && !parsePastContext(pastContext, options))
    return fail("--past-context=" + pastContext +
                ": expected stop, slide, restart or restart:KEEP with KEEP above 0");
  std::optional<Stage> from = parseStage(compileFrom);
  if (!from)
    return fail("--compile-from=" + compileFrom +
                ": expected input, graph, phases, dispatches or plan");
  options.from = *from;
  if (llvm::StringRef(input).ends_with(".ingot")) {
    if (std::string decided = findDecidedOption(); !decided.empty())
      return fail(
          "--" + llvm::Twine(decided) +
          ": was decided when the artifact was first compiled; compile the checkpoint again");
    if (compileFrom.getNumOccurrences() && *from != Stage::Phases)
      return fail("--compile-from=" + compileFrom + ": expected phases, which an artifact is in");
    options.from = Stage::Phases;
  }
  if (compileTo.getNumOccurrences()) {
    options.to = parseStage(compileTo);
    if (!options.to)
      return fail("--compile-to=" + compileTo +
                  ": expected input, graph, phases, dispatches or plan");
  }
  Limits given;
  if (limitsText.getNumOccurrences())
    if (std::string wrong = parseLimits(limitsText, given); !wrong.empty())
      return fail("--limits=" + limitsText + ": " + wrong);
  if (!costOnly && batch.getNumOccurrences())
    return fail("--batch: expected beside --cost-only");
  // Lives in the functions below when the linker has reset the options.
  bool isGiven = limitsText.getNumOccurrences();
  auto limits = [isGiven, given] {
    return isGiven ? given : measureLimits(std::thread::hardware_concurrency(), /*quick=*/true);
  };
  if (!quiet)
    options.limits = limits;
  if (options.output.empty() && !costOnly) {
    if (!options.to)
      return fail(input + ": expected -o FILE, the artifact to write");
    options.output = "-";
  }

  mlir::DialectRegistry registry;
  registerInputDialects(registry);
  mlir::MLIRContext mlirContext(registry);
  mlirContext.loadAllAvailableDialects();
  CompileEvents events;
  events.progress = showProgress;
  events.warning = [](const std::string &text) {
    endProgress();
    if (!isQuiet)
      llvm::errs() << "warning: " << text << "\n";
  };
  if (costOnly) {
    CostOptions costs;
    costs.batch = batch;
    // Counted in numbers, then weighed in one format or in all.
    costs.weights = llvm::join(weights, ",");
    options.weights.clear();
    options.cacheType.clear();
    options.activations = "f32";
    if (batch < 1 || batch > 1 << 20)
      return fail("--batch=" + llvm::Twine(batch) + ": expected 1 to 1048576 sequences");
    if (weights.getNumOccurrences() && !isCostFormat(costs.weights))
      return fail("--weights=" + costs.weights + ": expected f32, bf16, f16, 8bit, q8 or q4");
    costs.limits = limits();
    llvm::Expected<std::string> text = computeCosts(mlirContext, options, events, costs);
    endProgress();
    if (!text)
      return fail(llvm::toString(text.takeError()));
    llvm::outs() << *text;
    return 0;
  }
  CompileSummary summary;
  llvm::Error error = compile(mlirContext, options, events, summary);
  endProgress();
  if (error)
    return fail(llvm::toString(std::move(error)));
  if (!options.to && !isQuiet)
    llvm::errs() << options.output << ": written\n" << summary.text;
  return 0;
}
