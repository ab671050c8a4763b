//===- Tables.h - the tables that programs share ----------------------------------*- C++ -*-===//
#ifndef INGOT_LIB_ARTIFACT_TABLES_H
#define INGOT_LIB_ARTIFACT_TABLES_H

#include "ingot/Artifact/ModuleTables.h"
#include "ingot/Dialect/Plan/IR/PlanDialect.h"
#include "ingot/Dialect/Transformer/IR/TransformerDialect.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/raw_ostream.h"

namespace ingot::artifact {

/// Most dimensions of a tensor of an artifact; INGOT_MAX_RANK of the C API.
inline constexpr int64_t kMaxRank = 8;

template <typename... Args> llvm::Error makeError(Args &&...args) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  (stream << ... << args);
  return llvm::createStringError(text);
}

/// " (where)", or nothing for an unknown location.
std::string getWhere(mlir::Operation *op);

/// The artifact's element type; None where it has none.
fb::ElementType getElementType(mlir::Type type);
/// Bytes of an element in memory.
int64_t getElementBytes(fb::ElementType type);

/// A name as the artifact holds it: not empty, without control characters.
std::string cleanName(llvm::StringRef name, llvm::StringRef otherwise);

/// Texts of locations, each once.
class LocationTable {
public:
  unsigned add(mlir::Location location);
  std::vector<std::string> take() { return std::move(texts); }

private:
  std::vector<std::string> texts;
  llvm::StringMap<unsigned> numbers;
};

/// Weights, each once, whichever programs use them: equal means the same bytes of the same files
/// (or the same constant), packed the same way.
class WeightTable {
public:
  /// Whether `value` is evaluated at compile time: a parameter, a pack or a tensor constant.
  static bool isWeight(mlir::Value value);
  /// The number of the weight.
  llvm::Expected<unsigned> add(mlir::Value value);
  std::vector<Weight> take() { return std::move(weights); }

private:
  llvm::Expected<WeightSource> getSource(mlir::Value value, llvm::raw_ostream &key);

  std::vector<Weight> weights;
  llvm::DenseMap<mlir::Value, unsigned> known;
  llvm::StringMap<unsigned> numbers;
};

/// Tables of the module that all programs refer to.
struct SharedTables {
  llvm::StringMap<unsigned> kernels; ///< numbers of the kernels that are dispatched
  std::vector<fb::CacheGroupT> cacheGroups;
  LocationTable locations;
  WeightTable weights;
};

llvm::Expected<std::unique_ptr<fb::ProgramT>> buildProgram(plan::ProgramOp program,
                                                           SharedTables &tables);

} // namespace ingot::artifact

#endif // INGOT_LIB_ARTIFACT_TABLES_H
