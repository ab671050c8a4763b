//===- Values.h - run-time values of the reference interpreter --------------------*- C++ -*-===//
#ifndef INGOT_REFERENCE_VALUES_H
#define INGOT_REFERENCE_VALUES_H

#include "ingot/Dialect/Transformer/IR/TransformerDialect.h"
#include "ingot/Reference/Tensor.h"
#include <variant>

namespace ingot::reference {

/// `!tfm.batch`: which packed rows belong to which sequence.
struct Batch {
  struct Sequence {
    int64_t rowBegin; ///< first packed row
    int64_t rowCount; ///< rows in this step; may be 0
    int64_t position; ///< absolute position of the first row
    int64_t keyEnd;   ///< keys that the sequence sees: positions [0, keyEnd)
    int64_t prompt;   ///< tokens that were fed at once when the sequence was empty
  };
  llvm::SmallVector<Sequence, 1> sequences;
  /// Packed rows whose outputs are wanted, ascending.
  llvm::SmallVector<int64_t> outputRows;

  /// One sequence after another, `rows[b]` rows of sequence b from position `positions[b]` on; each
  /// sees all keys up to its last row. All outputs are wanted. `prompts[b]` is the length of its
  /// prompt; without them it is what it holds after these rows.
  static Batch pack(llvm::ArrayRef<int64_t> rows, llvm::ArrayRef<int64_t> positions,
                    llvm::ArrayRef<int64_t> prompts = {});
  /// `sequences` sequences of `rows` rows from position 0, each with `keys` keys.
  static Batch uniform(int64_t sequences, int64_t rows, int64_t keys);

  int64_t getTokens() const {
    return sequences.empty() ? 0 : sequences.back().rowBegin + sequences.back().rowCount;
  }
};

/// `!tfm.cache`: one version of the cache of one attention site. All versions share the storage and
/// only the newest may be used: appending to it makes it stale, and using a stale version is an
/// error. That is what linear handle means, so the interpreter finds passes that break it.
class Cache {
public:
  /// Empty. A number in it is rounded to `elementType` when it is appended, in Precision::F32.
  Cache(tfm::CacheType type, int64_t sequences);

  tfm::CacheType getType() const { return type; }
  int64_t getHeads() const { return type.getHeads(); }
  int64_t getKeySize() const { return type.getKeySize(); }
  int64_t getValueSize() const { return type.getValueSize(); }
  mlir::Type getElementType() const { return type.getElementType(); }
  int64_t getSequences() const { return storage->sequences.size(); }
  bool isStale() const { return version != storage->version; }

  /// The next version, in which position `position` of sequence `b` holds the rows `k`
  /// [heads * keySize] and `v` [heads * valueSize], which is empty where keys hold the values;
  /// positions after it are forgotten.
  void append(int64_t b, int64_t position, llvm::ArrayRef<double> k, llvm::ArrayRef<double> v);
  /// Positions of sequence `b` that are held: [0, length).
  int64_t getLength(int64_t b) const;
  /// Key [keySize] and value [valueSize] of a position that is held.
  llvm::ArrayRef<double> getKey(int64_t b, int64_t position, int64_t head) const;
  llvm::ArrayRef<double> getValue(int64_t b, int64_t position, int64_t head) const;
  /// Makes this handle the newest version and every other one stale.
  void advance() { version = ++storage->version; }
  /// The handle that is not stale.
  Cache getNewest() const {
    Cache newest = *this;
    newest.version = storage->version;
    return newest;
  }
  /// A copy with storage of its own, for a fork.
  Cache clone() const;

private:
  struct Sequence {
    std::vector<double> keys, values;
  };
  struct Storage {
    std::vector<Sequence> sequences;
    uint64_t version = 0;
  };
  tfm::CacheType type;
  std::shared_ptr<Storage> storage;
  uint64_t version = 0;
};

using RuntimeValue = std::variant<Tensor, Batch, Cache>;

} // namespace ingot::reference

#endif // INGOT_REFERENCE_VALUES_H
