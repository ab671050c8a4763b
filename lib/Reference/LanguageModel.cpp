//===- LanguageModel.cpp - running language models in the interpreter -------------------------===//

#include "ingot/Reference/LanguageModel.h"
#include "ingot/Dialect/Transformer/IR/TransformerDialect.h"

using namespace mlir;

namespace ingot::reference {

static bool isIds(Type type) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  return tensor && tensor.getRank() == 1 && isa<IntegerType>(tensor.getElementType());
}

/// Ids, at most one batch, and caches.
static bool takesTokens(FunctionOpInterface function) {
  if (!function || function.isExternal())
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

/// Feeds one sequence to the functions of a model and collects the logits.
class Feeder {
public:
  Feeder(Interpreter &interpreter) : interpreter(interpreter) {}

  /// The first caches: empty, for one sequence.
  void makeCaches(FunctionOpInterface function) {
    for (Type type : function.getArgumentTypes())
      if (auto cache = dyn_cast<tfm::CacheType>(type))
        caches.emplace_back(cache.getHeads(), cache.getKeySize(), cache.getValueSize(),
                            cache.getElementType(), 1);
  }

  LogicalResult step(FunctionOpInterface function, ArrayRef<int32_t> ids) {
    SmallVector<RuntimeValue> inputs;
    unsigned nextCache = 0;
    for (Type type : function.getArgumentTypes()) {
      if (isa<tfm::BatchType>(type)) {
        inputs.push_back(Batch::pack({int64_t(ids.size())}, {position}));
      } else if (isa<tfm::CacheType>(type)) {
        if (nextCache == caches.size())
          return function.emitOpError("takes more caches than the model's other function");
        inputs.push_back(caches[nextCache++]);
      } else {
        inputs.push_back(Tensor::ofInts({int64_t(ids.size())},
                                        cast<RankedTensorType>(type).getElementType(),
                                        SmallVector<int64_t>(ids.begin(), ids.end())));
      }
    }
    FailureOr<SmallVector<RuntimeValue>> results = interpreter.run(function.getName(), inputs);
    if (failed(results))
      return failure();
    const Tensor *rows = nullptr;
    SmallVector<Cache> next;
    for (const RuntimeValue &result : *results) {
      if (auto *cache = std::get_if<Cache>(&result))
        next.push_back(*cache);
      else if (auto *tensor = std::get_if<Tensor>(&result); tensor && !rows)
        rows = tensor;
    }
    if (next.empty()) // updated in place
      for (const Cache &cache : caches)
        next.push_back(cache.getNewest());
    if (!rows || !rows->isFloat() || rows->getRank() != 2 ||
        rows->getDim(0) != int64_t(ids.size()) || next.size() != caches.size())
      return function.emitOpError("expected logits of ")
             << ids.size() << " tokens and " << caches.size() << " caches as results, got "
             << (rows ? rows->describe() : "none") << " and " << next.size() << " caches";
    caches = std::move(next);
    ArrayRef<Scalar> elements = rows->elements();
    logits.insert(logits.end(), elements.begin(), elements.end());
    vocabulary = rows->getDim(1);
    elementType = rows->getElementType();
    position += ids.size();
    return success();
  }

  FailureOr<Tensor> getLogits(ModuleOp module) {
    llvm::Expected<Tensor> tensor = Tensor::create({position, vocabulary}, elementType);
    if (!tensor)
      return module.emitError(toString(tensor.takeError()));
    llvm::copy(logits, tensor->mutableElements().begin());
    return std::move(*tensor);
  }

private:
  Interpreter &interpreter;
  SmallVector<Cache> caches;
  int64_t position = 0, vocabulary = 0;
  Type elementType;
  std::vector<Scalar> logits;
};

} // namespace

FailureOr<Tensor> evaluateTokens(ModuleOp module, Interpreter &interpreter, ArrayRef<int32_t> ids,
                                 const FeedOptions &feed) {
  LanguageModelFunctions functions = findLanguageModel(module);
  if (!functions)
    return module.emitError("expected @prefill and @decode, or @forward, on ids and caches");
  if (ids.empty())
    return module.emitError("expected at least one token");
  Feeder feeder(interpreter);
  if (!hasBatch(functions.prefill)) {
    if (failed(feeder.step(functions.prefill, ids)))
      return failure();
    return feeder.getLogits(module);
  }
  feeder.makeCaches(functions.prefill);
  SmallVector<int64_t> steps = feed.prefillSteps;
  if (steps.empty()) {
    int64_t prompt = (2 * ids.size() + 2) / 3;
    steps = {(prompt + 1) / 2, prompt / 2};
  }
  for (int64_t rows : steps) {
    rows = std::min<int64_t>(rows, ids.size());
    if (rows <= 0)
      continue;
    if (failed(feeder.step(functions.prefill, ids.take_front(rows))))
      return failure();
    ids = ids.drop_front(rows);
  }
  for (int32_t id : ids)
    if (failed(feeder.step(functions.decode, id)))
      return failure();
  return feeder.getLogits(module);
}

FailureOr<Tensor> evaluateTokens(ModuleOp module, ArrayRef<int32_t> ids,
                                 const InterpreterOptions &options, const FeedOptions &feed) {
  Interpreter interpreter(module, options);
  return evaluateTokens(module, interpreter, ids, feed);
}

} // namespace ingot::reference
