//===- ingot-opt.cpp - runs passes on MLIR text -----------------------------------------------===//

#include "ingot/Dialect/Plan/IR/PlanDialect.h"
#include "ingot/Dialect/Transformer/IR/TransformerDialect.h"
#include "ingot/Reference/Passes.h"
#include "ingot/Transforms/Passes.h"
#include "mlir/InitAllDialects.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"
#include "mlir/Transforms/Passes.h"

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  mlir::registerAllDialects(registry);
  registry.insert<ingot::tfm::TransformerDialect, ingot::plan::PlanDialect>();
  mlir::registerTransformsPasses();
  ingot::registerIngotPasses();
  ingot::reference::registerReferencePasses();
  return mlir::asMainReturnCode(mlir::MlirOptMain(argc, argv, "Ingot pass driver\n", registry));
}
