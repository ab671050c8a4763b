//===- EncoderDecoderFamilies.h - from config.json to encoder-decoders ------------*- C++ -*-===//
//
// A family is a function that fills an EncoderDecoderSpec from the fields of its config and one row
// in the table of EncoderDecoderFamilies.cpp, as in Families.h.
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_LIB_IMPORT_HUGGINGFACE_ENCODERDECODERFAMILIES_H
#define INGOT_LIB_IMPORT_HUGGINGFACE_ENCODERDECODERFAMILIES_H

#include "../Config.h"
#include "../EncoderDecoder.h"
#include "Families.h"

namespace ingot::importer {

struct EncoderDecoderFamily {
  llvm::StringLiteral modelType;
  /// The class with this family's language-model head.
  llvm::StringLiteral architecture;
  void (*fill)(Config &config, EncoderDecoderSpec &spec);
  /// The library's defaults of bos_token_id, eos_token_id and decoder_start_token_id; -1: none.
  int64_t beginId, endId, startId;
};

llvm::ArrayRef<EncoderDecoderFamily> encoderDecoderFamilies();

void fillBart(Config &config, EncoderDecoderSpec &spec);
void fillBlenderbot(Config &config, EncoderDecoderSpec &spec);
void fillBlenderbotSmall(Config &config, EncoderDecoderSpec &spec);
void fillM2M100(Config &config, EncoderDecoderSpec &spec);
void fillMarian(Config &config, EncoderDecoderSpec &spec);
void fillMBart(Config &config, EncoderDecoderSpec &spec);
void fillPegasus(Config &config, EncoderDecoderSpec &spec);
void fillT5(Config &config, EncoderDecoderSpec &spec);

} // namespace ingot::importer

#endif // INGOT_LIB_IMPORT_HUGGINGFACE_ENCODERDECODERFAMILIES_H
