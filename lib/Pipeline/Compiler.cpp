//===- Compiler.cpp - from a model's files to an ingot --------------------------------------===//

#include "ingot/Pipeline/Compiler.h"
#include "Input.h"
#include "Report.h"
#include "ingot/Artifact/ArtifactWriter.h"
#include "ingot/CodeGen/CPU.h"
#include "ingot/Dialect/Plan/IR/PlanDialect.h"
#include "ingot/Reference/VerifyNumerics.h"
#include "mlir/Bytecode/BytecodeWriter.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/ToolOutputFile.h"

using namespace mlir;
using namespace ingot;

namespace {

class Compilation {
public:
  Compilation(MLIRContext &context, const CompileOptions &options, const CompileEvents &events)
      : context(context), options(options), events(events) {}

  llvm::Error run(CompileSummary &summary);
  llvm::Expected<std::string> describeCosts(const CostOptions &costs);

private:
  llvm::Error runStages(Stage from, Stage to);
  llvm::Error generateCode();
  llvm::Error tune(ArrayRef<plan::KernelOp> kernels, const codegen::CPUTarget &target,
                   codegen::CompileOptions &generate);
  llvm::Error writeModule();
  llvm::Error writeArtifact();
  llvm::Error dump(const llvm::Twine &name, StringRef text);
  void progress(StringRef step, uint64_t done = 0, uint64_t total = 0) {
    if (events.progress)
      events.progress(step, done, total);
  }

  MLIRContext &context;
  CompileOptions options;
  const CompileEvents &events;
  Input input;
  std::vector<codegen::CPUTarget> targets;
  std::vector<codegen::CompiledCode> code;
  std::vector<Report::Tuning> tunings;
};

} // namespace

//===----------------------------------------------------------------------===//
// Stages
//===----------------------------------------------------------------------===//

llvm::Error Compilation::dump(const llvm::Twine &name, StringRef text) {
  SmallString<256> path(options.dumpFolder);
  llvm::sys::path::append(path, name);
  std::error_code error = llvm::sys::fs::create_directories(llvm::sys::path::parent_path(path));
  if (!error) {
    llvm::raw_fd_ostream out(path, error);
    if (!error) {
      out << text;
      out.close();
      error = out.error();
      out.clear_error();
    }
  }
  return error ? makeError(path + ": cannot be written (" + error.message() + ")")
               : llvm::Error::success();
}

llvm::Error Compilation::runStages(Stage from, Stage to) {
  auto dumpStage = [&](Stage stage) -> llvm::Error {
    if (options.dumpFolder.empty())
      return llvm::Error::success();
    std::string text;
    llvm::raw_string_ostream out(text);
    input.module->print(out, OpPrintingFlags().enableDebugInfo(true, /*prettyForm=*/true));
    return dump(llvm::Twine(unsigned(stage)) + "-" + getStageName(stage) + ".mlir", text);
  };
  if (from == Stage::Input)
    if (llvm::Error error = dumpStage(Stage::Input))
      return error;
  for (Stage stage : getStages()) {
    if (stage <= from || stage > to)
      continue;
    progress(("lowering to " + getStageName(stage)).str());
    PassManager manager(&context);
    buildPipeline(manager, *input.module, options, Stage(unsigned(stage) - 1), stage);
    if (options.verifyNumerics) {
      reference::VerifyNumericsOptions verify;
      verify.parameters = std::make_shared<reference::FileParameterSource>(input.folder);
      verify.note = [&](StringRef text) {
        if (events.warning)
          events.warning(options.input + ": not verified: " + text.str());
      };
      reference::NumericsVerifier(verify).attach(manager);
    }
    auto runPasses = [&] { return manager.run(*input.module); };
    if (llvm::Error error = collectDiagnostics(context, options.input, events, runPasses))
      return error;
    if (llvm::Error error = dumpStage(stage))
      return error;
    if (stage == Stage::Phases) {
      // What `ingot-compile m.ingot --target=...` starts from.
      input.ir.clear();
      llvm::raw_string_ostream out(input.ir);
      BytecodeWriterConfig config("ingot");
      if (failed(writeBytecodeToFile(*input.module, out, config)))
        return makeError(options.input + ": cannot be written as bytecode");
    }
  }
  return llvm::Error::success();
}

//===----------------------------------------------------------------------===//
// Outputs
//===----------------------------------------------------------------------===//

llvm::Error Compilation::tune(ArrayRef<plan::KernelOp> kernels, const codegen::CPUTarget &target,
                              codegen::CompileOptions &generate) {
  if (std::string why = codegen::whyNotRunnable(target); !why.empty()) {
    if (events.warning)
      events.warning(options.input + ": " + target.name + ": tiles are not measured: " + why);
    return llvm::Error::success();
  }
  progress("compiling tiles for " + target.name);
  Report::Tuning &tuning = tunings.emplace_back();
  tuning.target = target.name;
  auto measure = [&]() -> LogicalResult {
    FailureOr<std::vector<codegen::TunedTile>> tiles =
        codegen::tuneTiles(kernels, target, options.threads, [&](size_t done, size_t total) {
          progress("measuring tiles for " + target.name, done, total);
        });
    if (succeeded(tiles))
      tuning.tiles = std::move(*tiles);
    return success(succeeded(tiles));
  };
  if (llvm::Error error = collectDiagnostics(context, options.input, events, measure))
    return error;
  for (const codegen::TunedTile &tile : tuning.tiles)
    generate.schedules[tile.kernel] = tile.chosen;
  return llvm::Error::success();
}

llvm::Error Compilation::generateCode() {
  SmallVector<plan::KernelOp> kernels(input.module->getOps<plan::KernelOp>());
  for (const codegen::CPUTarget &target : targets) {
    codegen::CompileOptions generate;
    generate.threads = options.threads;
    if (options.tune)
      if (llvm::Error error = tune(kernels, target, generate))
        return error;
    progress(("generating code for " + target.name), code.size(), targets.size());
    std::string dumpError;
    if (!options.dumpFolder.empty())
      generate.dump = [&](StringRef kernel, StringRef stage, StringRef text) {
        if (llvm::Error error = dump("kernels/" + target.name + "/" + kernel + "." + stage, text))
          dumpError = llvm::toString(std::move(error));
      };
    auto compileAll = [&]() -> LogicalResult {
      FailureOr<codegen::CompiledCode> compiled =
          codegen::compileKernels(kernels, target, generate);
      if (failed(compiled))
        return failure();
      code.push_back(std::move(*compiled));
      return success();
    };
    if (llvm::Error error = collectDiagnostics(context, options.input, events, compileAll))
      return error;
    if (!dumpError.empty())
      return makeError(dumpError);
  }
  return llvm::Error::success();
}

llvm::Error Compilation::writeModule() {
  std::error_code error;
  llvm::ToolOutputFile out(options.output, error, llvm::sys::fs::OF_None);
  if (error)
    return makeError(options.output + ": cannot be written (" + error.message() + ")");
  input.module->print(out.os(), OpPrintingFlags().enableDebugInfo(true, /*prettyForm=*/false));
  out.os().flush();
  if (out.os().has_error()) {
    error = out.os().error();
    out.os().clear_error();
    return makeError(options.output + ": cannot be written (" + error.message() + ")");
  }
  out.keep();
  return llvm::Error::success();
}

llvm::Error Compilation::writeArtifact() {
  artifact::ArtifactInputs inputs;
  inputs.module = *input.module;
  inputs.modelFolder = input.folder;
  for (auto [target, compiled] : llvm::zip(targets, code)) {
    artifact::TargetCode &entry = inputs.targets.emplace_back();
    entry.name = target.name;
    entry.arch = "x86_64";
    entry.features = target.features;
    entry.image = compiled.image;
    for (const codegen::CompiledKernel &kernel : compiled.kernels)
      entry.kernels.push_back({kernel.name, kernel.entry, kernel.scratchBytes, kernel.dividedRows});
  }
  inputs.tokenizer =
      StringRef(reinterpret_cast<const char *>(input.tokenizer.data()), input.tokenizer.size());
  inputs.ir = input.ir;
  inputs.packed = input.packed.get();
  inputs.producer = "ingot " INGOT_VERSION;
  inputs.sourceFiles = input.sourceFiles;
  inputs.options = {
      {"kv-cache", options.kvCache ? "true" : "false"},
      {"weights", options.weights.empty() ? "as stored" : llvm::join(options.weights, ",")},
      {"activations", options.activations},
      {"cache", options.cacheType.empty() ? "as the keys" : options.cacheType},
      {"attention", options.attentionForm},
      {"max-tokens", std::to_string(options.maxTokens)},
      {"max-outputs", std::to_string(options.maxOutputs)}};
  artifact::WriteOptions write;
  write.threads = options.threads;
  write.progress = [&](uint64_t done, uint64_t total) { progress("packing weights", done, total); };
  std::string problem = llvm::toString(artifact::writeArtifact(inputs, options.output, write));
  if (problem.empty())
    return llvm::Error::success();
  // What the plan cannot say names its program, everything else its file.
  bool isOfPlan = problem.front() == '@';
  return makeError(isOfPlan ? options.input + ": " + problem : problem);
}

//===----------------------------------------------------------------------===//
// The whole
//===----------------------------------------------------------------------===//

llvm::Error Compilation::run(CompileSummary &summary) {
  // What can be refused at once is refused before any work is done.
  Stage last = options.to.value_or(Stage::Plan);
  if (options.from > last)
    return makeError(options.input + ": is in stage '" + getStageName(options.from) +
                     "' already, which comes after '" + getStageName(last) + "'");
  if (!options.to)
    for (const std::string &name : options.targets) {
      llvm::Expected<codegen::CPUTarget> target = codegen::CPUTarget::resolve(name);
      if (!target)
        return makeError("--target=" + name + ": " + llvm::toString(target.takeError()));
      bool known = llvm::any_of(
          targets, [&](const codegen::CPUTarget &t) { return t.name == target->name; });
      if (!known)
        targets.push_back(std::move(*target));
    }

  progress("reading " + options.input);
  llvm::Expected<Input> read = readInput(context, options, events);
  if (!read)
    return read.takeError();
  input = std::move(*read);
  Stage from = input.packed ? Stage::Phases : options.from;
  if (from == Stage::Input) {
    auto configure = [&] { return configureModel(*input.module, options); };
    if (llvm::Error error = collectDiagnostics(context, options.input, events, configure))
      return error;
    // Before anything is verified: the formats decide what the right result is.
    PassManager manager(&context);
    buildFormatPipeline(manager, options);
    auto choose = [&] { return manager.run(*input.module); };
    if (llvm::Error error = collectDiagnostics(context, options.input, events, choose))
      return error;
  } else {
    auto check = [&] { return checkModel(*input.module); };
    if (llvm::Error error = collectDiagnostics(context, options.input, events, check))
      return error;
  }
  readFormats(*input.module, options);
  if (llvm::Error error = runStages(from, last))
    return error;
  if (options.to)
    return writeModule();
  if (input.module->getOps<plan::KernelOp>().empty())
    return makeError(options.input + ": computes nothing, expected a public function with results");
  if (llvm::Error error = generateCode())
    return error;
  Report report(*input.module, input.report, tunings);
  // Before the artifact, which is not left behind by a compile that fails.
  if (!options.reportPath.empty()) {
    std::error_code error;
    llvm::raw_fd_ostream out(options.reportPath, error);
    if (!error) {
      out << report.getJson();
      out.close();
      error = out.error();
      out.clear_error();
    }
    if (error)
      return makeError(options.reportPath + ": cannot be written (" + error.message() + ")");
  }
  if (llvm::Error error = writeArtifact())
    return error;
  summary.text = report.getText(options.limits ? options.limits() : Limits());
  return llvm::Error::success();
}

llvm::Expected<std::string> Compilation::describeCosts(const CostOptions &costs) {
  llvm::Expected<Input> read = readInput(context, options, events);
  if (!read)
    return read.takeError();
  input = std::move(*read);
  auto configure = [&] { return configureModel(*input.module, options); };
  if (llvm::Error error = collectDiagnostics(context, options.input, events, configure))
    return std::move(error);
  if (llvm::Error error = runStages(Stage::Input, Stage::Plan))
    return std::move(error);
  llvm::Expected<std::string> text = ingot::describeCosts(*input.module, costs);
  return text ? std::move(text)
              : makeError(options.input + ": " + llvm::toString(text.takeError()));
}

llvm::Expected<std::string> ingot::computeCosts(MLIRContext &context, const CompileOptions &options,
                                                const CompileEvents &events,
                                                const CostOptions &costs) {
  CompileOptions weightless = options;
  weightless.weightless = true;
  return Compilation(context, weightless, events).describeCosts(costs);
}

llvm::Error ingot::compile(MLIRContext &context, const CompileOptions &options,
                           const CompileEvents &events, CompileSummary &summary) {
  return Compilation(context, options, events).run(summary);
}
