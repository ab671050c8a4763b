//===- Artifact.cpp - opening an artifact ----------------------------------------------------===//
#include "Artifact.h"
#include "ingot/kernel_abi.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

using namespace ingot;

namespace {
constexpr uint64_t kPreambleBytes = 64;
constexpr char kMagic[8] = {'\x89', 'I', 'N', 'G', 'O', 'T', '\r', '\n'};
/// A head is at most 64 MiB: no table in it is smaller than 8 bytes.
constexpr uint64_t kMaxTables = kMaxHeadBytes / 8;

template <typename T> T readAt(const void *base, size_t offset) {
  T value;
  memcpy(&value, static_cast<const char *>(base) + offset, sizeof value);
  return value;
}

/// Maps a whole file for reading, from a multiple of a huge page on, so that its huge pages can be
/// mapped as such.
void *mapFile(int fd, uint64_t length) {
  constexpr uint64_t kHugePageBytes = uint64_t(2) << 20;
  // Room for the file and for moving it up to where a huge page begins.
  void *room =
      mmap(nullptr, length + kHugePageBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (room == MAP_FAILED)
    return room;
  munmap(room, length + kHugePageBytes);
  // Only a wish: another thread may have taken the room.
  void *wish = reinterpret_cast<void *>(roundUp(reinterpret_cast<uintptr_t>(room), kHugePageBytes));
  return mmap(wish, length, PROT_READ, MAP_SHARED, fd, 0);
}
} // namespace

Artifact::~Artifact() {
  if (mapping)
    munmap(mapping, length);
  if (fd >= 0)
    close(fd);
}

Error Artifact::open(const char *path) {
  filePath = path;
  fd = ::open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return makeError(errno == ENOENT ? INGOT_NOT_FOUND : INGOT_IO, "%s: cannot be opened: %s", path,
                     strerror(errno));
  struct stat status;
  if (fstat(fd, &status) != 0)
    return makeError(INGOT_IO, "%s: cannot be examined: %s", path, strerror(errno));
  if (!S_ISREG(status.st_mode))
    return makeError(INGOT_IO, "%s: not a regular file", path);
  length = static_cast<uint64_t>(status.st_size);
  if (length < kPreambleBytes)
    return makeError(INGOT_CORRUPT, "%s: not an ingot artifact: only %llu bytes long", path,
                     static_cast<unsigned long long>(length));
  void *address = mapFile(fd, length);
  if (address == MAP_FAILED)
    return makeError(INGOT_IO, "%s: cannot be mapped: %s", path, strerror(errno));
  mapping = address;
  hugePages = madvise(address, length, MADV_HUGEPAGE) == 0;

  uint64_t headOffset = 0;
  INGOT_TRY(readPreamble(headOffset));
  flatbuffers::Verifier verifier(reinterpret_cast<const uint8_t *>(head.data()), headLength,
                                 /*max_depth=*/64, kMaxTables);
  if (!fb::VerifyArtifactBuffer(verifier))
    return makeError(INGOT_CORRUPT, "%s: head: malformed flatbuffer", path);
  INGOT_TRY(verifyArtifact(root(), filePath, headOffset + headLength, length));

  // Between head and segments there is nothing but zeros: then every byte of the file is covered.
  uint64_t at = headOffset + headLength;
  const char *bytes = static_cast<const char *>(mapping);
  auto gapIsZero = [&](uint64_t end) {
    for (; at < end; ++at)
      if (bytes[at])
        return false;
    return true;
  };
  for (const fb::Segment *segment : *root().segments()) {
    if (!gapIsZero(segment->offset()))
      return makeError(INGOT_CORRUPT, "%s: changed bytes before offset %llu", path,
                       static_cast<unsigned long long>(segment->offset()));
    at = segment->offset() + segment->length();
  }
  if (!gapIsZero(length))
    return makeError(INGOT_CORRUPT, "%s: unexpected bytes after the last segment", path);
  return nullptr;
}

Error Artifact::readPreamble(uint64_t &headOffset) {
  const char *path = filePath.c_str();
  if (memcmp(mapping, kMagic, sizeof kMagic) != 0)
    return makeError(INGOT_CORRUPT, "%s: not an ingot artifact", path);
  version = readAt<uint32_t>(mapping, 8);
  uint32_t abi = readAt<uint32_t>(mapping, 12);
  // The hash comes first: a flipped bit in the version is damage, not another version.
  if (XXH3_64bits(mapping, 56) != readAt<uint64_t>(mapping, 56))
    return makeError(INGOT_CORRUPT, "%s: the first bytes were changed", path);
  if (version != kFormatVersion)
    return makeError(INGOT_UNSUPPORTED,
                     "%s: format version %u, but this runtime reads version %u; compile again",
                     path, version, kFormatVersion);
  if (abi != INGOT_KERNEL_ABI_VERSION)
    return makeError(INGOT_UNSUPPORTED,
                     "%s: kernel ABI version %u, but this runtime has version %u; compile again",
                     path, abi, INGOT_KERNEL_ABI_VERSION);
  uint64_t fileLength = readAt<uint64_t>(mapping, 40);
  if (fileLength != length)
    return makeError(INGOT_CORRUPT, "%s: %s: expected %llu bytes, got %llu", path,
                     fileLength > length ? "truncated" : "longer than written",
                     static_cast<unsigned long long>(fileLength),
                     static_cast<unsigned long long>(length));
  headOffset = readAt<uint64_t>(mapping, 16);
  headLength = readAt<uint64_t>(mapping, 24);
  if (headOffset != kPreambleBytes || headLength < 8 || headLength >= kMaxHeadBytes ||
      headLength > length - headOffset || readAt<uint64_t>(mapping, 48) != 0)
    return makeError(INGOT_CORRUPT, "%s: preamble: head of %llu bytes at %llu does not fit", path,
                     static_cast<unsigned long long>(headLength),
                     static_cast<unsigned long long>(headOffset));
  head.resize((headLength + 7) / 8);
  memcpy(head.data(), static_cast<const char *>(mapping) + headOffset, headLength);
  if (XXH3_64bits(head.data(), headLength) != readAt<uint64_t>(mapping, 32))
    return makeError(INGOT_CORRUPT, "%s: head: hash differs, the file was changed", path);
  return nullptr;
}

bool Artifact::chunkIsIntact(unsigned segment, unsigned chunk) const {
  const fb::Segment *info = root().segments()->Get(segment);
  uint64_t begin = chunk * kChunkBytes;
  uint64_t bytes = std::min(kChunkBytes, info->length() - begin);
  return XXH3_64bits(segmentData(segment) + begin, bytes) == info->hashes()->Get(chunk);
}

Error Artifact::changedChunk(unsigned segment, unsigned chunk) const {
  const fb::Segment *info = root().segments()->Get(segment);
  return makeError(INGOT_CORRUPT, "%s: segment %u (%s): bytes from offset %llu on were changed",
                   filePath.c_str(), segment, fb::EnumNameSegmentKind(info->kind()),
                   static_cast<unsigned long long>(info->offset() + chunk * kChunkBytes));
}

uint64_t ingot::elementSize(fb::ElementType type) {
  switch (type) {
  case fb::ElementType::None:
    return 0;
  case fb::ElementType::I1:
  case fb::ElementType::I8:
  case fb::ElementType::U8:
    return 1;
  case fb::ElementType::F16:
  case fb::ElementType::BF16:
  case fb::ElementType::I16:
    return 2;
  case fb::ElementType::F32:
  case fb::ElementType::I32:
    return 4;
  case fb::ElementType::F64:
  case fb::ElementType::I64:
    return 8;
  }
  return 0;
}

size_t ingot_element_size(ingot_element_type type) {
  return elementSize(static_cast<fb::ElementType>(type));
}

const char *ingot_element_name(ingot_element_type type) {
  static const char *const names[] = {"none", "f32", "f64", "f16", "bf16", "i1",
                                      "i8",   "u8",  "i16", "i32", "i64"};
  return type >= 0 && type <= INGOT_I64 ? names[type] : names[0];
}
