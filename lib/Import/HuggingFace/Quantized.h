//===- Quantized.h - checkpoints whose weights have scales beside them --------------*- C++ -*-===//
#ifndef INGOT_LIB_IMPORT_HUGGINGFACE_QUANTIZED_H
#define INGOT_LIB_IMPORT_HUGGINGFACE_QUANTIZED_H

#include "../Config.h"
#include "../TensorTable.h"

namespace ingot::importer {

/// What quantization_config says.
struct Quantization {
  enum Kind { None, Mxfp4, Fp8 } kind = None;
  /// Elements that share a scale, for FP8.
  int64_t blockRows = 1, blockColumns = 1;
};

/// Reads quantization_config; methods that are not known are errors.
Quantization readQuantization(Config &config);

/// Gives the tensors that it is about the scales that are stored beside them.
llvm::LogicalResult joinScales(mlir::MLIRContext *context, llvm::StringRef directory,
                               const Quantization &quantization, TensorTable &tensors,
                               Diagnostics &diagnostics);

} // namespace ingot::importer

#endif // INGOT_LIB_IMPORT_HUGGINGFACE_QUANTIZED_H
