//===- Shares.cpp - the work items of a dispatch, divided among threads ----------------------===//
#include "Shares.h"

using namespace ingot;

/// Kernels of projections take so many items together faster than one by one: a whole panel.
static constexpr int64_t kTogether = 4;
/// A shorter range is not worth the calls.
static constexpr int64_t kLongRange = 8 * kTogether;

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
  auto cut = [](int64_t item) { return item / kTogether * kTogether; };
  int64_t begin = grid * thread / threads, end = grid * (thread + 1) / threads;
  if (grid / threads < kLongRange)
    return {begin, end, end, 0};
  begin = cut(begin);
  if (thread + 1 < threads)
    end = cut(end);
  int64_t size = end - begin;
  return {begin, begin + cut(size * 3 / 4), end, std::max(cut(size / 32), kTogether)};
}
