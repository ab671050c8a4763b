//===- ingot-import-test.cpp - prints the modules of models' directories ----------------------===//
//
// ingot-import-test DIR... [--strict] [--context=N] [--locations] [--report]
//
// --report adds what the importer did with fields and tensors, as comments. After each of several
// directories, both streams get the line "// ----- end".
//
//===----------------------------------------------------------------------------------------===//

#include "ingot/Import/HuggingFace.h"
#include "mlir/IR/MLIRContext.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/raw_ostream.h"

using namespace llvm;

static void print(StringRef title, const std::vector<std::string> &names) {
  outs() << "// " << title << ":";
  for (const std::string &name : names)
    outs() << " " << name;
  outs() << "\n";
}

int main(int argc, char **argv) {
  InitLLVM init(argc, argv);
  cl::list<std::string> directories(cl::Positional, cl::OneOrMore, cl::desc("DIR..."));
  cl::opt<bool> strict("strict"), locations("locations"), listFields("report");
  cl::opt<int64_t> positions("context", cl::init(0));
  cl::ParseCommandLineOptions(argc, argv, "prints the graphs of models\n");

  ingot::ImportOptions options;
  options.strict = strict;
  options.context = positions;
  mlir::OpPrintingFlags flags;
  if (locations)
    flags.enableDebugInfo(/*enable=*/true, /*prettyForm=*/true);
  mlir::MLIRContext context(mlir::MLIRContext::Threading::DISABLED);
  bool anyFailed = false;
  for (const std::string &directory : directories) {
    ingot::ImportReport report;
    report.handler = [](const ingot::ImportMessage &message) {
      errs() << (message.isError ? "error: " : "warning: ") << message.str() << "\n";
    };
    auto module = ingot::importHuggingFace(&context, directory, options, report);
    anyFailed |= failed(module);
    if (succeeded(module)) {
      (*module)->print(outs(), flags);
      if (listFields) {
        print("read", report.fieldsRead);
        print("without effect", report.fieldsWithoutEffect);
        print("unknown", report.fieldsUnknown);
        print("redundant tensors", report.tensorsWithoutEffect);
        print("unused tensors", report.tensorsUnused);
      }
    }
    if (directories.size() > 1) {
      outs() << "// ----- end\n";
      errs() << "// ----- end\n";
    }
  }
  return anyFailed;
}
