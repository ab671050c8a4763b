//===- ImportSupport.cpp - What the importers share -------------------------===//

#include "ImportSupport.h"

#include <algorithm>
#include <cstring>

namespace ingot::tokenizer {

std::optional<std::string> decodeBase64(std::string_view text) {
  std::string out;
  uint32_t bits = 0;
  unsigned count = 0;
  while (!text.empty() && text.back() == '=')
    text.remove_suffix(1);
  out.reserve(text.size() * 3 / 4);
  for (char c : text) {
    int value = c >= 'A' && c <= 'Z'   ? c - 'A'
                : c >= 'a' && c <= 'z' ? c - 'a' + 26
                : c >= '0' && c <= '9' ? c - '0' + 52
                : c == '+'             ? 62
                : c == '/'             ? 63
                                       : -1;
    if (value < 0)
      return std::nullopt;
    bits = bits << 6 | unsigned(value);
    count += 6;
    if (count >= 8) {
      count -= 8;
      out += char(bits >> count & 0xFF);
    }
  }
  return out;
}

json parseJson(std::string_view text) {
  try {
    return json::parse(text);
  } catch (const json::parse_error &error) {
    // The library's message repeats its own name and number in front of a colon.
    std::string message = error.what();
    size_t detail = message.find("while parsing");
    if (detail == std::string::npos)
      detail = message.rfind(": ") == std::string::npos ? 0 : message.rfind(": ") + 2;
    throw ImportError("invalid JSON at byte " + std::to_string(error.byte) + ": " +
                      message.substr(detail));
  } catch (const json::out_of_range &) {
    throw ImportError("invalid JSON: a number that is out of range");
  }
}

std::pair<std::string, std::string> splitMerge(std::string_view line, size_t number) {
  size_t space = line.find(' ');
  if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos)
    throw ImportError("expected two tokens in merge " + std::to_string(number) + ", got '" +
                      std::string(line) + "'");
  return {std::string(line.substr(0, space)), std::string(line.substr(space + 1))};
}

void addMerges(ModelSpec &model, const std::vector<std::pair<std::string, std::string>> &pairs) {
  TokenIndex index(model.tokens);
  auto idOf = [&](const std::string &text) {
    if (auto id = index.find(text))
      return *id;
    throw ImportError("merge of '" + text + "', which is not in the vocabulary");
  };
  model.merges.reserve(model.merges.size() + pairs.size());
  const std::string &prefix = model.continuingPrefix;
  for (auto &[left, right] : pairs) {
    if (right.size() < prefix.size())
      throw ImportError("expected '" + right + "' in a merge to begin with '" + prefix + "'");
    int32_t leftId = idOf(left), rightId = idOf(right);
    model.merges.push_back({leftId, rightId, idOf(left + right.substr(prefix.size()))});
  }
}

AddedTokenList::AddedTokenList(TokenizerSpec &spec) : spec(spec), vocabulary(spec.model.tokens) {
  // Counted as the reference counts: entries, not the largest id. What the list takes from the
  // vocabulary later does not move the next id.
  nextId = spec.model.kind == ModelKind::BPE || spec.model.kind == ModelKind::WordPiece ||
                   spec.model.kind == ModelKind::WordLevel
               ? vocabulary.size()
               : spec.model.tokens.size();
  for (size_t i = 0; i < spec.addedTokens.size(); ++i) {
    positions[spec.addedTokens[i].text] = i;
    nextId = std::max(nextId, size_t(spec.addedTokens[i].id) + 1);
  }
}

std::optional<int32_t> AddedTokenList::find(std::string_view text) const {
  if (auto it = positions.find(std::string(text)); it != positions.end())
    return spec.addedTokens[it->second].id;
  return vocabulary.find(text);
}

void AddedTokenList::add(AddedToken token) {
  if (token.text.empty())
    return;
  if (auto it = positions.find(token.text); it != positions.end()) {
    // Listed again: the last one counts, but a special token stays special.
    AddedToken &old = spec.addedTokens[it->second];
    token.id = old.id;
    token.special |= old.special;
    old = std::move(token);
    return;
  }
  if (auto id = vocabulary.find(token.text)) {
    token.id = *id;
  } else {
    if (nextId >= maxVocabulary)
      throw ImportError("too many tokens");
    token.id = int32_t(nextId++);
  }
  positions[token.text] = spec.addedTokens.size();
  spec.addedTokens.push_back(std::move(token));
}

void AddedTokenList::addWithId(AddedToken token) {
  if (token.text.empty())
    return;
  if (find(token.text))
    return add(std::move(token));
  nextId = std::max(nextId, size_t(token.id) + 1);
  positions[token.text] = spec.addedTokens.size();
  spec.addedTokens.push_back(std::move(token));
}

void AddedTokenList::addIfMissing(AddedToken token) {
  if (auto it = positions.find(token.text); it != positions.end())
    spec.addedTokens[it->second].special |= token.special;
  else if (find(token.text))
    add(std::move(token));
}

AddedToken readAddedToken(const Field &field) {
  AddedToken token;
  token.text = field["content"].string();
  token.special = field["special"].boolean(false);
  token.lstrip = field["lstrip"].boolean(false);
  token.rstrip = field["rstrip"].boolean(false);
  token.singleWord = field["single_word"].boolean(false);
  token.normalized = field["normalized"].boolean(!token.special);
  return token;
}

Charsmap parseCharsmap(std::string_view bytes) {
  uint32_t size;
  if (bytes.size() < sizeof(size))
    throw ImportError("character map of " + std::to_string(bytes.size()) + " bytes");
  std::memcpy(&size, bytes.data(), sizeof(size));
  bytes.remove_prefix(sizeof(size));
  if (size >= bytes.size() || size % 4 != 0)
    throw ImportError("character map with a table of " + std::to_string(size) + " bytes in " +
                      std::to_string(bytes.size()));
  Charsmap map;
  map.trie.resize(size / 4);
  if (size)
    std::memcpy(map.trie.data(), bytes.data(), size);
  map.strings = std::string(bytes.substr(size));
  return map;
}

void surround(TokenizerSpec &spec, int32_t before, int32_t after) {
  auto &single = spec.postProcessor, &pair = spec.pairProcessor;
  single.clear();
  pair.clear();
  for (bool second : {false, true}) {
    if (before >= 0)
      pair.push_back({false, {before}, false, second});
    pair.push_back({true, {}, second, second});
    if (after >= 0)
      pair.push_back({false, {after}, false, second});
    if (!second && (before >= 0 || after >= 0))
      single = pair;
  }
}

void separate(TokenizerSpec &spec, int32_t first, int32_t separator, bool doubled) {
  auto &single = spec.postProcessor, &pair = spec.pairProcessor;
  uint8_t type = !doubled;
  single = {{false, {first}}, {true, {}}, {false, {separator}}};
  pair = single;
  if (doubled)
    pair.push_back({false, {separator}});
  pair.push_back({true, {}, true, type});
  pair.push_back({false, {separator}, false, type});
}

void addSentencePieceDecoder(TokenizerSpec &spec, const NormalizerStep &normalizer,
                             std::string unknownSurface) {
  DecoderStep decoder;
  decoder.kind = DecoderKind::SentencePiece;
  decoder.content = std::move(unknownSurface);
  decoder.stripFirst = normalizer.addDummyPrefix || normalizer.removeExtraWhitespaces;
  decoder.stripAll = normalizer.removeExtraWhitespaces;
  spec.decoder.push_back(std::move(decoder));
}

} // namespace ingot::tokenizer
