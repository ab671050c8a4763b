//===- ModuleTablesTest.cpp - programs as tables --------------------------------------------===//

#include "ingot/Artifact/ModuleTables.h"
#include "TestFiles.h"
#include "TestModule.h"
#include "ingot/Dialect/Plan/Utils/KernelInterface.h"
#include "ingot/Dialect/Plan/Utils/PanelLayout.h"
#include "mlir/AsmParser/AsmParser.h"
#include <map>

using namespace ingot;
using namespace ingot::artifact;
using namespace ingot::test;

namespace {

ModuleTables build(const std::string &source) {
  ParsedModule parsed(source);
  auto tables = buildModuleTables(*parsed.module);
  if (!tables) {
    ADD_FAILURE() << llvm::toString(tables.takeError());
    return ModuleTables();
  }
  return std::move(*tables);
}

std::string buildError(const std::string &source) {
  ParsedModule parsed(source);
  return parsed.module ? text(buildModuleTables(*parsed.module)) : "does not parse";
}

/// Evaluates sizes as the runtime does. A dimension of a batch is 1000 x batch + 10 x kind +
/// window, so that every mistake shows.
int64_t evaluate(const fb::ProgramT &program, uint32_t index,
                 std::map<std::pair<int, int>, int64_t> dims = {}) {
  const fb::Size &size = program.sizes[index];
  auto operand = [&](int32_t i) {
    EXPECT_LT(i, int32_t(index));
    return evaluate(program, uint32_t(i), dims);
  };
  switch (size.op()) {
  case fb::SizeOp::Constant:
    return size.value();
  case fb::SizeOp::InputDim:
    return dims.at({size.a(), size.b()});
  case fb::SizeOp::BatchDim:
    return 1000 * size.a() + 10 * size.b() + size.value();
  case fb::SizeOp::Add:
    return operand(size.a()) + operand(size.b());
  case fb::SizeOp::Sub:
    return operand(size.a()) - operand(size.b());
  case fb::SizeOp::Mul:
    return operand(size.a()) * operand(size.b());
  case fb::SizeOp::CeilDiv:
    return (operand(size.a()) + operand(size.b()) - 1) / operand(size.b());
  case fb::SizeOp::FloorDiv:
    return operand(size.a()) / operand(size.b());
  case fb::SizeOp::Mod:
    return operand(size.a()) % operand(size.b());
  case fb::SizeOp::Max:
    return std::max(operand(size.a()), operand(size.b()));
  case fb::SizeOp::Min:
    return std::min(operand(size.a()), operand(size.b()));
  }
  return -1;
}

using Buffers = std::vector<std::pair<fb::BufferKind, uint32_t>>;
Buffers buffersOf(const fb::DispatchT &dispatch) {
  Buffers result;
  for (const fb::Buffer &buffer : dispatch.buffers)
    result.push_back({buffer.kind(), buffer.index()});
  return result;
}

TEST(ModuleTables, HoldALanguageModel) {
  ModuleTables tables = build(languageModel());
  const fb::ArtifactT &head = tables.head;

  // Kernels that nobody dispatches are left out.
  ASSERT_EQ(head.kernels.size(), 5u);
  EXPECT_EQ(head.kernels[0]->name, "embed");
  EXPECT_EQ(head.kernels[4]->name, "head");

  const fb::LanguageModelT &model = *head.language_model;
  EXPECT_EQ(model.vocabulary, 40u);
  EXPECT_EQ(model.context, 128u);
  EXPECT_EQ(model.past_context, fb::PastContext::Restart);
  EXPECT_EQ(model.keep, 64u);
  EXPECT_EQ(model.prefill, 0);
  EXPECT_EQ(model.decode, 1);
  EXPECT_EQ(model.whole, -1);
  EXPECT_EQ(model.max_tokens, 16u);
  EXPECT_EQ(model.max_outputs, 4u);
  EXPECT_EQ(model.end_ids, (std::vector<uint32_t>{2, 7}));
  EXPECT_EQ(model.begin_id, 1);
  ASSERT_EQ(model.cache_groups.size(), 1u);
  EXPECT_EQ(model.cache_groups[0]->page_bytes, 8192u);
  EXPECT_EQ(model.cache_groups[0]->layers, 2u);

  // Equal weights are one, in both phases; in the order of their first use.
  ASSERT_EQ(tables.weights.size(), 3u);
  EXPECT_EQ(tables.weights[0].name, "embed");
  EXPECT_EQ(tables.weights[0].layout, "#plan.panels<32, 1>");
  EXPECT_EQ(tables.weights[0].shape, (std::vector<int64_t>{40, 8}));
  EXPECT_EQ(tables.weights[0].type, fb::ElementType::BF16);
  EXPECT_EQ(tables.weights[0].length, (32u + 16u) * 8 * 2);
  EXPECT_EQ(tables.weights[1].name, "constant 1");
  EXPECT_EQ(tables.weights[1].type, fb::ElementType::I1);
  EXPECT_EQ(tables.weights[1].sources[0].storage, (std::vector<char>{1, 0, 1}));
  EXPECT_EQ(tables.weights[2].name, "b0+b1");
  EXPECT_EQ(tables.weights[2].layout, "rows");
  EXPECT_EQ(tables.weights[2].length, 160u);

  EXPECT_EQ(head.locations,
            (std::vector<std::string>{"embed", "layers.0.append", "q, k at layers.0", "line 3:4"}));

  for (const auto &program : head.programs) {
    ASSERT_EQ(program->inputs.size(), 1u);
    EXPECT_EQ(program->inputs[0]->name, "ids");
    EXPECT_EQ(program->inputs[0]->type, fb::ElementType::I32);
    EXPECT_EQ(program->inputs[0]->shape, std::vector<int64_t>{-1});
    EXPECT_TRUE(program->inputs[0]->sizes.empty());

    // The batch once with its pages for items of one row, once for attention, once without pages.
    ASSERT_EQ(program->batches.size(), 3u);
    uint32_t blocks[] = {1, 4, 1};
    int32_t groups[] = {0, 0, -1};
    for (int i = 0; i < 3; ++i) {
      const fb::BatchT &batch = *program->batches[i];
      EXPECT_EQ(batch.kind, fb::BatchKind::Step);
      EXPECT_EQ(batch.query_block, blocks[i]);
      EXPECT_EQ(batch.cache_group, groups[i]);
      EXPECT_EQ(batch.slot, -1);
      EXPECT_EQ(batch.sequences, -1);
    }
    auto value = [&](uint32_t size) { return evaluate(*program, size); };

    ASSERT_EQ(program->outputs.size(), 1u);
    EXPECT_EQ(program->outputs[0]->name, "logits");
    EXPECT_EQ(program->outputs[0]->shape, (std::vector<int64_t>{-1, 40}));
    ASSERT_EQ(program->outputs[0]->sizes.size(), 2u);
    EXPECT_EQ(value(program->outputs[0]->sizes[0]), 20); // outputs of batch 0
    EXPECT_EQ(value(program->outputs[0]->sizes[1]), 40);

    // Tokens of batch 0 count 0: 0 * 32 bytes, and the largest of that and one more.
    ASSERT_EQ(program->slots.size(), 2u);
    EXPECT_EQ(value(program->slots[0]->bytes), 0);
    EXPECT_EQ(program->sizes[program->slots[1]->bytes].op(), fb::SizeOp::Max);
    EXPECT_EQ(value(program->slots[1]->bytes), 1);

    using K = fb::BufferKind;
    ASSERT_EQ(program->dispatches.size(), 5u);
    const fb::DispatchT &embed = *program->dispatches[0];
    EXPECT_EQ(embed.kernel, 0u);
    EXPECT_EQ(embed.batch, -1);
    EXPECT_EQ(embed.location, 0u);
    EXPECT_EQ(buffersOf(embed), (Buffers{{K::Input, 0}, {K::Weight, 0}, {K::Slot, 0}}));
    ASSERT_EQ(embed.scalars.size(), 2u); // dim 0 of ids and of the result
    EXPECT_EQ(embed.scalars[0].kind(), fb::ScalarKind::Size);
    EXPECT_EQ(program->sizes[embed.scalars[0].value()].op(), fb::SizeOp::InputDim);
    EXPECT_EQ(program->sizes[embed.scalars[1].value()].op(), fb::SizeOp::BatchDim);
    ASSERT_EQ(embed.cost.size(), 2u);
    EXPECT_EQ(embed.cost[0].cost(), fb::CostClass::Activations);
    EXPECT_EQ(embed.cost[0].coefficient(), 36);
    EXPECT_EQ(embed.cost[1].cost(), fb::CostClass::Weights);
    EXPECT_EQ(value(embed.cost[1].size()), 1);

    const fb::DispatchT &append = *program->dispatches[1];
    EXPECT_EQ(append.batch, 0);
    EXPECT_EQ(buffersOf(append), (Buffers{{K::Slot, 0}})); // a cache is no buffer
    ASSERT_EQ(append.scalars.size(), 2u);
    EXPECT_EQ(append.scalars[0].kind(), fb::ScalarKind::Constant);
    EXPECT_EQ(append.scalars[0].value(), 4096);
    EXPECT_EQ(append.scalars[1].kind(), fb::ScalarKind::Size);

    const fb::DispatchT &attend = *program->dispatches[2];
    EXPECT_EQ(attend.batch, 1);
    EXPECT_EQ(attend.location, 2u);
    EXPECT_EQ(value(attend.grid), 2 * (1000 + 60)); // items of its own batch
    EXPECT_EQ(buffersOf(attend), (Buffers{{K::Slot, 0}, {K::Weight, 1}, {K::Slot, 1}}));
    // scale, offset of the appended cache, n, on; then the dims of h and of the result.
    ASSERT_EQ(attend.scalars.size(), 6u);
    EXPECT_EQ(attend.scalars[0].value(), 0x3e000000);
    EXPECT_EQ(attend.scalars[1].value(), 4096);
    EXPECT_EQ(attend.scalars[2].kind(), fb::ScalarKind::Size);
    EXPECT_EQ(value(uint32_t(attend.scalars[2].value())), 1);
    EXPECT_EQ(attend.scalars[3].kind(), fb::ScalarKind::Constant);
    EXPECT_EQ(attend.scalars[3].value(), 1);
    EXPECT_EQ(attend.scalars[4].value(), attend.scalars[5].value());
    ASSERT_EQ(attend.cost.size(), 1u);
    EXPECT_EQ(value(attend.cost[0].size()), 40 + 16); // pairs, window 16

    const fb::DispatchT &gather = *program->dispatches[3];
    EXPECT_EQ(gather.batch, 2);
    EXPECT_EQ(gather.location, 1u);

    const fb::DispatchT &logits = *program->dispatches[4];
    EXPECT_EQ(logits.location, 3u);
    EXPECT_EQ(buffersOf(logits),
              (Buffers{{K::Slot, 0}, {K::Weight, 0}, {K::Weight, 2}, {K::Output, 0}}));
  }
}

TEST(ModuleTables, TakeEndIdsAsTheImporterWritesThem) {
  ModuleTables tables =
      build(edited(languageModel(), "end_ids = [2 : i64, 7 : i64]", "end_ids = array<i64: 9, 3>"));
  EXPECT_EQ(tables.head.language_model->end_ids, (std::vector<uint32_t>{9, 3}));
}

const char kGraph[] = R"mlir(
  plan.kernel @k(%x: tensor<?x?x4xf32>, %cache: !tfm.cache<2x4x8xf16>, %b: !tfm.batch) -> (tensor<?x4xf32>, !tfm.cache<2x4x8xf16>)
      attributes {schedule = #plan.schedule<attention, tileRows = 16>} {
    %0 = builtin.unrealized_conversion_cast %x : tensor<?x?x4xf32> to tensor<?x4xf32>
    plan.yield %0, %cache : tensor<?x4xf32>, !tfm.cache<2x4x8xf16>
  }
  plan.kernel @l(%x: tensor<?x4xf32>, %y: tensor<?x?x4xf32>) -> tensor<?xf64> {
    %0 = builtin.unrealized_conversion_cast %x : tensor<?x4xf32> to tensor<?xf64>
    plan.yield %0 : tensor<?xf64>
  }
  plan.program @graph(%x: tensor<?x?x4xf32> {plan.name = "x"}, %y: tensor<?x?x4xf32> {plan.name = "y"})
      -> (tensor<?x4xf32> {plan.name = "first"}, tensor<?xf64> {plan.name = "second"}) {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c7 = arith.constant 7 : index
    %b = tensor.dim %x, %c0 : tensor<?x?x4xf32>
    %s = tensor.dim %x, %c1 : tensor<?x?x4xf32>
    %t = tensor.dim %y, %c1 : tensor<?x?x4xf32>
    %by = tensor.dim %y, %c0 : tensor<?x?x4xf32>
    %same = arith.cmpi eq, %b, %by : index
    cf.assert %same, "batches differ"
    cf.assert %same, "said twice"
    %always = arith.cmpi eq, %b, %b : index
    cf.assert %always, "says nothing"
    %n = arith.muli %b, %s : index
    %q = arith.ceildivui %n, %c7 : index
    %r = arith.divui %n, %c7 : index
    %m = arith.remui %n, %c7 : index
    %d = arith.subi %q, %r : index
    %lo = arith.minui %d, %m : index
    %hi = arith.maxsi %lo, %s : index
    %batch = tfm.uniform_batch %b, %s, %t
    %pages = tfm.batch_dim %batch pages
    %c3072 = arith.constant 3072 : index
    %bytes = arith.muli %pages, %c3072 : index
    plan.slot 0 bytes(%bytes)
    %cache = tfm.cache_create %batch {slot = 0 : i32} : !tfm.cache<2x4x8xf16>
    %items = tfm.batch_dim %batch items
    %h:2 = plan.dispatch @k(%x, %cache, %batch) sizes(%n) grid(%items) slots [-1, -1]
      : (tensor<?x?x4xf32>, !tfm.cache<2x4x8xf16>, !tfm.batch) -> (tensor<?x4xf32>, !tfm.cache<2x4x8xf16>)
    %rows = tensor.dim %h#0, %c0 : tensor<?x4xf32>
    %o = plan.dispatch @l(%h#0, %y) sizes(%rows) grid(%hi) slots [-1] : (tensor<?x4xf32>, tensor<?x?x4xf32>) -> tensor<?xf64>
    plan.yield %h#0, %o : tensor<?x4xf32>, tensor<?xf64>
  }
)mlir";

TEST(ModuleTables, HoldAGraph) {
  ModuleTables tables = build(kGraph);
  EXPECT_FALSE(tables.head.language_model);
  ASSERT_EQ(tables.head.programs.size(), 1u);
  const fb::ProgramT &program = *tables.head.programs[0];
  std::map<std::pair<int, int>, int64_t> dims = {
      {{0, 0}, 3}, {{0, 1}, 5}, {{1, 0}, 3}, {{1, 1}, 9}};
  auto value = [&](int64_t size) { return evaluate(program, uint32_t(size), dims); };

  ASSERT_EQ(program.batches.size(), 1u);
  const fb::BatchT &batch = *program.batches[0];
  EXPECT_EQ(batch.kind, fb::BatchKind::Uniform);
  EXPECT_EQ(batch.query_block, 16u);
  EXPECT_EQ(batch.cache_group, -1);
  EXPECT_EQ(batch.slot, 0);
  EXPECT_EQ(batch.page_bytes, 2u * (4 + 8) * 64 * 2);
  EXPECT_EQ(value(batch.sequences), 3);
  EXPECT_EQ(value(batch.rows), 5);
  EXPECT_EQ(value(batch.keys), 9);
  EXPECT_EQ(value(program.slots[0]->bytes), 50 * 3072);

  ASSERT_EQ(program.checks.size(), 1u);
  EXPECT_NE(program.checks[0].a(), program.checks[0].b());
  EXPECT_EQ(value(program.checks[0].a()), 3);
  EXPECT_EQ(value(program.checks[0].b()), 3);

  using K = fb::BufferKind;
  const fb::DispatchT &first = *program.dispatches[0], &second = *program.dispatches[1];
  EXPECT_EQ(buffersOf(first), (Buffers{{K::Input, 0}, {K::Output, 0}}));
  EXPECT_EQ(value(first.grid), 60); // items of batch 0
  ASSERT_EQ(first.scalars.size(), 4u);
  EXPECT_EQ(first.scalars[0].kind(), fb::ScalarKind::Constant); // the cache's offset
  EXPECT_EQ(first.scalars[0].value(), 0);
  int64_t firstDims[] = {3, 5, 15};
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(value(first.scalars[1 + i].value()), firstDims[i]);

  // An output is read where it stands.
  EXPECT_EQ(buffersOf(second), (Buffers{{K::Output, 0}, {K::Input, 1}, {K::Output, 1}}));
  EXPECT_EQ(second.batch, -1);
  EXPECT_EQ(value(second.grid), 5); // max(min(ceil(15/7) - 15/7, 15 % 7), 5)
  int64_t secondDims[] = {15, 3, 9, 15};
  ASSERT_EQ(second.scalars.size(), 4u);
  for (int i = 0; i < 4; ++i)
    EXPECT_EQ(value(second.scalars[i].value()), secondDims[i]);
  EXPECT_EQ(program.outputs[1]->type, fb::ElementType::F64);
  EXPECT_EQ(tables.head.locations.size(), 2u); // lines of the text above
}

TEST(ModuleTables, RefusesWhatAnArtifactCannotHold) {
  // One edit of a good module, and what the message must say.
  std::pair<const char *, std::pair<const char *, const char *>> graphCases[] = {
      {"with the number of a slot",
       {"tfm.cache_create %batch {slot = 0 : i32}", "tfm.cache_create %batch {slot = 1 : i32}"}},
      {"expected slot 0, got 2", {"plan.slot 0", "plan.slot 2"}},
      {"expected a slot for each result",
       {"slots [-1] : (tensor<?x4xf32>, t", "slots [0] : (tensor<?x4xf32>, t"}},
      {"expected a slot for each result", {"slots [-1, -1]", "slots [7, -1]"}},
      {"expected a grid", {"grid(%hi) ", ""}},
      {"on that batch", {"grid(%hi)", "grid(%items)"}},
      {"assertion that two sizes are equal", {"cmpi eq", "cmpi ult"}},
      {"expected a name", {"{plan.name = \"y\"}", "{}"}},
      {"occurs twice", {"\"second\"", "\"first\""}},
      {"occurs twice", {"{plan.name = \"y\"}", "{plan.name = \"x\"}"}},
      {"expected a flat program, got builtin.unrealized",
       {"%c7 = arith.constant 7 : index", "%c7 = builtin.unrealized_conversion_cast to index"}},
  };
  for (auto &[message, edit] : graphCases) {
    std::string source = kGraph;
    size_t at = source.find(edit.first);
    ASSERT_NE(at, std::string::npos) << edit.first;
    source.replace(at, strlen(edit.first), edit.second);
    SCOPED_TRACE(edit.second);
    std::string error = buildError(source);
    EXPECT_NE(error.find(message), std::string::npos) << error;
    EXPECT_EQ(error.find("@graph: "), 0u) << error;
  }
}

TEST(ModuleTables, RefusesOtherPrograms) {
  auto program = [](const char *type, const char *body) {
    return buildError("plan.program @p(%x: " + std::string(type) +
                      " {plan.name = \"x\"}) -> (tensor<4xf32> {plan.name = \"y\"}) {" + body +
                      "}");
  };
  const char nothing[] =
      "%y = arith.constant dense<0.0> : tensor<4xf32> plan.yield %y : tensor<4xf32>";
  EXPECT_EQ(program("tensor<4xf32>", nothing),
            "@p: result 0: expected a result of a dispatch that is yielded once");
  EXPECT_EQ(program("tensor<4xf32>", "plan.yield %x : tensor<4xf32>"),
            "@p: result 0: expected a result of a dispatch that is yielded once");
  EXPECT_EQ(program("tensor<4xf32>", "plan.yield"),
            "@p: expected plan.yield of the results at the end");
  for (const char *type : {"tensor<4xi3>", "index", "tensor<1x1x1x1x1x1x1x1x1xf32>",
                           "tensor<*xf32>", "tensor<64x4xf32, #plan.panels<64, 1>>"})
    EXPECT_EQ(program(type, nothing),
              "@p: argument 0: expected a plain tensor of at most 8 dimensions, got " +
                  std::string(type));
  std::string good = languageModel();
  auto both = [&](std::string from, std::string to) {
    std::string source = good;
    for (size_t at = 0; (at = source.find(from, at)) != std::string::npos; at += to.size())
      source.replace(at, from.size(), to);
    return buildError(source);
  };
  EXPECT_NE(
      both("from \"b.bin\" at 4", "from \"\" at 4").find("expected parameter b0 to name a file"),
      std::string::npos);
}

TEST(ModuleTables, RefusesModelsThatCannotBe) {
  std::string good = languageModel();
  std::pair<const char *, std::pair<const char *, const char *>> cases[] = {
      {"expected vocab", {"vocab = 40 : i64", "vocab = 0 : i64"}},
      {"expected vocab", {"vocab = 40 : i64, ", ""}},
      {"[rows, vocabulary]", {"vocab = 40", "vocab = 41"}},
      {"expected context", {"context = 128 : i64", "context = \"all\""}},
      {"expected past_context", {"\"restart\"", "\"wrap\""}},
      {"expected keep", {"keep = 64", "keep = 128"}},
      {"expected max_tokens", {"max_tokens = 16", "max_tokens = -1"}},
      {"expected end_ids", {"7 : i64]", "-7 : i64]"}},
      {"expected end_ids", {"end_ids = [2 : i64, 7 : i64]", "end_ids = array<i64: 2, -7>"}},
      {"expected end_ids", {"end_ids = [2 : i64, 7 : i64]", "end_ids = 2 : i64"}},
      {"expected end_ids", {"7 : i64]", "\"7\"]"}},
      {"expected cache_groups", {"cache_groups = [", "cache_groups = 1 : i64, other = ["}},
      {"multiple of 64", {"page_bytes = 8192", "page_bytes = 8193"}},
      {"inside a page", {"page_bytes = 8192", "page_bytes = 4096"}},
      {"one of the model's cache groups", {"cache_groups = [{", "groups = [{"}},
      {"expected the programs", {"@decode", "@other"}},
  };
  for (auto &[message, edit] : cases) {
    std::string error = buildError(edited(good, edit.first, edit.second));
    EXPECT_NE(error.find(message), std::string::npos) << edit.second << ": " << error;
  }
  auto both = [&](const char *from, const char *to) {
    std::string source = good;
    for (size_t at = 0; (at = source.find(from, at)) != std::string::npos; at += strlen(to))
      source.replace(at, strlen(from), to);
    return buildError(source);
  };
  EXPECT_NE(both("plan.offset = 4096", "plan.offset = 0").find("shares its place"),
            std::string::npos);
  EXPECT_NE(both("plan.offset = 4096", "plan.offset = 2048").find("overlap"), std::string::npos);
  EXPECT_NE(both("plan.offset = 4096", "plan.offset = 4097").find("multiple of 64"),
            std::string::npos);
  EXPECT_NE(
      both("<attention, tileRows = 4>", "<attention, tileRows = 65537>").find("rows per item"),
      std::string::npos);
  EXPECT_NE(both("classes [3]", "classes [4]").find("cost class"), std::string::npos);
  EXPECT_EQ(buildError("module {}"), "expected a plan.program, the module has none");
}

TEST(ModuleTables, EvaluateDeepSizesWithoutRecursion) {
  std::string source = "plan.program @deep(%x: tensor<?xf32> {plan.name = \"x\"}) {\n"
                       "%c0 = arith.constant 0 : index\n"
                       "%s0 = tensor.dim %x, %c0 : tensor<?xf32>\n";
  constexpr int kDepth = 20000;
  for (int i = 0; i < kDepth; ++i)
    source +=
        "%s" + std::to_string(i + 1) + " = arith.addi %s" + std::to_string(i) + ", %s0 : index\n";
  source += "plan.slot 0 bytes(%s" + std::to_string(kDepth) + ")\nplan.yield\n}\n";
  ModuleTables tables = build(source);
  ASSERT_EQ(tables.head.programs.size(), 1u);
  EXPECT_EQ(tables.head.programs[0]->sizes.size(), size_t(kDepth + 1));
}

TEST(KernelInterface, ClassifiesOperands) {
  ParsedModule parsed(languageModel());
  auto kernel = parsed.module->lookupSymbol<plan::KernelOp>("attend");
  auto interface = plan::KernelInterface::get(kernel.getFunctionType());
  ASSERT_TRUE(bool(interface)) << llvm::toString(interface.takeError());
  EXPECT_EQ(interface->batch, 4u);
  EXPECT_EQ(interface->cache, 2u);
  ASSERT_EQ(interface->buffers.size(), 3u);
  EXPECT_EQ(interface->buffers[1].index, 6u);
  EXPECT_TRUE(interface->buffers[2].isResult);
  using Kind = plan::KernelInterface::ScalarKind;
  Kind kinds[] = {Kind::Value, Kind::CacheOffset, Kind::Value, Kind::Value, Kind::Dim, Kind::Dim};
  unsigned indices[] = {1, 2, 3, 5, 0, 0};
  ASSERT_EQ(interface->scalars.size(), 6u);
  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(interface->scalars[i].kind, kinds[i]) << i;
    EXPECT_EQ(interface->scalars[i].index, indices[i]) << i;
  }
  EXPECT_EQ(plan::getQueryBlock(kernel), 4);
  EXPECT_EQ(plan::getQueryBlock(parsed.module->lookupSymbol<plan::KernelOp>("gather")), 1);

  mlir::Builder builder(&parsed.context);
  auto cache = kernel.getArgumentTypes()[2], batch = kernel.getArgumentTypes()[4];
  auto get = [&](mlir::TypeRange inputs, mlir::TypeRange results) {
    return text(plan::KernelInterface::get(builder.getFunctionType(inputs, results)));
  };
  EXPECT_EQ(get({cache, batch}, {cache}), "");
  EXPECT_NE(get({cache}, {}), "");
  EXPECT_NE(get({batch, batch}, {}), "");
  EXPECT_NE(get({cache, cache, batch}, {}), "");
  EXPECT_NE(get({batch}, {cache}), "");
  EXPECT_NE(get({cache, batch}, {cache, cache}), "");
  EXPECT_NE(get({builder.getNoneType()}, {}), "");
  EXPECT_NE(get({builder.getIntegerType(65)}, {}), "");
  EXPECT_NE(get({}, {builder.getF32Type()}), "");
}

TEST(PanelLayout, RefusesWhatDoesNotFit) {
  ParsedModule parsed("module {}");
  auto get = [&](const std::string &type) {
    mlir::Type parsedType = mlir::parseType(type, &parsed.context);
    EXPECT_TRUE(bool(parsedType)) << type;
    return text(plan::PanelLayout::get(mlir::cast<mlir::RankedTensorType>(parsedType)));
  };
  EXPECT_EQ(get("tensor<40x3xf32, #plan.panels<32, 2>>"), "");
  EXPECT_NE(get("tensor<40x3xf32>").find("packed in panels"), std::string::npos);
  EXPECT_NE(get("tensor<?x3xf32, #plan.panels<32, 2>>").find("packed in panels"),
            std::string::npos);
  EXPECT_NE(get("tensor<41x3xf32, #plan.panels<32, 2>>").find("2 parts divide"), std::string::npos);
  EXPECT_NE(get("tensor<40x3xi4, #plan.panels<32, 1>>").find("whole bytes"), std::string::npos);
  EXPECT_NE(get("tensor<4611686018427387904x3xf32, #plan.panels<32, 1>>").find("too large"),
            std::string::npos);
}

} // namespace
