//===- Beams.cpp - beam search ---------------------------------------------------------------===//
//
// Every sequence keeps its `beams` best unfinished continuations. In each step the candidates are
// all their one-id extensions, by the sum of log-probabilities; of the best 2 * beams those that
// end finish a text (if they are among the first `beams`), the others become the new beams. A
// finished text counts its sum divided by its length to the power of the length penalty. A sequence
// is done when it has `beams` texts and no running beam can still beat the worst of them.
//
// Beams are forks of the caller's session: they share its pages, and those of its source. All beams
// of all sequences are fed in one step. Sums are f64, ties go to the earlier beam and the lower id:
// threads and company never change the result.
//===----------------------------------------------------------------------------------------===//
#include "Beams.h"

#include <algorithm>
#include <cmath>

using namespace ingot;

namespace {

struct Beam {
  std::unique_ptr<ingot_session> session;
  std::vector<int32_t> ids; // generated
  double score = 0;
  std::vector<float> logits;
};

struct Text {
  std::vector<int32_t> ids;
  double score;
};

struct Candidate {
  double score;
  size_t beam;
  int32_t id;
  bool operator<(const Candidate &other) const {
    if (score != other.score)
      return score > other.score;
    return beam != other.beam ? beam < other.beam : id < other.id;
  }
};

struct Search {
  std::vector<Beam> beams;
  std::vector<Text> texts; // best first
  bool done = false;
};

class BeamSearch {
public:
  BeamSearch(ingot_model &model, ingot_generate_sequence *sequences, size_t count,
             const ingot_generate_options &options, const ingot_run_options &runOptions,
             const Control &control)
      : model(model), lm(*model.languageModel()), sequences(sequences), count(count),
        options(options), runOptions(runOptions), control(control), width(options.beams),
        penalty(options.length_penalty_set ? static_cast<double>(options.length_penalty)
                                           : lm.length_penalty()),
        early(options.early_stopping || lm.early_stopping()), searches(count) {}

  Error run();

private:
  Error feed(bool prompts);
  std::vector<Candidate> candidatesOf(const Search &search) const;
  Error extend(Search &search, bool last);
  bool isEnd(int32_t id) const;
  void finish(Search &search, std::vector<int32_t> ids, double score) const;

  ingot_model &model;
  const fb::LanguageModel &lm;
  ingot_generate_sequence *sequences;
  const size_t count;
  const ingot_generate_options &options;
  const ingot_run_options &runOptions;
  const Control &control;
  const size_t width;
  const double penalty;
  const bool early;
  std::vector<Search> searches;
};

bool BeamSearch::isEnd(int32_t id) const {
  for (unsigned e = 0; !options.ignore_end && lm.end_ids() && e < lm.end_ids()->size(); ++e)
    if (lm.end_ids()->Get(e) == static_cast<uint32_t>(id))
      return true;
  return false;
}

/// Feeds the prompts, or the newest id of every beam.
Error BeamSearch::feed(bool prompts) {
  std::vector<ingot_step_sequence> step;
  for (size_t i = 0; i < count; ++i)
    for (Beam &beam : searches[i].beams) {
      if (searches[i].done)
        continue;
      beam.logits.resize(lm.vocabulary());
      step.push_back({beam.session.get(), prompts ? sequences[i].prompt : &beam.ids.back(),
                      prompts ? sequences[i].count : 1, INGOT_LOGITS_LAST, beam.logits.data(),
                      beam.logits.size()});
    }
  return runStep(model, step.data(), step.size(), nullptr, nullptr, runOptions, control);
}

/// The best 2 * width extensions, best first.
std::vector<Candidate> BeamSearch::candidatesOf(const Search &search) const {
  std::vector<Candidate> all, own;
  for (size_t b = 0; b < search.beams.size(); ++b) {
    const std::vector<float> &row = search.beams[b].logits;
    double top = static_cast<double>(*std::max_element(row.begin(), row.end())), sum = 0;
    for (float value : row)
      sum += std::exp(static_cast<double>(value) - top);
    double base = search.beams[b].score - top - std::log(sum);
    own.clear();
    for (size_t id = 0; id < row.size(); ++id)
      own.push_back({base + static_cast<double>(row[id]), b, static_cast<int32_t>(id)});
    size_t kept = std::min(own.size(), 2 * width);
    std::partial_sort(own.begin(), own.begin() + static_cast<ptrdiff_t>(kept), own.end());
    all.insert(all.end(), own.begin(), own.begin() + static_cast<ptrdiff_t>(kept));
  }
  std::sort(all.begin(), all.end());
  all.resize(std::min(all.size(), 2 * width));
  return all;
}

void BeamSearch::finish(Search &search, std::vector<int32_t> ids, double score) const {
  score /= std::pow(static_cast<double>(ids.size()), penalty);
  auto at = std::find_if(search.texts.begin(), search.texts.end(),
                         [&](const Text &text) { return text.score < score; });
  search.texts.insert(at, {std::move(ids), score});
  if (search.texts.size() > width)
    search.texts.pop_back();
}

/// Chooses the next beams; `last`: they are finished as they are.
Error BeamSearch::extend(Search &search, bool last) {
  std::vector<Beam> next;
  std::vector<Candidate> candidates = candidatesOf(search);
  for (size_t rank = 0; rank < candidates.size() && next.size() < width; ++rank) {
    const Candidate &candidate = candidates[rank];
    std::vector<int32_t> ids = search.beams[candidate.beam].ids;
    ids.push_back(candidate.id);
    if (last || isEnd(candidate.id)) {
      if (rank < width)
        finish(search, std::move(ids), candidate.score);
      continue;
    }
    ingot_session *fork = nullptr;
    INGOT_TRY(ingot_session_fork(search.beams[candidate.beam].session.get(), &fork));
    next.push_back({std::unique_ptr<ingot_session>(fork), std::move(ids), candidate.score, {}});
  }
  search.beams = std::move(next);
  search.done = last || search.beams.empty();
  if (search.texts.size() == width && !search.done) {
    double best = search.beams.front().score /
                  std::pow(static_cast<double>(search.beams.front().ids.size()), penalty);
    search.done = early || search.texts.back().score >= best;
  }
  return nullptr;
}

Error BeamSearch::run() {
  for (size_t i = 0; i < count; ++i) {
    ingot_session *fork = nullptr;
    INGOT_TRY(ingot_session_fork(sequences[i].session, &fork));
    searches[i].beams.emplace_back();
    searches[i].beams.back().session.reset(fork);
  }
  INGOT_TRY(feed(/*prompts=*/true));
  for (uint64_t made = 1; made <= options.max_new_tokens; ++made) {
    bool goesOn = false;
    for (Search &search : searches)
      if (!search.done) {
        bool full = lm.past_context() == fb::PastContext::Stop &&
                    search.beams.front().session->streamLength() >= lm.context();
        INGOT_TRY(extend(search, made == options.max_new_tokens || full));
        goesOn |= !search.done;
      }
    if (!goesOn)
      break;
    INGOT_TRY(feed(/*prompts=*/false));
  }
  for (size_t i = 0; i < count; ++i) {
    sequences[i].finish = INGOT_FINISH_LENGTH;
    if (searches[i].texts.empty())
      continue;
    for (int32_t id : searches[i].texts.front().ids) {
      ++sequences[i].generated;
      if (isEnd(id))
        sequences[i].finish = INGOT_FINISH_END;
      if (options.on_token && !options.on_token(options.user, i, id)) {
        sequences[i].finish = INGOT_FINISH_CALLER;
        break;
      }
    }
  }
  return nullptr;
}

} // namespace

Error ingot::runBeams(ingot_model &model, ingot_generate_sequence *sequences, size_t count,
                      const ingot_generate_options &options, const ingot_run_options &runOptions,
                      const Control &control) {
  if (options.on_logits || options.before_sampling)
    return makeError(INGOT_INVALID_ARGUMENT, "beam search hands out no logits");
  if (options.sampling.struct_size && options.sampling.temperature != 0)
    return makeError(INGOT_INVALID_ARGUMENT, "beam search does not sample: expected temperature 0");
  if (options.beams > 1024)
    return makeError(INGOT_INVALID_ARGUMENT, "expected at most 1024 beams, got %u", options.beams);
  return BeamSearch(model, sequences, count, options, runOptions, control).run();
}
