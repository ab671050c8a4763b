//===- WeightPacker.h - the bytes of the weights segment --------------------------*- C++ -*-===//
//
// A weights segment is a stream of packed weights of which every piece can be made on its own:
// chunks are packed by any number of threads in any order, with a few MiB of memory each, and the
// bytes are the same.
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_ARTIFACT_WEIGHTPACKER_H
#define INGOT_ARTIFACT_WEIGHTPACKER_H

#include "ingot/Artifact/SourceFiles.h"
#include "ingot/Dialect/Plan/Utils/PanelLayout.h"
#include "ingot/Formats/ScaledFormats.h"
#include "ingot/Schema/ingot_generated.h"
#include <optional>

namespace ingot::artifact {

/// Bytes that a weight is made of: a tensor in a file, or a constant.
struct WeightSource {
  std::string name; ///< in the checkpoint; empty for a constant
  std::string file; ///< relative to the model's folder; empty for a constant
  uint64_t offset = 0;
  uint64_t length = 0; ///< bytes in the weight, a multiple of the element's
  /// The formats that the bytes are in and are converted to while they are packed.
  struct Conversion {
    formats::Format from, to;
    uint64_t stored;         ///< bytes before
    int64_t columns = 0;     ///< numbers in a row after
    bool transposed = false; ///< rows after are columns before
  };
  std::optional<Conversion> conversion;
  /// Elements whose scales are elsewhere: what the bytes are before any conversion.
  struct Scales {
    formats::Scaling scaling;
    formats::Format to; ///< a plain float
    std::string file;   ///< relative to the model's folder
    uint64_t offset, length;
    uint64_t elementBytes; ///< of all elements in the file
    int fileNumber = -1;
  };
  std::optional<Scales> scales;
  /// The bytes of a constant, or of one element that repeats. Not owned, unless they are in
  /// `storage`.
  llvm::ArrayRef<char> constant;
  std::vector<char> storage;
  int fileNumber = -1; ///< in SourceFiles, given by WeightPacker::open

  /// Bytes in the file or the constant.
  uint64_t getStored() const {
    return scales ? scales->elementBytes : conversion ? conversion->stored : length;
  }
};

/// One entry of the artifact's table of weights: its sources one after the other, packed or not.
struct Weight {
  std::string name;
  fb::ElementType type = fb::ElementType::None;
  int64_t elementBytes = 0; ///< 1, 2, 4 or 8
  std::vector<int64_t> shape;
  std::string layout = "rows";
  /// How the matrix is packed; absent: its elements stand as they are in the sources.
  std::optional<plan::PanelLayout> panels;
  bool transposed = false; ///< the sources are [K, N_i]; only with panels
  std::vector<WeightSource> sources;
  uint64_t length = 0; ///< bytes in the segment
  uint64_t offset = 0; ///< in the segment, given by WeightPacker
};

class WeightPacker {
public:
  /// Memory of one thread; reuse it from chunk to chunk.
  struct Buffers {
    std::vector<char> chunk;
    std::vector<char> staging;
  };

  /// Places the weights one after the other, at multiples of 64. `weights` must outlive the packer.
  WeightPacker(std::vector<Weight> &weights, SourceFiles &files);

  /// Opens the files and checks that they hold every source. Call it once, before pack().
  llvm::Error open();

  /// Bytes of the segment; 0 without weights.
  uint64_t getLength() const { return length; }

  /// Makes bytes [begin, begin + size) of the segment and returns them, in `buffers`. Thread-safe;
  /// the calls must have buffers of their own.
  llvm::Expected<llvm::ArrayRef<char>> pack(uint64_t begin, uint64_t size, Buffers &buffers) const;

private:
  llvm::Error convertRows(const WeightSource &source, int64_t firstRow, int64_t endRow,
                          int64_t firstBlock, int64_t endBlock, char *out, int64_t stride) const;
  llvm::Error readStored(const WeightSource &source, uint64_t offset,
                         llvm::MutableArrayRef<char> out) const;
  llvm::Error readScaled(const WeightSource &source, uint64_t offset,
                         llvm::MutableArrayRef<char> out) const;
  llvm::Error read(const WeightSource &source, uint64_t offset,
                   llvm::MutableArrayRef<char> out) const;
  llvm::Error copyRows(const Weight &weight, uint64_t begin, uint64_t end, char *out) const;
  llvm::Error packPanels(const Weight &weight, uint64_t begin, uint64_t end, char *out,
                         std::vector<char> &staging) const;
  llvm::Error packMatrix(const Weight &weight, int64_t matrix, int64_t from, int64_t to, char *out,
                         std::vector<char> &staging) const;
  llvm::Error packRun(const Weight &weight, int64_t matrix, int64_t firstPanel, int64_t endPanel,
                      int64_t firstLine, int64_t endLine, char *out,
                      std::vector<char> &staging) const;
  llvm::Error load(const Weight &weight, int64_t firstRow, int64_t endRow, int64_t firstK,
                   int64_t endK, std::vector<char> &staging) const;

  std::vector<Weight> &weights;
  SourceFiles &files;
  uint64_t length = 0;
  /// Room before and after a chunk for the lines that it cuts.
  uint64_t slack = 0;
};

} // namespace ingot::artifact

#endif // INGOT_ARTIFACT_WEIGHTPACKER_H
