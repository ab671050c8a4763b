//===- TensorTable.h - the tensors of a checkpoint --------------------------------*- C++ -*-===//
//
// Every importer of checkpoints starts by filling a TensorTable from the headers of its files
// (Safetensors.h); everything after that is the same for all file formats.
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_LIB_IMPORT_TENSORTABLE_H
#define INGOT_LIB_IMPORT_TENSORTABLE_H

#include "ingot/Formats/ScaledFormats.h"
#include "mlir/IR/Types.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringMap.h"
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace ingot::importer {

struct ScaledInfo;

/// Where a tensor is stored. Its bytes are little-endian, row-major, and inside the file.
struct TensorInfo {
  /// Name of the file, relative to the model's folder.
  std::string file;
  uint64_t offset = 0, bytes = 0;
  llvm::SmallVector<int64_t, 4> shape;
  /// The type as the file writes it ("BF16"), for messages.
  std::string typeName;
  /// f64, f32, f16, bf16, an integer or a tfm.block; null for types that MLIR has no name for.
  mlir::Type elementType;
  /// Where the scales of its elements are, for a matrix that is stored in smaller elements than its
  /// type; or null.
  std::shared_ptr<const ScaledInfo> scaled;
};

/// See tfm.scale_weight.
struct ScaledInfo {
  formats::Scaling scaling;
  TensorInfo scales;
  /// Of the scales in the graph.
  mlir::Type scaleType;
};

/// Tensors by name, in the order of names.
class TensorTable {
public:
  /// False if the name is taken.
  bool add(llvm::StringRef name, TensorInfo info) {
    return tensors.emplace(name.str(), std::move(info)).second;
  }
  void remove(llvm::StringRef name) {
    if (auto it = tensors.find(name); it != tensors.end())
      tensors.erase(it);
  }
  const TensorInfo *find(llvm::StringRef name) const {
    auto it = tensors.find(name);
    return it == tensors.end() ? nullptr : &it->second;
  }
  /// The tensor of this name; one of this shape is made up where all are promised.
  const TensorInfo *find(llvm::StringRef name, llvm::ArrayRef<int64_t> shape) {
    const TensorInfo *info = find(name);
    if (info || !promised)
      return info;
    TensorInfo made;
    made.shape.assign(shape.begin(), shape.end());
    made.elementType = promised;
    return &tensors.emplace(name.str(), std::move(made)).first->second;
  }
  /// From now on every tensor that is asked for with a shape is there, without content.
  void promise(mlir::Type elementType) { promised = elementType; }
  auto begin() const { return tensors.begin(); }
  auto end() const { return tensors.end(); }
  bool empty() const { return tensors.empty(); }

private:
  std::map<std::string, TensorInfo, std::less<>> tensors;
  mlir::Type promised;
};

/// "[64, 32]"
std::string shapeText(llvm::ArrayRef<int64_t> shape);

} // namespace ingot::importer

#endif // INGOT_LIB_IMPORT_TENSORTABLE_H
