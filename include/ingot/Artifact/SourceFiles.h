//===- SourceFiles.h - the files that weights are read from -----------------------*- C++ -*-===//
#ifndef INGOT_ARTIFACT_SOURCEFILES_H
#define INGOT_ARTIFACT_SOURCEFILES_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include <cstdint>
#include <string>
#include <vector>

namespace ingot::artifact {

/// Files of a model's folder, open for reading at any place from any thread.
///
/// They are read and not mapped: a file that another process truncates, or a disk that fails, is
/// then an error and not a signal, and nothing of a checkpoint stays in this process's memory.
///
/// Errors read "FILE: what (where)".
class SourceFiles {
public:
  /// `folder` is the model's folder; names are relative to it.
  explicit SourceFiles(llvm::StringRef folder) : folder(folder) {}
  ~SourceFiles();
  SourceFiles(const SourceFiles &) = delete;
  SourceFiles &operator=(const SourceFiles &) = delete;

  /// Opens a file, once. Fails if there is none, if it is not a regular file, or if `name` leads
  /// out of the folder. Returns its number.
  llvm::Expected<unsigned> open(llvm::StringRef name);

  /// Fails unless the file is long enough for `length` bytes at `offset`; `user` names what needs
  /// them.
  llvm::Error checkRange(unsigned file, uint64_t offset, uint64_t length,
                         llvm::StringRef user) const;

  /// Fills `out` with the bytes at `offset`.
  llvm::Error read(unsigned file, uint64_t offset, llvm::MutableArrayRef<char> out) const;

  /// XXH3-64 of the content.
  llvm::Expected<uint64_t> hash(unsigned file) const;

  unsigned size() const { return unsigned(files.size()); }
  llvm::StringRef getName(unsigned file) const { return files[file].name; }
  uint64_t getLength(unsigned file) const { return files[file].length; }
  /// Whether one of the open files is the one at `path`.
  bool contains(llvm::StringRef path) const;

private:
  struct File {
    std::string name;
    int fd;
    uint64_t length;
    uint64_t device, inode;
  };
  llvm::Error fail(llvm::StringRef name, const llvm::Twine &what) const;

  std::string folder;
  std::vector<File> files;
  llvm::StringMap<unsigned> numbers;
};

} // namespace ingot::artifact

#endif // INGOT_ARTIFACT_SOURCEFILES_H
