//===- RuntimeTest.cpp - loading, running, sessions ------------------------------------------===//
#include "ingot/runtime.hpp"
#include "Toy.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <thread>

using namespace ingot;

namespace {

constexpr size_t V = toy::kVocabulary;

std::vector<int32_t> randomIds(size_t count, uint32_t seed) {
  std::vector<int32_t> ids;
  for (size_t i = 0; i < count; ++i) {
    seed = seed * 1664525 + 1013904223;
    ids.push_back(static_cast<int32_t>(seed >> 8) % static_cast<int32_t>(V));
  }
  return ids;
}

/// What the toy model computes, written down once more, in double.
std::vector<double> reference(const std::vector<int32_t> &ids, size_t window = 0) {
  std::vector<float> table = toy::table();
  size_t n = ids.size();
  std::vector<double> x(n * 8), logits(n * V);
  for (size_t r = 0; r < n; ++r)
    for (size_t i = 0; i < 8; ++i)
      x[r * 8 + i] = static_cast<double>(table[static_cast<size_t>(ids[r]) * 8 + i]) +
                     0.0625 * static_cast<double>((r * 7 + i * 3) % 11);
  for (size_t r = 0; r < n; ++r) {
    double total = 0, o[8] = {};
    for (size_t k = window && r + 1 > window ? r + 1 - window : 0; k <= r; ++k) {
      double dot = 0;
      for (size_t i = 0; i < 8; ++i)
        dot += x[r * 8 + i] * x[k * 8 + i];
      double w = dot * dot + 0.0625;
      total += w;
      for (size_t i = 0; i < 8; ++i)
        o[i] += w * (0.5 * x[k * 8 + i] + 0.25);
    }
    for (size_t id = 0; id < V; ++id)
      for (size_t i = 0; i < 8; ++i)
        logits[r * V + id] +=
            (o[i] / total + 0.25 * x[r * 8 + i]) * static_cast<double>(table[id * 8 + i]);
  }
  return logits;
}

void expectNear(const std::vector<float> &got, const std::vector<double> &want) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i)
    ASSERT_NEAR(static_cast<double>(got[i]), want[i], 2e-5) << "element " << i;
}

bool sameBits(const std::vector<float> &a, const std::vector<float> &b) {
  return a.size() == b.size() && memcmp(a.data(), b.data(), a.size() * 4) == 0;
}

ingot_model_options withThreads(uint32_t threads) {
  ingot_model_options options;
  ingot_model_options_init(&options);
  options.threads = threads;
  return options;
}

Model load(const toy::LanguageModelOptions &toyOptions = {}, uint32_t threads = 2,
           uint64_t budget = 0) {
  ingot_model_options options = withThreads(threads);
  options.page_budget = budget;
  return Model(toy::writeTemporary("lm.ingot", toy::languageModel(toyOptions)), &options);
}

Model loadGraphs(uint32_t threads = 2) {
  ingot_model_options options = withThreads(threads);
  return Model(toy::writeTemporary("graphs.ingot", toy::graphs()), &options);
}

ingot_tensor tensor(const char *name, std::vector<int64_t> shape, std::vector<float> &data) {
  ingot_tensor t = {};
  t.name = name;
  t.type = INGOT_F32;
  t.rank = shape.size();
  std::copy(shape.begin(), shape.end(), t.shape);
  t.data = data.data();
  t.bytes = data.size() * 4;
  return t;
}

ingot_status statusOf(ingot_error *error, std::string *message = nullptr) {
  ingot_status status = ingot_error_status(error);
  if (message)
    *message = ingot_error_message(error);
  ingot_error_destroy(error);
  return status;
}

/// All logits of one sequence, with options.
std::vector<float> allLogits(const Model &model, const std::vector<int32_t> &ids,
                             uint64_t chunk = 0, uint32_t threads = 0) {
  Session session(model);
  std::vector<float> logits(ids.size() * V);
  ingot_step_sequence sequence = {session.get(),    ids.data(),    ids.size(),
                                  INGOT_LOGITS_ALL, logits.data(), logits.size()};
  ingot_run_options run;
  ingot_run_options_init(&run);
  run.prefill_chunk = chunk;
  run.threads = threads;
  check(ingot_step(model.get(), &sequence, 1, nullptr, nullptr, &run));
  return logits;
}

constexpr uint64_t kPage = 64 * 2 * 8 * 4;

//===-- Entry points -------------------------------------------------------------------------===//

TEST(Run, AddsArrays) {
  Model model = loadGraphs(3);
  for (int64_t rows : {0, 1, 5, 1000}) {
    std::vector<float> a(static_cast<size_t>(rows) * 4), b(a.size());
    for (size_t i = 0; i < a.size(); ++i) {
      a[i] = static_cast<float>(i) * 0.5f;
      b[i] = 3.0f - static_cast<float>(i);
    }
    ingot_tensor inputs[] = {tensor("b", {rows, 4}, b), tensor("a", {rows, 4}, a)};
    ingot_tensor output = {};
    output.name = "c";
    check(ingot_run(model.get(), model.findProgram("add"), inputs, 2, &output, 1, nullptr));
    ASSERT_EQ(output.type, INGOT_F32);
    ASSERT_EQ(output.rank, 2u);
    EXPECT_EQ(output.shape[0], rows);
    EXPECT_EQ(output.shape[1], 4);
    ASSERT_EQ(output.bytes, a.size() * 4);
    for (size_t i = 0; i < a.size(); ++i)
      ASSERT_EQ(static_cast<float *>(output.data)[i], a[i] + b[i]);
    ingot_tensor_release(&output);
    EXPECT_EQ(output.data, nullptr);
  }
}

TEST(Run, WritesToMemoryOfTheCaller) {
  Model model = loadGraphs();
  std::vector<float> a(40, 1.5f), b(40, 2.0f), c(41, -1.0f);
  for (size_t offset : {0, 1}) { // at least one of them is not aligned to 64 bytes
    ingot_tensor inputs[] = {tensor("a", {10, 4}, a), tensor("b", {10, 4}, b)};
    ingot_tensor output = {};
    output.name = "c";
    output.data = c.data() + offset;
    output.bytes = 160;
    check(ingot_run(model.get(), model.findProgram("add"), inputs, 2, &output, 1, nullptr));
    EXPECT_EQ(c[offset], 3.5f);
    EXPECT_EQ(c[offset + 39], 3.5f);
    output.bytes = 159;
    EXPECT_EQ(
        statusOf(ingot_run(model.get(), model.findProgram("add"), inputs, 2, &output, 1, nullptr)),
        INGOT_INVALID_ARGUMENT);
  }
}

TEST(Run, RefusesWhatDoesNotFit) {
  Model model = loadGraphs();
  size_t add = model.findProgram("add");
  std::vector<float> a(40), b(36);
  std::string message;
  ingot_tensor inputs[] = {tensor("a", {10, 4}, a), tensor("b", {9, 4}, b)};
  EXPECT_EQ(statusOf(ingot_run(model.get(), add, inputs, 2, nullptr, 0, nullptr), &message),
            INGOT_INVALID_ARGUMENT);
  EXPECT_NE(message.find("10 and 9"), std::string::npos) << message;
  EXPECT_EQ(statusOf(ingot_run(model.get(), add, inputs, 1, nullptr, 0, nullptr), &message),
            INGOT_INVALID_ARGUMENT);
  EXPECT_NE(message.find("input b is missing"), std::string::npos) << message;
  inputs[1] = inputs[0];
  EXPECT_EQ(statusOf(ingot_run(model.get(), add, inputs, 2, nullptr, 0, nullptr)),
            INGOT_INVALID_ARGUMENT);
  inputs[1].name = "z";
  EXPECT_EQ(statusOf(ingot_run(model.get(), add, inputs, 2, nullptr, 0, nullptr)), INGOT_NOT_FOUND);
  inputs[1].name = "b";
  inputs[1].shape[1] = 5;
  EXPECT_EQ(statusOf(ingot_run(model.get(), add, inputs, 2, nullptr, 0, nullptr), &message),
            INGOT_INVALID_ARGUMENT);
  EXPECT_NE(message.find("expected shape [?, 4], got [10, 5]"), std::string::npos) << message;
  inputs[1].shape[1] = 4;
  inputs[1].type = INGOT_F16;
  EXPECT_EQ(statusOf(ingot_run(model.get(), add, inputs, 2, nullptr, 0, nullptr), &message),
            INGOT_INVALID_ARGUMENT);
  EXPECT_NE(message.find("expected elements of type f32, got f16"), std::string::npos) << message;
  inputs[1].type = INGOT_F32;
  inputs[1].bytes = 3;
  EXPECT_EQ(statusOf(ingot_run(model.get(), add, inputs, 2, nullptr, 0, nullptr)),
            INGOT_INVALID_ARGUMENT);
  ingot_tensor output = {};
  output.name = "nothing";
  inputs[1] = tensor("b", {10, 4}, a);
  EXPECT_EQ(statusOf(ingot_run(model.get(), add, inputs, 2, &output, 1, nullptr)), INGOT_NOT_FOUND);
  EXPECT_EQ(statusOf(ingot_run(model.get(), 99, inputs, 2, nullptr, 0, nullptr)), INGOT_NOT_FOUND);
}

TEST(Run, UniformBatchesWithATransientCache) {
  for (uint32_t threads : {1u, 3u}) {
    Model model = loadGraphs(threads);
    const int64_t B = 3, S = 7, T = 70; // two pages per sequence
    std::vector<float> q(B * S * 8), k(B * T * 8), v(B * T * 8);
    uint32_t state = 5;
    for (auto *data : {&q, &k, &v})
      for (float &x : *data) {
        state = state * 1664525 + 1013904223;
        x = static_cast<float>(state >> 8) * 0x1p-24f - 0.5f;
      }
    ingot_tensor inputs[] = {tensor("q", {B, S, 8}, q), tensor("k", {B, T, 8}, k),
                             tensor("v", {B, T, 8}, v)};
    ingot_tensor output = {};
    output.name = "o";
    check(ingot_run(model.get(), model.findProgram("attention"), inputs, 3, &output, 1, nullptr));
    ASSERT_EQ(output.bytes, q.size() * 4);
    for (int64_t b = 0; b < B; ++b)
      for (int64_t s = 0; s < S; ++s) {
        double total = 0, o[8] = {};
        for (int64_t t = 0; t < T; ++t) {
          double dot = 0;
          for (int64_t i = 0; i < 8; ++i)
            dot += static_cast<double>(q[static_cast<size_t>((b * S + s) * 8 + i)]) *
                   static_cast<double>(k[static_cast<size_t>((b * T + t) * 8 + i)]);
          double w = dot * dot + 0.0625;
          total += w;
          for (int64_t i = 0; i < 8; ++i)
            o[i] +=
                w * (0.5 * static_cast<double>(v[static_cast<size_t>((b * T + t) * 8 + i)]) + 0.25);
        }
        for (int64_t i = 0; i < 8; ++i)
          ASSERT_NEAR(static_cast<double>(static_cast<float *>(output.data)[(b * S + s) * 8 + i]),
                      o[i] / total, 1e-5);
      }
    ingot_tensor_release(&output);
  }
}

TEST(Run, FlushesDenormalsOnEveryThreadAndRestoresTheCaller) {
  Model model = loadGraphs(4);
  std::vector<float> in(64, std::numeric_limits<float>::denorm_min());
  ingot_tensor input = tensor("in", {64}, in);
  ingot_tensor output = {};
  output.name = "out";
  check(ingot_run(model.get(), model.findProgram("denormal"), &input, 1, &output, 1, nullptr));
  for (int i = 0; i < 64; ++i)
    EXPECT_EQ(static_cast<float *>(output.data)[i], 0.0f) << i;
  ingot_tensor_release(&output);
  volatile float tiny = std::numeric_limits<float>::denorm_min();
  volatile float kept = tiny * 1.0f;
  EXPECT_NE(kept, 0.0f) << "the caller's floating-point state was changed";
}

//===-- Sessions -----------------------------------------------------------------------------===//

TEST(Session, EqualsTheReference) {
  std::vector<int32_t> ids = randomIds(150, 1);
  expectNear(allLogits(load(), ids), reference(ids));
}

TEST(Session, BitsDoNotDependOnChunksThreadsOrPhase) {
  std::vector<int32_t> ids = randomIds(150, 2);
  Model model = load({}, 4);
  std::vector<float> base = allLogits(model, ids, 0, 1);
  for (uint64_t chunk : {1, 7, 31, 64})
    for (uint32_t threads : {1u, 2u, 4u})
      EXPECT_TRUE(sameBits(base, allLogits(model, ids, chunk, threads)))
          << "chunks of " << chunk << ", " << threads << " threads";
  Session session(model);
  for (size_t i = 0; i < ids.size(); ++i) {
    std::vector<float> row = session.feed({ids[i]});
    ASSERT_EQ(memcmp(row.data(), base.data() + i * V, V * 4), 0) << "token " << i;
  }
  EXPECT_EQ(session.length(), ids.size());
}

TEST(Session, BitsDoNotDependOnBatchMates) {
  Model model = load({}, 3);
  std::vector<std::vector<int32_t>> prompts = {randomIds(150, 3), randomIds(3, 4), randomIds(75, 5),
                                               randomIds(17, 6), randomIds(1, 7)};
  std::vector<Session> sessions;
  std::vector<std::vector<float>> got(prompts.size());
  std::vector<ingot_step_sequence> step;
  for (size_t i = 0; i < prompts.size(); ++i) {
    sessions.emplace_back(model);
    got[i].resize(prompts[i].size() * V);
    step.push_back({sessions[i].get(), prompts[i].data(), prompts[i].size(), INGOT_LOGITS_ALL,
                    got[i].data(), got[i].size()});
  }
  check(ingot_step(model.get(), step.data(), step.size(), nullptr, nullptr, nullptr));
  for (size_t i = 0; i < prompts.size(); ++i)
    EXPECT_TRUE(sameBits(got[i], allLogits(model, prompts[i]))) << "sequence " << i;
}

TEST(Session, LogitsModes) {
  Model model = load();
  std::vector<int32_t> a = randomIds(40, 8), b = randomIds(5, 9), c = randomIds(33, 10);
  Session sa(model), sb(model), sc(model);
  struct Row {
    size_t sequence, token;
    std::vector<float> logits;
  };
  std::vector<Row> rows;
  ingot_step_sequence step[] = {{sa.get(), a.data(), a.size(), INGOT_LOGITS_LAST, nullptr, 0},
                                {sb.get(), b.data(), b.size(), INGOT_LOGITS_ALL, nullptr, 0},
                                {sc.get(), c.data(), c.size(), INGOT_LOGITS_NONE, nullptr, 0}};
  check(ingot_step(
      model.get(), step, 3,
      [](void *user, size_t sequence, size_t token, const float *logits) {
        static_cast<std::vector<Row> *>(user)->push_back({sequence, token, {logits, logits + V}});
      },
      &rows, nullptr));
  ASSERT_EQ(rows.size(), 1 + b.size());
  std::vector<float> wantA = allLogits(model, a), wantB = allLogits(model, b);
  size_t nextB = 0;
  for (const Row &row : rows) {
    if (row.sequence == 0) {
      EXPECT_EQ(row.token, a.size() - 1);
      EXPECT_EQ(memcmp(row.logits.data(), wantA.data() + row.token * V, V * 4), 0);
    } else {
      ASSERT_EQ(row.sequence, 1u);
      EXPECT_EQ(row.token, nextB++);
      EXPECT_EQ(memcmp(row.logits.data(), wantB.data() + row.token * V, V * 4), 0);
    }
  }
  EXPECT_EQ(sc.length(), c.size());
}

TEST(Session, ForkSharesPagesAndCopiesOnWrite) {
  Model model = load();
  std::vector<int32_t> ids = randomIds(100, 11);
  Session parent(model);
  parent.feed(ids);
  EXPECT_EQ(model.memory().page_bytes_used, 2 * kPage);
  Session child = parent.fork();
  EXPECT_EQ(model.memory().page_bytes_used, 2 * kPage) << "a fork copies nothing";
  EXPECT_EQ(child.length(), 100u);
  std::vector<float> c = child.feed({1}), p = parent.feed({2});
  EXPECT_EQ(model.memory().page_bytes_used, 3 * kPage) << "one page was copied once";
  std::vector<int32_t> withOne = ids, withTwo = ids;
  withOne.push_back(1);
  withTwo.push_back(2);
  std::vector<float> one = allLogits(model, withOne), two = allLogits(model, withTwo);
  EXPECT_EQ(memcmp(c.data(), one.data() + 100 * V, V * 4), 0);
  EXPECT_EQ(memcmp(p.data(), two.data() + 100 * V, V * 4), 0);
  // A fork outlives its parent.
  Session grandchild = child.fork();
  child = Session();
  withOne.push_back(3);
  std::vector<float> g = grandchild.feed({3});
  one = allLogits(model, withOne);
  EXPECT_EQ(memcmp(g.data(), one.data() + 101 * V, V * 4), 0);
  parent = Session();
  grandchild = Session();
  EXPECT_EQ(model.memory().page_bytes_used, 0u);
  EXPECT_EQ(model.memory().sessions, 0u);
}

TEST(Session, TruncateForgets) {
  Model model = load();
  std::vector<int32_t> ids = randomIds(140, 12);
  std::vector<float> want = allLogits(model, ids);
  Session session(model);
  session.feed(ids);
  Session other = session.fork(); // so that truncating meets shared pages
  for (uint64_t length : {139, 128, 65, 64, 63, 1, 0}) {
    session.truncate(length);
    EXPECT_EQ(session.length(), length);
    std::vector<int32_t> rest(ids.begin() + static_cast<ptrdiff_t>(length), ids.end());
    std::vector<float> got = session.feedAll(rest);
    EXPECT_EQ(memcmp(got.data(), want.data() + length * V, got.size() * 4), 0) << length;
  }
  EXPECT_THROW(session.truncate(141), Error);
  session.truncate(0);
  EXPECT_EQ(model.memory().page_bytes_used, 3 * kPage) << "only the fork holds pages";
  other.truncate(0);
  EXPECT_EQ(model.memory().page_bytes_used, 0u);
}

TEST(Session, KeepsAPrefixOfDraftedTokens) {
  Model model = load();
  std::vector<int32_t> ids = randomIds(62, 13), draft = {4, 9, 11, 3};
  Session session(model);
  session.feed(ids);
  std::vector<float> rows = session.feedAll(draft); // across a page
  session.truncate(64);                             // two of them are good
  std::vector<float> next = session.feed({20});
  std::vector<int32_t> whole = ids;
  whole.insert(whole.end(), {4, 9, 20});
  std::vector<float> want = allLogits(model, whole);
  EXPECT_EQ(memcmp(rows.data(), want.data() + 62 * V, 2 * V * 4), 0);
  EXPECT_EQ(memcmp(next.data(), want.data() + 64 * V, V * 4), 0);
}

TEST(Session, RefusesBeforeAnythingChanges) {
  Model model = load();
  Session session(model);
  std::vector<int32_t> ids = randomIds(150, 14);
  session.feed(ids);
  uint64_t used = model.memory().page_bytes_used;
  auto refuses = [&](const std::vector<int32_t> &more, ingot_status status) {
    EXPECT_EQ(statusOf(ingot_session_feed(session.get(), more.data(), more.size(),
                                          INGOT_LOGITS_NONE, nullptr, 0)),
              status);
    EXPECT_EQ(session.length(), 150u);
    EXPECT_EQ(model.memory().page_bytes_used, used);
  };
  refuses({1, 50}, INGOT_INVALID_ARGUMENT);
  refuses({-1}, INGOT_INVALID_ARGUMENT);
  refuses({}, INGOT_INVALID_ARGUMENT);
  refuses(std::vector<int32_t>(51, 1), INGOT_CONTEXT_FULL);
  float row[V];
  int32_t id = 1;
  EXPECT_EQ(statusOf(ingot_session_feed(session.get(), &id, 1, INGOT_LOGITS_LAST, row, V - 1)),
            INGOT_INVALID_ARGUMENT);
  ingot_step_sequence twice[] = {{session.get(), &id, 1, INGOT_LOGITS_NONE, nullptr, 0},
                                 {session.get(), &id, 1, INGOT_LOGITS_NONE, nullptr, 0}};
  EXPECT_EQ(statusOf(ingot_step(model.get(), twice, 2, nullptr, nullptr, nullptr)),
            INGOT_INVALID_ARGUMENT);
  session.feed(std::vector<int32_t>(50, 1)); // exactly full
  EXPECT_EQ(session.length(), 200u);
}

TEST(Session, BudgetIsCheckedBeforePagesAreTaken) {
  Model model = load({}, 2, 3 * kPage);
  Session a(model), b(model);
  a.feed(randomIds(100, 15)); // two pages
  std::vector<int32_t> ids = randomIds(65, 16);
  std::string message;
  EXPECT_EQ(
      statusOf(ingot_session_feed(b.get(), ids.data(), ids.size(), INGOT_LOGITS_NONE, nullptr, 0),
               &message),
      INGOT_BUDGET_EXCEEDED);
  EXPECT_NE(message.find("budget"), std::string::npos);
  EXPECT_EQ(b.length(), 0u);
  EXPECT_EQ(model.memory().page_bytes_used, 2 * kPage);
  ids.resize(64);
  b.feed(ids);
  // A copy of a shared page counts as well.
  Session c = a.fork();
  int32_t id = 1;
  EXPECT_EQ(statusOf(ingot_session_feed(c.get(), &id, 1, INGOT_LOGITS_NONE, nullptr, 0)),
            INGOT_BUDGET_EXCEEDED);
  b = Session();
  c.feed({1});
  EXPECT_EQ(model.memory().page_bytes_used, 3 * kPage);
}

TEST(Session, UsesTheAllocatorOfTheCaller) {
  struct Counter {
    std::atomic<int64_t> bytes{0}, calls{0};
    bool refuse = false;
  } counter;
  ingot_model_options options = withThreads(2);
  options.allocator.user = &counter;
  options.allocator.allocate = [](void *user, size_t bytes, size_t alignment) -> void * {
    Counter &c = *static_cast<Counter *>(user);
    if (c.refuse)
      return nullptr;
    c.bytes += static_cast<int64_t>(bytes);
    ++c.calls;
    void *memory = aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
    memset(memory, 0xff, bytes); // NaN: nobody may rely on zeros
    return memory;
  };
  options.allocator.release = [](void *user, void *memory, size_t bytes) {
    static_cast<Counter *>(user)->bytes -= static_cast<int64_t>(bytes);
    free(memory);
  };
  std::string path = toy::writeTemporary("allocator.ingot", toy::languageModel());
  std::vector<int32_t> ids = randomIds(150, 17);
  {
    Model model(path, &options);
    EXPECT_TRUE(sameBits(allLogits(model, ids), allLogits(load(), ids)));
    EXPECT_GT(counter.bytes, static_cast<int64_t>(2 * kPage));
    int64_t calls = counter.calls;
    EXPECT_TRUE(sameBits(allLogits(model, ids), allLogits(load(), ids)));
    EXPECT_EQ(counter.calls, calls) << "pages and arenas are reused";
    ingot_model_trim(model.get());
    EXPECT_EQ(counter.bytes, 0);
    counter.refuse = true;
    Session session(model);
    EXPECT_EQ(statusOf(ingot_session_feed(session.get(), ids.data(), ids.size(), INGOT_LOGITS_NONE,
                                          nullptr, 0)),
              INGOT_OUT_OF_MEMORY);
    EXPECT_EQ(session.length(), 0u);
    counter.refuse = false;
    session.feed(ids);
  }
  EXPECT_EQ(counter.bytes, 0) << "everything was given back";
}

TEST(Session, RecycledPagesCarryNothingOver) {
  Model model = load();
  std::vector<int32_t> ids = randomIds(90, 18);
  std::vector<float> want = allLogits(model, ids);
  for (int i = 0; i < 3; ++i) {
    allLogits(model, randomIds(200, static_cast<uint32_t>(100 + i)));
    EXPECT_TRUE(sameBits(want, allLogits(model, ids)));
  }
}

//===-- Past the context ---------------------------------------------------------------------===//

toy::LanguageModelOptions policy(int pastContext, uint64_t context, uint64_t keep, bool cached) {
  toy::LanguageModelOptions options;
  options.pastContext = pastContext;
  options.context = context;
  options.keep = keep;
  options.cached = cached;
  return options;
}

TEST(PastContext, SlideKeepsMemoryConstant) {
  std::vector<int32_t> ids = randomIds(1000, 20);
  for (uint64_t context : {1, 50, 64, 100}) {
    Model model = load(policy(1, context, 0, true));
    std::vector<float> base = allLogits(model, ids);
    expectNear(base, reference(ids, context));
    Session session(model);
    uint64_t most = 0;
    for (size_t i = 0; i < ids.size(); ++i) {
      std::vector<float> row = session.feed({ids[i]});
      ASSERT_EQ(memcmp(row.data(), base.data() + i * V, V * 4), 0) << "token " << i;
      most = std::max(most, model.memory().page_bytes_used);
    }
    EXPECT_LE(most, (context / 64 + 2) * kPage);
    EXPECT_EQ(session.position(), 1000u);
    Model whole = load(policy(1, context, 0, false));
    EXPECT_TRUE(sameBits(base, allLogits(whole, ids))) << "without a cache";
  }
}

TEST(PastContext, SlideWithinABudget) {
  // The budget is what the window needs: pages that were given back are taken again in one step.
  Model model = load(policy(1, 64, 0, true), 2, 3 * kPage);
  std::vector<int32_t> ids = randomIds(1000, 21);
  Session session(model);
  std::vector<float> got = session.feed(ids);
  std::vector<float> want = allLogits(load(policy(1, 64, 0, true)), ids);
  EXPECT_EQ(memcmp(got.data(), want.data() + 999 * V, V * 4), 0);
}

TEST(PastContext, SlideTruncatesInsideItsWindowOnly) {
  Model model = load(policy(1, 64, 0, true));
  std::vector<int32_t> ids = randomIds(500, 22);
  std::vector<float> want = allLogits(model, ids);
  Session session(model);
  session.feed(std::vector<int32_t>(ids.begin(), ids.end() - 10));
  session.feedAll(std::vector<int32_t>(ids.end() - 10, ids.end()));
  session.truncate(490); // what the latest step fed
  std::vector<float> again = session.feedAll(std::vector<int32_t>(ids.end() - 10, ids.end()));
  EXPECT_EQ(memcmp(again.data(), want.data() + 490 * V, again.size() * 4), 0);
  EXPECT_EQ(statusOf(ingot_session_truncate(session.get(), 300)), INGOT_INVALID_ARGUMENT);
  EXPECT_EQ(session.length(), 500u);
}

/// The policy's definition: each window is a fresh session.
std::vector<float> restartByHand(const Model &model, const std::vector<int32_t> &ids,
                                 size_t context, size_t keep) {
  std::vector<float> out;
  size_t begin = 0, fed = 0;
  while (fed < ids.size()) {
    Session session(model);
    size_t end = std::min(ids.size(), begin + context);
    std::vector<float> rows = session.feedAll(
        {ids.begin() + static_cast<ptrdiff_t>(begin), ids.begin() + static_cast<ptrdiff_t>(end)});
    out.insert(out.end(), rows.begin() + static_cast<ptrdiff_t>((fed - begin) * V), rows.end());
    fed = end;
    begin = end - keep;
  }
  return out;
}

TEST(PastContext, RestartHasTheBitsOfFreshSessions) {
  std::vector<int32_t> ids = randomIds(450, 23);
  for (auto [context, keep] : {std::pair<size_t, size_t>{100, 50}, {70, 69}, {64, 0}, {65, 1}}) {
    Model model = load(policy(2, context, keep, true), 2);
    std::vector<float> want = restartByHand(model, ids, context, keep);
    EXPECT_TRUE(sameBits(want, allLogits(model, ids))) << context << " " << keep;
    EXPECT_TRUE(sameBits(want, allLogits(model, ids, 7)));
    Session session(model);
    for (size_t i = 0; i < ids.size(); ++i) {
      std::vector<float> row = session.feed({ids[i]});
      ASSERT_EQ(memcmp(row.data(), want.data() + i * V, V * 4), 0) << "token " << i;
      ASSERT_LE(model.memory().page_bytes_used, (context / 64 + 1) * kPage);
    }
    EXPECT_EQ(session.length(), 450u);
    EXPECT_LE(session.position(), context);
    Model whole = load(policy(2, context, keep, false));
    EXPECT_TRUE(sameBits(want, allLogits(whole, ids))) << "without a cache";
    Session uncached(whole);
    for (size_t i = 0; i < ids.size(); ++i) {
      std::vector<float> row = uncached.feed({ids[i]});
      ASSERT_EQ(memcmp(row.data(), want.data() + i * V, V * 4), 0) << "token " << i;
    }
    // In one step only the last window is computed; its state must be the same.
    Session jump(model);
    std::vector<float> last = jump.feed(ids), next = jump.feed({5}), want2 = session.feed({5});
    EXPECT_EQ(memcmp(last.data(), want.data() + 449 * V, V * 4), 0);
    EXPECT_TRUE(sameBits(next, want2));
    EXPECT_EQ(jump.position(), session.position());
  }
}

TEST(PastContext, RestartForksAndTruncates) {
  Model model = load(policy(2, 100, 50, true));
  std::vector<int32_t> ids = randomIds(180, 24);
  std::vector<float> want = restartByHand(model, ids, 100, 50);
  Session session(model);
  session.feed({ids.begin(), ids.begin() + 99});
  Session fork = session.fork();
  session.feed({ids.begin() + 99, ids.begin() + 120}); // restarts at 100
  session.truncate(100);
  EXPECT_EQ(statusOf(ingot_session_truncate(session.get(), 99)), INGOT_INVALID_ARGUMENT);
  std::vector<float> rows = session.feedAll({ids.begin() + 100, ids.end()});
  EXPECT_EQ(memcmp(rows.data(), want.data() + 100 * V, rows.size() * 4), 0);
  rows = fork.feedAll({ids.begin() + 99, ids.end()});
  EXPECT_EQ(memcmp(rows.data(), want.data() + 99 * V, rows.size() * 4), 0);
}

TEST(PastContext, WithoutACacheStopAndTruncate) {
  Model whole = load(policy(0, 150, 0, false)), cached = load(policy(0, 150, 0, true));
  std::vector<int32_t> ids = randomIds(150, 25);
  std::vector<float> want = allLogits(cached, ids);
  EXPECT_TRUE(sameBits(want, allLogits(whole, ids)));
  Session session(whole);
  session.feed(ids);
  EXPECT_EQ(
      statusOf(ingot_session_feed(session.get(), ids.data(), 1, INGOT_LOGITS_NONE, nullptr, 0)),
      INGOT_CONTEXT_FULL);
  session.truncate(70);
  Session fork = session.fork();
  std::vector<float> rest = fork.feedAll({ids.begin() + 70, ids.end()});
  EXPECT_EQ(memcmp(rest.data(), want.data() + 70 * V, rest.size() * 4), 0);
  // Ragged, in one run.
  Session a(whole), b(whole);
  std::vector<float> la(20 * V), lb(V);
  ingot_step_sequence step[] = {{a.get(), ids.data(), 20, INGOT_LOGITS_ALL, la.data(), la.size()},
                                {b.get(), ids.data(), 90, INGOT_LOGITS_LAST, lb.data(), lb.size()}};
  check(ingot_step(whole.get(), step, 2, nullptr, nullptr, nullptr));
  EXPECT_EQ(memcmp(la.data(), want.data(), la.size() * 4), 0);
  EXPECT_EQ(memcmp(lb.data(), want.data() + 89 * V, V * 4), 0);
}

//===-- Threads, cancelling, profiles --------------------------------------------------------===//

TEST(Threads, ManySessionsAtOnce) {
  Model model = load({}, 3);
  constexpr size_t kThreads = 6;
  std::vector<std::vector<float>> want(kThreads), got(kThreads);
  std::vector<std::vector<int32_t>> ids;
  for (size_t t = 0; t < kThreads; ++t) {
    ids.push_back(randomIds(60 + 13 * t, static_cast<uint32_t>(t)));
    want[t] = allLogits(model, ids[t]);
  }
  Session shared(model);
  shared.feed(randomIds(70, 99));
  std::vector<std::thread> threads;
  std::atomic<int> bad{0};
  for (size_t t = 0; t < kThreads; ++t)
    threads.emplace_back([&, t] {
      for (int round = 0; round < 20; ++round) {
        Session session(model);
        for (size_t i = 0; i < ids[t].size(); ++i) {
          std::vector<float> row = session.feed({ids[t][i]});
          bad += memcmp(row.data(), want[t].data() + i * V, V * 4) != 0;
        }
        bad += !sameBits(allLogits(model, ids[t]), want[t]);
      }
    });
  for (std::thread &thread : threads)
    thread.join();
  EXPECT_EQ(bad, 0);
}

TEST(Threads, ForksInDifferentThreadsShareSafely) {
  Model model = load({}, 2);
  std::vector<int32_t> ids = randomIds(100, 30);
  for (int round = 0; round < 30; ++round) {
    Session parent(model);
    parent.feed(ids);
    std::vector<Session> forks;
    for (int i = 0; i < 4; ++i)
      forks.push_back(parent.fork());
    parent = Session();
    std::vector<std::vector<float>> rows(4);
    std::vector<std::thread> threads;
    for (size_t i = 0; i < 4; ++i)
      threads.emplace_back([&, i] {
        rows[i] = forks[i].feed({static_cast<int32_t>(i)});
        forks[i] = Session();
      });
    for (std::thread &thread : threads)
      thread.join();
    for (size_t i = 0; i < 4; ++i) {
      std::vector<int32_t> whole = ids;
      whole.push_back(static_cast<int32_t>(i));
      std::vector<float> want = allLogits(model, whole);
      ASSERT_EQ(memcmp(rows[i].data(), want.data() + 100 * V, V * 4), 0);
    }
  }
}

TEST(Threads, CancelAndDeadline) {
  toy::LanguageModelOptions options;
  options.spin = 100000; // some 0.1 ms per block of four rows
  for (uint32_t threads : {1u, 2u}) {
    Model model = load(options, threads);
    std::vector<int32_t> ids = randomIds(200, 31);
    Session session(model);
    Cancel cancel = makeCancel();
    ingot_run_options run;
    ingot_run_options_init(&run);
    run.cancel = cancel.get();
    ingot_step_sequence step = {session.get(),     ids.data(), ids.size(),
                                INGOT_LOGITS_NONE, nullptr,    0};
    ingot_cancel_request(cancel.get());
    EXPECT_EQ(statusOf(ingot_step(model.get(), &step, 1, nullptr, nullptr, &run)), INGOT_CANCELLED);
    EXPECT_EQ(session.length(), 0u);
    ingot_cancel_reset(cancel.get());

    // Cancelled half way, from the progress callback: whole runs are kept.
    run.prefill_chunk = 16;
    run.progress = [](void *user, const char *, uint64_t done, uint64_t) {
      if (done >= 48)
        ingot_cancel_request(static_cast<ingot_cancel *>(user));
    };
    run.progress_user = cancel.get();
    EXPECT_EQ(statusOf(ingot_step(model.get(), &step, 1, nullptr, nullptr, &run)), INGOT_CANCELLED);
    EXPECT_EQ(session.length(), 48u);
    EXPECT_EQ(model.memory().page_bytes_used, kPage);
    ingot_cancel_reset(cancel.get());

    run.progress = nullptr;
    run.timeout_ns = 1;
    step.ids += 48;
    step.count -= 48;
    EXPECT_EQ(statusOf(ingot_step(model.get(), &step, 1, nullptr, nullptr, &run)),
              INGOT_DEADLINE_EXCEEDED);
    run.timeout_ns = 0;
    check(ingot_step(model.get(), &step, 1, nullptr, nullptr, &run));
    EXPECT_EQ(session.length(), 200u);
    std::vector<int32_t> whole = ids;
    session.truncate(199);
    std::vector<float> row = session.feed({ids[199]}), want = allLogits(model, ids);
    EXPECT_EQ(memcmp(row.data(), want.data() + 199 * V, V * 4), 0);
  }
}

TEST(Profile, CountsRunsAndCosts) {
  Model model = load({}, 2);
  Profile profile = model.makeProfile();
  ingot_run_options run;
  ingot_run_options_init(&run);
  run.profile = profile.get();
  Session session(model);
  std::vector<int32_t> ids = randomIds(20, 32);
  ingot_step_sequence step = {session.get(), ids.data(), ids.size(), INGOT_LOGITS_LAST, nullptr, 0};
  check(ingot_step(model.get(), &step, 1, nullptr, nullptr, &run));
  step.count = 1;
  check(ingot_step(model.get(), &step, 1, nullptr, nullptr, &run));
  auto entry = [&](const char *program, size_t dispatch) {
    return Model::query<ingot_profile_entry>([&](auto *out) {
      return ingot_profile_get(profile.get(), model.findProgram(program), dispatch, out);
    });
  };
  EXPECT_EQ(entry("prefill", SIZE_MAX).runs, 1u);
  EXPECT_EQ(entry("decode", SIZE_MAX).runs, 1u);
  EXPECT_EQ(entry("prefill", 0).cost[INGOT_COST_WEIGHTS], 20u * 32);
  EXPECT_EQ(entry("prefill", 2).cost[INGOT_COST_FLOPS], 32u * 20 * 21 / 2);
  EXPECT_EQ(entry("decode", 2).cost[INGOT_COST_FLOPS], 32u * 21);
  EXPECT_GT(entry("prefill", 2).nanoseconds, 0u);
  EXPECT_GE(entry("prefill", SIZE_MAX).nanoseconds, entry("prefill", 2).nanoseconds);
  ingot_profile_reset(profile.get());
  EXPECT_EQ(entry("prefill", SIZE_MAX).runs, 0u);
}

//===-- Targets ------------------------------------------------------------------------------===//

TEST(Target, RefusesMissingFeatures) {
  toy::LanguageModelOptions options;
  options.feature = "flux-capacitor";
  std::string path = toy::writeTemporary("feature.ingot", toy::languageModel(options));
  ingot_model *model = nullptr;
  std::string message;
  EXPECT_EQ(statusOf(ingot_model_load(path.c_str(), nullptr, &model), &message), INGOT_UNSUPPORTED);
  EXPECT_EQ(model, nullptr);
  EXPECT_NE(message.find("flux-capacitor"), std::string::npos) << message;
  ingot_model_options wanted = withThreads(1);
  wanted.target = "other";
  EXPECT_EQ(statusOf(ingot_model_load(path.c_str(), &wanted, &model), &message), INGOT_NOT_FOUND);
}

TEST(Target, IsNotNeededToInspect) {
  toy::LanguageModelOptions options;
  options.feature = "flux-capacitor";
  std::string path = toy::writeTemporary("feature.ingot", toy::languageModel(options));
  ingot_model_options look = withThreads(1);
  look.inspect_only = true;
  ingot_model *model = nullptr;
  ASSERT_EQ(statusOf(ingot_model_load(path.c_str(), &look, &model)), INGOT_OK);
  ingot_model_info info;
  ingot_model_info_init(&info);
  ASSERT_EQ(statusOf(ingot_model_get_info(model, &info)), INGOT_OK);
  EXPECT_EQ(info.chosen_target, SIZE_MAX);
  ingot_model_destroy(model);
  // Even code that this processor could run is not there.
  path = toy::writeTemporary("graphs.ingot", toy::graphs());
  ASSERT_EQ(statusOf(ingot_model_load(path.c_str(), &look, &model)), INGOT_OK);
  std::string message;
  EXPECT_EQ(statusOf(ingot_run(model, 0, nullptr, 0, nullptr, 0, nullptr), &message),
            INGOT_UNSUPPORTED);
  EXPECT_NE(message.find("opened to be inspected"), std::string::npos) << message;
  ingot_model_destroy(model);
}

#if defined(__x86_64__)
TEST(Target, KnowsThisProcessor) {
  // Features that the compiler of this test may use are those of the processor it runs on.
  for (auto [name, has] : {std::pair<const char *, int>{"avx2", __builtin_cpu_supports("avx2")},
                           {"fma", __builtin_cpu_supports("fma")},
                           {"avx512f", __builtin_cpu_supports("avx512f")},
                           {"avx512bf16", __builtin_cpu_supports("avx512bf16")},
                           {"avx512vnni", __builtin_cpu_supports("avx512vnni")},
                           {"sse4.2", __builtin_cpu_supports("sse4.2")},
                           {"bmi2", __builtin_cpu_supports("bmi2")}}) {
    toy::LanguageModelOptions options;
    options.feature = name;
    std::string path = toy::writeTemporary("this.ingot", toy::languageModel(options));
    ingot_model *model = nullptr;
    ingot_status status = statusOf(ingot_model_load(path.c_str(), nullptr, &model));
    EXPECT_EQ(status, has ? INGOT_OK : INGOT_UNSUPPORTED) << name;
    ingot_model_destroy(model);
  }
}
#endif

} // namespace
