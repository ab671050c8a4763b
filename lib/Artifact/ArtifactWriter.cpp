//===- ArtifactWriter.cpp - writes an ingot ---------------------------------------------------===//
//
// The head stands before the segments and holds their hashes, so it is written last; its size is
// known from the start because every number in it that is not yet known takes the same room.
//
//===----------------------------------------------------------------------------------------===//

#include "ingot/Artifact/ArtifactWriter.h"
#include "Tables.h"
#include "ingot/Artifact/Format.h"
#include "ingot/Artifact/ModuleTables.h"
#include "ingot/Artifact/OutputFile.h"
#include "ingot/Dialect/Plan/Utils/KernelInterface.h"
#include "ingot/kernel_abi.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/Threading.h"
#include "llvm/Support/thread.h"
#include <atomic>
#include <mutex>

#define XXH_INLINE_ALL
#include <xxhash.h>

using namespace ingot;
using namespace ingot::artifact;

static_assert(plan::kPagePositions == INGOT_PAGE_POSITIONS);

namespace {

/// Runs tasks 0 .. count - 1 on several threads, which take them in order. After an error no
/// further task starts. The error of the lowest task that fails is returned: the same one for any
/// number of threads.
llvm::Error runTasks(size_t count, unsigned threads,
                     llvm::function_ref<std::function<llvm::Error(size_t)>()> makeWorker) {
  std::atomic<size_t> next{0};
  std::atomic<bool> failed{false};
  std::mutex mutex;
  size_t failedTask = count;
  std::string message;
  auto work = [&] {
    std::function<llvm::Error(size_t)> worker = makeWorker();
    while (!failed) {
      size_t task = next++;
      if (task >= count)
        return;
      if (llvm::Error error = worker(task)) {
        std::lock_guard<std::mutex> lock(mutex);
        std::string text = llvm::toString(std::move(error));
        if (task < failedTask) {
          failedTask = task;
          message = std::move(text);
        }
        failed = true;
      }
    }
  };
  if (threads == 0)
    threads = llvm::hardware_concurrency().compute_thread_count();
  std::vector<llvm::thread> others;
  for (size_t i = 1; i < std::min<size_t>(threads, count); ++i)
    others.emplace_back(work);
  work();
  for (llvm::thread &thread : others)
    thread.join();
  if (failed)
    return llvm::createStringError(message);
  return llvm::Error::success();
}

class ArtifactWriter {
public:
  ArtifactWriter(const ArtifactInputs &inputs, const WriteOptions &options)
      : inputs(inputs), options(options), files(inputs.modelFolder) {}

  llvm::Error write(llvm::StringRef path);

private:
  /// A segment's content: bytes in memory, or (null) the weights.
  struct Content {
    const char *bytes;
    uint64_t length;
  };

  llvm::Error addTargets();
  llvm::Error addSources();
  llvm::Error adoptPacked();
  void addWeights(uint32_t segment);
  unsigned addSegment(fb::SegmentKind kind, llvm::StringRef bytes);
  std::string buildHead();
  llvm::Error writeSegments(OutputFile &output);
  llvm::Error writeHead(OutputFile &output, uint64_t headBytes);
  void advance(uint64_t bytes);

  const ArtifactInputs &inputs;
  const WriteOptions &options;
  ModuleTables tables;
  SourceFiles files;
  std::optional<WeightPacker> packer;
  std::vector<Content> contents; ///< per segment
  uint64_t fileLength = 0;

  std::mutex progressMutex;
  uint64_t done = 0, total = 0;
};

} // namespace

//===----------------------------------------------------------------------===//
// The head
//===----------------------------------------------------------------------===//

/// A placeholder for what is not known yet. Flatbuffers leave out zeros, so it must not be one.
static constexpr uint64_t kUnknown = ~uint64_t(0);

unsigned ArtifactWriter::addSegment(fb::SegmentKind kind, llvm::StringRef bytes) {
  auto segment = std::make_unique<fb::SegmentT>();
  segment->kind = kind;
  segment->offset = kUnknown;
  segment->length = bytes.size();
  segment->hashes.assign((bytes.size() + kChunkBytes - 1) / kChunkBytes, kUnknown);
  contents.push_back({bytes.data(), bytes.size()});
  tables.head.segments.push_back(std::move(segment));
  return unsigned(contents.size() - 1);
}

llvm::Error ArtifactWriter::addTargets() {
  if (inputs.targets.empty())
    return makeError("expected code for at least one target");
  llvm::StringSet<> names;
  for (const TargetCode &code : inputs.targets) {
    auto fail = [&](auto... what) { return makeError("target ", code.name, ": ", what...); };
    if (!names.insert(code.name).second || code.name.empty() || code.arch.empty())
      return fail("expected a unique name and an architecture");
    if (code.image.empty())
      return fail("expected an image of its code");
    auto target = std::make_unique<fb::TargetT>();
    target->name = code.name;
    target->arch = code.arch;
    target->features = code.features;
    llvm::sort(target->features);
    target->segment = addSegment(fb::SegmentKind::Code, code.image);
    llvm::StringMap<const KernelCode *> kernels;
    for (const KernelCode &kernel : code.kernels)
      kernels[kernel.name] = &kernel;
    for (const auto &kernel : tables.head.kernels) {
      const KernelCode *found = kernels.lookup(kernel->name);
      if (!found)
        return fail("expected code for kernel ", kernel->name);
      if (found->entry >= code.image.size() || found->scratch > uint64_t(1) << 30)
        return fail("kernel ", kernel->name, ": impossible entry ", found->entry, " or scratch ",
                    found->scratch);
      target->entries.push_back(found->entry);
      target->scratch.push_back(found->scratch);
      target->divided_rows.push_back(found->dividedRows);
    }
    tables.head.targets.push_back(std::move(target));
  }
  return llvm::Error::success();
}

void ArtifactWriter::addWeights(uint32_t segment) {
  for (const Weight &weight : tables.weights) {
    auto entry = std::make_unique<fb::WeightT>();
    entry->name = weight.name;
    entry->segment = segment;
    entry->offset = weight.offset;
    entry->length = weight.length;
    entry->type = weight.type;
    entry->shape = weight.shape;
    entry->layout = weight.layout;
    tables.head.weights.push_back(std::move(entry));
  }
}

/// Takes over what another artifact says of its sources, if it holds the very weights that this one
/// needs: the same tensors in the same layout at the same place.
llvm::Error ArtifactWriter::adoptPacked() {
  const fb::Artifact &head = inputs.packed->getHead();
  unsigned count = head.weights() ? head.weights()->size() : 0;
  auto text = [](const fb::WeightT &weight) {
    flatbuffers::FlatBufferBuilder builder;
    builder.Finish(fb::Weight::Pack(builder, &weight));
    auto bytes = builder.GetBufferSpan();
    return std::string(bytes.begin(), bytes.end());
  };
  bool same =
      count == tables.head.weights.size() && inputs.packed->getWeightBytes() == packer->getLength();
  for (unsigned i = 0; same && i < count; ++i) {
    std::unique_ptr<fb::WeightT> theirs(head.weights()->Get(i)->UnPack());
    theirs->segment = tables.head.weights[i]->segment;
    same = text(*theirs) == text(*tables.head.weights[i]);
  }
  if (!same)
    return makeError(inputs.packed->getPath(),
                     ": its weights are packed for another plan than this compiler makes; compile "
                     "the checkpoint again");
  auto copy = [](const auto *from, auto &to) {
    for (unsigned i = 0; from && i < from->size(); ++i)
      to.emplace_back(from->Get(i)->UnPack());
  };
  copy(head.sources(), tables.head.sources);
  copy(head.options(), tables.head.options);
  return llvm::Error::success();
}

/// Opens every file that the content comes from, and records them, sorted by name.
llvm::Error ArtifactWriter::addSources() {
  for (const std::string &name : inputs.sourceFiles) {
    llvm::Expected<unsigned> number = files.open(name);
    if (!number)
      return number.takeError();
  }
  std::vector<std::string> names;
  for (unsigned file = 0; file < files.size(); ++file)
    names.push_back(files.getName(file).str());
  llvm::sort(names);
  auto addEntry = [](auto &entries, llvm::StringRef key, llvm::StringRef value) {
    auto entry = std::make_unique<fb::EntryT>();
    entry->key = key.str();
    entry->value = value.str();
    entries.push_back(std::move(entry));
  };
  for (const std::string &name : names)
    addEntry(tables.head.sources, name, std::string(16, '?'));
  std::vector<std::pair<std::string, std::string>> sorted = inputs.options;
  llvm::sort(sorted);
  for (const auto &[key, value] : sorted)
    addEntry(tables.head.options, key, value);
  return llvm::Error::success();
}

std::string ArtifactWriter::buildHead() {
  flatbuffers::FlatBufferBuilder builder;
  builder.Finish(fb::Artifact::Pack(builder, &tables.head));
  return std::string(reinterpret_cast<const char *>(builder.GetBufferPointer()), builder.GetSize());
}

llvm::Error ArtifactWriter::writeHead(OutputFile &output, uint64_t headBytes) {
  std::string head = buildHead();
  if (head.size() != headBytes)
    return makeError(output.getPath(), ": internal error: the head grew from ", headBytes, " to ",
                     head.size(), " bytes");
  using namespace llvm::support;
  char preamble[kPreambleBytes] = {};
  memcpy(preamble, kMagic, sizeof kMagic);
  endian::write32le(preamble + 8, kFormatVersion);
  endian::write32le(preamble + 12, INGOT_KERNEL_ABI_VERSION);
  endian::write64le(preamble + 16, kPreambleBytes);
  endian::write64le(preamble + 24, head.size());
  endian::write64le(preamble + 32, XXH3_64bits(head.data(), head.size()));
  endian::write64le(preamble + 40, fileLength);
  endian::write64le(preamble + 56, XXH3_64bits(preamble, 56));
  if (llvm::Error error = output.write(0, preamble))
    return error;
  return output.write(kPreambleBytes, head);
}

//===----------------------------------------------------------------------===//
// The segments
//===----------------------------------------------------------------------===//

void ArtifactWriter::advance(uint64_t bytes) {
  if (!options.progress)
    return;
  std::lock_guard<std::mutex> lock(progressMutex);
  done += bytes;
  options.progress(done, total);
}

/// Fills in the hashes of segments and sources. A task is a chunk of a segment or a source file;
/// the files come last, when the weights have brought them into the page cache.
llvm::Error ArtifactWriter::writeSegments(OutputFile &output) {
  struct Task {
    unsigned segment;
    uint64_t chunk;
  };
  std::vector<Task> tasks;
  for (auto [segment, content] : llvm::enumerate(contents)) {
    total += content.length;
    for (uint64_t chunk = 0; chunk * kChunkBytes < content.length; ++chunk)
      tasks.push_back({unsigned(segment), chunk});
  }
  for (unsigned file = 0; file < files.size(); ++file)
    total += files.getLength(file);

  auto writeChunk = [&](const Task &task, WeightPacker::Buffers &buffers) -> llvm::Error {
    fb::SegmentT &segment = *tables.head.segments[task.segment];
    const Content &content = contents[task.segment];
    uint64_t begin = task.chunk * kChunkBytes;
    uint64_t size = std::min(kChunkBytes, content.length - begin);
    llvm::ArrayRef<char> bytes;
    if (content.bytes) {
      bytes = {content.bytes + begin, size_t(size)};
    } else if (inputs.packed) {
      buffers.chunk.resize(size);
      if (llvm::Error error = inputs.packed->readWeights(task.chunk, buffers.chunk))
        return error;
      bytes = buffers.chunk;
    } else {
      llvm::Expected<llvm::ArrayRef<char>> packed = packer->pack(begin, size, buffers);
      if (!packed)
        return packed.takeError();
      bytes = *packed;
    }
    segment.hashes[task.chunk] = XXH3_64bits(bytes.data(), bytes.size());
    if (llvm::Error error = output.write(segment.offset + begin, bytes))
      return error;
    advance(size);
    return llvm::Error::success();
  };
  auto hashFile = [&](unsigned file) -> llvm::Error {
    llvm::Expected<uint64_t> hash = files.hash(file);
    if (!hash)
      return hash.takeError();
    for (auto &entry : tables.head.sources)
      if (entry->key == files.getName(file))
        entry->value = llvm::utohexstr(*hash, /*LowerCase=*/true, /*Width=*/16);
    advance(files.getLength(file));
    return llvm::Error::success();
  };
  return runTasks(tasks.size() + files.size(), options.threads, [&] {
    auto buffers = std::make_shared<WeightPacker::Buffers>();
    return [&, buffers](size_t task) {
      return task < tasks.size() ? writeChunk(tasks[task], *buffers)
                                 : hashFile(unsigned(task - tasks.size()));
    };
  });
}

llvm::Error ArtifactWriter::write(llvm::StringRef path) {
  llvm::Expected<ModuleTables> built = buildModuleTables(inputs.module);
  if (!built)
    return built.takeError();
  tables = std::move(*built);
  packer.emplace(tables.weights, files);
  if (!inputs.packed)
    if (llvm::Error error = packer->open())
      return error;
  if (llvm::Error error = addTargets())
    return error;
  if (!inputs.tokenizer.empty())
    tables.head.tokenizer = int32_t(addSegment(fb::SegmentKind::Tokenizer, inputs.tokenizer));
  if (!inputs.ir.empty())
    tables.head.ir = int32_t(addSegment(fb::SegmentKind::IR, inputs.ir));
  if (packer->getLength())
    addWeights(addSegment(fb::SegmentKind::Weights, {nullptr, size_t(packer->getLength())}));
  if (llvm::Error error = inputs.packed ? adoptPacked() : addSources())
    return error;
  if (files.contains(path) || (inputs.packed && inputs.packed->isAt(path)))
    return makeError(path, ": cannot be written (it is an input)");
  tables.head.producer = inputs.producer;

  uint64_t headBytes = buildHead().size();
  if (headBytes >= kMaxHeadBytes)
    return makeError(path, ": cannot be written (the plan takes ", headBytes,
                     " bytes, an artifact holds fewer than ", kMaxHeadBytes, ")");
  fileLength = kPreambleBytes + headBytes;
  for (auto &segment : tables.head.segments) {
    bool isLong = segment->length >= kLongSegmentBytes;
    segment->offset = llvm::alignTo(fileLength, isLong ? kHugePageBytes : kSegmentAlignment);
    fileLength = segment->offset + segment->length;
  }

  auto output = OutputFile::create(path);
  if (!output)
    return output.takeError();
  if (llvm::Error error = (*output)->resize(fileLength))
    return error;
  if (llvm::Error error = writeSegments(**output))
    return error;
  if (llvm::Error error = writeHead(**output, headBytes))
    return error;
  return (*output)->commit();
}

llvm::Error artifact::writeArtifact(const ArtifactInputs &inputs, llvm::StringRef path,
                                    const WriteOptions &options) {
  return ArtifactWriter(inputs, options).write(path);
}
