//===- EncoderFamilies.cpp - from config.json to encoders -------------------------------------===//

#include "EncoderFamilies.h"
#include <cmath>

using namespace llvm;
using namespace ingot;
using namespace ingot::importer;

ArrayRef<EncoderFamily> importer::encoderFamilies() {
  static constexpr EncoderFamily table[] = {
      {"albert", "Albert", fillAlbert},
      {"bert", "Bert", fillBert},
      {"camembert", "Camembert", fillRoberta},
      {"deberta-v2", "DebertaV2", fillDebertaV2},
      {"distilbert", "DistilBert", fillDistilBert},
      {"electra", "Electra", fillElectra},
      {"gemma3_text", "Gemma3Text", fillEmbeddingGemma, /*byClassAlone=*/true},
      {"modernbert", "ModernBert", fillModernBert},
      {"mpnet", "MPNet", fillMPNet},
      {"mt5", "MT5Encoder", fillT5Encoder, /*byClassAlone=*/true},
      {"nomic_bert", "NomicBert", fillNomicBert},
      {"roberta", "Roberta", fillRoberta},
      {"t5", "T5Encoder", fillT5Encoder, /*byClassAlone=*/true},
      {"xlm-roberta", "XLMRoberta", fillRoberta},
  };
  return table;
}

void importer::readEncoderSizes(Config &config, EncoderSpec &spec, StringRef hidden,
                                StringRef layers, StringRef positions, int64_t context) {
  spec.vocab = config.integer("vocab_size", 1, maxVocab);
  spec.stack.hidden = spec.stack.embeddingSize = config.integer(hidden, 1, maxWidth);
  spec.stack.layers.resize(config.integer(layers, 1, maxLayers));
  spec.context = spec.stack.positionRows = config.integer(positions, 1, maxPositions, context);
  spec.fieldsWithoutEffect = {"attention_probs_dropout_prob", "hidden_dropout_prob", "output_past"};
}

AttentionSpec importer::readEncoderHeads(Config &config, int64_t hidden, StringRef heads,
                                         StringRef size) {
  AttentionSpec attention;
  attention.heads = attention.kvHeads = config.integer(heads, 1, maxHeads);
  attention.headDim = std::max<int64_t>(hidden / attention.heads, 1);
  if (!size.empty() && config.has(size))
    attention.headDim = config.integer(size, 1, maxHeadDim);
  else if (hidden % attention.heads != 0)
    config.error(heads, "expected a divisor of the hidden size, " + Twine(hidden) + ", got " +
                            Twine(attention.heads));
  attention.scale = 1 / std::sqrt(double(attention.headDim));
  attention.setBias(true);
  return attention;
}

HeadStep importer::linearStep(StringRef name, int64_t size, Activation activation) {
  HeadStep step;
  step.linear = {name.str(), /*bias=*/true};
  step.size = size;
  step.activation = activation;
  return step;
}

HeadStep importer::tiedStep(Config &config, StringRef name, int64_t vocab, StringRef biasName) {
  HeadStep step = linearStep(name, vocab);
  step.tied = config.flag("tie_word_embeddings", true);
  step.biasName = biasName.str();
  return step;
}

HeadSpec importer::pooledHead(StringRef name, int64_t hidden) {
  HeadSpec head;
  head.output = "pooled";
  head.firstRowOnly = true;
  head.optional = true;
  head.steps = {linearStep(name, hidden, Activation::Tanh)};
  head.steps.front().prefixed = true;
  return head;
}

bool importer::addTokenHead(StringRef head, EncoderSpec &spec) {
  HeadSpec result;
  result.output = "logits";
  if (head == "ForTokenClassification")
    result.steps = {linearStep("classifier", 0)};
  else if (head == "ForQuestionAnswering")
    result.steps = {linearStep("qa_outputs", 0)};
  else
    return false;
  spec.heads.push_back(result);
  return true;
}

void importer::refuseHead(Config &config, StringRef head) {
  config.error("architectures",
               "expected a class whose head is supported, got one that ends in " + quote(head));
}
