//===- ingot-import-test.cpp - prints the modules of models' directories ----------------------===//
//
// ingot-import-test DIR... [--strict] [--context=N] [--locations] [--report] [--invent]
//
// --invent first writes a model.safetensors with every tensor that the importer asks for, of the
// shape that it names, with random numbers: a config is enough for a model.
//
// --report adds what the importer did with fields and tensors, as comments. After each of several
// directories, both streams get the line "// ----- end".
//
//===----------------------------------------------------------------------------------------===//

#include "ingot/Import/HuggingFace.h"
#include "mlir/IR/MLIRContext.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/EndianStream.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/raw_ostream.h"

using namespace llvm;

static void print(StringRef title, const std::vector<std::string> &names) {
  outs() << "// " << title << ":";
  for (const std::string &name : names)
    outs() << " " << name;
  outs() << "\n";
}

/// Writes random F32 numbers of a standard deviation of about 0.3 under these names and shapes
/// ("[2, 3]").
static void writeTensors(StringRef directory,
                         const std::vector<std::pair<std::string, std::string>> &tensors) {
  std::string header = "{";
  uint64_t end = 0;
  for (const auto &[name, shape] : tensors) {
    uint64_t bytes = 4;
    SmallVector<StringRef> sizes;
    StringRef(shape).drop_front().drop_back().split(sizes, ", ", -1, /*KeepEmpty=*/false);
    for (StringRef size : sizes) {
      uint64_t number = 0;
      size.getAsInteger(10, number);
      bytes *= number;
    }
    header += (end ? ",\"" : "\"") + name + "\":{\"dtype\":\"F32\",\"shape\":" + shape +
              ",\"data_offsets\":[" + std::to_string(end) + "," + std::to_string(end + bytes) +
              "]}";
    end += bytes;
  }
  header += "}";
  header.append(-header.size() % 8, ' ');
  std::error_code ec;
  raw_fd_ostream file((directory + "/model.safetensors").str(), ec);
  if (ec)
    report_fatal_error(Twine("cannot write into ") + directory);
  support::endian::write(file, uint64_t(header.size()), endianness::little);
  file << header;
  uint64_t state = 1;
  for (uint64_t i = 0; i < end / 4; ++i) {
    // The sum of four uniform numbers, from the upper bits of a linear congruence.
    int64_t sum = -2 * 65536;
    for (int k = 0; k < 4; ++k) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      sum += int64_t(state >> 48);
    }
    support::endian::write(file, float(double(sum) / 65536 * 0.5), endianness::little);
  }
}

/// Gives a directory with a config the tensors that the importer asks for.
static void inventTensors(mlir::MLIRContext &context, StringRef directory) {
  std::vector<std::pair<std::string, std::string>> tensors;
  while (true) {
    writeTensors(directory, tensors);
    ingot::ImportReport report;
    if (succeeded(ingot::importHuggingFace(&context, directory, {}, report)))
      return;
    StringRef text = report.messages.back().text;
    if (!text.consume_front("tensor '") || !text.consume_back(" is missing"))
      return;
    auto [name, shape] = text.split("' of shape ");
    tensors.emplace_back(name.str(), shape.str());
  }
}

int main(int argc, char **argv) {
  InitLLVM init(argc, argv);
  cl::list<std::string> directories(cl::Positional, cl::OneOrMore, cl::desc("DIR..."));
  cl::opt<bool> strict("strict"), locations("locations"), listFields("report"), invent("invent");
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
    if (invent)
      inventTensors(context, directory);
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
