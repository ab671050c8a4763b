//===- ArtifactTest.cpp - whole artifacts -----------------------------------------------------===//

#include "TestFiles.h"
#include "TestModule.h"
#include "ingot/Artifact/ArtifactWriter.h"
#include "ingot/Artifact/Format.h"
#include "ingot/Schema/ingot_generated.h"
#include <csignal>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

using namespace ingot;
using namespace ingot::artifact;
using namespace ingot::test;

namespace {

template <typename T> T readAt(const std::string &bytes, size_t offset) {
  T value;
  memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

/// The files that the test model's weights are in.
void writeWeights(const TemporaryFolder &folder) {
  std::string a(16 + 40 * 8 * 2, 0), b(4 + 400, 0);
  for (size_t i = 0; i < a.size(); ++i)
    a[i] = char(i * 7);
  for (size_t i = 0; i < b.size(); ++i)
    b[i] = char(i * 5 + 1);
  writeFile(folder / "a.bin", a);
  writeFile(folder / "b.bin", b);
  writeFile(folder / "config.json", "{}");
}

struct Fixture {
  TemporaryFolder model, out;
  std::string image = std::string(5000, '\x90');
  ParsedModule parsed;
  ArtifactInputs inputs;

  explicit Fixture(const std::string &source = languageModel()) : parsed(source) {
    writeWeights(model);
    inputs.module = *parsed.module;
    inputs.modelFolder = model.str();
    TargetCode code;
    code.name = "x86-64-v4";
    code.arch = "x86_64";
    code.features = {"fma", "avx512f", "avx2"};
    code.image = image;
    uint64_t entry = 64;
    for (const char *name : {"head", "unused", "gather", "attend", "append", "embed"})
      code.kernels.push_back({name, entry++, entry, uint32_t(entry + 1)});
    inputs.targets.push_back(code);
    code.name = "x86-64-v3";
    inputs.targets.push_back(code);
    inputs.tokenizer = "tokens";
    inputs.ir = "MLIR";
    inputs.producer = "ingot test";
    inputs.options = {{"target", "native"}, {"context", "128"}};
    inputs.sourceFiles = {"config.json"};
  }

  std::string write(const WriteOptions &options = {}) {
    return text(writeArtifact(inputs, out / "m.ingot", options));
  }
};

TEST(Artifact, HoldsWhatItSays) {
  Fixture fixture;
  uint64_t last = 0, all = 0;
  WriteOptions options;
  options.progress = [&](uint64_t done, uint64_t total) {
    EXPECT_GT(done, last);
    EXPECT_LE(done, total);
    last = done;
    all = total;
  };
  ASSERT_EQ(fixture.write(options), "");
  EXPECT_EQ(last, all);
  EXPECT_EQ(fixture.out.list(), std::vector<std::string>{"m.ingot"});
  std::string file = readFile(fixture.out / "m.ingot");

  // The preamble.
  ASSERT_GT(file.size(), 64u);
  EXPECT_EQ(file.substr(0, 8), "\x89INGOT\r\n");
  EXPECT_EQ(readAt<uint32_t>(file, 8), 1u);
  EXPECT_EQ(readAt<uint32_t>(file, 12), 3u);
  EXPECT_EQ(readAt<uint64_t>(file, 16), 64u);
  uint64_t headBytes = readAt<uint64_t>(file, 24);
  ASSERT_LE(64 + headBytes, file.size());
  EXPECT_EQ(readAt<uint64_t>(file, 32), XXH3_64bits(file.data() + 64, headBytes));
  EXPECT_EQ(readAt<uint64_t>(file, 40), file.size());
  EXPECT_EQ(readAt<uint64_t>(file, 48), 0u);
  EXPECT_EQ(readAt<uint64_t>(file, 56), XXH3_64bits(file.data(), 56));

  std::vector<uint64_t> head((headBytes + 7) / 8);
  memcpy(head.data(), file.data() + 64, headBytes);
  flatbuffers::Verifier verifier(reinterpret_cast<const uint8_t *>(head.data()), headBytes);
  ASSERT_TRUE(fb::VerifyArtifactBuffer(verifier));
  const fb::Artifact &artifact = *fb::GetArtifact(head.data());

  // Segments: in order, aligned, with zeros between them, with their hashes.
  uint64_t end = 64 + headBytes;
  ASSERT_EQ(artifact.segments()->size(), 5u);
  for (const fb::Segment *segment : *artifact.segments()) {
    EXPECT_EQ(segment->offset() % 4096, 0u);
    ASSERT_GE(segment->offset(), end);
    EXPECT_LT(segment->offset() - end, 4096u);
    for (; end < segment->offset(); ++end)
      ASSERT_EQ(file[end], 0);
    end += segment->length();
    ASSERT_LE(end, file.size());
    ASSERT_EQ(segment->hashes()->size(), 1u);
    EXPECT_EQ(segment->hashes()->Get(0),
              XXH3_64bits(file.data() + segment->offset(), segment->length()));
  }
  EXPECT_EQ(end, file.size());
  auto content = [&](uint32_t segment, fb::SegmentKind kind) {
    const fb::Segment &s = *artifact.segments()->Get(segment);
    EXPECT_EQ(s.kind(), kind);
    return file.substr(s.offset(), s.length());
  };

  ASSERT_EQ(artifact.targets()->size(), 2u);
  const fb::Target &target = *artifact.targets()->Get(0);
  EXPECT_EQ(target.name()->str(), "x86-64-v4");
  EXPECT_EQ(target.arch()->str(), "x86_64");
  ASSERT_EQ(target.features()->size(), 3u);
  EXPECT_EQ(target.features()->Get(0)->str(), "avx2");
  EXPECT_EQ(content(target.segment(), fb::SegmentKind::Code), fixture.image);
  // By name, in the order of the kernels: embed, append, attend, gather, head.
  uint64_t entries[] = {69, 68, 67, 66, 64};
  ASSERT_EQ(target.entries()->size(), 5u);
  for (unsigned i = 0; i < 5; ++i) {
    EXPECT_EQ(target.entries()->Get(i), entries[i]);
    EXPECT_EQ(target.scratch()->Get(i), entries[i] + 1);
    EXPECT_EQ(target.divided_rows()->Get(i), entries[i] + 2);
  }
  EXPECT_EQ(content(uint32_t(artifact.tokenizer()), fb::SegmentKind::Tokenizer), "tokens");
  EXPECT_EQ(content(uint32_t(artifact.ir()), fb::SegmentKind::IR), "MLIR");

  // Weights, element by element where it matters.
  ASSERT_EQ(artifact.weights()->size(), 3u);
  const fb::Weight &embed = *artifact.weights()->Get(0);
  std::string weights = content(embed.segment(), fb::SegmentKind::Weights);
  std::string a = readFile(fixture.model / "a.bin"), b = readFile(fixture.model / "b.bin");
  for (int row = 0; row < 40; ++row)
    for (int k = 0; k < 8; ++k) {
      int panel = row / 32, lanes = panel ? 16 : 32;
      size_t at = size_t(panel * 32 * 8 + (k / 2 * lanes + row % 32) * 2 + k % 2) * 2;
      EXPECT_EQ(weights.substr(embed.offset() + at, 2), a.substr(16 + (row * 8 + k) * 2, 2));
    }
  EXPECT_EQ(weights.substr(artifact.weights()->Get(1)->offset(), 3), std::string("\1\0\1", 3));
  const fb::Weight &bias = *artifact.weights()->Get(2);
  EXPECT_EQ(weights.substr(bias.offset(), bias.length()), b.substr(4, 120) + b.substr(200, 40));
  EXPECT_EQ(bias.offset() % 64, 0u);

  ASSERT_EQ(artifact.sources()->size(), 3u);
  const char *names[] = {"a.bin", "b.bin", "config.json"};
  for (unsigned i = 0; i < 3; ++i) {
    std::string bytes = readFile(fixture.model / names[i]);
    char hash[17];
    snprintf(hash, sizeof hash, "%016llx",
             static_cast<unsigned long long>(XXH3_64bits(bytes.data(), bytes.size())));
    EXPECT_EQ(artifact.sources()->Get(i)->key()->str(), names[i]);
    EXPECT_EQ(artifact.sources()->Get(i)->value()->str(), hash);
  }
  ASSERT_EQ(artifact.options()->size(), 2u);
  EXPECT_EQ(artifact.options()->Get(0)->key()->str(), "context");
  EXPECT_EQ(artifact.producer()->str(), "ingot test");
  EXPECT_EQ(artifact.programs()->size(), 2u);
  EXPECT_EQ(artifact.language_model()->decode(), 1);
}

/// A graph with a weight of several chunks.
std::string bigGraph() {
  return R"mlir(
    plan.kernel @k(%w: tensor<3001x1500xf32, #plan.panels<64, 1>>) -> tensor<1xf32> {
      %0 = builtin.unrealized_conversion_cast %w : tensor<3001x1500xf32, #plan.panels<64, 1>> to tensor<1xf32>
      plan.yield %0 : tensor<1xf32>
    }
    plan.program @forward() -> (tensor<1xf32> {plan.name = "y"}) {
      %one = arith.constant 1 : index
      %w = tfm.parameter "w" from "w.bin" at 0 : tensor<3001x1500xf32>
      %p = plan.pack %w : tensor<3001x1500xf32> -> tensor<3001x1500xf32, #plan.panels<64, 1>>
      %y = plan.dispatch @k(%p) grid(%one) slots [-1] : (tensor<3001x1500xf32, #plan.panels<64, 1>>) -> tensor<1xf32>
      plan.yield %y : tensor<1xf32>
    }
  )mlir";
}
constexpr size_t kBigBytes = 3001 * 1500 * 4;

struct BigFixture : Fixture {
  BigFixture() : Fixture(bigGraph()) {
    for (TargetCode &target : inputs.targets)
      target.kernels = {{"k", 0, 0}};
    std::string bytes(kBigBytes, 0);
    for (size_t i = 0; i < bytes.size(); ++i)
      bytes[i] = char((i * 2654435761u) >> 13);
    writeFile(model / "w.bin", bytes);
  }
};

} // namespace

// RuntimeReadsTest.cpp reads them: the runtime's headers have names of their own for much.
namespace ingot::test {
std::string writeTestArtifacts(const std::string &languageModel, const std::string &graph) {
  Fixture small;
  BigFixture big;
  std::string error = text(writeArtifact(small.inputs, languageModel));
  return error.empty() ? text(writeArtifact(big.inputs, graph)) : error;
}
} // namespace ingot::test

namespace {

TEST(Artifact, DependsOnItsInputsAlone) {
  std::string first;
  for (unsigned threads : {1u, 2u, 7u}) {
    BigFixture fixture; // other folders each time
    std::reverse(fixture.inputs.options.begin(), fixture.inputs.options.end());
    if (threads == 2)
      std::reverse(fixture.inputs.options.begin(), fixture.inputs.options.end());
    WriteOptions options;
    options.threads = threads;
    ASSERT_EQ(fixture.write(options), "");
    std::string bytes = readFile(fixture.out / "m.ingot");
    EXPECT_GT(bytes.size(), kBigBytes);
    if (first.empty())
      first = bytes;
    EXPECT_TRUE(bytes == first) << threads;
  }
}

TEST(Artifact, KeepsWhatWasThereWhenItFails) {
  using Break = void (*)(Fixture &);
  std::pair<const char *, Break> cases[] = {
      {"/a.bin: cannot be opened (No such file or directory)",
       [](Fixture &f) { unlink((f.model / "a.bin").c_str()); }},
      {"/a.bin: expected 640 bytes at 16, the file has 655 (embed)",
       [](Fixture &f) { EXPECT_EQ(truncate((f.model / "a.bin").c_str(), 655), 0); }},
      {"/none.json: cannot be opened", [](Fixture &f) { f.inputs.sourceFiles = {"none.json"}; }},
      {"expected code for at least one target", [](Fixture &f) { f.inputs.targets.clear(); }},
      {"target x86-64-v4: expected a unique name",
       [](Fixture &f) { f.inputs.targets[1].name = "x86-64-v4"; }},
      {"target x86-64-v3: expected code for kernel gather",
       [](Fixture &f) { f.inputs.targets[1].kernels[2].name = "other"; }},
      {"kernel head: impossible entry 5000",
       [](Fixture &f) { f.inputs.targets[0].kernels[0].entry = 5000; }},
      {"target x86-64-v4: expected an image", [](Fixture &f) { f.inputs.targets[0].image = ""; }},
  };
  for (auto &[message, damage] : cases) {
    Fixture fixture;
    writeFile(fixture.out / "m.ingot", "old");
    damage(fixture);
    std::string error = fixture.write();
    EXPECT_NE(error.find(message), std::string::npos) << error;
    EXPECT_EQ(readFile(fixture.out / "m.ingot"), "old");
    EXPECT_EQ(fixture.out.list(), std::vector<std::string>{"m.ingot"});
  }
}

TEST(Artifact, DoesNotReplaceItsInputs) {
  Fixture fixture;
  std::string path = fixture.model / "a.bin", before = readFile(path);
  EXPECT_EQ(text(writeArtifact(fixture.inputs, path)),
            path + ": cannot be written (it is an input)");
  EXPECT_EQ(readFile(path), before);
}

TEST(Artifact, LeavesNothingWhenTheFileIsTooLargeOrTheProcessIsKilled) {
  BigFixture fixture;
  struct rlimit limit, small;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &limit), 0);
  small = limit;
  small.rlim_cur = 1 << 20;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  std::string error = fixture.write();
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  EXPECT_NE(error.find("m.ingot: "), std::string::npos) << error;
  EXPECT_NE(error.find("(File too large)"), std::string::npos) << error;
  EXPECT_TRUE(fixture.out.list().empty());

  pid_t child = fork();
  if (child == 0) {
    WriteOptions options;
    options.threads = 1;
    options.progress = [](uint64_t done, uint64_t) {
      if (done > kBigBytes / 2)
        raise(SIGKILL);
    };
    fixture.write(options);
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  EXPECT_TRUE(fixture.out.list().empty());
}

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define INGOT_TEST_SANITIZED
#endif
#endif

TEST(Artifact, StreamsWeights) {
#ifdef INGOT_TEST_SANITIZED
  GTEST_SKIP() << "sanitizers keep freed memory";
#endif
  // 200 MB of zeros that take no room on the disk.
  std::string source = bigGraph();
  for (size_t at; (at = source.find("3001x1500")) != std::string::npos;)
    source.replace(at, 9, "50000x1000");
  Fixture fixture(source);
  for (TargetCode &target : fixture.inputs.targets)
    target.kernels = {{"k", 0, 0}};
  writeFile(fixture.model / "w.bin", "");
  ASSERT_EQ(truncate((fixture.model / "w.bin").c_str(), 200000000), 0);
  pid_t child = fork();
  if (child == 0) {
    WriteOptions options;
    options.threads = 2;
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    bool failed = !fixture.write(options).empty();
    getrusage(RUSAGE_SELF, &after);
    long grown = after.ru_maxrss - before.ru_maxrss; // KiB
    _exit(failed ? 255 : int(std::min(grown / 1024, 254l)));
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_LT(WEXITSTATUS(status), 32) << "MiB";

  // The runtime maps so many weights by huge pages, which they therefore begin with.
  std::ifstream file(fixture.out / "m.ingot", std::ios::binary);
  std::string preamble(64, 0);
  file.read(preamble.data(), 64);
  std::vector<uint64_t> head((readAt<uint64_t>(preamble, 24) + 7) / 8);
  file.read(reinterpret_cast<char *>(head.data()), readAt<uint64_t>(preamble, 24));
  ASSERT_TRUE(file.good());
  uint64_t longest = 0;
  for (const fb::Segment *segment : *fb::GetArtifact(head.data())->segments()) {
    if (segment->length() < kLongSegmentBytes)
      continue;
    EXPECT_EQ(segment->offset() % kHugePageBytes, 0u);
    longest = std::max(longest, segment->length());
  }
  EXPECT_GT(longest, 100000000u);
}

} // namespace
