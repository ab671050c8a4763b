//===- ArtifactReader.cpp - an ingot as an input ----------------------------------------------===//

#include "ingot/Artifact/ArtifactReader.h"
#include "ingot/Artifact/Format.h"
#include "ingot/kernel_abi.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/Path.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

using namespace ingot;
using namespace ingot::artifact;
namespace endian = llvm::support::endian;

llvm::Error ArtifactReader::fail(const llvm::Twine &what) const {
  return llvm::createStringError(llvm::Twine(path) + ": " + what);
}

llvm::Expected<std::unique_ptr<ArtifactReader>> ArtifactReader::open(llvm::StringRef path) {
  llvm::StringRef folder = llvm::sys::path::parent_path(path);
  std::unique_ptr<ArtifactReader> reader(new ArtifactReader(folder.empty() ? "." : folder, path));
  if (llvm::Error error = reader->readHead(llvm::sys::path::filename(path)))
    return std::move(error);
  return std::move(reader);
}

llvm::Error ArtifactReader::readHead(llvm::StringRef name) {
  llvm::Expected<unsigned> file = files.open(name);
  if (!file)
    return file.takeError();
  char preamble[kPreambleBytes] = {};
  uint64_t length = files.getLength(0);
  if (length < kPreambleBytes)
    return fail("not an ingot artifact");
  if (llvm::Error error = files.read(0, 0, preamble))
    return error;
  if (memcmp(preamble, kMagic, sizeof kMagic) != 0)
    return fail("not an ingot artifact");
  if (XXH3_64bits(preamble, 56) != endian::read64le(preamble + 56))
    return fail("the first bytes were changed");
  if (endian::read32le(preamble + 8) != kFormatVersion)
    return fail("format version " + llvm::Twine(endian::read32le(preamble + 8)) +
                ", this compiler reads version " + llvm::Twine(kFormatVersion) +
                "; compile the checkpoint again");
  uint64_t head = endian::read64le(preamble + 24);
  if (endian::read64le(preamble + 40) != length || head < 8 || head >= kMaxHeadBytes ||
      head > length - kPreambleBytes)
    return fail("truncated, or longer than written");
  headBytes.resize(llvm::divideCeil(head, 8));
  auto *bytes = reinterpret_cast<char *>(headBytes.data());
  if (llvm::Error error = files.read(0, kPreambleBytes, {bytes, size_t(head)}))
    return error;
  flatbuffers::Verifier verifier(reinterpret_cast<const uint8_t *>(bytes), head, /*max_depth=*/64,
                                 /*max_tables=*/1 << 24);
  if (XXH3_64bits(bytes, head) != endian::read64le(preamble + 32) ||
      !fb::VerifyArtifactBuffer(verifier))
    return fail("head: hash differs, the file was changed");
  root = fb::GetArtifact(bytes);

  if (!root->segments())
    return fail("head: no segments");
  for (const fb::Segment *segment : *root->segments()) {
    uint64_t chunks = llvm::divideCeil(segment->length(), kChunkBytes);
    if (segment->offset() > length || segment->length() > length - segment->offset() ||
        chunks != (segment->hashes() ? segment->hashes()->size() : 0))
      return fail("head: a segment that does not fit");
    if (segment->kind() == fb::SegmentKind::Weights)
      weights = segment;
  }
  return llvm::Error::success();
}

llvm::Error ArtifactReader::readChunk(const fb::Segment &segment, uint64_t chunk,
                                      llvm::MutableArrayRef<char> out) const {
  if (llvm::Error error = files.read(0, segment.offset() + chunk * kChunkBytes, out))
    return error;
  if (XXH3_64bits(out.data(), out.size()) != segment.hashes()->Get(unsigned(chunk)))
    return fail("hash differs at " + llvm::Twine(segment.offset() + chunk * kChunkBytes) +
                ", the file was changed");
  return llvm::Error::success();
}

llvm::Expected<std::string> ArtifactReader::readSegment(int32_t index) const {
  std::string content;
  if (index < 0)
    return content;
  if (unsigned(index) >= root->segments()->size())
    return fail("head: segment " + llvm::Twine(index) + " does not exist");
  const fb::Segment &segment = *root->segments()->Get(unsigned(index));
  content.resize(segment.length());
  for (uint64_t at = 0; at < content.size(); at += kChunkBytes)
    if (llvm::Error error =
            readChunk(segment, at / kChunkBytes,
                      {content.data() + at, std::min<size_t>(kChunkBytes, content.size() - at)}))
      return std::move(error);
  return content;
}

llvm::Error ArtifactReader::readWeights(uint64_t chunk, llvm::MutableArrayRef<char> out) const {
  return readChunk(*weights, chunk, out);
}

uint64_t ArtifactReader::getWeightBytes() const { return weights ? weights->length() : 0; }
