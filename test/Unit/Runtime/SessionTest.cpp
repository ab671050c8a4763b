//===- SessionTest.cpp - sessions: bits, forks, budgets -------------------------------------===//
#include "Steps.h"

#include <atomic>

using namespace toy;

namespace {

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

} // namespace
