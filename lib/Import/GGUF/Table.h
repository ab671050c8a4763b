//===- Table.h - what neither keys nor tensors of an architecture say --------------*- C++ -*-===//
//
// One row for each architecture that llama.cpp's converter writes and that the structures of
// Decoder.h can express. A row says what a reader of the file cannot see: the activation, which
// elements of a head rotate together, scales and choices that the architecture implies. Everything
// else follows from which tensors and keys there are.
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_LIB_IMPORT_GGUF_TABLE_H
#define INGOT_LIB_IMPORT_GGUF_TABLE_H

#include "../Decoder.h"
#include "Metadata.h"
#include "llvm/ADT/StringRef.h"

namespace ingot::importer {

/// Which elements of a head positions rotate together.
enum class Rotary { None, Neighbours, Halves };

struct Architecture {
  llvm::StringLiteral name;
  Rotary rotary = Rotary::None;
  Activation activation = Activation::Silu;
  /// Attention and feed-forward network read the same input, whatever norms there are.
  bool parallel = false;
  /// Whether they do is seen from their norms alone: writers put ".use_parallel_residual" anyway.
  bool ignoresParallelKey = false;
  /// Embeddings are multiplied by the root of their size.
  bool scalesEmbedding = false;
  /// ".logit_scale" divides the logits.
  bool dividesLogits = false;
  /// Scales of embeddings, branches and logits are MiniCPM's where their keys are absent.
  bool scalesLikeMiniCPM = false;
  /// Norms subtract the mean, whatever keys there are: writers put an epsilon under the key of the
  /// other kind too.
  bool layerNorms = false;
  /// Norms have neither weights nor biases, and so no tensors.
  bool plainNorms = false;
  /// Of every so many layers only the last sees all tokens (0: ".attention.sliding_window" means
  /// all layers).
  int64_t windowPattern = 0;
  /// Layers that see all tokens have no rotation, where others have a window.
  bool fullWithoutRotary = false;
  /// Of every so many layers the last has no rotation; 0: all have.
  int64_t withoutRotary = 0;
  /// Base of the rotation of layers with a window, where ".rope.freq_base_swa" is absent; 0: that
  /// of all layers.
  double localTheta = 0;
  /// Layers with a window have positions that are not scaled.
  bool localUnscaled = false;
  /// The ends of YaRN's ramp are rounded to whole pairs.
  bool roundsRamp = true;
  /// Of 27 billion parameters: layers of the model whose scale is that of hidden / heads.
  int64_t layersOfOtherScale = 0;
  /// Linear biases instead of positions, where ".attention.max_alibi_bias" is absent; of models
  /// with so many layers, or (-1) of all.
  int64_t alibiLayers = 0;
  /// Keys and values come from a latent.
  bool latent = false;
  /// Routers' scores are sigmoids, where ".expert_gating_func" is absent.
  bool sigmoidScores = false;
  /// Weights of the chosen experts are divided by their sum, where ".expert_weights_norm" is
  /// absent.
  bool normalizes = false;
  /// Experts have the clamped activation of gpt-oss.
  bool clampsExperts = false;
};

/// The row of this name; null if there is none.
const Architecture *findArchitecture(llvm::StringRef name);
/// All names, for messages.
std::string architectureNames();

/// The kind and the epsilon of a file's norms, of architectures that have layer norms or not.
NormSpec readNormKeys(Metadata &metadata, bool layerNorms);

} // namespace ingot::importer

#endif // INGOT_LIB_IMPORT_GGUF_TABLE_H
