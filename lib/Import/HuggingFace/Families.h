//===- Families.h - from config.json to structures ---------------------------------------*- C++
//-*-===//
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
  /// The library's defaults of bos_token_id and eos_token_id; -1: none.
  int64_t beginId, endId;
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

/// Head counts and the size of a head, which is hidden / heads where `headDim` is absent. With an
/// empty `kvHeads` every head has keys of its own. The scale becomes 1 / sqrt(size).
AttentionSpec readHeads(Config &config, const DecoderSpec &spec,
                        llvm::StringRef heads = "num_attention_heads",
                        llvm::StringRef kvHeads = "num_key_value_heads",
                        llvm::StringRef headDim = "head_dim");

/// The function called `name`, as the library spells it.
Activation readActivation(Config &config, llvm::StringRef name, llvm::StringRef fallback);

/// rope_parameters, or rope_theta and rope_scaling. Adds the table to the spec and sets
/// `attention.rotary`. `partial`: the family honours partial_rotary_factor.
void readRotary(Config &config, DecoderSpec &spec, AttentionSpec &attention, bool partial,
                double defaultTheta = 10000);

NormSpec rmsNorm(double eps);
NormSpec layerNorm(double eps, bool bias);

/// Sets `spec.layers` to `count` copies of `layer`, numbered by '*' in its names.
void repeatLayer(DecoderSpec &spec, const LayerSpec &layer);

//===----------------------------------------------------------------------===//
// Families
//===----------------------------------------------------------------------===//

void fillGPT2(Config &config, DecoderSpec &spec);
void fillLlama(Config &config, DecoderSpec &spec);

} // namespace ingot::importer

#endif // INGOT_LIB_IMPORT_HUGGINGFACE_FAMILIES_H
