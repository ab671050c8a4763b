//===- EncoderFamilies.h - from config.json to encoders ---------------------------*- C++ -*-===//
//
// An encoder family is a function that fills an EncoderSpec from the fields of its config and one
// row in the table of EncoderFamilies.cpp, as those of decoders are (Families.h). Which heads a
// checkpoint has is said by its architecture, the name of the library's class: "Model",
// "ForMaskedLM" and so on after the family's own name.
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_LIB_IMPORT_HUGGINGFACE_ENCODERFAMILIES_H
#define INGOT_LIB_IMPORT_HUGGINGFACE_ENCODERFAMILIES_H

#include "../Config.h"
#include "../Encoder.h"
#include "../StackParts.h"
#include "Families.h"

namespace ingot::importer {

struct EncoderFamily {
  llvm::StringLiteral modelType;
  /// What the names of its classes begin with: "Bert".
  llvm::StringLiteral className;
  void (*fill)(Config &config, llvm::StringRef head, EncoderSpec &spec);
  /// The type has other models too: only the class says that a file is of an encoder.
  bool byClassAlone = false;
};

llvm::ArrayRef<EncoderFamily> encoderFamilies();

//===----------------------------------------------------------------------===//
// What families share
//===----------------------------------------------------------------------===//

/// vocab_size, hidden size, number of layers and of positions, with the names of the last three;
/// `context` positions where the field is absent.
void readEncoderSizes(Config &config, EncoderSpec &spec, llvm::StringRef hidden = "hidden_size",
                      llvm::StringRef layers = "num_hidden_layers",
                      llvm::StringRef positions = "max_position_embeddings", int64_t context = 512);

/// As many key heads as query heads, of size `hidden / heads` or what `size` names, scale
/// 1 / sqrt(size), biases.
AttentionSpec readEncoderHeads(Config &config, int64_t hidden,
                               llvm::StringRef heads = "num_attention_heads",
                               llvm::StringRef size = "");

/// A linear with bias, then the activation.
HeadStep linearStep(llvm::StringRef name, int64_t size,
                    Activation activation = Activation::Identity);
/// A linear on the embedding table.
HeadStep tiedStep(Config &config, llvm::StringRef name, int64_t vocab, llvm::StringRef biasName);
/// tanh of a linear of the first token, behind the model's prefix.
HeadSpec pooledHead(llvm::StringRef name, int64_t hidden);
/// Heads that many families have alike: `classifier` on every token, `qa_outputs`. False if `head`
/// is none of them.
bool addTokenHead(llvm::StringRef head, EncoderSpec &spec);
/// Refuses a head that the family does not have here.
void refuseHead(Config &config, llvm::StringRef head);

/// Pooling and normalisation, where sentence-transformers stored them beside the model.
void readSentenceTransformers(llvm::StringRef directory, EncoderSpec &spec,
                              Diagnostics &diagnostics);

//===----------------------------------------------------------------------===//
// Families
//===----------------------------------------------------------------------===//

void fillAlbert(Config &config, llvm::StringRef head, EncoderSpec &spec);
void fillBert(Config &config, llvm::StringRef head, EncoderSpec &spec);
void fillDebertaV2(Config &config, llvm::StringRef head, EncoderSpec &spec);
void fillDistilBert(Config &config, llvm::StringRef head, EncoderSpec &spec);
void fillElectra(Config &config, llvm::StringRef head, EncoderSpec &spec);
void fillEmbeddingGemma(Config &config, llvm::StringRef head, EncoderSpec &spec);
void fillModernBert(Config &config, llvm::StringRef head, EncoderSpec &spec);
void fillMPNet(Config &config, llvm::StringRef head, EncoderSpec &spec);
void fillNomicBert(Config &config, llvm::StringRef head, EncoderSpec &spec);
void fillT5Encoder(Config &config, llvm::StringRef head, EncoderSpec &spec);
void fillRoberta(Config &config, llvm::StringRef head, EncoderSpec &spec);

} // namespace ingot::importer

#endif // INGOT_LIB_IMPORT_HUGGINGFACE_ENCODERFAMILIES_H
