//===- ingot-lsp-server.cpp - MLIR's language server, for Ingot's dialects ------------------===//

#include "../MLIRTool.h"
#include "ingot/InitAll.h"
#include "mlir/IR/DialectRegistry.h"
#include "mlir/Tools/mlir-lsp-server/MlirLspServerMain.h"
#include "llvm/Support/LogicalResult.h"

static llvm::cl::extrahelp examples(R"(
An editor starts it and talks with it on standard input and output: definitions, uses, hover and
diagnostics in .mlir files. Examples:
  vim.lsp.start({ name = "ingot", cmd = { "ingot-lsp-server" } })          Neovim
  "mlir.server_path": "build/bin/ingot-lsp-server"                         the MLIR extension of VS Code
  ingot-lsp-server --lit-test < requests.test                              requests in a file
)");

int main(int argc, char **argv) {
  ingot::initTool("ingot-lsp-server");
  mlir::DialectRegistry registry;
  ingot::registerAllDialects(registry);
  return failed(mlir::MlirLspServerMain(argc, argv, registry));
}
