//===- StackParts.h - layers of stacks, whatever files call their tensors ----------*- C++ -*-===//
//
// An encoder or an encoder-decoder is described once: a reader of config.json or of a GGUF file's
// keys says the sizes and how this kind of file names the tensors of a layer, and gets the layers.
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_LIB_IMPORT_STACKPARTS_H
#define INGOT_LIB_IMPORT_STACKPARTS_H

#include "Stack.h"

namespace ingot::importer {

/// Names behind that of the layer.
struct LayerNames {
  llvm::StringRef query, key, value, output, attentionNorm, up, down, feedForwardNorm;
};
/// A layer of BERT: every norm after its sum, every linear with a bias.
StackLayerSpec bertLayer(const LayerNames &names, const AttentionSpec &attention, int64_t inner,
                         Activation activation, const NormSpec &norm);

/// Gives every layer of the stack the structure of `layer` and the name `prefix`N.
void repeatLayer(StackSpec &stack, const StackLayerSpec &layer, llvm::StringRef prefix);

/// The layers of a plain decoder (attention and a feed-forward network, each with its norms, one
/// after the other), in which every token sees every other, or those less than a window away;
/// nothing for decoders with more than stacks have.
std::optional<StackSpec> bidirectional(const DecoderSpec &decoder);

/// What both stacks of a T5 have in common.
struct T5Sizes {
  int64_t hidden = 0, heads = 0, headDim = 0, buckets = 32, farthest = 128;
  double eps = 1e-6;
  /// Without names.
  FeedForwardSpec feedForward;
};
/// Names of one stack. Those of a layer's parts stand behind its own; those of queries, keys,
/// values and outputs are the module's with q, k, v and o.
struct T5Names {
  std::string embedding, layer, attention, attentionNorm, cross, crossNorm, gate, up, down,
      feedForwardNorm, finalNorm, bias;
};
/// A stack of `layers` layers; it decodes if cross attention has a name.
void fillT5Stack(const T5Sizes &sizes, const T5Names &names, int64_t layers, StackSpec &stack);

} // namespace ingot::importer

#endif // INGOT_LIB_IMPORT_STACKPARTS_H
