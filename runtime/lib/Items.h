//===- Items.h - attention divided into items ------------------------------------------------===//
//
// Attention is divided into blocks of queries of one sequence, and each of them into KV heads.
// Where that gives too few pieces for the threads, as in decoding one long sequence, the keys of a
// block are divided too, at the fixed segments of 1,024 positions at which the arithmetic starts
// anew: so the division changes no bit.
//
// What an item costs is known before it runs: its rows times the blocks of keys that they see. The
// items of a dispatch are dealt out to the threads in their order, each thread a range of about the
// same cost.
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_RUNTIME_ITEMS_H
#define INGOT_RUNTIME_ITEMS_H

#include "ingot/kernel_abi.h"

#include <cstdint>
#include <vector>

namespace ingot {

/// What the plan says about the attention that a batch is for.
struct AttentionFacts {
  int64_t queryBlock = 1; ///< most rows of an item
  int64_t heads = 0, kvHeads = 0;
  int64_t recordBytes = 0; ///< of one query row and segment; 0: keys cannot be divided
  bool causal = false;
  int64_t window = 0; ///< keys that a query sees; 0: all
};

struct ItemList {
  std::vector<ingot_kernel_item> items;
  std::vector<double> costBefore; ///< of each item: the cost of those before it; then of all
  uint64_t recordBytes = 0;       ///< memory for records
  uint64_t counters = 0;          ///< and counters

  void build(const AttentionFacts &facts, const std::vector<ingot_kernel_sequence> &sequences,
             unsigned threads);
  /// Puts addresses where `build` left offsets.
  void place(char *records, int32_t *counterTable);
  /// First work item of `thread`, of items.size() * heads; as many for thread == threads.
  int64_t begin(int64_t heads, unsigned thread, unsigned threads) const;
};

} // namespace ingot

#endif // INGOT_RUNTIME_ITEMS_H
