//===- Toy.cpp - making artifacts by hand -----------------------------------------------------===//
#include "Toy.h"
#include "ingot/Schema/ingot_generated.h"
#include "ingot/kernel_abi.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <elf.h>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#define XXH_INLINE_ALL
#include <xxhash.h>

using namespace ingot;
using flatbuffers::Offset;

namespace {

const std::vector<std::string> kernelNames = {"toy_add",  "toy_embed", "toy_append",  "toy_attend",
                                              "toy_head", "toy_spin",  "toy_denormal"};
enum Kernel { Add, Embed, Append, Attend, Head, Spin, Denormal };

std::string readBinary(const std::string &path) {
  std::ifstream file(path, std::ios::binary);
  if (!file)
    throw std::runtime_error("cannot read " + path);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Addresses of the kernels, from the dynamic symbols of the shared object.
std::vector<uint64_t> entriesOf(const std::string &object) {
  Elf64_Ehdr header;
  memcpy(&header, object.data(), sizeof header);
  std::map<std::string, uint64_t> symbols;
  for (int i = 0; i < header.e_shnum; ++i) {
    Elf64_Shdr section, strings;
    memcpy(&section, object.data() + header.e_shoff + i * sizeof section, sizeof section);
    if (section.sh_type != SHT_DYNSYM)
      continue;
    memcpy(&strings, object.data() + header.e_shoff + section.sh_link * sizeof strings,
           sizeof strings);
    for (uint64_t at = 0; at < section.sh_size; at += sizeof(Elf64_Sym)) {
      Elf64_Sym symbol;
      memcpy(&symbol, object.data() + section.sh_offset + at, sizeof symbol);
      symbols[object.data() + strings.sh_offset + symbol.st_name] = symbol.st_value;
    }
  }
  std::vector<uint64_t> entries;
  for (const std::string &name : kernelNames)
    entries.push_back(symbols.at(name));
  return entries;
}

/// Writes down one program.
class ProgramWriter {
public:
  explicit ProgramWriter(flatbuffers::FlatBufferBuilder &fbb) : fbb(fbb) {}

  int add(fb::SizeOp op, int a, int b, int64_t value = 0) {
    sizes.push_back(fb::Size(op, a, b, value));
    return static_cast<int>(sizes.size()) - 1;
  }
  int constant(int64_t value) { return add(fb::SizeOp::Constant, 0, 0, value); }
  int inputDim(int input, int dim) { return add(fb::SizeOp::InputDim, input, dim); }
  int batchDim(int batch, fb::BatchDimKind kind, int64_t window = 0) {
    return add(fb::SizeOp::BatchDim, batch, static_cast<int>(kind), window);
  }
  int mul(int a, int b) { return add(fb::SizeOp::Mul, a, b); }

  uint32_t slot(int bytes) {
    slots.push_back(fb::CreateSlot(fbb, static_cast<uint32_t>(bytes)));
    return static_cast<uint32_t>(slots.size()) - 1;
  }
  void input(const char *name, fb::ElementType type, const std::vector<int64_t> &shape) {
    inputs.push_back(fb::CreateTensorDirect(fbb, name, type, &shape));
  }
  void output(const char *name, fb::ElementType type, const std::vector<int64_t> &shape,
              const std::vector<uint32_t> &dims) {
    outputs.push_back(fb::CreateTensorDirect(fbb, name, type, &shape, &dims));
  }
  int stepBatch(uint32_t block, int group, int slot = -1, uint64_t pageBytes = 0) {
    batches.push_back(fb::CreateBatch(fbb, fb::BatchKind::Step, block, group, slot, pageBytes));
    return static_cast<int>(batches.size()) - 1;
  }
  int uniformBatch(uint32_t block, int slot, uint64_t pageBytes, int sequences, int rows,
                   int keys) {
    batches.push_back(fb::CreateBatch(fbb, fb::BatchKind::Uniform, block, -1, slot, pageBytes,
                                      sequences, rows, keys));
    return static_cast<int>(batches.size()) - 1;
  }
  void dispatch(Kernel kernel, int grid, int batch, const std::vector<fb::Buffer> &buffers,
                const std::vector<fb::Scalar> &scalars,
                const std::vector<fb::CostTerm> &cost = {}) {
    dispatches.push_back(fb::CreateDispatch(
        fbb, kernel, static_cast<uint32_t>(grid), batch, fbb.CreateVectorOfStructs(buffers),
        fbb.CreateVectorOfStructs(scalars), fbb.CreateVectorOfStructs(cost), 0));
  }
  void check(int a, int b) {
    checks.push_back(fb::SizeCheck(static_cast<uint32_t>(a), static_cast<uint32_t>(b)));
  }

  Offset<fb::Program> finish(const char *name) {
    return fb::CreateProgram(fbb, fbb.CreateString(name), fbb.CreateVector(inputs),
                             fbb.CreateVector(outputs), fbb.CreateVectorOfStructs(sizes),
                             fbb.CreateVectorOfStructs(checks), fbb.CreateVector(batches),
                             fbb.CreateVector(slots), fbb.CreateVector(dispatches));
  }

private:
  flatbuffers::FlatBufferBuilder &fbb;
  std::vector<fb::Size> sizes;
  std::vector<fb::SizeCheck> checks;
  std::vector<Offset<fb::Tensor>> inputs, outputs;
  std::vector<Offset<fb::Batch>> batches;
  std::vector<Offset<fb::Slot>> slots;
  std::vector<Offset<fb::Dispatch>> dispatches;
};

fb::Buffer slotBuffer(uint32_t i) { return fb::Buffer(fb::BufferKind::Slot, i); }
fb::Buffer weightBuffer(uint32_t i) { return fb::Buffer(fb::BufferKind::Weight, i); }
fb::Buffer inputBuffer(uint32_t i) { return fb::Buffer(fb::BufferKind::Input, i); }
fb::Buffer outputBuffer(uint32_t i) { return fb::Buffer(fb::BufferKind::Output, i); }
fb::Scalar constantScalar(int64_t v) { return fb::Scalar(fb::ScalarKind::Constant, v); }
fb::Scalar sizeScalar(int size) { return fb::Scalar(fb::ScalarKind::Size, size); }

constexpr uint64_t kPageBytes = INGOT_PAGE_POSITIONS * 2 * toy::kWidth * sizeof(float);

/// Lays out the file. `makeHead` writes the head when the places of the segments are known; its
/// length does not depend on them.
template <typename MakeHead>
std::string layOut(const std::vector<std::pair<fb::SegmentKind, std::string>> &contents,
                   MakeHead makeHead) {
  struct Place {
    uint64_t offset = 0;
    std::vector<uint64_t> hashes;
  };
  std::vector<Place> places(contents.size());
  for (size_t i = 0; i < contents.size(); ++i)
    for (size_t at = 0; at < contents[i].second.size(); at += 4 << 20)
      places[i].hashes.push_back(
          XXH3_64bits(contents[i].second.data() + at,
                      std::min<size_t>(4 << 20, contents[i].second.size() - at)));
  flatbuffers::FlatBufferBuilder fbb;
  for (int pass = 0; pass < 2; ++pass) {
    uint64_t at = 64 + fbb.GetSize();
    for (size_t i = 0; i < contents.size(); ++i) {
      at = (at + 4095) / 4096 * 4096;
      // Zero would be left out of the table and change its length.
      places[i].offset = pass ? at : 4096;
      at += contents[i].second.size();
    }
    fbb.Clear();
    std::vector<Offset<fb::Segment>> segments;
    for (size_t i = 0; i < contents.size(); ++i)
      segments.push_back(fb::CreateSegmentDirect(fbb, contents[i].first, places[i].offset,
                                                 contents[i].second.size(), &places[i].hashes));
    fbb.Finish(makeHead(fbb, segments));
  }
  std::string file(64, '\0');
  file.append(reinterpret_cast<const char *>(fbb.GetBufferPointer()), fbb.GetSize());
  uint64_t headLength = fbb.GetSize();
  for (size_t i = 0; i < contents.size(); ++i) {
    file.resize(places[i].offset);
    file += contents[i].second;
  }
  auto put = [&](size_t at, uint64_t value, size_t bytes) { memcpy(&file[at], &value, bytes); };
  memcpy(&file[0], "\x89INGOT\r\n", 8);
  put(8, 1, 4);
  put(12, INGOT_KERNEL_ABI_VERSION, 4);
  put(16, 64, 8);
  put(24, headLength, 8);
  put(40, file.size(), 8);
  toy::rehash(file);
  return file;
}

Offset<flatbuffers::Vector<Offset<fb::Target>>>
targets(flatbuffers::FlatBufferBuilder &fbb, const std::string &code, const std::string &feature) {
  std::vector<Offset<flatbuffers::String>> features;
  if (!feature.empty())
    features.push_back(fbb.CreateString(feature));
  std::vector<uint64_t> scratch(kernelNames.size(), 256);
  std::vector<uint64_t> entries = entriesOf(code);
  std::vector<Offset<fb::Target>> list = {
#if defined(__x86_64__)
    fb::CreateTargetDirect(fbb, "toy", "x86_64", &features, 0, &entries, &scratch)
#else
    fb::CreateTargetDirect(fbb, "toy", "aarch64", &features, 0, &entries, &scratch)
#endif
  };
  return fbb.CreateVector(list);
}

Offset<flatbuffers::Vector<Offset<fb::Kernel>>> kernels(flatbuffers::FlatBufferBuilder &fbb) {
  std::vector<Offset<fb::Kernel>> list;
  for (const std::string &name : kernelNames)
    list.push_back(fb::CreateKernelDirect(fbb, name.c_str()));
  return fbb.CreateVector(list);
}

std::string code() { return readBinary(INGOT_TOY_KERNELS); }

Offset<fb::Program> phase(flatbuffers::FlatBufferBuilder &fbb, const char *name,
                          const toy::LanguageModelOptions &options) {
  ProgramWriter p(fbb);
  p.input("ids", fb::ElementType::I32, {-1});
  // A whole-sequence program has its pages in a slot: its size comes from a batch, which comes
  // from no size, so the batch may name a slot that is defined after it.
  int batch = options.cached ? p.stepBatch(4, 0) : p.stepBatch(4, -1, 2, kPageBytes);
  int tokens = p.batchDim(batch, fb::BatchDimKind::Tokens);
  int outputs = p.batchDim(batch, fb::BatchDimKind::Outputs);
  int items = p.batchDim(batch, fb::BatchDimKind::Items);
  int pairs = p.batchDim(batch, fb::BatchDimKind::Pairs);
  int pages = p.batchDim(batch, fb::BatchDimKind::Pages);
  int rowBytes = p.mul(tokens, p.constant(toy::kWidth * 4));
  int pageBytes = p.mul(pages, p.constant(kPageBytes));
  int vocabulary = p.constant(toy::kVocabulary);
  p.check(p.inputDim(0, 0), tokens);
  uint32_t x = p.slot(rowBytes), o = p.slot(rowBytes);
  p.slot(pageBytes);
  p.output("logits", fb::ElementType::F32, {-1, toy::kVocabulary},
           {static_cast<uint32_t>(outputs), static_cast<uint32_t>(vocabulary)});
  int64_t window = options.pastContext == 1 ? static_cast<int64_t>(options.context) : 0;
  using C = fb::CostClass;
  p.dispatch(Embed, tokens, batch, {inputBuffer(0), weightBuffer(0), slotBuffer(x)}, {},
             {fb::CostTerm(C::Weights, static_cast<uint32_t>(tokens), toy::kWidth * 4)});
  p.dispatch(Append, tokens, batch, {slotBuffer(x), slotBuffer(x)}, {},
             {fb::CostTerm(C::Cache, static_cast<uint32_t>(tokens), toy::kWidth * 8)});
  if (options.spin)
    p.dispatch(Spin, items, -1, {}, {constantScalar(options.spin)});
  p.dispatch(Attend, items, batch, {slotBuffer(x), slotBuffer(o)},
             {constantScalar(window), constantScalar(1), constantScalar(options.dependsOnRows)},
             {fb::CostTerm(C::Flops, static_cast<uint32_t>(pairs), toy::kWidth * 4)});
  p.dispatch(
      Head, outputs, batch, {slotBuffer(o), slotBuffer(x), weightBuffer(0), outputBuffer(0)},
      {sizeScalar(vocabulary)},
      {fb::CostTerm(C::Flops, static_cast<uint32_t>(outputs), 2 * toy::kWidth * toy::kVocabulary)});
  return p.finish(name);
}

} // namespace

std::vector<float> toy::table() {
  std::vector<float> values;
  uint32_t state = 12345;
  for (int i = 0; i < kVocabulary * kWidth; ++i) {
    state = state * 1664525 + 1013904223;
    values.push_back(static_cast<float>(static_cast<int32_t>(state >> 8) % 2000 - 1000) / 1000.0f);
  }
  return values;
}

std::string toy::languageModel(const LanguageModelOptions &options) {
  std::vector<float> weights = table();
  std::string weightBytes(reinterpret_cast<const char *>(weights.data()), weights.size() * 4);
  std::string codeBytes = code();
  std::vector<std::pair<fb::SegmentKind, std::string>> contents = {
      {fb::SegmentKind::Code, codeBytes}, {fb::SegmentKind::Weights, weightBytes}};
  if (!options.tokenizer.empty())
    contents.emplace_back(fb::SegmentKind::Tokenizer, options.tokenizer);
  return layOut(contents, [&](flatbuffers::FlatBufferBuilder &fbb,
                              const std::vector<Offset<fb::Segment>> &segments) {
    std::vector<int64_t> shape = {kVocabulary, kWidth};
    std::vector<Offset<fb::Weight>> weightList = {fb::CreateWeightDirect(
        fbb, "embedding", 1, 0, weightBytes.size(), fb::ElementType::F32, &shape, "rows")};
    std::vector<Offset<fb::Program>> programs;
    std::vector<Offset<fb::CacheGroup>> groups;
    std::vector<uint32_t> ends = {7};
    uint64_t window = options.pastContext == 1 ? options.context : 0;
    if (options.cached) {
      programs = {phase(fbb, "prefill", options), phase(fbb, "decode", options)};
      groups = {fb::CreateCacheGroup(fbb, kPageBytes, window, 1)};
    } else {
      programs = {phase(fbb, "forward", options)};
    }
    auto lm = fb::CreateLanguageModelDirect(
        fbb, kVocabulary, options.context, static_cast<fb::PastContext>(options.pastContext),
        options.keep, options.cached ? 0 : -1, options.cached ? 1 : -1, options.cached ? -1 : 0,
        options.maxTokens, options.maxOutputs, &groups, &ends);
    std::vector<Offset<flatbuffers::String>> locations = {fbb.CreateString("toy")};
    std::vector<Offset<fb::Entry>> entries = {
        fb::CreateEntryDirect(fbb, "context", std::to_string(options.context).c_str())};
    return fb::CreateArtifact(fbb, fbb.CreateString("toy"), fbb.CreateVector(segments),
                              targets(fbb, codeBytes, options.feature), kernels(fbb),
                              fbb.CreateVector(weightList), fbb.CreateVector(programs), lm, 0,
                              options.tokenizer.empty() ? -1 : 2, -1, fbb.CreateVector(locations),
                              0, fbb.CreateVector(entries));
  });
}

std::string toy::graphs() {
  std::string codeBytes = code();
  return layOut({{fb::SegmentKind::Code, codeBytes}}, [&](flatbuffers::FlatBufferBuilder &fbb,
                                                          const std::vector<Offset<fb::Segment>>
                                                              &segments) {
    std::vector<Offset<fb::Program>> programs;
    {
      ProgramWriter p(fbb);
      p.input("a", fb::ElementType::F32, {-1, 4});
      p.input("b", fb::ElementType::F32, {-1, 4});
      int rows = p.inputDim(0, 0), width = p.constant(4);
      p.check(rows, p.inputDim(1, 0));
      int n = p.mul(rows, width);
      int grid = p.add(fb::SizeOp::CeilDiv, n, p.constant(16));
      p.output("c", fb::ElementType::F32, {-1, 4},
               {static_cast<uint32_t>(rows), static_cast<uint32_t>(width)});
      p.dispatch(Add, grid, -1, {inputBuffer(0), inputBuffer(1), outputBuffer(0)}, {sizeScalar(n)});
      programs.push_back(p.finish("add"));
    }
    {
      // q [B, S, 8] over k and v [B, T, 8]: a transient cache of T positions per sequence.
      ProgramWriter p(fbb);
      p.input("q", fb::ElementType::F32, {-1, -1, kWidth});
      p.input("k", fb::ElementType::F32, {-1, -1, kWidth});
      p.input("v", fb::ElementType::F32, {-1, -1, kWidth});
      int b = p.inputDim(0, 0), s = p.inputDim(0, 1), t = p.inputDim(1, 1);
      int width = p.constant(kWidth);
      p.check(b, p.inputDim(1, 0));
      p.check(b, p.inputDim(2, 0));
      p.check(t, p.inputDim(2, 1));
      int queries = p.uniformBatch(4, 0, kPageBytes, b, s, t);
      int keys = p.uniformBatch(4, 0, kPageBytes, b, t, t);
      int pages = p.batchDim(queries, fb::BatchDimKind::Pages);
      p.slot(p.mul(pages, p.constant(kPageBytes)));
      p.output("o", fb::ElementType::F32, {-1, -1, kWidth},
               {static_cast<uint32_t>(b), static_cast<uint32_t>(s), static_cast<uint32_t>(width)});
      p.dispatch(Append, p.batchDim(keys, fb::BatchDimKind::Tokens), keys,
                 {inputBuffer(1), inputBuffer(2)}, {});
      p.dispatch(Attend, p.batchDim(queries, fb::BatchDimKind::Items), queries,
                 {inputBuffer(0), outputBuffer(0)},
                 {constantScalar(0), constantScalar(0), constantScalar(0)});
      programs.push_back(p.finish("attention"));
    }
    {
      ProgramWriter p(fbb);
      p.input("in", fb::ElementType::F32, {-1});
      int n = p.inputDim(0, 0);
      p.output("out", fb::ElementType::F32, {-1}, {static_cast<uint32_t>(n)});
      p.dispatch(Denormal, n, -1, {inputBuffer(0), outputBuffer(0)}, {});
      programs.push_back(p.finish("denormal"));
    }
    std::vector<Offset<flatbuffers::String>> locations = {fbb.CreateString("toy")};
    return fb::CreateArtifact(
        fbb, fbb.CreateString("toy"), fbb.CreateVector(segments), targets(fbb, codeBytes, ""),
        kernels(fbb), 0, fbb.CreateVector(programs), 0, 0, -1, -1, fbb.CreateVector(locations));
  });
}

void toy::rehash(std::string &artifact) {
  uint64_t offset, length;
  memcpy(&offset, &artifact[16], 8);
  memcpy(&length, &artifact[24], 8);
  uint64_t hash = 0;
  if (offset <= artifact.size() && length <= artifact.size() - offset)
    hash = XXH3_64bits(&artifact[offset], length);
  memcpy(&artifact[32], &hash, 8);
  hash = XXH3_64bits(artifact.data(), 56);
  memcpy(&artifact[56], &hash, 8);
}

std::string toy::writeTemporary(const std::string &name, const std::string &bytes) {
  struct Folder {
    std::filesystem::path path;
    Folder() {
      std::string pattern = (std::filesystem::temp_directory_path() / "ingot-XXXXXX").string();
      if (!mkdtemp(&pattern[0]))
        throw std::runtime_error("no temporary folder");
      path = pattern;
    }
    ~Folder() {
      std::error_code ignored;
      std::filesystem::remove_all(path, ignored);
    }
  };
  static Folder folder;
  std::string path = (folder.path / name).string();
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  if (!file)
    throw std::runtime_error("cannot write " + path);
  return path;
}
