//===- CommandLine.cpp - what ingot-compile is asked for ------------------------------------===//
#include "CommandLine.h"
#include "../ParseCommandLine.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"

using namespace ingot;
using llvm::StringRef;

static const char *const kExamples = R"(
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
)";

namespace {

/// Values as they are written, before they are looked at.
struct Arguments {
  std::vector<std::string> targets, weights;
  std::string pastContext, compileTo, compileFrom = "input", limits;
  bool noKVCache = false;
};

} // namespace

static UsageError wrongValue(const std::string &option, const std::string &value,
                             const std::string &what) {
  return UsageError("--" + option + "=" + value + ": " + what);
}

static std::vector<std::string> splitLists(const std::vector<std::string> &lists) {
  std::vector<std::string> parts;
  for (const std::string &list : lists)
    for (StringRef part : llvm::split(list, ','))
      parts.push_back(part.str());
  return parts;
}

static void addOptions(CLI::App &app, CommandLine &line, Arguments &arguments) {
  CompileOptions &options = line.options;
  // One value each time, so that a list does not take the model in.
  auto addList = [&](const char *name, std::vector<std::string> &lists, const char *what) {
    return app.add_option(name, lists, what)
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  };
  app.add_option("model", options.input,
                 "A Hugging Face directory, file.gguf, file.mlir, or file.ingot to make code for "
                 "other processors")
      ->type_name("PATH")
      ->required();
  app.add_option("-o,--output", options.output, "The artifact, or with --compile-to the module")
      ->type_name("FILE");
  addList("--target", arguments.targets,
          "Processors to make code for, best first: x86-64-v3, x86-64-v4, znver4, ..., native "
          "(default: x86-64-v4,x86-64-v3)")
      ->type_name("LIST");
  app.add_option("--context", options.context, "Positions of the context (default: the model's)")
      ->type_name("N");
  app.add_option("--past-context", arguments.pastContext,
                 "When the context is full: stop; slide (look back that far and go on); "
                 "restart[:keep] (begin again with the newest tokens). Default: restart with "
                 "learned positions, go on with a model's own sliding window, else stop")
      ->type_name("POLICY");
  app.add_flag("--no-kv-cache", arguments.noKVCache, "Run whole sequences in every step");
  addList("--weights", arguments.weights,
          "Formats of the matrices: f32, bf16, f16, q8 or q4 (blocks of 32 with a 16-bit scale), "
          "for all or for names: q8,*embed*=bf16 (default: as stored)")
      ->type_name("[PATTERN=]FORMAT");
  app.add_option("--activations", options.activations,
                 "Type of the rows that meet a matrix: f32, bf16, int8 (rounded in groups of 32 "
                 "before matrices of 8 or fewer bits, to bf16 before others) or auto (f32, bf16 or "
                 "int8 as the matrices are f32, of 16 bits or of 8 and fewer)")
      ->type_name("TYPE");
  app.add_option("--cache", options.cacheType,
                 "Type of the cached keys and values: f32, bf16, f16, int8 (a scale per token and "
                 "head); default: the type of the activations, bf16 under int8")
      ->type_name("TYPE");
  app.add_option("--attention", options.attentionForm,
                 "Form of attention: auto; flash (blocks of keys, online softmax); blocked (blocks "
                 "of queries with whole rows of scores); math (all scores of a head in memory)")
      ->type_name("FORM");
  app.add_flag("--require-fused", options.requireFused,
               "An attention site that is not fused is an error");
  app.add_flag("--verify-numerics", options.verifyNumerics,
               "Run the reference interpreter after every pass (slow)");
  app.add_flag("--strict", options.strict,
               "Config fields and tensors that are not understood are errors");
  app.add_option("--max-tokens", options.maxTokens,
                 "Most tokens in one step; longer prompts are cut (default 512)")
      ->type_name("N");
  app.add_flag("--tune", options.tune,
               "Measure tiles of the projections on this machine, which takes some seconds for "
               "each of them; never changes a bit of a result");
  app.add_option("--report", options.reportPath, "Write what was decided and why, as JSON")
      ->type_name("FILE");
  app.add_option("--compile-to", arguments.compileTo,
                 "Stop after a stage and write the module: input, graph, phases, dispatches, plan")
      ->type_name("STAGE");
  app.add_option("--compile-from", arguments.compileFrom,
                 "The stage that an MLIR file is in (default: input)")
      ->type_name("STAGE");
  app.add_option("--dump-phases-to", options.dumpFolder,
                 "Write the module of every stage, and the IR and assembly of every kernel, into a "
                 "folder")
      ->type_name("FOLDER");
  auto *costOnly = app.add_flag("--cost-only", line.costOnly,
                                "Compile nothing: print what a model costs, from its config.json "
                                "alone");
  app.add_option("--limits", arguments.limits,
                 "What a machine can do, as read=1008GB/s,f16=83T (also f32, int8); default: this "
                 "one is measured")
      ->type_name("RATES");
  app.add_option("--batch", line.costs.batch, "Sequences decoded together (default 1)")
      ->type_name("N")
      ->needs(costOnly);
  app.add_option("--jobs", options.threads, "Worker threads (default: one per processor)")
      ->type_name("N");
  app.add_flag("--quiet", line.quiet, "Print nothing but errors");
}

static void checkOneOf(const CLI::App &app, const std::string &option, const std::string &value,
                       std::initializer_list<StringRef> values) {
  if (app.count("--" + option) && !llvm::is_contained(values, value)) {
    std::string names = llvm::join(llvm::drop_end(values), ", ");
    throw wrongValue(option, value, "expected " + names + " or " + (values.end() - 1)->str());
  }
}

static void checkRange(const std::string &option, int64_t value, int64_t low, int64_t high,
                       const std::string &what) {
  if (value < low || value > high)
    throw wrongValue(option, std::to_string(value),
                     "expected " + std::to_string(low) + " to " + std::to_string(high) + " " +
                         what);
}

/// "stop", "slide", "restart" or "restart:KEEP".
static void readPastContext(const std::string &text, CompileOptions &options) {
  auto [policy, keep] = StringRef(text).split(':');
  if (policy == "stop")
    options.pastContext = PastContext::Stop;
  else if (policy == "slide")
    options.pastContext = PastContext::Slide;
  else if (policy == "restart")
    options.pastContext = PastContext::Restart;
  bool hasKeep = StringRef(text).contains(':');
  if (options.pastContext == PastContext::Default ||
      (hasKeep &&
       (policy != "restart" || keep.getAsInteger(10, options.keep) || options.keep <= 0)))
    throw wrongValue("past-context", text,
                     "expected stop, slide, restart or restart:KEEP with KEEP above 0");
}

static Stage readStage(const std::string &option, const std::string &text) {
  if (std::optional<Stage> stage = parseStage(text))
    return *stage;
  throw wrongValue(option, text, "expected input, graph, phases, dispatches or plan");
}

/// When an artifact is compiled again, most options have no say any more.
static void checkDecided(const CLI::App &app, const Arguments &arguments) {
  static const StringRef open[] = {"model", "output",         "target",       "report",
                                   "jobs",  "dump-phases-to", "compile-from", "compile-to",
                                   "quiet", "limits",         "tune"};
  for (const CLI::Option *option : app.get_options())
    if (option->count() && !llvm::is_contained(open, option->get_single_name()))
      throw UsageError("--" + option->get_single_name() +
                       ": was decided when the artifact was first compiled; compile the "
                       "checkpoint again");
  if (app.count("--compile-from") && arguments.compileFrom != "phases")
    throw wrongValue("compile-from", arguments.compileFrom,
                     "expected phases, which an artifact is in");
}

static void readArguments(const CLI::App &app, const Arguments &arguments, CommandLine &line) {
  CompileOptions &options = line.options;
  if (app.count("--target"))
    options.targets = splitLists(arguments.targets);
  options.weights = splitLists(arguments.weights);
  options.kvCache = !arguments.noKVCache;
  if (app.count("--context") && options.context < 1)
    throw wrongValue("context", std::to_string(options.context), "expected at least 1 position");
  checkRange("max-tokens", options.maxTokens, 1, 65536, "tokens");
  checkRange("batch", line.costs.batch, 1, 1 << 20, "sequences");
  checkOneOf(app, "cache", options.cacheType, {"f32", "bf16", "f16", "int8"});
  checkOneOf(app, "attention", options.attentionForm, {"auto", "math", "blocked", "flash"});
  checkOneOf(app, "activations", options.activations, {"auto", "f32", "bf16", "int8"});
  if (app.count("--past-context"))
    readPastContext(arguments.pastContext, options);
  options.from = readStage("compile-from", arguments.compileFrom);
  if (StringRef(options.input).ends_with(".ingot")) {
    checkDecided(app, arguments);
    options.from = Stage::Phases;
  }
  if (options.from != Stage::Input && llvm::sys::fs::is_directory(options.input))
    throw wrongValue("compile-from", arguments.compileFrom,
                     "a directory is a model as its framework left it; expected a file of MLIR");
  if (app.count("--compile-to"))
    options.to = readStage("compile-to", arguments.compileTo);
  for (const char *option : {"report", "tune"})
    if (options.to && app.count("--" + std::string(option)))
      throw UsageError("--" + std::string(option) +
                       ": expected an artifact to be made, not --compile-to");
  if (app.count("--limits")) {
    Limits limits;
    if (std::string wrong = parseLimits(arguments.limits, limits); !wrong.empty())
      throw wrongValue("limits", arguments.limits, wrong);
    line.limits = limits;
  }
  if (line.costOnly) {
    // Counted in numbers, then weighed in one format or in all.
    line.costs.weights = llvm::join(options.weights, ",");
    if (app.count("--weights") && !isCostFormat(line.costs.weights))
      throw wrongValue("weights", line.costs.weights, "expected f32, bf16, f16, 8bit, q8 or q4");
    options.weights.clear();
    options.cacheType.clear();
    options.activations = "f32";
  } else if (options.output == "-" && !options.to) {
    throw UsageError("-o -: an artifact is a file that is mapped; expected a path");
  } else if (options.output.empty()) {
    if (!options.to)
      throw UsageError(options.input + ": expected -o FILE, the artifact to write");
    options.output = "-";
  }
}

bool readCommandLine(int argc, char **argv, CommandLine &line, int &code) {
  CLI::App app("Compiles a transformer to an ingot: one file with native code, packed weights and "
               "an execution plan.",
               "ingot-compile");
  app.footer(kExamples);
  app.set_version_flag("--version", std::string("ingot-compile " INGOT_VERSION));
  Arguments arguments;
  addOptions(app, line, arguments);
  // Run by the parser, so that its errors and these read alike.
  app.final_callback([&] { readArguments(app, arguments, line); });
  return parseCommandLine(app, argc, argv, code);
}
