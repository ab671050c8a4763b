//===- Experts.cpp - mixtures of experts and latent attention in GGUF files -------------------===//
//
// The experts' matrices of a layer are one tensor for each role, [E, I, H] for gate and up and
// [E, H, I] for down; in older files every expert has tensors of its own, "ffn_gate.3". Which
// layers are mixtures, and what all tokens go to beside the experts, is seen from the tensors.
//
// Attention on a latent was written in two ways. The older one has the matrix from the latent to
// all heads' keys and values as it was trained; the newer one has it in two, the part that makes
// keys turned for every head, and keys that say the sizes of what is cached.
//
//===----------------------------------------------------------------------------------------===//

#include "../Config.h"
#include "Reader.h"

using namespace llvm;
using namespace ingot;
using namespace ingot::importer;

void GGUFStructure::readMixture(LayerSpec &result) {
  MixtureSpec &mixture = result.mixture;
  mixture.experts = metadata.integer(".expert_count", 1, maxExperts);
  mixture.chosen = metadata.integer(".expert_used_count", 1, mixture.experts);
  mixture.modules = {"blk.*"};
  mixture.router = "ffn_gate_inp";
  mixture.routerBias = find("ffn_gate_inp.bias");
  mixture.gate = "ffn_gate.#";
  mixture.up = "ffn_up.#";
  mixture.down = "ffn_down.#";
  mixture.allGateUp = "ffn_gate_up_exps";
  mixture.allGate = "ffn_gate_exps";
  mixture.allUp = "ffn_up_exps";
  mixture.allDown = "ffn_down_exps";
  mixture.allWeights = ".weight";
  mixture.allBiases = ".bias";
  mixture.expertBias = find("ffn_down_exps.bias");
  mixture.activation = architecture->activation;
  mixture.size = metadata.integer(".expert_feed_forward_length", 1, maxWidth,
                                  std::max<int64_t>(1, feedForwards[layer]));
  if (architecture->clampsExperts) {
    mixture.limit = 7;
    mixture.slope = 1.702;
  }

  for (StringRef name : {"exp_probs_b.bias", "exp_probs_b"})
    if (find(name))
      mixture.choiceBias = name.str();
  // 1: softmax, 2: sigmoid, 3: softmax of the chosen logits, which is that of all, normalised.
  int64_t scores = metadata.integer(".expert_gating_func", 0, 3, 0);
  // DeepSeek's routers with a bias for the choice are the newer ones, of sigmoids.
  bool isNewer = architecture->latent && !mixture.choiceBias.empty();
  if (scores == 0)
    scores = architecture->sigmoidScores || isNewer ? 2 : 1;
  mixture.scores = scores == 2 ? MixtureSpec::Sigmoid : MixtureSpec::Softmax;
  mixture.normalize =
      metadata.flag(".expert_weights_norm", architecture->normalizes) || scores == 3;
  double scale = metadata.number(".expert_weights_scale", 0, 1e9, 0.0);
  mixture.scale = scale > 0 ? scale : 1;
  mixture.groups = metadata.integer(".expert_group_count", 0, maxExperts, 0);
  mixture.keep = metadata.integer(".expert_group_used_count", 0, maxExperts, 0);
  if (mixture.groups <= 1)
    mixture.groups = mixture.keep = 1;
  mixture.best = scores == 2 && mixture.groups > 1 ? 2 : 1;
  int64_t size = mixture.experts / mixture.groups;
  if (mixture.experts % mixture.groups || size < mixture.best)
    metadata.error(".expert_group_count", "expected groups of at least " + Twine(mixture.best) +
                                              " that divide the " + Twine(mixture.experts) +
                                              " experts, got " + Twine(mixture.groups));
  else if (mixture.keep < 1 || mixture.keep > mixture.groups ||
           mixture.keep * size < mixture.chosen)
    metadata.error(".expert_group_used_count",
                   "expected groups with room for " + Twine(mixture.chosen) + " experts, at most " +
                       Twine(mixture.groups) + ", got " + Twine(mixture.keep));

  const TensorInfo *shared = find("ffn_up_shexp.weight");
  if (!shared)
    return;
  mixture.shared = feedForwardOf("_shexp");
  mixture.shared.size = shared->shape[0];
  // A gate of one element is written as a vector.
  if (const TensorInfo *gate = find("ffn_gate_inp_shexp.weight")) {
    mixture.sharedGate = "ffn_gate_inp_shexp";
    TensorInfo row = *gate;
    if (row.shape.size() == 1)
      row.shape.insert(row.shape.begin(), 1);
    std::string name = ("blk." + Twine(layer) + ".ffn_gate_inp_shexp.weight").str();
    checkpoint.tensors.remove(name);
    checkpoint.tensors.add(name, std::move(row));
  }
}

void GGUFStructure::readLatentSizes() {
  latent.rank = metadata.integer(".attention.kv_lora_rank", 1, maxWidth);
  latent.queryRank = metadata.integer(".attention.q_lora_rank", 0, maxWidth, 0);
  latent.rotated = metadata.integer(".rope.dimension_count", 2, maxHeadDim);
  bool isNewer = metadata.has(".attention.key_length_mla");
  headDim = metadata.integer(isNewer ? ".attention.key_length_mla" : ".attention.key_length", 1,
                             maxHeadDim);
  latent.valueSize = metadata.integer(
      isNewer ? ".attention.value_length_mla" : ".attention.value_length", 1, maxHeadDim);
  if (headDim <= latent.rotated)
    metadata.error(".rope.dimension_count", "expected less than the " + Twine(headDim) +
                                                " elements of a key, got " + Twine(latent.rotated));
  // The sizes of what is cached follow from these.
  if (isNewer)
    for (StringRef name : {".attention.key_length", ".attention.value_length"})
      (void)metadata.value(name);
}

void GGUFStructure::readLatent(AttentionSpec &attention) {
  attention.kvHeads = 1;
  attention.latent = latent;
  attention.query = linear(latent.queryRank ? "attn_q_b" : "attn_q");
  attention.latent.queryDown = linear("attn_q_a");
  attention.queryNorm = normOf("attn_q_a_norm");
  attention.key = linear("attn_kv_a_mqa");
  attention.keyNorm = normOf("attn_kv_a_norm");
  attention.value = linear("attn_kv_b");
  if (has("attn_k_b")) {
    attention.latent.toKeys = nameOf("attn_k_b.weight");
    attention.latent.toValues = nameOf("attn_v_b.weight");
  }
}
