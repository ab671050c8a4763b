//===- DoubleArray.cpp - Building tries -------------------------------------===//
//
// Nodes are placed one after the other: for the labels of a node's children, find a base such that
// base ^ label is free for all of them. Free units form a list. A unit that has failed too often as
// a candidate leaves the list (it stays empty), which keeps building linear in practice.
//
//===----------------------------------------------------------------------===//

#include "DoubleArray.h"

#include <algorithm>
#include <cassert>
#include <numeric>

namespace ingot::tokenizer {

class TrieBuilder {
public:
  using Entries = std::vector<std::pair<std::string_view, uint32_t>>;

  std::vector<uint32_t> build(const Entries &entries) {
    grow();
    take(DoubleArray::root);
    struct Work {
      uint32_t node;
      size_t begin, end, depth;
    };
    std::vector<Work> stack;
    if (!entries.empty())
      stack.push_back({DoubleArray::root, 0, entries.size(), 0});
    std::vector<uint8_t> labels;
    std::vector<size_t> starts;
    while (!stack.empty()) {
      Work work = stack.back();
      stack.pop_back();
      labels.clear();
      starts.clear();
      for (size_t i = work.begin; i < work.end; ++i) {
        uint8_t label = labelAt(entries[i].first, work.depth);
        if (labels.empty() || labels.back() != label) {
          labels.push_back(label);
          starts.push_back(i);
        }
      }
      starts.push_back(work.end);

      uint32_t base = findBase(work.node, labels);
      baseTaken[base] = true;
      setOffset(work.node, work.node ^ base);
      for (uint8_t label : labels)
        take(base ^ label);
      // The first child is worked on first: neighbours in the key order lie near each other.
      for (size_t i = labels.size(); i-- > 0;) {
        uint32_t child = base ^ labels[i];
        if (labels[i] == 0) {
          units[work.node] |= DoubleArray::hasValueBit;
          units[child] = entries[starts[i]].second | DoubleArray::valueBit;
        } else {
          units[child] = labels[i];
          stack.push_back({child, starts[i], starts[i + 1], work.depth + 1});
        }
      }
    }
    return std::move(units);
  }

  /// The label of a byte of a key; 0 at the end of the key.
  static uint8_t labelAt(std::string_view key, size_t depth) {
    if (depth >= key.size())
      return 0;
    uint8_t byte = uint8_t(key[depth]);
    assert(byte != 0xFF && "not UTF-8");
    return byte ? byte : 0xFF;
  }

private:
  static constexpr unsigned maxFailures = 16;

  std::vector<uint32_t> units;
  std::vector<uint32_t> next, previous; // circular list of free units, headed by the element `head`
  std::vector<uint8_t> failures;
  std::vector<bool> free, baseTaken;
  static constexpr uint32_t head = 0; // index shifted by one in the list: element 0 is the head

  void grow() {
    size_t old = units.size();
    if (old == 0) {
      next.push_back(head);
      previous.push_back(head);
    }
    units.resize(old + 256, 0);
    free.resize(old + 256, true);
    baseTaken.resize(old + 256, false);
    failures.resize(old + 256, 0);
    next.resize(old + 257);
    previous.resize(old + 257);
    for (uint32_t i = old; i < old + 256; ++i) {
      uint32_t element = i + 1, last = previous[head];
      next[last] = element;
      previous[element] = last;
      next[element] = head;
      previous[head] = element;
    }
  }

  void unlink(uint32_t unit) {
    uint32_t element = unit + 1;
    if (next[element] == element) // already out of the list
      return;
    next[previous[element]] = next[element];
    previous[next[element]] = previous[element];
    next[element] = previous[element] = element;
  }

  void take(uint32_t unit) {
    assert(free[unit]);
    free[unit] = false;
    unlink(unit);
  }

  static bool encodable(uint32_t offset) {
    return offset < (1u << 21) || ((offset & 0xFF) == 0 && offset < (1u << 29));
  }

  void setOffset(uint32_t node, uint32_t offset) {
    assert(encodable(offset));
    units[node] |= offset < (1u << 21) ? offset << 10 : (offset >> 8) << 10 | DoubleArray::wideBit;
  }

  uint32_t findBase(uint32_t node, const std::vector<uint8_t> &labels) {
    for (uint32_t element = next[head]; element != head;) {
      uint32_t candidate = element - 1, base = candidate ^ labels[0];
      element = next[element];
      if (!baseTaken[base] && encodable(node ^ base) &&
          std::all_of(labels.begin(), labels.end(), [&](uint8_t l) { return free[base ^ l]; }))
        return base;
      if (++failures[candidate] >= maxFailures)
        unlink(candidate);
    }
    uint32_t start = uint32_t(units.size());
    grow();
    return start | (node & 0xFF);
  }
};

std::vector<uint32_t> buildTrie(const std::vector<std::pair<std::string_view, uint32_t>> &entries) {
  auto less = [](std::string_view a, std::string_view b) {
    size_t common = std::min(a.size(), b.size());
    for (size_t i = 0; i < common; ++i)
      if (a[i] != b[i])
        return TrieBuilder::labelAt(a, i) < TrieBuilder::labelAt(b, i);
    return a.size() < b.size();
  };
  std::vector<uint32_t> order(entries.size());
  std::iota(order.begin(), order.end(), 0u);
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    if (less(entries[a].first, entries[b].first))
      return true;
    return entries[a].first == entries[b].first && a < b;
  });
  // Keep the last of equal keys.
  TrieBuilder::Entries sorted;
  sorted.reserve(entries.size());
  for (uint32_t index : order) {
    if (!sorted.empty() && sorted.back().first == entries[index].first)
      sorted.pop_back();
    sorted.push_back(entries[index]);
  }
  return TrieBuilder().build(sorted);
}

} // namespace ingot::tokenizer
