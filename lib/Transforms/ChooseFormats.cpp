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
  Type type;
};

struct ChooseFormatsPass : ingot::impl::ChooseFormatsBase<ChooseFormatsPass> {
  using ChooseFormatsBase::ChooseFormatsBase;

  void runOnOperation() override {
    if (failed(parseRules()) || failed(chooseWeights()) || failed(chooseActivations()))
      signalPassFailure();
  }

private:
  LogicalResult parseRules();
  LogicalResult chooseWeights();
  LogicalResult chooseActivations();
  const char *whyNot(ParameterOp parameter, Type type);
  const char *whyNotRead(Value value, Type type, SymbolTable &symbols, llvm::DenseSet<Value> &seen);

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

/// Why an operation that reads `value` cannot read it as `type`, or null.
const char *ChooseFormatsPass::whyNotRead(Value value, Type type, SymbolTable &symbols,
                                          llvm::DenseSet<Value> &seen) {
  if (!seen.insert(value).second)
    return nullptr;
  for (OpOperand &use : value.getUses()) {
    Operation *user = use.getOwner();
    if (auto call = dyn_cast<func::CallOp>(user)) {
      auto callee = symbols.lookup<func::FuncOp>(call.getCallee());
      if (callee.isExternal() || !callee.isPrivate())
        return "it is passed to a function that others may call";
      if (const char *why =
              whyNotRead(callee.getArgument(use.getOperandNumber()), type, symbols, seen))
        return why;
    } else if (auto linear = dyn_cast<LinearOp>(user)) {
      if (use.get() != linear.getWeight())
        return "it is no matrix of a projection or an embedding";
      if (isa<BlockType>(type) && linear.getTransposed())
        return "it is stored transposed, and blocks would lie across its rows";
    } else if (!isa<EmbeddingOp>(user)) {
      return "it is no matrix of a projection or an embedding";
    }
  }
  return nullptr;
}

const char *ChooseFormatsPass::whyNot(ParameterOp parameter, Type type) {
  auto stored = parameter.getResult().getType();
  if (stored.getRank() != 2 || !getStorageFormat(stored.getElementType()))
    return "it is no matrix of a projection or an embedding";
  auto block = dyn_cast<BlockType>(type);
  if (block && stored.getDimSize(1) % block.getBlockLength())
    return "its rows are not whole blocks";
  SymbolTable symbols(getOperation());
  llvm::DenseSet<Value> seen;
  return whyNotRead(parameter.getResult(), type, symbols, seen);
}

LogicalResult ChooseFormatsPass::chooseWeights() {
  SmallVector<ParameterOp> parameters;
  getOperation().walk([&](ParameterOp op) { parameters.push_back(op); });
  for (ParameterOp op : parameters) {
    auto type = op.getResult().getType();
    const Rule *chosen = nullptr;
    for (const Rule &rule : rules)
      if (!rule.pattern || rule.pattern->match(op.getName()))
        chosen = &rule;
    if (!chosen || chosen->type == type.getElementType() || type.getRank() < 2)
      continue;
    if (const char *why = whyNot(op, chosen->type)) {
      op.emitRemark("stays ") << type.getElementType() << ": " << why;
      ++numKept;
      continue;
    }
    OpBuilder builder(op);
    builder.setInsertionPointAfter(op);
    auto convert = ConvertWeightOp::create(
        builder, op.getLoc(), RankedTensorType::get(type.getShape(), chosen->type), op.getResult());
    op.getResult().replaceAllUsesExcept(convert.getResult(), convert);
    ++numConverted;
  }
  return updateSignatures(getOperation());
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

/// Rows that meet a matrix are rounded; a router, whose choice is all or nothing, reads them as
/// they are.
LogicalResult ChooseFormatsPass::chooseActivations() {
  if (activations == "f32")
    return success();
  if (activations != "bf16")
    return getOperation().emitError("activations: expected f32 or bf16, got '")
           << StringRef(activations) << "'";
  WeightValues known(getOperation());
  SmallVector<LinearOp> linears;
  getOperation().walk([&](LinearOp op) {
    if (getElementTypeOrSelf(op.getX().getType()).isF32() && known.contains(op.getWeight()) &&
        !isRouted(op.getResult()))
      linears.push_back(op);
  });
  llvm::DenseMap<Value, Value> rounded;
  for (LinearOp op : linears) {
    Value &value = rounded[op.getX()];
    if (!value) {
      OpBuilder builder(op);
      builder.setInsertionPointAfterValue(op.getX());
      auto type = cast<RankedTensorType>(op.getX().getType());
      value = arith::TruncFOp::create(builder, op.getLoc(), type.clone(builder.getBF16Type()),
                                      op.getX());
    }
    op.getXMutable().assign(value);
    ++numRounded;
  }
  return success();
}
