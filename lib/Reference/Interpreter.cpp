//===- Interpreter.cpp - calls, control flow and element-wise operations ----------------------===//

#include "InterpreterImpl.h"
#include "ingot/Dialect/Plan/IR/PlanDialect.h"
#include "ingot/Dialect/Transformer/IR/TransformerDialect.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/UB/IR/UBOps.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "mlir/IR/Matchers.h"
#include "mlir/IR/SymbolTable.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace ingot::reference {

/// Calls inside calls; layer bodies nest two or three deep.
static constexpr unsigned kMaxDepth = 64;

//===----------------------------------------------------------------------===//
// The public class
//===----------------------------------------------------------------------===//

Interpreter::Interpreter(ModuleOp module, InterpreterOptions options)
    : impl(std::make_unique<Impl>(module, std::move(options))) {}
Interpreter::~Interpreter() = default;
bool Interpreter::sawUnsupported() const { return impl->sawUnsupported; }
const InterpreterOptions &Interpreter::getOptions() const { return impl->options; }

FailureOr<SmallVector<RuntimeValue>> Interpreter::run(StringRef name,
                                                      ArrayRef<RuntimeValue> inputs) {
  impl->sawUnsupported = false;
  auto function = impl->module.lookupSymbol<FunctionOpInterface>(name);
  if (!function) {
    emitError(impl->module.getLoc(), "expected a function '") << name << "', the module has none";
    return failure();
  }
  return impl->call(function, inputs, function);
}

//===----------------------------------------------------------------------===//
// Frames and results
//===----------------------------------------------------------------------===//

int64_t Frame::integer(OpFoldResult value) const {
  if (auto attr = dyn_cast<Attribute>(value))
    return cast<IntegerAttr>(attr).getInt();
  return integer(cast<Value>(value));
}

SmallVector<int64_t> Frame::integers(ArrayRef<OpFoldResult> list) const {
  SmallVector<int64_t> result;
  for (OpFoldResult value : list)
    result.push_back(integer(value));
  return result;
}

LogicalResult Interpreter::Impl::fail(Operation *op, const Twine &message) {
  // A note on a function would print all of it.
  if (auto function = dyn_cast<FunctionOpInterface>(op))
    return emitError(op->getLoc(), "function '" + function.getName() + "' " + message);
  return op->emitOpError(message);
}

LogicalResult Interpreter::Impl::unsupported(Operation *op) {
  sawUnsupported = true;
  return op->emitOpError("is not known to the reference interpreter in this form");
}

/// Whether a run-time value is one of `type`; otherwise says what it is.
static std::optional<std::string> mismatch(Type type, const RuntimeValue &value) {
  if (isa<tfm::BatchType>(type))
    return std::holds_alternative<Batch>(value) ? std::nullopt : std::optional("no batch");
  if (auto cacheType = dyn_cast<tfm::CacheType>(type)) {
    auto *cache = std::get_if<Cache>(&value);
    if (cache && cache->getType() == cacheType)
      return std::nullopt;
    return cache ? "another cache" : "no cache";
  }
  auto *tensor = std::get_if<Tensor>(&value);
  if (!tensor)
    return "no tensor";
  auto shaped = dyn_cast<RankedTensorType>(type);
  bool fits = shaped ? shaped.getElementType() == tensor->getElementType() &&
                           shaped.getRank() == tensor->getRank()
                     : type == tensor->getElementType() && tensor->getRank() == 0;
  for (int64_t d = 0; fits && shaped && d < shaped.getRank(); ++d)
    fits = shaped.isDynamicDim(d) || shaped.getDimSize(d) == tensor->getDim(d);
  return fits ? std::nullopt : std::optional(tensor->describe());
}

LogicalResult Interpreter::Impl::setResult(Operation *op, unsigned number, RuntimeValue value,
                                           Frame &frame) {
  Type type = op->getResult(number).getType();
  if (std::optional<std::string> got = mismatch(type, value))
    return op->emitOpError("expected result ")
           << number << " of type " << type << " at run time, got " << *got;
  frame.values[op->getResult(number)] = std::move(value);
  return success();
}

FailureOr<Tensor> Interpreter::Impl::create(Operation *op, ArrayRef<int64_t> shape, Type type) {
  llvm::Expected<Tensor> tensor = Tensor::create(shape, type);
  if (tensor)
    return std::move(*tensor);
  (void)fail(op, llvm::toString(tensor.takeError()));
  return failure();
}

//===----------------------------------------------------------------------===//
// Calls and blocks
//===----------------------------------------------------------------------===//

FailureOr<SmallVector<RuntimeValue>> Interpreter::Impl::call(FunctionOpInterface function,
                                                             ArrayRef<RuntimeValue> inputs,
                                                             Operation *caller) {
  if (function.isExternal() || !function.getFunctionBody().hasOneBlock()) {
    (void)fail(caller,
               "expected a function with a body of one block, got '" + function.getName() + "'");
    return failure();
  }
  if (depth >= kMaxDepth) {
    (void)fail(caller, "calls more than " + Twine(kMaxDepth) + " functions inside each other");
    return failure();
  }
  ++depth;
  llvm::scope_exit leave([&] { --depth; });
  if (inputs.size() != function.getNumArguments()) {
    (void)fail(caller, "expected " + Twine(function.getNumArguments()) + " inputs for '" +
                           function.getName() + "', got " + Twine(inputs.size()));
    return failure();
  }
  Frame frame;
  Block &body = function.getFunctionBody().front();
  for (auto [argument, input] : llvm::zip(body.getArguments(), inputs)) {
    if (std::optional<std::string> got = mismatch(argument.getType(), input)) {
      std::string type;
      llvm::raw_string_ostream(type) << argument.getType();
      (void)fail(caller, "expected input " + Twine(argument.getArgNumber()) + " of '" +
                             function.getName() + "' of type " + type + ", got " + *got);
      return failure();
    }
    frame.values[argument] = input;
  }
  SmallVector<RuntimeValue> results;
  if (failed(executeBlock(body, frame, results)))
    return failure();
  return results;
}

LogicalResult Interpreter::Impl::executeBlock(Block &block, Frame &frame,
                                              SmallVectorImpl<RuntimeValue> &yielded) {
  for (Operation &op : block.without_terminator())
    if (failed(execute(&op, frame)))
      return failure();
  yielded.clear();
  for (Value value : block.getTerminator()->getOperands())
    yielded.push_back(frame.values.find(value)->second);
  return success();
}

LogicalResult Interpreter::Impl::execute(Operation *op, Frame &frame) {
  if (isa<ub::PoisonOp>(op))
    return fail(op, "has no value");
  if (Attribute value; matchPattern(op, m_Constant(&value))) {
    FailureOr<Tensor> tensor = constant(op, value);
    return failed(tensor) ? failure() : setResult(op, 0, *tensor, frame);
  }
  if (std::optional<ScalarOp> scalar = ScalarOp::get(op, options.precision))
    return executeElementwise(op, *scalar, frame);
  using Executor = LogicalResult (Impl::*)(Operation *, Frame &);
  auto executor = llvm::StringSwitch<Executor>(op->getName().getDialectNamespace())
                      .Case("tfm", &Impl::executeTransformer)
                      .Case("tensor", &Impl::executeTensor)
                      .Case("linalg", &Impl::executeLinalg)
                      .Case("plan", &Impl::executePlan)
                      .Case("affine", &Impl::executeAffine)
                      .Default(&Impl::executeControlFlow);
  return (this->*executor)(op, frame);
}

//===----------------------------------------------------------------------===//
// Constants
//===----------------------------------------------------------------------===//

FailureOr<Tensor> Interpreter::Impl::constant(Operation *op, Attribute value) {
  if (auto it = constants.find(value); it != constants.end())
    return it->second;
  // The type of the attribute may differ from the result's in nothing that matters here.
  auto typed = dyn_cast<TypedAttr>(value);
  Type elementType = typed ? getElementTypeOrSelf(typed.getType()) : Type();
  std::optional<NumberKind> kind = elementType ? getNumberKind(elementType) : std::nullopt;
  if (!kind)
    return unsupported(op);

  if (auto number = dyn_cast<FloatAttr>(value))
    return Tensor::scalar(elementType, makeFloat(number.getValueAsDouble()));
  if (auto number = dyn_cast<IntegerAttr>(value))
    return Tensor::scalar(elementType,
                          makeInt(wrapInteger(number.getValue().getSExtValue(), kind->width)));

  auto type = dyn_cast<RankedTensorType>(typed.getType());
  if (!type)
    return unsupported(op);
  if (auto resource = dyn_cast<DenseResourceElementsAttr>(value)) {
    AsmResourceBlob *blob = resource.getRawHandle().getBlob();
    if (!blob) {
      (void)fail(op, "expected the data of the resource in the module");
      return failure();
    }
    ArrayRef<char> data = blob->getData();
    llvm::Expected<Tensor> tensor =
        Tensor::view(type.getShape(), elementType,
                     {reinterpret_cast<const uint8_t *>(data.data()), data.size()});
    if (tensor)
      return *tensor;
    (void)fail(op, llvm::toString(tensor.takeError()));
    return failure();
  }
  auto dense = dyn_cast<DenseElementsAttr>(value);
  if (!dense)
    return unsupported(op);
  FailureOr<Tensor> tensor = create(op, type.getShape(), elementType);
  if (failed(tensor))
    return failure();
  auto convert = [&](auto number) {
    if constexpr (std::is_same_v<decltype(number), APFloat>) {
      bool lost;
      number.convert(APFloat::IEEEdouble(), APFloat::rmNearestTiesToEven, &lost);
      return makeFloat(number.convertToDouble());
    } else {
      return makeInt(wrapInteger(number.getSExtValue(), kind->width));
    }
  };
  MutableArrayRef<Scalar> elements = tensor->mutableElements();
  if (dense.isSplat()) {
    Scalar splat = kind->isFloat ? convert(dense.getSplatValue<APFloat>())
                                 : convert(dense.getSplatValue<APInt>());
    std::fill(elements.begin(), elements.end(), splat);
  } else if (kind->isFloat) {
    for (auto [element, number] : llvm::zip(elements, dense.getValues<APFloat>()))
      element = convert(number);
  } else {
    for (auto [element, number] : llvm::zip(elements, dense.getValues<APInt>()))
      element = convert(number);
  }
  constants[value] = *tensor;
  return *tensor;
}

//===----------------------------------------------------------------------===//
// Element-wise operations
//===----------------------------------------------------------------------===//

LogicalResult Interpreter::Impl::executeElementwise(Operation *op, const ScalarOp &scalar,
                                                    Frame &frame) {
  const Tensor *first = nullptr;
  unsigned count = op->getNumOperands();
  const Scalar *data[3];
  int64_t step[3];
  for (unsigned i = 0; i < count; ++i) {
    const Tensor &operand = frame.tensor(op->getOperand(i));
    data[i] = operand.elements().data();
    // A scalar beside tensors is the condition of a select.
    step[i] = isa<ShapedType>(op->getOperand(i).getType());
    if (!step[i])
      continue;
    if (first && first->getShape() != operand.getShape())
      return fail(op, "expected operands of one shape at run time, got " + first->describe() +
                          " and " + operand.describe());
    first = &operand;
  }
  ArrayRef<int64_t> shape = first ? first->getShape() : ArrayRef<int64_t>();
  FailureOr<Tensor> result = create(op, shape, getElementTypeOrSelf(op->getResult(0).getType()));
  if (failed(result))
    return failure();
  MutableArrayRef<Scalar> out = result->mutableElements();
  for (size_t i = 0; i < out.size(); ++i) {
    Scalar operands[3];
    for (unsigned k = 0; k < count; ++k)
      operands[k] = data[k][i * step[k]];
    if (const char *wrong = scalar.evaluate(operands, out[i]))
      return fail(op, Twine("computes a ") + wrong);
  }
  return setResult(op, 0, std::move(*result), frame);
}

//===----------------------------------------------------------------------===//
// func, scf
//===----------------------------------------------------------------------===//

LogicalResult Interpreter::Impl::executeControlFlow(Operation *op, Frame &frame) {
  auto setAll = [&](ArrayRef<RuntimeValue> values) {
    for (auto [number, value] : llvm::enumerate(values))
      if (failed(setResult(op, number, value, frame)))
        return failure();
    return success();
  };
  if (auto callOp = dyn_cast<func::CallOp>(op)) {
    auto callee = module.lookupSymbol<FunctionOpInterface>(callOp.getCallee());
    if (!callee)
      return fail(op, "calls '" + callOp.getCallee() + "', which the module does not have");
    SmallVector<RuntimeValue> inputs;
    for (Value operand : op->getOperands())
      inputs.push_back(frame.values.find(operand)->second);
    FailureOr<SmallVector<RuntimeValue>> results = call(callee, inputs, op);
    return failed(results) ? failure() : setAll(*results);
  }
  if (auto ifOp = dyn_cast<scf::IfOp>(op)) {
    Region &region =
        frame.integer(ifOp.getCondition()) ? ifOp.getThenRegion() : ifOp.getElseRegion();
    if (region.empty())
      return success();
    SmallVector<RuntimeValue> results;
    return failed(executeBlock(region.front(), frame, results)) ? failure() : setAll(results);
  }
  if (auto forOp = dyn_cast<scf::ForOp>(op)) {
    int64_t begin = frame.integer(forOp.getLowerBound()),
            end = frame.integer(forOp.getUpperBound());
    int64_t step = frame.integer(forOp.getStep());
    if (step <= 0 || forOp.getUnsignedCmp())
      return step <= 0 ? fail(op, "expected a positive step, got " + Twine(step)) : unsupported(op);
    SmallVector<RuntimeValue> values;
    for (Value init : forOp.getInitArgs())
      values.push_back(frame.values.find(init)->second);
    Type type = forOp.getInductionVar().getType();
    for (int64_t i = begin; i < end;) {
      frame.values[forOp.getInductionVar()] = Tensor::scalar(type, makeInt(i));
      for (auto [argument, value] : llvm::zip(forOp.getRegionIterArgs(), values))
        frame.values[argument] = std::move(value);
      if (failed(executeBlock(*forOp.getBody(), frame, values)))
        return failure();
      if (llvm::AddOverflow(i, step, i))
        break;
    }
    return setAll(values);
  }
  return unsupported(op);
}

//===----------------------------------------------------------------------===//
// plan
//===----------------------------------------------------------------------===//

LogicalResult Interpreter::Impl::executePlan(Operation *op, Frame &frame) {
  if (isa<plan::SlotOp>(op))
    return success(); // where a value lives changes nothing
  if (auto pack = dyn_cast<plan::PackOp>(op)) {
    SmallVector<Tensor> sources;
    for (Value source : pack.getSources())
      sources.push_back(frame.tensor(source));
    Tensor matrix;
    auto type = cast<RankedTensorType>(pack.getResult().getType());
    if (!pack.getTransposed()) {
      if (failed(concatenate(op, 0, sources, type.getElementType(), matrix)))
        return failure();
      return setResult(op, 0, std::move(matrix), frame);
    }
    // [K, N_i] beside each other is the transpose of the matrix.
    if (failed(concatenate(op, 1, sources, type.getElementType(), matrix)))
      return failure();
    int64_t rows = matrix.getDim(1), columns = matrix.getDim(0);
    FailureOr<Tensor> result = create(op, {rows, columns}, type.getElementType());
    if (failed(result))
      return failure();
    copyStrided({rows, columns}, matrix.elements().data(), {1, rows},
                result->mutableElements().data(), {columns, 1});
    return setResult(op, 0, std::move(*result), frame);
  }
  if (auto dispatch = dyn_cast<plan::DispatchOp>(op)) {
    auto kernel = module.lookupSymbol<plan::KernelOp>(dispatch.getKernel());
    if (!kernel)
      return fail(op, "runs '" + dispatch.getKernel() + "', which the module does not have");
    SmallVector<RuntimeValue> inputs;
    for (Value input : dispatch.getInputs())
      inputs.push_back(frame.values.find(input)->second);
    FailureOr<SmallVector<RuntimeValue>> results = call(kernel, inputs, op);
    if (failed(results))
      return failure();
    // The runtime allocates what `sizes` says, so they must be right.
    auto size = dispatch.getSizes().begin();
    for (auto [number, value] : llvm::enumerate(*results)) {
      auto type = dyn_cast<RankedTensorType>(op->getResult(number).getType());
      for (int64_t d = 0; type && d < type.getRank(); ++d) {
        if (!type.isDynamicDim(d))
          continue;
        int64_t declared = frame.integer(*size++), actual = std::get<Tensor>(value).getDim(d);
        if (declared != actual)
          return fail(op, "declares " + Twine(declared) + " for dimension " + Twine(d) +
                              " of result " + Twine(number) + ", the kernel computes " +
                              Twine(actual));
      }
      if (failed(setResult(op, number, value, frame)))
        return failure();
    }
    return success();
  }
  return unsupported(op);
}

//===----------------------------------------------------------------------===//
// affine
//===----------------------------------------------------------------------===//

LogicalResult Interpreter::Impl::executeAffine(Operation *op, Frame &frame) {
  auto evaluate = [&](AffineMap map) -> FailureOr<SmallVector<int64_t>> {
    SmallVector<Attribute> operands, results;
    Builder builder(op->getContext());
    for (Value operand : op->getOperands())
      operands.push_back(builder.getIndexAttr(frame.integer(operand)));
    if (failed(map.constantFold(operands, results)))
      return fail(op, "computes no value for its operands");
    return llvm::map_to_vector(results, [](Attribute a) { return cast<IntegerAttr>(a).getInt(); });
  };
  FailureOr<SmallVector<int64_t>> values = failure();
  int64_t result = 0;
  if (auto apply = dyn_cast<affine::AffineApplyOp>(op)) {
    if (failed(values = evaluate(apply.getAffineMap())))
      return failure();
    result = values->front();
  } else if (auto minOp = dyn_cast<affine::AffineMinOp>(op)) {
    if (failed(values = evaluate(minOp.getAffineMap())))
      return failure();
    result = *std::min_element(values->begin(), values->end());
  } else if (auto maxOp = dyn_cast<affine::AffineMaxOp>(op)) {
    if (failed(values = evaluate(maxOp.getAffineMap())))
      return failure();
    result = *std::max_element(values->begin(), values->end());
  } else {
    return unsupported(op);
  }
  return setResult(op, 0, Tensor::scalar(op->getResult(0).getType(), makeInt(result)), frame);
}

//===----------------------------------------------------------------------===//
// Bodies
//===----------------------------------------------------------------------===//

Body::Body(Interpreter::Impl &impl, Block &block, Frame &frame)
    : impl(impl), block(block), frame(frame) {
  arguments.assign(block.getNumArguments(), makeInt(0));
  results.assign(block.getTerminator()->getNumOperands(), makeInt(0));
  program = ScalarProgram::compile(block, impl.options.precision, [&](Value value) {
    auto it = frame.values.find(value);
    return it == frame.values.end() ? nullptr : std::get_if<Tensor>(&it->second);
  });
}

LogicalResult Body::run(ArrayRef<int64_t> position) {
  if (program) {
    for (auto [number, value] : llvm::enumerate(arguments))
      program->argument(number) = value;
    std::string error;
    if (Operation *op = program->run(position, error))
      return impl.fail(op, error);
    for (size_t i = 0; i < results.size(); ++i)
      results[i] = program->result(i);
    return success();
  }
  for (auto [argument, value] : llvm::zip(block.getArguments(), arguments)) {
    if (!getNumberKind(argument.getType()))
      return impl.unsupported(block.getParentOp());
    frame.values[argument] = Tensor::scalar(argument.getType(), value);
  }
  impl.positions.push_back(position);
  llvm::scope_exit leave([&] { impl.positions.pop_back(); });
  SmallVector<RuntimeValue> yielded;
  if (failed(impl.executeBlock(block, frame, yielded)))
    return failure();
  for (auto [result, value] : llvm::zip(results, yielded))
    result = std::get<Tensor>(value).at(0);
  return success();
}

} // namespace ingot::reference
