//===- GGUF.cpp - models in GGUF files --------------------------------------------------------===//

#include "ingot/Import/GGUF.h"
#include "../Config.h"
#include "Architectures.h"
#include "Encoders.h"
#include "ingot/Dialect/Transformer/IR/TransformerDialect.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/Path.h"

using namespace llvm;
using namespace ingot;
using namespace ingot::importer;

namespace path = llvm::sys::path;

//===----------------------------------------------------------------------===//
// Files
//===----------------------------------------------------------------------===//

namespace {
/// The parts of "NAME-00001-of-00003.gguf".
struct SplitName {
  StringRef name;
  unsigned number = 0, count = 0;

  std::string part(unsigned i) const {
    return formatv("{0}-{1,0+5}-of-{2,0+5}.gguf", name, i, count).str();
  }
};
} // namespace

static std::optional<SplitName> parseSplitName(StringRef file) {
  SplitName result;
  if (!file.consume_back(".gguf") || file.size() < 15)
    return std::nullopt;
  StringRef tail = file.take_back(15); // "-00001-of-00003"
  result.name = file.drop_back(15);
  if (!tail.consume_front("-") || tail.take_front(5).getAsInteger(10, result.number) ||
      tail.substr(5, 4) != "-of-" || tail.substr(9).getAsInteger(10, result.count) ||
      result.name.empty() || result.number < 1 || result.number > result.count)
    return std::nullopt;
  return result;
}

/// Opens the file and, if it is the first of several, the others.
static std::vector<std::unique_ptr<GGUFFile>> openFiles(mlir::MLIRContext *context, StringRef input,
                                                        Checkpoint &checkpoint,
                                                        Diagnostics &diagnostics) {
  std::vector<std::unique_ptr<GGUFFile>> files;
  StringRef name = path::filename(input);
  auto open = [&](StringRef name) {
    files.push_back(
        GGUFFile::open(context, checkpoint.directory, name, checkpoint.tensors, diagnostics));
    return files.back().get();
  };
  GGUFFile *first = open(name);
  if (!first)
    return files;
  auto number = [&](const GGUFFile &file, StringRef key, int64_t fallback) {
    return Metadata(file, diagnostics).integer(key, 0, 1 << 20, fallback);
  };
  int64_t count = number(*first, "split.count", 1),
          total = number(*first, "split.tensors.count", 0);
  if (count <= 1 || diagnostics.failed())
    return files;
  std::optional<SplitName> split = parseSplitName(name);
  if (!split || split->count != count) {
    (void)diagnostics.error(input, "is one of " + Twine(count) +
                                       " parts, expected a name like NAME-00001-of-" +
                                       formatv("{0,0+5}", count).str() + ".gguf");
    return files;
  }
  if (split->number != 1) {
    (void)diagnostics.error(input, "is part " + Twine(split->number) + " of " + Twine(count) +
                                       ", expected the first, " + split->part(1));
    return files;
  }
  uint64_t tensors = first->getNumTensors();
  for (unsigned i = 1; i <= count; ++i) {
    GGUFFile *file = i == 1 ? first : open(split->part(i));
    if (!file)
      return files;
    tensors += i == 1 ? 0 : file->getNumTensors();
    if (number(*file, "split.no", -1) != i - 1 || number(*file, "split.count", 1) != count) {
      (void)diagnostics.error(file->path(), "expected part " + Twine(i) + " of " + Twine(count) +
                                                " by 'split.no' and 'split.count'");
      return files;
    }
  }
  if (total && uint64_t(total) != tensors)
    (void)diagnostics.error(input, "expected " + Twine(total) + " tensors in all parts, got " +
                                       Twine(tensors));
  return files;
}

//===----------------------------------------------------------------------===//
// Tokenizer
//===----------------------------------------------------------------------===//

/// Numbers of an array of `count`; nothing after an error.
template <typename T, typename Read>
static std::vector<T> readArray(Metadata &metadata, StringRef key, size_t count, Read read) {
  std::vector<T> result;
  const GGUFValue *value = metadata.value(key);
  if (!value)
    return result;
  for (size_t i = 0; value->isArray() && value->count == count && i < count; ++i) {
    auto element = read(*value, i);
    if (!element)
      break;
    result.push_back(T(*element));
  }
  if (result.size() != count) {
    metadata.error(key, "expected a number for each of the " + Twine(count) + " tokens, got " +
                            value->describe());
    result.clear();
  }
  return result;
}

static std::optional<tokenizer::TokenTable> readTokenizer(Metadata &metadata) {
  if (!metadata.has("tokenizer.ggml.model") || !metadata.has("tokenizer.ggml.tokens"))
    return std::nullopt;
  tokenizer::TokenTable table;
  table.model = metadata.string("tokenizer.ggml.model").str();
  table.preTokenizer = metadata.string("tokenizer.ggml.pre", "").str();
  const GGUFValue *tokens = metadata.value("tokenizer.ggml.tokens");
  if (tokens->count > tokenizer::maxVocabulary) {
    metadata.error("tokenizer.ggml.tokens", "expected at most " + Twine(tokenizer::maxVocabulary) +
                                                " tokens, got " + tokens->describe());
    return std::nullopt;
  }
  table.tokens = metadata.strings("tokenizer.ggml.tokens");
  table.merges = metadata.strings("tokenizer.ggml.merges");
  size_t count = table.tokens.size();
  table.scores = readArray<float>(metadata, "tokenizer.ggml.scores", count,
                                  [](const GGUFValue &value, size_t i) { return value.number(i); });
  // The numbers are those of SentencePiece, 1 (normal) to 6 (byte); 0 is written for the absent.
  table.kinds = readArray<tokenizer::TokenKind>(
      metadata, "tokenizer.ggml.token_type", count, [](const GGUFValue &value, size_t i) {
        std::optional<int64_t> kind = value.integer(i);
        return kind && *kind >= 0 && *kind <= 6 ? kind : std::nullopt;
      });
  auto id = [&](StringRef name) {
    return int32_t(metadata.id(("tokenizer.ggml." + name + "_token_id").str(), int64_t(count)));
  };
  table.special.bos = id("bos");
  table.special.eos = id("eos");
  table.special.unk = id("unknown");
  table.special.pad = id("padding");
  table.special.sep =
      id(metadata.has("tokenizer.ggml.separator_token_id") ? "separator" : "seperator");
  table.special.cls = id("cls");
  table.special.mask = id("mask");
  bool isSentencePiece = table.model == "llama" || table.model == "t5";
  if (StringRef key = "tokenizer.ggml.add_bos_token"; metadata.has(key))
    table.addBos = metadata.flag(key, false);
  table.addEos = metadata.flag("tokenizer.ggml.add_eos_token", table.model == "t5");
  table.addSpacePrefix = metadata.flag("tokenizer.ggml.add_space_prefix", isSentencePiece);
  table.removeExtraWhitespaces =
      metadata.flag("tokenizer.ggml.remove_extra_whitespaces", table.model == "t5");
  // Accents stay with capitals, unless the file says otherwise.
  table.lowercase = metadata.flag("tokenizer.ggml.normalizer.lowercase", true);
  table.stripAccents = metadata.flag("tokenizer.ggml.normalizer.strip_accents", table.lowercase);
  if (const GGUFValue *charsmap = metadata.value("tokenizer.ggml.precompiled_charsmap"))
    table.charsmap = charsmap->bytes.str();
  table.chatTemplate = metadata.string("tokenizer.chat_template", "").str();
  return table;
}

/// Every token has a row of the embedding table.
static void checkTokens(Metadata &metadata, const Checkpoint &checkpoint,
                        const std::optional<tokenizer::TokenTable> &tokens) {
  const TensorInfo *table = checkpoint.tensors.find("token_embd.weight");
  if (!tokens || !table || table->shape.empty() ||
      int64_t(tokens->tokens.size()) <= table->shape[0])
    return;
  metadata.error("tokenizer.ggml.tokens",
                 "expected at most " + Twine(table->shape[0]) + " tokens, one for each row of " +
                     "the embedding table, got " + Twine(tokens->tokens.size()));
}

/// The ids that end a text: of the end of a text, of a turn, of a message.
static void readTokenIds(Metadata &metadata, DecoderSpec &spec) {
  spec.beginId = metadata.id("tokenizer.ggml.bos_token_id", spec.vocab);
  for (StringRef name : {"eos", "eot", "eom"}) {
    int64_t id = metadata.id(("tokenizer.ggml." + name + "_token_id").str(), spec.vocab);
    if (id >= 0 && !is_contained(spec.endIds, id))
      spec.endIds.push_back(id);
  }
}

//===----------------------------------------------------------------------===//
// The whole
//===----------------------------------------------------------------------===//

mlir::FailureOr<GGUFModel> ingot::importGGUF(mlir::MLIRContext *context, StringRef input,
                                             const ImportOptions &options, ImportReport &report) {
  context->loadDialect<tfm::TransformerDialect>();
  Diagnostics diagnostics(options, report);
  if (!sys::fs::is_regular_file(input))
    return diagnostics.error(input, "expected a GGUF file");
  Checkpoint checkpoint;
  checkpoint.directory = path::parent_path(input).str();
  if (checkpoint.directory.empty())
    checkpoint.directory = ".";
  checkpoint.config = "the file's keys";
  std::vector<std::unique_ptr<GGUFFile>> files = openFiles(context, input, checkpoint, diagnostics);
  if (diagnostics.failed())
    return failure();

  Metadata metadata(*files.front(), diagnostics);
  if (is_contained(encoderArchitectures(), metadata.string("general.architecture", ""))) {
    GGUFModel model;
    mlir::FailureOr<mlir::OwningOpRef<mlir::ModuleOp>> module =
        importEncoderGGUF(context, metadata, options.context, checkpoint);
    if (failed(module))
      return failure();
    model.tokens = readTokenizer(metadata);
    checkTokens(metadata, checkpoint, model.tokens);
    metadata.reportUnread();
    if (diagnostics.failed())
      return failure();
    model.module = std::move(*module);
    return std::move(model);
  }
  DecoderSpec spec;
  fillFromGGUF(metadata, checkpoint, spec);
  if (diagnostics.failed() ||
      failed(chooseContext(options.context, spec.context, input, diagnostics)))
    return failure();
  readTokenIds(metadata, spec);
  GGUFModel model;
  model.tokens = readTokenizer(metadata);
  checkTokens(metadata, checkpoint, model.tokens);
  if (diagnostics.failed())
    return failure();
  mlir::FailureOr<mlir::OwningOpRef<mlir::ModuleOp>> module =
      buildDecoder(context, spec, checkpoint, diagnostics);
  if (failed(module))
    return failure();
  metadata.reportUnread();
  if (diagnostics.failed())
    return failure();
  model.module = std::move(*module);
  return std::move(model);
}
