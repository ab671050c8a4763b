//===- Shares.h - the work items of a dispatch, divided among threads ------------------------===//
//
// Threads get equal ranges of a dispatch's items, so that each reads its weights in order. But
// processors are not equally fast: another machine's thread runs on the same core, another process
// takes a time slice, and at the barrier everybody waits for the slowest. So of a long range a
// thread takes three quarters at once and the rest in pieces, and who is done takes pieces of
// others. Any division gives the same bits (kernel_abi.h).
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_RUNTIME_SHARES_H
#define INGOT_RUNTIME_SHARES_H

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>

namespace ingot {

class Shares {
public:
  /// For as many threads. Not while a run is under way.
  void reserve(unsigned threads);
  /// Before a run.
  void clear();

  /// Calls `take(begin, end)` for ranges of [0, grid) until all are taken by somebody. All threads
  /// of a run divide the same dispatches and meet before the next one.
  template <typename Take> void divide(int64_t grid, unsigned thread, unsigned threads, Take take) {
    if (threads == 1)
      return take(0, grid);
    // Nobody looks at the next dispatch's counter before all have left this one, and nobody at that
    // of the one before.
    size_t parity = counters[thread].divided++ % 2;
    counters[thread].taken[1 - parity].store(0, std::memory_order_relaxed);
    for (unsigned i = 0; i < threads; ++i) {
      unsigned owner = (thread + i) % threads;
      Range range = rangeOf(grid, owner, threads);
      if (i == 0)
        take(range.begin, range.pieces);
      if (range.pieces >= range.end)
        continue;
      std::atomic<int64_t> &taken = counters[owner].taken[parity];
      for (;;) {
        int64_t begin = range.pieces + range.piece * taken.fetch_add(1, std::memory_order_relaxed);
        if (begin >= range.end)
          break;
        take(begin, std::min(begin + range.piece, range.end));
      }
    }
  }

  /// The items [begin, pieces) that `thread` takes at once, and [pieces, end) in pieces.
  struct Range {
    int64_t begin, pieces, end, piece;
  };
  static Range rangeOf(int64_t grid, unsigned thread, unsigned threads);

private:
  struct alignas(64) Counters {
    std::atomic<int64_t> taken[2] = {}; ///< pieces of this dispatch and of the next
    size_t divided = 0;                 ///< dispatches of this run
  };
  std::unique_ptr<Counters[]> counters;
  unsigned size = 0;
};

} // namespace ingot

#endif // INGOT_RUNTIME_SHARES_H
