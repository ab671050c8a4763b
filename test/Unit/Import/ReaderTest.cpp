//===- ReaderTest.cpp - JSON, configs and model information -----------------------------------===//

#include "../../../lib/Import/Config.h"
#include "../../../lib/Import/StackParts.h"
#include "../../../lib/Import/TensorTable.h"
#include "ingot/Import/ModelInfo.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/MLIRContext.h"
#include "gtest/gtest.h"

using namespace llvm;
using namespace ingot;
using namespace ingot::importer;

namespace {

/// A config made of text, and what was said about it.
struct Fixture {
  explicit Fixture(StringRef text, bool strict = false)
      : options{strict}, diagnostics(options, report), object(parse(text)),
        config("c", object, diagnostics) {}
  json::Object parse(StringRef text) {
    auto parsed = parseJson(text, "c", diagnostics);
    return succeeded(parsed) ? std::move(*parsed) : json::Object();
  }
  std::string messages() const {
    std::string all;
    for (const ImportMessage &message : report.messages)
      all += (message.isError ? "E " : "W ") + message.str() + "\n";
    return all;
  }

  ImportOptions options;
  ImportReport report;
  Diagnostics diagnostics;
  json::Object object;
  Config config;
};

TEST(Json, Values) {
  Fixture f(
      R"({"a": [1, -2, 3.5, 18446744073709551615, 1e400, true, null], "b": {"é": "\u00e9\n"}})");
  // A number beyond all types is not one of JSON's that anybody could mean.
  EXPECT_EQ(f.messages(), "E c: not valid JSON (line 1, column 46)\n");
  Fixture g(R"({"a": [1, -2, 3.5, 18446744073709551615, true, null], "b": {"é": "\u00e9\n"}})");
  EXPECT_EQ(g.messages(), "");
  const json::Array &array = *g.object.getArray("a");
  EXPECT_EQ(array[0].getAsInteger(), 1);
  EXPECT_EQ(array[1].getAsInteger(), -2);
  EXPECT_EQ(array[2].getAsNumber(), 3.5);
  EXPECT_EQ(array[3].getAsNumber(), 18446744073709551616.0);
  EXPECT_EQ(array[3].getAsUINT64(), std::nullopt);
  EXPECT_EQ(g.object.getObject("b")->getString("é"), "é\n");
}

TEST(Json, Limits) {
  auto nested = [](size_t depth) {
    return "{\"a\":" + std::string(depth - 1, '[') + std::string(depth - 1, ']') + "}";
  };
  EXPECT_EQ(Fixture(nested(32)).messages(), "");
  EXPECT_EQ(Fixture(nested(33)).messages(), "E c: values nested deeper than 32\n");
  EXPECT_EQ(Fixture(nested(1'000'000)).messages(), "E c: values nested deeper than 32\n");
  std::string many = "{\"a\": [";
  for (size_t i = 0; i < (size_t(4) << 20); ++i)
    many += "0,";
  EXPECT_EQ(Fixture(many + "0]}").messages(), "E c: more than 4194304 values\n");
}

TEST(Json, Text) {
  EXPECT_EQ(quote("a'\n\x01"), "'a'\\0A\\01'");
  EXPECT_EQ(quote(std::string(300, 'x')), "'" + std::string(200, 'x') + "...'");
  EXPECT_EQ(toText(json::Value(std::string(300, 'x'))), "\"" + std::string(99, 'x') + "...");
  EXPECT_EQ(shapeText({}), "[]");
  EXPECT_EQ(shapeText({2, 3}), "[2, 3]");
}

TEST(Config, FirstErrorCounts) {
  Fixture f(R"({"a": "x", "b": -1})");
  EXPECT_EQ(f.config.integer("a", 5, 9), 5);
  EXPECT_EQ(f.config.integer("b", 5, 9), 5);
  EXPECT_TRUE(f.diagnostics.failed());
  EXPECT_EQ(f.messages(), "E c: field 'a': expected an integer from 5 to 9, got \"x\"\n");
}

TEST(Config, Names) {
  Fixture f(R"({"new": 3, "old": 3, "inner": {"x": 1.0}})");
  EXPECT_EQ(f.config.integer("new|old", 1, 9), 3);
  EXPECT_EQ(f.config.integer("absent|old", 1, 9), 3);
  EXPECT_EQ(f.config.integer("absent", 1, 9, 7), 7);
  ASSERT_TRUE(f.config.child("inner"));
  EXPECT_EQ(f.config.child("inner"), f.config.child("none|inner"));
  EXPECT_EQ(f.config.child("inner")->integer("x", 0, 9), 1);
  EXPECT_EQ(f.messages(), "");
  Fixture g(R"({"new": 3, "old": 4})");
  g.config.integer("new|old", 1, 9);
  EXPECT_EQ(g.messages(), "E c: field 'old': expected the same as field 'new', 3, got 4\n");
}

TEST(Config, Classes) {
  Fixture f(R"({"r": 1, "w": 2, "u": 3, "n": null, "o": {"r": 1, "u": 2}})");
  f.config.integer("r", 0, 9);
  f.config.child("o")->integer("r", 0, 9);
  f.config.reportUnread([](StringRef name) { return name == "w"; });
  EXPECT_EQ(f.report.fieldsRead, (std::vector<std::string>{"o", "o.r", "r"}));
  EXPECT_EQ(f.report.fieldsWithoutEffect, std::vector<std::string>{"w"});
  EXPECT_EQ(f.report.fieldsUnknown, (std::vector<std::string>{"o.u", "u"}));
  EXPECT_EQ(f.messages(), "W c: field 'o.u' is unknown and was ignored\n"
                          "W c: field 'u' is unknown and was ignored\n");
}

TEST(Config, Ids) {
  Fixture f(R"({"one": 3, "list": [5, 4, 5], "none": null, "bad": [1, "x"]})");
  EXPECT_EQ(f.config.ids("one"), std::vector<int64_t>{3});
  EXPECT_EQ(f.config.ids("list"), (std::vector<int64_t>{5, 4}));
  EXPECT_EQ(f.config.ids("none", {1}), std::vector<int64_t>{});
  EXPECT_EQ(f.config.ids("absent", {1}), std::vector<int64_t>{1});
  EXPECT_EQ(f.messages(), "");
  f.config.ids("bad");
  EXPECT_EQ(f.messages(), "E c: field 'bad': expected an id or a list of ids, got [1,\"x\"]\n");
}

TEST(ModelInfo, RoundTrip) {
  mlir::MLIRContext context(mlir::MLIRContext::Threading::DISABLED);
  ModelInfo info;
  info.modelType = "m";
  info.vocab = 1;
  info.context = 2;
  info.learnedPositions = true;
  info.window = 3;
  info.endIds = {4, 5};
  info.beginId = 6;
  info.layers = 7;
  info.hidden = 8;
  info.heads = 9;
  info.kvHeads = 10;
  info.headDim = 11;
  mlir::OwningOpRef<mlir::ModuleOp> module =
      mlir::ModuleOp::create(mlir::UnknownLoc::get(&context));
  EXPECT_TRUE(failed(ModelInfo::get(*module)));
  module.get()->setAttr("tfm.model", info.toAttr(&context));
  auto read = ModelInfo::get(*module);
  ASSERT_TRUE(succeeded(read));
  EXPECT_EQ(read->toAttr(&context), info.toAttr(&context));
  EXPECT_EQ(read->endIds, info.endIds);
  EXPECT_EQ(read->headDim, 11);
  // Every field is needed.
  for (mlir::NamedAttribute dropped : info.toAttr(&context)) {
    llvm::SmallVector<mlir::NamedAttribute> rest;
    for (mlir::NamedAttribute field : info.toAttr(&context))
      if (field.getName() != dropped.getName())
        rest.push_back(field);
    module.get()->setAttr("tfm.model", mlir::DictionaryAttr::get(&context, rest));
    std::string message;
    mlir::ScopedDiagnosticHandler handler(&context,
                                          [&](mlir::Diagnostic &d) { message = d.str(); });
    EXPECT_TRUE(failed(ModelInfo::get(*module))) << dropped.getName().str();
    EXPECT_NE(message.find("field '" + dropped.getName().str() + "' of tfm.model: expected "),
              std::string::npos)
        << message;
  }
}

TEST(ModelInfo, wrongFields) {
  mlir::MLIRContext context;
  ModelInfo info;
  info.outputs.push_back({"classes", "f", true, 2, {"good", "bad"}, false});
  auto module =
      mlir::OwningOpRef<mlir::ModuleOp>(mlir::ModuleOp::create(mlir::UnknownLoc::get(&context)));
  mlir::Builder b(&context);
  auto expectError = [&](llvm::StringRef name, mlir::Attribute value, llvm::StringRef expected) {
    mlir::NamedAttrList fields(info.toAttr(&context));
    fields.set(name, value);
    module.get()->setAttr("tfm.model", fields.getDictionary(&context));
    std::string message;
    mlir::ScopedDiagnosticHandler handler(&context,
                                          [&](mlir::Diagnostic &d) { message = d.str(); });
    EXPECT_TRUE(failed(ModelInfo::get(*module)));
    EXPECT_EQ(message, expected);
  };
  auto output = mlir::cast<mlir::DictionaryAttr>(
      mlir::cast<mlir::ArrayAttr>(info.toAttr(&context).get("outputs"))[0]);
  mlir::NamedAttrList numbers(output);
  numbers.set("labels", b.getI64ArrayAttr({1}));
  expectError("outputs", b.getArrayAttr(numbers.getDictionary(&context)),
              "field 'outputs[0].labels' of tfm.model: expected a list of strings, got [1]");
  expectError("outputs", b.getStrArrayAttr({"x"}),
              "field 'outputs' of tfm.model: expected a list of dictionaries, got [\"x\"]");
  expectError(
      "pooling", b.getStringAttr("maen"),
      "field 'pooling' of tfm.model: expected first, last, mean, max or pooled, got \"maen\"");
  expectError("vocab", b.getI32IntegerAttr(3),
              "field 'vocab' of tfm.model: expected an i64, got 3 : i32");
}

/// What stacks do not have is not dropped.
TEST(Stacks, OfDecoders) {
  DecoderSpec plain;
  plain.hidden = 8;
  plain.layers.resize(2);
  for (LayerSpec &layer : plain.layers) {
    layer.name = "layers.*";
    layer.attention.query.name = "layers.*.q";
  }
  plain.layers[1].attention.window = 3;
  std::optional<StackSpec> stack = bidirectional(plain);
  ASSERT_TRUE(stack);
  EXPECT_EQ(stack->layers[1].name, "layers.1.");
  EXPECT_EQ(stack->layers[1].attention.query.name, "q");
  EXPECT_EQ(stack->layers[0].reach, -1);
  EXPECT_EQ(stack->layers[1].reach, 2);
  auto isRefused = [&](llvm::function_ref<void(DecoderSpec &, LayerSpec &)> change) {
    DecoderSpec other = plain;
    change(other, other.layers[1]);
    return !bidirectional(other);
  };
  EXPECT_TRUE(isRefused([](DecoderSpec &, LayerSpec &l) { l.mixture.experts = 2; }));
  EXPECT_TRUE(isRefused([](DecoderSpec &, LayerSpec &l) { l.parallel = true; }));
  EXPECT_TRUE(isRefused([](DecoderSpec &, LayerSpec &l) { l.addsToNormed = true; }));
  EXPECT_TRUE(isRefused([](DecoderSpec &, LayerSpec &l) { l.residualScale = 2; }));
  EXPECT_TRUE(
      isRefused([](DecoderSpec &, LayerSpec &l) { l.attentionSumNorm.kind = NormSpec::Rms; }));
  EXPECT_TRUE(
      isRefused([](DecoderSpec &, LayerSpec &l) { l.feedForwardSumNorm.kind = NormSpec::Rms; }));
  EXPECT_TRUE(isRefused([](DecoderSpec &spec, LayerSpec &) { spec.positionTable = "wpe"; }));
  EXPECT_TRUE(isRefused([](DecoderSpec &spec, LayerSpec &) { spec.embeddingSize = 4; }));
}

} // namespace
