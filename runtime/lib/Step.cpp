//===- Step.cpp - feeding sessions -----------------------------------------------------------===//
//
// A step is planned completely before anything happens: the ids are checked, every session's tokens
// are cut into slices and the slices dealt out to program runs, and the pages that the runs will
// take and give back are counted. Then the pages are acquired; only then the first run starts.
//===----------------------------------------------------------------------------------------===//
#include "Session.h"

#include <algorithm>
#include <cstring>

using namespace ingot;

namespace {

/// Consecutive tokens of one window of a session: first what a window needs, then, cut into what
/// fits, the rows of one program run.
struct Slice {
  size_t sequence; // in the step
  bool reset;      // the window starts anew with these rows
  bool replay;     // tokens that were fed before: they have no outputs
  const int32_t *ids;
  int64_t count;
  int64_t firstToken;  // index of ids[0] among the ids of the step; negative: older ones
  int64_t outputsFrom; // first row with an output; `count`: none
};

class Step {
public:
  Step(ingot_model &model, const ingot_step_sequence *sequences, size_t count,
       ingot_logits_fn onLogits, void *user, const ingot_run_options &options,
       const Control &control)
      : model(model), lm(*model.languageModel()), sequences(sequences), count(count),
        onLogits(onLogits), user(user), options(options), control(control) {}

  Error run();

private:
  struct Feed {
    size_t piece, pieceEnd; // into `pieces`
  };
  /// What a session will hold in a group, while page traffic is counted ahead.
  struct Forecast {
    int64_t firstPage, endPage;
    int64_t oldFirst, oldEnd; // pages that it held before the step and still holds
    int64_t copied = -1;      // one of those that is replaced by a copy
  };

  Error check() const;
  int64_t outputsFrom(const ingot_step_sequence &sequence, int64_t firstToken,
                      int64_t tokens) const;
  void cutWindows(size_t index);
  void scheduleCached();
  void scheduleWhole();
  std::vector<uint64_t> countPages() const;
  Error runAll();
  Error runOne(Context &context, const Slice *begin, const Slice *end);
  void movePages(const Slice &slice);
  void commit(const Slice &slice);
  void deliver(const Slice &slice, const float *logits);
  int64_t firstVisiblePage(size_t group, int64_t position) const {
    int64_t window =
        static_cast<int64_t>(lm.cache_groups()->Get(static_cast<unsigned>(group))->window());
    return window ? std::max<int64_t>(0, position - window + 1) / kPagePositions : 0;
  }

  ingot_model &model;
  const fb::LanguageModel &lm;
  const ingot_step_sequence *sequences;
  const size_t count;
  ingot_logits_fn onLogits;
  void *user;
  const ingot_run_options &options;
  const Control &control;

  std::vector<std::vector<int32_t>> histories; // window and new ids, where both are needed
  std::vector<Slice> pieces;
  std::vector<Feed> feeds;
  std::vector<Slice> slices;
  std::vector<size_t> runEnds;         // into `slices`
  std::vector<uint64_t> streamLengths; // before the step
  std::vector<int64_t> prompts;        // lengths of prompts, this step's where the session is empty
  std::vector<size_t> emitted;         // rows of logits handed out, per sequence
  /// Without a cache: where in its history the window of a sequence ends up, and how long it is.
  std::vector<std::pair<int64_t, int64_t>> finalWindows;
  Hand hand;
};

Error Step::check() const {
  if (count == 0)
    return makeError(INGOT_INVALID_ARGUMENT, "a step without sequences");
  bool needsSource = model.hasCache() && model.hasSource();
  for (size_t i = 0; i < count; ++i) {
    const ingot_step_sequence &sequence = sequences[i];
    const ingot_session &session = *sequence.session;
    if (!sequence.ids || sequence.count == 0)
      return makeError(INGOT_INVALID_ARGUMENT, "sequence %zu is empty", i + 1);
    for (size_t t = 0; t < sequence.count; ++t)
      if (sequence.ids[t] < 0 || static_cast<uint32_t>(sequence.ids[t]) >= lm.vocabulary())
        return makeError(INGOT_INVALID_ARGUMENT,
                         "id %d is outside the vocabulary of %u (token %zu of sequence %zu)",
                         sequence.ids[t], lm.vocabulary(), t + 1, i + 1);
    if (needsSource && session.sourceLength == 0)
      return makeError(INGOT_INVALID_ARGUMENT,
                       "sequence %zu has no source; give its session one first", i + 1);
    uint64_t limit = static_cast<uint64_t>(kMaxPositions);
    if (lm.past_context() == fb::PastContext::Stop)
      limit = lm.context();
    if (lm.past_context() != fb::PastContext::Restart &&
        sequence.count > limit - static_cast<uint64_t>(session.length))
      return makeError(INGOT_CONTEXT_FULL,
                       "the context has %llu positions, sequence %zu would take %llu",
                       static_cast<unsigned long long>(limit), i + 1,
                       static_cast<unsigned long long>(session.streamLength() + sequence.count));
    if (sequence.mode != INGOT_LOGITS_NONE && sequence.mode != INGOT_LOGITS_LAST &&
        sequence.mode != INGOT_LOGITS_ALL)
      return makeError(INGOT_INVALID_ARGUMENT, "unknown logits mode %d", sequence.mode);
    uint64_t rows = sequence.mode == INGOT_LOGITS_ALL    ? sequence.count
                    : sequence.mode == INGOT_LOGITS_LAST ? 1
                                                         : 0;
    if (sequence.logits && sequence.logits_capacity / lm.vocabulary() < rows)
      return makeError(
          INGOT_INVALID_ARGUMENT, "room for %zu floats, but %llu rows of %u are wanted",
          sequence.logits_capacity, static_cast<unsigned long long>(rows), lm.vocabulary());
  }
  return nullptr;
}

/// The first row with an output among `tokens` new ones.
int64_t Step::outputsFrom(const ingot_step_sequence &sequence, int64_t firstToken,
                          int64_t tokens) const {
  if (sequence.mode == INGOT_LOGITS_ALL)
    return 0;
  bool last = firstToken + tokens == static_cast<int64_t>(sequence.count);
  return sequence.mode == INGOT_LOGITS_LAST && last ? tokens - 1 : tokens;
}

/// Cuts the ids of a sequence where its window restarts. A window that is thrown away before
/// anybody has seen a result of it is left out.
void Step::cutWindows(size_t index) {
  const ingot_step_sequence &sequence = sequences[index];
  const ingot_session &session = *sequence.session;
  int64_t tokens = static_cast<int64_t>(sequence.count);
  int64_t context = static_cast<int64_t>(lm.context()), keep = static_cast<int64_t>(lm.keep());
  size_t first = pieces.size();
  if (lm.past_context() != fb::PastContext::Restart || session.length + tokens <= context) {
    pieces.push_back(
        {index, false, false, sequence.ids, tokens, 0, outputsFrom(sequence, 0, tokens)});
    feeds.push_back({first, pieces.size()});
    return;
  }
  histories.push_back(session.ids);
  histories.back().insert(histories.back().end(), sequence.ids, sequence.ids + tokens);
  const int32_t *newIds = histories.back().data() + session.length;
  size_t windowBegin = first;
  int64_t length = session.length;
  for (int64_t token = 0; token < tokens;) {
    bool reset = length == context;
    if (reset) {
      auto isRead = [](const Slice &piece) { return piece.outputsFrom < piece.count; };
      if (std::none_of(pieces.begin() + static_cast<ptrdiff_t>(windowBegin), pieces.end(), isRead))
        pieces.erase(pieces.begin() + static_cast<ptrdiff_t>(windowBegin), pieces.end());
      windowBegin = pieces.size();
      if (keep)
        pieces.push_back({index, true, true, newIds + token - keep, keep, token - keep, keep});
      length = keep;
    }
    int64_t taken = std::min(context - length, tokens - token);
    pieces.push_back({index, reset && keep == 0, false, newIds + token, taken, token,
                      outputsFrom(sequence, token, taken)});
    length += taken;
    token += taken;
  }
  feeds.push_back({first, pieces.size()});
}

/// Deals the pieces out to runs: as many rows as fit, in the order of the sequences.
void Step::scheduleCached() {
  for (size_t i = 0; i < count; ++i)
    cutWindows(i);
  int64_t maxRows = static_cast<int64_t>(lm.max_tokens());
  int64_t maxOutputs = static_cast<int64_t>(lm.max_outputs());
  int64_t chunk = options.prefill_chunk && options.prefill_chunk < lm.max_tokens()
                      ? static_cast<int64_t>(options.prefill_chunk)
                      : maxRows;
  size_t open = 0; // feeds before it are finished
  while (open < feeds.size()) {
    int64_t rows = 0, outputs = 0;
    for (size_t f = open; f < feeds.size() && rows < maxRows; ++f) {
      Feed &feed = feeds[f];
      if (feed.piece == feed.pieceEnd)
        continue;
      Slice &piece = pieces[feed.piece];
      // Rows before the first output are free, each one from there on counts.
      int64_t taken = std::min(
          {piece.count, chunk, maxRows - rows, piece.outputsFrom + (maxOutputs - outputs)});
      if (taken == 0)
        continue;
      Slice slice = piece;
      slice.count = taken;
      slice.outputsFrom = std::min(piece.outputsFrom, taken);
      slices.push_back(slice);
      rows += taken;
      outputs += taken - slice.outputsFrom;
      piece.reset = false;
      piece.ids += taken;
      piece.firstToken += taken;
      piece.outputsFrom -= slice.outputsFrom;
      piece.count -= taken;
      if (piece.count == 0)
        ++feed.piece;
    }
    runEnds.push_back(slices.size());
    while (open < feeds.size() && feeds[open].piece == feeds[open].pieceEnd)
      ++open;
  }
}

/// Without a cache a run takes whole windows: the first of each sequence, then the second, ... The
/// windows are those of the cached run, so that the ids are too.
void Step::scheduleWhole() {
  bool restarts = lm.past_context() == fb::PastContext::Restart;
  int64_t context = static_cast<int64_t>(lm.context()), keep = static_cast<int64_t>(lm.keep());
  std::vector<std::vector<Slice>> windows(count);
  size_t most = 0;
  for (size_t i = 0; i < count; ++i) {
    const ingot_step_sequence &sequence = sequences[i];
    const ingot_session &session = *sequence.session;
    histories.push_back(session.ids);
    histories.back().insert(histories.back().end(), sequence.ids, sequence.ids + sequence.count);
    int64_t tokens = static_cast<int64_t>(sequence.count);
    int64_t begin = 0, length = session.length;
    for (int64_t token = 0; token < tokens;) {
      if (restarts && length == context) {
        begin += length - keep;
        length = keep;
      }
      int64_t taken = restarts ? std::min(context - length, tokens - token) : tokens;
      int64_t from = outputsFrom(sequence, token, taken);
      if (from < taken)
        windows[i].push_back({i, false, false, histories.back().data() + begin, length + taken,
                              token - length, length + from});
      length += taken;
      token += taken;
    }
    finalWindows.push_back({begin, length});
    most = std::max(most, windows[i].size());
  }
  for (size_t w = 0; w < most; ++w) {
    for (const std::vector<Slice> &list : windows)
      if (w < list.size())
        slices.push_back(list[w]);
    runEnds.push_back(slices.size());
  }
}

/// Pages per group that the runs take beyond what they give back: the same traffic as movePages,
/// counted on what the sessions hold now. A page that is shared now counts as never coming back.
std::vector<uint64_t> Step::countPages() const {
  size_t groups = model.pages.groupCount();
  std::vector<uint64_t> wanted(groups, 0), inHand(groups, 0);
  std::vector<Forecast> forecasts(count * groups);
  std::vector<int64_t> lengths(count);
  for (size_t i = 0; i < count; ++i) {
    const ingot_session &session = *sequences[i].session;
    lengths[i] = session.length;
    for (size_t g = 0; g < groups; ++g) {
      int64_t first = session.tables[g].firstPage;
      int64_t end = first + static_cast<int64_t>(session.held[g].size());
      forecasts[i * groups + g] = {first, end, first, end};
    }
  }
  for (const Slice &slice : slices) {
    const ingot_session &session = *sequences[slice.sequence].session;
    int64_t position = slice.reset ? 0 : lengths[slice.sequence];
    for (size_t g = 0; g < groups; ++g) {
      if (model.isSourceGroup(g))
        continue;
      Forecast &f = forecasts[slice.sequence * groups + g];
      auto isShared = [&](int64_t page) {
        return page >= f.oldFirst && page < f.oldEnd && page != f.copied &&
               session.held[g][static_cast<size_t>(page - session.tables[g].firstPage)]
                       ->references.load(std::memory_order_acquire) > 1;
      };
      auto take = [&](int64_t pages) {
        int64_t reused = std::min<int64_t>(pages, static_cast<int64_t>(inHand[g]));
        inHand[g] -= static_cast<uint64_t>(reused);
        wanted[g] += static_cast<uint64_t>(pages - reused);
      };
      int64_t visible = slice.reset ? f.endPage : firstVisiblePage(g, position);
      for (; f.firstPage < std::min(visible, f.endPage); ++f.firstPage)
        inHand[g] += !isShared(f.firstPage);
      if (slice.reset)
        f = {0, 0, 0, 0};
      int64_t partial = position / kPagePositions;
      if (position % kPagePositions && isShared(partial)) {
        take(1);
        f.copied = partial;
      }
      int64_t end = ceilDiv(position + slice.count, kPagePositions);
      take(std::max<int64_t>(0, end - std::max(f.endPage, f.firstPage)));
      f.endPage = std::max(f.endPage, end);
    }
    lengths[slice.sequence] = position + slice.count;
  }
  return wanted;
}

/// Gives back the pages that the rows of a slice cannot see, copies the page that they start in
/// when it is shared, and takes those that they need.
void Step::movePages(const Slice &slice) {
  ingot_session &session = *sequences[slice.sequence].session;
  for (size_t g = 0; g < session.tables.size(); ++g) {
    if (model.isSourceGroup(g))
      continue;
    PageTable &table = session.tables[g];
    std::vector<Page *> &held = session.held[g];
    if (slice.reset) {
      session.dropPages(g, 0, 0, hand);
      table.firstPage = 0;
    } else {
      session.dropPages(g, firstVisiblePage(g, session.length), INT64_MAX, hand);
    }
    int64_t position = slice.reset ? 0 : session.length;
    auto take = [&] {
      Page *page = hand[g].back();
      hand[g].pop_back();
      page->references.store(1, std::memory_order_relaxed);
      return page;
    };
    if (position % kPagePositions) {
      size_t partial = static_cast<size_t>(position / kPagePositions - table.firstPage);
      if (held[partial]->references.load(std::memory_order_acquire) > 1) {
        Page *copy = take();
        memcpy(copy->data, held[partial]->data, model.pages.pageBytes(g));
        PagePool::drop(held[partial], hand[g]);
        held[partial] = copy;
        table.addresses[partial] = copy->data;
      }
    }
    int64_t end = ceilDiv(position + slice.count, kPagePositions);
    if (held.empty())
      table.firstPage = position / kPagePositions;
    while (table.firstPage + static_cast<int64_t>(held.size()) < end) {
      held.push_back(take());
      table.addresses.push_back(held.back()->data);
    }
  }
  if (slice.reset) {
    session.base = streamLengths[slice.sequence] + static_cast<uint64_t>(slice.firstToken);
    session.length = 0;
    session.leastLength = session.base + lm.keep();
    session.ids.clear();
  }
}

void Step::commit(const Slice &slice) {
  ingot_session &session = *sequences[slice.sequence].session;
  session.length += slice.count;
  session.prompt = prompts[slice.sequence];
  if (session.keepsIds())
    session.ids.insert(session.ids.end(), slice.ids, slice.ids + slice.count);
}

/// Hands out the rows of logits of a slice.
void Step::deliver(const Slice &slice, const float *logits) {
  const ingot_step_sequence &sequence = sequences[slice.sequence];
  for (int64_t row = slice.outputsFrom; row < slice.count; ++row) {
    const float *from = logits + (row - slice.outputsFrom) * static_cast<int64_t>(lm.vocabulary());
    if (sequence.logits)
      memcpy(sequence.logits + emitted[slice.sequence] * lm.vocabulary(), from,
             lm.vocabulary() * sizeof(float));
    if (onLogits)
      onLogits(user, slice.sequence, static_cast<size_t>(slice.firstToken + row), from);
    ++emitted[slice.sequence];
  }
}

Error Step::runOne(Context &context, const Slice *begin, const Slice *end) {
  bool cached = model.hasCache();
  StepRows &rows = context.rows;
  rows.clear();
  bool decode = true;
  for (const Slice *slice = begin; slice != end; ++slice) {
    ingot_session &session = *sequences[slice->sequence].session;
    if (cached)
      movePages(*slice);
    rows.beginSequence(cached ? session.length : 0, prompts[slice->sequence],
                       cached ? session.tables.data() : nullptr, session.sourceLength);
    for (int64_t row = 0; row < slice->count; ++row)
      rows.addRow(slice->ids[row], row >= slice->outputsFrom);
    // Decode computes the logits of every row.
    decode &= slice->count == 1 && slice->outputsFrom == 0;
  }
  int phase = !cached ? lm.whole() : decode ? lm.decode() : lm.prefill();
  const ProgramPlan &program = model.programs[static_cast<size_t>(phase)];
  int64_t tokens = static_cast<int64_t>(rows.ids.size());
  const int64_t *shapes[] = {&tokens};
  INGOT_TRY(context.prepare(program, shapes, &rows, control.threads));

  // Output 0 are the logits; other outputs are computed into the same block and not looked at.
  size_t outputs = program.source->outputs()->size();
  std::vector<uint64_t> offsets(outputs);
  uint64_t bytes = 0;
  for (size_t i = 0; i < outputs; ++i) {
    uint64_t one;
    INGOT_TRY(context.outputBytes(i, one));
    offsets[i] = bytes;
    if (addOverflows(bytes, roundUp(one, 64), bytes))
      return outOfMemory();
  }
  if (context.outputDim(0, 0) != static_cast<int64_t>(rows.outputRows.size()) ||
      context.outputDim(0, 1) != static_cast<int64_t>(lm.vocabulary()))
    return makeError(INGOT_CORRUPT, "%s: %s: logits of unexpected shape", model.path(),
                     program.source->name()->c_str());
  // The ids follow, in a place that is aligned as inputs must be.
  uint64_t idBytes = rows.ids.size() * sizeof(int32_t);
  INGOT_TRY(context.logitsBlock().reserve(bytes + idBytes, "logits"));
  void *ids = context.logitsBlock().data() + bytes;
  memcpy(ids, rows.ids.data(), idBytes);
  std::vector<void *> addresses(outputs);
  for (size_t i = 0; i < outputs; ++i)
    addresses[i] = context.logitsBlock().data() + offsets[i];
  const void *inputs[] = {ids};
  INGOT_TRY(context.execute(inputs, addresses.data(), control, static_cast<size_t>(phase)));

  const float *logits = reinterpret_cast<const float *>(context.logitsBlock().data());
  for (const Slice *slice = begin; slice != end; ++slice) {
    if (cached)
      commit(*slice);
    deliver(*slice, logits);
    logits += (slice->count - slice->outputsFrom) * static_cast<int64_t>(lm.vocabulary());
  }
  return nullptr;
}

Error Step::runAll() {
  ContextLease context(model);
  uint64_t total = 0, done = 0;
  for (const Slice &slice : slices)
    total += static_cast<uint64_t>(slice.count);
  size_t begin = 0;
  for (size_t end : runEnds) {
    INGOT_TRY(runOne(*context, slices.data() + begin, slices.data() + end));
    for (; begin < end; ++begin)
      done += static_cast<uint64_t>(slices[begin].count);
    if (options.progress && runEnds.size() > 1)
      options.progress(options.progress_user, "prefill", done, total);
  }
  return nullptr;
}

Error Step::run() {
  INGOT_TRY(check());
  for (size_t i = 0; i < count; ++i) {
    const ingot_session &session = *sequences[i].session;
    streamLengths.push_back(session.streamLength());
    prompts.push_back(streamLengths.back() ? session.prompt
                                           : static_cast<int64_t>(sequences[i].count));
  }
  emitted.resize(count);
  bool cached = model.hasCache();
  if (cached)
    scheduleCached();
  else
    scheduleWhole();
  INGOT_TRY(control.check());
  if (cached)
    INGOT_TRY(model.pages.acquire(countPages(), hand));
  Error error = guarded([&] { return runAll(); });
  if (cached) {
    if (error)
      for (size_t i = 0; i < count; ++i)
        sequences[i].session->trimPages();
    model.pages.release(hand);
  } else if (!error) {
    for (size_t i = 0; i < count; ++i) {
      ingot_session &session = *sequences[i].session;
      auto [begin, length] = finalWindows[i];
      session.ids.assign(histories[i].begin() + begin, histories[i].begin() + begin + length);
      session.base += static_cast<uint64_t>(begin);
      session.length = length;
      session.prompt = prompts[i];
      if (begin)
        session.leastLength = session.base + lm.keep();
    }
  }
  return error;
}

} // namespace

Error ingot::runStep(ingot_model &model, const ingot_step_sequence *sequences, size_t count,
                     ingot_logits_fn onLogits, void *user, const ingot_run_options &options,
                     const Control &control) {
  if (!model.languageModel())
    return makeError(INGOT_INVALID_ARGUMENT, "%s: not a language model", model.path());
  std::vector<std::unique_ptr<SessionUse>> uses;
  for (size_t i = 0; i < count; ++i) {
    if (!sequences[i].session || &sequences[i].session->model != &model)
      return makeError(INGOT_INVALID_ARGUMENT, "sequence %zu is no session of this model", i + 1);
    uses.push_back(std::make_unique<SessionUse>(*sequences[i].session));
    if (!uses.back()->acquired)
      return sessionInUse();
  }
  return Step(model, sequences, count, onLogits, user, options, control).run();
}

ingot_error *ingot_step(ingot_model *model, const ingot_step_sequence *sequences, size_t count,
                        ingot_logits_fn on_logits, void *user, const ingot_run_options *options) {
  return guarded([&]() -> Error {
    if (!model || !sequences)
      return makeError(INGOT_INVALID_ARGUMENT, "ingot_step: a null pointer");
    ingot_run_options given;
    INGOT_TRY(readOptions(given, options));
    Control control;
    INGOT_TRY(model->makeControl(given, control));
    return runStep(*model, sequences, count, on_logits, user, given, control);
  });
}

ingot_error *ingot_session_feed(ingot_session *session, const int32_t *ids, size_t count,
                                ingot_logits_mode mode, float *logits, size_t logits_capacity) {
  if (!session)
    return makeError(INGOT_INVALID_ARGUMENT, "ingot_session_feed: a null pointer");
  ingot_step_sequence sequence = {session, ids, count, mode, logits, logits_capacity};
  return ingot_step(&session->model, &sequence, 1, nullptr, nullptr, nullptr);
}
