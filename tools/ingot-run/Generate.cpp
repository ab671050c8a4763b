//===- Generate.cpp - text and ids ----------------------------------------------------------===//
#include "Commands.h"

#include "ingot/Chat/StopStrings.h"

#include <cerrno>
#include <cstdio>
#include <cstring>

using namespace ingot;

namespace {

/// Collects rows of logits: those of the first sequence go straight to the file, those of the
/// others to temporary files until it is their turn.
class LogitsFile {
public:
  LogitsFile(const std::string &path, size_t sequences) : path(path) {
    files.push_back(fopen(path.c_str(), "wbe"));
    if (!files[0])
      fail();
    while (files.size() < sequences) {
      files.push_back(tmpfile());
      if (!files.back())
        throw Failure(std::string("a temporary file: cannot be made: ") + strerror(errno));
    }
  }
  LogitsFile(const LogitsFile &) = delete;
  LogitsFile &operator=(const LogitsFile &) = delete;
  ~LogitsFile() {
    for (FILE *file : files)
      if (file)
        fclose(file);
    if (!finished)
      removeUnfinished(path);
  }

  /// Where a row cannot be written, finish() says so.
  void write(size_t sequence, const float *row, size_t vocabulary) {
    if (!error && fwrite(row, sizeof(float), vocabulary, files[sequence]) != vocabulary)
      error = errno;
  }

  void finish() {
    std::vector<char> buffer(1 << 20);
    for (size_t i = 1; i < files.size() && !error; ++i) {
      rewind(files[i]);
      size_t got;
      while ((got = fread(buffer.data(), 1, buffer.size(), files[i])) > 0 && !error)
        if (fwrite(buffer.data(), 1, got, files[0]) != got)
          error = errno;
    }
    FILE *file = files[0];
    files[0] = nullptr;
    if (fclose(file) != 0 && !error)
      error = errno;
    if (error) {
      errno = error;
      fail();
    }
    finished = true;
  }

private:
  [[noreturn]] void fail() const {
    throw Failure(path + ": cannot be written: " + strerror(errno));
  }
  std::string path;
  std::vector<FILE *> files;
  int error = 0;
  bool finished = false;
};

constexpr uint64_t kDefaultNewTokens = 256;

struct Output {
  std::vector<std::vector<int32_t>> ids; // prompt and continuation
  TextStream text;                       // in text mode
  chat::StopStrings stops{{}};
  std::string pending; // text that is shown once generation has begun
  std::unique_ptr<LogitsFile> logits;
  size_t vocabulary = 0;
  std::string failure; // of writing to stdout, inside a callback
};

void show(Output &output, std::string_view text) {
  try {
    print(text);
    fflush(stdout);
  } catch (const Failure &failure) {
    output.failure = failure.what();
  }
}

std::vector<std::vector<int32_t>> readPrompts(const GenerateOptions &options, const Model &model) {
  if (options.ids)
    return {parseIds(*options.ids, "--ids")};
  if (options.idsFile)
    return readIdsFile(*options.idsFile);
  std::vector<int32_t> ids;
  try {
    ids = model.encode(*options.prompt);
  } catch (const Error &error) {
    throw Failure(error.what());
  }
  if (ids.empty())
    throw Failure("--prompt: no tokens in it");
  return {ids};
}

/// What the decoder of an encoder-decoder is fed first, for each of `count` sources.
std::vector<std::vector<int32_t>> readDecoderIds(const GenerateOptions &options, size_t count,
                                                 const ingot_language_model_info &lm) {
  if (options.decoderIdsFile) {
    auto lines = readIdsFile(*options.decoderIdsFile);
    if (lines.size() != count)
      throw Failure(*options.decoderIdsFile + ": expected a line for each of the " +
                    std::to_string(count) + " sources, got " + std::to_string(lines.size()));
    return lines;
  }
  std::vector<int32_t> start;
  if (options.decoderIds)
    start = parseIds(*options.decoderIds, "--decoder-ids");
  else if (lm.start_id >= 0)
    start = {lm.start_id};
  else
    throw Failure(options.load.path +
                  ": says no id that a text starts with; give --decoder-ids=IDS");
  if (start.empty())
    throw Failure("--decoder-ids: no ids in it");
  return std::vector<std::vector<int32_t>>(count, start);
}

/// Gives the sessions their sources.
void setSources(const GenerateOptions &options, Model &model, const std::vector<Session> &sessions,
                const std::vector<std::vector<int32_t>> &sources) {
  std::vector<ingot_session *> handles;
  std::vector<ingot_sequence> sequences;
  for (size_t i = 0; i < sources.size(); ++i) {
    handles.push_back(sessions[i].get());
    sequences.push_back({sources[i].data(), nullptr, sources[i].size()});
  }
  ingot_run_options run;
  ingot_run_options_init(&run);
  run.cancel = interruptToken();
  checkRun(options.load.path, ingot_set_sources(model.get(), handles.data(), sequences.data(),
                                                sequences.size(), &run));
}

} // namespace

int runGenerate(const GenerateOptions &options) {
  for (const std::string &stop : options.stops)
    if (stop.empty())
      throw Failure("--stop: expected a text, got an empty one");
  Model model = loadModel(options.load);
  bool generates = model.info().has_language_model;
  if (model.info().has_sequence_model &&
      (!generates || (!options.output.empty() && options.output != "logits")))
    return runSequences({options.load,
                         {options.prompt, options.ids, options.idsFile, std::nullopt, options.pair,
                          options.pairsFile},
                         options.output,
                         options.logits,
                         options.tokenTypes},
                        model);
  if (generates && !options.output.empty() && options.output != "logits")
    throw Failure(options.load.path + ": has no output '" + options.output + "', only logits");
  if (options.tokenTypes)
    throw Failure(options.load.path + ": takes no token types");
  if (options.pair || options.pairsFile)
    throw Failure(options.load.path + ": takes no pairs of texts: it is not an encoder");
  if (!model.info().has_language_model)
    throw Failure(options.load.path +
                  ": not a language model; give --input and --output (see ingot-run inspect)");
  ingot_language_model_info lm = model.languageModel();
  auto prompts = readPrompts(options, model);
  for (const std::vector<int32_t> &prompt : prompts)
    if (prompt.empty())
      throw Failure("--ids: no ids in it");
  std::vector<std::vector<int32_t>> sources;
  if (lm.has_source) {
    sources.swap(prompts);
    prompts = readDecoderIds(options, sources.size(), lm);
  } else if (options.decoderIds || options.decoderIdsFile) {
    throw Failure(options.load.path + ": takes no --decoder-ids: it is not an encoder-decoder");
  }

  ingot_generate_options generate;
  ingot_generate_options_init(&generate);
  generate.max_new_tokens = options.newTokens.value_or(kDefaultNewTokens);
  if (!options.newTokens && lm.past_context == INGOT_PAST_STOP)
    for (const std::vector<int32_t> &prompt : prompts)
      if (prompt.size() <= lm.context)
        generate.max_new_tokens =
            std::min<uint64_t>(generate.max_new_tokens, lm.context - prompt.size() + 1);
  generate.ignore_end = options.ignoreEnd;
  ingot_sampling_options greedy;
  ingot_sampling_options_init(&greedy);
  generate.sampling = options.sampling.over(greedy);
  generate.beams = options.beams;
  generate.length_penalty_set = options.lengthPenalty.has_value();
  generate.length_penalty = options.lengthPenalty.value_or(1);
  ingot_run_options_init(&generate.run);
  generate.run.cancel = interruptToken();
  generate.run.prefill_chunk = options.prefillChunk;
  ProgressLine line;
  generate.run.progress = [](void *user, const char *stage, uint64_t done, uint64_t total) {
    static_cast<ProgressLine *>(user)->show(stage, done, total);
    if (done == total)
      static_cast<ProgressLine *>(user)->clear();
  };
  generate.run.progress_user = &line;

  Output output;
  output.ids = prompts;
  output.vocabulary = lm.vocabulary;
  bool asText = options.prompt.has_value();
  std::vector<Session> sessions;
  std::vector<ingot_generate_sequence> sequences;
  for (const std::vector<int32_t> &prompt : prompts) {
    sessions.emplace_back(model);
    sequences.push_back(
        {sessions.back().get(), prompt.data(), prompt.size(), INGOT_FINISH_NONE, 0});
  }
  if (lm.has_source)
    setSources(options, model, sessions, sources);
  if (options.logits) {
    output.logits = std::make_unique<LogitsFile>(*options.logits, prompts.size());
    generate.on_logits = [](void *user, size_t sequence, size_t, const float *row) {
      Output &output = *static_cast<Output *>(user);
      output.logits->write(sequence, row, output.vocabulary);
    };
  }
  generate.on_token = [](void *user, size_t sequence, int32_t id) {
    Output &output = *static_cast<Output *>(user);
    output.ids[sequence].push_back(id);
    if (output.text) {
      output.pending += output.stops.push(output.text.push(id));
      show(output, output.pending);
      output.pending.clear();
    }
    return output.failure.empty() && !output.stops.stopped();
  };
  generate.user = &output;
  if (asText) {
    output.text = TextStream(model);
    output.stops = chat::StopStrings(options.stops);
    // The prompt goes through the stream as well: what is printed is the text of all ids.
    for (int32_t id : prompts[0])
      output.pending += output.text.push(id);
  }
  ingot_error *error = ingot_generate(model.get(), sequences.data(), sequences.size(), &generate);
  line.clear();
  bool interrupted = ingot_error_status(error) == INGOT_CANCELLED;
  if (asText && (!error || interrupted))
    show(output, output.pending + output.stops.push(output.text.finish()) +
                     (output.stops.stopped() ? "" : output.stops.finish()) + "\n");
  checkRun(options.load.path, error);
  if (!output.failure.empty())
    throw Failure(output.failure);
  if (output.logits)
    output.logits->finish();
  if (!asText)
    for (const std::vector<int32_t> &ids : output.ids) {
      std::string text;
      for (size_t i = 0; i < ids.size(); ++i)
        text += (i ? " " : "") + std::to_string(ids[i]);
      print(text + "\n");
    }
  if (!options.newTokens && lm.past_context == INGOT_PAST_STOP)
    for (size_t i = 0; i < sequences.size(); ++i)
      if (sequences[i].finish == INGOT_FINISH_LENGTH &&
          sequences[i].count + sequences[i].generated > lm.context)
        fprintf(stderr,
                "note: %s: the context of %llu positions is full; compile with a larger "
                "--context or another --past-context to go on\n",
                options.load.path.c_str(), static_cast<unsigned long long>(lm.context));
  return 0;
}
