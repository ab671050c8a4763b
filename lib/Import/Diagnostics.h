//===- Diagnostics.h - the messages of one import ---------------------------------*- C++ -*-===//
#ifndef INGOT_LIB_IMPORT_DIAGNOSTICS_H
#define INGOT_LIB_IMPORT_DIAGNOSTICS_H

#include "ingot/Import/Import.h"
#include "mlir/Support/LLVM.h"
#include "llvm/ADT/Twine.h"
#include "llvm/Support/LogicalResult.h"

namespace ingot::importer {

/// Collects messages. The first error is the one that is reported; what follows from it is not, so
/// readers may go on with harmless values after an error and look at `failed` when they are done.
class Diagnostics {
public:
  Diagnostics(const ImportOptions &options, ImportReport &report)
      : strict(options.strict), report(report) {}

  llvm::LogicalResult error(const llvm::Twine &file, const llvm::Twine &text) {
    if (!hasFailed)
      add({true, file.str(), text.str()});
    hasFailed = true;
    return llvm::failure();
  }
  /// Something that was not understood and probably does not matter.
  void warning(const llvm::Twine &file, const llvm::Twine &text) {
    if (strict)
      (void)error(file, text + " (an error with --strict)");
    else if (!hasFailed)
      add({false, file.str(), text.str()});
  }
  bool failed() const { return hasFailed; }
  ImportReport &getReport() { return report; }

private:
  void add(ImportMessage message) {
    if (report.handler)
      report.handler(message);
    report.messages.push_back(std::move(message));
  }

  bool strict, hasFailed = false;
  ImportReport &report;
};

/// `text` in quotes, shortened, without control characters: names from files go into messages.
std::string quote(llvm::StringRef text);

} // namespace ingot::importer

#endif // INGOT_LIB_IMPORT_DIAGNOSTICS_H
