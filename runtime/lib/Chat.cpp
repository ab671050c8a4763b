//===- Chat.cpp - conversations to text ------------------------------------------------------===//
#include "Model.h"
#include "Text.h"

#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>

#if INGOT_HAS_TOKENIZER
#include "ingot/Chat/Template.h"
#endif

using namespace ingot;

#if INGOT_HAS_TOKENIZER
namespace {

using Json = nlohmann::ordered_json;

struct Role {
  const char *name;
  const char *variable; // of templates
  int32_t tokenizer::SpecialIds::*id;
};
constexpr Role kRoles[] = {{"bos", "bos_token", &tokenizer::SpecialIds::bos},
                           {"eos", "eos_token", &tokenizer::SpecialIds::eos},
                           {"unk", "unk_token", &tokenizer::SpecialIds::unk},
                           {"pad", "pad_token", &tokenizer::SpecialIds::pad},
                           {"sep", "sep_token", &tokenizer::SpecialIds::sep},
                           {"cls", "cls_token", &tokenizer::SpecialIds::cls},
                           {"mask", "mask_token", &tokenizer::SpecialIds::mask}};

/// Sets the members of the object in `text` in `into`. `what` begins the message of an error.
Error addFields(const char *text, const std::string &what, Json &into) {
  // Writing JSON recurses: nothing deeper than templates accept.
  bool deep = false;
  auto watch = [&](int depth, Json::parse_event_t, Json &) {
    deep |= depth > 90;
    return !deep;
  };
  Json fields = Json::parse(text, watch, /*allow_exceptions=*/false);
  if (deep)
    return makeError(INGOT_INVALID_ARGUMENT, "%s: nested more than 90 deep", what.c_str());
  if (fields.is_discarded() || !fields.is_object())
    return makeError(INGOT_INVALID_ARGUMENT, "%s: expected a JSON object", what.c_str());
  for (auto &[name, value] : fields.items())
    into[name] = value;
  return nullptr;
}

} // namespace
#endif

ingot_error *ingot_model_get_special_id(const ingot_model *model, const char *role,
                                        int32_t *out_id) {
  return guarded([&]() -> Error {
#if INGOT_HAS_TOKENIZER
    for (const Role &known : kRoles)
      if (strcmp(role, known.name) == 0) {
        *out_id = model->text ? model->text->tokenizer.specialIds().*known.id : -1;
        return nullptr;
      }
#endif
    return makeError(INGOT_NOT_FOUND, "no special token has the role '%s'", role);
  });
}

ingot_error *ingot_model_format_chat(const ingot_model *model, const ingot_chat_message *messages,
                                     size_t count, const ingot_chat_options *options,
                                     char **out_text, size_t *out_bytes) {
  return guarded([&]() -> Error {
    ingot_chat_options given;
    INGOT_TRY(readOptions(given, options));
    if (!model || (!messages && count) || !out_text || !out_bytes)
      return makeError(INGOT_INVALID_ARGUMENT, "ingot_model_format_chat: a null pointer");
    std::string text;
#if INGOT_HAS_TOKENIZER
    std::string_view source;
    if (given.chat_template)
      source = given.chat_template;
    else if (model->text)
      source = model->text->tokenizer.chatTemplate();
    if (!given.chat_template && source.empty())
      return makeError(INGOT_NOT_FOUND, "%s: has no chat template", model->path());

    Json variables = Json::object();
    if (model->text)
      for (const Role &role : kRoles)
        if (int32_t id = model->text->tokenizer.specialIds().*role.id; id >= 0)
          variables[role.variable] = std::string(model->text->tokenizer.tokenBytes(id));
    Json list = Json::array();
    for (size_t i = 0; i < count; ++i) {
      if (!messages[i].role)
        return makeError(INGOT_INVALID_ARGUMENT, "message %zu has no role", i + 1);
      Json message = {{"role", messages[i].role}};
      message["content"] = messages[i].content ? Json(messages[i].content) : Json();
      if (messages[i].fields)
        INGOT_TRY(
            addFields(messages[i].fields, "fields of message " + std::to_string(i + 1), message));
      list.push_back(std::move(message));
    }
    variables["messages"] = std::move(list);
    variables["add_generation_prompt"] = !given.no_generation_prompt;
    if (given.variables)
      INGOT_TRY(addFields(given.variables, "variables of the chat template", variables));
    try {
      // Bytes that are not UTF-8 become U+FFFD.
      text = chat::Template(source).render(
          variables.dump(-1, ' ', false, Json::error_handler_t::replace));
    } catch (const chat::TemplateError &error) {
      return makeError(INGOT_INVALID_ARGUMENT, "%s: chat template: %s", model->path(),
                       error.what());
    }
#else
    return makeError(INGOT_NOT_FOUND, "%s: this build has no chat templates", model->path());
#endif
    char *copy = static_cast<char *>(malloc(text.size() + 1));
    if (!copy)
      return outOfMemory();
    memcpy(copy, text.c_str(), text.size() + 1);
    *out_text = copy;
    *out_bytes = text.size();
    return nullptr;
  });
}

void ingot_text_destroy(char *text) { free(text); }
