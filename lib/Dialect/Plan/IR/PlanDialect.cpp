//===- PlanDialect.cpp - the plan dialect -----------------------------------------------------===//

#include "ingot/Dialect/Plan/IR/PlanDialect.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectImplementation.h"
#include "mlir/Interfaces/FunctionImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace ingot::plan;

#include "ingot/Dialect/Plan/IR/PlanDialect.cpp.inc"
#include "ingot/Dialect/Plan/IR/PlanEnums.cpp.inc"
#define GET_ATTRDEF_CLASSES
#include "ingot/Dialect/Plan/IR/PlanAttrs.cpp.inc"

void PlanDialect::initialize() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "ingot/Dialect/Plan/IR/PlanAttrs.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "ingot/Dialect/Plan/IR/PlanOps.cpp.inc"
      >();
}

LogicalResult PanelsAttr::verify(function_ref<InFlightDiagnostic()> emitError, int64_t rows,
                                 int64_t parts, int64_t matrices) {
  if (parts < 1 || rows < 16 * parts || rows % (16 * parts))
    return emitError() << "expected panels of a multiple of 16 rows per part, got " << rows
                       << " rows in " << parts << " parts";
  if (matrices < 1)
    return emitError() << "expected at least 1 matrix, got " << matrices;
  return success();
}

LogicalResult ScheduleAttr::verify(function_ref<InFlightDiagnostic()> emitError, ScheduleKind kind,
                                   int64_t tileRows, int64_t tileVectors, int64_t keys) {
  if (tileRows < 1 || tileVectors < 1)
    return emitError() << "expected a tile of at least 1 x 1, got " << tileRows << " x "
                       << tileVectors;
  if (keys < 0 || (keys && kind != ScheduleKind::Attention))
    return emitError() << "expected keys in a schedule of attention alone, got " << keys;
  return success();
}

//===----------------------------------------------------------------------===//
// Kernels and programs
//===----------------------------------------------------------------------===//

template <typename OpTy>
static void buildFunctionLike(OpBuilder &builder, OperationState &state, StringRef name,
                              FunctionType type) {
  state.addAttribute(SymbolTable::getSymbolAttrName(), builder.getStringAttr(name));
  state.addAttribute(OpTy::getFunctionTypeAttrName(state.name), TypeAttr::get(type));
  state.addRegion();
}

template <typename OpTy>
static ParseResult parseFunctionLike(OpAsmParser &parser, OperationState &state) {
  auto buildType = [](Builder &builder, ArrayRef<Type> inputs, ArrayRef<Type> results,
                      function_interface_impl::VariadicFlag,
                      std::string &) { return builder.getFunctionType(inputs, results); };
  return function_interface_impl::parseFunctionOp(
      parser, state, /*allowVariadic=*/false, OpTy::getFunctionTypeAttrName(state.name), buildType,
      OpTy::getArgAttrsAttrName(state.name), OpTy::getResAttrsAttrName(state.name));
}

template <typename OpTy> static void printFunctionLike(OpTy op, OpAsmPrinter &printer) {
  function_interface_impl::printFunctionOp(printer, op, /*isVariadic=*/false,
                                           op.getFunctionTypeAttrName(), op.getArgAttrsAttrName(),
                                           op.getResAttrsAttrName());
}

void KernelOp::build(OpBuilder &builder, OperationState &state, StringRef name, FunctionType type) {
  buildFunctionLike<KernelOp>(builder, state, name, type);
}
ParseResult KernelOp::parse(OpAsmParser &parser, OperationState &state) {
  return parseFunctionLike<KernelOp>(parser, state);
}
void KernelOp::print(OpAsmPrinter &printer) { printFunctionLike(*this, printer); }

LogicalResult KernelOp::verify() {
  if (getBody().empty())
    return emitOpError("expected a body");
  auto yield = dyn_cast<YieldOp>(getBody().front().back());
  if (!yield || yield.getOperandTypes() != TypeRange(getResultTypes()))
    return emitOpError("expected plan.yield of the result types at the end of the body");
  return success();
}

void ProgramOp::build(OpBuilder &builder, OperationState &state, StringRef name,
                      FunctionType type) {
  buildFunctionLike<ProgramOp>(builder, state, name, type);
}
ParseResult ProgramOp::parse(OpAsmParser &parser, OperationState &state) {
  return parseFunctionLike<ProgramOp>(parser, state);
}
void ProgramOp::print(OpAsmPrinter &printer) { printFunctionLike(*this, printer); }

//===----------------------------------------------------------------------===//
// plan.dispatch
//===----------------------------------------------------------------------===//

static int64_t countDynamicDims(Type type) {
  auto shaped = dyn_cast<RankedTensorType>(type);
  return shaped ? shaped.getNumDynamicDims() : 0;
}

ValueRange DispatchOp::getSizesOf(unsigned index) {
  int64_t first = 0;
  for (Value output : getOutputs().take_front(index))
    first += countDynamicDims(output.getType());
  return getSizes().slice(first, countDynamicDims(getOutputs()[index].getType()));
}

LogicalResult DispatchOp::verify() {
  int64_t dims = 0;
  for (Type type : getOutputs().getTypes())
    dims += countDynamicDims(type);
  if (dims != int64_t(getSizes().size())) // dispatch_c2
    return emitOpError("expected ")
           << dims << " sizes, one per dynamic dimension of the results, got " << getSizes().size();
  if (getSlots() && getSlots()->size() != getNumResults())
    return emitOpError("expected one slot per result, got ") << getSlots()->size();
  size_t terms = getCostSizes().size();
  if ((getCostClasses() ? getCostClasses()->size() : 0) != terms ||
      (getCostCoefficients() ? getCostCoefficients()->size() : 0) != terms) // dispatch_c3
    return emitOpError("expected one class and one coefficient per cost size, got ")
           << terms << " sizes";
  return success();
}

void DispatchOp::build(OpBuilder &builder, OperationState &state, TypeRange outputs,
                       StringRef kernel, ValueRange inputs, ValueRange sizes) {
  build(builder, state, outputs, FlatSymbolRefAttr::get(builder.getContext(), kernel), inputs,
        sizes,
        /*grid=*/Value(), /*costSizes=*/ValueRange(), /*slots=*/DenseI32ArrayAttr(),
        /*costClasses=*/DenseI32ArrayAttr(), /*costCoefficients=*/DenseI64ArrayAttr());
}

LogicalResult DispatchOp::verifySymbolUses(SymbolTableCollection &symbols) {
  auto kernel = symbols.lookupNearestSymbolFrom<KernelOp>(*this, getKernelAttr());
  if (!kernel)
    return emitOpError("expected a plan.kernel named ") << getKernelAttr();
  if (TypeRange(kernel.getArgumentTypes()) != getInputs().getTypes() ||
      TypeRange(kernel.getResultTypes()) != getResultTypes()) // dispatch_c1
    return (emitOpError("expected the types of its kernel, got ")
            << getInputs().getTypes() << " -> " << getResultTypes())
               .attachNote(kernel.getLoc())
           << "the kernel has " << kernel.getFunctionType();
  return success();
}

//===----------------------------------------------------------------------===//
// plan.pack
//===----------------------------------------------------------------------===//

LogicalResult PackOp::verify() {
  auto result = cast<RankedTensorType>(getResult().getType());
  int64_t rows = 0;
  int64_t rank = result.getRank();
  bool fits = (rank == 2 || (rank == 1 && !getTransposed())) && !getSources().empty();
  for (Type source : getSources().getTypes()) {
    auto type = cast<RankedTensorType>(source);
    fits = fits && type.getRank() == rank && type.getElementType() == result.getElementType() &&
           (rank == 1 || type.getDimSize(getTransposed() ? 0 : 1) == result.getDimSize(1));
    if (fits)
      rows += type.getDimSize(getTransposed() ? 1 : 0);
  }
  if (!fits || rows != result.getDimSize(0)) // pack_c1
    return emitOpError("expected matrices that make up the rows of ")
           << result << ", got " << getSources().getTypes();
  return success();
}

#define GET_OP_CLASSES
#include "ingot/Dialect/Plan/IR/PlanOps.cpp.inc"
