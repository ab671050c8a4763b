//===- SharesTest.cpp - work items divided among threads --------------------------------------===//

#include "../../../runtime/lib/Shares.h"
#include "gtest/gtest.h"

#include <chrono>
#include <thread>
#include <vector>

using namespace ingot;

TEST(Shares, RangesFollowEachOther) {
  for (unsigned threads = 1; threads <= 5; ++threads)
    for (int64_t grid = 0; grid < 1000; ++grid) {
      int64_t at = 0;
      for (unsigned thread = 0; thread < threads; ++thread) {
        Shares::Range range = Shares::rangeOf(grid, thread, threads);
        EXPECT_EQ(range.begin, at);
        EXPECT_LE(range.begin, range.pieces);
        EXPECT_LE(range.pieces, range.end);
        // Pieces are whole panels.
        if (range.pieces < range.end) {
          EXPECT_EQ(range.begin % 4, 0);
          EXPECT_EQ(range.pieces % 4, 0);
          EXPECT_GT(range.piece, 0);
          EXPECT_EQ(range.piece % 4, 0);
        }
        at = range.end;
      }
      EXPECT_EQ(at, grid);
    }
}

TEST(Shares, EveryItemIsTakenOnce) {
  constexpr unsigned kThreads = 3;
  const std::vector<int64_t> grids = {400, 1, 97, 0, 1024, 1024, 130};
  Shares shares;
  shares.reserve(kThreads);
  for (int run = 0; run < 3; ++run) {
    shares.clear();
    for (int64_t grid : grids) {
      std::vector<std::atomic<int>> taken(static_cast<size_t>(grid));
      std::vector<std::thread> workers;
      for (unsigned thread = 0; thread < kThreads; ++thread)
        workers.emplace_back([&, thread] {
          shares.divide(grid, thread, kThreads, [&](int64_t begin, int64_t end) {
            for (int64_t item = begin; item < end; ++item)
              ++taken[static_cast<size_t>(item)];
          });
        });
      for (std::thread &worker : workers)
        worker.join();
      for (const std::atomic<int> &times : taken)
        EXPECT_EQ(times, 1);
    }
  }
}

TEST(Shares, OthersTakeThePiecesOfASlowThread) {
  constexpr int64_t kGrid = 1024;
  Shares shares;
  shares.reserve(2);
  shares.clear();
  std::atomic<int64_t> taken{0};
  auto take = [&](int64_t begin, int64_t end) { taken += end - begin; };
  std::thread slow([&] {
    Shares::Range own = Shares::rangeOf(kGrid, 0, 2);
    bool first = true;
    shares.divide(kGrid, 0, 2, [&](int64_t begin, int64_t end) {
      // All but this first part is done by the other thread meanwhile.
      for (int i = 0; first && i < 1000 && taken < kGrid - (own.pieces - own.begin); ++i)
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
      EXPECT_TRUE(!first || taken == kGrid - (own.pieces - own.begin));
      first = false;
      take(begin, end);
    });
  });
  shares.divide(kGrid, 1, 2, take);
  slow.join();
  EXPECT_EQ(taken, kGrid);
}
