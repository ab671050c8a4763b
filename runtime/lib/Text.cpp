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

static Error noTokenizer(const ingot_model &model) {
  return makeError(
      INGOT_INVALID_ARGUMENT,
      "%s: has no tokenizer: give ids instead of text, or compile from a directory with "
      "a tokenizer",
      model.path());
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
    auto *copy = static_cast<int32_t *>(malloc(std::max<size_t>(ids->size(), 1) * sizeof(int32_t)));
    if (!copy)
      return outOfMemory();
    if (!ids->empty())
      memcpy(copy, ids->data(), ids->size() * sizeof(int32_t));
    *out_ids = copy;
    *out_count = ids->size();
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
