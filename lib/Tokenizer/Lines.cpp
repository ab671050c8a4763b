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

static MaybeError encodeLine(const Tokenizer &tokenizer, const json &line, std::ostream &out,
                             bool addSpecial) {
  if (!line.is_string())
    return Error{std::string("expected a JSON string, got ") + line.type_name()};
  Result<std::vector<int32_t>> ids =
      tokenizer.encode(line.get_ref<const std::string &>(), addSpecial);
  if (!ids)
    return ids.takeError();
  out << '[';
  for (size_t i = 0; i < ids->size(); ++i)
    out << (i ? ", " : "") << (*ids)[i];
  out << "]\n";
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
      error = encodeLine(tokenizer, line, out, options.addSpecial);
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
