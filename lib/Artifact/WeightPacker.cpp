//===- WeightPacker.cpp - the bytes of the weights segment ------------------------------------===//

#include "ingot/Artifact/WeightPacker.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/SwapByteOrder.h"
#include <cstring>

using namespace ingot;
using namespace ingot::artifact;
using namespace ingot::plan;

static_assert(llvm::sys::IsLittleEndianHost,
              "checkpoints and artifacts are little endian and are copied as they are");

/// Most bytes that are read for packing at once.
static constexpr int64_t kRunBytes = 4 << 20;
static constexpr uint64_t kWeightAlignment = 64;

WeightPacker::WeightPacker(std::vector<Weight> &weights, SourceFiles &files)
    : weights(weights), files(files) {
  for (Weight &weight : weights) {
    weight.offset = llvm::alignTo(length, kWeightAlignment);
    length = weight.offset + weight.length;
    if (weight.panels && weight.panels->numPanels())
      slack = std::max<uint64_t>(slack, weight.panels->lineBytes(0));
  }
  slack = llvm::alignTo(slack, kWeightAlignment);
  // Weights without elements have a place too, and no segment is empty.
  if (!weights.empty() && length == 0)
    length = kWeightAlignment;
}

llvm::Error WeightPacker::open() {
  for (Weight &weight : weights)
    for (WeightSource &source : weight.sources) {
      if (source.file.empty())
        continue;
      llvm::Expected<unsigned> number = files.open(source.file);
      if (!number)
        return number.takeError();
      source.fileNumber = int(*number);
      if (llvm::Error error =
              files.checkRange(*number, source.offset, source.getStored(), source.name))
        return error;
      if (!source.scales)
        continue;
      number = files.open(source.scales->file);
      if (!number)
        return number.takeError();
      source.scales->fileNumber = int(*number);
      if (llvm::Error error =
              files.checkRange(*number, source.scales->offset, source.scales->length, source.name))
        return error;
    }
  return llvm::Error::success();
}

llvm::Expected<llvm::ArrayRef<char>> WeightPacker::pack(uint64_t begin, uint64_t size,
                                                        Buffers &buffers) const {
  buffers.chunk.assign(size + 2 * slack, 0);
  char *chunk = buffers.chunk.data() + slack;
  uint64_t end = begin + size;
  const Weight *weight =
      llvm::partition_point(
          weights, [&](const Weight &weight) { return weight.offset + weight.length <= begin; }) -
      weights.begin() + weights.data();
  for (; weight != weights.data() + weights.size() && weight->offset < end; ++weight) {
    uint64_t first = std::max(begin, weight->offset) - weight->offset;
    uint64_t last = std::min(end, weight->offset + weight->length) - weight->offset;
    if (first >= last)
      continue;
    char *out = chunk + (weight->offset + first - begin);
    if (llvm::Error error = weight->panels ? packPanels(*weight, first, last, out, buffers.staging)
                                           : copyRows(*weight, first, last, out))
      return std::move(error);
  }
  return llvm::ArrayRef<char>(chunk, size);
}

/// Bytes of a source as they are stored.
llvm::Error WeightPacker::readStored(const WeightSource &source, uint64_t offset,
                                     llvm::MutableArrayRef<char> out) const {
  if (source.scales && !out.empty())
    return readScaled(source, offset, out);
  if (source.fileNumber >= 0)
    return files.read(unsigned(source.fileNumber), source.offset + offset, out);
  if (source.constant.size() == source.getStored()) {
    memcpy(out.data(), source.constant.data() + offset, out.size());
    return llvm::Error::success();
  }
  // One element that repeats. Reads start and end anywhere.
  for (size_t i = 0; i < out.size(); ++i)
    out[i] = source.constant[(offset + i) % source.constant.size()];
  return llvm::Error::success();
}

/// Bytes [offset, ...) of the floats that elements times their scales are.
llvm::Error WeightPacker::readScaled(const WeightSource &source, uint64_t offset,
                                     llvm::MutableArrayRef<char> out) const {
  const WeightSource::Scales &scales = *source.scales;
  const formats::Scaling &scaling = scales.scaling;
  // Whole bytes of elements around what is asked for.
  uint64_t floatBytes = formats::getInfo(scales.to).bytes,
           total = scaling.halfBytes ? scales.elementBytes * 2 : scales.elementBytes;
  uint64_t first = offset / floatBytes / 2 * 2;
  uint64_t count =
      std::min(llvm::alignTo((offset + out.size() - 1) / floatBytes + 1, 2), total) - first;
  std::vector<char> elements(scaling.elementBytes(count));
  if (llvm::Error error = files.read(unsigned(source.fileNumber),
                                     source.offset + scaling.elementBytes(first), elements))
    return error;
  auto blockRow = [&](uint64_t element) {
    return element / uint64_t(scaling.columns) / uint64_t(scaling.blockRows);
  };
  uint64_t rowBytes = uint64_t(scaling.scaleColumns()) * scaling.scaleBytes();
  std::vector<char> factors((blockRow(first + count - 1) - blockRow(first) + 1) * rowBytes);
  if (llvm::Error error = files.read(unsigned(scales.fileNumber),
                                     scales.offset + blockRow(first) * rowBytes, factors))
    return error;
  std::vector<float> numbers(count);
  formats::decodeScaled(scaling, elements.data(), factors.data(), first, count, numbers.data());
  std::vector<char> floats(count * floatBytes);
  formats::encode(scales.to, numbers.data(), count, floats.data());
  memcpy(out.data(), floats.data() + (offset - first * floatBytes), out.size());
  return llvm::Error::success();
}

/// Bytes of a source as the weight has them: from the blocks around them, if it is converted.
llvm::Error WeightPacker::read(const WeightSource &source, uint64_t offset,
                               llvm::MutableArrayRef<char> out) const {
  if (!source.conversion || out.empty())
    return readStored(source, offset, out);
  formats::Format from = source.conversion->from, to = source.conversion->to;
  // Block lengths are powers of two: whole blocks of the longer are whole blocks of both.
  uint64_t unit = std::max(formats::getInfo(from).length, formats::getInfo(to).length);
  uint64_t unitBytes = formats::bytesOf(to, unit), storedUnit = formats::bytesOf(from, unit);
  uint64_t first = offset / unitBytes, units = (offset + out.size() - 1) / unitBytes + 1 - first;
  std::vector<char> stored(units * storedUnit), converted(units * unitBytes);
  if (llvm::Error error = readStored(source, first * storedUnit, stored))
    return error;
  std::vector<float> numbers(units * unit);
  formats::decode(from, stored.data(), numbers.size(), numbers.data());
  formats::encode(to, numbers.data(), numbers.size(), converted.data());
  memcpy(out.data(), converted.data() + (offset - first * unitBytes), out.size());
  return llvm::Error::success();
}

/// Rows [firstRow, endRow) of a source that is converted to blocks, blocks [firstBlock, endBlock)
/// of each, one row after the other at `stride` bytes.
llvm::Error WeightPacker::convertRows(const WeightSource &source, int64_t firstRow, int64_t endRow,
                                      int64_t firstBlock, int64_t endBlock, char *out,
                                      int64_t stride) const {
  const WeightSource::Conversion &conversion = *source.conversion;
  const formats::FormatInfo &from = formats::getInfo(conversion.from),
                            &to = formats::getInfo(conversion.to);
  // The numbers that are wanted, and the whole blocks around them that are read.
  int64_t first = firstBlock * to.length,
          end = std::min<int64_t>(endBlock * to.length, conversion.columns);
  int64_t begin = first / from.length * from.length;
  int64_t ks = int64_t(llvm::alignTo(end, from.length)) - begin, rows = endRow - firstRow;
  std::vector<float> numbers(rows * ks);
  if (conversion.transposed) {
    int64_t allRows = int64_t(source.length / formats::bytesOf(conversion.to, conversion.columns));
    std::vector<char> stored(rows * from.bytes);
    std::vector<float> column(rows);
    for (int64_t k = 0; k < ks; ++k) {
      uint64_t offset = uint64_t((begin + k) * allRows + firstRow) * from.bytes;
      if (llvm::Error error = readStored(source, offset, stored))
        return error;
      formats::decode(conversion.from, stored.data(), rows, column.data());
      for (int64_t row = 0; row < rows; ++row)
        numbers[row * ks + k] = column[row];
    }
  } else {
    std::vector<char> stored(formats::bytesOf(conversion.from, ks));
    for (int64_t row = 0; row < rows; ++row) {
      uint64_t offset = (firstRow + row) * formats::bytesOf(conversion.from, conversion.columns) +
                        formats::bytesOf(conversion.from, begin);
      if (llvm::Error error = readStored(source, offset, stored))
        return error;
      formats::decode(conversion.from, stored.data(), ks, &numbers[row * ks]);
    }
  }
  for (int64_t row = 0; row < rows; ++row)
    formats::encode(conversion.to, &numbers[row * ks + (first - begin)], end - first,
                    out + row * stride);
  return llvm::Error::success();
}

/// Copies bytes [begin, end) of the concatenation of the sources.
llvm::Error WeightPacker::copyRows(const Weight &weight, uint64_t begin, uint64_t end,
                                   char *out) const {
  uint64_t start = 0;
  for (const WeightSource &source : weight.sources) {
    uint64_t first = std::max(begin, start), last = std::min(end, start + source.length);
    if (first < last)
      if (llvm::Error error =
              read(source, first - start, {out + (first - begin), size_t(last - first)}))
        return error;
    start += source.length;
  }
  return llvm::Error::success();
}

//===----------------------------------------------------------------------===//
// Panels
//===----------------------------------------------------------------------===//

/// Makes bytes [begin, end) of packed matrices, in whole lines: up to a line before `out` and after
/// its end is overwritten too.
llvm::Error WeightPacker::packPanels(const Weight &weight, uint64_t begin, uint64_t end, char *out,
                                     std::vector<char> &staging) const {
  int64_t size = weight.panels->matrixBytes(), from = int64_t(begin), to = int64_t(end);
  for (int64_t matrix = from / size; matrix * size < to; ++matrix) {
    int64_t first = std::max(from, matrix * size), last = std::min(to, (matrix + 1) * size);
    if (llvm::Error error = packMatrix(weight, matrix, first - matrix * size, last - matrix * size,
                                       out + (first - from), staging))
      return error;
  }
  return llvm::Error::success();
}

/// Makes bytes [from, to) of one matrix. The work is cut into runs of whole panels, or of lines of
/// one panel.
llvm::Error WeightPacker::packMatrix(const Weight &weight, int64_t matrix, int64_t from, int64_t to,
                                     char *out, std::vector<char> &staging) const {
  const PanelLayout &layout = *weight.panels;
  int64_t panelBytes = layout.lines() * layout.lineBytes(0);
  int64_t panel = from / panelBytes;
  int64_t line = (from - layout.panelOffset(panel)) / layout.lineBytes(panel);
  while (panel < layout.numPanels()) {
    int64_t lineBytes = layout.lineBytes(panel);
    int64_t at = layout.panelOffset(panel) + line * lineBytes;
    if (at >= to)
      break;
    int64_t endPanel = panel, endLine = layout.lines();
    while (line == 0 && endPanel < layout.numPanels() &&
           layout.panelOffset(endPanel + 1) <= std::min(to, at + kRunBytes))
      ++endPanel;
    bool wholePanels = endPanel > panel;
    if (!wholePanels) {
      endPanel = panel + 1;
      int64_t linesLeft = (to - at + lineBytes - 1) / lineBytes;
      endLine =
          std::min({endLine, line + linesLeft, line + std::max<int64_t>(1, kRunBytes / lineBytes)});
    }
    if (llvm::Error error =
            packRun(weight, matrix, panel, endPanel, line, endLine, out + (at - from), staging))
      return error;
    bool done = wholePanels || endLine == layout.lines();
    panel = done ? endPanel : panel;
    line = done ? 0 : endLine;
  }
  return llvm::Error::success();
}

/// Scatters `rows` x `ks` elements into the lanes of consecutive lines. Strides are in elements.
/// Sixteen k at a time: each cache line of a source row is read once and the lines written stay in
/// the first-level cache.
template <typename T>
static void scatter(const char *source, int64_t rowStride, int64_t kStride, int64_t rows,
                    int64_t ks, char *out, int64_t lanes, bool pairs) {
  constexpr int64_t kTile = 16;
  for (int64_t tile = 0; tile < ks; tile += kTile) {
    int64_t tileEnd = std::min(ks, tile + kTile);
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t k = tile; k < tileEnd; ++k) {
        int64_t to = pairs ? ((k >> 1) * lanes + row) * 2 + (k & 1) : k * lanes + row;
        memcpy(out + to * int64_t(sizeof(T)),
               source + (row * rowStride + k * kStride) * int64_t(sizeof(T)), sizeof(T));
      }
  }
}

/// Packs lines [firstLine, endLine) of panels [firstPanel, endPanel); all lines if there is more
/// than one panel. `out` is where the first line goes; padding is zero there already.
llvm::Error WeightPacker::packRun(const Weight &weight, int64_t matrix, int64_t firstPanel,
                                  int64_t endPanel, int64_t firstLine, int64_t endLine, char *out,
                                  std::vector<char> &staging) const {
  const PanelLayout &layout = *weight.panels;
  int64_t perLine = layout.pairs ? 2 : 1;
  int64_t firstK = firstLine * perLine, endK = std::min(layout.columns(), endLine * perLine);
  int64_t ks = endK - firstK;
  int64_t runOffset = layout.panelOffset(firstPanel) + firstLine * layout.lineBytes(firstPanel);

  for (int64_t part = 0; part < layout.parts; ++part) {
    int64_t firstRow = firstPanel * layout.panelPartRows();
    int64_t endRow = std::min(endPanel * layout.panelPartRows(), layout.partRows());
    int64_t rows = endRow - firstRow;
    int64_t before = matrix * layout.matrixRows() + part * layout.partRows();
    if (llvm::Error error = load(weight, before + firstRow, before + endRow, firstK, endK, staging))
      return error;
    for (int64_t panel = firstPanel; panel < endPanel; ++panel) {
      int64_t row = (panel - firstPanel) * layout.panelPartRows();
      int64_t rowStride = weight.transposed ? 1 : ks, kStride = weight.transposed ? rows : 1;
      char *to = out +
                 (layout.panelOffset(panel) + firstLine * layout.lineBytes(panel) - runOffset) +
                 part * layout.partLanes(panel) * layout.elementBytes * perLine;
      const char *from = staging.data() + row * rowStride * layout.elementBytes;
      auto run = [&](auto element) {
        scatter<decltype(element)>(from, rowStride, kStride, layout.panelRows(panel), ks, to,
                                   layout.lanes(panel), layout.pairs);
      };
      if (layout.block) {
        for (int64_t r = 0; r < layout.panelRows(panel); ++r)
          for (int64_t k = 0; k < ks; ++k)
            layout.block->interleave(reinterpret_cast<const uint8_t *>(from) +
                                         (r * rowStride + k) * layout.elementBytes,
                                     reinterpret_cast<uint8_t *>(out) +
                                         (layout.panelOffset(panel) +
                                          (firstLine + k) * layout.lineBytes(panel) - runOffset),
                                     layout.lanes(panel), part * layout.partLanes(panel) + r);
        continue;
      }
      switch (layout.elementBytes) {
      case 1:
        run(uint8_t());
        break;
      case 2:
        run(uint16_t());
        break;
      case 4:
        run(uint32_t());
        break;
      default:
        run(uint64_t());
        break;
      }
    }
  }
  return llvm::Error::success();
}

/// Reads rows [firstRow, endRow), columns (elements or blocks) [firstK, endK) of the matrix that
/// the sources make up, as [rows][k], or [k][rows] where they are transposed.
llvm::Error WeightPacker::load(const Weight &weight, int64_t firstRow, int64_t endRow,
                               int64_t firstK, int64_t endK, std::vector<char> &staging) const {
  int64_t size = weight.panels->elementBytes, columns = weight.panels->columns();
  int64_t rows = endRow - firstRow, ks = endK - firstK;
  staging.resize(size_t(rows * ks * size));
  int64_t sourceRow = 0;
  for (const WeightSource &source : weight.sources) {
    int64_t sourceRows = int64_t(source.length) / (columns * size);
    int64_t first = std::max(firstRow, sourceRow) - sourceRow;
    int64_t last = std::min(endRow, sourceRow + sourceRows) - sourceRow;
    // Where element (first, firstK) of this source goes.
    int64_t row = sourceRow + first - firstRow;
    sourceRow += sourceRows;
    if (first >= last)
      continue;

    if (source.conversion && formats::getInfo(source.conversion->to).isBlock()) {
      if (llvm::Error error = convertRows(source, first, last, firstK, endK,
                                          staging.data() + row * ks * size, ks * size))
        return error;
      continue;
    }

    // Pieces of `length` elements, `stride` apart in the source and `outStride` apart in memory;
    // one piece where both are contiguous.
    int64_t pieces, length, from, stride, to, outStride;
    if (weight.transposed) {
      pieces = ks, length = last - first;
      from = firstK * sourceRows + first, stride = sourceRows;
      to = row, outStride = rows;
    } else {
      pieces = last - first, length = ks;
      from = first * columns + firstK, stride = columns;
      to = row * ks, outStride = ks;
    }
    if (length == stride && length == outStride) {
      length *= pieces;
      pieces = 1;
    }
    for (int64_t piece = 0; piece < pieces; ++piece)
      if (llvm::Error error =
              read(source, uint64_t((from + piece * stride) * size),
                   {staging.data() + (to + piece * outStride) * size, size_t(length * size)}))
        return error;
  }
  return llvm::Error::success();
}
