//===- PreTokenizerNames.cpp - Pre-tokenizers known by name ------*- C++ -*-===//
//
// A GGUF file has the name of the way in which words are cut, not its patterns. Behind every name
// is a recipe: regular expressions that cut one after the other what is left, as the Split steps of
// a tokenizer.json do, then the bytes are spelled out. Patterns are those of the models' own files
// where llama.cpp rewrote them for an engine of fewer constructions. Names of models that normalize
// their text say so as well; a GGUF file does not.
//
//===----------------------------------------------------------------------===//

#include "PreTokenizerNames.h"
#include "ImportSupport.h"

namespace ingot::tokenizer {

//===----------------------------------------------------------------------===//
// Parts of patterns
//===----------------------------------------------------------------------===//

#define CONTRACTION "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define UPPER R"([\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}])"
#define LOWER R"([\p{Ll}\p{Lm}\p{Lo}\p{M}])"
#define SPACES R"(\s*[\r\n]+|\s+(?!\S)|\s+)"
/// cl100k, with numbers of up to so many digits.
#define CL100K(DIGITS)                                                                             \
  CONTRACTION R"(|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N})" DIGITS R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|)" SPACES
/// Words that begin large, what may follow them, and numbers: o200k.
#define O200K(AFTER, DIGITS)                                                                       \
  R"([^\r\n\p{L}\p{N}]?)" UPPER "*" LOWER "+" AFTER R"(|[^\r\n\p{L}\p{N}]?)" UPPER "+" LOWER       \
  "*" AFTER R"(|\p{N})" DIGITS R"(| ?[^\s\p{L}\p{N}]+[\r\n/]*|)" SPACES
/// Words of DeepSeek V3; what follows punctuation and how lines end differ.
#define DEEPSEEK(LINES)                                                                                           \
  R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+)" LINES \
  R"(|\s+(?!\S)|\s+)"
#define HAN_AND_KANA R"(\x{4e00}-\x{9fa5}\x{3040}-\x{309f}\x{30a0}-\x{30ff})"
#define BLOOM R"( ?[^(\s|[.,!?\x{2026}\x{3002}\x{ff0c}\x{3001}\x{964}\x{6d4}\x{60c}])]+)"
/// Letters that have a case, as DeepSeek's first tokenizer lists them.
#define CASED                                                                                      \
  R"(A-Za-z\x{b5}\x{c0}-\x{d6}\x{d8}-\x{f6}\x{f8}-\x{1ba}\x{1bc}-\x{1bf}\x{1c4}-\x{293})"          \
  R"(\x{295}-\x{2af}\x{370}-\x{373}\x{376}\x{377}\x{37b}-\x{37d}\x{37f}\x{386})"                   \
  R"(\x{388}-\x{38a}\x{38c}\x{38e}-\x{3a1}\x{3a3}-\x{3f5}\x{3f7}-\x{481}\x{48a}-\x{52f})"          \
  R"(\x{531}-\x{556}\x{10a0}-\x{10c5}\x{13a0}-\x{13f5}\x{13f8}-\x{13fd})"                          \
  R"(\x{1c90}-\x{1cba}\x{1cbd}-\x{1cbf}\x{1d00}-\x{1d2b}\x{1d6b}-\x{1d77})"                        \
  R"(\x{1d79}-\x{1d9a}\x{1e00}-\x{1f15}\x{1f18}-\x{1f1d}\x{1f20}-\x{1f45})"                        \
  R"(\x{1f48}-\x{1f4d}\x{1f50}-\x{1f57}\x{1f59}\x{1f5b}\x{1f5d}\x{1f5f}-\x{1f7d})"                 \
  R"(\x{1f80}-\x{1fb4}\x{1fb6}-\x{1fbc}\x{1fbe}\x{1fc2}-\x{1fc4}\x{1fc6}-\x{1fcc})"                \
  R"(\x{1fd0}-\x{1fd3}\x{1fd6}-\x{1fdb}\x{1fe0}-\x{1fec}\x{1ff2}-\x{1ff4})"                        \
  R"(\x{1ff6}-\x{1ffc}\x{2102}\x{2107}\x{210a}-\x{2113}\x{2115}\x{2119}-\x{211d})"                 \
  R"(\x{2124}\x{2126}\x{2128}\x{212a}-\x{212d}\x{212f}-\x{2134}\x{2139})"                          \
  R"(\x{213c}-\x{213f}\x{2145}-\x{2149}\x{214e}\x{2183}\x{2184}\x{2c00}-\x{2c7b})"                 \
  R"(\x{2c7e}-\x{2ce4}\x{2ceb}-\x{2cee}\x{2cf2}\x{2cf3}\x{a640}-\x{a66d})"                         \
  R"(\x{a680}-\x{a69b}\x{a722}-\x{a76f}\x{a771}-\x{a787}\x{a78b}-\x{a78e})"                        \
  R"(\x{ab70}-\x{abbf}\x{fb00}-\x{fb06}\x{fb13}-\x{fb17}\x{ff21}-\x{ff3a})"                        \
  R"(\x{ff41}-\x{ff5a}\x{10400}-\x{1044f}\x{104b0}-\x{104d3}\x{104d8}-\x{104fb})"                  \
  R"(\x{10c80}-\x{10cb2}\x{10cc0}-\x{10cf2}\x{118a0}-\x{118df}\x{1e900}-\x{1e943})"

namespace {

struct Recipe {
  std::vector<const char *> names;
  std::vector<const char *> patterns;
  /// What they leave is cut as in GPT-2.
  bool thenGpt2 = false;
  bool nfc = false;
  /// A word that is a token is not merged from its parts.
  bool ignoreMerges = false;
  bool beginsTexts = false;
};

const std::vector<Recipe> &recipes() {
  static constexpr bool gpt2 = true, nfc = true, ignoreMerges = true, beginsTexts = true;
  static const std::vector<Recipe> list = {
      // GPT-2, and GPT-NeoX's kin, which compose characters.
      {{"", "default", "gpt-2", "phi-2", "jina-es", "jina-de", "jina-v1-en", "jina-v2-es",
        "jina-v2-de", "jina-v2-code", "roberta-bpe", "exaone4", "gigachat", "a.x-4.0", "mellum",
        "jais", "trillion", "granite-docling"},
       {},
       gpt2},
      {{"mpt", "olmo", "modern-bert"}, {}, gpt2, nfc},
      {{"starcoder", "smollm", "refact", "codeshell", "exaone", "minerva-7b", "mellum2"},
       {R"(\p{N})"},
       gpt2},
      {{"command-r"}, {R"(\p{N})"}, gpt2, nfc},
      {{"chameleon"},
       {"<sentinel:[0-9]+>", "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z", R"([\t\n]|    |  )", R"(\p{N})",
        R"([\p{P}!-/:-@\[-`{-~])"},
       gpt2,
       !nfc,
       !ignoreMerges,
       beginsTexts},

      // cl100k.
      {{"llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2",
        "jina-v5-nano"},
       {CL100K("{1,3}")},
       !gpt2,
       !nfc,
       ignoreMerges,
       beginsTexts},
      {{"dbrx", "smaug-bpe", "chatglm-bpe"}, {CL100K("{1,3}")}},
      {{"glm4", "glm5"}, {CL100K("{1,3}")}, !gpt2, !nfc, ignoreMerges},
      {{"minicpm5"}, {R"(\p{N}{1,3})", CL100K("+")}, !gpt2, !nfc, ignoreMerges},
      {{"jais-2"},
       {CONTRACTION
        R"(|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)|\s{64}(?!\S)|\s{32}(?!\S)|\s{16}(?!\S)|\s{8}(?!\S)|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1})"}},

      // Qwen: one digit at a time.
      {{"qwen2", "deepseek-r1-qwen", "stablelm2", "megrez", "kormo", "f2llmv2"},
       {CL100K("")},
       !gpt2,
       nfc},
      {{"hunyuan", "solar-open", "grok-2"}, {CL100K("")}},
      {{"qwen35"},
       {CONTRACTION
        R"(|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|)" SPACES},
       !gpt2,
       nfc},
      {{"laguna"}, {R"([^\n]+|[\n]+)", CL100K("")}},
      {{"ufakzeka"}, {R"([^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|)" SPACES}},
      {{"bailingmoe", "bailingmoe2", "llada-moe"},
       {R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)"}},
      {{"seed-coder"},
       {CONTRACTION R"(|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}\r\n]+|)" SPACES}},
      {{"exaone-moe"},
       {CONTRACTION
        R"(|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+)"}},

      // o200k.
      {{"gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"}, {O200K(CONTRACTION "?", "{1,3}")}},
      {{"granite-embed-multi-97m"}, {O200K(CONTRACTION "?", "{1,3}")}, !gpt2, !nfc, ignoreMerges},
      {{"tekken"}, {O200K("", "")}, !gpt2, !nfc, ignoreMerges, beginsTexts},
      {{"tiny_aya", "cohere2moe"}, {R"(\d{1,3}(?=(?:\d{3})*\b))", O200K(CONTRACTION "?", "{1,3}")}},
      {{"youtu"},
       {R"([\x{ac00}-\x{d7a3}\x{3131}-\x{318e}]+|[\x{ff01}\x{2026}\x{201c}\x{201d}\x{2018}\x{2019}\x{2014}\x{ff1a}\x{ff1b}\x{ff0c}\x{3001}-\x{303f}\x{fe30}-\x{fe4f}]+|[\x{3105}-\x{312f}]+|[)" HAN_AND_KANA
        "]+",
        O200K(CONTRACTION "?", "")},
       !gpt2,
       !nfc,
       ignoreMerges},
      {{"kimi-k2"},
       {R"([\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+)" CONTRACTION
        R"(?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*)" CONTRACTION
        R"(?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|)" SPACES}},

      // DeepSeek.
      {{"deepseek-llm"},
       {R"([\r\n])", R"(\s?[)" CASED "]+",
        R"(\s?[!-/:-~\x{ff01}-\x{ff0f}\x{ff1a}-\x{ff5e}\x{2018}-\x{201f}\x{3000}-\x{3002}]+)",
        R"(\s+$)", R"([\x{4e00}-\x{9fa5}\x{800}-\x{4e00}\x{ac00}-\x{d7ff}]+)", R"(\p{N}+)"}},
      {{"deepseek-coder"},
       {R"([\r\n])", R"(\s?\p{L}+)", R"(\s?\p{P}+)",
        R"([\x{4e00}-\x{9fa5}\x{800}-\x{4e00}\x{ac00}-\x{d7ff}]+)", R"(\p{N})"}},
      {{"deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"},
       {R"(\p{N}{1,3})", "[" HAN_AND_KANA "]+", DEEPSEEK(R"([\r\n]*|\s*[\r\n]+)")}},
      {{"spark2_5"}, {R"(\p{N}{1,3})", "[" HAN_AND_KANA "]+", DEEPSEEK(R"(|[\r\n])"), R"(\p{N})"}},
      {{"afmoe"},
       {R"(\p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N})))",
        R"([\x{4e00}-\x{9fff}\x{3400}-\x{4dbf}\x{8c48}-\x{faff}\x{3040}-\x{309f}\x{30a0}-\x{30ff}\x{ff65}-\x{ff9f}\x{2f00}-\x{2fdf}\x{e40}-\x{eff}\x{1780}-\x{17ff}\x{1000}-\x{109f}\x{aa60}-\x{aa7f}\x{a9e0}-\x{a9ff}\x{ac00}-\x{d7af}\x{1100}-\x{11ff}]+)",
        DEEPSEEK(R"([\r\n]*|\s*[\r\n]+)")}},

      {{"bloom", "gpt3-finnish", "poro-chat"}, {BLOOM}},
      {{"viking"}, {BLOOM, R"(\p{N})"}},
      {{"superbpe"}, {R"(\p{N}+)", R"((?=(\d{3})+(?!\d)))"}},
  };
  return list;
}

// Other files of the same unit are not to see them.
#undef CONTRACTION
#undef UPPER
#undef LOWER
#undef SPACES
#undef CL100K
#undef O200K
#undef DEEPSEEK
#undef HAN_AND_KANA
#undef BLOOM
#undef CASED

/// The recipe of this name; null if there is none.
const Recipe *findRecipe(const std::string &name) {
  for (const Recipe &recipe : recipes())
    for (const char *known : recipe.names)
      if (name == known)
        return &recipe;
  return nullptr;
}

PreTokenizerStep splitStep(const char *pattern) {
  PreTokenizerStep step;
  step.kind = PreTokenizerKind::Split;
  step.pattern = pattern;
  step.isRegex = true;
  return step;
}

PreTokenizerStep byteLevelStep(bool useRegex) {
  PreTokenizerStep step;
  step.kind = PreTokenizerKind::ByteLevel;
  step.useRegex = useRegex;
  return step;
}

} // namespace

void addNamedPreTokenizer(TokenizerSpec &spec, const std::string &name) {
  spec.decoder.emplace_back(DecoderKind::ByteLevel);
  if (name == "falcon") {
    // Numbers are cut after the bytes are spelled out.
    PreTokenizerStep punctuation, digits;
    punctuation.kind = PreTokenizerKind::Punctuation;
    punctuation.behavior = SplitBehavior::Contiguous;
    digits.kind = PreTokenizerKind::Digits;
    spec.preTokenizer = {punctuation, byteLevelStep(true), digits, splitStep("[0-9][0-9][0-9]")};
    return;
  }
  const Recipe *recipe = findRecipe(name);
  if (!recipe)
    throw ImportError("unknown pre-tokenizer '" + name + "'");
  for (const char *pattern : recipe->patterns)
    spec.preTokenizer.push_back(splitStep(pattern));
  spec.preTokenizer.push_back(byteLevelStep(recipe->thenGpt2));
  if (recipe->nfc)
    spec.normalizer.emplace_back(NormalizerKind::NFC);
  spec.model.ignoreMerges = recipe->ignoreMerges;
}

bool beginsTexts(const std::string &name) {
  const Recipe *recipe = findRecipe(name);
  return recipe && recipe->beginsTexts;
}

} // namespace ingot::tokenizer
