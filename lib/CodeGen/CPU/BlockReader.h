//===- BlockReader.h - numbers out of block formats in panels ---------------------*- C++ -*-===//
//
// BlockPanels.h says how a block's fields lie in a line of a panel; this emits the code that reads
// them. All indices are scalars (the vector's lanes are lanes of the panel: every section is one
// load) or one per lane (any elements: a gather), as `Load` does it.
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_LIB_CODEGEN_CPU_BLOCKREADER_H
#define INGOT_LIB_CODEGEN_CPU_BLOCKREADER_H

#include "KernelBuilder.h"
#include "ingot/Dialect/Plan/Utils/BlockPanels.h"
#include <functional>

namespace ingot::codegen {

class BlockReader {
public:
  using Value = mlir::Value;
  /// Loads, for every lane, the f16, i32 or i8 of the section that starts `at` bytes per lane into
  /// the line.
  using Load = std::function<Value(mlir::Type element, Value at)>;

  BlockReader(KernelBuilder &kb, const plan::BlockPanel &panel, Load load)
      : kb(kb), panel(panel), load(std::move(load)) {}

  /// The vectors that numbers of one group (or half of it, where a scale is for 16 numbers) are
  /// multiplied by and that are then added, f32; no minimum is a null value. `half` is 0 or 1.
  struct Scale {
    Value factor, minimum;
  };
  Scale scale(Value group, Value half);

  /// Numbers 4 s .. 4 s + 3 of a group, unsigned, one per byte.
  Value quad(Value group, Value s);
  /// Byte `j` of a quad as a signed number, `zero` subtracted, i32.
  Value integer(Value quad, Value j);
  /// The f32 that it means: exactly what formats::decode yields.
  Value number(Value quad, Value j, const Scale &scale);

private:
  Value i32(int64_t value) { return kb.constantInt(kb.vec(kb.i32), value); }
  /// A number of bits, for each lane.
  Value amount(Value index);

  KernelBuilder &kb;
  const plan::BlockPanel &panel;
  Load load;
};

} // namespace ingot::codegen

#endif // INGOT_LIB_CODEGEN_CPU_BLOCKREADER_H
