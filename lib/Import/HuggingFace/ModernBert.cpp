//===- ModernBert.cpp - encoders with rotary positions ----------------------------------------===//

#include "EncoderFamilies.h"

using namespace llvm;
using namespace ingot::importer;

void ingot::importer::fillModernBert(Config &config, StringRef head, EncoderSpec &spec) {
  readEncoderSizes(config, spec, "hidden_size", "num_hidden_layers", "max_position_embeddings",
                   8192);
  spec.fieldsWithoutEffect = {
      "initializer_cutoff_factor", "embedding_dropout",      "mlp_dropout",
      "deterministic_flash_attn",  "sparse_prediction",      "sparse_pred_ignore_index",
      "reference_compile",         "repad_logits_with_grad", "cls_token_id"};
  spec.prefixes = {"model.", ""};
  StackSpec &stack = spec.stack;
  stack.positionRows = 0;
  NormSpec norm = layerNorm(config.number("norm_eps", 0, 1, 1e-5), config.flag("norm_bias", false));
  stack.embedding = "embeddings.tok_embeddings";
  stack.embeddingNorm = norm.named("embeddings.norm");
  stack.finalNorm = norm.named("final_norm");

  StackLayerSpec layer;
  layer.attention = readEncoderHeads(config, stack.hidden);
  layer.attention.fused = true;
  layer.attention.query.name = "attn.Wqkv";
  layer.attention.output.name = "attn.Wo";
  layer.attention.setBias(config.flag("attention_bias", false));
  layer.attentionNorm = norm.named("attn_norm");
  FeedForwardSpec &ff = layer.feedForward;
  ff.size = config.integer("intermediate_size", 1, maxWidth);
  ff.gated = true;
  ff.activation = readActivation(config, "hidden_activation", "gelu");
  ff.fused = true;
  ff.gate.name = "mlp.Wi";
  ff.down.name = "mlp.Wo";
  ff.setBias(config.flag("mlp_bias", false));
  layer.feedForwardNorm = norm.named("mlp_norm");
  repeatLayer(stack, layer, "layers.");
  // The embeddings' norm stands in for that of the first layer.
  stack.layers.front().attentionNorm = {};

  int64_t size = layer.attention.headDim;
  // Each kind of layers has parameters of its own, in an object under its name.
  Config *both = config.child("rope_parameters"), *scaling = config.child("rope_scaling");
  DecoderSpec tables;
  tables.context = spec.context;
  auto readTable = [&](StringRef kind, RotaryFields fields) {
    return readRotaryTable(config, both ? both->child(kind) : scaling,
                           "rope_parameters|rope_scaling", tables, size, fields);
  };
  double global = config.positive("global_rope_theta", 160000);
  // Null, not absence, means that both are alike.
  bool alike = config.isNull("local_rope_theta");
  std::optional<size_t> fullTable =
      readTable("full_attention", {160000, std::nullopt, "global_rope_theta"});
  std::optional<size_t> slidingTable =
      alike ? readTable("sliding_attention", {global, std::nullopt, "global_rope_theta"})
            : readTable("sliding_attention", {10000, std::nullopt, "local_rope_theta"});
  stack.rotaries = tables.rotaries;
  int64_t window = config.integer("local_attention", 1, maxPositions, 128);
  int64_t every = config.integer("global_attn_every_n_layers", 1, maxLayers, 3);
  std::vector<std::string> types = config.strings("layer_types");
  if (!types.empty() && types.size() != stack.layers.size())
    config.error("layer_types", "expected one for each of the " + Twine(stack.layers.size()) +
                                    " layers, got " + Twine(types.size()));
  for (auto [i, each] : enumerate(stack.layers)) {
    StringRef type = i % size_t(every) ? "sliding_attention" : "full_attention";
    if (i < types.size())
      type = types[i];
    bool slides = type == "sliding_attention";
    if (!slides && type != "full_attention")
      config.error("layer_types",
                   "expected full_attention or sliding_attention, got " + quote(type));
    each.reach = slides ? window / 2 : -1;
    each.attention.rotary = slides ? slidingTable : fullTable;
  }

  HeadStep dense = linearStep("head.dense", stack.hidden,
                              readActivation(config, "classifier_activation", "gelu"));
  dense.linear.bias = config.flag("classifier_bias", false);
  dense.norm = norm.named("head.norm");
  StringRef pooling = config.string("classifier_pooling", "cls");
  bool decoderBias = config.flag("decoder_bias", true);
  HeadSpec result;
  if (head == "ForMaskedLM") {
    HeadStep decoder = tiedStep(config, "decoder", spec.vocab, "");
    decoder.linear.bias = decoderBias;
    result.output = "logits";
    result.steps = {dense, decoder};
  } else if (head == "ForSequenceClassification" || head == "ForMultipleChoice") {
    if (pooling != "cls" && pooling != "mean")
      config.error("classifier_pooling", "expected cls or mean, got " + quote(pooling));
    result.output = "classes";
    result.firstRowOnly = true;
    result.mean = pooling == "mean";
    result.steps = {dense, linearStep("classifier", 0)};
  } else if (head == "ForTokenClassification" || head == "ForQuestionAnswering") {
    result.output = "logits";
    result.steps = {dense, linearStep("classifier", 0)};
  } else {
    if (head != "Model")
      refuseHead(config, head);
    return;
  }
  spec.heads.push_back(result);
}

/// The second of every so many layers is a mixture of experts without a gate.
static void readNomicExperts(Config &config, StackSpec &stack, int64_t inner,
                             ingot::importer::Activation activation) {
  int64_t every = config.integer("moe_every_n_layers", 0, maxLayers, 0);
  if (every == 0)
    return;
  config.onlyFalse("expert_choice_router");
  (void)config.integer("num_shared_experts", 0, 0, 0);
  (void)config.integer("ffn_div", 1, 1, 1);
  MixtureSpec mixture;
  mixture.experts = config.integer("num_experts|num_local_experts", 1, maxExperts);
  mixture.chosen = config.integer("moe_top_k", 1, mixture.experts);
  mixture.normalize = config.flag("moe_normalize_expert_weights", false);
  mixture.modules = {"mlp"};
  mixture.router = "router.layer";
  mixture.size = inner;
  mixture.gated = false;
  mixture.activation = activation;
  mixture.allUp = "experts.mlp.w1";
  mixture.allDown = "experts.mlp.w2";
  mixture.transposed = true;
  mixture.resultBias = "experts.bias";
  for (size_t i = 0; i < stack.layers.size(); ++i)
    if (int64_t(i) % every == 1)
      stack.layers[i].mixture = mixture;
}

void ingot::importer::fillNomicBert(Config &config, StringRef head, EncoderSpec &spec) {
  readEncoderSizes(config, spec, "hidden_size|n_embd", "num_hidden_layers|n_layer",
                   "max_position_embeddings|n_positions", 2048);
  spec.prefixes = {"nomic_bert.", "bert.", ""};
  spec.fieldsWithoutEffect.insert(spec.fieldsWithoutEffect.end(),
                                  {"dense_seq_output", "fused_bias_fc", "fused_dropout_add_ln",
                                   "use_flash_attn", "use_xentropy", "last_layer_subset",
                                   "moe_impl", "moe_resid_pdrop", "add_pooling_layer"});
  for (StringRef field : {"causal", "parallel_block", "parallel_block_tied_norm", "prenorm",
                          "use_rms_norm", "scale_attn_by_inverse_layer_idx"})
    config.onlyFalse(field);
  config.onlyNull("rotary_emb_scale_base", "scaled rotary positions are not supported");
  if (!config.flag("scale_attn_weights", true))
    config.error("scale_attn_weights", "expected true, nothing else is supported");
  StackSpec &stack = spec.stack;
  stack.positionRows = 0;
  NormSpec norm =
      layerNorm(config.number("layer_norm_eps|layer_norm_epsilon", 0, 1, 1e-12), /*bias=*/true);
  stack.embedding = "embeddings.word_embeddings";
  stack.types = config.integer("type_vocab_size", 0, maxVocab, 2);
  if (stack.types)
    stack.typeTable = "embeddings.token_type_embeddings";
  stack.embeddingNorm = norm.named("emb_ln");

  int64_t multiple = config.integer("pad_vocab_size_multiple", 1, 1 << 20, 1);
  spec.vocab = (spec.vocab + multiple - 1) / multiple * multiple;
  AttentionSpec attention =
      readEncoderHeads(config, stack.hidden, "num_attention_heads|n_head", "head_dim");
  // Published files scale positions beyond those of training only.
  if (config.has("rotary_scaling_factor")) {
    (void)config.positive("rotary_scaling_factor");
    spec.context =
        std::min(spec.context, config.integer("max_trained_positions", 1, maxPositions, 2048));
  } else {
    spec.fieldsWithoutEffect.push_back("max_trained_positions");
  }
  if (config.has("rotary_emb_base") || config.has("rotary_emb_fraction")) {
    double part = config.number("rotary_emb_fraction", 0, 1, 0.0);
    int64_t size = int64_t(double(attention.headDim) * part);
    attention.interleaved = config.flag("rotary_emb_interleaved", false);
    if (size % 2 != 0)
      config.error("rotary_emb_fraction",
                   "expected an even number of rotated elements, got " + Twine(size));
    else if (size > 0) {
      RotaryTable table;
      table.frequencies = rotaryFrequencies(config.positive("rotary_emb_base", 10000), size, {});
      stack.rotaries.push_back(table);
      attention.rotary = 0;
    }
  } else {
    DecoderSpec tables;
    tables.context = spec.context;
    readRotary(config, tables, attention, {/*defaultTheta=*/1000, /*defaultPartial=*/1.0});
    stack.rotaries = tables.rotaries;
  }

  int64_t inner = config.integer("intermediate_size|n_inner", 1, maxWidth, 4 * stack.hidden);
  // Names of gated networks are those of published files, in which others have no gate.
  // Where both spellings stand, the newer one names the function alone, of a gated network.
  bool isNewer = config.has("hidden_act");
  if (isNewer)
    (void)config.value("activation_function");
  StringRef spelling = isNewer ? "hidden_act" : "activation_function";
  StringRef name = config.string(spelling, "silu");
  ingot::importer::Activation activation = name == "swiglu"  ? Activation::Silu
                                           : name == "geglu" ? Activation::Gelu
                                           : name == "glu"
                                               ? Activation::Sigmoid
                                               : readActivation(config, spelling, "silu");
  bool gated = name.ends_with("glu") || isNewer || !config.has("activation_function");
  StackLayerSpec layer =
      bertLayer({"attn.Wqkv", "", "", "attn.out_proj", "norm1", "mlp.fc11", "mlp.fc2", "norm2"},
                attention, inner, activation, norm);
  layer.attention.fused = true;
  layer.attention.setBias(config.flag("qkv_proj_bias", false));
  FeedForwardSpec &ff = layer.feedForward;
  ff.gated = gated;
  ff.gate.name = "mlp.fc12";
  if (!gated)
    ff.up.name = "mlp.fc1";
  ff.gate.bias = ff.up.bias = config.flag("mlp_fc1_bias", false);
  ff.down.bias = config.flag("mlp_fc2_bias", false);
  repeatLayer(stack, layer, "encoder.layers.");
  readNomicExperts(config, stack, inner, activation);

  HeadSpec pooled = pooledHead("pooler.dense", stack.hidden);
  spec.heads.push_back(pooled);
  if (head == "ForMaskedLM" || head == "ForPreTraining") {
    HeadStep transform = linearStep("cls.predictions.transform.dense", stack.hidden, activation);
    transform.norm = norm.named("cls.predictions.transform.layer_norm");
    HeadSpec logits;
    logits.output = "logits";
    logits.steps = {
        transform, tiedStep(config, "cls.predictions.decoder", spec.vocab, "cls.predictions.bias")};
    spec.heads.push_back(logits);
  } else if (head == "ForSequenceClassification") {
    HeadSpec classes;
    classes.output = "classes";
    classes.firstRowOnly = true;
    classes.steps = {pooled.steps[0], linearStep("classifier", 0)};
    spec.heads.push_back(classes);
  } else if (head != "Model" && !addTokenHead(head, spec)) {
    refuseHead(config, head);
  }
}
