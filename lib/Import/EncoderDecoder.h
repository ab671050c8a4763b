//===- EncoderDecoder.h - encoder-decoders by their structures --------------------*- C++ -*-===//
//
// A family's code fills an EncoderDecoderSpec from its config; buildEncoderDecoder makes the graph:
// @encode, from the ids of the source to its states, and @forward, from the ids of a text and those
// states (the argument marked `tfm.source`) to the logits after each id.
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_LIB_IMPORT_ENCODERDECODER_H
#define INGOT_LIB_IMPORT_ENCODERDECODER_H

#include "Stack.h"

namespace ingot::importer {

struct EncoderDecoderSpec {
  std::string modelType;
  /// Of texts and of their sources.
  int64_t vocab = 0, sourceVocab = 0;
  int64_t context = 0;
  bool learnedPositions = false;
  std::vector<std::string> prefixes = {""};
  StackSpec encoder, decoder;
  LinearSpec head;
  /// The head's matrix is the decoder's embedding table.
  bool tiedHead = false;
  /// States are multiplied by this before the head.
  double headScale = 1;
  /// A tensor [1, vocab] that is added to the logits, where the checkpoint has it.
  std::string logitsBias;
  std::vector<int64_t> endIds;
  int64_t beginId = -1, startId = -1;
  /// Of beam search.
  double lengthPenalty = 1;
  bool earlyStopping = false;
  std::vector<std::string> fieldsWithoutEffect;
  std::vector<std::string> redundantTensors;
};

mlir::FailureOr<mlir::OwningOpRef<mlir::ModuleOp>>
buildEncoderDecoder(mlir::MLIRContext *context, const EncoderDecoderSpec &spec,
                    Checkpoint &checkpoint, Diagnostics &diagnostics);

} // namespace ingot::importer

#endif // INGOT_LIB_IMPORT_ENCODERDECODER_H
