//===- Pages.cpp - taking and returning pages ------------------------------------------------===//
#include "Pages.h"
#include "ingot/kernel_abi.h"

#include <cstring>

using namespace ingot;

PagePool::~PagePool() { trim(); }

void PagePool::trim() {
  std::lock_guard<std::mutex> lock(mutex);
  for (Group &group : groups) {
    while (Page *page = group.free) {
      group.free = page->next;
      allocator.release(page->data, group.pageBytes + INGOT_PAGE_SLACK);
      unused -= group.pageBytes;
      delete page;
    }
  }
}

void PagePool::putBack(size_t group, Page *page) {
  page->next = groups[group].free;
  groups[group].free = page;
  used -= groups[group].pageBytes;
  unused += groups[group].pageBytes;
}

Error PagePool::acquire(const std::vector<uint64_t> &counts, Hand &hand) {
  hand.resize(groups.size());
  uint64_t wanted = 0;
  for (size_t g = 0; g < groups.size(); ++g) {
    uint64_t bytes;
    if (mulOverflows(counts[g], groups[g].pageBytes, bytes) || addOverflows(wanted, bytes, wanted))
      return outOfMemory();
    hand[g].reserve(hand[g].size() + counts[g]);
  }
  if (wanted == 0)
    return nullptr;

  std::lock_guard<std::mutex> lock(mutex);
  if (budget && wanted > budget - std::min(budget, used.load()))
    return makeError(
        INGOT_BUDGET_EXCEEDED,
        "the step needs %llu bytes of cache pages, but of the budget of %llu bytes %llu "
        "are in use",
        static_cast<unsigned long long>(wanted), static_cast<unsigned long long>(budget),
        static_cast<unsigned long long>(used.load()));
  std::vector<size_t> before(groups.size());
  for (size_t g = 0; g < groups.size(); ++g)
    before[g] = hand[g].size();
  for (size_t g = 0; g < groups.size(); ++g) {
    Group &group = groups[g];
    for (uint64_t i = 0; i < counts[g]; ++i) {
      Page *page = group.free;
      if (page) {
        group.free = page->next;
        unused -= group.pageBytes;
        // Zero when taken, so that what a sequence left behind can never reach another one.
        memset(page->data, 0, group.pageBytes);
      } else {
        void *data = allocator.allocate(group.pageBytes + INGOT_PAGE_SLACK, /*zeroed=*/true);
        page = data ? new (std::nothrow) Page : nullptr;
        if (!page) {
          allocator.release(data, group.pageBytes + INGOT_PAGE_SLACK);
          for (size_t h = 0; h < groups.size(); ++h)
            for (; hand[h].size() > before[h]; hand[h].pop_back())
              putBack(h, hand[h].back());
          return makeError(INGOT_OUT_OF_MEMORY, "no memory for %llu bytes of cache pages",
                           static_cast<unsigned long long>(wanted));
        }
        page->data = data;
      }
      page->references.store(0, std::memory_order_relaxed);
      used += group.pageBytes;
      hand[g].push_back(page);
    }
  }
  return nullptr;
}

void PagePool::release(Hand &hand) {
  std::lock_guard<std::mutex> lock(mutex);
  for (size_t g = 0; g < hand.size(); ++g) {
    for (Page *page : hand[g])
      putBack(g, page);
    hand[g].clear();
  }
}
