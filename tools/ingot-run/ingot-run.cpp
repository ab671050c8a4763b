//===- ingot-run.cpp - runs artifacts -------------------------------------------------------===//
#include "../ParseCommandLine.h"
#include "Commands.h"

namespace {

const char *const kExamples = R"(
Examples:
  ingot-run story.ingot -p "Once upon a time" -n 100
  ingot-run chat.ingot -p "Hello" --temp 0.8 --top-p 0.95 --seed 7
  ingot-run m.ingot --ids=1,2,3 -n 20                        ids in, ids out
  ingot-run m.ingot --ids-file=prompts.txt -n 20 --logits=out.f32
  ingot-run attention.ingot --input q=q.npy --input k=k.npy --output o=o.npy
  ingot-run inspect m.ingot
  ingot-run chat chat.ingot --system "Be brief."               a conversation
  ingot-run bench m.ingot --json -p 512 -n 128
)";

void addLoadOptions(CLI::App &app, LoadOptions &load, bool required) {
  auto *path = app.add_option("model", load.path, "The artifact that ingot-compile wrote");
  path->type_name("FILE.ingot");
  if (required)
    path->required();
  app.add_option("--threads", load.threads, "Threads to use (default: all that may be used)")
      ->type_name("N")
      ->check(CLI::Range(1, 1024));
  app.add_option("--target", load.target, "Use the code of this target instead of the best one")
      ->type_name("NAME");
  app.add_flag("--trust", load.trust, "Do not check the hashes of the weights");
}

void addSamplingOptions(CLI::App &app, SamplingArguments &sampling, const char *fallback) {
  auto *group = app.add_option_group("Sampling", fallback);
  group->add_option("--temp", sampling.temperature, "Temperature; 0 is greedy")->type_name("T");
  group->add_option("--top-k", sampling.topK, "Only the K most probable ids")->type_name("K");
  group->add_option("--top-p", sampling.topP, "Only the most probable ids that sum up to P")
      ->type_name("P");
  group->add_option("--min-p", sampling.minP, "Only ids at least P times as probable as the first")
      ->type_name("P");
  group
      ->add_option("--repeat-penalty", sampling.repetitionPenalty,
                   "Divide the logits of ids that occurred by R")
      ->type_name("R");
  group->add_option("--seed", sampling.seed, "Seed of the draws (default 0)")->type_name("S");
}

CLI::Option *addStopOption(CLI::App &app, std::vector<std::string> &stops) {
  return app
      .add_option("--stop", stops, "End in front of this text, which is not printed (repeatable)")
      ->type_name("TEXT")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

int run(int argc, char **argv) {
  CLI::App app(
      "Runs an artifact of ingot-compile: text, ids or arrays in, text, ids or arrays out.",
      "ingot-run");
  app.footer(kExamples);
  app.set_version_flag("--version", std::string("ingot-run ") + ingot_version());

  GenerateOptions generate;
  TensorOptions tensors;
  addLoadOptions(app, generate.load, /*required=*/false);
  auto *prompt = app.add_option("-p,--prompt", generate.prompt, "Text to continue");
  auto *ids =
      app.add_option("--ids", generate.ids, "Ids to continue, separated by commas or blanks");
  auto *idsFile = app.add_option("--ids-file", generate.idsFile,
                                 "One sequence of ids per line, all in one batch");
  prompt->type_name("TEXT")->excludes(ids)->excludes(idsFile);
  ids->type_name("IDS")->excludes(idsFile);
  idsFile->type_name("FILE");
  app.add_option("-n,--new-tokens", generate.newTokens,
                 "Tokens to generate (default: until an end id, at most 256)")
      ->type_name("N")
      ->check(CLI::Range(uint64_t(0), uint64_t(1) << 40));
  app.add_option("--logits", generate.logits,
                 "Write the logits of every token that is fed: raw little-endian f32 rows")
      ->type_name("FILE");
  app.add_option("--prefill-chunk", generate.prefillChunk,
                 "Most rows per run while reading prompts")
      ->type_name("N")
      ->check(CLI::Range(uint64_t(1), uint64_t(1) << 40));
  app.add_option("--beams", generate.beams, "Beam search with so many beams")
      ->type_name("N")
      ->check(CLI::Range(1, 1024));
  app.add_option("--length-penalty", generate.lengthPenalty,
                 "Divide sums of log-probabilities by length to this power (default: the model's)")
      ->type_name("P");
  app.add_flag("--ignore-eos", generate.ignoreEnd, "Go on past ids that end a text");
  addStopOption(app, generate.stops)->needs(prompt);
  addSamplingOptions(app, generate.sampling, "Greedy unless --temp is given");
  auto *decoderIds = app.add_option("--decoder-ids", generate.decoderIds,
                                    "Encoder-decoders: what the decoder starts with (default: the "
                                    "model's start id)");
  decoderIds->type_name("IDS");
  app.add_option("--decoder-ids-file", generate.decoderIdsFile,
                 "The same for several sources, one line each")
      ->type_name("FILE")
      ->excludes(decoderIds);
  app.add_option("--token-types", generate.tokenTypes, "Encoders: the type of every token")
      ->type_name("TYPES");
  app.add_option("--pair", generate.pair, "Encoders: the second text of a pair, behind --prompt")
      ->type_name("TEXT")
      ->needs(prompt);
  app.add_option("--pairs-file", generate.pairsFile,
                 "Encoders: a pair of texts per line, with a tab between ('-': standard input)")
      ->type_name("FILE")
      ->excludes(prompt)
      ->excludes(ids)
      ->excludes(idsFile);
  auto *input = app.add_option("--input", tensors.inputs, "An input of an entry point, as .npy");
  auto *output = app.add_option(
      "--output", tensors.outputs,
      "An output of an entry point, as .npy; or the name of what an encoder writes to "
      "--logits: logits, hidden, pooled, classes, encoder");
  for (auto *option : {input, output})
    option->type_name("NAME=FILE")
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_option("--entry", tensors.entry, "The entry point (default: the only one)")
      ->type_name("NAME");

  TokenizeOptions tokenize;
  CLI::App *tokenizeApp =
      app.add_subcommand("tokenize", "One JSON string per line in (or an array of two, a pair), "
                                     "one JSON array of ids per line out");
  tokenizeApp->add_option("path", tokenize.path, "An artifact or a tokenizer's file or directory")
      ->required();
  tokenizeApp->add_flag("--no-special", tokenize.noSpecial, "Add no begin and end ids");
  tokenizeApp->add_flag("--decode", tokenize.decode, "Arrays of ids in, strings out");
  tokenizeApp->add_option("--max-tokens", tokenize.maxTokens, "Cut what is longer")->type_name("N");
  tokenizeApp->footer("\nExample:\n  echo '\"Hello\"' | ingot-run tokenize m.ingot\n");

  ChatOptions chat;
  CLI::App *chatApp = app.add_subcommand(
      "chat", "Talks with a model that has a chat template; one message per line");
  addLoadOptions(*chatApp, chat.load, true);
  chatApp->add_option("-p,--prompt", chat.prompt, "One message instead of those on standard input")
      ->type_name("TEXT");
  chatApp->add_option("--system", chat.system, "The system prompt")->type_name("TEXT");
  addStopOption(*chatApp, chat.stops);
  chatApp
      ->add_option("-n,--new-tokens", chat.newTokens,
                   "Most tokens of an answer (default: until it ends, at most 2048)")
      ->type_name("N")
      ->check(CLI::Range(uint64_t(1), UINT64_MAX));
  chatApp->add_option("--chat-template", chat.templateFile, "A template instead of the model's")
      ->type_name("FILE");
  chatApp
      ->add_option("--var", chat.variables,
                   "A variable of the template: JSON, or else text (repeatable)")
      ->type_name("NAME=VALUE")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  chatApp->add_flag("--json", chat.json, "One JSON object per answer");
  chatApp->add_flag("--stats", chat.stats, "Tokens and times of each turn on stderr");
  addSamplingOptions(*chatApp, chat.sampling,
                     "As the model's makers recommend, where the checkpoint says so");
  chatApp->footer("\nExamples:\n  ingot-run chat m.ingot --system \"Be brief.\" --temp 0.7\n"
                  "  ingot-run chat m.ingot -p \"What is an ingot?\" --json\n"
                  "  ingot-run chat m.ingot --var enable_thinking=false < questions.txt\n");

  EmbedOptions embed;
  CLI::App *embedApp = app.add_subcommand("embed", "Makes a vector of each text, as JSON");
  addLoadOptions(*embedApp, embed.load, true);
  std::vector<CLI::Option *> texts = {
      embedApp->add_option("-p,--prompt", embed.input.prompt, "A text")->type_name("TEXT"),
      embedApp->add_option("--file", embed.input.file, "Texts, one per line ('-': standard input)")
          ->type_name("FILE"),
      embedApp->add_option("--ids", embed.input.ids, "Ids in place of a text")->type_name("IDS"),
      embedApp->add_option("--ids-file", embed.input.idsFile, "Ids, one sequence per line")
          ->type_name("FILE")};
  for (size_t i = 0; i < texts.size(); ++i)
    for (size_t j = 0; j < i; ++j)
      texts[i]->excludes(texts[j]);
  embedApp->add_option("--token-types", embed.tokenTypes, "The type of every token")
      ->type_name("TYPES");
  embedApp
      ->add_option("--pooling", embed.pooling,
                   "How tokens become one vector (default: what the model says): cls, mean, max, "
                   "last, pooled; none gives every token's")
      ->check(CLI::IsMember({"cls", "mean", "max", "last", "pooled", "none"}))
      ->type_name("KIND");
  auto *normalize = embedApp->add_flag("--normalize", embed.normalize, "Vectors of length 1");
  embedApp->add_flag("--no-normalize", embed.raw, "Vectors as they are, whatever the model says")
      ->excludes(normalize);
  embedApp->footer("\nExamples:\n  ingot-run embed m.ingot -p \"a sentence\" --normalize\n"
                   "  ingot-run embed m.ingot --file=sentences.txt --pooling=mean\n");

  InspectOptions inspect;
  CLI::App *inspectApp = app.add_subcommand("inspect", "Shows what is in an artifact");
  addLoadOptions(*inspectApp, inspect.load, true);
  inspectApp->add_flag("--json", inspect.json, "Everything, as JSON");
  inspectApp->add_flag("--dispatches", inspect.dispatches, "List every dispatch");
  inspectApp->add_flag("--weights", inspect.weights, "List every weight");
  inspectApp->footer("\nExamples:\n  ingot-run inspect m.ingot --dispatches\n"
                     "  ingot-run inspect m.ingot --json | jq .programs\n");

  VerifyOptions verify;
  CLI::App *verifyApp = app.add_subcommand(
      "verify", "Checks all hashes, then that chunking, threads, batches, fork and truncate leave "
                "every bit as it is");
  addLoadOptions(*verifyApp, verify.load, true);
  verifyApp->add_option("-p,--prompt", verify.prompt, "Length of the prompts (default 100)");
  verifyApp->add_option("-n,--new-tokens", verify.newTokens, "Tokens to generate (default 20)");
  verifyApp->add_option("--seed", verify.seed, "Seed of the random prompts (default 1)");
  verifyApp->footer("\nExample:\n  ingot-run verify m.ingot --threads=4\n");

  ProfileOptions profile;
  CLI::App *profileApp =
      app.add_subcommand("profile", "Time and share of the machine's limits, per dispatch");
  addLoadOptions(*profileApp, profile.load, true);
  profileApp->add_option("-p,--prompt", profile.prompt,
                         "Tokens to prefill; of an encoder, those of the longest of 32 sequences; "
                         "of a graph, every dynamic size (default 128)");
  profileApp->add_option("-n,--new-tokens", profile.newTokens,
                         "Tokens to decode; of an encoder or a graph, runs (default 32)");
  profileApp->add_flag("--json", profile.json, "As JSON");
  profileApp->add_flag("--dispatches", profile.dispatches,
                       "Each dispatch in the order of the plan, not summed up by kernel");
  profileApp->footer("\nExample:\n  ingot-run profile m.ingot -p 512 -n 64\n");

  BenchOptions bench;
  CLI::App *benchApp = app.add_subcommand(
      "bench", "Measures an encoder, prefill and decode beside the machine's limits");
  addLoadOptions(*benchApp, bench.load, true);
  benchApp->add_option("-p,--prompt", bench.prompt,
                       "Tokens to prefill (default 512); of an encoder, those of the longest "
                       "sequence (default 128)");
  benchApp->add_option("-n,--new-tokens", bench.newTokens, "Tokens to decode (default 128)");
  benchApp->add_option("--depth", bench.depth, "Positions in the cache before either (default 0)");
  benchApp
      ->add_option("--batch", bench.batch,
                   "Sequences decoded together (default 1); of an encoder, sequences of different "
                   "lengths (default 32)")
      ->check(CLI::Range(1, 4096));
  benchApp->add_option("--repeat", bench.repeat, "Measurements, of which the median (default 5)")
      ->check(CLI::Range(1, 1000));
  benchApp->add_flag("--json", bench.json, "As JSON");
  benchApp->add_flag("--no-limits", bench.noLimits, "Do not measure the machine");
  benchApp->footer("\nExample:\n  ingot-run bench m.ingot --json -p 512 -n 128 --depth 1024\n");

  app.require_subcommand(0, 1);
  int code = 0;
  if (!parseCommandLine(app, argc, argv, code))
    return code;

  if (tokenizeApp->parsed())
    return runTokenize(tokenize);
  if (chatApp->parsed())
    return runChat(chat);
  if (embedApp->parsed())
    return runEmbed(embed);
  if (inspectApp->parsed())
    return runInspect(inspect);
  if (verifyApp->parsed())
    return runVerify(verify);
  if (profileApp->parsed())
    return runProfile(profile);
  if (benchApp->parsed())
    return runBench(bench);
  if (generate.load.path.empty())
    throw Failure("no artifact given; see ingot-run --help");
  // An output without a file is one of whole sequences.
  if (tensors.inputs.empty() && tensors.outputs.size() == 1 &&
      tensors.outputs[0].find('=') == std::string::npos) {
    generate.output = tensors.outputs[0];
    tensors.outputs.clear();
  }
  if (!tensors.inputs.empty() || !tensors.outputs.empty()) {
    if (generate.prompt || generate.ids || generate.idsFile || generate.pairsFile)
      throw Failure("--input and --output do not go with --prompt, --ids or --ids-file");
    tensors.load = generate.load;
    return runTensors(tensors);
  }
  if (!generate.prompt && !generate.ids && !generate.idsFile && !generate.pairsFile)
    throw Failure(generate.load.path +
                  ": nothing to do; give -p TEXT, --ids=IDS, --ids-file=FILE or --input NAME=FILE");
  return runGenerate(generate);
}

} // namespace

int main(int argc, char **argv) {
  try {
    int code = run(argc, argv);
    // Output that did not reach its destination is no success.
    if (fflush(stdout) != 0 || ferror(stdout))
      throw Failure("standard output: cannot be written");
    return code;
  } catch (const std::bad_alloc &) {
    fputs("error: out of memory\n", stderr);
  } catch (const std::exception &error) {
    fprintf(stderr, "error: %s\n", error.what());
  }
  return 1;
}
