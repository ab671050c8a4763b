//===- ingot-compile.cpp - compiles a model to an ingot -------------------------------------===//

#include "CommandLine.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/Process.h"
#include <chrono>
#include <thread>

using namespace ingot;

static int fail(llvm::Error error) {
  llvm::errs() << "error: " << llvm::toString(std::move(error)) << "\n";
  return 1;
}

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

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  CommandLine line;
  int code = 0;
  if (!readCommandLine(argc, argv, line, code))
    return code;
  CompileOptions &options = line.options;
  isQuiet = line.quiet;
  auto limits = [given = line.limits] {
    return given ? *given : measureLimits(std::thread::hardware_concurrency(), /*quick=*/true);
  };
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
  if (line.costOnly) {
    line.costs.limits = limits();
    llvm::Expected<std::string> text = computeCosts(mlirContext, options, events, line.costs);
    endProgress();
    if (!text)
      return fail(text.takeError());
    llvm::outs() << *text;
    return 0;
  }
  if (!isQuiet)
    options.limits = limits;
  CompileSummary summary;
  llvm::Error error = compile(mlirContext, options, events, summary);
  endProgress();
  if (error)
    return fail(std::move(error));
  if (!options.to && !isQuiet)
    llvm::errs() << options.output << ": written\n" << summary.text;
  return 0;
}
