//===- StackParts.cpp - layers of stacks, whatever files call their tensors -------------------===//

#include "StackParts.h"
#include "llvm/ADT/STLExtras.h"

using namespace llvm;
using namespace ingot;
using namespace ingot::importer;

StackLayerSpec importer::bertLayer(const LayerNames &names, const AttentionSpec &attention,
                                   int64_t inner, Activation activation, const NormSpec &norm) {
  StackLayerSpec layer;
  layer.postNorm = true;
  layer.attention = attention;
  layer.attention.query.name = names.query.str();
  layer.attention.key.name = names.key.str();
  layer.attention.value.name = names.value.str();
  layer.attention.output.name = names.output.str();
  layer.attentionNorm = norm.named(names.attentionNorm);
  layer.feedForward.size = inner;
  layer.feedForward.activation = activation;
  layer.feedForward.up.name = names.up.str();
  layer.feedForward.down.name = names.down.str();
  layer.feedForward.setBias(true);
  layer.feedForwardNorm = norm.named(names.feedForwardNorm);
  return layer;
}

void importer::repeatLayer(StackSpec &stack, const StackLayerSpec &layer, StringRef prefix) {
  for (auto [index, into] : enumerate(stack.layers)) {
    into = layer;
    into.name = (prefix + Twine(index) + ".").str();
  }
}

std::optional<StackSpec> importer::bidirectional(const DecoderSpec &decoder) {
  if (!decoder.positionTable.empty() || decoder.embeddingSize != 0)
    return std::nullopt;
  for (const LayerSpec &layer : decoder.layers)
    if (layer.mixture.experts || layer.parallel || layer.addsToNormed || layer.residualScale != 1 ||
        layer.attentionSumNorm.kind || layer.feedForwardSumNorm.kind)
      return std::nullopt;
  StackSpec stack;
  stack.hidden = stack.embeddingSize = decoder.hidden;
  stack.embedding = decoder.embedding;
  stack.embeddingScale = decoder.embeddingScale;
  stack.embeddingNorm = decoder.embeddingNorm;
  stack.rotaries = decoder.rotaries;
  stack.finalNorm = decoder.finalNorm;
  for (auto [index, from] : enumerate(decoder.layers)) {
    StackLayerSpec layer;
    auto [before, after] = StringRef(from.name).split('*');
    layer.name = (before + Twine(index) + after + ".").str();
    layer.attention = from.attention;
    layer.reach = from.attention.window - 1; // without a window -1, which is all
    layer.attention.window = 0;
    layer.attentionNorm = from.attentionNorm;
    layer.attentionPostNorm = from.attentionPostNorm;
    layer.feedForward = from.feedForward;
    layer.feedForwardNorm = from.feedForwardNorm;
    layer.feedForwardPostNorm = from.feedForwardPostNorm;
    AttentionSpec &attention = layer.attention;
    FeedForwardSpec &ff = layer.feedForward;
    for (std::string *name :
         {&attention.query.name, &attention.key.name, &attention.value.name, &attention.output.name,
          &attention.queryNorm.name, &attention.keyNorm.name, &layer.attentionNorm.name,
          &layer.attentionPostNorm.name, &layer.feedForwardNorm.name,
          &layer.feedForwardPostNorm.name, &ff.gate.name, &ff.up.name, &ff.down.name})
      *name = StringRef(*name).substr(from.name.size() + 1).str();
    stack.layers.push_back(std::move(layer));
  }
  return stack;
}

static AttentionSpec t5Attention(const T5Sizes &sizes, const std::string &module) {
  AttentionSpec attention;
  attention.heads = attention.kvHeads = sizes.heads;
  attention.headDim = sizes.headDim;
  attention.scale = 1;
  attention.query.name = module + "q";
  attention.key.name = module + "k";
  attention.value.name = module + "v";
  attention.output.name = module + "o";
  return attention;
}

void importer::fillT5Stack(const T5Sizes &sizes, const T5Names &names, int64_t layers,
                           StackSpec &stack) {
  bool decodes = !names.cross.empty();
  NormSpec norm;
  norm.kind = NormSpec::Rms;
  norm.eps = sizes.eps;
  stack.hidden = stack.embeddingSize = sizes.hidden;
  stack.causal = decodes;
  stack.embedding = names.embedding;
  StackLayerSpec layer;
  layer.attention = t5Attention(sizes, names.attention);
  layer.attentionNorm = norm.named(names.attentionNorm);
  if (decodes) {
    layer.hasCross = true;
    layer.cross = t5Attention(sizes, names.cross);
    layer.crossNorm = norm.named(names.crossNorm);
  }
  layer.feedForward = sizes.feedForward;
  layer.feedForward.gate.name = names.gate;
  layer.feedForward.up.name = names.up;
  layer.feedForward.down.name = names.down;
  layer.feedForwardNorm = norm.named(names.feedForwardNorm);
  stack.layers.resize(size_t(layers));
  repeatLayer(stack, layer, names.layer);
  stack.finalNorm = norm.named(names.finalNorm);
  // The first layer's table serves all.
  stack.bias.table = names.bias;
  stack.bias.rows = sizes.buckets;
  stack.bias.buckets = logarithmicBuckets(sizes.buckets, sizes.farthest, !decodes);
}
