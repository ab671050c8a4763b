//===- ingot-opt.cpp - runs passes on MLIR text ---------------------------------------------===//

#include "../MLIRTool.h"
#include "ingot/CodeGen/CPU.h"
#include "ingot/InitAll.h"
#include "ingot/Reference/VerifyNumerics.h"
#include "mlir/IR/DialectRegistry.h"
#include "mlir/Support/FileUtilities.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/ToolOutputFile.h"

using namespace mlir;
namespace cl = llvm::cl;

#ifdef INGOT_TEST_PASSES
namespace ingot::test {
void registerTestPasses();
}
#endif

static cl::OptionCategory numerics("Options of --verify-numerics");
static cl::opt<bool> verifyNumerics(
    "verify-numerics", cl::cat(numerics),
    cl::desc("run the module in the reference interpreter after each pass and name the first pass "
             "that changes its results"));
static cl::opt<double> tolerance("verify-numerics-tolerance", cl::init(1e-9), cl::cat(numerics),
                                 cl::desc("largest relative difference (1e-9)"));
static cl::opt<std::string>
    parameters("verify-numerics-parameters", cl::cat(numerics), cl::value_desc("folder"),
               cl::desc("where the files of the weights are (default: weights are made up)"));

static cl::extrahelp examples(R"(
Examples:
  ingot-compile model --compile-to=input -o graph.mlir     the plain mathematics of a model
  ingot-opt graph.mlir --raise-attention                   one pass
  ingot-opt graph.mlir --raise-attention="remarks=true" -o /dev/null   what was fused, and why not
  ingot-opt graph.mlir --fuse-rotary --raise-attention --fuse-norms --canonicalize --verify-numerics
  ingot-opt graph.mlir --raise-attention --mlir-print-ir-after-all --mlir-pass-statistics
  ingot-compile graph.mlir --compile-to=dispatches -o -    the passes up to a stage
)");

/// As MlirOptMain, with a verifier on the pass manager of each piece of the input.
static LogicalResult runVerified(StringRef inputName, StringRef outputName,
                                 DialectRegistry &registry) {
  using ingot::reference::NumericsVerifier;
  MlirOptMainConfig base = MlirOptMainConfig::createFromCLOptions(), config = base;
  config.setPassPipelineSetupFn([&base](PassManager &pm) {
    if (failed(base.setupPassPipeline(pm)))
      return failure();
    ingot::reference::VerifyNumericsOptions options;
    options.tolerance = tolerance;
    if (!parameters.empty())
      options.parameters = std::make_shared<ingot::reference::FileParameterSource>(parameters);
    options.note = [](StringRef text) { llvm::errs() << "note: " << text << "\n"; };
    NumericsVerifier(options).attach(pm);
    return success();
  });
  std::string error;
  std::unique_ptr<llvm::MemoryBuffer> input = openInputFile(inputName, &error);
  std::unique_ptr<llvm::ToolOutputFile> output;
  if (input)
    output = openOutputFile(outputName, &error);
  if (!output) {
    llvm::errs() << "error: " << error << "\n";
    return failure();
  }
  if (failed(MlirOptMain(output->os(), std::move(input), registry, config)))
    return failure();
  output->keep();
  return success();
}

int main(int argc, char **argv) {
  DialectRegistry registry;
  ingot::registerAllDialects(registry);
  ingot::registerAllPasses();
  ingot::codegen::registerCPUPasses();
#ifdef INGOT_TEST_PASSES
  ingot::test::registerTestPasses();
#endif
  ingot::initTool("ingot-opt", &numerics);
  auto [inputName, outputName] = registerAndParseCLIOptions(
      argc, argv, "Runs passes on a module of MLIR text and prints it.\n", registry);
  return asMainReturnCode(verifyNumerics
                              ? runVerified(inputName, outputName, registry)
                              : MlirOptMain(argc, argv, inputName, outputName, registry));
}
