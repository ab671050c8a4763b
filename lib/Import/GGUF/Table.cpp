//===- Table.cpp - what neither keys nor tensors of an architecture say -----------------------===//

#include "Table.h"
#include "llvm/ADT/STLExtras.h"

using namespace llvm;
using namespace ingot;
using namespace ingot::importer;

static std::vector<Architecture> makeArchitectures() {
  std::vector<Architecture> table;
  auto add = [&](StringLiteral name, Rotary rotary,
                 Activation activation = Activation::Silu) -> Architecture & {
    Architecture &row = table.emplace_back(Architecture{name});
    row.rotary = rotary;
    row.activation = activation;
    return row;
  };
  // Neighbours, by nature or permuted to that order. With experts, "llama" is Mixtral.
  add("llama", Rotary::Neighbours).normalizes = true;
  add("internlm2", Rotary::Neighbours);
  add("xverse", Rotary::Neighbours);
  add("chatglm", Rotary::Neighbours);
  add("glm4", Rotary::Neighbours);
  add("ernie4_5", Rotary::Neighbours);
  add("ernie4_5-moe", Rotary::Neighbours).normalizes = true;
  add("granite", Rotary::Neighbours).dividesLogits = true;
  Architecture &granite = add("granitemoe", Rotary::Neighbours);
  granite.dividesLogits = granite.normalizes = true;
  Architecture &minicpm = add("minicpm", Rotary::Neighbours);
  minicpm.dividesLogits = minicpm.normalizes = minicpm.scalesLikeMiniCPM = true;
  add("smollm3", Rotary::Neighbours).withoutRotary = 4;
  add("arcee", Rotary::Neighbours, Activation::Relu2);
  add("baichuan", Rotary::Neighbours).alibiLayers = 40;
  Architecture &olmo = add("olmo", Rotary::Neighbours);
  olmo.plainNorms = olmo.layerNorms = true;
  Architecture &commandR = add("command-r", Rotary::Neighbours);
  commandR.parallel = commandR.layerNorms = true;
  Architecture &cohere2 = add("cohere2", Rotary::Neighbours);
  cohere2.parallel = cohere2.fullWithoutRotary = cohere2.layerNorms = true;
  cohere2.windowPattern = 4;
  add("deepseek", Rotary::Neighbours);
  add("deepseek2", Rotary::Neighbours).latent = true;
  add("bailingmoe", Rotary::Neighbours);
  add("gptj", Rotary::Neighbours, Activation::GeluTanh).layerNorms = true;

  add("qwen", Rotary::Halves);
  add("qwen2", Rotary::Halves);
  add("qwen2moe", Rotary::Halves);
  add("qwen3", Rotary::Halves);
  add("qwen3moe", Rotary::Halves).normalizes = true;
  Architecture &stableLm = add("stablelm", Rotary::Halves);
  stableLm.layerNorms = stableLm.ignoresParallelKey = true;
  Architecture &olmo2 = add("olmo2", Rotary::Halves);
  olmo2.windowPattern = 4;
  olmo2.localUnscaled = true;
  add("olmoe", Rotary::Halves);
  add("openelm", Rotary::Halves);
  add("exaone", Rotary::Halves);
  Architecture &exaone4 = add("exaone4", Rotary::Halves);
  exaone4.fullWithoutRotary = true;
  exaone4.windowPattern = 4;
  add("orion", Rotary::Halves).layerNorms = true;
  add("seed_oss", Rotary::Halves);
  Architecture &dbrx = add("dbrx", Rotary::Halves);
  dbrx.normalizes = dbrx.layerNorms = true;
  add("dots1", Rotary::Halves);
  add("glm4moe", Rotary::Halves).sigmoidScores = true;
  Architecture &gptOss = add("gpt-oss", Rotary::Halves);
  gptOss.windowPattern = 2;
  gptOss.normalizes = gptOss.clampsExperts = true;
  gptOss.roundsRamp = false;
  add("phi3", Rotary::Halves);
  Architecture &phi2 = add("phi2", Rotary::Halves, Activation::GeluTanh);
  phi2.parallel = phi2.layerNorms = true;
  add("persimmon", Rotary::Halves, Activation::Relu2).layerNorms = true;
  add("nemotron", Rotary::Halves, Activation::Relu2).layerNorms = true;
  add("starcoder2", Rotary::Halves, Activation::GeluTanh).layerNorms = true;
  add("codeshell", Rotary::Halves, Activation::GeluTanh).layerNorms = true;
  add("gptneox", Rotary::Halves, Activation::Gelu).layerNorms = true;
  Architecture &falcon = add("falcon", Rotary::Halves, Activation::Gelu);
  falcon.parallel = falcon.layerNorms = true;
  add("gemma", Rotary::Halves, Activation::GeluTanh).scalesEmbedding = true;
  Architecture &gemma2 = add("gemma2", Rotary::Halves, Activation::GeluTanh);
  gemma2.scalesEmbedding = true;
  gemma2.windowPattern = 2;
  gemma2.layersOfOtherScale = 46;
  Architecture &gemma3 = add("gemma3", Rotary::Halves, Activation::GeluTanh);
  gemma3.scalesEmbedding = gemma3.localUnscaled = true;
  gemma3.windowPattern = 6;
  gemma3.localTheta = 10000;
  gemma3.layersOfOtherScale = 62;

  add("gpt2", Rotary::None, Activation::GeluTanh).layerNorms = true;
  add("starcoder", Rotary::None, Activation::GeluTanh).layerNorms = true;
  Architecture &bloom = add("bloom", Rotary::None, Activation::GeluTanh);
  bloom.alibiLayers = -1;
  bloom.layerNorms = true;
  add("mpt", Rotary::None, Activation::Gelu).layerNorms = true;
  add("refact", Rotary::None).alibiLayers = -1;
  return table;
}

static const std::vector<Architecture> &architectures() {
  static const std::vector<Architecture> table = makeArchitectures();
  return table;
}

const Architecture *importer::findArchitecture(StringRef name) {
  for (const Architecture &known : architectures())
    if (known.name == name)
      return &known;
  return nullptr;
}

NormSpec importer::readNormKeys(Metadata &metadata, bool layerNorms) {
  StringRef layer = ".attention.layer_norm_epsilon", rms = ".attention.layer_norm_rms_epsilon";
  StringRef own = layerNorms ? layer : rms, other = layerNorms ? rms : layer;
  NormSpec norm;
  norm.kind = layerNorms ? NormSpec::Layer : NormSpec::Rms;
  norm.eps = metadata.number(metadata.has(own) ? own : other, 0, 1);
  // Beside its own key the other one says nothing.
  (void)metadata.value(other);
  return norm;
}

std::string importer::architectureNames() {
  std::string names;
  for (const Architecture &known : architectures())
    names += (names.empty() ? "" : ", ") + known.name.str();
  return names;
}
