//===- Bert.cpp - BERT, and encoders that are built like it -----------------------------------===//

#include "EncoderFamilies.h"

using namespace llvm;
using namespace ingot::importer;

static constexpr LayerNames bertNames = {"attention.self.query",
                                         "attention.self.key",
                                         "attention.self.value",
                                         "attention.output.dense",
                                         "attention.output.LayerNorm",
                                         "intermediate.dense",
                                         "output.dense",
                                         "output.LayerNorm"};

/// Embeddings of words, types and positions, then their norm.
static NormSpec readEmbeddings(Config &config, EncoderSpec &spec, double eps) {
  NormSpec norm = layerNorm(config.number("layer_norm_eps", 0, 1, eps), /*bias=*/true);
  StackSpec &stack = spec.stack;
  stack.embedding = "embeddings.word_embeddings";
  stack.positionTable = "embeddings.position_embeddings";
  stack.embeddingNorm = norm.named("embeddings.LayerNorm");
  return norm;
}

static void readTypes(Config &config, EncoderSpec &spec) {
  spec.stack.types = config.integer("type_vocab_size", 1, maxVocab, 2);
  spec.stack.typeTable = "embeddings.token_type_embeddings";
}

/// Positions from the one after that of padding.
static void skipPadding(EncoderSpec &spec, int64_t padding) {
  spec.stack.positionOffset = padding + 1;
  spec.context = std::max<int64_t>(spec.stack.positionRows - spec.stack.positionOffset, 1);
}

static void readBertStack(Config &config, EncoderSpec &spec, double eps) {
  readEncoderSizes(config, spec);
  NormSpec norm = readEmbeddings(config, spec, eps);
  readTypes(config, spec);
  if (StringRef kind = config.string("position_embedding_type", "absolute"); kind != "absolute")
    config.error("position_embedding_type", "expected absolute, got " + quote(kind));
  config.onlyFalse("is_decoder");
  AttentionSpec attention = readEncoderHeads(config, spec.stack.hidden);
  StackLayerSpec layer =
      bertLayer(bertNames, attention, config.integer("intermediate_size", 1, maxWidth),
                readActivation(config, "hidden_act", "gelu"), norm);
  repeatLayer(spec.stack, layer, "encoder.layer.");
}

static HeadSpec headOf(StringRef output, std::vector<HeadStep> steps, bool firstRowOnly = false) {
  HeadSpec head;
  head.output = output.str();
  head.firstRowOnly = firstRowOnly;
  head.steps = std::move(steps);
  return head;
}

void ingot::importer::fillBert(Config &config, StringRef head, EncoderSpec &spec) {
  readBertStack(config, spec, 1e-12);
  spec.prefixes = {"bert.", ""};
  spec.fieldsWithoutEffect.insert(spec.fieldsWithoutEffect.end(),
                                  {"directionality", "pooler_fc_size", "pooler_num_attention_heads",
                                   "pooler_num_fc_layers", "pooler_size_per_head", "pooler_type"});
  int64_t hidden = spec.stack.hidden;
  HeadSpec pooled = pooledHead("pooler.dense", hidden);
  spec.heads.push_back(pooled);
  if (head == "ForMaskedLM" || head == "ForPreTraining") {
    HeadStep transform = linearStep("cls.predictions.transform.dense", hidden,
                                    readActivation(config, "hidden_act", "gelu"));
    transform.norm = spec.stack.embeddingNorm.named("cls.predictions.transform.LayerNorm");
    spec.heads.push_back(
        headOf("logits", {transform, tiedStep(config, "cls.predictions.decoder", spec.vocab,
                                              "cls.predictions.bias")}));
  }
  if (head == "ForPreTraining" || head == "ForNextSentencePrediction")
    spec.heads.push_back(
        headOf("classes", {pooled.steps[0], linearStep("cls.seq_relationship", 2)}, true));
  else if (head == "ForSequenceClassification" || head == "ForMultipleChoice")
    spec.heads.push_back(headOf("classes", {pooled.steps[0], linearStep("classifier", 0)}, true));
  else if (head != "Model" && head != "ForMaskedLM" && !addTokenHead(head, spec))
    refuseHead(config, head);
  // Heads that a checkpoint has beside the one that its class uses.
  spec.redundantTensors.push_back("cls.seq_relationship.weight");
  spec.redundantTensors.push_back("cls.seq_relationship.bias");
}

void ingot::importer::fillRoberta(Config &config, StringRef head, EncoderSpec &spec) {
  readBertStack(config, spec, 1e-12);
  spec.prefixes = {"roberta.", ""};
  skipPadding(spec, config.integer("pad_token_id", 0, maxVocab, 1));
  int64_t hidden = spec.stack.hidden;
  spec.heads.push_back(pooledHead("pooler.dense", hidden));
  if (head == "ForMaskedLM") {
    HeadStep dense = linearStep("lm_head.dense", hidden, Activation::Gelu);
    dense.norm = spec.stack.embeddingNorm.named("lm_head.layer_norm");
    spec.heads.push_back(
        headOf("logits", {dense, tiedStep(config, "lm_head.decoder", spec.vocab, "lm_head.bias")}));
  } else if (head == "ForSequenceClassification") {
    spec.heads.push_back(headOf("classes",
                                {linearStep("classifier.dense", hidden, Activation::Tanh),
                                 linearStep("classifier.out_proj", 0)},
                                true));
  } else if (head == "ForMultipleChoice") {
    HeadStep pool = spec.heads.front().steps.front();
    spec.heads.push_back(headOf("classes", {pool, linearStep("classifier", 0)}, true));
  } else if (head != "Model" && !addTokenHead(head, spec)) {
    refuseHead(config, head);
  }
}

/// A linear, which may be left out, and an activation of what sums up the sequence.
static HeadSpec readSummary(Config &config, int64_t hidden) {
  StringRef kind = config.string("summary_type", "first");
  if (kind != "first" && kind != "mean")
    config.error("summary_type", "expected first or mean, got " + quote(kind));
  HeadStep summary;
  if (config.flag("summary_use_proj", true))
    summary = linearStep("sequence_summary.summary", hidden);
  if (!config.isNull("summary_activation"))
    summary.activation = readActivation(config, "summary_activation", "gelu");
  HeadSpec head = headOf("classes", {summary, linearStep("classifier", 1)}, /*firstRowOnly=*/true);
  head.mean = kind == "mean";
  return head;
}

void ingot::importer::fillElectra(Config &config, StringRef head, EncoderSpec &spec) {
  readBertStack(config, spec, 1e-12);
  spec.prefixes = {"electra.", ""};
  StackSpec &stack = spec.stack;
  stack.embeddingSize = config.integer("embedding_size", 1, maxWidth, 128);
  if (stack.embeddingSize != stack.hidden)
    stack.embeddingProjection = {"embeddings_project", /*bias=*/true};
  spec.fieldsWithoutEffect.push_back("summary_last_dropout");
  if (head == "ForMaskedLM") {
    HeadStep dense =
        linearStep("generator_predictions.dense", stack.embeddingSize, Activation::Gelu);
    dense.norm = stack.embeddingNorm.named("generator_predictions.LayerNorm");
    spec.heads.push_back(
        headOf("logits", {dense, tiedStep(config, "generator_lm_head", spec.vocab, "")}));
  } else if (head == "ForPreTraining") {
    spec.heads.push_back(
        headOf("logits", {linearStep("discriminator_predictions.dense", stack.hidden,
                                     readActivation(config, "hidden_act", "gelu")),
                          linearStep("discriminator_predictions.dense_prediction", 1)}));
  } else if (head == "ForSequenceClassification") {
    spec.heads.push_back(headOf("classes",
                                {linearStep("classifier.dense", stack.hidden, Activation::Gelu),
                                 linearStep("classifier.out_proj", 0)},
                                true));
  } else if (head == "ForMultipleChoice") {
    spec.heads.push_back(readSummary(config, stack.hidden));
  } else if (head != "Model" && !addTokenHead(head, spec)) {
    refuseHead(config, head);
  }
}

void ingot::importer::fillAlbert(Config &config, StringRef head, EncoderSpec &spec) {
  readEncoderSizes(config, spec);
  NormSpec norm = readEmbeddings(config, spec, 1e-12);
  readTypes(config, spec);
  if (StringRef kind = config.string("position_embedding_type", "absolute"); kind != "absolute")
    config.error("position_embedding_type", "expected absolute, got " + quote(kind));
  spec.prefixes = {"albert.", ""};
  spec.fieldsWithoutEffect.insert(spec.fieldsWithoutEffect.end(),
                                  {"classifier_dropout_prob", "down_scale_factor", "gap_size",
                                   "net_structure_type", "num_memory_blocks", "layers_to_keep"});
  StackSpec &stack = spec.stack;
  stack.embeddingSize = config.integer("embedding_size", 1, maxWidth, 128);
  stack.embeddingProjection = {"encoder.embedding_hidden_mapping_in", /*bias=*/true};
  Activation activation = readActivation(config, "hidden_act", "gelu_new");
  StackLayerSpec layer =
      bertLayer({"attention.query", "attention.key", "attention.value", "attention.dense",
                 "attention.LayerNorm", "ffn", "ffn_output", "full_layer_layer_norm"},
                readEncoderHeads(config, stack.hidden),
                config.integer("intermediate_size", 1, maxWidth), activation, norm);
  // Layers are the layers of groups, of which every one is used several times in a row.
  int64_t layers = stack.layers.size();
  int64_t groups = config.integer("num_hidden_groups", 1, maxLayers, 1);
  int64_t inner = config.integer("inner_group_num", 1, maxLayers, 1);
  if (groups > layers)
    config.error("num_hidden_groups",
                 "expected at most " + Twine(layers) + ", got " + Twine(groups));
  if (layers * inner > maxLayers)
    config.error("inner_group_num", "expected at most " + Twine(maxLayers) + " layers in all");
  if (config.getDiagnostics().failed())
    return;
  stack.layers.clear();
  for (int64_t i = 0; i < layers; ++i)
    for (int64_t j = 0; j < inner; ++j) {
      int64_t group = int64_t(double(i) / (double(layers) / double(groups)));
      layer.name =
          ("encoder.albert_layer_groups." + Twine(group) + ".albert_layers." + Twine(j) + ".")
              .str();
      stack.layers.push_back(layer);
    }
  HeadSpec pooled = pooledHead("pooler", stack.hidden);
  spec.heads.push_back(pooled);
  if (head == "ForMaskedLM" || head == "ForPreTraining") {
    HeadStep dense = linearStep("predictions.dense", stack.embeddingSize, activation);
    dense.norm = norm.named("predictions.LayerNorm");
    spec.heads.push_back(headOf("logits", {dense, tiedStep(config, "predictions.decoder",
                                                           spec.vocab, "predictions.bias")}));
  }
  if (head == "ForPreTraining")
    spec.heads.push_back(
        headOf("classes", {pooled.steps[0], linearStep("sop_classifier.classifier", 0)}, true));
  else if (head == "ForSequenceClassification" || head == "ForMultipleChoice")
    spec.heads.push_back(headOf("classes", {pooled.steps[0], linearStep("classifier", 0)}, true));
  else if (head != "Model" && head != "ForMaskedLM" && !addTokenHead(head, spec))
    refuseHead(config, head);
}

void ingot::importer::fillDistilBert(Config &config, StringRef head, EncoderSpec &spec) {
  readEncoderSizes(config, spec, "dim|hidden_size", "n_layers|num_hidden_layers");
  spec.fieldsWithoutEffect = {"qa_dropout", "seq_classif_dropout"};
  spec.prefixes = {"distilbert.", ""};
  NormSpec norm = layerNorm(1e-12, /*bias=*/true);
  StackSpec &stack = spec.stack;
  stack.embedding = "embeddings.word_embeddings";
  // Sinusoidal ones are stored as well.
  (void)config.flag("sinusoidal_pos_embds", false);
  stack.positionTable = "embeddings.position_embeddings";
  stack.embeddingNorm = norm.named("embeddings.LayerNorm");
  Activation activation = readActivation(config, "activation", "gelu");
  StackLayerSpec layer =
      bertLayer({"attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin",
                 "sa_layer_norm", "ffn.lin1", "ffn.lin2", "output_layer_norm"},
                readEncoderHeads(config, stack.hidden, "n_heads|num_attention_heads"),
                config.integer("hidden_dim", 1, maxWidth, 4 * stack.hidden), activation, norm);
  repeatLayer(stack, layer, "transformer.layer.");
  if (head == "ForMaskedLM") {
    HeadStep transform = linearStep("vocab_transform", stack.hidden, activation);
    transform.norm = norm.named("vocab_layer_norm");
    spec.heads.push_back(
        headOf("logits", {transform, tiedStep(config, "vocab_projector", spec.vocab, "")}));
  } else if (head == "ForSequenceClassification" || head == "ForMultipleChoice") {
    spec.heads.push_back(headOf(
        "classes",
        {linearStep("pre_classifier", stack.hidden, Activation::Relu), linearStep("classifier", 0)},
        true));
  } else if (head != "Model" && !addTokenHead(head, spec)) {
    refuseHead(config, head);
  }
}

void ingot::importer::fillMPNet(Config &config, StringRef head, EncoderSpec &spec) {
  readEncoderSizes(config, spec);
  NormSpec norm = readEmbeddings(config, spec, 1e-12);
  spec.prefixes = {"mpnet.", ""};
  skipPadding(spec, 1);
  StackSpec &stack = spec.stack;
  AttentionSpec attention = readEncoderHeads(config, stack.hidden);
  StackLayerSpec layer =
      bertLayer({"attention.attn.q", "attention.attn.k", "attention.attn.v", "attention.attn.o",
                 "attention.LayerNorm", "intermediate.dense", "output.dense", "output.LayerNorm"},
                attention, config.integer("intermediate_size", 1, maxWidth),
                readActivation(config, "hidden_act", "gelu"), norm);
  repeatLayer(stack, layer, "encoder.layer.");
  stack.bias.table = "encoder.relative_attention_bias";
  // The library has 32 buckets in use, however many rows the table has.
  stack.bias.rows = config.integer("relative_attention_num_buckets", 32, 1 << 16, 32);
  stack.bias.buckets = logarithmicBuckets(32, 128, /*bidirectional=*/true);
  spec.heads.push_back(pooledHead("pooler.dense", stack.hidden));
  if (head == "ForMaskedLM") {
    HeadStep dense = linearStep("lm_head.dense", stack.hidden, Activation::Gelu);
    dense.norm = norm.named("lm_head.layer_norm");
    spec.heads.push_back(
        headOf("logits", {dense, tiedStep(config, "lm_head.decoder", spec.vocab, "lm_head.bias")}));
  } else if (head == "ForSequenceClassification") {
    spec.heads.push_back(headOf("classes",
                                {linearStep("classifier.dense", stack.hidden, Activation::Tanh),
                                 linearStep("classifier.out_proj", 0)},
                                true));
  } else if (head == "ForMultipleChoice") {
    HeadStep pool = spec.heads.front().steps.front();
    spec.heads.push_back(headOf("classes", {pool, linearStep("classifier", 0)}, true));
  } else if (head != "Model" && !addTokenHead(head, spec)) {
    refuseHead(config, head);
  }
}
