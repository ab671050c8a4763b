//===- OutputFile.h - a file that appears when it is complete ---------------------*- C++ -*-===//
#ifndef INGOT_ARTIFACT_OUTPUTFILE_H
#define INGOT_ARTIFACT_OUTPUTFILE_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include <cstdint>
#include <memory>
#include <string>

namespace ingot::artifact {

/// A file under construction. What stood at its path before stays until commit() replaces it in one
/// step; without a commit nothing remains. Where the file system can, the file has no name before,
/// so that even a killed process leaves nothing; elsewhere it is PATH.tmp-XXXXXX, which is removed
/// by the destructor and by signals.
///
/// Errors read "PATH: what (why)". write() may be called from several threads at once.
class OutputFile {
public:
  /// Starts a file in the folder of `path`. Fails if that cannot be written to, or if something
  /// other than a regular file stands at `path`. `nameless` = false chooses the named form even
  /// where the other is possible.
  static llvm::Expected<std::unique_ptr<OutputFile>> create(llvm::StringRef path,
                                                            bool nameless = true);
  ~OutputFile();
  OutputFile(const OutputFile &) = delete;
  OutputFile &operator=(const OutputFile &) = delete;

  /// Makes the file `length` bytes of zeros. Takes the space on the disk where the file system can,
  /// so that a full disk is seen before any work is done.
  llvm::Error resize(uint64_t length);

  /// Writes `bytes` at `offset`.
  llvm::Error write(uint64_t offset, llvm::ArrayRef<char> bytes);

  /// Makes the content durable and gives it the name.
  llvm::Error commit();

  llvm::StringRef getPath() const { return path; }

private:
  OutputFile(llvm::StringRef path) : path(path) {}
  llvm::Error fail(const llvm::Twine &what, int error) const;
  llvm::Error openNamed();
  llvm::Error nameIt(llvm::function_ref<bool(const char *name)> make);
  void removeTemporary();

  std::string path;
  std::string temporary; ///< empty while the file has no name
  int fd = -1;
};

} // namespace ingot::artifact

#endif // INGOT_ARTIFACT_OUTPUTFILE_H
