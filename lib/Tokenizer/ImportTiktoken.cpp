//===- ImportTiktoken.cpp - Ranks of byte sequences -------------------------===//
//
// A *.tiktoken file has a line "base64 rank" per token, and the rank is its id. There are no
// merges: of all neighbours whose bytes together are a token, those that make the one of the lowest
// rank are joined first. So each way to cut a token into two others is a merge here, with the
// token's own rank; ways to make the same token are equals, and the leftmost in the text comes
// first.
//
//===----------------------------------------------------------------------===//

#include "ImportClasses.h"
#include "Normalizer.h"

#include <charconv>

namespace ingot::tokenizer {

namespace {

/// Work that hostile files could cause: the squares of the tokens' lengths, summed.
constexpr uint64_t maxWork = 2'000'000'000;

struct Line {
  std::string_view text;
  size_t number;
};

Line nextLine(std::string_view &rest, size_t number) {
  size_t end = std::min(rest.find('\n'), rest.size());
  std::string_view line = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  if (!line.empty() && line.back() == '\r')
    line.remove_suffix(1);
  return {line, number};
}

/// "base64 rank"; false if it is not that.
bool readLine(std::string_view line, std::string &bytes, uint64_t &rank) {
  size_t space = line.find(' ');
  if (space == line.npos || space == 0)
    return false;
  const char *begin = line.data() + space + 1, *end = line.data() + line.size();
  auto result = std::from_chars(begin, end, rank);
  if (result.ec != std::errc() || result.ptr != end)
    return false;
  std::optional<std::string> decoded = decodeBase64(line.substr(0, space));
  if (!decoded || decoded->empty())
    return false;
  bytes = std::move(*decoded);
  return true;
}

} // namespace

bool isTiktoken(std::string_view text) {
  std::string bytes;
  uint64_t rank;
  return readLine(nextLine(text, 1).text, bytes, rank);
}

TokenizerSpec readTiktoken(std::string_view text) {
  TokenizerSpec spec;
  ModelSpec &model = spec.model;
  model.kind = ModelKind::BPE;
  model.rankByResult = true;
  std::vector<std::string> sequences; // by rank
  std::unordered_map<std::string_view, int32_t> ids;
  uint64_t work = 0;
  size_t number = 0;
  while (!text.empty()) {
    Line line = nextLine(text, ++number);
    if (line.text.empty())
      continue;
    auto where = [&] { return "line " + std::to_string(line.number) + ": "; };
    std::string bytes;
    uint64_t rank = 0;
    if (!readLine(line.text, bytes, rank))
      throw ImportError(where() + "expected base64 and a rank");
    if (rank >= maxVocabulary)
      throw ImportError(where() + "expected a rank below " + std::to_string(maxVocabulary) +
                        ", got " + std::to_string(rank));
    work += bytes.size() * bytes.size();
    if (work > maxWork)
      throw ImportError(where() + "the tokens are too long");
    if (rank >= sequences.size())
      sequences.resize(size_t(rank) + 1);
    if (!sequences[size_t(rank)].empty())
      throw ImportError(where() + "rank " + std::to_string(rank) + " is there twice");
    sequences[size_t(rank)] = std::move(bytes);
  }
  model.tokens.resize(sequences.size());
  for (size_t id = 0; id < sequences.size(); ++id) {
    const std::string &bytes = sequences[id];
    if (bytes.empty())
      continue;
    if (!ids.emplace(bytes, int32_t(id)).second)
      throw ImportError("ranks " + std::to_string(ids[bytes]) + " and " + std::to_string(id) +
                        " have the same bytes");
    for (char byte : bytes)
      appendByteLevel(model.tokens[id].text, uint8_t(byte));
    model.tokens[id].kind = TokenKind::Normal;
  }
  for (unsigned byte = 0; byte < 256; ++byte)
    if (char c = char(byte); !ids.count(std::string_view(&c, 1)))
      throw ImportError("byte " + std::to_string(byte) + " has no rank");
  for (size_t id = 0; id < sequences.size(); ++id) {
    std::string_view bytes = sequences[id];
    for (size_t cut = 1; cut < bytes.size(); ++cut) {
      auto left = ids.find(bytes.substr(0, cut)), right = ids.find(bytes.substr(cut));
      if (left != ids.end() && right != ids.end())
        model.merges.push_back({left->second, right->second, int32_t(id)});
    }
  }
  return spec;
}

Result<TokenizerSpec> importTiktoken(std::string_view bytes) {
  return guarded([&] { return readTiktoken(bytes); });
}

} // namespace ingot::tokenizer
