//===- Encoders.h - encoders and encoder-decoders in GGUF files ---------------------*- C++ -*-===//
//
// The roles of tensors are those of decoders (Architectures.h), but their norms stand behind the
// sums ("attn_output_norm", "layer_output_norm"), and the two stacks of T5 have names of their own
// ("enc.blk.0", "dec.blk.0"). Positions of RoBERTa and its relatives lost the rows before the first
// token when they were converted, so all architectures count from the first row.
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_LIB_IMPORT_GGUF_ENCODERS_H
#define INGOT_LIB_IMPORT_GGUF_ENCODERS_H

#include "../Encoder.h"
#include "../EncoderDecoder.h"
#include "Metadata.h"

namespace ingot::importer {

/// The names of the architectures that are no decoders.
std::vector<llvm::StringRef> encoderArchitectures();

/// Builds the module of one of encoderArchitectures(). `context` positions were asked for; 0: as
/// many as there are. Errors are in the diagnostics.
mlir::FailureOr<mlir::OwningOpRef<mlir::ModuleOp>> importEncoderGGUF(mlir::MLIRContext *mlir,
                                                                     Metadata &metadata,
                                                                     int64_t context,
                                                                     Checkpoint &checkpoint);

} // namespace ingot::importer

#endif // INGOT_LIB_IMPORT_GGUF_ENCODERS_H
