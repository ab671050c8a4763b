//===- FlattenProgram.cpp - one list of dispatches of a function and all that it calls ------===//

#include "FlattenProgram.h"
#include "ingot/Dialect/Transformer/IR/SourceAttr.h"
#include "ingot/Dialect/Transformer/IR/TransformerDialect.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;
using namespace ingot;
using namespace ingot::tfm;

//===----------------------------------------------------------------------===//
// Calls
//===----------------------------------------------------------------------===//

/// The location of an operation of a body when `call` runs it. Names in a body are patterns
/// ("layers.*.mlp"), and the call has the number ("layers.3"). Where they do not fit, both stand.
static Location locateInCall(Location loc, Location call) {
  auto caller = dyn_cast<NameLoc>(call);
  if (!caller || isa<UnknownLoc>(loc))
    return loc;
  if (auto fused = dyn_cast<FusedLoc>(loc)) {
    SmallVector<Location> parts;
    for (Location part : fused.getLocations())
      parts.push_back(locateInCall(part, call));
    return FusedLoc::get(loc.getContext(), parts, fused.getMetadata());
  }
  if (auto name = dyn_cast<NameLoc>(loc)) {
    auto [before, after] = name.getName().getValue().split('*');
    StringRef number = caller.getName();
    if (before.size() < name.getName().size() && number.consume_front(before))
      return NameLoc::get(
          StringAttr::get(loc.getContext(), before + number.split('.').first + after),
          name.getChildLoc());
  }
  return CallSiteLoc::get(loc, call);
}

/// Clones the operations of `function`, and of what it calls in place of the calls. `call` is where
/// the function is called, unknown for an entry point.
static SmallVector<Value> inlineInto(OpBuilder &builder, func::FuncOp function,
                                     ValueRange arguments, Location call, SymbolTable &symbols) {
  IRMapping mapping;
  mapping.map(function.getArguments(), arguments);
  for (Operation &op : function.getBody().front().without_terminator()) {
    Location loc = locateInCall(op.getLoc(), call);
    if (auto inner = dyn_cast<func::CallOp>(op)) {
      SmallVector<Value> operands;
      for (Value operand : inner.getOperands())
        operands.push_back(mapping.lookup(operand));
      auto callee = symbols.lookup<func::FuncOp>(inner.getCallee());
      mapping.map(inner.getResults(), inlineInto(builder, callee, operands, loc, symbols));
      continue;
    }
    builder.clone(op, mapping)->setLoc(loc);
  }
  SmallVector<Value> results;
  for (Value result : function.getBody().front().getTerminator()->getOperands())
    results.push_back(mapping.lookup(result));
  return results;
}

/// Whether all that `function` calls has a body to put in place of the call, and calls come to an
/// end. `open` are the functions whose calls are being looked at.
static LogicalResult checkCalls(func::FuncOp function, SymbolTable &symbols,
                                llvm::SetVector<func::FuncOp> &open) {
  open.insert(function);
  auto result = function.walk([&](func::CallOp call) {
    auto callee = symbols.lookup<func::FuncOp>(call.getCallee());
    if (!callee || callee.isExternal())
      return WalkResult(call.emitError("calls @")
                        << call.getCallee()
                        << ", which has no body: expected a function of this module");
    if (open.contains(callee))
      return WalkResult(call.emitError("calls @")
                        << call.getCallee()
                        << ", which is running already: a plan has no recursion");
    return WalkResult(checkCalls(callee, symbols, open));
  });
  open.remove(function);
  return failure(result.wasInterrupted());
}

//===----------------------------------------------------------------------===//
// The program
//===----------------------------------------------------------------------===//

/// Whether an array of a program can have the type.
static bool isArray(Type type) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  if (!tensor)
    return false;
  Type element = tensor.getElementType();
  return isa<Float64Type, Float32Type, Float16Type, BFloat16Type>(element) ||
         llvm::any_of(ArrayRef<unsigned>{1, 8, 16, 32, 64},
                      [&](unsigned width) { return element.isSignlessInteger(width); });
}

/// The kernel that returns its input, a tensor of `type`. Only here, where calls are gone, is known
/// what has to be copied.
static plan::KernelOp getCopyKernel(RankedTensorType type, Location loc, SymbolTable &symbols) {
  auto module = cast<ModuleOp>(symbols.getOp());
  OpBuilder builder = OpBuilder::atBlockBegin(module.getBody());
  FunctionType signature = builder.getFunctionType({type}, {type});
  auto schedule = plan::ScheduleAttr::get(builder.getContext(), plan::ScheduleKind::Rows, 1, 1);
  for (plan::KernelOp kernel : module.getOps<plan::KernelOp>())
    if (kernel.getFunctionType() == signature && kernel.getScheduleAttr() == schedule &&
        llvm::hasSingleElement(kernel.getBody().front()))
      return kernel;
  auto kernel = plan::KernelOp::create(builder, loc, "copy", signature);
  kernel.setScheduleAttr(schedule);
  Block *body = builder.createBlock(&kernel.getBody());
  plan::YieldOp::create(builder, loc, body->addArgument(type, loc));
  symbols.insert(kernel);
  return kernel;
}

static Value copy(OpBuilder &builder, Value value, SymbolTable &symbols) {
  auto type = cast<RankedTensorType>(value.getType());
  plan::KernelOp kernel = getCopyKernel(type, value.getLoc(), symbols);
  SmallVector<Value> sizes;
  for (int64_t dim = 0; dim < type.getRank(); ++dim)
    if (type.isDynamicDim(dim))
      sizes.push_back(tensor::DimOp::create(builder, value.getLoc(), value, dim));
  return plan::DispatchOp::create(builder, value.getLoc(), TypeRange{type}, kernel.getName(), value,
                                  sizes)
      .getResult(0);
}

/// The name of an argument or result: its attribute, else `fallback`.
static StringAttr getName(DictionaryAttr attributes, MLIRContext *context, const Twine &fallback) {
  if (attributes)
    if (auto name = attributes.getAs<StringAttr>(plan::kNameAttr))
      return name;
  return StringAttr::get(context, fallback);
}

FailureOr<plan::ProgramOp> ingot::flattenProgram(func::FuncOp function, SymbolTable &symbols) {
  llvm::SetVector<func::FuncOp> open;
  if (failed(checkCalls(function, symbols, open)))
    return failure();
  MLIRContext *context = function.getContext();
  OpBuilder builder(function);
  SmallVector<Type> results;
  SmallVector<unsigned> outputs;
  auto refuse = [&](StringRef kind, unsigned index, Type type) {
    return function.emitError(kind) << " " << index << " of @" << function.getName()
                                    << ": expected a ranked tensor of f64, f32, f16, bf16 or "
                                       "integers of 1, 8, 16, 32 or 64 bits, got "
                                    << type;
  };
  for (auto [index, type] : llvm::enumerate(function.getArgumentTypes()))
    if (!isa<CacheType, BatchType>(type) && !isArray(type))
      return refuse("argument", index, type);
  for (auto [index, type] : llvm::enumerate(function.getResultTypes())) {
    if (isa<CacheType>(type))
      continue;
    if (!isArray(type))
      return refuse("result", index, type);
    results.push_back(type);
    outputs.push_back(index);
  }
  auto program =
      plan::ProgramOp::create(builder, function.getLoc(), function.getName(),
                              builder.getFunctionType(function.getArgumentTypes(), results));
  Block *block = builder.createBlock(&program.getBody());
  unsigned tensors = 0;
  for (auto [index, type] : llvm::enumerate(function.getArgumentTypes())) {
    block->addArgument(type, function.getArgument(index).getLoc());
    if (function.getArgAttr(index, getSourceAttrName()))
      program.setArgAttr(index, getSourceAttrName(), builder.getUnitAttr());
    if (isa<RankedTensorType>(type))
      program.setArgAttr(
          index, plan::kNameAttr,
          getName(function.getArgAttrDict(index), context, "arg" + Twine(tensors++)));
  }
  for (auto [index, output] : llvm::enumerate(outputs))
    program.setResultAttr(
        index, plan::kNameAttr,
        getName(function.getResultAttrDict(output), context, "result" + Twine(index)));
  SmallVector<Value> values =
      inlineInto(builder, function, block->getArguments(), UnknownLoc::get(context), symbols);
  SetVector<Value> yielded;
  for (unsigned output : outputs) {
    // An output is memory of its own, that a dispatch writes.
    Value value = values[output];
    if (!value.getDefiningOp<plan::DispatchOp>() || yielded.contains(value))
      value = copy(builder, value, symbols);
    yielded.insert(value);
  }
  plan::YieldOp::create(builder, function.getLoc(), yielded.getArrayRef());
  return program;
}
