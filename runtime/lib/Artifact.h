//===- Artifact.h - a mapped, checked artifact file ------------------------------------------===//
#ifndef INGOT_RUNTIME_ARTIFACT_H
#define INGOT_RUNTIME_ARTIFACT_H

#include "Support.h"
#include "ingot/Schema/ingot_generated.h"

#include <functional>
#include <string>
#include <vector>

namespace ingot {

/// The artifact file: mapped read-only, its head copied (so that what was checked is what is used,
/// whatever happens to the file afterwards).
class Artifact {
public:
  Artifact() = default;
  Artifact(const Artifact &) = delete;
  Artifact &operator=(const Artifact &) = delete;
  ~Artifact();

  /// Opens and maps the file, checks preamble and head (bytes, hash, flatbuffer, and every number
  /// in it against every other).
  Error open(const char *path);

  const fb::Artifact &root() const { return *fb::GetArtifact(head.data()); }
  const std::string &path() const { return filePath; }
  int descriptor() const { return fd; }
  uint64_t size() const { return length; }
  uint64_t headSize() const { return headLength; }
  uint32_t formatVersion() const { return version; }

  const char *segmentData(unsigned index) const {
    return static_cast<const char *>(mapping) + root().segments()->Get(index)->offset();
  }
  /// Whether what is not in memory is read from the disk by huge pages, and so ahead.
  bool readsAhead() const { return hugePages; }
  /// Hashes chunk `chunk` of a segment and compares.
  bool chunkIsIntact(unsigned segment, unsigned chunk) const;
  /// The error for a chunk that is not.
  Error changedChunk(unsigned segment, unsigned chunk) const;

private:
  Error readPreamble(uint64_t &headOffset);

  std::string filePath;
  int fd = -1;
  void *mapping = nullptr;
  bool hugePages = false;
  uint64_t length = 0;
  uint64_t headLength = 0;
  uint32_t version = 0;
  std::vector<uint64_t> head; // of words, for alignment
};

constexpr uint64_t kChunkBytes = 4 << 20;
constexpr uint64_t kSegmentAlignment = 4096;
constexpr uint32_t kFormatVersion = 1;
constexpr uint64_t kMaxHeadBytes = 64 << 20;
constexpr int64_t kPagePositions = 64;
constexpr int64_t kMaxPositions = INT32_MAX;

/// Checks every number of a head that the flatbuffers verifier has accepted. `headEnd` is where the
/// head ends in the file.
Error verifyArtifact(const fb::Artifact &artifact, const std::string &path, uint64_t headEnd,
                     uint64_t fileLength);

/// Bytes per element; 0 for None and for values that are no type.
uint64_t elementSize(fb::ElementType type);

} // namespace ingot

#endif // INGOT_RUNTIME_ARTIFACT_H
