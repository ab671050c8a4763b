//===- ItemsTest.cpp - attention divided into items -------------------------------------------===//

#include "../../../runtime/lib/Items.h"
#include "gtest/gtest.h"

#include <map>
#include <random>

using namespace ingot;

namespace {

ingot_kernel_sequence sequence(int64_t rowBegin, int64_t rows, int64_t position, int64_t keyBegin,
                               int64_t keyEnd) {
  return {rowBegin, rows, position, keyBegin, keyEnd, nullptr};
}

AttentionFacts facts(int64_t queryBlock, int64_t heads, int64_t kvHeads) {
  AttentionFacts result;
  result.queryBlock = queryBlock;
  result.heads = heads;
  result.kvHeads = kvHeads;
  result.recordBytes = 640;
  result.causal = true;
  return result;
}

/// The keys that the parts of a block of queries cover, whole segments at a time.
TEST(Items, CoverRowsAndSegmentsOnce) {
  std::mt19937 random(3);
  auto below = [&](int64_t n) { return static_cast<int64_t>(random() % static_cast<uint64_t>(n)); };
  for (int trial = 0; trial < 300; ++trial) {
    AttentionFacts given = facts(1 + below(48), 8, 1 + below(4));
    given.causal = below(2);
    given.window = below(2) ? 1 + below(3000) : 0;
    std::vector<ingot_kernel_sequence> sequences;
    int64_t rows = 0;
    for (int64_t s = below(4); s >= 0; --s) {
      int64_t count = below(100), position = below(5000);
      sequences.push_back(sequence(rows, count, position, 0, position + count));
      rows += count;
    }
    unsigned threads = 1 + static_cast<unsigned>(below(6));
    ItemList list;
    list.build(given, sequences, threads);
    std::vector<int64_t> seen(static_cast<size_t>(rows));
    std::map<int64_t, int32_t> parts;
    for (const ingot_kernel_item &item : list.items) {
      ASSERT_GT(item.row_count, 0);
      ASSERT_LE(item.row_count, given.queryBlock);
      if (item.segment >= 0) {
        ASSERT_GT(threads, 1u);
        ASSERT_EQ(item.part, parts[item.row_begin]++);
        if (item.part)
          continue;
        ASSERT_GT(item.part_count, 1);
        // The first part begins where the first key lies that a row can see.
        const ingot_kernel_sequence &s = sequences[static_cast<size_t>(item.sequence)];
        int64_t position = s.position + item.row_begin - s.row_begin;
        int64_t first =
            given.causal && given.window ? std::max<int64_t>(0, position - given.window + 1) : 0;
        int64_t last = given.causal ? position + item.row_count - 1 : s.key_end - 1;
        ASSERT_EQ(item.segment, first / 1024);
        ASSERT_EQ(item.part_count, last / 1024 - first / 1024 + 1);
      }
      for (int64_t row = item.row_begin; row < item.row_begin + item.row_count; ++row)
        ++seen[static_cast<size_t>(row)];
    }
    for (int64_t count : seen)
      ASSERT_EQ(count, 1);
    for (const ingot_kernel_item &item : list.items)
      if (item.segment >= 0)
        ASSERT_EQ(parts[item.row_begin], item.part_count);
    // Ranges follow each other and end at the last work item.
    for (unsigned t = 0; t < threads; ++t)
      ASSERT_LE(list.begin(given.kvHeads, t, threads), list.begin(given.kvHeads, t + 1, threads));
    ASSERT_EQ(list.begin(given.kvHeads, 0, threads), 0);
    ASSERT_EQ(list.begin(given.kvHeads, threads, threads),
              static_cast<int64_t>(list.items.size()) * given.kvHeads);
  }
}

TEST(Items, CausalBlocksAreBalancedByCost) {
  ItemList list;
  list.build(facts(48, 8, 8), {sequence(0, 2048, 0, 0, 2048)}, 2);
  int64_t middle = list.begin(8, 1, 2);
  // Later queries see more keys: the first thread gets about sqrt(1/2) of the rows.
  double share = static_cast<double>(middle) / static_cast<double>(list.begin(8, 2, 2));
  EXPECT_NEAR(share, 0.707, 0.03);
  // A ragged batch: one long and one short sequence.
  list.build(facts(48, 8, 8), {sequence(0, 1, 8191, 0, 8192), sequence(1, 1, 63, 0, 64)}, 2);
  EXPECT_NEAR(static_cast<double>(list.costBefore[1] / list.costBefore.back()), 0.985, 0.01);
}

TEST(Items, KeysAreDividedOnlyWhereItemsAreFew) {
  ItemList list;
  std::vector<ingot_kernel_sequence> one{sequence(0, 1, 4999, 0, 5000)};
  list.build(facts(12, 8, 2), one, 4);
  ASSERT_EQ(list.items.size(), 5u);
  EXPECT_EQ(list.counters, 8u);
  EXPECT_EQ(list.recordBytes, 8u * 5 * 640);
  std::vector<char> records(list.recordBytes);
  std::vector<int32_t> counters(list.counters);
  list.place(records.data(), counters.data());
  EXPECT_EQ(list.items[4].records, records.data());
  EXPECT_EQ(list.items[4].counters, counters.data());
  // One thread, enough heads, one segment, or a kernel that keeps no records.
  list.build(facts(12, 8, 2), one, 1);
  EXPECT_EQ(list.items.size(), 1u);
  list.build(facts(12, 32, 32), one, 4);
  EXPECT_EQ(list.items.size(), 1u);
  list.build(facts(12, 8, 2), {sequence(0, 1, 999, 0, 1000)}, 4);
  EXPECT_EQ(list.items.size(), 1u);
  AttentionFacts without = facts(12, 8, 2);
  without.recordBytes = 0;
  list.build(without, one, 4);
  EXPECT_EQ(list.items.size(), 1u);
}

} // namespace
