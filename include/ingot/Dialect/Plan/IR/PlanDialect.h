//===- PlanDialect.h - the plan dialect -------------------------------------------*- C++ -*-===//
#ifndef INGOT_DIALECT_PLAN_IR_PLANDIALECT_H
#define INGOT_DIALECT_PLAN_IR_PLANDIALECT_H

#include "ingot/Dialect/Transformer/IR/TransformerDialect.h"
#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/CallInterfaces.h"
#include "mlir/Interfaces/ControlFlowInterfaces.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include "ingot/Dialect/Plan/IR/PlanDialect.h.inc"
#include "ingot/Dialect/Plan/IR/PlanEnums.h.inc"
#define GET_ATTRDEF_CLASSES
#include "ingot/Dialect/Plan/IR/PlanAttrs.h.inc"
#define GET_OP_CLASSES
#include "ingot/Dialect/Plan/IR/PlanOps.h.inc"

namespace ingot::plan {

/// Argument and result attributes of programs.
inline constexpr llvm::StringLiteral kNameAttr = "plan.name";
inline constexpr llvm::StringLiteral kGroupAttr = "plan.group";
inline constexpr llvm::StringLiteral kOffsetAttr = "plan.offset";

} // namespace ingot::plan

#endif // INGOT_DIALECT_PLAN_IR_PLANDIALECT_H
