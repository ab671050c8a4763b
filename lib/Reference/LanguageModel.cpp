//===- LanguageModel.cpp - running language models in the interpreter -------------------------===//

#include "ingot/Reference/LanguageModel.h"
#include "ingot/Dialect/Transformer/IR/SourceAttr.h"
#include "ingot/Dialect/Transformer/IR/TransformerDialect.h"

using namespace mlir;

namespace ingot::reference {

static bool isIds(Type type) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  return tensor && tensor.getRank() == 1 && isa<IntegerType>(tensor.getElementType());
}

/// Ids, at most one batch, and caches.
static bool takesTokens(FunctionOpInterface function) {
  // A text with a source is not one of ids alone.
  if (!function || function.isExternal() || tfm::takesSource(function))
    return false;
  unsigned ids = 0, batches = 0, others = 0;
  for (Type type : function.getArgumentTypes()) {
    if (isIds(type))
      ++ids;
    else if (isa<tfm::BatchType>(type))
      ++batches;
    else if (!isa<tfm::CacheType>(type))
      ++others;
  }
  return ids == 1 && batches <= 1 && others == 0;
}

static bool hasBatch(FunctionOpInterface function) {
  return llvm::any_of(function.getArgumentTypes(), llvm::IsaPred<tfm::BatchType>);
}

LanguageModelFunctions findLanguageModel(ModuleOp module) {
  auto find = [&](StringRef name) {
    auto function = module.lookupSymbol<FunctionOpInterface>(name);
    return takesTokens(function) ? function : FunctionOpInterface();
  };
  LanguageModelFunctions functions{find("prefill"), find("decode")};
  if (!functions.prefill)
    functions.prefill = find("forward");
  if (!functions.decode)
    functions.decode = functions.prefill;
  return functions;
}

namespace {

/// How sequences are fed.
struct Step {
  bool isPrefill;
  bool lastOutputsOnly;
  SmallVector<int64_t> rows; // of each sequence; 0: it has none left
};

/// Feeds sequences to the functions of a model and collects their logits.
class Feeder {
public:
  Feeder(Interpreter &interpreter, ArrayRef<std::vector<int32_t>> sequences)
      : interpreter(interpreter), sequences(sequences), logits(sequences.size()),
        positions(sequences.size(), 0) {}

  /// The first caches: empty.
  void makeCaches(FunctionOpInterface function) {
    for (Type type : function.getArgumentTypes())
      if (auto cache = dyn_cast<tfm::CacheType>(type))
        caches.emplace_back(cache, sequences.size());
  }

  /// The next tokens of every sequence.
  LogicalResult feed(FunctionOpInterface function, const Step &step) {
    ArrayRef<int64_t> rows = step.rows;
    SmallVector<int64_t> ids;
    // A sequence is a prompt: what is fed in steps here could have been fed at once.
    SmallVector<int64_t> prompts;
    for (const std::vector<int32_t> &sequence : sequences)
      prompts.push_back(sequence.size());
    Batch batch = Batch::pack(rows, positions, prompts);
    if (step.lastOutputsOnly)
      batch.outputRows.clear();
    SmallVector<size_t> owners; // the sequence of each wanted output
    for (auto [b, sequence] : llvm::enumerate(batch.sequences)) {
      auto first = sequences[b].begin() + positions[b];
      ids.append(first, first + rows[b]);
      if (step.lastOutputsOnly && rows[b] > 0)
        batch.outputRows.push_back(sequence.rowBegin + rows[b] - 1);
      owners.append(step.lastOutputsOnly ? std::min<int64_t>(rows[b], 1) : rows[b], b);
      positions[b] += rows[b];
    }
    FailureOr<Tensor> outputs = run(function, ids, batch, owners.size());
    if (failed(outputs))
      return failure();
    ArrayRef<Scalar> elements = outputs->elements();
    for (auto [row, b] : llvm::enumerate(owners)) {
      ArrayRef<Scalar> values = elements.slice(row * vocabulary, vocabulary);
      logits[b].insert(logits[b].end(), values.begin(), values.end());
    }
    return success();
  }

  /// Runs every sequence whole, and takes the rows that `steps` would want.
  LogicalResult feedWhole(FunctionOpInterface function, ArrayRef<Step> steps) {
    for (auto [b, sequence] : llvm::enumerate(sequences)) {
      SmallVector<int64_t> ids(sequence.begin(), sequence.end());
      FailureOr<Tensor> outputs = run(function, ids, Batch(), ids.size());
      if (failed(outputs))
        return failure();
      int64_t end = 0;
      for (const Step &step : steps) {
        int64_t begin = step.lastOutputsOnly && step.rows[b] ? end + step.rows[b] - 1 : end;
        end += step.rows[b];
        ArrayRef<Scalar> values =
            outputs->elements().slice(begin * vocabulary, (end - begin) * vocabulary);
        logits[b].insert(logits[b].end(), values.begin(), values.end());
      }
    }
    return success();
  }

  FailureOr<SmallVector<RuntimeValue>> getLogits(ModuleOp module) {
    SmallVector<RuntimeValue> results;
    for (const std::vector<Scalar> &values : logits) {
      llvm::Expected<Tensor> tensor =
          Tensor::create({int64_t(values.size()) / vocabulary, vocabulary}, elementType);
      if (!tensor)
        return emitError(module.getLoc(), toString(tensor.takeError()));
      llvm::copy(values, tensor->mutableElements().begin());
      results.push_back(std::move(*tensor));
    }
    return results;
  }

private:
  /// Runs `function` and returns its logits, [outputs, vocabulary].
  FailureOr<Tensor> run(FunctionOpInterface function, ArrayRef<int64_t> ids, const Batch &batch,
                        int64_t outputs) {
    SmallVector<RuntimeValue> inputs;
    unsigned nextCache = 0;
    for (Type type : function.getArgumentTypes()) {
      if (isa<tfm::BatchType>(type)) {
        inputs.push_back(batch);
      } else if (isa<tfm::CacheType>(type)) {
        if (nextCache == caches.size())
          return emitError(function.getLoc(), "function '")
                 << function.getName() << "' takes more caches than the model's other function";
        inputs.push_back(caches[nextCache++]);
      } else {
        inputs.push_back(Tensor::ofInts({int64_t(ids.size())},
                                        cast<RankedTensorType>(type).getElementType(), ids));
      }
    }
    FailureOr<SmallVector<RuntimeValue>> results = interpreter.run(function.getName(), inputs);
    if (failed(results))
      return failure();
    std::optional<Tensor> rows;
    SmallVector<Cache> next;
    for (const RuntimeValue &result : *results) {
      if (auto *cache = std::get_if<Cache>(&result))
        next.push_back(*cache);
      else if (auto *tensor = std::get_if<Tensor>(&result); tensor && !rows)
        rows = *tensor;
    }
    if (next.empty()) // updated in place
      for (const Cache &cache : caches)
        next.push_back(cache.getNewest());
    if (!rows || !rows->isFloat() || rows->getRank() != 2 || rows->getDim(0) != outputs ||
        rows->getDim(1) < 1 || (vocabulary && rows->getDim(1) != vocabulary) ||
        next.size() != caches.size())
      return emitError(function.getLoc(), "function '")
             << function.getName() << "' expected logits of " << outputs << " tokens and "
             << caches.size() << " caches as results, got " << (rows ? rows->describe() : "none")
             << " and " << next.size() << " caches";
    caches = std::move(next);
    vocabulary = rows->getDim(1);
    elementType = rows->getElementType();
    return std::move(*rows);
  }

  Interpreter &interpreter;
  ArrayRef<std::vector<int32_t>> sequences;
  std::vector<std::vector<Scalar>> logits; // of each sequence
  SmallVector<int64_t> positions;
  SmallVector<Cache> caches;
  int64_t vocabulary = 0;
  Type elementType;
};

/// The steps in which sequences of these lengths are fed.
std::vector<Step> planSteps(ArrayRef<std::vector<int32_t>> sequences, const FeedOptions &feed) {
  std::vector<Step> steps;
  SmallVector<int64_t> rest;
  for (const std::vector<int32_t> &sequence : sequences)
    rest.push_back(sequence.size());
  auto add = [&](bool isPrefill, llvm::function_ref<int64_t(size_t)> rowsOf) {
    using Outputs = FeedOptions::Outputs;
    bool last =
        feed.outputs == Outputs::Last || (feed.outputs == Outputs::InTurn && steps.size() % 2 == 1);
    Step step{isPrefill, isPrefill && last, {}};
    for (auto [b, left] : llvm::enumerate(rest)) {
      step.rows.push_back(std::clamp<int64_t>(rowsOf(b), 0, left));
      left -= step.rows.back();
    }
    if (llvm::any_of(step.rows, [](int64_t rows) { return rows > 0; }))
      steps.push_back(std::move(step));
  };
  if (feed.prefillSteps.empty()) {
    auto prompt = [&](size_t b) { return int64_t(2 * sequences[b].size() + 2) / 3; };
    add(true, [&](size_t b) { return (prompt(b) + 1) / 2; });
    add(true, [&](size_t b) { return prompt(b) / 2; });
  }
  for (int64_t rows : feed.prefillSteps)
    add(true, [&](size_t) { return rows; });
  while (llvm::any_of(rest, [](int64_t left) { return left > 0; }))
    add(false, [](size_t) { return 1; });
  return steps;
}

} // namespace

FailureOr<SmallVector<RuntimeValue>> evaluateSequences(ModuleOp module, Interpreter &interpreter,
                                                       ArrayRef<std::vector<int32_t>> sequences,
                                                       const FeedOptions &feed) {
  LanguageModelFunctions functions = findLanguageModel(module);
  if (!functions)
    return emitError(module.getLoc(),
                     "expected @prefill and @decode, or @forward, on ids and caches");
  for (const std::vector<int32_t> &sequence : sequences)
    if (sequence.empty())
      return emitError(module.getLoc(), "expected at least one token");
  std::vector<Step> steps = planSteps(sequences, feed);
  Feeder feeder(interpreter, sequences);
  if (!hasBatch(functions.prefill)) {
    if (failed(feeder.feedWhole(functions.prefill, steps)))
      return failure();
    return feeder.getLogits(module);
  }
  feeder.makeCaches(functions.prefill);
  for (const Step &step : steps)
    if (failed(feeder.feed(step.isPrefill ? functions.prefill : functions.decode, step)))
      return failure();
  return feeder.getLogits(module);
}

FailureOr<Tensor> evaluateTokens(ModuleOp module, ArrayRef<int32_t> ids,
                                 const InterpreterOptions &options, const FeedOptions &feed) {
  Interpreter interpreter(module, options);
  FailureOr<SmallVector<RuntimeValue>> logits =
      evaluateSequences(module, interpreter, std::vector<int32_t>(ids.begin(), ids.end()), feed);
  if (failed(logits))
    return failure();
  return std::get<Tensor>(logits->front());
}

} // namespace ingot::reference
