//===- runtime.hpp - the C API with destructors and exceptions -------------------------------===//
//
// Header only. Each class owns one handle of runtime.h and gives it away with get(); a failed call
// throws ingot::Error. Whatever is not wrapped is called with get() and ingot::check:
//
//   ingot::Model model("m.ingot");
//   ingot::Session session(model);
//   std::vector<float> logits = session.feed({1, 2, 3});
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_RUNTIME_HPP
#define INGOT_RUNTIME_HPP

#include "ingot/runtime.h"

#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace ingot {

class Error : public std::runtime_error {
public:
  Error(ingot_status status, const std::string &message)
      : std::runtime_error(message), code(status) {}
  ingot_status status() const noexcept { return code; }

private:
  ingot_status code;
};

/// Throws what a call of the C API returned, if anything.
inline void check(ingot_error *error) {
  if (!error)
    return;
  std::unique_ptr<ingot_error, void (*)(ingot_error *)> owner(error, ingot_error_destroy);
  throw Error(ingot_error_status(error), ingot_error_message(error));
}

/// Owns a handle; movable.
template <typename T, void (*destroy)(T *)> class Handle {
public:
  Handle() = default;
  explicit Handle(T *handle) : handle(handle) {}
  T *get() const { return handle.get(); }
  explicit operator bool() const { return static_cast<bool>(handle); }

protected:
  struct Destroy {
    void operator()(T *handle) const { destroy(handle); }
  };
  std::unique_ptr<T, Destroy> handle;
};

using Cancel = Handle<ingot_cancel, ingot_cancel_destroy>;
using Profile = Handle<ingot_profile, ingot_profile_destroy>;

inline Cancel makeCancel() {
  ingot_cancel *cancel = nullptr;
  check(ingot_cancel_create(&cancel));
  return Cancel(cancel);
}

class Model : public Handle<ingot_model, ingot_model_destroy> {
public:
  Model() = default;
  explicit Model(const std::string &path, const ingot_model_options *options = nullptr) {
    ingot_model *model = nullptr;
    check(ingot_model_load(path.c_str(), options, &model));
    handle.reset(model);
  }

  ingot_model_info info() const {
    return query<ingot_model_info>([&](auto *out) { return ingot_model_get_info(get(), out); });
  }
  ingot_language_model_info languageModel() const {
    return query<ingot_language_model_info>(
        [&](auto *out) { return ingot_model_get_language_model(get(), out); });
  }
  ingot_sequence_model_info sequenceModel() const {
    return query<ingot_sequence_model_info>(
        [&](auto *out) { return ingot_model_get_sequence_model(get(), out); });
  }
  ingot_sequence_output_info sequenceOutput(size_t index) const {
    return query<ingot_sequence_output_info>(
        [&](auto *out) { return ingot_model_get_sequence_output(get(), index, out); });
  }
  std::string label(size_t output, size_t index) const {
    const char *text = nullptr;
    check(ingot_model_get_label(get(), output, index, &text));
    return text;
  }
  ingot_program_info program(size_t index) const {
    return query<ingot_program_info>(
        [&](auto *out) { return ingot_model_get_program(get(), index, out); });
  }
  ingot_sampling_options sampling() const {
    return query<ingot_sampling_options>(
        [&](auto *out) { return ingot_model_get_sampling(get(), out); });
  }
  ingot_memory_info memory() const {
    return query<ingot_memory_info>([&](auto *out) { return ingot_model_get_memory(get(), out); });
  }
  size_t findProgram(const std::string &name) const {
    size_t index = 0;
    check(ingot_model_find_program(get(), name.c_str(), &index));
    return index;
  }
  std::vector<int32_t> encode(std::string_view text, bool special = true) const {
    int32_t *ids = nullptr;
    size_t count = 0;
    check(ingot_model_encode(get(), text.data(), text.size(), special, &ids, &count));
    std::unique_ptr<int32_t, void (*)(int32_t *)> owner(ids, ingot_ids_destroy);
    return std::vector<int32_t>(ids, ids + count);
  }
  struct Encoding {
    std::vector<int32_t> ids, types;
    size_t dropped = 0;
  };
  /// `second`: null where there is no pair. Types are empty where the model takes none.
  Encoding encodeSequence(std::string_view text, const std::string *second = nullptr) const {
    ingot_encode_options options;
    ingot_encode_options_init(&options);
    if (second) {
      options.second = second->data();
      options.second_bytes = second->size();
    }
    int32_t *ids = nullptr, *types = nullptr;
    size_t count = 0;
    Encoding result;
    check(ingot_model_encode_sequence(get(), text.data(), text.size(), &options, &ids, &types,
                                      &count, &result.dropped));
    using Owner = std::unique_ptr<int32_t, void (*)(int32_t *)>;
    Owner ownsIds(ids, ingot_ids_destroy), ownsTypes(types, ingot_ids_destroy);
    result.ids.assign(ids, ids + count);
    if (types)
      result.types.assign(types, types + count);
    return result;
  }
  int32_t specialId(const char *role) const {
    int32_t id = -1;
    check(ingot_model_get_special_id(get(), role, &id));
    return id;
  }
  std::string formatChat(const std::vector<ingot_chat_message> &messages,
                         const ingot_chat_options *options = nullptr) const {
    char *text = nullptr;
    size_t bytes = 0;
    check(ingot_model_format_chat(get(), messages.data(), messages.size(), options, &text, &bytes));
    std::unique_ptr<char, void (*)(char *)> owner(text, ingot_text_destroy);
    return std::string(text, bytes);
  }
  Profile makeProfile() const {
    ingot_profile *profile = nullptr;
    check(ingot_profile_create(get(), &profile));
    return Profile(profile);
  }

  /// Calls a getter of the C API with an initialised info struct.
  template <typename Info, typename Get> static Info query(Get getInfo) {
    Info info;
    memset(static_cast<void *>(&info), 0, sizeof info);
    info.struct_size = sizeof info;
    check(getInfo(&info));
    return info;
  }
};

class Session : public Handle<ingot_session, ingot_session_destroy> {
public:
  Session() = default;
  explicit Session(const Model &model) {
    ingot_session *session = nullptr;
    check(ingot_session_create(model.get(), &session));
    handle.reset(session);
    vocabulary = model.languageModel().vocabulary;
  }

  /// Feeds tokens and returns the logits after the last one.
  std::vector<float> feed(const std::vector<int32_t> &ids) {
    std::vector<float> logits(vocabulary);
    check(ingot_session_feed(get(), ids.data(), ids.size(), INGOT_LOGITS_LAST, logits.data(),
                             logits.size()));
    return logits;
  }
  /// Feeds tokens and returns the logits after each of them.
  std::vector<float> feedAll(const std::vector<int32_t> &ids) {
    std::vector<float> logits(ids.size() * vocabulary);
    check(ingot_session_feed(get(), ids.data(), ids.size(), INGOT_LOGITS_ALL, logits.data(),
                             logits.size()));
    return logits;
  }
  Session fork() const {
    Session copy;
    ingot_session *session = nullptr;
    check(ingot_session_fork(get(), &session));
    copy.handle.reset(session);
    copy.vocabulary = vocabulary;
    return copy;
  }
  void truncate(uint64_t length) { check(ingot_session_truncate(get(), length)); }
  uint64_t length() const { return ingot_session_length(get()); }
  uint64_t position() const { return ingot_session_position(get()); }

private:
  size_t vocabulary = 0;
};

class TextStream : public Handle<ingot_text_stream, ingot_text_stream_destroy> {
public:
  TextStream() = default;
  explicit TextStream(const Model &model, bool showSpecial = false) {
    ingot_text_stream *stream = nullptr;
    check(ingot_text_stream_create(model.get(), showSpecial, &stream));
    handle.reset(stream);
  }
  /// Valid until the next call.
  std::string_view push(int32_t id) {
    const char *text = nullptr;
    size_t bytes = 0;
    check(ingot_text_stream_push(get(), id, &text, &bytes));
    return {text, bytes};
  }
  std::string_view finish() {
    const char *text = nullptr;
    size_t bytes = 0;
    check(ingot_text_stream_finish(get(), &text, &bytes));
    return {text, bytes};
  }
};

} // namespace ingot

#endif // INGOT_RUNTIME_HPP
