//===- Items.cpp - attention divided into items ----------------------------------------------===//
#include "Items.h"
#include "Support.h"

#include <algorithm>
#include <cmath>

using namespace ingot;

namespace {
constexpr int64_t kPage = INGOT_PAGE_POSITIONS, kSegment = INGOT_SEGMENT_POSITIONS;

/// Work items per thread below which keys are divided: enough that no thread waits long for
/// another.
constexpr int64_t kItemsPerThread = 4;

/// Most records of a batch: 4 queries of 32 heads on 128 segments, for instance.
constexpr uint64_t kMaxRecords = 1 << 14;

/// Keys [first, end) that some of `rows` rows from `position` on can see.
struct Visible {
  int64_t first, end;
};
Visible visibleKeys(const AttentionFacts &facts, const ingot_kernel_sequence &sequence,
                    int64_t position, int64_t rows) {
  Visible keys = {sequence.key_begin, sequence.key_end};
  if (facts.causal) {
    keys.end = std::min(keys.end, position + rows);
    if (facts.window)
      keys.first = std::max(keys.first, position - facts.window + 1);
  }
  return keys;
}

double costOf(int64_t rows, Visible keys) {
  int64_t blocks = std::max<int64_t>(0, ceilDiv(keys.end, kPage) - keys.first / kPage);
  // One more for what an item costs without keys.
  return static_cast<double>(rows) * static_cast<double>(blocks + 1);
}
} // namespace

void ItemList::build(const AttentionFacts &facts,
                     const std::vector<ingot_kernel_sequence> &sequences, unsigned threads) {
  items.clear();
  costBefore.assign(1, 0);
  recordBytes = counters = 0;
  uint64_t recordCount = 0;
  int64_t blocks = 0;
  for (const ingot_kernel_sequence &sequence : sequences)
    blocks += ceilDiv(sequence.row_count, facts.queryBlock);
  bool divide = threads > 1 && facts.recordBytes > 0 &&
                blocks * facts.kvHeads < kItemsPerThread * static_cast<int64_t>(threads);
  auto add = [&](const ingot_kernel_item &item, double cost) {
    items.push_back(item);
    costBefore.push_back(costBefore.back() + cost);
  };
  for (size_t s = 0; s < sequences.size(); ++s) {
    const ingot_kernel_sequence &sequence = sequences[s];
    for (int64_t row = 0; row < sequence.row_count; row += facts.queryBlock) {
      int64_t rows = std::min(facts.queryBlock, sequence.row_count - row);
      Visible keys = visibleKeys(facts, sequence, sequence.position + row, rows);
      ingot_kernel_item item = {};
      item.sequence = static_cast<int32_t>(s);
      item.row_count = static_cast<int32_t>(rows);
      item.row_begin = sequence.row_begin + row;
      item.segment = -1;
      int64_t first = keys.first / kSegment, end = ceilDiv(keys.end, kSegment);
      uint64_t queryRows = static_cast<uint64_t>(rows * facts.heads);
      if (!divide || end - first < 2 ||
          queryRows * static_cast<uint64_t>(end - first) > kMaxRecords - recordCount) {
        add(item, costOf(rows, keys));
        continue;
      }
      // Offsets until `place`: counters in elements, records in bytes.
      item.counters = reinterpret_cast<int32_t *>(static_cast<uintptr_t>(counters));
      item.records = reinterpret_cast<void *>(static_cast<uintptr_t>(recordBytes));
      item.part_count = static_cast<int32_t>(end - first);
      for (int64_t segment = first; segment < end; ++segment) {
        item.segment = static_cast<int32_t>(segment);
        item.part = static_cast<int32_t>(segment - first);
        add(item, costOf(rows, {std::max(keys.first, segment * kSegment),
                                std::min(keys.end, (segment + 1) * kSegment)}));
      }
      counters += queryRows;
      recordCount += queryRows * static_cast<uint64_t>(end - first);
      recordBytes += queryRows * static_cast<uint64_t>(facts.recordBytes * (end - first));
    }
  }
}

void ItemList::place(char *records, int32_t *counterTable) {
  for (ingot_kernel_item &item : items) {
    if (item.segment < 0)
      continue;
    item.counters = counterTable + reinterpret_cast<uintptr_t>(item.counters);
    item.records = records + reinterpret_cast<uintptr_t>(item.records);
  }
}

int64_t ItemList::begin(int64_t heads, unsigned thread, unsigned threads) const {
  int64_t count = static_cast<int64_t>(items.size());
  if (thread == threads || count == 0)
    return thread == threads ? count * heads : 0;
  double target = costBefore.back() * thread / threads;
  auto after = std::upper_bound(costBefore.begin(), costBefore.end(), target);
  int64_t item = std::clamp<int64_t>(after - costBefore.begin() - 1, 0, count - 1);
  size_t index = static_cast<size_t>(item);
  double cost = costBefore[index + 1] - costBefore[index];
  double part = cost > 0 ? (target - costBefore[index]) / cost : 0;
  int64_t head = static_cast<int64_t>(std::lround(part * static_cast<double>(heads)));
  return item * heads + std::clamp<int64_t>(head, 0, heads);
}
