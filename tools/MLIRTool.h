//===- MLIRTool.h - the face of tools whose options are MLIR's --------------------*- C++ -*-===//
#ifndef INGOT_TOOLS_MLIRTOOL_H
#define INGOT_TOOLS_MLIRTOOL_H

#include "llvm/Support/CommandLine.h"
#include "llvm/Support/raw_ostream.h"

namespace ingot {

/// Prepares help and version of the tool `name`; called before MLIR registers its options. What
/// LLVM's libraries have registered by then, and is not in `category`, has no say here: it is left
/// to --help-hidden.
inline void initTool(const char *name, const llvm::cl::OptionCategory *category = nullptr) {
  namespace cl = llvm::cl;
  for (auto &entry : cl::getRegisteredOptions())
    if (!category || !llvm::is_contained(entry.second->Categories, category))
      if (entry.second->getOptionHiddenFlag() == cl::NotHidden &&
          !llvm::is_contained({"help", "version", "help-list", "help-hidden"}, entry.first))
        entry.second->setHiddenFlag(cl::Hidden);
  cl::SetVersionPrinter([name](llvm::raw_ostream &out) {
    out << name << " " INGOT_VERSION " (LLVM " LLVM_VERSION_STRING ")\n";
  });
}

} // namespace ingot

#endif // INGOT_TOOLS_MLIRTOOL_H
