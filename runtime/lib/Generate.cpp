//===- Generate.cpp - the loop of sampling and feeding back ----------------------------------===//
#include "Beams.h"
#include "Sampling.h"
#include "Session.h"

#include <algorithm>

using namespace ingot;

namespace {

class Generation {
public:
  Generation(ingot_model &model, ingot_generate_sequence *sequences, size_t count,
             const ingot_generate_options &options, const ingot_run_options &runOptions,
             const Control &control)
      : model(model), lm(*model.languageModel()), sequences(sequences), count(count),
        options(options), runOptions(runOptions), control(control) {}

  Error run();

private:
  Error check();
  Error feed(bool prompts);
  void sampleAll();
  static void forwardLogits(void *self, size_t sequence, size_t token, const float *logits);

  ingot_model &model;
  const fb::LanguageModel &lm;
  ingot_generate_sequence *sequences;
  size_t count;
  const ingot_generate_options &options;
  const ingot_run_options &runOptions;
  const Control &control;
  ingot_sampling_options sampling;
  SamplingScratch scratch;

  std::vector<std::vector<float>> logits;    // the newest row of each sequence
  std::vector<std::vector<int32_t>> history; // for the repetition penalty
  std::vector<int32_t> next;                 // id to feed
  std::vector<size_t> active;                // sequences that go on
  std::vector<size_t> fed;                   // tokens fed before the current step
  std::vector<ingot_step_sequence> step;
};

Error Generation::check() {
  INGOT_TRY(readOptions(sampling, options.sampling.struct_size ? &options.sampling : nullptr));
  INGOT_TRY(checkSampling(sampling));
  for (size_t i = 0; i < count; ++i) {
    if (!sequences[i].session || !sequences[i].prompt || !sequences[i].count)
      return makeError(INGOT_INVALID_ARGUMENT, "sequence %zu has no session or no prompt", i + 1);
    sequences[i].finish = INGOT_FINISH_NONE;
    sequences[i].generated = 0;
    if (lm.past_context() != fb::PastContext::Stop || options.max_new_tokens == UINT64_MAX)
      continue;
    // The last sampled id is not fed.
    uint64_t more = options.max_new_tokens ? options.max_new_tokens - 1 : 0, total;
    if (addOverflows(static_cast<uint64_t>(sequences[i].count), more, total) ||
        addOverflows(total, sequences[i].session->streamLength(), total) || total > lm.context())
      return makeError(
          INGOT_CONTEXT_FULL,
          "the context has %llu positions, but %zu tokens and %llu new ones were asked "
          "for; ask for fewer, or compile with a larger --context or another "
          "--past-context",
          static_cast<unsigned long long>(lm.context()), sequences[i].count,
          static_cast<unsigned long long>(options.max_new_tokens));
  }
  return nullptr;
}

void Generation::forwardLogits(void *self, size_t sequence, size_t token, const float *row) {
  Generation &generation = *static_cast<Generation *>(self);
  size_t index = generation.active[sequence];
  generation.options.on_logits(generation.options.user, index, generation.fed[index] + token, row);
}

/// One step: the prompts, or the newest id of every sequence that goes on.
Error Generation::feed(bool prompts) {
  step.clear();
  bool sampled = options.max_new_tokens > 0;
  ingot_logits_mode mode = options.on_logits ? INGOT_LOGITS_ALL
                           : sampled         ? INGOT_LOGITS_LAST
                                             : INGOT_LOGITS_NONE;
  for (size_t i : active) {
    const ingot_generate_sequence &sequence = sequences[i];
    step.push_back({sequence.session, prompts ? sequence.prompt : &next[i],
                    prompts ? sequence.count : 1, mode, nullptr, 0});
  }
  // Rows come through one callback: the newest of each sequence is kept, all are passed on.
  auto onRow = [](void *self, size_t sequence, size_t token, const float *row) {
    Generation &generation = *static_cast<Generation *>(self);
    if (generation.options.on_logits)
      forwardLogits(self, sequence, token, row);
    size_t index = generation.active[sequence];
    if (token + 1 == generation.step[sequence].count)
      generation.logits[index].assign(row, row + generation.lm.vocabulary());
  };
  INGOT_TRY(runStep(model, step.data(), step.size(), onRow, this, runOptions, control));
  for (size_t s = 0; s < active.size(); ++s)
    fed[active[s]] += step[s].count;
  return nullptr;
}

/// Samples an id for each active sequence; those that are finished leave `active`.
void Generation::sampleAll() {
  bool penalised = sampling.repetition_penalty != 0 && sampling.repetition_penalty != 1;
  auto goesOn = [&](size_t i) {
    ingot_generate_sequence &sequence = sequences[i];
    std::vector<float> &row = logits[i];
    if (options.before_sampling)
      options.before_sampling(options.user, i, row.data(), row.size());
    int32_t id = sample(row.data(), row.size(), history[i].data(), history[i].size(),
                        sequence.session->streamLength(), sampling, scratch);
    next[i] = id;
    ++sequence.generated;
    if (penalised)
      history[i].push_back(id);
    bool wanted = !options.on_token || options.on_token(options.user, i, id);
    bool ends = false;
    for (unsigned e = 0; !options.ignore_end && lm.end_ids() && e < lm.end_ids()->size(); ++e)
      ends |= lm.end_ids()->Get(e) == static_cast<uint32_t>(id);
    if (ends)
      sequence.finish = INGOT_FINISH_END;
    else if (!wanted)
      sequence.finish = INGOT_FINISH_CALLER;
    else if (sequence.generated == options.max_new_tokens)
      sequence.finish = INGOT_FINISH_LENGTH;
    else if (lm.past_context() == fb::PastContext::Stop &&
             sequence.session->streamLength() >= lm.context())
      sequence.finish = INGOT_FINISH_CONTEXT;
    return sequence.finish == INGOT_FINISH_NONE;
  };
  active.erase(std::remove_if(active.begin(), active.end(), [&](size_t i) { return !goesOn(i); }),
               active.end());
}

Error Generation::run() {
  INGOT_TRY(check());
  if (options.beams > 1 && options.max_new_tokens > 0)
    return runBeams(model, sequences, count, options, runOptions, control);
  logits.resize(count);
  history.resize(count);
  next.resize(count);
  fed.resize(count);
  bool penalised = sampling.repetition_penalty != 0 && sampling.repetition_penalty != 1;
  for (size_t i = 0; i < count; ++i) {
    active.push_back(i);
    if (penalised)
      history[i].assign(sequences[i].prompt, sequences[i].prompt + sequences[i].count);
  }
  INGOT_TRY(feed(/*prompts=*/true));
  if (options.max_new_tokens == 0) {
    for (size_t i = 0; i < count; ++i)
      sequences[i].finish = INGOT_FINISH_LENGTH;
    return nullptr;
  }
  for (;;) {
    sampleAll();
    if (active.empty())
      return nullptr;
    INGOT_TRY(feed(/*prompts=*/false));
  }
}

} // namespace

ingot_error *ingot_generate(ingot_model *model, ingot_generate_sequence *sequences, size_t count,
                            const ingot_generate_options *options) {
  return guarded([&]() -> Error {
    if (!model || !sequences || !count)
      return makeError(INGOT_INVALID_ARGUMENT, "ingot_generate: nothing to do");
    if (!model->languageModel())
      return makeError(INGOT_INVALID_ARGUMENT, "%s: not a language model", model->path());
    ingot_generate_options given;
    INGOT_TRY(readOptions(given, options));
    ingot_run_options run;
    INGOT_TRY(readOptions(run, given.run.struct_size ? &given.run : nullptr));
    Control control;
    INGOT_TRY(model->makeControl(run, control));
    return Generation(*model, sequences, count, given, run, control).run();
  });
}
