//===- Encoder.h - encoders and their heads by their structures -------------------*- C++ -*-===//
//
// A family's code fills an EncoderSpec from its config; buildEncoder makes the graph. The module
// has a public function for each output, from ids (and token types, where the model has some) to
// one row per token: @hidden, the states after the last layer, and one per head, @logits, @pooled,
// @classes. A head is a function of single rows; that a classifier looks at the first token alone
// is a fact beside the graph (ModelOutput::rows), and only that row is then computed.
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_LIB_IMPORT_ENCODER_H
#define INGOT_LIB_IMPORT_ENCODER_H

#include "Stack.h"

namespace ingot::importer {

/// norm(activation(linear(x))), each of which may be absent.
struct HeadStep {
  /// Without a name there is no linear.
  LinearSpec linear;
  /// Elements of a result row; 0: as many as the matrix has rows.
  int64_t size = 0;
  /// The linear's matrix is the embedding table, where it has none of its own.
  bool tied = false;
  /// Where the bias may be stored, beside linear.name + ".bias".
  std::string biasName;
  /// The names stand behind the model's prefix.
  bool prefixed = false;
  Activation activation = Activation::Identity;
  NormSpec norm;
};

struct HeadSpec {
  /// "logits", "pooled" or "classes".
  std::string output;
  bool firstRowOnly = false;
  /// The checkpoint may have no tensors for it.
  bool optional = false;
  /// The steps get the mean of all rows, not each row.
  bool mean = false;
  /// Names of the elements of its rows, or none; whether several of them may be true at once.
  std::vector<std::string> labels;
  bool independent = false;
  std::vector<HeadStep> steps;
};

struct EncoderSpec {
  std::string modelType;
  int64_t vocab = 0, context = 0;
  std::vector<std::string> prefixes = {""};
  StackSpec stack;
  std::vector<HeadSpec> heads;
  /// How rows become one vector by default: first, last, mean, max, pooled; empty: nothing says so.
  std::string pooling;
  bool normalize = false;
  /// Folders beside the checkpoint whose tensors count as FOLDER.NAME.
  std::vector<std::string> folders;
  /// Fields of this family's config that nothing depends on, beside those that never matter.
  std::vector<std::string> fieldsWithoutEffect;
  /// Ends of names of tensors that hold nothing that the graph needs.
  std::vector<std::string> redundantTensors = {".position_ids"};
};

/// The module of an encoder. Reports tensors as buildDecoder does.
mlir::FailureOr<mlir::OwningOpRef<mlir::ModuleOp>> buildEncoder(mlir::MLIRContext *context,
                                                                const EncoderSpec &spec,
                                                                Checkpoint &checkpoint,
                                                                Diagnostics &diagnostics);

} // namespace ingot::importer

#endif // INGOT_LIB_IMPORT_ENCODER_H
