//===- WeightPackerTest.cpp - every element of packed weights in its place --------------------===//

#include "ingot/Artifact/WeightPacker.h"
#include "TestFiles.h"
#include "ingot/Artifact/OutputFile.h"
#include <csignal>
#include <cstring>
#include <random>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace ingot::artifact;
using namespace ingot::test;
namespace formats = ingot::formats;

namespace {

using Random = std::mt19937;

int64_t pick(Random &random, int64_t low, int64_t high) {
  return std::uniform_int_distribution<int64_t>(low, high)(random);
}

std::string randomBytes(Random &random, size_t size) {
  std::string bytes(size, 0);
  for (char &c : bytes)
    c = char(random());
  return bytes;
}

/// A matrix in memory: element (row, k) is `bytes` bytes.
struct Matrix {
  int64_t rows, columns, bytes;
  std::string content;
  std::string at(int64_t row, int64_t k) const {
    return content.substr(size_t((row * columns + k) * bytes), size_t(bytes));
  }
};

/// The packing as the dialect's documentation tells it, element after element.
std::string packByDefinition(const Matrix &all, int64_t panelRows, int64_t parts, bool pairs,
                             int64_t matrices) {
  if (matrices > 1) {
    std::string out;
    size_t size = all.content.size() / size_t(matrices);
    for (int64_t i = 0; i < matrices; ++i)
      out += packByDefinition(
          {all.rows / matrices, all.columns, all.bytes, all.content.substr(size_t(i) * size, size)},
          panelRows, parts, pairs, 1);
    return out;
  }
  const Matrix &m = all;
  std::string out;
  int64_t perPart = m.rows / parts, step = panelRows / parts;
  for (int64_t first = 0; first < perPart; first += step) {
    int64_t have = std::min(step, perPart - first);
    int64_t lanes = have;
    while (lanes % 16)
      ++lanes;
    int64_t group = pairs ? 2 : 1;
    for (int64_t k = 0; k < m.columns; k += group)
      for (int64_t part = 0; part < parts; ++part)
        for (int64_t lane = 0; lane < lanes; ++lane)
          for (int64_t j = 0; j < group; ++j)
            out += lane < have && k + j < m.columns ? m.at(part * perPart + first + lane, k + j)
                                                    : std::string(size_t(m.bytes), '\0');
  }
  return out;
}

/// Builds weights whose sources lie in one file among other bytes, and what their bytes must be.
struct Model {
  TemporaryFolder folder;
  Random random;
  std::string file;
  std::vector<Weight> weights;
  std::vector<std::string> expected;

  explicit Model(unsigned seed) : random(seed) {}

  WeightSource addSource(const std::string &content, bool constant) {
    WeightSource source;
    source.name = "w";
    source.length = content.size();
    if (constant) {
      source.name.clear();
      source.storage.assign(content.begin(), content.end());
      source.constant = source.storage;
    } else {
      file += randomBytes(random, size_t(pick(random, 0, 9)));
      source.file = "w.bin";
      source.offset = file.size();
      file += content;
    }
    return source;
  }

  void addPacked(std::vector<int64_t> sourceRows, int64_t k, int64_t panelRows, int64_t parts,
                 int64_t bytes, bool pairs, bool transposed, bool constants = false,
                 int64_t matrices = 1) {
    Matrix whole{0, k, bytes, ""};
    Weight weight;
    weight.elementBytes = bytes;
    weight.transposed = transposed;
    for (int64_t rows : sourceRows) {
      Matrix part{rows, k, bytes, randomBytes(random, size_t(rows * k * bytes))};
      std::string stored;
      for (int64_t i = 0; transposed && i < k; ++i)
        for (int64_t row = 0; row < rows; ++row)
          stored += part.at(row, i);
      weight.sources.push_back(
          addSource(transposed ? stored : part.content, constants && pick(random, 0, 1)));
      whole.rows += rows;
      whole.content += part.content;
    }
    ingot::plan::PanelLayout layout;
    layout.n = whole.rows;
    layout.k = k;
    layout.rows = panelRows;
    layout.parts = parts;
    layout.matrices = matrices;
    layout.elementBytes = bytes;
    layout.pairs = pairs;
    weight.panels = layout;
    expected.push_back(packByDefinition(whole, panelRows, parts, pairs, matrices));
    weight.length = expected.back().size();
    EXPECT_EQ(layout.bytes(), int64_t(weight.length));
    weights.push_back(std::move(weight));
  }

  void addRows(std::vector<size_t> lengths, bool constants) {
    Weight weight;
    weight.elementBytes = 1;
    expected.emplace_back();
    for (size_t length : lengths) {
      std::string content = randomBytes(random, length);
      weight.sources.push_back(addSource(content, constants && pick(random, 0, 1)));
      expected.back() += content;
    }
    weight.length = expected.back().size();
    weights.push_back(std::move(weight));
  }

  /// The whole segment: weights at multiples of 64, zeros between.
  std::string segment() const {
    std::string bytes;
    for (const std::string &weight : expected) {
      bytes.resize((bytes.size() + 63) / 64 * 64, '\0');
      bytes += weight;
    }
    return bytes;
  }

  /// Packs in chunks of `chunk` bytes (0: of random sizes) and compares.
  void check(uint64_t chunk) {
    writeFile(folder / "w.bin", file);
    SourceFiles files(folder.str());
    WeightPacker packer(weights, files);
    ASSERT_EQ(text(packer.open()), "");
    std::string want = segment();
    ASSERT_EQ(packer.getLength(), want.size());
    WeightPacker::Buffers buffers;
    for (uint64_t begin = 0; begin < want.size();) {
      uint64_t size =
          std::min<uint64_t>(want.size() - begin, chunk ? chunk : uint64_t(pick(random, 1, 3000)));
      auto got = packer.pack(begin, size, buffers);
      ASSERT_TRUE(bool(got)) << llvm::toString(got.takeError());
      ASSERT_EQ(got->size(), size);
      for (uint64_t i = 0; i < size; ++i)
        ASSERT_EQ(int((*got)[i]), int(want[begin + i]))
            << "byte " << i << " of " << size << " from " << begin;
      begin += size;
    }
  }
};

TEST(WeightPacker, PutsEveryElementOfOddMatricesInItsPlace) {
  for (unsigned seed = 0; seed < 40; ++seed) {
    SCOPED_TRACE(seed);
    Model model(seed);
    for (int i = 0; i < 6; ++i) {
      int64_t parts = pick(model.random, 1, 3);
      int64_t panelRows = 16 * parts * pick(model.random, 1, 4);
      std::vector<int64_t> rows;
      for (int64_t n = pick(model.random, 1, 3); n; --n)
        rows.push_back(pick(model.random, 1, 90));
      // The parts are equal: the last source makes up the difference.
      int64_t sum = 0;
      for (int64_t n : rows)
        sum += n;
      rows.back() += (parts - sum % parts) % parts;
      bool pairs = pick(model.random, 0, 1);
      int64_t bytes = pairs ? 2 : int64_t(1) << pick(model.random, 0, 3);
      model.addPacked(rows, pick(model.random, 1, 70), panelRows, parts, bytes, pairs,
                      pick(model.random, 0, 1), /*constants=*/true);
      model.addRows({size_t(pick(model.random, 0, 300)), size_t(pick(model.random, 0, 99))}, true);
    }
    model.check(0);
  }
}

/// Experts: matrices one after the other, whatever sources their rows come from.
TEST(WeightPacker, PacksSeveralMatrices) {
  for (unsigned seed = 0; seed < 20; ++seed) {
    SCOPED_TRACE(seed);
    Model model(100 + seed);
    for (int i = 0; i < 4; ++i) {
      int64_t matrices = pick(model.random, 2, 5), parts = pick(model.random, 1, 2);
      int64_t partRows = pick(model.random, 1, 90),
              panelRows = 16 * parts * pick(model.random, 1, 4);
      bool pairs = pick(model.random, 0, 1), joined = pick(model.random, 0, 1);
      std::vector<int64_t> rows(size_t(joined ? 1 : matrices * parts),
                                joined ? matrices * parts * partRows : partRows);
      model.addPacked(rows, pick(model.random, 1, 70), panelRows, parts, pairs ? 2 : 4, pairs,
                      pick(model.random, 0, 1), /*constants=*/true, matrices);
    }
    model.check(0);
  }
  Model model(9);
  model.addPacked({700, 700, 700}, 1111, 64, 2, 2, true, false, false, 3);
  model.check(1 << 20);
}

/// Matrices that are larger than a chunk and than what is read at once, in real chunks.
TEST(WeightPacker, PacksLargeMatrices) {
  for (bool transposed : {false, true}) {
    SCOPED_TRACE(transposed);
    Model model(7 + transposed);
    model.addRows({77}, false);
    // Panels of 5.2 MB, of which one chunk holds only lines; the last is narrow.
    model.addPacked({70, 15}, 20001, 64, 1, 4, false, transposed);
    // Many small panels per chunk, two parts.
    model.addPacked({3000, 2000, 1000}, 511, 64, 2, 2, true, transposed);
    model.addPacked({4001}, 333, 128, 1, 4, false, transposed);
    model.check(4 << 20);
  }
}

TEST(WeightPacker, RepeatsSplats) {
  Model model(3);
  Weight weight;
  weight.elementBytes = 4;
  WeightSource source;
  source.length = 4 * 1000;
  source.storage = {1, 2, 3, 4};
  source.constant = source.storage;
  weight.sources.push_back(std::move(source));
  weight.length = 4000;
  model.weights.push_back(std::move(weight));
  model.expected.emplace_back();
  for (int i = 0; i < 1000; ++i)
    model.expected.back() += "\1\2\3\4";
  model.check(7); // cuts elements
}

/// Bytes of numbers that go through f32 from one format to another.
static std::string convert(const std::string &stored, formats::Format from, formats::Format to,
                           size_t count) {
  std::vector<float> numbers(count);
  formats::decode(from, stored.data(), count, numbers.data());
  std::string result(formats::bytesOf(to, count), '\0');
  formats::encode(to, numbers.data(), count, result.data());
  return result;
}

TEST(WeightPacker, ConvertsFormats) {
  using formats::Format;
  Model model(17);
  auto add = [&](Format from, Format to, size_t count) {
    std::string stored = randomBytes(model.random, formats::bytesOf(from, count));
    formats::tameScales(from, stored.data(), count);
    Weight weight;
    weight.elementBytes = 4;
    weight.sources.push_back(model.addSource(stored, false));
    WeightSource &source = weight.sources.back();
    std::string converted = convert(stored, from, to, count);
    source.conversion = {from, to, stored.size()};
    source.length = converted.size();
    model.expected.push_back(converted);
    weight.length = converted.size();
    model.weights.push_back(std::move(weight));
  };
  add(Format::Q6_K, Format::F32, 256 * 7);
  add(Format::Q4_1, Format::BF16, 32 * 5);
  add(Format::IQ3_XXS, Format::Q8_0, 256 * 3);
  add(Format::IQ4_NL, Format::Q4_0, 32 * 9);
  add(Format::Q8_0, Format::F16, 32 * 11);
  model.check(7); // cuts elements and blocks
  model.check(1000);

  // In panels, with other rows below them.
  constexpr int64_t kRows = 40, kColumns = 512;
  std::string stored = randomBytes(model.random, formats::bytesOf(Format::Q4_K, kRows * kColumns));
  formats::tameScales(Format::Q4_K, stored.data(), kRows * kColumns);
  model.addPacked({24, kRows}, kColumns, 64, 1, 4, false, false);
  Weight &weight = model.weights.back();
  Matrix whole{24 + kRows, kColumns, 4, ""};
  whole.content = model.file.substr(weight.sources[0].offset, weight.sources[0].length) +
                  convert(stored, Format::Q4_K, Format::F32, kRows * kColumns);
  weight.sources[1] = model.addSource(stored, false);
  weight.sources[1].conversion = {Format::Q4_K, Format::F32, stored.size()};
  weight.sources[1].length = kRows * kColumns * 4;
  model.expected.back() = packByDefinition(whole, 64, 1, false, 1);
  model.check(10000);
  model.check(4 << 20);
}

TEST(WeightPacker, MultipliesElementsByTheirScales) {
  using formats::Format;
  Model model(23);
  auto add = [&](formats::Scaling scaling, int64_t rows, Format to, std::optional<Format> then) {
    size_t count = size_t(rows * scaling.columns);
    int64_t blockRows = (rows + scaling.blockRows - 1) / scaling.blockRows;
    std::string elements = randomBytes(model.random, scaling.elementBytes(count)), scales;
    for (char &c : elements) // no NaN
      c = char(c & 0x77);
    for (int64_t i = 0; i < blockRows * scaling.scaleColumns(); ++i) {
      float scale = float(pick(model.random, 1, 100)) / 64;
      scales += scaling.scales ? convert(std::string(reinterpret_cast<char *>(&scale), 4),
                                         Format::F32, *scaling.scales, 1)
                               : std::string(1, char(pick(model.random, 120, 130)));
    }
    WeightSource source = model.addSource(elements, false),
                 factors = model.addSource(scales, false);
    std::vector<float> numbers(count);
    formats::decodeScaled(scaling, elements.data(), scales.data(), 0, count, numbers.data());
    std::string meant(formats::bytesOf(to, count), '\0');
    formats::encode(to, numbers.data(), count, meant.data());
    source.scales = {scaling, to, factors.file, factors.offset, factors.length, elements.size()};
    if (then) {
      source.conversion = {to, *then, meant.size()};
      meant = convert(meant, to, *then, count);
    }
    source.length = meant.size();
    Weight weight;
    weight.elementBytes = 2;
    weight.length = meant.size();
    weight.sources.push_back(std::move(source));
    model.expected.push_back(meant);
    model.weights.push_back(std::move(weight));
  };
  add({true, std::nullopt, 64, 1, 32}, 9, Format::BF16, std::nullopt);
  add({false, Format::F32, 37, 4, 10}, 11, Format::F32, std::nullopt);
  add({false, Format::BF16, 37, 3, 64}, 5, Format::F16, std::nullopt);
  add({true, std::nullopt, 96, 1, 32}, 7, Format::BF16, Format::Q8_0);
  model.check(7); // cuts elements, and bytes that two share
  model.check(1000);
}

TEST(WeightPacker, RefusesShortAndMissingFiles) {
  TemporaryFolder folder;
  writeFile(folder / "short.bin", "0123456789");
  mkdir((folder / "directory").c_str(), 0777);
  auto open = [&](std::string file, uint64_t offset, uint64_t length) {
    std::vector<Weight> weights(1);
    WeightSource source;
    source.name = "lm_head.weight";
    source.file = file;
    source.offset = offset;
    source.length = length;
    weights[0].sources.push_back(std::move(source));
    SourceFiles files(folder.str());
    return text(WeightPacker(weights, files).open());
  };
  EXPECT_EQ(open("short.bin", 2, 8), "");
  EXPECT_EQ(open("short.bin", 3, 8),
            folder / "short.bin: expected 8 bytes at 3, the file has 10 (lm_head.weight)");
  EXPECT_EQ(open("short.bin", ~uint64_t(0) - 2, 8), folder / "short.bin: expected 8 bytes at "
                                                             "18446744073709551613, the file has "
                                                             "10 (lm_head.weight)");
  EXPECT_EQ(open("none.bin", 0, 1),
            folder / "none.bin: cannot be opened (No such file or directory)");
  EXPECT_EQ(open("directory", 0, 1), folder / "directory: cannot be read (not a regular file)");
  for (std::string outside : {"../short.bin", "/etc/passwd", "a/../../b"})
    EXPECT_NE(open(outside, 0, 1).find("not a file in the model's folder"), std::string::npos)
        << outside;
}

TEST(WeightPacker, ReportsFilesThatShrink) {
  Model model(5);
  model.addPacked({64}, 64, 64, 1, 4, false, false);
  writeFile(model.folder / "w.bin", model.file);
  SourceFiles files(model.folder.str());
  WeightPacker packer(model.weights, files);
  ASSERT_EQ(text(packer.open()), "");
  ASSERT_EQ(truncate((model.folder / "w.bin").c_str(), 1000), 0);
  WeightPacker::Buffers buffers;
  EXPECT_NE(text(packer.pack(0, packer.getLength(), buffers)).find("became shorter"),
            std::string::npos);
}

//===----------------------------------------------------------------------===//
// OutputFile
//===----------------------------------------------------------------------===//

class OutputFileTest : public testing::TestWithParam<bool> {
protected:
  std::unique_ptr<OutputFile> create(const std::string &path) {
    auto file = OutputFile::create(path, /*nameless=*/GetParam());
    if (!file) {
      ADD_FAILURE() << llvm::toString(file.takeError());
      return nullptr;
    }
    return std::move(*file);
  }
  TemporaryFolder folder;
  using Names = std::vector<std::string>;
};

TEST_P(OutputFileTest, AppearsWhenItIsComplete) {
  std::string path = folder / "50% done"; // '%' and blanks are letters like others
  writeFile(path, "old");
  auto file = create(path);
  ASSERT_EQ(text(file->resize(10)), "");
  ASSERT_EQ(text(file->write(4, llvm::ArrayRef<char>("ab", 2))), "");
  EXPECT_EQ(readFile(path), "old");
  EXPECT_EQ(folder.list().size(), GetParam() ? 1u : 2u);
  ASSERT_EQ(text(file->commit()), "");
  EXPECT_EQ(readFile(path), std::string("\0\0\0\0ab\0\0\0\0", 10));
  EXPECT_EQ(folder.list(), Names{"50% done"});
  struct stat status;
  ASSERT_EQ(stat(path.c_str(), &status), 0);
  mode_t mask = umask(0);
  umask(mask);
  EXPECT_EQ(status.st_mode & 0777, 0666u & ~mask);
}

TEST_P(OutputFileTest, LeavesNothingWithoutCommit) {
  writeFile(folder / "out", "old");
  {
    auto file = create(folder / "out");
    ASSERT_EQ(text(file->write(0, llvm::ArrayRef<char>("new", 3))), "");
  }
  EXPECT_EQ(readFile(folder / "out"), "old");
  EXPECT_EQ(folder.list(), Names{"out"});
}

/// Before anybody looks: a program that is started in the background inherits signals that are
/// ignored.
[[maybe_unused]] static const bool kDefaultSignals =
    (::signal(SIGINT, SIG_DFL), ::signal(SIGTERM, SIG_DFL), true);

TEST_P(OutputFileTest, LeavesNothingWhenInterrupted) {
  for (int signal : {SIGTERM, SIGINT, SIGKILL}) {
    if (signal == SIGKILL && !GetParam())
      continue; // a named file cannot be helped
    pid_t child = fork();
    if (child == 0) {
      auto file = create(folder / "out");
      if (!file || text(file->write(0, llvm::ArrayRef<char>("new", 3))) != "")
        _exit(3);
      raise(signal);
      _exit(4);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == signal) << status;
    EXPECT_EQ(folder.list(), Names{});
  }
}

TEST_P(OutputFileTest, RefusesPlacesWithoutFiles) {
  EXPECT_EQ(text(OutputFile::create("/dev/full", GetParam())),
            "/dev/full: cannot be written (not a regular file)");
  EXPECT_EQ(text(OutputFile::create(folder.str(), GetParam())),
            folder.str() + ": cannot be written (not a regular file)");
  EXPECT_EQ(text(OutputFile::create(folder / "none/out", GetParam())),
            folder / "none/out: cannot be written (No such file or directory)");
}

TEST_P(OutputFileTest, ReportsTheLimitOfFileSizes) {
  struct rlimit limit, small;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &limit), 0);
  small = limit;
  small.rlim_cur = 1 << 16;
  auto file = create(folder / "out");
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  std::string message = text(file->resize(1 << 20));
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  EXPECT_EQ(message, folder / "out: 1048576 bytes cannot be written (File too large)");
}

TEST_P(OutputFileTest, ReportsAFullDisk) {
  std::string disk = folder / "disk";
  ASSERT_EQ(mkdir(disk.c_str(), 0777), 0);
  if (mount("ingot-test", disk.c_str(), "tmpfs", 0, "size=64k") != 0)
    GTEST_SKIP() << "needs the right to mount a small file system";
  std::string early, late;
  {
    auto file = create(disk + "/out");
    early = text(file->resize(1 << 20));
    std::string much(1 << 20, 'x');
    late = text(file->write(0, much));
  }
  bool empty = std::filesystem::is_empty(disk);
  EXPECT_EQ(umount(disk.c_str()), 0);
  EXPECT_EQ(early, disk + "/out: 1048576 bytes cannot be written (No space left on device)");
  EXPECT_EQ(late, disk + "/out: cannot be written (No space left on device)");
  EXPECT_TRUE(empty);
}

INSTANTIATE_TEST_SUITE_P(Forms, OutputFileTest, testing::Values(true, false),
                         [](const auto &info) { return info.param ? "Nameless" : "Named"; });

} // namespace
