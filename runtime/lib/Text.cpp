//===- Text.cpp - text to ids and back -------------------------------------------------------===//
#include "Text.h"
#include "Model.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

using namespace ingot;

#if INGOT_HAS_TOKENIZER
struct ingot_text_stream {
  ingot_text_stream(ingot_model &model, bool showSpecial)
      : model(model), decoder(model.text->tokenizer, /*skipSpecial=*/!showSpecial) {
    model.retain();
  }
  ~ingot_text_stream() { model.release(); }

  ingot_model &model;
  tokenizer::StreamDecoder decoder;
  std::string text; // what the last call handed out
};

#else
struct ingot_text_stream {};
#endif

uint64_t ingot_model::textTokens() const {
  uint64_t most = sequenceModel() ? sequenceModel()->context() : UINT64_MAX;
#if INGOT_HAS_TOKENIZER
  if (text && text->tokenizer.maxTokens())
    most = std::min<uint64_t>(most, text->tokenizer.maxTokens());
#endif
  return most;
}

static Error noTokenizer(const ingot_model &model) {
  return makeError(
      INGOT_INVALID_ARGUMENT,
      "%s: has no tokenizer: give ids instead of text, or compile from a directory with "
      "a tokenizer",
      model.path());
}

/// A copy that ingot_ids_destroy frees; null without memory.
static int32_t *copyIds(const std::vector<int32_t> &ids) {
  auto *copy = static_cast<int32_t *>(malloc(std::max<size_t>(ids.size(), 1) * sizeof(int32_t)));
  if (copy && !ids.empty())
    memcpy(copy, ids.data(), ids.size() * sizeof(int32_t));
  return copy;
}

ingot_error *ingot_model_encode(const ingot_model *model, const char *text, size_t bytes,
                                bool special, int32_t **out_ids, size_t *out_count) {
  return guarded([&]() -> Error {
    if (!model->text)
      return noTokenizer(*model);
#if INGOT_HAS_TOKENIZER
    auto ids = model->text->tokenizer.encode(std::string_view(text, bytes), special);
    if (!ids)
      return makeError(INGOT_INVALID_ARGUMENT, "%s: %s", model->path(), ids.error().c_str());
    int32_t *copy = copyIds(*ids);
    if (!copy)
      return outOfMemory();
    *out_ids = copy;
    *out_count = ids->size();
#endif
    return nullptr;
  });
}

ingot_error *ingot_model_encode_sequence(const ingot_model *model, const char *text, size_t bytes,
                                         const ingot_encode_options *options, int32_t **out_ids,
                                         int32_t **out_types, size_t *out_count,
                                         size_t *out_dropped) {
  return guarded([&]() -> Error {
    if (!model || (!text && bytes) || !out_ids || !out_types || !out_count ||
        (options && !options->second && options->second_bytes))
      return makeError(INGOT_INVALID_ARGUMENT, "ingot_model_encode_sequence: a null pointer");
    ingot_encode_options given;
    INGOT_TRY(readOptions(given, options));
    if (!model->text)
      return noTokenizer(*model);
#if INGOT_HAS_TOKENIZER
    std::optional<std::string_view> second;
    if (given.second)
      second.emplace(given.second, given.second_bytes);
    uint64_t most = given.max_tokens ? given.max_tokens : model->textTokens();
    auto sequence = model->text->tokenizer.encodeSequence(std::string_view(text, bytes), second,
                                                          static_cast<size_t>(most));
    if (!sequence)
      return makeError(INGOT_INVALID_ARGUMENT, "%s: %s", model->path(), sequence.error().c_str());
    // A model of one type takes none.
    const fb::SequenceModel *reader = model->artifact.root().sequence_model();
    bool typed = !reader || reader->token_types() > 1;
    int32_t *ids = copyIds(sequence->ids), *types = typed ? copyIds(sequence->types) : nullptr;
    if (!ids || (typed && !types)) {
      free(ids);
      free(types);
      return outOfMemory();
    }
    *out_ids = ids;
    *out_types = types;
    *out_count = sequence->ids.size();
    if (out_dropped)
      *out_dropped = sequence->dropped;
#endif
    return nullptr;
  });
}

void ingot_ids_destroy(int32_t *ids) { free(ids); }

ingot_error *ingot_text_stream_create(ingot_model *model, bool show_special,
                                      ingot_text_stream **out_stream) {
  return guarded([&]() -> Error {
    if (!model->text)
      return noTokenizer(*model);
#if INGOT_HAS_TOKENIZER
    *out_stream = new ingot_text_stream(*model, show_special);
#endif
    return nullptr;
  });
}

ingot_error *ingot_text_stream_push(ingot_text_stream *stream, int32_t id, const char **out_text,
                                    size_t *out_bytes) {
  return guarded([&]() -> Error {
#if INGOT_HAS_TOKENIZER
    stream->text = stream->decoder.push(id);
    *out_text = stream->text.data();
    *out_bytes = stream->text.size();
#endif
    return nullptr;
  });
}

ingot_error *ingot_text_stream_finish(ingot_text_stream *stream, const char **out_text,
                                      size_t *out_bytes) {
  return guarded([&]() -> Error {
#if INGOT_HAS_TOKENIZER
    stream->text = stream->decoder.finish();
    *out_text = stream->text.data();
    *out_bytes = stream->text.size();
#endif
    return nullptr;
  });
}

void ingot_text_stream_destroy(ingot_text_stream *stream) { delete stream; }
