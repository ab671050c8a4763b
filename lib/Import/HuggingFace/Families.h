//===- Families.h - from config.json to structures --------------------------------*- C++ -*-===//
//
// A family is a function that fills a DecoderSpec from the fields of its config, under 60 lines,
// and one row in the table of Families.cpp. Adding one: write the function after the library's
// configuration and modelling code, with the readers below for what families share; every field
// that changes the result must be read, whatever value published checkpoints give it; add the row,
// and a case to test/Import/fields.test for each new field.
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_LIB_IMPORT_HUGGINGFACE_FAMILIES_H
#define INGOT_LIB_IMPORT_HUGGINGFACE_FAMILIES_H

#include "../Config.h"
#include "../Decoder.h"
#include "llvm/ADT/ArrayRef.h"

namespace ingot::importer {

struct Family {
  llvm::StringLiteral modelType;
  /// The class with this family's language-model head.
  llvm::StringLiteral architecture;
  void (*fill)(Config &config, DecoderSpec &spec);
  /// The library's defaults of bos_token_id and eos_token_id; -1: none. Where it has several of the
  /// latter, `fill` puts them into the spec.
  int64_t beginId, endId;
  /// Another name that published checkpoints have for the class; or empty.
  llvm::StringLiteral otherArchitecture = "";

  bool isNamed(llvm::StringRef name) const {
    return name == architecture || (!otherArchitecture.empty() && name == otherArchitecture);
  }
};

llvm::ArrayRef<Family> families();

/// Whether a field, wherever it occurs, cannot change what a model computes.
bool isWithoutEffect(llvm::StringRef field);

//===----------------------------------------------------------------------===//
// Fields that families share
//===----------------------------------------------------------------------===//

/// vocab_size, hidden_size, the number of layers and the context.
void readSizes(Config &config, DecoderSpec &spec, llvm::StringRef hidden = "hidden_size",
               llvm::StringRef layers = "num_hidden_layers",
               llvm::StringRef context = "max_position_embeddings", int64_t defaultContext = 2048);

/// What the library takes for sizes that a config does not name. A size that is null follows from
/// the others.
struct SizeDefaults {
  int64_t context = 2048;
  /// 0: as many as there are heads.
  int64_t kvHeads = 0;
  /// 0: hidden / heads.
  int64_t headDim = 0;
};

/// Head counts and the size of a head. With an empty `kvHeads` every head has keys of its own. The
/// scale becomes 1 / sqrt(size).
AttentionSpec readHeads(Config &config, const DecoderSpec &spec,
                        llvm::StringRef heads = "num_attention_heads",
                        llvm::StringRef kvHeads = "num_key_value_heads",
                        llvm::StringRef headDim = "head_dim", const SizeDefaults &sizes = {});

/// The function that a field names.
Activation readActivation(Config &config, llvm::StringRef name, llvm::StringRef fallback);

/// What families call the fields of their rotary positions, and the defaults.
struct RotaryFields {
  double defaultTheta = 10000;
  /// The rotated part of a head; absent: the whole head, and the family knows no other value.
  std::optional<double> defaultPartial = std::nullopt;
  llvm::StringRef theta = "rope_theta", partial = "partial_rotary_factor";
  /// Types that are another name of longrope, separated by '|'.
  llvm::StringRef longropeNames = "";
  /// The length before scaling, where it does not stand beside the object; 0: what the object says,
  /// or the context.
  int64_t originalLength = 0;
};

/// Adds the table that `parameters` describe to the spec: an object like rope_parameters, or null.
/// Fields that it lacks are those of the config. `object` is its name. Returns the table's number.
std::optional<size_t> readRotaryTable(Config &config, Config *parameters, llvm::StringRef object,
                                      DecoderSpec &spec, int64_t headDim,
                                      const RotaryFields &fields = {});

/// rope_parameters, or rope_theta and rope_scaling. Adds the table to the spec and sets
/// `attention.rotary`.
void readRotary(Config &config, DecoderSpec &spec, AttentionSpec &attention,
                const RotaryFields &fields = {});

NormSpec rmsNorm(double eps);
NormSpec layerNorm(double eps, bool bias);

/// The number of tokens that a layer with a window sees; 0 where the field is null.
int64_t readWindow(Config &config, llvm::StringRef name, int64_t fallback);

/// A soft-cap; 0 where the field is null.
double readSoftcap(Config &config, llvm::StringRef name, double fallback);

/// Makes all layers of the model copies of `layer`.
void repeatLayer(DecoderSpec &spec, const LayerSpec &layer);

/// Gives the layers that layer_types calls "sliding_attention" the window; without the field, those
/// that `isSliding` says.
void readLayerTypes(Config &config, DecoderSpec &spec, int64_t window,
                    llvm::function_ref<bool(size_t)> isSliding);

/// The window and the layers that have it: by layer_types, or all but every n-th, where n is the
/// field `pattern`.
void readLayerPattern(Config &config, DecoderSpec &spec, llvm::StringRef pattern, int64_t fallback);

/// What Llama and many after it have in common: sizes, heads, rotary positions, a gated
/// feed-forward network, norms before attention and feed-forward, and all names. No biases. `tied`
/// is the default of tie_word_embeddings, `activation` the name of the activation's field (empty:
/// it is not read).
LayerSpec readLlamaLayer(Config &config, DecoderSpec &spec, bool tied, const NormSpec &norm,
                         const SizeDefaults &sizes = {}, const RotaryFields &rotary = {},
                         llvm::StringRef activation = "hidden_act");

/// The names outside the layers, and tie_word_embeddings.
void nameLikeLlama(Config &config, DecoderSpec &spec, bool tied, const NormSpec &norm);

/// gate_proj, up_proj and down_proj in `module`, without size and activation.
FeedForwardSpec gatedFeedForward(const std::string &module);

/// Number and choice of experts; size and activation are those of the layer's feed-forward network,
/// scores are a softmax. `experts` is the name of the number of experts, which may be 0; without a
/// `defaultChosen` num_experts_per_tok must be there.
MixtureSpec readMixture(Config &config, const LayerSpec &layer, llvm::StringRef experts,
                        int64_t defaultExperts, int64_t defaultChosen);
/// `up` and `down` with biases or without, and no gate.
FeedForwardSpec plainFeedForward(const std::string &up, const std::string &down, bool bias,
                                 int64_t size, Activation activation);

//===----------------------------------------------------------------------===//
// Families
//===----------------------------------------------------------------------===//

void fillBloom(Config &config, DecoderSpec &spec);
void fillChatGLM(Config &config, DecoderSpec &spec);
void fillCodeGen(Config &config, DecoderSpec &spec);
void fillCohere(Config &config, DecoderSpec &spec);
void fillCohere2(Config &config, DecoderSpec &spec);
void fillDeepSeekV2(Config &config, DecoderSpec &spec);
void fillDeepSeekV3(Config &config, DecoderSpec &spec);
void fillErnie(Config &config, DecoderSpec &spec);
void fillExaone4(Config &config, DecoderSpec &spec);
void fillFalcon(Config &config, DecoderSpec &spec);
void fillGemma(Config &config, DecoderSpec &spec);
void fillGemma2(Config &config, DecoderSpec &spec);
void fillGemma3(Config &config, DecoderSpec &spec);
void fillGlm(Config &config, DecoderSpec &spec);
void fillGlm4(Config &config, DecoderSpec &spec);
void fillGPT2(Config &config, DecoderSpec &spec);
void fillGPTBigCode(Config &config, DecoderSpec &spec);
void fillGPTJ(Config &config, DecoderSpec &spec);
void fillGPTNeo(Config &config, DecoderSpec &spec);
void fillGPTNeoX(Config &config, DecoderSpec &spec);
void fillGptOss(Config &config, DecoderSpec &spec);
void fillGranite(Config &config, DecoderSpec &spec);
void fillLlama(Config &config, DecoderSpec &spec);
void fillMistral(Config &config, DecoderSpec &spec);
void fillMixtral(Config &config, DecoderSpec &spec);
void fillMpt(Config &config, DecoderSpec &spec);
void fillNemotron(Config &config, DecoderSpec &spec);
void fillOlmo(Config &config, DecoderSpec &spec);
void fillOlmo2(Config &config, DecoderSpec &spec);
void fillOlmoe(Config &config, DecoderSpec &spec);
void fillOPT(Config &config, DecoderSpec &spec);
void fillPersimmon(Config &config, DecoderSpec &spec);
void fillPhi(Config &config, DecoderSpec &spec);
void fillPhi3(Config &config, DecoderSpec &spec);
void fillQwen(Config &config, DecoderSpec &spec);
void fillQwen2(Config &config, DecoderSpec &spec);
void fillQwen2Moe(Config &config, DecoderSpec &spec);
void fillQwen3(Config &config, DecoderSpec &spec);
void fillQwen3Moe(Config &config, DecoderSpec &spec);
void fillSmolLM3(Config &config, DecoderSpec &spec);
void fillStableLm(Config &config, DecoderSpec &spec);
void fillStarcoder2(Config &config, DecoderSpec &spec);

} // namespace ingot::importer

#endif // INGOT_LIB_IMPORT_HUGGINGFACE_FAMILIES_H
