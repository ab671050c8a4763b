//===- ChatTest.cpp - conversations to text --------------------------------------------------===//
#include "Toy.h"
#include "ingot/Tokenizer/Tokenizer.h"
#include "ingot/runtime.hpp"

#include <gtest/gtest.h>

using namespace ingot;

namespace {

/// A toy model with a word per id, and a template.
std::string artifact(const std::string &chatTemplate) {
  tokenizer::TokenizerSpec spec;
  spec.model.kind = tokenizer::ModelKind::WordLevel;
  for (int i = 0; i < toy::kVocabulary; ++i)
    spec.model.tokens.push_back({"w" + std::to_string(i), 0, tokenizer::TokenKind::Normal});
  spec.model.tokens[1].text = "<s>";
  spec.model.tokens[2].text = "</s>";
  spec.special.bos = 1;
  spec.special.eos = 2;
  spec.chatTemplate = chatTemplate;
  auto blob = tokenizer::serialize(spec);
  toy::LanguageModelOptions options;
  options.tokenizer.assign(blob->begin(), blob->end());
  return toy::writeTemporary("chat.ingot", toy::languageModel(options));
}

std::string errorOf(const Model &model, const std::vector<ingot_chat_message> &messages,
                    const ingot_chat_options *options = nullptr) {
  try {
    return "no error: " + model.formatChat(messages, options);
  } catch (const Error &error) {
    std::string what = error.what();
    return what.substr(
        what.find(": ") == std::string::npos || what[0] != '/' ? 0 : what.find(": ") + 2);
  }
}

TEST(Chat, FormatsAConversation) {
  Model model(
      artifact("{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}"
               "{{ m.extra }}{{ eos_token }}{% endfor %}"
               "{% if add_generation_prompt %}[assistant]{% endif %}{{ tools }}{{ mood }}"));
  EXPECT_TRUE(model.info().has_chat_template);
  EXPECT_EQ(model.formatChat({{"user", "hi \"you\"\n", nullptr}}),
            "<s>[user]hi \"you\"\n</s>[assistant]None");
  ingot_chat_options options;
  ingot_chat_options_init(&options);
  options.no_generation_prompt = true;
  options.variables = "{\"mood\": 3, \"tools\": []}";
  EXPECT_EQ(model.formatChat({{"user", nullptr, "{\"extra\": [1, true]}"}}, &options),
            "<s>[user]None[1, True]</s>[]3");
  options.chat_template = "{{ messages | length }}";
  EXPECT_EQ(model.formatChat({}, &options), "0");
  // Bytes that are no UTF-8.
  EXPECT_EQ(model.formatChat({{"user", "a\xFF", nullptr}}),
            "<s>[user]a\xEF\xBF\xBD</s>[assistant]None");
  EXPECT_EQ(model.specialId("bos"), 1);
  EXPECT_EQ(model.specialId("eos"), 2);
  EXPECT_EQ(model.specialId("mask"), -1);
  EXPECT_THROW(model.specialId("boss"), Error);
}

TEST(Chat, Refuses) {
  Model model(artifact("{% if messages | length > 1 %}\n{{ raise_exception('one at a time') }}"
                       "{% endif %}{{ messages[0].nosuch.thing }}"));
  EXPECT_EQ(errorOf(model, {{"user", "a", nullptr}, {"user", "b", nullptr}}),
            "chat template: line 2: one at a time");
  EXPECT_EQ(errorOf(model, {{"user", "a", nullptr}}),
            "chat template: line 2: 'dict object' has no attribute 'nosuch'");
  EXPECT_EQ(errorOf(model, {{nullptr, "a", nullptr}}), "message 1 has no role");
  EXPECT_EQ(errorOf(model, {{"user", "a", "[]"}}), "fields of message 1: expected a JSON object");
  EXPECT_EQ(errorOf(model, {{"user", "a", "{"}}), "fields of message 1: expected a JSON object");
  std::string deep = "{\"a\": " + std::string(100000, '[') + std::string(100000, ']') + "}";
  EXPECT_EQ(errorOf(model, {{"user", "a", deep.c_str()}}),
            "fields of message 1: nested more than 90 deep");
  ingot_chat_options options;
  ingot_chat_options_init(&options);
  options.variables = "3";
  EXPECT_EQ(errorOf(model, {}, &options), "variables of the chat template: expected a JSON object");

  Model without(artifact(""));
  EXPECT_FALSE(without.info().has_chat_template);
  EXPECT_EQ(errorOf(without, {{"user", "a", nullptr}}), "has no chat template");
}

} // namespace
