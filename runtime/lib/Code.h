//===- Code.h - kernels in memory, and their names for gdb and perf --------------------------===//
#ifndef INGOT_RUNTIME_CODE_H
#define INGOT_RUNTIME_CODE_H

#include "Artifact.h"
#include "ingot/kernel_abi.h"

#include <memory>
#include <vector>

namespace ingot {

/// The code of one target, executable. Mapped read+execute straight from the file; where the file
/// system forbids that, copied to memory that is writable first and executable afterwards, never
/// both.
class Code {
public:
  Code();
  Code(const Code &) = delete;
  Code &operator=(const Code &) = delete;
  ~Code();

  /// `perfMap`: perf finds names only for code outside of files, so this copies as well.
  Error load(const Artifact &artifact, unsigned target, bool perfMap);

  ingot_kernel_fn kernel(unsigned index) const { return kernels[index]; }
  bool isCopied() const { return copied; }
  uint64_t size() const { return length; }

private:
  Error map(const Artifact &artifact, const fb::Segment &segment, bool copy);
  void registerWithDebugger(const Artifact &artifact, const fb::Target &target);
  void writePerfMap(const Artifact &artifact, const fb::Target &target) const;
  /// Bytes from an entry to the next one.
  uint64_t kernelSize(const fb::Target &target, unsigned index) const;

  void *memory = nullptr;
  uint64_t length = 0;
  bool copied = false;
  std::vector<ingot_kernel_fn> kernels;
  struct DebuggerEntry;
  std::unique_ptr<DebuggerEntry> debuggerEntry;
};

} // namespace ingot

#endif // INGOT_RUNTIME_CODE_H
