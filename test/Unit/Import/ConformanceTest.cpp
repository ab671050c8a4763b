//===- ConformanceTest.cpp - imported graphs against the library's own results ----------------===//
//
// Imports every model of ../shared/models/zoo whose family is supported, and two trained ones, and
// runs the graph in the reference interpreter in f64 on the recorded inputs. The references are f64
// too, with frequencies in f32 as the graph has them, so what differs is a mistake.
//
//===----------------------------------------------------------------------------------------===//

#include "../../../lib/Import/HuggingFace/EncoderDecoderFamilies.h"
#include "../../../lib/Import/HuggingFace/EncoderFamilies.h"
#include "../../../lib/Import/HuggingFace/Families.h"
#include "../../../lib/Import/Safetensors.h"
#include "ingot/Import/HuggingFace.h"
#include "ingot/Reference/Interpreter.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/MLIRContext.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "gtest/gtest.h"
#include <cstdlib>

using namespace llvm;
using namespace ingot;
using namespace ingot::importer;

namespace {

/// The folder of models, or nothing.
std::string modelsFolder() {
  const char *set = std::getenv("INGOT_SHARED");
  std::string folder = (set ? std::string(set) : INGOT_SOURCE_DIR "/../shared") + "/models";
  return sys::fs::is_directory(folder) ? folder : "";
}

/// A file of recorded tensors.
class Recorded {
public:
  Recorded(mlir::MLIRContext *context, const std::string &directory) {
    ImportReport report;
    Diagnostics diagnostics({}, report);
    if (failed(readSafetensors(context, directory, "reference.safetensors", table, diagnostics)))
      ADD_FAILURE() << report.messages.back().str();
    auto file = MemoryBuffer::getFile(directory + "/reference.safetensors");
    if (file)
      buffer = std::move(*file);
  }
  const TensorInfo *find(StringRef name) const { return table.find(name); }
  template <typename T> std::vector<T> read(StringRef name) const {
    const TensorInfo *info = table.find(name);
    std::vector<T> values(info->bytes / sizeof(T));
    memcpy(values.data(), buffer->getBufferStart() + info->offset, info->bytes);
    return values;
  }
  /// Names of the form "<case>.<suffix>", without the suffix.
  std::vector<std::string> cases(StringRef suffix) const {
    std::vector<std::string> result;
    for (const auto &[name, info] : table)
      if (StringRef(name).ends_with(suffix))
        result.push_back(StringRef(name).drop_back(suffix.size()).str());
    return result;
  }

private:
  TensorTable table;
  std::unique_ptr<MemoryBuffer> buffer;
};

/// An imported model that can be run.
class Model {
public:
  explicit Model(const std::string &directory,
                 reference::Precision precision = reference::Precision::F64) {
    ImportReport report;
    auto imported = importHuggingFace(&context, directory, {}, report);
    if (failed(imported)) {
      ADD_FAILURE() << report.messages.back().str();
      return;
    }
    EXPECT_TRUE(report.fieldsUnknown.empty()) << report.fieldsUnknown.front();
    EXPECT_TRUE(report.tensorsUnused.empty()) << report.tensorsUnused.front();
    module = std::move(*imported);
    reference::InterpreterOptions options;
    options.precision = precision;
    options.parameters = std::make_shared<reference::FileParameterSource>(directory);
    interpreter.emplace(*module, options);
  }

  /// Logits of every position.
  std::optional<reference::Tensor> run(ArrayRef<int64_t> ids) {
    return run("forward", {tensorOf(ids)});
  }

  reference::RuntimeValue tensorOf(ArrayRef<int64_t> ids) {
    auto type = mlir::IntegerType::get(&context, 32);
    return reference::Tensor::ofInts({int64_t(ids.size())}, type, ids);
  }
  bool has(StringRef function) {
    return module && module->lookupSymbol<mlir::func::FuncOp>(function);
  }
  unsigned numInputs(StringRef function) {
    return module->lookupSymbol<mlir::func::FuncOp>(function).getNumArguments();
  }

  /// The result of a function.
  std::optional<reference::Tensor> run(StringRef function,
                                       ArrayRef<reference::RuntimeValue> inputs) {
    if (!interpreter)
      return std::nullopt;
    auto results = interpreter->run(function, inputs);
    if (failed(results)) {
      ADD_FAILURE() << "the interpreter failed";
      return std::nullopt;
    }
    return std::get<reference::Tensor>(results->front());
  }

  mlir::MLIRContext context{mlir::MLIRContext::Threading::DISABLED};

private:
  mlir::OwningOpRef<mlir::ModuleOp> module;
  std::optional<reference::Interpreter> interpreter;
};

/// The largest difference between the last rows of `logits` and `expected`.
double difference(const reference::Tensor &logits, ArrayRef<float> expected) {
  int64_t first = logits.getNumElements() - int64_t(expected.size());
  if (first < 0)
    return 1e30;
  double worst = 0;
  for (auto [i, value] : enumerate(expected)) {
    double delta = std::abs(logits.floatAt(first + int64_t(i)) - double(value));
    worst = std::max(worst, delta == delta ? delta : 1e30);
  }
  return worst;
}

/// The recorded logits are rounded to f32, which leaves 5e-7. The graph's epsilons are rounded to
/// f32 as well, and 40 layers make 3.3e-6 of that.
constexpr double zooTolerance = 5e-6;

void checkModel(const std::string &directory, double tolerance,
                reference::Precision precision = reference::Precision::F64) {
  SCOPED_TRACE(directory);
  Model model(directory, precision);
  Recorded recorded(&model.context, directory);
  size_t checked = 0;
  for (const std::string &name : recorded.cases(".input_ids")) {
    bool last = recorded.find(name + ".logits_last4");
    auto ids = recorded.read<int64_t>(name + ".input_ids");
    auto expected = recorded.read<float>(name + (last ? ".logits_last4" : ".logits"));
    std::optional<reference::Tensor> logits = model.run(ids);
    if (!logits)
      return;
    EXPECT_LT(difference(*logits, expected), tolerance) << name;
    ++checked;
  }
  EXPECT_GT(checked, 0u);
}

class Zoo : public testing::Test {
protected:
  void SetUp() override {
    models = modelsFolder();
    if (models.empty())
      GTEST_SKIP() << "reference models are not there (INGOT_SHARED)";
  }
  std::string models;
};

TEST_F(Zoo, EveryModelOfASupportedFamily) {
  auto manifest = MemoryBuffer::getFile(models + "/zoo/MANIFEST.tsv");
  ASSERT_TRUE(bool(manifest));
  SmallVector<StringRef> lines;
  (*manifest)->getBuffer().split(lines, '\n', -1, /*KeepEmpty=*/false);
  size_t count = 0;
  for (StringRef line : ArrayRef<StringRef>(lines).drop_front()) {
    auto [name, rest] = line.split('\t');
    StringRef architecture = rest.split('\t').first;
    if (none_of(families(), [&](const Family &f) { return f.architecture == architecture; }))
      continue;
    std::string directory = (models + "/zoo/" + name).str();
    // Biases that are rounded to bfloat16 need the interpreter to round.
    if (name == "falcon-alibi-16h")
      checkModel(directory, 2e-5, reference::Precision::F32);
    else
      // The library scales the frequencies of these in f32 at run time.
      checkModel(directory,
                 name == "llama-rope-dynamic" || name == "phi3-longrope" ? 5e-5 : zooTolerance);
    ++count;
  }
  EXPECT_GE(count, 71u);
}

/// The rows of a recorded batch whose tokens are real, one sequence after the other.
template <typename T>
std::vector<std::vector<T>> realRows(const Recorded &recorded, const std::string &name,
                                     const std::string &mask, int64_t width) {
  auto values = recorded.read<T>(name);
  auto keep = recorded.read<int64_t>(mask);
  int64_t batch = recorded.find(mask)->shape[0], length = recorded.find(mask)->shape[1];
  std::vector<std::vector<T>> rows(batch);
  for (int64_t i = 0; i < batch * length; ++i)
    if (keep[i])
      rows[i / length].insert(rows[i / length].end(), values.begin() + i * width,
                              values.begin() + (i + 1) * width);
  return rows;
}

/// Whether a folder's reference is that of an encoder.
bool recordedIsEncoder(const std::string &directory) {
  mlir::MLIRContext context(mlir::MLIRContext::Threading::DISABLED);
  return Recorded(&context, directory).find("single.attention_mask");
}

void checkEncoder(const std::string &directory) {
  SCOPED_TRACE(directory);
  Model model(directory);
  Recorded recorded(&model.context, directory);
  for (const std::string &name : {"single", "padded"}) {
    std::string mask = name + ".attention_mask";
    auto ids = realRows<int64_t>(recorded, name + ".input_ids", mask, 1);
    bool typed = model.has("hidden") && model.numInputs("hidden") == 2;
    std::vector<std::vector<int64_t>> types(ids.size());
    if (typed && recorded.find(name + ".token_type_ids"))
      types = realRows<int64_t>(recorded, name + ".token_type_ids", mask, 1);
    for (auto [output, suffix, first] :
         {std::tuple("hidden", ".last_hidden_state", false), std::tuple("logits", ".logits", false),
          std::tuple("pooled", ".pooler_output", true),
          std::tuple("classes", ".seq_relationship_logits", true)}) {
      const TensorInfo *info = recorded.find(name + suffix);
      if (!info)
        continue;
      ASSERT_TRUE(model.has(output)) << output;
      int64_t width = info->shape.size() == (first ? 2u : 3u) ? info->shape.back() : 1;
      std::vector<std::vector<float>> rows;
      if (!first)
        rows = realRows<float>(recorded, name + suffix, mask, width);
      auto all = recorded.read<float>(name + suffix);
      for (size_t b = 0; b < ids.size(); ++b) {
        SmallVector<reference::RuntimeValue> inputs = {model.tensorOf(ids[b])};
        types[b].resize(ids[b].size());
        if (typed)
          inputs.push_back(model.tensorOf(types[b]));
        std::optional<reference::Tensor> got = model.run(output, inputs);
        ASSERT_TRUE(got);
        ArrayRef<float> expected =
            first ? ArrayRef(all).slice(b * width, width) : ArrayRef<float>(rows[b]);
        double worst = 0;
        for (auto [i, value] : enumerate(expected))
          worst = std::max(worst, std::abs(got->floatAt(i) - double(value)));
        EXPECT_LT(worst, zooTolerance) << name << " " << output;
      }
    }
  }
}

void checkEncoderDecoder(const std::string &directory) {
  SCOPED_TRACE(directory);
  Model model(directory);
  Recorded recorded(&model.context, directory);
  for (const std::string &name : {"single", "padded"}) {
    std::string mask = name + ".attention_mask";
    auto ids = realRows<int64_t>(recorded, name + ".input_ids", mask, 1);
    const TensorInfo *info = recorded.find(name + ".encoder_last_hidden_state");
    auto states =
        realRows<float>(recorded, name + ".encoder_last_hidden_state", mask, info->shape.back());
    auto text = recorded.read<int64_t>(name + ".decoder_input_ids");
    auto logits = recorded.read<float>(name + ".logits");
    size_t length = text.size() / ids.size(), perText = logits.size() / ids.size();
    for (size_t b = 0; b < ids.size(); ++b) {
      std::optional<reference::Tensor> source = model.run("encode", {model.tensorOf(ids[b])});
      ASSERT_TRUE(source);
      EXPECT_LT(difference(*source, states[b]), zooTolerance) << name << " encoder";
      std::optional<reference::Tensor> got =
          model.run("forward", {model.tensorOf(ArrayRef(text).slice(b * length, length)), *source});
      ASSERT_TRUE(got);
      EXPECT_LT(difference(*got, ArrayRef(logits).slice(b * perText, perText)), zooTolerance)
          << name << " logits";
    }
  }
}

TEST_F(Zoo, EncodersAndEncoderDecoders) {
  auto manifest = MemoryBuffer::getFile(models + "/zoo/MANIFEST.tsv");
  ASSERT_TRUE(bool(manifest));
  SmallVector<StringRef> lines;
  (*manifest)->getBuffer().split(lines, '\n', -1, /*KeepEmpty=*/false);
  size_t encoders = 0, decoders = 0;
  for (StringRef line : ArrayRef<StringRef>(lines).drop_front()) {
    auto [name, rest] = line.split('\t');
    StringRef architecture = rest.split('\t').first;
    std::string folder = (models + "/zoo/" + name).str();
    if (any_of(encoderDecoderFamilies(),
               [&](const auto &family) { return family.architecture == architecture; })) {
      checkEncoderDecoder(folder);
      ++decoders;
    } else if (any_of(encoderFamilies(),
                      [&](const auto &family) {
                        StringRef head = architecture;
                        return head.consume_front(family.className) &&
                               (head == "Model" || head.starts_with("For"));
                      }) &&
               recordedIsEncoder(folder)) {
      checkEncoder(folder);
      ++encoders;
    }
  }
  EXPECT_GE(encoders, 18u);
  EXPECT_GE(decoders, 9u);
}

/// Configs as version 4 of the library writes them describe the same graphs.
TEST_F(Zoo, OlderConfigs) {
  size_t count = 0;
  std::error_code ec;
  for (sys::fs::directory_iterator it(models + "/zoo", ec), end; it != end && !ec;
       it.increment(ec)) {
    std::string older = it->path() + "/config.v4.json";
    if (!sys::fs::exists(older))
      continue;
    // A folder with the older config, and the model's files by link.
    SmallString<128> folder;
    ASSERT_FALSE(sys::fs::createUniqueDirectory("ingot-older-config", folder));
    auto import = [&](const std::string &directory) {
      mlir::MLIRContext context(mlir::MLIRContext::Threading::DISABLED);
      ImportReport report;
      auto module = importHuggingFace(&context, directory, {}, report);
      std::string text;
      if (succeeded(module))
        raw_string_ostream(text) << **module;
      return text;
    };
    for (sys::fs::directory_iterator file(it->path(), ec); file != end && !ec; file.increment(ec)) {
      StringRef name = sys::path::filename(file->path());
      if (name == "config.json")
        continue;
      StringRef link = name == "config.v4.json" ? "config.json" : name;
      ASSERT_FALSE(sys::fs::create_link(file->path(), folder + "/" + link));
    }
    std::string newer = import(it->path());
    if (!newer.empty()) {
      EXPECT_EQ(newer, import(folder.str().str())) << it->path();
      ++count;
    }
    sys::fs::remove_directories(folder);
  }
  EXPECT_GE(count, 5u);
}

TEST_F(Zoo, Stories260K) { checkModel(models + "/stories260K/hf", zooTolerance); }

TEST_F(Zoo, NanoSort) {
  std::string folder = models + "/nano-sort/hf";
  Model model(folder);
  Recorded recorded(&model.context, folder);
  auto ids = recorded.read<int64_t>("input_ids");
  auto expected = recorded.read<float>("lm_head");
  for (size_t row = 0; row < 3; ++row) {
    std::optional<reference::Tensor> logits = model.run(ArrayRef(ids).slice(11 * row, 11));
    ASSERT_TRUE(logits);
    // Recorded from a run in f32.
    EXPECT_LT(difference(*logits, ArrayRef(expected).slice(33 * row, 33)), 1e-4);
  }
}

} // namespace
