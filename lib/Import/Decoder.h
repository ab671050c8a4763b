//===- Decoder.h - decoder-only language models by their structures ---------------*- C++ -*-===//
//
// A family's code fills a DecoderSpec from its config; buildDecoder makes the graph from it and the
// checkpoint's tensors. Nothing here knows a family: a model is what its spec says.
//
// Names of tensors are written without prefix and without ".weight" or ".bias"; '*' stands for the
// number of the layer. A layer's input is x; it computes
//
//   a = attentionPostNorm(attention(attentionNorm(x)))
//   x1 = attentionSumNorm(x + residualScale * a)
//   f = feedForwardPostNorm(feedForward(feedForwardNorm(x1)))
//   result = feedForwardSumNorm(x1 + residualScale * f)
//
// or, `parallel`, x + residualScale * (a + f) with f of feedForwardNorm(x); without a
// feedForwardNorm both branches then read attentionNorm(x). With `addsToNormed` the sums are with
// attentionNorm(x) and feedForwardNorm(x1) instead of x and x1. A norm of kind None is not there.
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_LIB_IMPORT_DECODER_H
#define INGOT_LIB_IMPORT_DECODER_H

#include "Diagnostics.h"
#include "GraphBuilder.h"
#include "RotaryFrequencies.h"
#include "TensorTable.h"
#include "ingot/Import/ModelInfo.h"
#include "mlir/IR/OwningOpRef.h"
#include <optional>
#include <string>
#include <tuple>
#include <vector>

namespace ingot::importer {

/// x W^T + b with W = name.weight [out, in] and b = name.bias [out].
struct LinearSpec {
  std::string name;
  bool bias = false;
  /// W is stored [in, out].
  bool transposed = false;

  auto key() const { return std::tie(name, bias, transposed); }
};

struct NormSpec {
  enum Kind { None, Rms, Layer } kind = None;
  double eps = 0;
  /// '#' in it stands for the number of a head, each of which has a tensor of its own.
  std::string name;
  /// Normed elements are multiplied by name.weight and, with `bias`, name.bias is added.
  bool affine = true, bias = false;
  /// Every head has weights of its own, [heads, size].
  bool perHead = false;
  /// The factor is name.weight + offset.
  double offset = 0;
  /// Where the checkpoint has no weights for it, there is no norm.
  bool optional = false;

  /// The same norm with other weights.
  NormSpec named(llvm::StringRef other) const {
    NormSpec result = *this;
    result.name = other.str();
    return result;
  }
  auto key() const { return std::tie(kind, eps, name, affine, bias, perHead, offset, optional); }
};

/// Attention with linear biases: scores get slope * (key position - query position), one slope for
/// each head; without slopes they do not. In encoders it is slope * -|that| and nothing else.
struct AlibiSpec {
  std::vector<float> slopes;
  /// Biases are bfloat16(slope) * bfloat16(position), rounded to bfloat16, of key less query.
  bool rounded = false;
  /// Biases are multiplied by this.
  double scale = 1;

  auto key() const { return std::tie(slopes, rounded, scale); }
};

/// Slopes of the paper: powers of 2^(-maxBias/n) for a power of two n, the missing heads between
/// them.
std::vector<float> alibiSlopes(int64_t heads, double maxBias = 8);

/// Keys and values of all heads come from one latent per token: `AttentionSpec::key` makes the
/// latent and the key that heads share, `value` is the matrix from the latent to the heads' keys
/// and values, `keyNorm` the latent's norm. A head's key is headDim - rotated elements of its own,
/// then the shared ones.
struct LatentSpec {
  /// Size of the latent; 0: keys and values are made by their own matrices.
  int64_t rank = 0;
  /// Elements of the shared key, the ones that positions rotate.
  int64_t rotated = 0;
  int64_t valueSize = 0;
  /// Queries are made of a latent of this size, normed by `queryNorm`; 0: of the input.
  int64_t queryRank = 0;
  LinearSpec queryDown;
  /// Tensors with the parts of `value` that make keys, each turned, [heads, rank, plain], and those
  /// that make values, [heads, valueSize, rank]; empty: `value` has both.
  std::string toKeys, toValues;

  auto key() const {
    return std::make_tuple(rank, rotated, valueSize, queryRank, queryDown.key(), toKeys, toValues);
  }
};

struct AttentionSpec {
  int64_t heads = 0, kvHeads = 0, headDim = 0;
  /// `query` makes queries, keys and values; `key` and `value` are not used. Its rows are `groups`
  /// blocks, each with the queries of its share of heads, then their keys, then their values;
  /// `valuesFirst`: values before keys.
  bool fused = false, valuesFirst = false;
  int64_t groups = 1;
  LinearSpec query, key, value, output;
  /// Norms of every head of queries and keys, before rotation; one weight of headDim elements.
  NormSpec queryNorm, keyNorm;
  /// The norms are of all heads together.
  bool normsAllHeads = false;
  /// Elements of queries, keys and values are cut to [-clip, clip]; 0: they are not.
  double clip = 0;
  /// A tensor [heads] with one more logit for every softmax; empty: there is none.
  std::string sinks;
  LatentSpec latent;
  /// Number of the table in DecoderSpec::rotaries that queries and keys are rotated by.
  std::optional<size_t> rotary;
  /// Rotated pairs are neighbours, not halves.
  bool interleaved = false;
  /// Scores are scale * (q . k). Layers that differ only in it share a body.
  double scale = 1;
  /// Scores become softcap * tanh(score / softcap); 0: they do not.
  double softcap = 0;
  /// Each token sees the last `window` tokens, itself included; 0: all.
  int64_t window = 0;
  AlibiSpec alibi;

  void setBias(bool bias) { query.bias = key.bias = value.bias = output.bias = bias; }
  auto structure() const {
    return std::make_tuple(heads, kvHeads, headDim, fused, valuesFirst, groups, query.key(),
                           key.key(), value.key(), output.key(), queryNorm.key(), keyNorm.key(),
                           normsAllHeads, clip, sinks, latent.key(), rotary.has_value(),
                           interleaved, softcap, window, alibi.key());
  }
};

/// down(act(gate(x)) * up(x)) or, without a gate, down(act(up(x))).
struct FeedForwardSpec {
  int64_t size = 0;
  bool gated = false;
  /// `gate` makes gate and up side by side; `up` is not used.
  bool fused = false;
  Activation activation = Activation::Silu;
  LinearSpec gate, up, down;

  void setBias(bool bias) { gate.bias = up.bias = down.bias = bias; }
  auto structure() const {
    return std::make_tuple(size, gated, fused, activation, gate.key(), up.key(), down.key());
  }
};

/// A feed-forward network of experts: every token goes to `chosen` of them. See Mixture.cpp.
struct MixtureSpec {
  /// 0: the layer has a plain feed-forward network.
  int64_t experts = 0;
  int64_t chosen = 0;
  /// Names that the network's module may have; the first whose router is there is taken.
  std::vector<std::string> modules;
  /// Names inside the module: the router, and the matrices of expert '#'.
  std::string router = "gate", gate = "experts.#.gate_proj", up = "experts.#.up_proj",
              down = "experts.#.down_proj";
  /// Tensors of all experts, which are taken where they are there: gate and up of each expert below
  /// each other [E, 2 I, H], or apart [E, I, H], and down [E, H, I]. Full names are these and the
  /// end of a weight or of a bias.
  std::string allGateUp = "experts.gate_up_proj", allGate, allUp, allDown = "experts.down_proj",
              allWeights, allBiases = "_bias";
  bool routerBias = false;
  enum Scores { Softmax, Sigmoid } scores = Softmax;
  /// A tensor [experts] in the module that is added to the scores for the choice alone; or empty.
  std::string choiceBias;
  /// The choice is among the experts of the `keep` best of `groups`; see tfm.route.
  int64_t groups = 1, keep = 1, best = 1;
  /// The weights of a token are divided by their sum, and multiplied by `scale`.
  bool normalize = false;
  double scale = 1;
  /// Width of an expert, and its activation of the gate; without a gate, of the only inner part.
  int64_t size = 0;
  bool gated = true;
  Activation activation = Activation::Silu;
  /// All experts are in tensors [experts, in, out]; columns of gate and up alternate. Without a
  /// gate: the tensors are matrices, experts below each other, and `down` is transposed.
  bool transposed = false, interleaved = false;
  bool expertBias = false;
  /// Above 0: min(gate, limit) * sigmoid(slope * min(gate, limit)) * (clamp(up) + 1).
  double limit = 0, slope = 1;
  /// A tensor [hidden] in the module that is added to the result; or empty.
  std::string resultBias;
  /// An expert that every token goes to (size 0: none), weighted by the sigmoid of a linear of this
  /// name (empty: not).
  FeedForwardSpec shared;
  std::string sharedGate;

  auto structure() const {
    return std::make_tuple(experts, chosen, modules, router, gate, up, down,
                           std::tie(allGateUp, allGate, allUp, allDown, allWeights, allBiases),
                           routerBias, scores, choiceBias,
                           std::make_tuple(groups, keep, best, normalize, scale), size, gated,
                           activation, transposed, interleaved, expertBias, limit, slope,
                           resultBias, shared.structure(), sharedGate);
  }
};

struct LayerSpec {
  /// Module of the layer, for locations: "layers.*".
  std::string name;
  NormSpec attentionNorm, attentionPostNorm, feedForwardNorm, feedForwardPostNorm;
  NormSpec attentionSumNorm, feedForwardSumNorm;
  AttentionSpec attention;
  FeedForwardSpec feedForward;
  /// Instead of feedForward, if it has experts.
  MixtureSpec mixture;
  bool parallel = false, addsToNormed = false;
  double residualScale = 1;

  /// Layers of equal structure have the same body.
  bool sameStructure(const LayerSpec &other) const {
    auto all = [](const LayerSpec &layer) {
      return std::make_tuple(layer.attentionNorm.key(), layer.attentionPostNorm.key(),
                             layer.feedForwardNorm.key(), layer.feedForwardPostNorm.key(),
                             layer.attentionSumNorm.key(), layer.feedForwardSumNorm.key(),
                             layer.attention.structure(), layer.feedForward.structure(),
                             layer.mixture.structure(), layer.parallel, layer.addsToNormed,
                             layer.residualScale);
    };
    return all(*this) == all(other);
  }
};

struct DecoderSpec {
  std::string modelType;
  int64_t vocab = 0, hidden = 0, context = 0;
  std::vector<int64_t> endIds;
  int64_t beginId = -1;

  /// What the names of the checkpoint may start with; the first that fits is taken. The head's
  /// name has no prefix.
  std::vector<std::string> prefixes = {""};
  std::string embedding;
  double embeddingScale = 1;
  /// Width of the embedding table, if that is not `hidden`: `project` makes hidden elements of a
  /// row, and `unproject` what the head reads of those after the final norm.
  int64_t embeddingSize = 0;
  LinearSpec project, unproject;
  /// A learned table of positions [positionRows, hidden], which starts with `positionOffset` rows
  /// of something else; empty: there is none.
  std::string positionTable;
  int64_t positionRows = 0, positionOffset = 0;
  NormSpec embeddingNorm;
  std::vector<RotaryTable> rotaries;
  std::vector<LayerSpec> layers;
  NormSpec finalNorm;
  /// Several names separated by '|': the first that is there is taken.
  LinearSpec head;
  /// The head's matrix is the embedding table.
  bool tiedHead = false;
  double logitScale = 1;
  /// Logits become logitSoftcap * tanh(logit / logitSoftcap); 0: they do not.
  double logitSoftcap = 0;

  /// Fields of this family's config that nothing depends on, beside those that never matter.
  std::vector<std::string> fieldsWithoutEffect;
  /// The checkpoint may have more layers than the model runs (layers that predict further tokens).
  bool hasFurtherLayers = false;
  /// Ends of names of tensors that hold nothing that the graph needs.
  std::vector<std::string> redundantTensors = {".rotary_emb.inv_freq"};
};

/// Where a checkpoint comes from, for messages and comparisons.
struct Checkpoint {
  std::string directory;
  TensorTable tensors;
  /// What says how the model is built.
  std::string config = "config.json";
};

/// Whether two stored tensors have the same bytes.
bool sameBytes(const Checkpoint &checkpoint, const TensorInfo &a, const TensorInfo &b);

/// The module of a decoder. Reports tensors that are missing, or of a wrong shape or type, as
/// errors, and those that nothing uses as warnings.
mlir::FailureOr<mlir::OwningOpRef<mlir::ModuleOp>> buildDecoder(mlir::MLIRContext *context,
                                                                const DecoderSpec &spec,
                                                                Checkpoint &checkpoint,
                                                                Diagnostics &diagnostics);

} // namespace ingot::importer

#endif // INGOT_LIB_IMPORT_DECODER_H
