//===- PastContextTest.cpp - what happens at the end of the context -------------------------===//
#include "Steps.h"

using namespace toy;

namespace {

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

} // namespace
