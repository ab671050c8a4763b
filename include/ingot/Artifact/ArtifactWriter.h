//===- ArtifactWriter.h - writes an ingot -----------------------------------------*- C++ -*-===//
#ifndef INGOT_ARTIFACT_ARTIFACTWRITER_H
#define INGOT_ARTIFACT_ARTIFACTWRITER_H

#include "ingot/Artifact/ArtifactReader.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace ingot::artifact {

/// Where one kernel is in a target's code.
struct KernelCode {
  std::string name;         ///< of the plan.kernel
  uint64_t entry = 0;       ///< offset of its first instruction in the image
  uint64_t scratch = 0;     ///< bytes of per-thread scratch memory, at most 1 GiB
  uint32_t dividedRows = 0; ///< as the schema has it
};

/// The code for one kind of processor.
struct TargetCode {
  std::string name;                  ///< as given to --target, resolved ("x86-64-v4"); unique
  std::string arch;                  ///< "x86_64"
  std::vector<std::string> features; ///< extensions required, LLVM's names; sorted when written
  /// ELF shared object, file offsets equal to addresses, no imports and no relocations. Not owned.
  llvm::StringRef image;
  /// Every kernel that a program dispatches; more do no harm.
  std::vector<KernelCode> kernels;
};

/// Everything that decides the bytes of an artifact.
struct ArtifactInputs {
  /// With plan.kernels and plan.programs, as plan-buffers leaves them.
  mlir::ModuleOp module;
  /// Folder of the files that tfm.parameter names.
  std::string modelFolder;
  std::vector<TargetCode> targets; ///< best first; at least one
  llvm::StringRef tokenizer;       ///< bytes of the tokenizer segment; empty: none
  llvm::StringRef ir;              ///< phase form as MLIR bytecode; empty: none
  std::string producer;            ///< "ingot 0.1.0"
  /// Compile options that decided the content, as key and value.
  std::vector<std::pair<std::string, std::string>> options;
  /// Further files of the model's folder that decided the content, as "config.json". They and the
  /// files of the weights are recorded with their hashes.
  std::vector<std::string> sourceFiles;
  /// An artifact of the same module: weights are copied from it, and options and sources are the
  /// ones that it names. Not owned; null: weights are packed from the model's files.
  const ArtifactReader *packed = nullptr;
};

/// How to write it; the bytes do not depend on this.
struct WriteOptions {
  unsigned threads = 0; ///< 0: one per processor
  /// Called as work gets done, from one thread at a time: bytes read or written so far, and in all.
  std::function<void(uint64_t done, uint64_t total)> progress;
};

/// Writes an artifact to `path`. The file appears there when it is complete and durable; on any
/// error what stood there before stays as it is, and nothing else remains.
///
/// Weights are packed on the way, chunk by chunk: memory in use is some 10 MiB per thread, whatever
/// the size of the model. The same inputs give the same bytes.
///
/// Errors read "FILE: what (where)" for files, "@program: what (where)" for the module.
llvm::Error writeArtifact(const ArtifactInputs &inputs, llvm::StringRef path,
                          const WriteOptions &options = {});

} // namespace ingot::artifact

#endif // INGOT_ARTIFACT_ARTIFACTWRITER_H
