//===- Lines.cpp - The line protocol of `ingot-run tokenize` ----------------===//

#include "ingot/Tokenizer/Import.h"
#include "ingot/Tokenizer/Tokenizer.h"

#include <nlohmann/json.hpp>

#include <cstring>
#include <fstream>
#include <istream>
#include <ostream>
#include <sstream>

namespace ingot::tokenizer {

using nlohmann::json;

static std::ostream &operator<<(std::ostream &out, const std::vector<int32_t> &ids) {
  out << '[';
  for (size_t i = 0; i < ids.size(); ++i)
    out << (i ? ", " : "") << ids[i];
  return out << ']';
}

static MaybeError encodeLine(const Tokenizer &tokenizer, const json &line, std::ostream &out,
                             const LineOptions &options) {
  bool isPair = line.is_array() && line.size() == 2 && line[0].is_string() && line[1].is_string();
  if (!line.is_string() && !isPair)
    return Error{std::string("expected a JSON string, or an array of two, got ") +
                 line.type_name()};
  if (!options.addSpecial) {
    if (isPair || options.maxTokens != SIZE_MAX)
      return Error{"pairs and texts that are cut have their special tokens"};
    Result<std::vector<int32_t>> ids = tokenizer.encode(line.get_ref<const std::string &>(), false);
    if (!ids)
      return ids.takeError();
    out << *ids << '\n';
    return {};
  }
  std::optional<std::string_view> second;
  if (isPair)
    second = line[1].get_ref<const std::string &>();
  const json &first = isPair ? line[0] : line;
  auto sequence =
      tokenizer.encodeSequence(first.get_ref<const std::string &>(), second, options.maxTokens);
  if (!sequence)
    return sequence.takeError();
  if (isPair)
    out << "{\"ids\": " << sequence->ids << ", \"types\": " << sequence->types << "}\n";
  else
    out << sequence->ids << '\n';
  return {};
}

static MaybeError decodeLine(const Tokenizer &tokenizer, const json &line, std::ostream &out) {
  if (!line.is_array())
    return Error{std::string("expected a JSON array of ids, got ") + line.type_name()};
  std::vector<int32_t> ids;
  for (const json &id : line) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() > uint64_t(INT32_MAX))
      return Error{"expected an id, got " + id.dump()};
    ids.push_back(id.get<int32_t>());
  }
  std::string text = tokenizer.decode(ids, /*skipSpecial=*/false);
  // ASCII only: some readers of lines also end them at U+0085 or U+2028.
  out << json(text).dump(-1, ' ', /*ensure_ascii=*/true, json::error_handler_t::replace) << '\n';
  return {};
}

MaybeError tokenizeLines(const Tokenizer &tokenizer, std::istream &in, std::ostream &out,
                         const LineOptions &options) {
  std::string text;
  for (size_t number = 1; std::getline(in, text); ++number) {
    json line = json::parse(text, nullptr, /*allow_exceptions=*/false);
    MaybeError error;
    if (line.is_discarded())
      error = Error{"expected a line of JSON"};
    else if (options.decode)
      error = decodeLine(tokenizer, line, out);
    else
      error = encodeLine(tokenizer, line, out, options);
    if (error)
      return Error{"line " + std::to_string(number) + ": " + error->message};
    out.flush();
    if (!out)
      return Error{"cannot write the result"};
  }
  return {};
}

MaybeError tokenizeLines(const std::string &path, std::istream &in, std::ostream &out,
                         const LineOptions &options) {
  // A serialised tokenizer carries its mark behind the offset of the root.
  char head[8] = {};
  std::ifstream file(path, std::ios::binary);
  bool isBlob = file.read(head, sizeof(head)) && std::memcmp(head + 4, "ITOK", 4) == 0;
  auto located = [&](std::string message) { return Error{path + ": " + std::move(message)}; };
  if (isBlob) {
    file.seekg(0);
    std::vector<uint8_t> blob{std::istreambuf_iterator<char>(file), {}};
    Result<Tokenizer> tokenizer = Tokenizer::open(std::move(blob));
    if (!tokenizer)
      return located(tokenizer.error());
    return tokenizeLines(*tokenizer, in, out, options);
  }
  Result<TokenizerSpec> spec = importPath(path);
  if (!spec)
    return spec.takeError();
  Result<Tokenizer> tokenizer = Tokenizer::fromSpec(*spec);
  if (!tokenizer)
    return located(tokenizer.error());
  return tokenizeLines(*tokenizer, in, out, options);
}

} // namespace ingot::tokenizer
