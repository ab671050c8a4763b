//===- Pages.h - the pages of the key/value cache --------------------------------------------===//
//
// A page holds 64 positions of every layer of one cache group. Sessions hold references to pages; a
// forked session shares all of them, and whoever writes to a page that is shared copies it first.
// A step takes all the pages that it will need before it changes anything (admission): from there
// on it cannot fail for lack of memory.
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_RUNTIME_PAGES_H
#define INGOT_RUNTIME_PAGES_H

#include "Support.h"

#include <atomic>
#include <mutex>
#include <vector>

namespace ingot {

struct Page {
  void *data = nullptr;
  std::atomic<uint32_t> references{0};
  Page *next = nullptr; // in a free list
};

/// Pages in hand, per group: taken from the pool, held by no session yet.
using Hand = std::vector<std::vector<Page *>>;

class PagePool {
public:
  PagePool(const Allocator &allocator, uint64_t budget) : allocator(allocator), budget(budget) {}
  ~PagePool();

  void addGroup(uint64_t pageBytes) { groups.push_back({pageBytes, nullptr}); }
  size_t groupCount() const { return groups.size(); }
  uint64_t pageBytes(size_t group) const { return groups[group].pageBytes; }

  /// Takes counts[g] pages of each group into the hand, or none at all.
  Error acquire(const std::vector<uint64_t> &counts, Hand &hand);
  /// Puts everything in the hand back.
  void release(Hand &hand);
  /// Drops a reference that a session held; a page that nobody holds any more goes into the hand.
  static void drop(Page *page, std::vector<Page *> &hand) {
    if (page->references.fetch_sub(1, std::memory_order_acq_rel) == 1)
      hand.push_back(page);
  }
  /// Frees the pages that nobody holds.
  void trim();

  uint64_t usedBytes() const { return used.load(std::memory_order_relaxed); }
  uint64_t freeBytes() const { return unused.load(std::memory_order_relaxed); }

private:
  struct Group {
    uint64_t pageBytes;
    Page *free;
  };
  void putBack(size_t group, Page *page);

  const Allocator &allocator;
  const uint64_t budget;
  std::mutex mutex;
  std::vector<Group> groups;
  std::atomic<uint64_t> used{0};
  std::atomic<uint64_t> unused{0};
};

} // namespace ingot

#endif // INGOT_RUNTIME_PAGES_H
