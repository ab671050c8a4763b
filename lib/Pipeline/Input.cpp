//===- Input.cpp - reads what is compiled ---------------------------------------------------===//

#include "Input.h"
#include "ingot/Dialect/Plan/IR/PlanDialect.h"
#include "ingot/Import/GGUF.h"
#include "ingot/Import/HuggingFace.h"
#include "ingot/Tokenizer/Import.h"
#include "mlir/AsmParser/AsmParser.h"
#include "mlir/AsmParser/AsmParserState.h"
#include "mlir/Bytecode/BytecodeReader.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlowOps.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/SourceMgr.h"

using namespace mlir;
using namespace ingot;

llvm::Error ingot::makeError(const llvm::Twine &message) {
  return llvm::createStringError(llvm::inconvertibleErrorCode(), message);
}

void ingot::registerInputDialects(DialectRegistry &registry) {
  registry.insert<tfm::TransformerDialect, plan::PlanDialect, arith::ArithDialect,
                  cf::ControlFlowDialect, func::FuncDialect, linalg::LinalgDialect,
                  math::MathDialect, scf::SCFDialect, tensor::TensorDialect>();
}

//===----------------------------------------------------------------------===//
// Diagnostics
//===----------------------------------------------------------------------===//

/// What a user can find: a name ("model.layers.*.mlp"), or line and column.
static std::string describe(Location loc) {
  std::string text;
  loc->walk([&](Location inner) {
    if (auto named = dyn_cast<NameLoc>(inner))
      text = named.getName().str();
    else if (auto file = dyn_cast<FileLineColRange>(inner))
      text = "line " + std::to_string(file.getStartLine()) + ", column " +
             std::to_string(file.getStartColumn());
    return text.empty() ? WalkResult::advance() : WalkResult::interrupt();
  });
  return text;
}

llvm::Error ingot::collectDiagnostics(MLIRContext &context, StringRef file,
                                      const CompileEvents &events,
                                      function_ref<LogicalResult()> body) {
  std::string first;
  ScopedDiagnosticHandler handler(&context, [&](Diagnostic &diagnostic) {
    std::string text = file.str() + ": " + diagnostic.str(),
                place = describe(diagnostic.getLocation());
    if (!place.empty())
      text += " (at " + place + ")";
    if (diagnostic.getSeverity() == DiagnosticSeverity::Warning && events.warning)
      events.warning(text);
    if (diagnostic.getSeverity() == DiagnosticSeverity::Error && first.empty())
      first = text;
    return success();
  });
  LogicalResult result = body();
  if (succeeded(result))
    return llvm::Error::success();
  return makeError(first.empty() ? file.str() + ": could not be compiled, without a reason given"
                                 : first);
}

//===----------------------------------------------------------------------===//
// MLIR
//===----------------------------------------------------------------------===//

/// Names inputs and outputs of public functions as the text names its values: `%q` is "q".
static void nameInterface(ModuleOp module, const AsmParserState &state) {
  MLIRContext *context = module.getContext();
  auto nameOf = [&](const AsmParserState::SMDefinition &definition) {
    StringRef text(definition.loc.Start.getPointer(),
                   definition.loc.End.getPointer() - definition.loc.Start.getPointer());
    text.consume_front("%");
    // "%0" says nothing; the position does.
    return text.empty() || llvm::all_of(text, llvm::isDigit) ? StringRef() : text;
  };
  for (auto function : module.getOps<func::FuncOp>()) {
    if (function.isPrivate() || function.isExternal() || !function.getBody().hasOneBlock())
      continue;
    Block &block = function.getBody().front();
    ArrayRef<AsmParserState::SMDefinition> arguments;
    if (const AsmParserState::BlockDefinition *definition = state.getBlockDef(&block))
      arguments = definition->arguments;
    for (auto [index, argument] : llvm::enumerate(arguments))
      if (StringRef name = nameOf(argument);
          !name.empty() && !function.getArgAttr(index, plan::kNameAttr))
        function.setArgAttr(index, plan::kNameAttr, StringAttr::get(context, name));
    llvm::StringSet<> used;
    for (auto [index, value] : llvm::enumerate(block.getTerminator()->getOperands())) {
      StringRef name;
      if (auto argument = dyn_cast<BlockArgument>(value)) {
        if (argument.getArgNumber() < arguments.size())
          name = nameOf(arguments[argument.getArgNumber()]);
      } else {
        Operation *op = value.getDefiningOp();
        const AsmParserState::OperationDefinition *definition = state.getOpDef(op);
        if (definition && definition->resultGroups.size() == 1 && op->getNumResults() == 1)
          name = nameOf(definition->resultGroups.front().definition);
      }
      if (!name.empty() && used.insert(name).second &&
          !function.getResultAttr(index, plan::kNameAttr))
        function.setResultAttr(index, plan::kNameAttr, StringAttr::get(context, name));
    }
  }
}

static llvm::Expected<Input> readMLIR(MLIRContext &context, const CompileOptions &options,
                                      const CompileEvents &events) {
  Input input;
  input.folder = llvm::sys::path::parent_path(options.input).str();
  if (input.folder.empty())
    input.folder = ".";
  auto buffer =
      llvm::MemoryBuffer::getFile(options.input, /*IsText=*/false, /*RequiresNullTerminator=*/true);
  if (!buffer)
    return makeError(options.input + ": cannot be read (" + buffer.getError().message() + ")");
  // Locations are in the artifact, which must not depend on what the file is called or where it
  // lies.
  auto copy =
      llvm::MemoryBuffer::getMemBuffer((*buffer)->getMemBufferRef().getBuffer(), "module.mlir");
  llvm::SourceMgr sources;
  sources.AddNewSourceBuffer(std::move(copy), llvm::SMLoc());
  Block block;
  AsmParserState state;
  auto parse = [&]() -> LogicalResult {
    ParserConfig config(&context, /*verifyAfterParse=*/true);
    const llvm::MemoryBuffer *main = sources.getMemoryBuffer(sources.getMainFileID());
    if (failed(mlir::isBytecode(main->getMemBufferRef())
                   ? readBytecodeFile(main->getMemBufferRef(), &block, config)
                   : parseAsmSourceFile(sources, &block, config, &state)))
      return failure();
    if (llvm::hasSingleElement(block) && isa<ModuleOp>(block.front())) {
      Operation *only = &block.front();
      only->remove();
      input.module = cast<ModuleOp>(only);
    } else {
      input.module = ModuleOp::create(UnknownLoc::get(&context));
      input.module->getBody()->getOperations().splice(input.module->getBody()->end(),
                                                      block.getOperations());
    }
    return verify(*input.module);
  };
  if (llvm::Error error = collectDiagnostics(context, options.input, events, parse))
    return std::move(error);
  nameInterface(*input.module, state);
  return input;
}

//===----------------------------------------------------------------------===//
// Importers
//===----------------------------------------------------------------------===//

/// What an importer makes of the input; its warnings are events, its report is the input's.
template <typename Result>
static llvm::Expected<Result> runImporter(FailureOr<Result> (*import)(MLIRContext *, StringRef,
                                                                      const ImportOptions &,
                                                                      ImportReport &),
                                          MLIRContext &context, const CompileOptions &options,
                                          const CompileEvents &events, Input &input) {
  ImportOptions importOptions;
  importOptions.strict = options.strict;
  importOptions.context = options.context;
  importOptions.weightless = options.weightless;
  input.report.handler = [&](const ImportMessage &message) {
    if (!message.isError && events.warning)
      events.warning(message.str());
  };
  FailureOr<Result> result = import(&context, options.input, importOptions, input.report);
  input.report.handler = nullptr;
  if (failed(result))
    return makeError(input.report.messages.empty() ? options.input + ": cannot be imported"
                                                   : input.report.messages.back().str());
  return std::move(*result);
}

static llvm::Error setTokenizer(const tokenizer::TokenizerSpec &spec, const CompileOptions &options,
                                Input &input) {
  tokenizer::Result<std::vector<uint8_t>> blob = tokenizer::serialize(spec);
  if (!blob)
    return makeError(options.input + ": " + blob.error());
  input.tokenizer = std::move(*blob);
  return llvm::Error::success();
}

//===----------------------------------------------------------------------===//
// Artifacts
//===----------------------------------------------------------------------===//

static llvm::Expected<Input> readArtifact(MLIRContext &context, const CompileOptions &options,
                                          const CompileEvents &events) {
  Input input;
  llvm::Expected<std::unique_ptr<artifact::ArtifactReader>> reader =
      artifact::ArtifactReader::open(options.input);
  if (!reader)
    return reader.takeError();
  input.packed = std::move(*reader);
  llvm::Expected<std::string> ir = input.packed->readSegment(input.packed->getHead().ir()),
                              blob = input.packed->readSegment(input.packed->getHead().tokenizer());
  if (!ir || !blob)
    return llvm::joinErrors(ir.takeError(), blob.takeError());
  if (ir->empty())
    return makeError(options.input +
                     ": has no intermediate form in it; compile the checkpoint again");
  input.ir = std::move(*ir);
  input.tokenizer.assign(blob->begin(), blob->end());
  Block block;
  auto parse = [&]() -> LogicalResult {
    ParserConfig config(&context, /*verifyAfterParse=*/true);
    llvm::MemoryBufferRef buffer(input.ir, llvm::sys::path::filename(options.input));
    if (failed(readBytecodeFile(buffer, &block, config)))
      return failure();
    if (!llvm::hasSingleElement(block) || !isa<ModuleOp>(block.front()))
      return emitError(UnknownLoc::get(&context), "expected one module in its intermediate form");
    Operation *only = &block.front();
    only->remove();
    input.module = cast<ModuleOp>(only);
    return success();
  };
  if (llvm::Error error = collectDiagnostics(context, options.input, events, parse))
    return std::move(error);
  return input;
}

//===----------------------------------------------------------------------===//
// Hugging Face
//===----------------------------------------------------------------------===//

static llvm::Expected<Input> readDirectory(MLIRContext &context, const CompileOptions &options,
                                           const CompileEvents &events) {
  Input input;
  input.folder = options.input;
  auto module = runImporter(importHuggingFace, context, options, events, input);
  if (!module)
    return module.takeError();
  input.module = std::move(*module);
  if (options.weightless)
    return input;
  for (StringRef name : {"config.json", "generation_config.json"}) {
    SmallString<128> path(options.input);
    llvm::sys::path::append(path, name);
    if (llvm::sys::fs::exists(path))
      input.sourceFiles.push_back(name.str());
  }
  if (tokenizer::hasTokenizer(options.input)) {
    tokenizer::Result<tokenizer::TokenizerSpec> spec = tokenizer::importPath(options.input);
    if (!spec)
      return makeError(spec.error());
    if (llvm::Error error = setTokenizer(*spec, options, input))
      return std::move(error);
  }
  return input;
}

//===----------------------------------------------------------------------===//
// GGUF
//===----------------------------------------------------------------------===//

static llvm::Expected<Input> readGGUF(MLIRContext &context, const CompileOptions &options,
                                      const CompileEvents &events) {
  Input input;
  input.folder = llvm::sys::path::parent_path(options.input).str();
  if (input.folder.empty())
    input.folder = ".";
  auto model = runImporter(importGGUF, context, options, events, input);
  if (!model)
    return model.takeError();
  input.module = std::move(model->module);
  if (!model->tokens)
    return input;
  tokenizer::Result<tokenizer::TokenizerSpec> spec = tokenizer::importTokenTable(*model->tokens);
  if (!spec)
    return makeError(options.input + ": tokenizer: " + spec.error());
  if (llvm::Error error = setTokenizer(*spec, options, input))
    return std::move(error);
  return input;
}

llvm::Expected<Input> ingot::readInput(MLIRContext &context, const CompileOptions &options,
                                       const CompileEvents &events) {
  if (!llvm::sys::fs::exists(options.input))
    return makeError(options.input + ": does not exist, expected a model's directory, a GGUF file, "
                                     "a file of MLIR or an artifact");
  StringRef extension = llvm::sys::path::extension(options.input);
  bool directory = llvm::sys::fs::is_directory(options.input);
  if (options.weightless && !directory && extension != ".json")
    return makeError(options.input +
                     ": costs without weights are those of a config.json or a directory with one");
  if (options.weightless || directory)
    return readDirectory(context, options, events);
  if (extension == ".mlir" || extension == ".mlirbc")
    return readMLIR(context, options, events);
  if (extension == ".gguf")
    return readGGUF(context, options, events);
  if (extension == ".ingot")
    return readArtifact(context, options, events);
  return makeError(options.input +
                   ": expected a directory with config.json, or a file named *.gguf, *.mlir, "
                   "*.mlirbc or *.ingot");
}
