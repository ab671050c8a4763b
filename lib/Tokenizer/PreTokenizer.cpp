//===- PreTokenizer.cpp - Cutting text into words ---------------------------===//

#include "PreTokenizer.h"
#include "Unicode.h"

#include <algorithm>

namespace ingot::tokenizer {

namespace {

using Word = Words::Word;

/// A part of a word, and whether the pattern matches it. The parts cover the word in order.
struct Part {
  size_t begin, end;
  bool match;
};

/// Parts of `word`, found by a test of single characters.
template <typename Test>
void partsByCharacter(const std::string &text, const Word &word, Test test,
                      std::vector<Part> &parts) {
  std::string_view view = std::string_view(text).substr(0, word.end);
  size_t open = word.begin;
  for (size_t i = word.begin; i < word.end;) {
    unicode::Character character = unicode::characterAt(view, i);
    size_t next = i + character.length;
    if (test(character.codepoint)) {
      if (open < i)
        parts.push_back({open, i, false});
      parts.push_back({i, next, true});
      open = next;
    }
    i = next;
  }
  if (open < word.end)
    parts.push_back({open, word.end, false});
}

MaybeError partsByPattern(const std::string &text, const Word &word, const Pattern &pattern,
                          bool invert, Budget &budget, std::vector<Range> &matches,
                          std::vector<Part> &parts) {
  matches.clear();
  std::string_view view = std::string_view(text).substr(word.begin, word.end - word.begin);
  if (MaybeError error = pattern.findAll(view, budget, matches))
    return error;
  size_t open = word.begin;
  for (Range match : matches) {
    size_t begin = word.begin + match.begin, end = word.begin + match.end;
    if (open != begin)
      parts.push_back({open, begin, invert});
    parts.push_back({begin, end, !invert});
    open = end;
  }
  if (open != word.end)
    parts.push_back({open, word.end, invert});
  return {};
}

/// Runs of word characters and runs of characters that are neither those nor white space.
void partsByWordClass(const std::string &text, const Word &word, std::vector<Part> &parts) {
  std::string_view view = std::string_view(text).substr(0, word.end);
  int before = -1;
  for (size_t i = word.begin; i < word.end;) {
    unicode::Character character = unicode::characterAt(view, i);
    int now = unicode::isWord(character.codepoint)         ? 0
              : unicode::isWhitespace(character.codepoint) ? 1
                                                           : 2;
    size_t next = i + character.length;
    if (now == before)
      parts.back().end = next;
    else
      parts.push_back({i, next, now == 1});
    before = now;
    i = next;
  }
}

void append(std::vector<Word> &out, const Word &word, size_t begin, size_t end) {
  if (begin >= end)
    return;
  size_t before = begin - word.begin;
  size_t origin = word.originBytes > before ? word.originBytes - before : 0;
  out.push_back({begin, end, std::min(origin, end - begin)});
}

/// Joins or drops `parts` as `behavior` says and appends what remains.
void arrange(const Word &word, const std::vector<Part> &parts, SplitBehavior behavior,
             std::vector<Word> &out) {
  switch (behavior) {
  case SplitBehavior::Isolated:
    for (const Part &part : parts)
      append(out, word, part.begin, part.end);
    break;
  case SplitBehavior::Removed:
    for (const Part &part : parts)
      if (!part.match)
        append(out, word, part.begin, part.end);
    break;
  case SplitBehavior::Contiguous:
    for (size_t i = 0; i < parts.size();) {
      size_t first = i;
      while (i < parts.size() && parts[i].match == parts[first].match)
        ++i;
      append(out, word, parts[first].begin, parts[i - 1].end);
    }
    break;
  case SplitBehavior::MergedWithPrevious:
    // A match joins what is before it, unless that is a match too.
    for (size_t i = 0; i < parts.size();) {
      size_t first = i++;
      if (!parts[first].match && i < parts.size() && parts[i].match)
        ++i;
      append(out, word, parts[first].begin, parts[i - 1].end);
    }
    break;
  case SplitBehavior::MergedWithNext:
    for (size_t i = 0; i < parts.size();) {
      size_t first = i++;
      if (parts[first].match && i < parts.size() && !parts[i].match)
        ++i;
      append(out, word, parts[first].begin, parts[i - 1].end);
    }
    break;
  }
}

/// Rewrites every word: `rewrite(word, text)` appends its new spelling to `text` and returns how
/// many bytes of it stem from the first character of the original.
template <typename Rewrite> void rewriteWords(Words &words, Rewrite rewrite) {
  std::string text;
  text.reserve(words.text.size() * 2);
  for (Word &word : words.words) {
    size_t begin = text.size();
    size_t originBytes = rewrite(word, text);
    word = {begin, text.size(), originBytes};
  }
  words.text = std::move(text);
}

/// Cuts every word: `cut(word, out)` appends its pieces.
template <typename Cut> MaybeError cutWords(Words &words, Cut cut) {
  std::vector<Word> out;
  out.reserve(words.words.size());
  for (const Word &word : words.words)
    if (MaybeError error = cut(word, out))
      return error;
  words.words = std::move(out);
  return {};
}

template <typename Test> void cutByCharacter(Words &words, Test test, SplitBehavior behavior) {
  std::vector<Part> parts;
  (void)cutWords(words, [&](const Word &word, std::vector<Word> &out) -> MaybeError {
    parts.clear();
    partsByCharacter(words.text, word, test, parts);
    arrange(word, parts, behavior, out);
    return {};
  });
}

MaybeError cutByPattern(Words &words, const Pattern &pattern, bool invert, SplitBehavior behavior,
                        Budget &budget) {
  std::vector<Part> parts;
  std::vector<Range> matches;
  return cutWords(words, [&](const Word &word, std::vector<Word> &out) -> MaybeError {
    parts.clear();
    if (MaybeError error =
            partsByPattern(words.text, word, pattern, invert, budget, matches, parts))
      return error;
    arrange(word, parts, behavior, out);
    return {};
  });
}

MaybeError byteLevel(Words &words, const PreTokenizerStep &spec, const Pattern *pattern,
                     Budget &budget) {
  if (spec.addPrefixSpace)
    rewriteWords(words, [&](const Word &word, std::string &text) {
      bool prefix = words.text[word.begin] != ' ';
      if (prefix)
        text += ' ';
      text.append(words.text, word.begin, word.end - word.begin);
      return word.originBytes ? word.originBytes + prefix : 0;
    });
  if (pattern)
    if (MaybeError error = cutByPattern(words, *pattern, false, SplitBehavior::Isolated, budget))
      return error;
  rewriteWords(words, [&](const Word &word, std::string &text) {
    size_t begin = text.size(), originBytes = 0;
    for (size_t i = word.begin; i < word.end; ++i) {
      appendByteLevel(text, uint8_t(words.text[i]));
      if (i - word.begin < word.originBytes)
        originBytes = text.size() - begin;
    }
    return originBytes;
  });
  return {};
}

MaybeError metaspace(Words &words, const PreTokenizerStep &spec, const Pattern &pattern,
                     Budget &budget) {
  rewriteWords(words, [&](const Word &word, std::string &text) {
    std::string_view view(words.text.data() + word.begin, word.end - word.begin);
    size_t begin = text.size();
    bool starts = view[0] == ' ' || view.substr(0, spec.replacement.size()) == spec.replacement;
    bool prefix = !starts && (spec.prependScheme == PrependScheme::Always ||
                              (spec.prependScheme == PrependScheme::First && word.originBytes));
    if (prefix)
      text += spec.replacement;
    size_t originBytes = 0;
    for (size_t i = 0; i < view.size(); ++i) {
      if (view[i] == ' ')
        text += spec.replacement;
      else
        text += view[i];
      if (i < word.originBytes)
        originBytes = text.size() - begin;
    }
    return originBytes;
  });
  if (!spec.split)
    return {};
  return cutByPattern(words, pattern, false, SplitBehavior::MergedWithNext, budget);
}

void unicodeScripts(Words &words) {
  (void)cutWords(words, [&](const Word &word, std::vector<Word> &out) -> MaybeError {
    std::string_view view = std::string_view(words.text).substr(0, word.end);
    // A word begins where a script does that differs from the last one. What precedes the first
    // such place is lost.
    constexpr size_t none = size_t(-1);
    constexpr int noScript = unicode::anyScript - 1;
    size_t open = none;
    int last = noScript;
    for (size_t i = word.begin; i < word.end;) {
      unicode::Character character = unicode::characterAt(view, i);
      int script = unicode::scriptClass(character.codepoint);
      if (script != unicode::anyScript) {
        if (script != last) {
          if (open != none)
            append(out, word, open, i);
          open = i;
        }
        last = script;
      }
      i += character.length;
    }
    if (open != none)
      append(out, word, open, word.end);
    return {};
  });
}

void fixedLength(Words &words, uint32_t length) {
  (void)cutWords(words, [&](const Word &word, std::vector<Word> &out) -> MaybeError {
    std::string_view view = std::string_view(words.text).substr(0, word.end);
    size_t open = word.begin;
    uint32_t characters = 0;
    for (size_t i = word.begin; i < word.end;) {
      i += unicode::characterAt(view, i).length;
      if (++characters == length || i == word.end) {
        append(out, word, open, i);
        open = i;
        characters = 0;
      }
    }
    return {};
  });
}

} // namespace

Words::Words(Piece piece) : text(std::move(piece.text)) {
  if (!text.empty())
    words.push_back({0, text.size(), std::min(piece.originBytes, text.size())});
}

MaybeError PreTokenizer::init(const std::vector<PreTokenizerStep> &specs) {
  for (const PreTokenizerStep &spec : specs) {
    Step step{spec, {}};
    std::string source = spec.pattern;
    bool isRegex = spec.isRegex, needsPattern = false;
    switch (spec.kind) {
    case PreTokenizerKind::Split:
      needsPattern = true;
      break;
    case PreTokenizerKind::CharDelimiterSplit:
      isRegex = false;
      needsPattern = true;
      break;
    case PreTokenizerKind::ByteLevel:
      // GPT-2's words.
      source = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
      isRegex = true;
      needsPattern = spec.useRegex;
      break;
    case PreTokenizerKind::Metaspace:
      source = spec.replacement;
      isRegex = false;
      needsPattern = true;
      if (source.empty() || !unicode::isValid(source))
        return Error{"expected a character as the replacement of Metaspace"};
      break;
    case PreTokenizerKind::FixedLength:
      if (spec.length == 0)
        return Error{"expected a length of FixedLength of at least 1, got 0"};
      break;
    default:
      break;
    }
    if (needsPattern) {
      Result<Pattern> pattern = Pattern::create(source, isRegex);
      if (!pattern)
        return pattern.takeError();
      step.pattern = std::move(*pattern);
    }
    steps.push_back(std::move(step));
  }
  return {};
}

MaybeError PreTokenizer::run(Words &words, Budget &budget) const {
  for (const Step &step : steps) {
    const PreTokenizerStep &spec = step.spec;
    MaybeError error;
    switch (spec.kind) {
    case PreTokenizerKind::ByteLevel:
      error = byteLevel(words, spec, step.pattern ? &*step.pattern : nullptr, budget);
      break;
    case PreTokenizerKind::Split:
      error = cutByPattern(words, *step.pattern, spec.invert, spec.behavior, budget);
      break;
    case PreTokenizerKind::CharDelimiterSplit:
      error = cutByPattern(words, *step.pattern, false, SplitBehavior::Removed, budget);
      break;
    case PreTokenizerKind::Digits:
      cutByCharacter(words, unicode::isNumeric,
                     spec.individualDigits ? SplitBehavior::Isolated : SplitBehavior::Contiguous);
      break;
    case PreTokenizerKind::Punctuation:
      cutByCharacter(words, unicode::isPunctuation, spec.behavior);
      break;
    case PreTokenizerKind::WhitespaceSplit:
      cutByCharacter(words, unicode::isWhitespace, SplitBehavior::Removed);
      break;
    case PreTokenizerKind::Bert:
      cutByCharacter(words, unicode::isWhitespace, SplitBehavior::Removed);
      cutByCharacter(words, unicode::isPunctuation, SplitBehavior::Isolated);
      break;
    case PreTokenizerKind::Whitespace: {
      std::vector<Part> parts;
      error = cutWords(words, [&](const Word &word, std::vector<Word> &out) -> MaybeError {
        parts.clear();
        partsByWordClass(words.text, word, parts);
        arrange(word, parts, SplitBehavior::Removed, out);
        return {};
      });
      break;
    }
    case PreTokenizerKind::Metaspace:
      error = metaspace(words, spec, *step.pattern, budget);
      break;
    case PreTokenizerKind::UnicodeScripts:
      unicodeScripts(words);
      break;
    case PreTokenizerKind::FixedLength:
      fixedLength(words, spec.length);
      break;
    }
    if (error)
      return error;
  }
  return {};
}

} // namespace ingot::tokenizer
