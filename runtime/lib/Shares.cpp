//===- Shares.cpp - the work items of a dispatch, divided among threads ----------------------===//
#include "Shares.h"

using namespace ingot;

/// Kernels of projections take so many items together faster than one by one: a whole panel.
static constexpr int64_t kPanel = 4;
/// Of one row some read two panels at once.
static constexpr int64_t kLeastPiece = 2 * kPanel;
/// A shorter range is not worth the calls.
static constexpr int64_t kLongRange = 8 * kPanel;

void Shares::reserve(unsigned threads) {
  if (threads <= size)
    return;
  counters = std::make_unique<Counters[]>(threads);
  size = threads;
}

void Shares::clear() {
  for (unsigned i = 0; i < size; ++i) {
    counters[i].divided = 0;
    for (std::atomic<int64_t> &taken : counters[i].taken)
      taken.store(0, std::memory_order_relaxed);
  }
}

Shares::Range Shares::rangeOf(int64_t grid, unsigned thread, unsigned threads) {
  auto cut = [](int64_t item, int64_t of) { return item / of * of; };
  int64_t begin = grid * thread / threads, end = grid * (thread + 1) / threads;
  if (grid / threads < kLongRange)
    return {begin, end, end, 0};
  begin = cut(begin, kPanel);
  if (thread + 1 < threads)
    end = cut(end, kPanel);
  int64_t count = end - begin;
  return {begin, begin + cut(count * 3 / 4, kPanel), end,
          std::max(cut(count / 32, kPanel), kLeastPiece)};
}
