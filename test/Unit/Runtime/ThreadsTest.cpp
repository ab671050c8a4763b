//===- ThreadsTest.cpp - threads, cancelling, profiles --------------------------------------===//
#include "Steps.h"

#include <atomic>
#include <thread>

using namespace toy;

namespace {

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

} // namespace
