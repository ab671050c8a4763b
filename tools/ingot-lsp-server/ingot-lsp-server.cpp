//===- ingot-lsp-server.cpp - MLIR's language server, for Ingot's dialects --------------------===//

#include "ingot/InitAll.h"
#include "mlir/IR/DialectRegistry.h"
#include "mlir/Tools/mlir-lsp-server/MlirLspServerMain.h"
#include "llvm/Support/LogicalResult.h"

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  ingot::registerAllDialects(registry);
  return failed(mlir::MlirLspServerMain(argc, argv, registry));
}
