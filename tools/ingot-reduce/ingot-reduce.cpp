//===- ingot-reduce.cpp - makes a module that shows a problem smaller -----------------------===//

#include "../MLIRTool.h"
#include "ingot/InitAll.h"
#include "ingot/Reduce/Reducer.h"
#include "mlir/IR/DialectRegistry.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Support/FileUtilities.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FileUtilities.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/Process.h"
#include "llvm/Support/Program.h"
#include "llvm/Support/ToolOutputFile.h"

using namespace mlir;
namespace cl = llvm::cl;

static const char kOverview[] = R"(makes a module that shows a problem smaller

A script decides: it gets the name of a file and exits with 0 if the problem shows in it.

  cat > crashes.sh <<'END'
  #!/bin/sh
  ingot-opt "$1" --raise-attention 2>&1 | grep -q "the message"
  END
  chmod +x crashes.sh
  ingot-reduce m.mlir --test=./crashes.sh -o small.mlir
)";

static int fail(const llvm::Twine &message) {
  llvm::errs() << "error: " << message << "\n";
  return 1;
}

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  cl::OptionCategory category("Options");
  cl::opt<std::string> input(cl::Positional, cl::Required, cl::desc("FILE.mlir"),
                             cl::cat(category));
  cl::opt<std::string> test("test", cl::Required, cl::value_desc("script"),
                            cl::desc("exits with 0 if its argument shows the problem"),
                            cl::cat(category));
  cl::opt<std::string> output("o", cl::init("-"), cl::value_desc("file"),
                              cl::desc("where the smaller module goes"), cl::cat(category));
  cl::opt<unsigned> timeout("timeout", cl::init(60), cl::value_desc("seconds"),
                            cl::desc("a script that takes longer does not show the problem"),
                            cl::cat(category));
  ingot::initTool("ingot-reduce", &category);
  cl::ParseCommandLineOptions(argc, argv, kOverview);

  llvm::ErrorOr<std::string> script = llvm::sys::findProgramByName(test);
  if (!script)
    return fail(test + ": cannot be run (" + script.getError().message() + ")");
  if (!llvm::sys::fs::can_execute(*script))
    return fail(test + ": cannot be run (not an executable file)");
  DialectRegistry registry;
  ingot::registerAllDialects(registry);
  MLIRContext context(registry);
  OwningOpRef<ModuleOp> module = parseSourceFile<ModuleOp>(input, &context);
  if (!module)
    return 1; // the parser has said why

  SmallString<128> file;
  int descriptor = -1;
  if (std::error_code error =
          llvm::sys::fs::createTemporaryFile("ingot-reduce", "mlir", descriptor, file))
    return fail("a temporary file cannot be made (" + error.message() + ")");
  llvm::sys::Process::SafelyCloseFileDescriptor(descriptor);
  llvm::FileRemover remover(file);
  std::string problem;
  auto showsProblem = [&](ModuleOp candidate) {
    if (!problem.empty())
      return false;
    std::error_code error;
    llvm::raw_fd_ostream stream(file, error);
    stream << candidate << "\n";
    stream.close();
    if (error || stream.has_error()) {
      problem = (file + ": cannot be written").str();
      stream.clear_error();
      return false;
    }
    bool failedToRun = false;
    int code = llvm::sys::ExecuteAndWait(*script, {*script, file}, std::nullopt, {}, timeout, 0,
                                         &problem, &failedToRun);
    // Crashes and timeouts of the script are told in the same place; they are answers.
    problem = failedToRun ? *script + ": cannot be run (" + problem + ")" : "";
    return code == 0;
  };
  bool shows = showsProblem(*module);
  ingot::ReduceStatistics statistics;
  if (shows)
    statistics = ingot::reduceModule(module, showsProblem);
  if (!problem.empty())
    return fail(problem);
  if (!shows)
    return fail(input + ": does not show the problem (" + *script + " did not exit with 0)");

  std::string message;
  std::unique_ptr<llvm::ToolOutputFile> out = openOutputFile(output, &message);
  if (!out)
    return fail(message);
  out->os() << *module << "\n";
  out->keep();
  llvm::errs() << "size " << statistics.before << " -> " << statistics.after << ", "
               << statistics.tests << " tests\n";
  return 0;
}
