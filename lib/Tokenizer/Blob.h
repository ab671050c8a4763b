//===- Blob.h - The binary form of a tokenizer -------------------*- C++ -*-===//

#ifndef INGOT_LIB_TOKENIZER_BLOB_H
#define INGOT_LIB_TOKENIZER_BLOB_H

#include "DoubleArray.h"
#include "ingot/Schema/tokenizer_generated.h"
#include "ingot/Tokenizer/Result.h"
#include "ingot/Tokenizer/TokenizerSpec.h"

namespace ingot::tokenizer {

inline constexpr uint32_t blobFormat = 1;

/// The merges of a BPE model: a hash table with open addressing and linear probing. The number of
/// slots is a power of two; at least one is empty, and no run of used slots is longer than
/// `longestRun`, so a look-up always ends soon.
class MergeTable {
public:
  static constexpr uint32_t emptySlot = 0xFFFFFFFF;
  static constexpr size_t longestRun = 1024;

  MergeTable() = default;
  MergeTable(const fb::MergeSlot *slots, size_t count) : slots(slots), mask(count - 1) {}

  struct Found {
    uint32_t rank, result;
  };
  /// The merge of two neighbours; false if there is none.
  bool find(uint32_t left, uint32_t right, Found &found) const {
    if (!slots)
      return false;
    for (size_t i = hash(left, right) & mask;; i = (i + 1) & mask) {
      const fb::MergeSlot &slot = slots[i];
      if (slot.left() == left && slot.right() == right) {
        found = {slot.rank(), slot.result()};
        return true;
      }
      if (slot.left() == emptySlot)
        return false;
    }
  }

  static uint64_t hash(uint32_t left, uint32_t right) {
    uint64_t x = (uint64_t(left) << 32 | right) * 0x9E3779B97F4A7C15u;
    return x ^ x >> 32;
  }

private:
  const fb::MergeSlot *slots = nullptr;
  size_t mask = 0;
};

/// Checks a blob completely: its structure, then every index, offset and enumerator in it.
Result<const fb::Tokenizer *> verifyBlob(const void *data, size_t size);

/// The trie in a vector of the blob; null is the empty trie.
template <typename T = Trie> T trieOf(const flatbuffers::Vector<uint32_t> *units) {
  return units ? T(units->data(), units->size()) : T();
}

inline std::string_view viewOf(const flatbuffers::String *string) {
  return string ? std::string_view(string->c_str(), string->size()) : std::string_view();
}

/// The steps of a verified blob.
std::vector<NormalizerStep> normalizerOf(const fb::Tokenizer &blob);
std::vector<PreTokenizerStep> preTokenizerOf(const fb::Tokenizer &blob);
std::vector<DecoderStep> decoderOf(const fb::Tokenizer &blob);

} // namespace ingot::tokenizer

#endif // INGOT_LIB_TOKENIZER_BLOB_H
