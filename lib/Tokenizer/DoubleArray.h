//===- DoubleArray.h - Tries over bytes, in one array ------------*- C++ -*-===//
//
// A trie in an array of 32-bit units, in the format of SentencePiece's character maps, so that one
// reader serves those and our own tables. Unit of a node at index p:
//
//   bits 0-7   label: the byte that leads here
//   bit  8     the node ends a key: the child with label 0 holds its value
//   bit  9     the offset below counts in 256s
//   bits 10-30 offset: the child for byte b is at index p ^ offset ^ b
//   bit  31    the unit is a value, bits 0-30
//
// A child is the node's own only if its label matches, so no two nodes may share p ^ offset. Every
// index is checked against the size when it is followed: any array of any contents is safe to read,
// and a walk takes at most one step per byte of text.
//
//===----------------------------------------------------------------------===//

#ifndef INGOT_LIB_TOKENIZER_DOUBLEARRAY_H
#define INGOT_LIB_TOKENIZER_DOUBLEARRAY_H

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace ingot::tokenizer {

class DoubleArray {
public:
  DoubleArray() = default;
  DoubleArray(const uint32_t *units, size_t count) : units(units), count(count) {}

  static constexpr uint32_t root = 0;
  static constexpr int64_t none = -1;

  bool empty() const { return count == 0; }

  /// Moves `node` along `label`, which is not 0; false if there is no such child.
  bool step(uint32_t &node, uint8_t label) const {
    if (node >= count)
      return false;
    uint32_t next = node ^ offset(units[node]) ^ label;
    if (next >= count || (units[next] & (valueBit | 0xFF)) != label)
      return false;
    node = next;
    return true;
  }

  /// The value of the key that ends at `node`, or `none`.
  int64_t value(uint32_t node) const {
    if (node >= count || !(units[node] & hasValueBit))
      return none;
    uint32_t leaf = node ^ offset(units[node]);
    return leaf < count && (units[leaf] & valueBit) ? int64_t(units[leaf] & ~valueBit) : none;
  }

  /// The largest value in the array, or `none`. Units that no key reaches count too.
  int64_t maxValue() const {
    uint32_t largest = 0;
    bool any = false;
    for (size_t i = 0; i < count; ++i) {
      bool isValue = units[i] & valueBit;
      uint32_t value = isValue ? units[i] & ~valueBit : 0;
      largest = value > largest ? value : largest;
      any |= isValue;
    }
    return any ? int64_t(largest) : none;
  }

private:
  friend class TrieBuilder;
  static constexpr uint32_t valueBit = 1u << 31, hasValueBit = 1u << 8, wideBit = 1u << 9;
  static uint32_t offset(uint32_t unit) {
    return ((unit & ~valueBit) >> 10) << (unit & wideBit ? 8 : 0);
  }

  const uint32_t *units = nullptr;
  size_t count = 0;
};

/// A double array whose keys are UTF-8 and may contain the zero byte.
class Trie : public DoubleArray {
public:
  using DoubleArray::DoubleArray;

  bool step(uint32_t &node, char byte) const {
    uint8_t label = uint8_t(byte);
    if (label == 0 || label == 0xFF) {
      if (label == 0xFF)
        return false;
      label = 0xFF;
    }
    return DoubleArray::step(node, label);
  }

  bool walk(uint32_t &node, std::string_view bytes) const {
    for (char byte : bytes)
      if (!step(node, byte))
        return false;
    return true;
  }

  /// The value of exactly `key`, or `none`.
  int64_t find(std::string_view key) const {
    uint32_t node = root;
    return walk(node, key) ? value(node) : none;
  }

  /// The longest key that `text` starts with: its length and value. Length 0: no key.
  std::pair<size_t, int64_t> longestPrefix(std::string_view text) const {
    std::pair<size_t, int64_t> best{0, none};
    uint32_t node = root;
    for (size_t i = 0; i < text.size() && step(node, text[i]); ++i)
      if (int64_t found = value(node); found != none)
        best = {i + 1, found};
    return best;
  }
};

/// Builds the units of a Trie. Keys are non-empty, contain no byte 0xFF, and values are below 2^31.
/// Of several entries with one key the last wins. Equal entries give equal units.
std::vector<uint32_t> buildTrie(const std::vector<std::pair<std::string_view, uint32_t>> &entries);

} // namespace ingot::tokenizer

#endif // INGOT_LIB_TOKENIZER_DOUBLEARRAY_H
