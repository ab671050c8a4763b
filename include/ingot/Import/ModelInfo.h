//===- ModelInfo.h - what later stages need to know of a language model -------------*- C++ -*-===//
//
// The module attribute `tfm.model` is a dictionary with the fields below under the names of their
// comments. Importers write it, and the driver checks it, through this struct;
// the driver adds what it decides (configureModel), passes read single fields of the dictionary.
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_IMPORT_MODELINFO_H
#define INGOT_IMPORT_MODELINFO_H

#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinOps.h"
#include <cstdint>
#include <string>
#include <vector>

namespace ingot {

/// What a model gives beside the logits of a language model: one row per token, or the first row of
/// each sequence only.
struct ModelOutput {
  std::string name;                ///< name: "hidden", "pooled", "logits", "classes" or "encoder"
  std::string function;            ///< function: from ids to a row per token
  bool firstRowOnly = false;       ///< first: of each sequence only the first row has a meaning
  int64_t width = 0;               ///< width: elements of a row
  std::vector<std::string> labels; ///< labels: names of the elements, or none
  bool independent = false;        ///< independent: each element has a probability of its own
};

struct ModelInfo {
  std::string modelType;         ///< model_type: the family's name in its config, for reports only
  int64_t vocab = 0;             ///< vocab: ids are 0 ... vocab - 1
  int64_t sourceVocab = 0;       ///< source_vocab: of the source of an encoder-decoder; 0: the same
  int64_t context = 0;           ///< context: positions are 0 ... context - 1
  bool learnedPositions = false; ///< learned_positions: positions come from a table of the model
  /// window: when every layer attends to the last n keys only, the largest such n; otherwise 0.
  int64_t window = 0;
  std::vector<int64_t> endIds; ///< end_ids: ids that end a text, without repetition
  int64_t beginId = -1;        ///< begin_id: the id that starts a text, -1 if there is none
  int64_t startId = -1; ///< start_id: what a text of an encoder-decoder starts with, -1 for none
  double lengthPenalty = 1;   ///< length_penalty: of beam search
  bool earlyStopping = false; ///< early_stopping: of beam search
  int64_t layers = 0;         ///< layers
  int64_t hidden = 0;         ///< hidden: width of the residual stream
  int64_t heads = 0;          ///< heads: query heads of the first layer
  int64_t kvHeads = 0;        ///< kv_heads: key and value heads of the first layer
  int64_t headDim = 0;        ///< head_dim: elements of a head of the first layer
  /// outputs: of encoders, also of that of an encoder-decoder. A model without a decoder has no
  /// function @forward, only these.
  std::vector<ModelOutput> outputs;
  /// pooling: how rows become one vector: "first", "last", "mean", "max", "pooled" or, for the
  /// model's head or mean, empty
  std::string pooling;
  bool normalize = false; ///< normalize: vectors have length 1
  /// token_types: ids of the functions' second input; 0: they have one input
  int64_t tokenTypes = 0;

  mlir::DictionaryAttr toAttr(mlir::MLIRContext *context) const;
  /// Reads the attribute of a module. Without one, or where a field is missing or malformed, says
  /// so in an error of the module.
  static mlir::FailureOr<ModelInfo> get(mlir::ModuleOp module);
};

} // namespace ingot

#endif // INGOT_IMPORT_MODELINFO_H
