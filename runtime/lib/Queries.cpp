//===- Queries.cpp - what the C API says about a model ---------------------------------------===//
#include "Model.h"
#include "Text.h"

#include <algorithm>
#include <cstring>

using namespace ingot;

namespace {

Error noSuch(const ingot_model *model, const char *what, size_t index) {
  return makeError(INGOT_NOT_FOUND, "%s: no %s %zu", model->path(), what, index);
}

template <typename Vector> size_t count(const Vector *vector) {
  return vector ? vector->size() : 0;
}
template <typename Vector> auto get(const Vector *vector, size_t index) {
  return vector->Get(static_cast<unsigned>(index));
}
const char *text(const flatbuffers::String *string) { return string ? string->c_str() : ""; }

/// A size as a formula; `parent` decides about parentheses. Sizes form a graph that can be
/// exponentially larger as text: what is nested too deeply is left out.
constexpr int kFormulaDepth = 12;
enum class Precedence { Sum, Product, Atom };
std::string formula(const fb::Program &program, size_t index, Precedence parent, int depth = 0) {
  if (depth > kFormulaDepth)
    return "...";
  const fb::Size &size = *get(program.sizes(), index);
  auto operand = [&](int32_t i, Precedence p) {
    return formula(program, static_cast<size_t>(i), p, depth + 1);
  };
  auto infix = [&](const char *symbol, Precedence own) {
    // The right operand of - / % needs parentheses where the left does not.
    std::string out = operand(size.a(), own) + " " + symbol + " " +
                      operand(size.b(), *symbol == '+' || *symbol == '*' ? own : Precedence::Atom);
    return own < parent ? "(" + out + ")" : out;
  };
  auto call = [&](const char *function) {
    return std::string(function) + "(" + operand(size.a(), Precedence::Sum) + ", " +
           operand(size.b(), Precedence::Sum) + ")";
  };
  switch (size.op()) {
  case fb::SizeOp::Constant:
    return std::to_string(size.value());
  case fb::SizeOp::InputDim:
    return get(program.inputs(), static_cast<size_t>(size.a()))->name()->str() + ".dim(" +
           std::to_string(size.b()) + ")";
  case fb::SizeOp::BatchDim: {
    static const char *const names[] = {"tokens", "sequences", "outputs", "keys",
                                        "pairs",  "pages",     "items",   "all_pairs"};
    std::string out = names[size.b()];
    if (count(program.batches()) > 1)
      out += "[" + std::to_string(size.a()) + "]";
    if (size.value())
      out += "(window " + std::to_string(size.value()) + ")";
    return out;
  }
  case fb::SizeOp::Add:
    return infix("+", Precedence::Sum);
  case fb::SizeOp::Sub:
    return infix("-", Precedence::Sum);
  case fb::SizeOp::Mul:
    return infix("*", Precedence::Product);
  case fb::SizeOp::FloorDiv:
    return infix("/", Precedence::Product);
  case fb::SizeOp::Mod:
    return infix("%", Precedence::Product);
  case fb::SizeOp::CeilDiv:
    return call("ceildiv");
  case fb::SizeOp::Max:
    return call("max");
  case fb::SizeOp::Min:
    return call("min");
  }
  return "?";
}

Error tensorInfo(const ingot_model *model, const fb::Tensor &tensor, ingot_tensor_info *info) {
  ingot_tensor_info out;
  ingot_tensor_info_init(&out);
  out.name = text(tensor.name());
  out.type = static_cast<ingot_element_type>(tensor.type());
  out.rank = count(tensor.shape());
  out.shape = out.rank ? tensor.shape()->data() : nullptr;
  return writeInfo(info, out);
}

/// Finds a program and, where asked for, one of its dispatches.
Error find(const ingot_model *model, size_t program, const fb::Program *&out) {
  if (program >= model->programs.size())
    return noSuch(model, "program", program);
  out = model->programs[program].source;
  return nullptr;
}
Error find(const ingot_model *model, size_t program, size_t dispatch, const fb::Dispatch *&out) {
  const fb::Program *source;
  INGOT_TRY(find(model, program, source));
  if (dispatch >= count(source->dispatches()))
    return noSuch(model, "dispatch", dispatch);
  out = get(source->dispatches(), dispatch);
  return nullptr;
}

} // namespace

ingot_error *ingot_model_get_info(const ingot_model *model, ingot_model_info *info) {
  return guarded([&]() -> Error {
    const fb::Artifact &root = model->artifact.root();
    ingot_model_info out;
    ingot_model_info_init(&out);
    out.path = model->path();
    out.producer = text(root.producer());
    out.file_bytes = model->artifact.size();
    out.format_version = model->artifact.formatVersion();
    out.kernel_abi_version = INGOT_KERNEL_ABI_VERSION;
    out.segment_count = count(root.segments());
    out.target_count = count(root.targets());
    out.kernel_count = count(root.kernels());
    out.weight_count = count(root.weights());
    out.program_count = count(root.programs());
    out.metadata_count = count(root.options()) + count(root.sources());
    out.chosen_target = model->chosenTarget;
    out.threads = model->pool.size();
    out.weights_checked = !model->options.trust;
    out.has_language_model = root.language_model() != nullptr;
    out.has_sequence_model = root.sequence_model() != nullptr;
    out.has_tokenizer = model->text != nullptr;
    out.code_copied = model->code.isCopied();
#if INGOT_HAS_TOKENIZER
    out.has_chat_template = model->text && !model->text->tokenizer.chatTemplate().empty();
#endif
    return writeInfo(info, out);
  });
}

ingot_error *ingot_model_get_segment(const ingot_model *model, size_t index,
                                     ingot_segment_info *info) {
  return guarded([&]() -> Error {
    static const char *const kinds[] = {"code", "weights", "tokenizer", "ir"};
    const auto *segments = model->artifact.root().segments();
    if (index >= count(segments))
      return noSuch(model, "segment", index);
    ingot_segment_info out;
    ingot_segment_info_init(&out);
    out.kind = kinds[static_cast<size_t>(get(segments, index)->kind())];
    out.offset = get(segments, index)->offset();
    out.length = get(segments, index)->length();
    out.data = model->artifact.segmentData(static_cast<unsigned>(index));
    return writeInfo(info, out);
  });
}

ingot_error *ingot_model_get_target(const ingot_model *model, size_t index,
                                    ingot_target_info *info) {
  return guarded([&]() -> Error {
    if (index >= model->targets.size())
      return noSuch(model, "target", index);
    const fb::Target *target = get(model->artifact.root().targets(), index);
    const TargetFacts &facts = model->targets[index];
    ingot_target_info out;
    ingot_target_info_init(&out);
    out.name = text(target->name());
    out.arch = text(target->arch());
    out.features = facts.features.data();
    out.feature_count = facts.features.size();
    out.missing = facts.missing.data();
    out.missing_count = facts.missing.size();
    out.usable = facts.usable;
    out.chosen = index == model->chosenTarget;
    out.code_bytes = get(model->artifact.root().segments(), target->segment())->length();
    return writeInfo(info, out);
  });
}

ingot_error *ingot_model_get_weight(const ingot_model *model, size_t index,
                                    ingot_weight_info *info) {
  return guarded([&]() -> Error {
    if (index >= model->weights.size())
      return noSuch(model, "weight", index);
    const fb::Weight *weight = get(model->artifact.root().weights(), index);
    ingot_weight_info out;
    ingot_weight_info_init(&out);
    out.name = text(weight->name());
    out.type = static_cast<ingot_element_type>(weight->type());
    out.rank = count(weight->shape());
    out.shape = out.rank ? weight->shape()->data() : nullptr;
    out.layout = text(weight->layout());
    out.bytes = weight->length();
    out.data = model->weights[index];
    return writeInfo(info, out);
  });
}

ingot_error *ingot_model_get_metadata(const ingot_model *model, size_t index, const char **out_key,
                                      const char **out_value) {
  return guarded([&]() -> Error {
    const fb::Artifact &root = model->artifact.root();
    size_t options = count(root.options());
    if (index >= options + count(root.sources()))
      return noSuch(model, "metadata entry", index);
    const fb::Entry *entry =
        index < options ? get(root.options(), index) : get(root.sources(), index - options);
    *out_key = model->metadataKeys[index].c_str();
    *out_value = text(entry->value());
    return nullptr;
  });
}

ingot_error *ingot_model_get_language_model(const ingot_model *model,
                                            ingot_language_model_info *info) {
  return guarded([&]() -> Error {
    const fb::LanguageModel *lm = model->languageModel();
    if (!lm)
      return makeError(INGOT_NOT_FOUND, "%s: not a language model", model->path());
    ingot_language_model_info out;
    ingot_language_model_info_init(&out);
    out.vocabulary = lm->vocabulary();
    out.context = lm->context();
    out.past_context = static_cast<ingot_past_context>(lm->past_context());
    out.keep = lm->keep();
    out.has_cache = model->hasCache();
    out.max_tokens = lm->max_tokens();
    out.max_outputs = lm->max_outputs();
    out.cache_group_count = count(lm->cache_groups());
    out.end_id_count = count(lm->end_ids());
    out.end_ids = out.end_id_count ? lm->end_ids()->data() : nullptr;
    out.begin_id = lm->begin_id();
    out.start_id = lm->start_id();
    out.has_source = model->hasCache() && model->hasSource();
    return writeInfo(info, out);
  });
}

ingot_error *ingot_model_get_sequence_model(const ingot_model *model,
                                            ingot_sequence_model_info *info) {
  return guarded([&]() -> Error {
    const fb::SequenceModel *from = model->sequenceModel();
    if (!from)
      return makeError(INGOT_NOT_FOUND, "%s: computes nothing of whole sequences", model->path());
    ingot_sequence_model_info out;
    ingot_sequence_model_info_init(&out);
    out.vocabulary = from->vocabulary();
    out.context = from->context();
    out.token_types = from->token_types();
    out.max_tokens = from->max_tokens();
    out.output_count = from->outputs()->size();
    out.pooling = static_cast<ingot_pooling>(from->pooling());
    out.normalize = from->normalize();
    out.text_tokens = model->textTokens();
    return writeInfo(info, out);
  });
}

ingot_error *ingot_model_get_sequence_output(const ingot_model *model, size_t index,
                                             ingot_sequence_output_info *info) {
  return guarded([&]() -> Error {
    const fb::SequenceModel *from = model->sequenceModel();
    if (!from || index >= from->outputs()->size())
      return makeError(INGOT_NOT_FOUND, "%s: no output %zu of whole sequences", model->path(),
                       index);
    const fb::SequenceOutput &output = *from->outputs()->Get(static_cast<unsigned>(index));
    ingot_sequence_output_info out;
    ingot_sequence_output_info_init(&out);
    out.name = output.name()->c_str();
    out.width = output.width();
    out.first_row_only = output.rows() == fb::OutputRows::First;
    out.program = output.program();
    out.label_count = count(output.labels());
    out.independent = output.independent();
    return writeInfo(info, out);
  });
}

ingot_error *ingot_model_get_label(const ingot_model *model, size_t output, size_t index,
                                   const char **out_label) {
  return guarded([&]() -> Error {
    const fb::SequenceModel *facts = model->sequenceModel();
    if (!facts || output >= facts->outputs()->size())
      return makeError(INGOT_NOT_FOUND, "%s: no output %zu of whole sequences", model->path(),
                       output);
    const auto *labels = facts->outputs()->Get(static_cast<unsigned>(output))->labels();
    if (index >= count(labels))
      return noSuch(model, "label", index);
    *out_label = labels->Get(static_cast<unsigned>(index))->c_str();
    return nullptr;
  });
}

ingot_error *ingot_model_get_sampling(const ingot_model *model, ingot_sampling_options *options) {
  return guarded([&]() -> Error {
    if (!model->languageModel())
      return makeError(INGOT_NOT_FOUND, "%s: not a language model", model->path());
    ingot_sampling_options out;
    ingot_sampling_options_init(&out);
    if (const fb::Sampling *sampling = model->languageModel()->sampling()) {
      out.temperature = sampling->temperature();
      out.top_k = sampling->top_k();
      out.top_p = sampling->top_p();
      out.min_p = sampling->min_p();
      out.repetition_penalty = sampling->repetition_penalty();
    }
    return writeInfo(options, out);
  });
}

ingot_error *ingot_model_get_cache_group(const ingot_model *model, size_t index,
                                         ingot_cache_group_info *info) {
  return guarded([&]() -> Error {
    const fb::LanguageModel *lm = model->languageModel();
    if (!lm || index >= count(lm->cache_groups()))
      return noSuch(model, "cache group", index);
    const fb::CacheGroup *group = get(lm->cache_groups(), index);
    ingot_cache_group_info out;
    ingot_cache_group_info_init(&out);
    out.page_bytes = group->page_bytes();
    out.window = group->window();
    out.layers = group->layers();
    return writeInfo(info, out);
  });
}

ingot_error *ingot_model_find_program(const ingot_model *model, const char *name,
                                      size_t *out_index) {
  return guarded([&]() -> Error {
    for (size_t i = 0; i < model->programs.size(); ++i)
      if (model->programs[i].source->name()->string_view() == name) {
        *out_index = i;
        return nullptr;
      }
    return makeError(INGOT_NOT_FOUND, "%s: no entry point %s", model->path(), name);
  });
}

ingot_error *ingot_model_get_program(const ingot_model *model, size_t index,
                                     ingot_program_info *info) {
  return guarded([&]() -> Error {
    const fb::Program *program;
    INGOT_TRY(find(model, index, program));
    ingot_program_info out;
    ingot_program_info_init(&out);
    out.name = text(program->name());
    out.input_count = count(program->inputs());
    out.output_count = count(program->outputs());
    out.size_count = count(program->sizes());
    out.batch_count = count(program->batches());
    out.slot_count = count(program->slots());
    out.dispatch_count = count(program->dispatches());
    out.needs_session = model->programs[index].usesStep;
    return writeInfo(info, out);
  });
}

ingot_error *ingot_model_get_input(const ingot_model *model, size_t program, size_t index,
                                   ingot_tensor_info *info) {
  return guarded([&]() -> Error {
    const fb::Program *source;
    INGOT_TRY(find(model, program, source));
    if (index >= count(source->inputs()))
      return noSuch(model, "input", index);
    return tensorInfo(model, *get(source->inputs(), index), info);
  });
}

ingot_error *ingot_model_get_output(const ingot_model *model, size_t program, size_t index,
                                    ingot_tensor_info *info) {
  return guarded([&]() -> Error {
    const fb::Program *source;
    INGOT_TRY(find(model, program, source));
    if (index >= count(source->outputs()))
      return noSuch(model, "output", index);
    return tensorInfo(model, *get(source->outputs(), index), info);
  });
}

ingot_error *ingot_model_get_dispatch(const ingot_model *model, size_t program, size_t index,
                                      ingot_dispatch_info *info) {
  return guarded([&]() -> Error {
    const fb::Dispatch *dispatch;
    INGOT_TRY(find(model, program, index, dispatch));
    const fb::Artifact &root = model->artifact.root();
    ingot_dispatch_info out;
    ingot_dispatch_info_init(&out);
    out.kernel = text(get(root.kernels(), dispatch->kernel())->name());
    out.location = text(get(root.locations(), dispatch->location()));
    out.batch = dispatch->batch();
    out.grid_size = dispatch->grid();
    out.buffer_count = count(dispatch->buffers());
    out.scalar_count = count(dispatch->scalars());
    out.cost_count = count(dispatch->cost());
    return writeInfo(info, out);
  });
}

ingot_error *ingot_model_get_buffer(const ingot_model *model, size_t program, size_t dispatch,
                                    size_t index, ingot_buffer_info *info) {
  return guarded([&]() -> Error {
    const fb::Dispatch *source;
    INGOT_TRY(find(model, program, dispatch, source));
    if (index >= count(source->buffers()))
      return noSuch(model, "buffer", index);
    ingot_buffer_info out;
    ingot_buffer_info_init(&out);
    out.kind = static_cast<ingot_buffer_kind>(get(source->buffers(), index)->kind());
    out.index = get(source->buffers(), index)->index();
    return writeInfo(info, out);
  });
}

ingot_error *ingot_model_get_cost(const ingot_model *model, size_t program, size_t dispatch,
                                  size_t index, ingot_cost_info *info) {
  return guarded([&]() -> Error {
    const fb::Dispatch *source;
    INGOT_TRY(find(model, program, dispatch, source));
    if (index >= count(source->cost()))
      return noSuch(model, "cost term", index);
    ingot_cost_info out;
    ingot_cost_info_init(&out);
    out.cost = static_cast<ingot_cost_class>(get(source->cost(), index)->cost());
    out.size = get(source->cost(), index)->size();
    out.coefficient = get(source->cost(), index)->coefficient();
    return writeInfo(info, out);
  });
}

ingot_error *ingot_model_get_slot(const ingot_model *model, size_t program, size_t slot,
                                  uint32_t *out_size) {
  return guarded([&]() -> Error {
    const fb::Program *source;
    INGOT_TRY(find(model, program, source));
    if (slot >= count(source->slots()))
      return noSuch(model, "slot", slot);
    *out_size = get(source->slots(), slot)->bytes();
    return nullptr;
  });
}

ingot_error *ingot_model_format_size(const ingot_model *model, size_t program, size_t size,
                                     char *out, size_t capacity, size_t *out_length) {
  return guarded([&]() -> Error {
    const fb::Program *source;
    INGOT_TRY(find(model, program, source));
    if (size >= count(source->sizes()))
      return noSuch(model, "size", size);
    std::string written = formula(*source, size, Precedence::Sum);
    if (capacity) {
      size_t length = std::min(written.size(), capacity - 1);
      memcpy(out, written.data(), length);
      out[length] = '\0';
    }
    if (out_length)
      *out_length = written.size();
    return nullptr;
  });
}
