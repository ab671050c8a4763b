//===- ingot-import-test.cpp - prints the module of a model's directory -----------------------===//
//
// ingot-import-test DIR [--strict] [--context=N] [--locations] [--report]
//
// --report adds what the importer did with fields and tensors, as comments.
//
//===----------------------------------------------------------------------------------------===//

#include "ingot/Import/HuggingFace.h"
#include "mlir/IR/MLIRContext.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/raw_ostream.h"

using namespace llvm;

int main(int argc, char **argv) {
  InitLLVM init(argc, argv);
  cl::opt<std::string> directory(cl::Positional, cl::Required, cl::desc("DIR"));
  cl::opt<bool> strict("strict"), locations("locations"), listFields("report");
  cl::opt<int64_t> positions("context", cl::init(0));
  cl::ParseCommandLineOptions(argc, argv, "prints the graph of a model\n");

  ingot::ImportOptions options;
  options.strict = strict;
  options.context = positions;
  ingot::ImportReport report;
  report.handler = [](const ingot::ImportMessage &message) {
    errs() << (message.isError ? "error: " : "warning: ") << message.str() << "\n";
  };
  mlir::MLIRContext context(mlir::MLIRContext::Threading::DISABLED);
  auto module = ingot::importHuggingFace(&context, directory, options, report);
  if (failed(module))
    return 1;
  mlir::OpPrintingFlags flags;
  if (locations)
    flags.enableDebugInfo(/*enable=*/true, /*prettyForm=*/true);
  (*module)->print(outs(), flags);
  auto list = [&](StringRef title, const std::vector<std::string> &names) {
    outs() << "// " << title << ":";
    for (const std::string &name : names)
      outs() << " " << name;
    outs() << "\n";
  };
  if (listFields) {
    list("read", report.fieldsRead);
    list("without effect", report.fieldsWithoutEffect);
    list("unknown", report.fieldsUnknown);
    list("redundant tensors", report.tensorsWithoutEffect);
    list("unused tensors", report.tensorsUnused);
  }
  return 0;
}
