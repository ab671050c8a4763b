//===- ChooseFormats.cpp - number formats of weights and activations --------------------------===//
//
// The one place where precision is decided. What is stored in another format than the checkpoint's
// becomes a tfm.convert_weight, what is computed in another type an arith.truncf; later passes move
// these but add and remove none, so prefill and decode round at the same places.
//
//===----------------------------------------------------------------------------------------===//

#include "WeightValues.h"
#include "ingot/Dialect/Plan/Utils/BlockPanels.h"
#include "ingot/Transforms/Passes.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/SymbolTable.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/Support/GlobPattern.h"

namespace ingot {
#define GEN_PASS_DEF_CHOOSEFORMATS
#include "ingot/Transforms/Passes.h.inc"
} // namespace ingot

using namespace mlir;
using namespace ingot;
using namespace ingot::tfm;

namespace {
/// Weights whose names match get elements of `type`.
struct Rule {
  std::optional<llvm::GlobPattern> pattern;
  StringRef text;
  Type type;
  bool isUsed = false;
};

/// What reads a weight, through calls and concatenations.
struct Readers {
  SmallVector<Operation *> transposed; ///< products that read it as [K, N]
  SmallVector<tensor::ConcatOp> concats;
  bool straight = false; ///< whether one reads it as [N, K], or its rows
};

struct ChooseFormatsPass : ingot::impl::ChooseFormatsBase<ChooseFormatsPass> {
  using ChooseFormatsBase::ChooseFormatsBase;

  void runOnOperation() override {
    if (failed(parseRules()) || failed(chooseWeights()) || failed(chooseActivations()))
      signalPassFailure();
  }

private:
  LogicalResult parseRules();
  const Rule *ruleOf(ParameterOp parameter);
  void divideFunctions();
  LogicalResult chooseWeights();
  LogicalResult checkJoined();
  StringRef findDefault();
  LogicalResult chooseActivations();
  const char *whyNot(ParameterOp parameter, Type type, Readers &readers);
  const char *whyNotRead(Value value, SymbolTable &symbols, llvm::DenseSet<Value> &seen,
                         Readers &readers);

  SmallVector<Rule> rules;
};
} // namespace

LogicalResult ChooseFormatsPass::parseRules() {
  MLIRContext *context = &getContext();
  for (const std::string &text : weights) {
    auto [pattern, name] = StringRef(text).contains('=')
                               ? StringRef(text).rsplit('=')
                               : std::pair<StringRef, StringRef>("", text);
    Rule rule;
    rule.text = text;
    rule.type = llvm::StringSwitch<Type>(name)
                    .Case("f32", Float32Type::get(context))
                    .Case("f16", Float16Type::get(context))
                    .Case("bf16", BFloat16Type::get(context))
                    .Case("q8", BlockType::get(context, formats::Format::Q8_0))
                    .Case("q4", BlockType::get(context, formats::Format::Q4_0))
                    .Default(Type());
    if (!rule.type)
      return getOperation().emitError("weights: expected f32, f16, bf16, q8 or q4, got '")
             << name << "'";
    if (StringRef(text).starts_with("="))
      return getOperation().emitError("weights: expected a pattern before '=', got '")
             << text << "'";
    if (!pattern.empty()) {
      llvm::Expected<llvm::GlobPattern> glob = llvm::GlobPattern::create(pattern);
      if (!glob)
        return getOperation().emitError("weights: '")
               << pattern << "': " << llvm::toString(glob.takeError());
      rule.pattern = std::move(*glob);
    }
    rules.push_back(std::move(rule));
  }
  return success();
}

/// Why an operation that reads `value` cannot read it in another format, or null.
const char *ChooseFormatsPass::whyNotRead(Value value, SymbolTable &symbols,
                                          llvm::DenseSet<Value> &seen, Readers &readers) {
  static constexpr char kNoMatrix[] = "it is no matrix of a projection or an embedding";
  if (!seen.insert(value).second)
    return nullptr;
  for (OpOperand &use : value.getUses()) {
    Operation *user = use.getOwner();
    Value next;
    if (auto call = dyn_cast<func::CallOp>(user)) {
      auto callee = symbols.lookup<func::FuncOp>(call.getCallee());
      if (callee.isExternal() || !callee.isPrivate())
        return "it is passed to a function that others may call";
      next = callee.getArgument(use.getOperandNumber());
    } else if (auto concat = dyn_cast<tensor::ConcatOp>(user)) {
      readers.concats.push_back(concat);
      next = concat.getResult();
    } else if (isa<LinearOp, ExpertLinearOp>(user)) {
      if (use.getOperandNumber() != 1)
        return kNoMatrix;
      if (user->hasAttr("transposed"))
        readers.transposed.push_back(user);
      else
        readers.straight = true;
    } else if (isa<EmbeddingOp>(user)) {
      readers.straight = true;
    } else {
      return kNoMatrix;
    }
    if (next)
      if (const char *why = whyNotRead(next, symbols, seen, readers))
        return why;
  }
  return nullptr;
}

const char *ChooseFormatsPass::whyNot(ParameterOp parameter, Type type, Readers &readers) {
  auto stored = parameter.getResult().getType();
  if (stored.getRank() != 2 || !getStorageFormat(stored.getElementType()))
    return "it is no matrix of a projection or an embedding";
  SymbolTable symbols(getOperation());
  llvm::DenseSet<Value> seen;
  if (const char *why = whyNotRead(parameter.getResult(), symbols, seen, readers))
    return why;
  if (!isa<BlockType>(type))
    return nullptr;
  if (readers.straight && !readers.transposed.empty())
    return "it is read in both directions, and blocks lie along one";
  for (tensor::ConcatOp concat : readers.concats)
    if (int64_t(concat.getDim()) != (readers.straight ? 0 : 1))
      return "it is joined along the direction in which blocks would lie";
  return nullptr;
}

/// The last rule that a weight's name matches, or null.
const Rule *ChooseFormatsPass::ruleOf(ParameterOp parameter) {
  Rule *chosen = nullptr;
  for (Rule &rule : rules)
    if (!rule.pattern || rule.pattern->match(parameter.getName())) {
      rule.isUsed = true;
      chosen = &rule;
    }
  return chosen;
}

/// Layers share a function. Those whose weights get other formats get one of their own.
void ChooseFormatsPass::divideFunctions() {
  struct Variant {
    SmallVector<Type> formats;
    func::FuncOp function;
  };
  SymbolTable symbols(getOperation());
  llvm::MapVector<Operation *, SmallVector<Variant>> variants;
  SmallVector<func::CallOp> calls;
  getOperation().walk([&](func::CallOp call) { calls.push_back(call); });
  for (func::CallOp call : calls) {
    auto callee = symbols.lookup<func::FuncOp>(call.getCallee());
    if (callee.isExternal() || !callee.isPrivate())
      continue;
    SmallVector<Type> formats;
    for (Value operand : call.getOperands()) {
      auto parameter = operand.getDefiningOp<ParameterOp>();
      const Rule *rule = parameter ? ruleOf(parameter) : nullptr;
      formats.push_back(rule ? rule->type : getElementTypeOrSelf(operand.getType()));
    }
    SmallVector<Variant> &known = variants[callee];
    auto *found = llvm::find_if(known, [&](Variant &v) { return v.formats == formats; });
    if (found == known.end()) {
      if (!known.empty()) {
        // Of the function as it is: nothing has been changed yet.
        callee = callee.clone();
        symbols.insert(callee);
      }
      known.push_back({formats, callee});
      found = std::prev(known.end());
    }
    call.setCallee(found->function.getName());
  }
}

LogicalResult ChooseFormatsPass::chooseWeights() {
  divideFunctions();
  SmallVector<ParameterOp> parameters;
  getOperation().walk([&](ParameterOp op) { parameters.push_back(op); });
  // All are looked at before any is changed: what reads one may read others.
  struct Choice {
    ParameterOp op;
    Type type;
    bool transposes;
  };
  SmallVector<Choice> choices;
  llvm::SetVector<Operation *> turned;
  for (ParameterOp op : parameters) {
    auto type = op.getResult().getType();
    const Rule *chosen = ruleOf(op);
    if (!chosen || chosen->type == type.getElementType() || type.getRank() < 2)
      continue;
    Readers readers;
    if (const char *why = whyNot(op, chosen->type, readers)) {
      op.emitRemark("stays ") << type.getElementType() << ": " << why;
      ++numKept;
      continue;
    }
    bool transposes = isa<BlockType>(chosen->type) && !readers.transposed.empty();
    if (transposes) {
      turned.insert(readers.transposed.begin(), readers.transposed.end());
      turned.insert(readers.concats.begin(), readers.concats.end());
    }
    choices.push_back({op, chosen->type, transposes});
  }
  for (const Rule &rule : rules)
    if (!rule.isUsed)
      getOperation().emitWarning("weights: no name matches '") << rule.text << "'";
  for (auto [op, type, transposes] : choices) {
    OpBuilder builder(op);
    builder.setInsertionPointAfter(op);
    SmallVector<int64_t> shape(op.getResult().getType().getShape());
    if (transposes)
      std::swap(shape[0], shape[1]);
    auto convert = ConvertWeightOp::create(builder, op.getLoc(), RankedTensorType::get(shape, type),
                                           op.getResult());
    convert.setTransposed(transposes);
    op.getResult().replaceAllUsesExcept(convert.getResult(), convert);
    ++numConverted;
  }
  for (Operation *op : turned) {
    if (auto concat = dyn_cast<tensor::ConcatOp>(op))
      concat.setDim(0);
    else
      op->removeAttr("transposed");
  }
  return failure(failed(updateSignatures(getOperation())) || failed(checkJoined()));
}

/// What a concatenation joins has one type.
LogicalResult ChooseFormatsPass::checkJoined() {
  auto result = getOperation().walk([](tensor::ConcatOp op) {
    Type element = getElementTypeOrSelf(op.getInputs().front().getType());
    for (Value input : op.getInputs())
      if (getElementTypeOrSelf(input.getType()) != element)
        return WalkResult(
            op.emitError("joins weights that the rules of formats give different types, ")
            << element << " and " << getElementTypeOrSelf(input.getType()));
    return WalkResult::advance();
  });
  return failure(result.wasInterrupted());
}

/// Whether a router's choice is made of `value`, through a softmax or element-wise operations.
static bool isRouted(Value value) {
  return llvm::any_of(value.getUsers(), [](Operation *user) {
    if (isa<RouteOp>(user))
      return true;
    bool follows = isa<SoftmaxOp>(user) || OpTrait::hasElementwiseMappableTraits(user);
    return follows && user->getNumResults() == 1 && isRouted(user->getResult(0));
  });
}

/// Whether rows of 8 bits are multiplied with a weight: it has 8 or fewer bits and kernels.
static bool takesBytes(Value weight) {
  auto block = dyn_cast<BlockType>(getElementTypeOrSelf(weight.getType()));
  return block && plan::BlockPanel::get(block.getFormat());
}

/// What suits most elements of a model's matrices as they are stored from here on: int8 for blocks,
/// bf16 for 16 bits. What a plain graph computes is what it says.
StringRef ChooseFormatsPass::findDefault() {
  if (!getOperation()->hasAttr(TransformerDialect::getModelAttrName()))
    return "f32";
  int64_t blocks = 0, halves = 0, others = 0;
  getOperation().walk([&](ParameterOp op) {
    auto type = op.getResult().getType();
    for (Operation *user : op.getResult().getUsers())
      if (isa<ConvertWeightOp, ScaleWeightOp>(user))
        type = cast<RankedTensorType>(user->getResult(0).getType());
    if (type.getRank() < 2)
      return;
    Type element = type.getElementType();
    int64_t &count = isa<BlockType>(element)               ? blocks
                     : element.isF16() || element.isBF16() ? halves
                                                           : others;
    count += type.getNumElements();
  });
  if (blocks > std::max(halves, others))
    return "int8";
  return halves > others ? "bf16" : "f32";
}

/// Rows that meet a matrix are rounded; a router, whose choice is all or nothing, reads them as
/// they are.
LogicalResult ChooseFormatsPass::chooseActivations() {
  StringRef chosen = activations;
  if (chosen == "auto")
    chosen = findDefault();
  if (chosen != "f32" && chosen != "bf16" && chosen != "int8")
    return getOperation().emitError("activations: expected auto, f32, bf16 or int8, got '")
           << chosen << "'";
  StringRef modelName = TransformerDialect::getModelAttrName();
  if (auto model = getOperation()->getAttrOfType<DictionaryAttr>(modelName)) {
    NamedAttrList attributes(model);
    attributes.set("activations", StringAttr::get(&getContext(), chosen));
    getOperation()->setAttr(modelName, attributes.getDictionary(&getContext()));
  }
  if (chosen == "f32")
    return success();
  WeightValues known(getOperation());
  SmallVector<Operation *> products;
  getOperation().walk([&](Operation *op) {
    if (isa<LinearOp, ExpertLinearOp>(op) &&
        getElementTypeOrSelf(op->getOperand(0).getType()).isF32() &&
        known.contains(op->getOperand(1)) && !isRouted(op->getResult(0)))
      products.push_back(op);
  });
  // Rows that several matrices read are rounded once to each type.
  llvm::DenseMap<Value, Value> rounded[2];
  for (Operation *op : products) {
    Value x = op->getOperand(0);
    bool bytes = chosen == "int8" && takesBytes(op->getOperand(1));
    Value &value = rounded[bytes][x];
    if (!value) {
      OpBuilder builder(op);
      builder.setInsertionPointAfterValue(x);
      auto type = cast<RankedTensorType>(x.getType());
      if (bytes) {
        auto block = BlockType::get(&getContext(), formats::Format::Q8_X);
        auto result = RankedTensorType::get(type.getShape(), block);
        value = QuantizeOp::create(builder, op->getLoc(), result, x);
      } else {
        value =
            arith::TruncFOp::create(builder, op->getLoc(), type.clone(builder.getBF16Type()), x);
      }
    }
    op->setOperand(0, value);
    ++numRounded;
  }
  return success();
}
