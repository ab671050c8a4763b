//===- Decoder.cpp - Tokens to text -----------------------------------------===//

#include "Decoder.h"
#include "Normalizer.h"
#include "Unicode.h"

#include <algorithm>

namespace ingot::tokenizer {

namespace {

constexpr std::string_view metaspaceCharacter = "\xE2\x96\x81";

std::string replaceAll(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  size_t last = 0;
  if (!from.empty())
    for (size_t at; (at = text.find(from, last)) != std::string_view::npos;
         last = at + from.size()) {
      out += text.substr(last, at - last);
      out += to;
    }
  out += text.substr(last);
  return out;
}

/// The value of a byte token, <0x0A> for one, or -1.
int byteOfToken(std::string_view token) {
  if (token.size() != 6 || token.substr(0, 3) != "<0x" || token[5] != '>')
    return -1;
  int value = 0;
  for (char c : token.substr(3, 2)) {
    int digit = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                       : -1;
    if (digit < 0)
      return -1;
    value = value * 16 + digit;
  }
  return value;
}

//===----------------------------------------------------------------------===//
// Stages that look at whole tokens
//===----------------------------------------------------------------------===//

class WholeTokenStage : public DecoderStage {
public:
  void push(Fragment fragment) override {
    if (fragment.last && pending.empty())
      return token(fragment.text);
    pending += fragment.text;
    if (!fragment.last)
      return;
    std::string text = std::move(pending);
    pending.clear();
    token(text);
  }
  void finish() override { next->finish(); }

protected:
  virtual void token(std::string_view text) = 0;
  void pass(std::string_view text) { next->push({text}); }

private:
  std::string pending; // of an unfinished token
};

class MetaspaceStage : public WholeTokenStage {
public:
  MetaspaceStage(std::string_view replacement, bool keepFirst)
      : replacement(replacement), keepFirst(keepFirst) {}
  void finish() override {
    isFirst = true;
    next->finish();
  }

protected:
  void token(std::string_view text) override {
    bool drop = isFirst && !keepFirst;
    isFirst = false;
    pass(replaceAll(text, replacement, drop ? "" : " "));
  }

private:
  std::string_view replacement;
  bool keepFirst, isFirst = true;
};

std::string cleanUp(std::string text) {
  static constexpr std::pair<std::string_view, std::string_view> rules[] = {
      {" .", "."},   {" ?", "?"},     {" !", "!"},    {" ,", ","},
      {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},  {" do not", " don't"},
      {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  for (auto [from, to] : rules)
    if (text.find(from) != std::string::npos)
      text = replaceAll(text, from, to);
  return text;
}

class WordPieceStage : public WholeTokenStage {
public:
  WordPieceStage(std::string_view prefix, bool cleanup) : prefix(prefix), cleanup(cleanup) {}
  void finish() override {
    isFirst = true;
    next->finish();
  }

protected:
  void token(std::string_view text) override {
    std::string out;
    if (!isFirst && text.substr(0, prefix.size()) == prefix)
      text.remove_prefix(prefix.size());
    else if (!isFirst)
      out += ' ';
    isFirst = false;
    out += text;
    pass(cleanup ? cleanUp(std::move(out)) : out);
  }

private:
  std::string_view prefix;
  bool cleanup, isFirst = true;
};

/// Joins runs of byte tokens. A run that is not UTF-8 as a whole becomes one U+FFFD for each token,
/// so nothing is known before its end.
class ByteFallbackStage : public WholeTokenStage {
public:
  void finish() override {
    flush();
    next->finish();
  }

protected:
  void token(std::string_view text) override {
    if (int byte = byteOfToken(text); byte >= 0) {
      bytes += char(byte);
      return;
    }
    flush();
    pass(text);
  }

private:
  void flush() {
    if (bytes.empty())
      return;
    if (unicode::isValid(bytes))
      pass(bytes);
    else
      for (size_t i = 0; i < bytes.size(); ++i)
        pass(unicode::replacementCharacter);
    bytes.clear();
  }
  std::string bytes;
};

/// The suffix of a token becomes a space, but for the last token: one that has it waits.
class BPEStage : public WholeTokenStage {
public:
  explicit BPEStage(std::string_view suffix) : suffix(suffix) {}
  void finish() override {
    flush("");
    next->finish();
  }

protected:
  void token(std::string_view text) override {
    flush(" ");
    if (suffix.empty() || text.find(suffix) != std::string_view::npos) {
      held = std::string(text);
      holds = true;
    } else {
      pass(text);
    }
  }

private:
  void flush(std::string_view replacement) {
    if (!holds)
      return;
    holds = false;
    if (!suffix.empty())
      return pass(replaceAll(held, suffix, replacement));
    // An empty suffix is found between all characters and at both ends.
    std::string out(replacement);
    for (size_t i = 0; i < held.size();) {
      size_t length = unicode::characterAt(held, i).length;
      out.append(held, i, length);
      out += replacement;
      i += length;
    }
    pass(out);
  }

  std::string_view suffix;
  std::string held;
  bool holds = false;
};

class CTCStage : public WholeTokenStage {
public:
  CTCStage(std::string_view padding, std::string_view delimiter, bool cleanup)
      : padding(padding), delimiter(delimiter), cleanup(cleanup) {}
  void finish() override {
    before.reset();
    next->finish();
  }

protected:
  void token(std::string_view text) override {
    if (before && *before == text)
      return;
    before = std::string(text);
    std::string out = replaceAll(text, padding, "");
    if (cleanup)
      out = replaceAll(cleanUp(std::move(out)), delimiter, " ");
    if (!out.empty())
      pass(out);
  }

private:
  std::string_view padding, delimiter;
  bool cleanup;
  std::optional<std::string> before;
};

class RegexReplaceStage : public WholeTokenStage {
public:
  RegexReplaceStage(const Pattern &pattern, std::string_view content)
      : pattern(pattern), content(content) {}

protected:
  void token(std::string_view text) override {
    Budget budget(text.size());
    matches.clear();
    // Decoding has no way to fail: a token on which the pattern gives up stays as it is.
    if (pattern.findAll(text, budget, matches) || matches.empty())
      return pass(text);
    std::string out;
    size_t last = 0;
    for (Range match : matches) {
      out += text.substr(last, match.begin - last);
      out += content;
      last = match.end;
    }
    out += text.substr(last);
    pass(out);
  }

private:
  const Pattern &pattern;
  std::string_view content;
  std::vector<Range> matches;
};

//===----------------------------------------------------------------------===//
// Stages that work on fragments
//===----------------------------------------------------------------------===//

/// Replaces a string, holding back as much of an unfinished token as may be the start of it.
class ReplaceStage : public DecoderStage {
public:
  ReplaceStage(std::string_view pattern, std::string_view content)
      : pattern(pattern), content(content) {}

  void push(Fragment fragment) override {
    held += fragment.text;
    std::string out;
    size_t last = 0;
    for (size_t at; (at = held.find(pattern, last)) != std::string::npos;
         last = at + pattern.size()) {
      out.append(held, last, at - last);
      out += content;
    }
    size_t keep = 0;
    if (!fragment.last)
      for (keep = std::min(pattern.size() - 1, held.size() - last); keep > 0; --keep)
        if (held.compare(held.size() - keep, keep, pattern.substr(0, keep)) == 0)
          break;
    out.append(held, last, held.size() - keep - last);
    held.erase(0, held.size() - keep);
    next->push({out, fragment.last});
  }
  void finish() override { next->finish(); }

private:
  std::string_view pattern, content;
  std::string held;
};

/// Removes a character up to `start` times at the beginning and `stop` times at the end of a token.
class StripStage : public DecoderStage {
public:
  StripStage(std::string_view content, uint64_t start, uint64_t stop)
      : content(content), start(start), stop(stop) {}

  void push(Fragment fragment) override {
    std::string_view text = fragment.text;
    while (skipping && stripped < start && !text.empty()) {
      if (text.substr(0, content.size()) == content) {
        text.remove_prefix(content.size());
        ++stripped;
      } else {
        skipping = false;
      }
    }
    // Copies of the character at the end wait: they may turn out to be the end of the token.
    size_t tail = 0;
    if (stop > 0)
      while (text.size() >= (tail + 1) * content.size() &&
             text.substr(text.size() - (tail + 1) * content.size(), content.size()) == content)
        ++tail;
    std::string out;
    if (tail * content.size() < text.size()) {
      repeat(out, waiting);
      out += text.substr(0, text.size() - tail * content.size());
      waiting = 0;
    }
    waiting += tail;
    if (fragment.last) {
      repeat(out, waiting - std::min<uint64_t>(waiting, stop));
      waiting = 0;
      stripped = 0;
      skipping = true;
    }
    next->push({out, fragment.last});
  }
  void finish() override { next->finish(); }

private:
  void repeat(std::string &out, uint64_t times) const {
    for (uint64_t i = 0; i < times; ++i)
      out += content;
  }

  std::string_view content; // one character
  uint64_t start, stop;
  bool skipping = true;
  uint64_t stripped = 0, waiting = 0;
};

/// Joins all tokens into one.
class FuseStage : public DecoderStage {
public:
  void push(Fragment fragment) override { next->push({fragment.text, false}); }
  void finish() override {
    next->push({"", true});
    next->finish();
  }
};

/// Byte-level characters back to bytes. A token that contains another character counts as its own
/// UTF-8 bytes. The result is one token.
class ByteLevelStage : public WholeTokenStage {
public:
  void finish() override {
    std::string out;
    sanitizer.finish(out);
    next->push({out, true});
    next->finish();
  }

protected:
  void token(std::string_view text) override {
    std::string bytes;
    for (size_t i = 0; i < text.size();) {
      unicode::Character character = unicode::characterAt(text, i);
      int byte = byteLevelByte(character.codepoint);
      if (byte < 0) {
        bytes = text;
        break;
      }
      bytes += char(byte);
      i += character.length;
    }
    std::string out;
    sanitizer.push(bytes, out);
    next->push({out, false});
  }

private:
  unicode::StreamSanitizer sanitizer;
};

/// SentencePiece's decoder.
class SentencePieceStage : public DecoderStage {
public:
  SentencePieceStage(std::string_view unknownSurface, bool stripFirst, bool stripAll)
      : unknownSurface(unknownSurface), stripFirst(stripFirst), stripAll(stripAll) {}

  void push(Fragment fragment) override {
    if (fragment.kind == TokenKind::Byte) {
      if (int byte = byteOfToken(fragment.text); byte >= 0) {
        bytes += char(byte);
        return emit(takeCharacters(/*final=*/false));
      }
    }
    emit(takeCharacters(/*final=*/true));
    // Only what comes before all text is the space that encoding put in front.
    if (sawSpace || sawText)
      atStart = false;
    sawSpace = false;
    switch (fragment.kind) {
    case TokenKind::Control:
      return;
    case TokenKind::Unknown:
      return emit(std::string(unknownSurface));
    default:
      break;
    }
    std::string_view text = fragment.text;
    if (atStart && stripFirst && text.substr(0, metaspaceCharacter.size()) == metaspaceCharacter) {
      text.remove_prefix(metaspaceCharacter.size());
      // With `stripAll`, white space goes until there is text.
      sawSpace = !stripAll;
    }
    emit(replaceAll(text, metaspaceCharacter, " "));
  }

  void finish() override {
    emit(takeCharacters(/*final=*/true));
    atStart = true;
    sawSpace = sawText = false;
    next->finish();
  }

private:
  void emit(const std::string &text) {
    if (text.empty())
      return;
    sawText = true;
    next->push({text});
  }

  /// The characters that the byte tokens so far spell; each byte that is part of none is U+FFFD.
  std::string takeCharacters(bool final) {
    std::string out;
    size_t i = 0;
    while (i < bytes.size()) {
      unicode::Sequence sequence = unicode::sequenceAt(bytes, i);
      if (sequence.unfinished && !final)
        break;
      size_t length = sequence.valid ? sequence.length : 1;
      out += sequence.valid ? std::string_view(bytes).substr(i, length)
                            : unicode::replacementCharacter;
      i += length;
    }
    bytes.erase(0, i);
    return out;
  }

  std::string_view unknownSurface;
  bool stripFirst, stripAll;
  std::string bytes;
  bool atStart = true, sawSpace = false, sawText = false;
};

/// What happens without a decoder: tokens joined by spaces.
class JoinStage : public WholeTokenStage {
public:
  void finish() override {
    isFirst = true;
    next->finish();
  }

protected:
  void token(std::string_view text) override {
    if (!isFirst)
      pass(" ");
    isFirst = false;
    pass(text);
  }

private:
  bool isFirst = true;
};

class OutputStage : public DecoderStage {
public:
  explicit OutputStage(std::string &out) : out(out) {}
  void push(Fragment fragment) override { out += fragment.text; }
  void finish() override {}

private:
  std::string &out;
};

} // namespace

MaybeError Decoder::init(const std::vector<DecoderStep> &specs) {
  for (const DecoderStep &spec : specs) {
    Step step{spec, {}};
    for (const std::string *text : {&spec.pattern, &spec.content})
      if (!unicode::isValid(*text))
        return Error{"decoder contains text that is not valid UTF-8"};
    bool oneCharacter = !spec.content.empty() &&
                        unicode::characterAt(spec.content, 0).length == spec.content.size();
    if ((spec.kind == DecoderKind::Strip || spec.kind == DecoderKind::Metaspace) && !oneCharacter)
      return Error{"expected one character in a decoder, got '" + spec.content + "'"};
    if (spec.kind == DecoderKind::Replace) {
      Result<Pattern> pattern = Pattern::create(spec.pattern, spec.isRegex);
      if (!pattern)
        return pattern.takeError();
      step.pattern = std::move(*pattern);
    }
    steps.push_back(std::move(step));
  }
  return {};
}

std::vector<std::unique_ptr<DecoderStage>> Decoder::makeChain(std::string &out) const {
  std::vector<std::unique_ptr<DecoderStage>> chain;
  for (const Step &step : steps) {
    const DecoderStep &spec = step.spec;
    switch (spec.kind) {
    case DecoderKind::ByteLevel:
      chain.push_back(std::make_unique<ByteLevelStage>());
      break;
    case DecoderKind::Metaspace:
      chain.push_back(std::make_unique<MetaspaceStage>(spec.content, spec.keepFirst));
      break;
    case DecoderKind::WordPiece:
      chain.push_back(std::make_unique<WordPieceStage>(spec.content, spec.cleanup));
      break;
    case DecoderKind::ByteFallback:
      chain.push_back(std::make_unique<ByteFallbackStage>());
      break;
    case DecoderKind::Fuse:
      chain.push_back(std::make_unique<FuseStage>());
      break;
    case DecoderKind::Strip:
      chain.push_back(std::make_unique<StripStage>(spec.content, spec.start, spec.stop));
      break;
    case DecoderKind::Replace:
      if (!step.pattern->literal().empty())
        chain.push_back(std::make_unique<ReplaceStage>(step.pattern->literal(), spec.content));
      else
        chain.push_back(std::make_unique<RegexReplaceStage>(*step.pattern, spec.content));
      break;
    case DecoderKind::BPE:
      chain.push_back(std::make_unique<BPEStage>(spec.pattern));
      break;
    case DecoderKind::CTC:
      chain.push_back(std::make_unique<CTCStage>(spec.pattern, spec.content, spec.cleanup));
      break;
    case DecoderKind::SentencePiece:
      chain.push_back(
          std::make_unique<SentencePieceStage>(spec.content, spec.stripFirst, spec.stripAll));
      break;
    }
  }
  if (chain.empty())
    chain.push_back(std::make_unique<JoinStage>());
  chain.push_back(std::make_unique<OutputStage>(out));
  for (size_t i = 0; i + 1 < chain.size(); ++i)
    chain[i]->next = chain[i + 1].get();
  return chain;
}

} // namespace ingot::tokenizer
