//===- ImportClasses.h - Directories by their tokenizer class ----*- C++ -*-===//
//
// A vocabulary without a tokenizer.json leaves what surrounds the model to the class that
// tokenizer_config.json names. A reader below makes the model, and says with ClassRules what the
// class adds: the names of special tokens, and what it puts around a text.
//
//===----------------------------------------------------------------------===//

#ifndef INGOT_LIB_TOKENIZER_IMPORTCLASSES_H
#define INGOT_LIB_TOKENIZER_IMPORTCLASSES_H

#include "ImportSupport.h"

#include <algorithm>
#include <filesystem>
#include <map>

namespace ingot::tokenizer {

namespace fs = std::filesystem;

/// Runs `read`, putting the name of a file in front of its errors.
template <typename Read> auto inFile(const fs::path &path, Read read) {
  try {
    return read();
  } catch (const ImportError &error) {
    throw ImportError(path.string() + ": " + error.what());
  }
}

bool isFile(const fs::path &path);
std::string readFile(const fs::path &path);
std::vector<std::string> readLines(const fs::path &path);

/// tokenizer_config.json, special_tokens_map.json, added_tokens.json; an absent file is empty.
struct Surroundings {
  fs::path directory;
  json config = json::object(), specialTokensMap = json::object(), addedTokens = json::object();
  std::string className; ///< without "Fast"

  explicit Surroundings(fs::path path);

  Field field(const char *name) const { return Field(config, "")[name]; }
  bool boolean(const char *name, bool fallback) const {
    return inFile(directory / "tokenizer_config.json",
                  [&] { return field(name).boolean(fallback); });
  }
  bool isClass(std::initializer_list<const char *> names) const {
    return std::any_of(names.begin(), names.end(), [&](auto *name) { return className == name; });
  }

private:
  void load(const char *name, json &into);
};

struct ClassRules {
  /// The names of special tokens ("bos_token") unless the configuration says otherwise.
  std::map<std::string, std::string> names;
  /// What stands before and after a text: "bos_token", "cls_token", ..., or a token as it is
  /// spelled.
  std::vector<std::string> before, after;
  /// add_bos_token and add_eos_token decide instead, with these defaults.
  bool hasFlags = true, addBos = false, addEos = false;
  bool stripBeforeMask = false; ///< the mask takes the white space before it
  /// What stands between the texts of a pair, whose second has a type of its own, with all that
  /// follows it; nothing: no form for pairs, but where cls_token and sep_token stand around a text.
  std::optional<std::vector<std::string>> between = std::nullopt;
  uint8_t secondType = 0, clsType = 0;
};

/// A directory's vocabulary other than tokenizer.json; its model is empty if there is none.
std::optional<TokenizerSpec> readVocabulary(const Surroundings &around, ClassRules &rules);

/// The rules of a class whose tokenizer.json is there.
bool isLlamaClass(const Surroundings &around);

/// The file of a directory that readVocabulary reads; empty if there is none.
fs::path vocabularyFile(const fs::path &directory);

/// Ranks of byte sequences, one "base64 rank" per line; without what surrounds the model.
TokenizerSpec readTiktoken(std::string_view text);
bool isTiktoken(std::string_view text);

} // namespace ingot::tokenizer

#endif // INGOT_LIB_TOKENIZER_IMPORTCLASSES_H
