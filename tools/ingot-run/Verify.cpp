//===- Verify.cpp - the same bits, however it is run ----------------------------------------===//
//
// The promise: the logits of a token depend on the tokens before it and on nothing else. One run,
// whole and on one thread, is the reference; every other way to come by the same rows is compared
// with it bit by bit.
//===----------------------------------------------------------------------------------------===//
#include "Commands.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <functional>

using namespace ingot;

namespace {

class Verifier {
public:
  Verifier(const VerifyOptions &options, const Model &model)
      : options(options), model(model), state(static_cast<uint32_t>(options.seed)) {
    ingot_run_options_init(&run);
    run.cancel = interruptToken();
  }

  /// Returns what differs; empty when all bits are equal.
  std::vector<std::string> languageModel();
  std::vector<std::string> sequences();
  std::vector<std::string> entryPoint(size_t program);

private:
  using Rows = std::vector<float>;

  std::vector<int32_t> someIds(size_t count);
  Rows feed(Session &session, const int32_t *ids, size_t count, uint64_t chunk = 0,
            uint32_t threads = 0);
  Rows whole(const std::vector<int32_t> &ids, uint64_t chunk = 0, uint32_t threads = 0) {
    Session session = newSession(model);
    return feed(session, ids.data(), ids.size(), chunk, threads);
  }
  void compare(const std::string &what, const Rows &got, const float *want);
  void ragged(const std::vector<int32_t> &ids, const Rows &base);
  void generated(const std::vector<int32_t> &ids);
  void forked(const std::vector<int32_t> &ids, const Rows &base);

  const VerifyOptions &options;
  const Model &model;
  size_t vocabulary = 0; ///< floats of a row
  ingot_run_options run;
  uint32_t state;
  std::vector<std::string> problems;
};

std::vector<int32_t> Verifier::someIds(size_t count) {
  std::vector<int32_t> ids(count);
  for (int32_t &id : ids) {
    state = state * 1664525 + 1013904223;
    id = static_cast<int32_t>((state >> 8) % vocabulary);
  }
  return ids;
}

Verifier::Rows Verifier::feed(Session &session, const int32_t *ids, size_t count, uint64_t chunk,
                              uint32_t threads) {
  Rows rows(count * vocabulary);
  ingot_step_sequence sequence = {session.get(),    ids,         count,
                                  INGOT_LOGITS_ALL, rows.data(), rows.size()};
  run.prefill_chunk = chunk;
  run.threads = threads;
  check(ingot_step(model.get(), &sequence, 1, nullptr, nullptr, &run));
  return rows;
}

/// Compares rows with those that `want` points to and prints the result.
void Verifier::compare(const std::string &what, const Rows &got, const float *want) {
  size_t rows = 0, first = SIZE_MAX;
  for (size_t r = 0; r < got.size() / vocabulary; ++r)
    if (memcmp(got.data() + r * vocabulary, want + r * vocabulary, vocabulary * 4) != 0) {
      ++rows;
      first = std::min(first, r);
    }
  if (!rows) {
    printf("  same bits: %s\n", what.c_str());
    return;
  }
  size_t at = first * vocabulary;
  while (memcmp(&got[at], &want[at], 4) == 0)
    ++at;
  char text[160];
  snprintf(text, sizeof text, "%zu of %zu rows; first row %zu, logit %zu: %.9g instead of %.9g",
           rows, got.size() / vocabulary, first, at % vocabulary, static_cast<double>(got[at]),
           static_cast<double>(want[at]));
  printf("  DIFFERENT: %s: %s\n", what.c_str(), text);
  problems.push_back(what);
}

void Verifier::ragged(const std::vector<int32_t> &ids, const Rows &base) {
  size_t n = ids.size();
  std::vector<std::vector<int32_t>> mates = {ids, someIds(std::min<size_t>(3, n)),
                                             someIds((n + 1) / 2), someIds(std::min<size_t>(17, n)),
                                             someIds(std::max<size_t>(1, n - n / 10))};
  std::vector<Session> sessions;
  std::vector<Rows> rows(mates.size());
  std::vector<ingot_step_sequence> step;
  for (size_t i = 0; i < mates.size(); ++i) {
    sessions.push_back(newSession(model));
    rows[i].resize(mates[i].size() * vocabulary);
    step.push_back({sessions[i].get(), mates[i].data(), mates[i].size(), INGOT_LOGITS_ALL,
                    rows[i].data(), rows[i].size()});
  }
  run.prefill_chunk = 0;
  run.threads = 0;
  check(ingot_step(model.get(), step.data(), step.size(), nullptr, nullptr, &run));
  compare("in a batch of 5 ragged sequences", rows[0], base.data());
  for (size_t i = 1; i < mates.size(); ++i)
    compare("sequence " + std::to_string(i + 1) + " of that batch, " +
                std::to_string(mates[i].size()) + " tokens",
            rows[i], whole(mates[i], 0, 1).data());
}

/// Greedy, one token at a time, three sequences side by side; then all of it prefilled.
void Verifier::generated(const std::vector<int32_t> &ids) {
  size_t n = ids.size();
  std::vector<std::vector<int32_t>> prompts = {
      {ids.begin(), ids.begin() + static_cast<ptrdiff_t>((n + 2) / 3)},
      {ids.begin(), ids.begin() + 1},
      {ids.begin() + static_cast<ptrdiff_t>(n / 3),
       ids.begin() + static_cast<ptrdiff_t>(n / 3 + 1)}};
  struct State {
    std::vector<std::vector<int32_t>> ids;
    std::vector<Rows> rows;
    size_t vocabulary;
  } state = {prompts, std::vector<Rows>(prompts.size()), vocabulary};
  std::vector<Session> sessions;
  std::vector<ingot_generate_sequence> sequences;
  for (const std::vector<int32_t> &prompt : prompts) {
    sessions.push_back(newSession(model));
    sequences.push_back(
        {sessions.back().get(), prompt.data(), prompt.size(), INGOT_FINISH_NONE, 0});
  }
  ingot_generate_options generate;
  ingot_generate_options_init(&generate);
  generate.max_new_tokens = options.newTokens;
  generate.ignore_end = true;
  generate.run = run;
  generate.run.prefill_chunk = 0;
  generate.run.threads = 0;
  generate.user = &state;
  generate.on_token = [](void *user, size_t sequence, int32_t id) {
    static_cast<State *>(user)->ids[sequence].push_back(id);
    return true;
  };
  generate.on_logits = [](void *user, size_t sequence, size_t, const float *row) {
    State &state = *static_cast<State *>(user);
    state.rows[sequence].insert(state.rows[sequence].end(), row, row + state.vocabulary);
  };
  check(ingot_generate(model.get(), sequences.data(), sequences.size(), &generate));
  for (size_t i = 0; i < prompts.size(); ++i) {
    std::vector<int32_t> fed = state.ids[i];
    fed.resize(state.rows[i].size() / vocabulary);
    compare(std::to_string(prompts[i].size()) + " tokens prefilled, " +
                std::to_string(options.newTokens) + " generated",
            state.rows[i], whole(fed, 0, 1).data());
  }
}

void Verifier::forked(const std::vector<int32_t> &ids, const Rows &base) {
  size_t half = ids.size() / 2;
  if (half == 0)
    return;
  Session parent = newSession(model);
  feed(parent, ids.data(), half);
  Session fork = parent.fork();
  // The parent goes elsewhere and comes back; the fork goes on.
  std::vector<int32_t> other = someIds(std::min<size_t>(ids.size() - half, 5));
  feed(parent, other.data(), other.size());
  Rows rows = feed(fork, ids.data() + half, ids.size() - half);
  compare("after a fork", rows, base.data() + half * vocabulary);
  parent.truncate(half);
  rows = feed(parent, ids.data() + half, ids.size() - half);
  compare("after truncation", rows, base.data() + half * vocabulary);
}

std::vector<std::string> Verifier::languageModel() {
  ingot_language_model_info lm = model.languageModel();
  vocabulary = lm.vocabulary;
  size_t length = std::max<uint64_t>(1, options.prompt);
  if (lm.past_context == INGOT_PAST_STOP) {
    if (lm.context <= options.newTokens)
      throw Failure(options.load.path + ": the context of " + std::to_string(lm.context) +
                    " positions is too small for this; lower -n");
    length = std::min<uint64_t>(length, lm.context - options.newTokens);
  }
  std::vector<int32_t> ids = someIds(length);
  printf("%s: %zu tokens against a run on one thread%s\n", options.load.path.c_str(), length,
         lm.has_cache ? " in one piece" : "");
  Rows base = whole(ids, 0, 1);
  uint32_t threads = model.info().threads;
  for (uint32_t t = 2; t <= threads; t = t < threads && t * 2 > threads ? threads : t * 2)
    compare(std::to_string(t) + " threads", whole(ids, 0, t), base.data());
  if (lm.has_cache)
    for (uint64_t chunk : {1, 7, 64})
      if (chunk < length)
        for (uint32_t t : {1u, threads})
          compare("chunks of " + std::to_string(chunk) + ", " + std::to_string(t) + " thread" +
                      (t > 1 ? "s" : ""),
                  whole(ids, chunk, t), base.data());
  ragged(ids, base);
  if (options.newTokens)
    generated(ids);
  forked(ids, base);
  return problems;
}

/// Every output of an encoder, or of the part of a model that reads a source: sequences by
/// themselves on one thread against the same in one batch.
std::vector<std::string> Verifier::sequences() {
  uint64_t context = model.sequenceModel().context;
  auto ids = raggedSequences(model, 5, std::clamp<uint64_t>(options.prompt, 1, context));
  std::vector<ingot_sequence> all = asSequences(ids);
  for (size_t output = 0; output < model.sequenceModel().output_count; ++output) {
    ingot_sequence_output_info info = model.sequenceOutput(output);
    struct Collected {
      std::vector<Rows> of;
      size_t width;
    };
    auto compute = [&](const ingot_sequence *sequences, size_t count, uint32_t threads) {
      Collected rows = {std::vector<Rows>(count), vocabulary};
      run.threads = threads;
      auto onRow = [](void *user, size_t sequence, size_t, const float *row) {
        Collected &rows = *static_cast<Collected *>(user);
        rows.of[sequence].insert(rows.of[sequence].end(), row, row + rows.width);
      };
      check(ingot_run_sequences(model.get(), output, sequences, count, onRow, &rows, &run));
      return rows.of;
    };
    vocabulary = info.width;
    std::vector<Rows> together[2] = {compute(all.data(), all.size(), 1),
                                     compute(all.data(), all.size(), 0)};
    for (size_t i = 0; i < all.size(); ++i) {
      Rows alone = compute(&all[i], 1, 1).front();
      if (alone.empty() || together[0][i].size() != alone.size() ||
          together[1][i].size() != alone.size())
        throw Failure(options.load.path + ": other numbers of rows of output " + info.name +
                      ", alone and in a batch");
      std::string what = std::string(info.name) + " of " + std::to_string(all[i].count) + " tokens";
      compare(what + ", alone, all threads", compute(&all[i], 1, 0).front(), alone.data());
      compare(what + ", in a batch of 5, 1 thread", together[0][i], alone.data());
      compare(what + ", in a batch of 5, all threads", together[1][i], alone.data());
    }
  }
  return problems;
}

/// An entry point on random arrays, on one thread and on all.
std::vector<std::string> Verifier::entryPoint(size_t index) {
  ingot_program_info program = model.program(index);
  constexpr int64_t kExtent = 7; // for every dimension that the caller decides
  std::vector<std::vector<char>> data;
  std::vector<ingot_tensor> inputs;
  for (size_t i = 0; i < program.input_count; ++i) {
    auto info = Model::query<ingot_tensor_info>(
        [&](auto *out) { return ingot_model_get_input(model.get(), index, i, out); });
    ingot_tensor tensor = {};
    tensor.name = info.name;
    tensor.type = info.type;
    tensor.rank = info.rank;
    size_t count = 1;
    for (size_t d = 0; d < info.rank; ++d) {
      tensor.shape[d] = info.shape[d] < 0 ? kExtent : info.shape[d];
      count *= static_cast<size_t>(tensor.shape[d]);
    }
    tensor.bytes = count * ingot_element_size(info.type);
    data.emplace_back(tensor.bytes, 0);
    if (info.type == INGOT_F32)
      for (size_t e = 0; e < count; ++e) {
        state = state * 1664525 + 1013904223;
        float value = static_cast<float>(state >> 8) * 0x1p-23f - 1;
        memcpy(&data.back()[e * 4], &value, 4);
      }
    inputs.push_back(tensor);
  }
  for (size_t i = 0; i < inputs.size(); ++i)
    inputs[i].data = data[i].data();
  auto results = [&](uint32_t threads) {
    std::vector<ingot_tensor> outputs(program.output_count);
    for (size_t o = 0; o < outputs.size(); ++o)
      outputs[o].name = Model::query<ingot_tensor_info>([&](auto *out) {
                          return ingot_model_get_output(model.get(), index, o, out);
                        }).name;
    run.threads = threads;
    check(ingot_run(model.get(), index, inputs.data(), inputs.size(), outputs.data(),
                    outputs.size(), &run));
    std::string bytes;
    for (ingot_tensor &tensor : outputs) {
      bytes.append(static_cast<char *>(tensor.data), tensor.bytes);
      ingot_tensor_release(&tensor);
    }
    return bytes;
  };
  try {
    bool same = results(1) == results(0);
    printf("  %s: entry point %s, 1 and %u threads\n", same ? "same bits" : "DIFFERENT",
           program.name, model.info().threads);
    if (!same)
      problems.push_back(std::string("entry point ") + program.name);
  } catch (const Error &error) {
    if (error.status() != INGOT_INVALID_ARGUMENT)
      throw;
    printf("  skipped: entry point %s does not take extents of %lld everywhere\n", program.name,
           static_cast<long long>(kExtent));
  }
  return problems;
}

} // namespace

int runVerify(const VerifyOptions &options) {
  LoadOptions load = options.load;
  if (load.trust)
    throw Failure("--trust: verify checks all hashes");
  Model model;
  {
    // At least two threads, so that there is something to compare.
    model = loadModel(load);
    if (model.info().threads < 2 && load.threads == 0) {
      load.threads = 2;
      model = loadModel(load);
    }
  }
  printf("%s: all hashes are right\n", load.path.c_str());
  std::vector<std::string> problems;
  try {
    if (model.info().has_language_model)
      problems = Verifier(options, model).languageModel();
    if (model.info().has_sequence_model)
      for (const std::string &problem : Verifier(options, model).sequences())
        problems.push_back(problem);
    for (size_t p = 0; p < model.info().program_count; ++p)
      if (!model.program(p).needs_session)
        for (const std::string &problem : Verifier(options, model).entryPoint(p))
          problems.push_back(problem);
  } catch (const Error &error) {
    throw failureIn(load.path, error.what());
  }
  if (problems.empty())
    return 0;
  std::string list;
  for (const std::string &problem : problems)
    list += (list.empty() ? "" : "; ") + problem;
  fflush(stdout);
  throw Failure(load.path + ": the bits differ with " + list +
                "; a kernel's order of additions depends on how it is run");
}
