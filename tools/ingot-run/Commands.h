//===- Commands.h - the subcommands of ingot-run ---------------------------------------------===//
//
// Each takes its options, prints to stdout and returns the exit code, or throws Failure or
// ingot::Error with a message for stderr.
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_RUN_COMMANDS_H
#define INGOT_RUN_COMMANDS_H

#include "Common.h"

#include <optional>

/// What the command line says about sampling, over what is there otherwise.
struct SamplingArguments {
  std::optional<float> temperature, topP, minP, repetitionPenalty;
  std::optional<uint32_t> topK;
  std::optional<uint64_t> seed;

  ingot_sampling_options over(ingot_sampling_options options) const {
    options.temperature = temperature.value_or(options.temperature);
    options.top_k = topK.value_or(options.top_k);
    options.top_p = topP.value_or(options.top_p);
    options.min_p = minP.value_or(options.min_p);
    options.repetition_penalty = repetitionPenalty.value_or(options.repetition_penalty);
    options.seed = seed.value_or(options.seed);
    return options;
  }
};

struct GenerateOptions {
  LoadOptions load;
  std::optional<std::string> prompt, ids, idsFile, logits, tokenTypes;
  std::optional<std::string> pair, pairsFile;            // of an encoder
  std::optional<std::string> decoderIds, decoderIdsFile; // of encoder-decoders
  std::string output;                                    // of an encoder
  std::optional<uint64_t> newTokens;
  uint64_t prefillChunk = 0;
  uint32_t beams = 1;
  std::optional<float> lengthPenalty;
  bool ignoreEnd = false;
  std::vector<std::string> stops;
  SamplingArguments sampling;
};
int runGenerate(const GenerateOptions &options);

struct ChatOptions {
  LoadOptions load;
  std::optional<std::string> system, prompt, templateFile;
  std::optional<uint64_t> newTokens;
  std::vector<std::string> stops, variables; // name=value
  bool json = false, stats = false;
  SamplingArguments sampling;
};
int runChat(const ChatOptions &options);

/// Where sequences come from; exactly one is there, and with a prompt its pair.
struct SequenceInput {
  std::optional<std::string> prompt, ids, idsFile;
  std::optional<std::string> file;      ///< one text per line
  std::optional<std::string> pair;      ///< what `prompt` is the first text of a pair with
  std::optional<std::string> pairsFile; ///< two texts per line, with a tab between
};
/// The ids of every sequence; and the types of its tokens, where it is a text and the model has
/// types.
struct Sequences {
  std::vector<std::vector<int32_t>> ids, types;
};
/// Texts that are longer than the model reads are cut, with a note; ids never.
Sequences readSequences(const SequenceInput &input, const ingot::Model &model,
                        const std::optional<std::string> &tokenTypes);
/// The number of an output of whole sequences, if the model has it.
std::optional<size_t> findSequenceOutput(const ingot::Model &model, const std::string &name);

struct SequenceOptions {
  LoadOptions load;
  SequenceInput input;
  std::string output; // empty: logits where there is a head, else the hidden states
  std::optional<std::string> logits, tokenTypes;
};
int runSequences(const SequenceOptions &options, ingot::Model &model);

struct EmbedOptions {
  LoadOptions load;
  SequenceInput input;
  std::optional<std::string> tokenTypes;
  std::string pooling; // empty: the model's own
  bool normalize = false, raw = false;
};
int runEmbed(const EmbedOptions &options);

struct TensorOptions {
  LoadOptions load;
  std::string entry;
  std::vector<std::string> inputs, outputs; // name=file
};
int runTensors(const TensorOptions &options);

struct BenchOptions {
  LoadOptions load;
  std::optional<uint64_t> prompt, batch; // defaults depend on the kind of model
  uint64_t newTokens = 128, depth = 0, repeat = 5;
  bool json = false, noLimits = false;
};
int runBench(const BenchOptions &options);

struct InspectOptions {
  LoadOptions load;
  bool json = false, dispatches = false, weights = false;
};
int runInspect(const InspectOptions &options);

struct VerifyOptions {
  LoadOptions load;
  uint64_t prompt = 100, newTokens = 20;
  uint64_t seed = 1;
};
int runVerify(const VerifyOptions &options);

struct ProfileOptions {
  LoadOptions load;
  uint64_t prompt = 128, newTokens = 32;
  bool json = false, dispatches = false;
};
int runProfile(const ProfileOptions &options);

struct TokenizeOptions {
  std::string path;
  bool noSpecial = false, decode = false;
  std::optional<uint64_t> maxTokens;
};
int runTokenize(const TokenizeOptions &options);

#endif // INGOT_RUN_COMMANDS_H
