//===- InitAll.cpp - everything that a tool can read and run ----------------------------------===//

#include "ingot/InitAll.h"
#include "ingot/Dialect/Plan/IR/PlanDialect.h"
#include "ingot/Dialect/Transformer/IR/TransformerDialect.h"
#include "ingot/Reference/Passes.h"
#include "ingot/Transforms/Passes.h"
#include "mlir/InitAllDialects.h"
#include "mlir/Transforms/Passes.h"

void ingot::registerAllDialects(mlir::DialectRegistry &registry) {
  mlir::registerAllDialects(registry);
  registry.insert<tfm::TransformerDialect, plan::PlanDialect>();
}

void ingot::registerAllPasses() {
  mlir::registerTransformsPasses();
  registerIngotPasses();
  reference::registerReferencePasses();
}
