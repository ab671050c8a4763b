//===- CompileTest.cpp - kernels to an image, and the image run -------------------------------===//
//
// Kernels are written as text, compiled, mapped and called through kernel_abi.h as the runtime
// does it, and compared with the same computation in C++. What kernels compute for whole models is
// tested against the interpreter elsewhere; here are the promises of compileKernels itself.
//
//===----------------------------------------------------------------------------------------===//

#include "ingot/CodeGen/CPU.h"
#include "ingot/kernel_abi.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Parser/Parser.h"
#include "llvm/Object/ELFObjectFile.h"
#include "gtest/gtest.h"
#include <cmath>
#include <random>
#include <sys/mman.h>

using namespace mlir;
using namespace ingot;
using namespace ingot::codegen;

namespace {

const char kKernels[] = R"mlir(
plan.kernel @scale(%x: tensor<?x24xf32>, %f: f32) -> tensor<?x24xf32> attributes {schedule = #plan.schedule<rows>} {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?x24xf32>
  %s = tensor.splat %f[%n] : tensor<?x24xf32>
  %0 = arith.mulf %x, %s : tensor<?x24xf32>
  plan.yield %0 : tensor<?x24xf32>
}
plan.kernel @negate(%x: tensor<?x7xf32>) -> tensor<?x7xf32> attributes {schedule = #plan.schedule<rows>} {
  %0 = arith.negf %x : tensor<?x7xf32>
  plan.yield %0 : tensor<?x7xf32>
}
plan.kernel @project(%x: tensor<?x21xf32>, %w: tensor<19x21xf32, #plan.panels<64, 1>>) -> tensor<?x19xf32>
    attributes {schedule = #plan.schedule<linear, tileRows = 6, tileVectors = 1>} {
  %0 = tfm.linear %x, %w : tensor<?x21xf32>, tensor<19x21xf32, #plan.panels<64, 1>> -> tensor<?x19xf32>
  plan.yield %0 : tensor<?x19xf32>
}
)mlir";

class Compile : public testing::Test {
protected:
  void SetUp() override {
    context.loadDialect<tfm::TransformerDialect, plan::PlanDialect, arith::ArithDialect,
                        math::MathDialect, tensor::TensorDialect>();
    target = llvm::cantFail(CPUTarget::resolve("x86-64-v3"));
  }
  CompiledCode compile(const std::string &text, const codegen::CompileOptions &options = {}) {
    module = parseSourceString<ModuleOp>(text, &context);
    EXPECT_TRUE(bool(module));
    FailureOr<CompiledCode> code =
        compileKernels(llvm::to_vector(module->getOps<plan::KernelOp>()), target, options);
    EXPECT_TRUE(succeeded(code));
    return succeeded(code) ? std::move(*code) : CompiledCode();
  }

  MLIRContext context;
  OwningOpRef<ModuleOp> module;
  CPUTarget target;
};

/// An image mapped read + execute, as it lies in an artifact.
class Image {
public:
  explicit Image(const CompiledCode &code) : code(code) {
    memory = mmap(nullptr, code.image.size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                  -1, 0);
    EXPECT_NE(memory, MAP_FAILED);
    memcpy(memory, code.image.data(), code.image.size());
    EXPECT_EQ(mprotect(memory, code.image.size(), PROT_READ | PROT_EXEC), 0);
  }
  ~Image() { munmap(memory, code.image.size()); }

  void call(llvm::StringRef name, std::vector<void *> buffers, std::vector<int64_t> scalars,
            int64_t begin, int64_t end) const {
    for (const CompiledKernel &kernel : code.kernels) {
      if (kernel.name != name)
        continue;
      std::vector<char> scratch(kernel.scratchBytes + 64);
      auto aligned = (reinterpret_cast<uintptr_t>(scratch.data()) + 63) / 64 * 64;
      ingot_kernel_args args = {buffers.data(), scalars.data(), nullptr,
                                reinterpret_cast<void *>(aligned)};
      reinterpret_cast<ingot_kernel_fn>(static_cast<char *>(memory) + kernel.entry)(&args, begin,
                                                                                    end);
      return;
    }
    ADD_FAILURE() << "no kernel " << name.str();
  }

private:
  const CompiledCode &code;
  void *memory;
};

/// Aligned as the arena is, with a canary behind.
struct Buffer {
  explicit Buffer(size_t count)
      : count(count), values(static_cast<float *>(aligned_alloc(64, (count + 32) / 16 * 64))) {
    std::fill(values, values + count + 1, -77.0f);
  }
  ~Buffer() {
    EXPECT_EQ(values[count], -77.0f) << "written behind the end";
    free(values);
  }
  void randomize(unsigned seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    for (size_t i = 0; i < count; ++i)
      values[i] = normal(random);
  }
  size_t count;
  float *values;
};

} // namespace

TEST_F(Compile, RowsKernelsComputeTheRangeTheyAreGiven) {
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
    GTEST_SKIP();
  CompiledCode code = compile(kKernels);
  Image image(code);
  Buffer x(5 * 24), y(5 * 24);
  x.randomize(1);
  float factor = 0.375f;
  int64_t bits = 0;
  memcpy(&bits, &factor, 4);
  image.call("scale", {x.values, y.values}, {bits, 5, 5}, 1, 4);
  for (size_t i = 0; i < 5 * 24; ++i)
    EXPECT_EQ(y.values[i], i < 24 || i >= 4 * 24 ? -77.0f : x.values[i] * factor) << i;
}

TEST_F(Compile, WidthsNeedNotBeWholeVectors) {
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
    GTEST_SKIP();
  CompiledCode code = compile(kKernels);
  Image image(code);
  Buffer x(3 * 7), y(3 * 7);
  x.randomize(2);
  image.call("negate", {x.values, y.values}, {3, 3}, 0, 3);
  for (size_t i = 0; i < 21; ++i)
    EXPECT_EQ(y.values[i], -x.values[i]);
}

TEST_F(Compile, TheImageIsSelfContained) {
  CompiledCode code = compile(kKernels);
  ASSERT_FALSE(code.image.empty());
  auto object =
      llvm::object::ObjectFile::createELFObjectFile(llvm::MemoryBufferRef(code.image, "image"));
  ASSERT_TRUE(bool(object)) << llvm::toString(object.takeError());
  auto *elf = llvm::cast<llvm::object::ELF64LEObjectFile>(object->get());
  for (const auto &symbol : elf->getDynamicSymbolIterators())
    EXPECT_FALSE(llvm::cantFail(symbol.getFlags()) & llvm::object::BasicSymbolRef::SF_Undefined);
  for (const auto &section : llvm::cantFail(elf->getELFFile().sections()))
    EXPECT_TRUE(section.sh_type != llvm::ELF::SHT_RELA && section.sh_type != llvm::ELF::SHT_REL);
  for (const auto &segment : llvm::cantFail(elf->getELFFile().program_headers())) {
    if (segment.p_type != llvm::ELF::PT_LOAD || !(segment.p_flags & llvm::ELF::PF_X))
      continue;
    EXPECT_EQ(segment.p_offset, segment.p_vaddr);
    EXPECT_FALSE(segment.p_flags & llvm::ELF::PF_W);
  }
  ASSERT_EQ(code.kernels.size(), 3u);
  for (const CompiledKernel &kernel : code.kernels)
    EXPECT_LT(kernel.entry, code.image.size());
}

/// A row alone reads several panels by turns where a thread has several.
TEST_F(Compile, PanelsHaveTheSameBitsInAnyCompany) {
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
    GTEST_SKIP();
  // Eight panels, the last one narrow, in 31 sub-panels; three blocks of k, the last one odd; more
  // rows than tiles share without widening, and some behind their last whole tile.
  const int64_t rows = 41, k = 557, n = 490;
  std::string text;
  for (llvm::StringRef element : {"f32", "bf16"})
    for (llvm::StringRef weight : {"f32", "bf16"}) {
      std::string x = ("tensor<?x557x" + element + ">").str();
      std::string w = ("tensor<490x557x" + weight + ", #plan.panels<64, 1>>").str();
      text += "plan.kernel @" + (element + "_" + weight).str() + "(%x: " + x + ", %w: " + w +
              ") -> tensor<?x490xf32> attributes {schedule = #plan.schedule<linear>} {\n  %0 = "
              "tfm.linear %x, %w : " +
              x + ", " + w + " -> tensor<?x490xf32>\n  plan.yield %0 : tensor<?x490xf32>\n}\n";
    }
  CompiledCode code = compile(text);
  Image image(code);
  for (bool pairs : {false, true}) {
    // Numbers that bf16 has, so that all types hold the same. Lines of pairs are as long as two of
    // f32.
    Buffer x(rows * k), x16(rows * k), w(512 * (k + 1)), wanted(rows * n), got(rows * n);
    x.randomize(3);
    w.randomize(4);
    if (pairs) // finite halves
      for (size_t i = 0; i < w.count; ++i) {
        uint32_t bits;
        memcpy(&bits, &w.values[i], 4);
        bits &= 0xbfffbfff;
        memcpy(&w.values[i], &bits, 4);
      }
    auto *bits16 = reinterpret_cast<uint16_t *>(x16.values);
    for (int64_t i = 0; i < rows * k; ++i) {
      uint32_t bits;
      memcpy(&bits, &x.values[i], 4);
      bits &= 0xffff0000;
      memcpy(&x.values[i], &bits, 4);
      bits16[i] = uint16_t(bits >> 16);
    }
    llvm::StringRef weight = pairs ? "bf16" : "f32";
    auto run = [&](bool narrow, Buffer &y, int64_t firstRow, int64_t count,
                   std::vector<int64_t> cuts) {
      void *from = narrow ? static_cast<void *>(bits16 + firstRow * k) : x.values + firstRow * k;
      for (size_t i = 0; i + 1 < cuts.size(); ++i)
        image.call((llvm::Twine(narrow ? "bf16_" : "f32_") + weight).str(),
                   {from, w.values, y.values + firstRow * n}, {count, count}, cuts[i], cuts[i + 1]);
    };
    std::fill(wanted.values, wanted.values + rows * n, -77.0f);
    run(false, wanted, 0, rows, {0, 31});
    EXPECT_EQ(std::count(wanted.values, wanted.values + rows * n, -77.0f), 0);
    EXPECT_TRUE(std::isfinite(wanted.values[0]) && wanted.values[0] != 0);
    for (bool narrow : {false, true})
      for (std::vector<int64_t> cuts :
           {std::vector<int64_t>{0, 31}, {0, 1, 3, 9, 30, 31}, {0, 28, 31}, {0, 6, 22, 29, 31}})
        for (int64_t count : {1, 2, 3, 5, 13, 24, 25, 33, 41}) {
          std::fill(got.values, got.values + rows * n, -77.0f);
          for (int64_t row = 0; row < rows; row += count)
            run(narrow, got, row, std::min(count, rows - row), cuts);
          EXPECT_EQ(memcmp(got.values, wanted.values, rows * n * 4), 0)
              << weight.str() << (narrow ? ", rows of bf16, " : ", rows of f32, ") << count
              << " at a time, " << cuts.size() - 1 << " ranges";
        }
  }
}

TEST_F(Compile, TilesFitWhatIsMultiplied) {
  auto text = [](llvm::StringRef element, llvm::StringRef weight) {
    std::string x = ("tensor<?x64x" + element + ">").str(),
                w = ("tensor<64x64x" + weight + ", #plan.panels<64, 1>>").str();
    return "plan.kernel @f(%x: " + x + ", %w: " + w +
           ") -> tensor<?x64xf32> attributes {schedule = #plan.schedule<linear>} {\n  %0 = "
           "tfm.linear %x, %w : " +
           x + ", " + w + " -> tensor<?x64xf32>\n  plan.yield %0 : tensor<?x64xf32>\n}\n";
  };
  auto schedules = [&](const std::string &kernel, llvm::StringRef name) {
    module = parseSourceString<ModuleOp>(kernel, &context);
    EXPECT_TRUE(bool(module));
    std::vector<std::pair<int64_t, int64_t>> tiles;
    for (plan::ScheduleAttr schedule : getSchedules(*module->getOps<plan::KernelOp>().begin(),
                                                    llvm::cantFail(CPUTarget::resolve(name))))
      tiles.emplace_back(schedule.getTileRows(), schedule.getTileVectors());
    return tiles;
  };
  std::string floats = text("f32", "bf16"), bytes = text("!tfm.block<q8_x>", "!tfm.block<q8_0>");
  using Tile = std::pair<int64_t, int64_t>;
  EXPECT_EQ(schedules(floats, "x86-64-v3").front(), Tile(6, 1));
  EXPECT_EQ(schedules(floats, "znver4").front(), Tile(8, 2));
  EXPECT_EQ(schedules(bytes, "x86-64-v3").front(), Tile(4, 1));
  EXPECT_EQ(schedules(bytes, "alderlake").front(), Tile(5, 1));
  EXPECT_EQ(schedules(bytes, "znver4").front(), Tile(8, 2));
  // What --tune tries is different code each.
  for (const std::string &kernel : {floats, bytes})
    for (llvm::StringRef name : {"x86-64-v3", "alderlake", "znver4"}) {
      auto tiles = schedules(kernel, name);
      llvm::sort(tiles);
      EXPECT_GT(tiles.size(), 1u);
      EXPECT_EQ(std::unique(tiles.begin(), tiles.end()), tiles.end());
    }
  module = parseSourceString<ModuleOp>(kKernels, &context);
  EXPECT_EQ(getSchedules(*module->getOps<plan::KernelOp>().begin(), target).size(), 1u);
}

TEST_F(Compile, BytesDoNotDependOnThreads) {
  codegen::CompileOptions one, many;
  one.threads = 1;
  many.threads = 8;
  EXPECT_EQ(compile(kKernels, one).image, compile(kKernels, many).image);
}

// Rows that a call computes first are computed again by every call.
TEST_F(Compile, RowsThatArePreparedLimitDividing) {
  CompiledCode code = compile(R"mlir(
    plan.kernel @direct(%x: tensor<?x21xf32>, %w: tensor<19x21xf32, #plan.panels<64, 1>>) -> tensor<?x19xf32>
        attributes {schedule = #plan.schedule<linear>} {
      %0 = tfm.linear %x, %w : tensor<?x21xf32>, tensor<19x21xf32, #plan.panels<64, 1>> -> tensor<?x19xf32>
      plan.yield %0 : tensor<?x19xf32>
    }
    plan.kernel @prepared(%x: tensor<?x21xf32>, %w: tensor<19x21xf32, #plan.panels<64, 1>>) -> tensor<?x19xf32>
        attributes {schedule = #plan.schedule<linear>} {
      %n = arith.negf %x : tensor<?x21xf32>
      %0 = tfm.linear %n, %w : tensor<?x21xf32>, tensor<19x21xf32, #plan.panels<64, 1>> -> tensor<?x19xf32>
      plan.yield %0 : tensor<?x19xf32>
    }
    plan.kernel @experts(%x: tensor<?x21xf32>, %ids: tensor<?x1xi32>, %w: tensor<38x21xf32, #plan.panels<64, 1, 2>>)
        -> tensor<?x1x19xf32> attributes {schedule = #plan.schedule<experts>} {
      %0 = tfm.expert_linear %x, %w ids(%ids : tensor<?x1xi32>) experts(2)
        : tensor<?x21xf32>, tensor<38x21xf32, #plan.panels<64, 1, 2>> -> tensor<?x1x19xf32>
      plan.yield %0 : tensor<?x1x19xf32>
    })mlir");
  ASSERT_EQ(code.kernels.size(), 3u);
  EXPECT_EQ(code.kernels[0].dividedRows, UINT32_MAX);
  EXPECT_EQ(code.kernels[1].dividedRows, 2u);
  EXPECT_EQ(code.kernels[2].dividedRows, 0u);
}

TEST_F(Compile, EveryStageIsShown) {
  std::vector<std::string> stages;
  codegen::CompileOptions options;
  options.dump = [&](llvm::StringRef kernel, llvm::StringRef stage, llvm::StringRef text) {
    EXPECT_FALSE(text.empty());
    stages.push_back((kernel + "." + stage).str());
  };
  compile(kKernels, options);
  std::vector<std::string> expected;
  for (const char *kernel : {"scale", "negate", "project"})
    for (const char *stage : {"vector.mlir", "ll", "s"})
      expected.push_back(std::string(kernel) + "." + stage);
  EXPECT_EQ(stages, expected);
}

TEST_F(Compile, AnOperationWithoutAKernelIsAnError) {
  module = parseSourceString<ModuleOp>(R"mlir(
    plan.kernel @odd(%x: tensor<?x8xf32>) -> tensor<?x8xf32> attributes {schedule = #plan.schedule<rows>} {
      %0 = builtin.unrealized_conversion_cast %x : tensor<?x8xf32> to tensor<?x8xf32>
      plan.yield %0 : tensor<?x8xf32>
    })mlir",
                                       &context);
  ASSERT_TRUE(bool(module));
  std::string message;
  ScopedDiagnosticHandler handler(&context, [&](Diagnostic &diagnostic) {
    message += diagnostic.str();
    return success();
  });
  EXPECT_TRUE(failed(compileKernels(llvm::to_vector(module->getOps<plan::KernelOp>()), target)));
  EXPECT_NE(message, "");
}
