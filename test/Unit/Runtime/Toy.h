//===- Toy.h - artifacts for the tests of the runtime ----------------------------------------===//
#ifndef INGOT_TEST_TOY_H
#define INGOT_TEST_TOY_H

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace toy {

constexpr int kWidth = 8;
constexpr int kVocabulary = 50;

struct LanguageModelOptions {
  uint64_t context = 200;
  int pastContext = 0; // stop, slide, restart, unbounded
  uint64_t keep = 0;
  uint64_t maxTokens = 32, maxOutputs = 8;
  bool cached = true;
  bool dependsOnRows = false; // a kernel that breaks the bits rules
  int64_t spin = 0;           // rounds of an extra dispatch that takes long
  std::string tokenizer;      // a serialised one, or nothing
  std::string feature;        // an instruction set extension that the code asks for
};

/// The bytes of an artifact with a toy language model.
std::string languageModel(const LanguageModelOptions &options = {});

/// An artifact with entry points on arrays: `add` (a + b over [n, 4]), `attention` (q over k, v,
/// three-dimensional) and `denormal`.
std::string graphs();

/// The embedding table of the toy model.
std::vector<float> table();

/// Recomputes the hashes of preamble and head after a test has changed the head.
void rehash(std::string &artifact);

/// Writes a file into a fresh temporary folder that is removed at exit.
std::string writeTemporary(const std::string &name, const std::string &bytes);

} // namespace toy

#endif // INGOT_TEST_TOY_H
