//===- ArtifactReader.h - an ingot as an input ------------------------------------*- C++ -*-===//
//
// An artifact holds what making another one takes: its phase form, the weights packed, tokenizer
// and sources' hashes. So `ingot-compile m.ingot --target=...` needs no checkpoint. Weights are
// packed for the plan and not for a processor: code changes, they are copied.
//
// The runtime has a reader of its own, which maps the file and believes nothing in it. This one
// reads pieces on demand and checks their hashes; what it hands out goes through the verifiers of
// MLIR and of the writer.
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_ARTIFACT_ARTIFACTREADER_H
#define INGOT_ARTIFACT_ARTIFACTREADER_H

#include "ingot/Artifact/SourceFiles.h"
#include "ingot/Schema/ingot_generated.h"
#include <memory>

namespace ingot::artifact {

class ArtifactReader {
public:
  /// Opens an artifact and checks preamble and head. Errors read "FILE: what, and what to do".
  static llvm::Expected<std::unique_ptr<ArtifactReader>> open(llvm::StringRef path);

  const std::string &getPath() const { return path; }
  const fb::Artifact &getHead() const { return *root; }
  /// The checked bytes of a segment; empty for -1.
  llvm::Expected<std::string> readSegment(int32_t segment) const;
  /// Fills `out` with the checked bytes of chunk `chunk` of the weights; any thread.
  llvm::Error readWeights(uint64_t chunk, llvm::MutableArrayRef<char> out) const;
  /// Bytes of the weights; 0 if there are none.
  uint64_t getWeightBytes() const;
  /// Whether the artifact is the file at `path`.
  bool isAt(llvm::StringRef path) const { return files.contains(path); }

private:
  explicit ArtifactReader(llvm::StringRef folder, llvm::StringRef path)
      : path(path), files(folder) {}
  llvm::Error readHead(llvm::StringRef name);
  llvm::Error readChunk(const fb::Segment &segment, uint64_t chunk,
                        llvm::MutableArrayRef<char> out) const;
  llvm::Error fail(const llvm::Twine &what) const;

  std::string path;
  SourceFiles files;
  std::vector<uint64_t> headBytes; ///< aligned as flatbuffers want it
  const fb::Artifact *root = nullptr;
  const fb::Segment *weights = nullptr;
};

} // namespace ingot::artifact

#endif // INGOT_ARTIFACT_ARTIFACTREADER_H
