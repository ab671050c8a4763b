//===- Sequences.cpp - what a model computes of whole sequences ------------------------------===//
//
// A run takes as many whole sequences as fit and packs their rows; attention reads keys and values
// from pages that live for the run. Which rows of the output are computed is said by the batch: all
// of them, or the first of each sequence.
//
// The encoder of an encoder-decoder also stores keys and values for cross attention, in pages that
// sessions hold from then on. A call that only wants its rows holds them for the length of a run.
//===----------------------------------------------------------------------------------------===//
#include "Session.h"

#include <algorithm>
#include <cmath>
#include <cstring>

using namespace ingot;

namespace {

class SequenceRun {
public:
  /// `sessions` get the sequences as their sources; null where nobody needs them.
  SequenceRun(ingot_model &model, const ingot_sequence *sequences, size_t count,
              const Control &control, ingot_session *const *sessions = nullptr)
      : model(model), facts(*model.sequenceModel()), sequences(sequences), count(count),
        control(control), sessions(sessions) {}

  Error run(const fb::SequenceOutput &output, ingot_row_fn onRow, void *user);

private:
  Error check() const;
  Error runOne(Context &context, const fb::SequenceOutput &output, size_t begin, size_t end);
  Error holdPages(size_t begin, size_t end);

  ingot_model &model;
  const fb::SequenceModel &facts;
  const ingot_sequence *sequences;
  const size_t count;
  const Control &control;
  ingot_session *const *sessions;
  /// Of this run, where the program stores keys and values.
  std::vector<std::unique_ptr<ingot_session>> holders;
  ingot_row_fn onRow = nullptr;
  void *user = nullptr;
};

Error SequenceRun::check() const {
  if (count == 0)
    return makeError(INGOT_INVALID_ARGUMENT, "no sequences");
  for (size_t i = 0; i < count; ++i) {
    const ingot_sequence &sequence = sequences[i];
    if (!sequence.ids || sequence.count == 0)
      return makeError(INGOT_INVALID_ARGUMENT, "sequence %zu is empty", i + 1);
    if (sequence.count > facts.context())
      return makeError(INGOT_CONTEXT_FULL, "the context has %llu positions, sequence %zu has %zu",
                       static_cast<unsigned long long>(facts.context()), i + 1, sequence.count);
    if (sequence.token_types && facts.token_types() == 0)
      return makeError(INGOT_INVALID_ARGUMENT, "the model takes no token types");
    for (size_t t = 0; t < sequence.count; ++t) {
      if (sequence.ids[t] < 0 || static_cast<uint32_t>(sequence.ids[t]) >= facts.vocabulary())
        return makeError(INGOT_INVALID_ARGUMENT,
                         "id %d is outside the vocabulary of %u (token %zu of sequence %zu)",
                         sequence.ids[t], facts.vocabulary(), t + 1, i + 1);
      if (sequence.token_types &&
          (sequence.token_types[t] < 0 ||
           static_cast<uint32_t>(sequence.token_types[t]) >= facts.token_types()))
        return makeError(INGOT_INVALID_ARGUMENT,
                         "token type %d is none of the %u (token %zu of sequence %zu)",
                         sequence.token_types[t], facts.token_types(), t + 1, i + 1);
    }
  }
  return nullptr;
}

/// Takes pages for the keys and values that sequences [begin, end) leave to a decoder.
Error SequenceRun::holdPages(size_t begin, size_t end) {
  size_t groups = model.pages.groupCount();
  std::vector<uint64_t> wanted(groups, 0);
  holders.clear();
  for (size_t i = begin; i < end; ++i) {
    holders.push_back(std::make_unique<ingot_session>(model));
    for (size_t g = 0; g < groups; ++g)
      if (model.isSourceGroup(g))
        wanted[g] += static_cast<uint64_t>(
            ceilDiv(static_cast<int64_t>(sequences[i].count), kPagePositions));
  }
  Hand hand(groups);
  INGOT_TRY(model.pages.acquire(wanted, hand));
  for (size_t i = begin; i < end; ++i) {
    ingot_session &holder = *holders[i - begin];
    holder.sourceLength = static_cast<int64_t>(sequences[i].count);
    for (size_t g = 0; g < groups; ++g)
      while (model.isSourceGroup(g) && static_cast<int64_t>(holder.held[g].size()) <
                                           ceilDiv(holder.sourceLength, kPagePositions)) {
        Page *page = hand[g].back();
        hand[g].pop_back();
        page->references.store(1, std::memory_order_relaxed);
        holder.held[g].push_back(page);
        holder.tables[g].addresses.push_back(page->data);
      }
  }
  return nullptr;
}

/// Sequences [begin, end) in one run.
Error SequenceRun::runOne(Context &context, const fb::SequenceOutput &output, size_t begin,
                          size_t end) {
  bool firstOnly = output.rows() == fb::OutputRows::First;
  StepRows &rows = context.rows;
  rows.clear();
  std::vector<int32_t> types;
  const ProgramPlan &program = model.programs[output.program()];
  bool stores =
      std::find(program.ofSource.begin(), program.ofSource.end(), true) != program.ofSource.end();
  if (stores)
    INGOT_TRY(holdPages(begin, end));
  for (size_t i = begin; i < end; ++i) {
    const ingot_sequence &sequence = sequences[i];
    rows.beginSequence(0, static_cast<int64_t>(sequence.count),
                       stores ? holders[i - begin]->tables.data() : nullptr,
                       static_cast<int64_t>(sequence.count));
    for (size_t t = 0; t < sequence.count; ++t)
      rows.addRow(sequence.ids[t], !firstOnly || t == 0);
    if (facts.token_types() && sequence.token_types)
      types.insert(types.end(), sequence.token_types, sequence.token_types + sequence.count);
    else
      types.resize(types.size() + sequence.count, 0);
  }
  int64_t tokens = static_cast<int64_t>(rows.ids.size());
  const int64_t *shapes[] = {&tokens, &tokens};
  INGOT_TRY(context.prepare(program, shapes, &rows, control.threads));
  uint64_t bytes;
  INGOT_TRY(context.outputBytes(0, bytes));
  if (program.source->outputs()->size() != 1 ||
      context.outputDim(0, 0) != static_cast<int64_t>(rows.outputRows.size()) ||
      context.outputDim(0, 1) != static_cast<int64_t>(output.width()))
    return makeError(INGOT_CORRUPT, "%s: %s: an output of unexpected shape", model.path(),
                     program.source->name()->c_str());
  // Inputs follow the output, aligned as they must be.
  uint64_t inputBytes = roundUp(rows.ids.size() * sizeof(int32_t), 64);
  bytes = roundUp(bytes, 64);
  INGOT_TRY(context.logitsBlock().reserve(bytes + 2 * inputBytes, "outputs"));
  char *base = context.logitsBlock().data();
  memcpy(base + bytes, rows.ids.data(), rows.ids.size() * sizeof(int32_t));
  memcpy(base + bytes + inputBytes, types.data(), types.size() * sizeof(int32_t));
  const void *inputs[] = {base + bytes, base + bytes + inputBytes};
  void *outputs[] = {base};
  INGOT_TRY(context.execute(inputs, outputs, control, output.program()));
  for (size_t i = begin; i < end && sessions; ++i) {
    // What the session held goes back with the holder.
    ingot_session &session = *sessions[i], &holder = *holders[i - begin];
    for (size_t g = 0; g < session.tables.size(); ++g)
      if (model.isSourceGroup(g)) {
        session.tables[g].addresses.swap(holder.tables[g].addresses);
        session.held[g].swap(holder.held[g]);
      }
    std::swap(session.sourceLength, holder.sourceLength);
  }
  holders.clear();
  const float *row = reinterpret_cast<const float *>(base);
  for (size_t i = begin; i < end && onRow; ++i)
    for (size_t t = 0; t < (firstOnly ? 1 : sequences[i].count); ++t, row += output.width())
      onRow(user, i, t, row);
  return nullptr;
}

Error SequenceRun::run(const fb::SequenceOutput &output, ingot_row_fn rowFn, void *rowUser) {
  onRow = rowFn;
  user = rowUser;
  INGOT_TRY(check());
  INGOT_TRY(control.check());
  ContextLease context(model);
  for (size_t begin = 0, end = 0; begin < count; begin = end) {
    uint64_t rows = 0;
    do
      rows += sequences[end++].count;
    while (end < count && rows + sequences[end].count <= facts.max_tokens());
    INGOT_TRY(runOne(*context, output, begin, end));
  }
  return nullptr;
}

//===-- Embeddings ---------------------------------------------------------------------------===//

const fb::SequenceOutput *findOutput(const fb::SequenceModel &facts, const char *name) {
  for (const fb::SequenceOutput *output : *facts.outputs())
    if (output->name()->string_view() == name)
      return output;
  return nullptr;
}

/// How to make vectors, with everything decided.
struct Embedding {
  const fb::SequenceOutput *output = nullptr;
  ingot_pooling pooling = INGOT_POOLING_MEAN;
  bool normalize = false;

  Error choose(const ingot_model &model, const ingot_embed_options &options) {
    const fb::SequenceModel *facts = model.sequenceModel();
    if (!facts)
      return makeError(INGOT_INVALID_ARGUMENT, "%s: computes nothing of whole sequences",
                       model.path());
    pooling = options.pooling;
    if (pooling == INGOT_POOLING_DEFAULT)
      pooling = static_cast<ingot_pooling>(facts->pooling());
    if (pooling == INGOT_POOLING_DEFAULT)
      pooling = findOutput(*facts, "pooled") ? INGOT_POOLING_POOLED : INGOT_POOLING_MEAN;
    if (pooling < INGOT_POOLING_FIRST || pooling > INGOT_POOLING_POOLED)
      return makeError(INGOT_INVALID_ARGUMENT, "unknown pooling %d", static_cast<int>(pooling));
    normalize = !options.raw && (options.normalize || facts->normalize());
    if (pooling == INGOT_POOLING_POOLED) {
      output = findOutput(*facts, "pooled");
    } else {
      output = findOutput(*facts, "hidden");
      if (!output)
        output = findOutput(*facts, "encoder");
    }
    if (!output)
      return makeError(INGOT_INVALID_ARGUMENT, "%s: has no output to make vectors of",
                       model.path());
    return nullptr;
  }
};

/// Pools the rows of sequences as they come: sums in f64, in the order of the tokens.
class Pooler {
public:
  Pooler(const Embedding &embedding, const ingot_sequence *sequences, float *vectors)
      : embedding(embedding), sequences(sequences), vectors(vectors),
        width(embedding.output->width()), sums(width) {}

  void add(size_t sequence, size_t token, const float *row) {
    bool last = embedding.pooling == INGOT_POOLING_POOLED || token + 1 == sequences[sequence].count;
    for (size_t i = 0; i < width; ++i) {
      double value = static_cast<double>(row[i]);
      if (token == 0)
        sums[i] = value;
      else if (embedding.pooling == INGOT_POOLING_MEAN)
        sums[i] += value;
      else if (embedding.pooling == INGOT_POOLING_MAX)
        sums[i] = std::max(sums[i], value);
      else if (embedding.pooling == INGOT_POOLING_LAST && last)
        sums[i] = value;
    }
    if (last)
      finish(sequence);
  }

private:
  void finish(size_t sequence) {
    double scale = 1, square = 0;
    if (embedding.pooling == INGOT_POOLING_MEAN)
      scale = 1 / static_cast<double>(sequences[sequence].count);
    for (double &value : sums) {
      value *= scale;
      square += value * value;
    }
    double length = embedding.normalize ? std::max(std::sqrt(square), 1e-12) : 1;
    for (size_t i = 0; i < width; ++i)
      vectors[sequence * width + i] = static_cast<float>(sums[i] / length);
  }

  const Embedding &embedding;
  const ingot_sequence *sequences;
  float *vectors;
  size_t width;
  std::vector<double> sums;
};

} // namespace

ingot_error *ingot_run_sequences(ingot_model *model, size_t output, const ingot_sequence *sequences,
                                 size_t count, ingot_row_fn on_row, void *user,
                                 const ingot_run_options *options) {
  return guarded([&]() -> Error {
    if (!model || (!sequences && count))
      return makeError(INGOT_INVALID_ARGUMENT, "ingot_run_sequences: a null pointer");
    const fb::SequenceModel *facts = model->sequenceModel();
    if (!facts || output >= facts->outputs()->size())
      return makeError(INGOT_NOT_FOUND, "%s: no output %zu of whole sequences", model->path(),
                       output);
    ingot_run_options given;
    INGOT_TRY(readOptions(given, options));
    Control control;
    INGOT_TRY(model->makeControl(given, control));
    return SequenceRun(*model, sequences, count, control)
        .run(*facts->outputs()->Get(static_cast<unsigned>(output)), on_row, user);
  });
}

ingot_error *ingot_set_sources(ingot_model *model, ingot_session *const *sessions,
                               const ingot_sequence *sources, size_t count,
                               const ingot_run_options *options) {
  return guarded([&]() -> Error {
    if (!model || !sessions || !sources)
      return makeError(INGOT_INVALID_ARGUMENT, "ingot_set_sources: a null pointer");
    const fb::SequenceModel *facts = model->sequenceModel();
    const fb::SequenceOutput *output = facts ? findOutput(*facts, "encoder") : nullptr;
    if (!output || !model->languageModel() || !model->hasSource())
      return makeError(INGOT_INVALID_ARGUMENT, "%s: its texts have no source", model->path());
    std::vector<std::unique_ptr<SessionUse>> uses;
    for (size_t i = 0; i < count; ++i) {
      if (!sessions[i] || &sessions[i]->model != model)
        return makeError(INGOT_INVALID_ARGUMENT, "sequence %zu is no session of this model", i + 1);
      uses.push_back(std::make_unique<SessionUse>(*sessions[i]));
      if (!uses.back()->acquired)
        return sessionInUse();
      if (sessions[i]->length)
        return makeError(INGOT_INVALID_ARGUMENT,
                         "sequence %zu has tokens already; truncate it before its source changes",
                         i + 1);
    }
    ingot_run_options given;
    INGOT_TRY(readOptions(given, options));
    Control control;
    INGOT_TRY(model->makeControl(given, control));
    return SequenceRun(*model, sources, count, control, sessions).run(*output, nullptr, nullptr);
  });
}

ingot_error *ingot_embed_width(const ingot_model *model, const ingot_embed_options *options,
                               size_t *out_width) {
  return guarded([&]() -> Error {
    ingot_embed_options given;
    INGOT_TRY(readOptions(given, options));
    Embedding embedding;
    INGOT_TRY(embedding.choose(*model, given));
    *out_width = embedding.output->width();
    return nullptr;
  });
}

ingot_error *ingot_embed(ingot_model *model, const ingot_sequence *sequences, size_t count,
                         const ingot_embed_options *options, float *vectors, size_t capacity) {
  return guarded([&]() -> Error {
    if (!model || (count && (!sequences || !vectors)))
      return makeError(INGOT_INVALID_ARGUMENT, "ingot_embed: a null pointer");
    ingot_embed_options given;
    INGOT_TRY(readOptions(given, options));
    ingot_run_options run;
    INGOT_TRY(readOptions(run, given.run.struct_size ? &given.run : nullptr));
    Control control;
    INGOT_TRY(model->makeControl(run, control));
    Embedding embedding;
    INGOT_TRY(embedding.choose(*model, given));
    if (capacity / embedding.output->width() < count)
      return makeError(INGOT_INVALID_ARGUMENT,
                       "room for %zu floats, but %zu vectors of %u are made", capacity, count,
                       embedding.output->width());
    Pooler pooler(embedding, sequences, vectors);
    auto onRow = [](void *user, size_t sequence, size_t token, const float *row) {
      static_cast<Pooler *>(user)->add(sequence, token, row);
    };
    return SequenceRun(*model, sequences, count, control).run(*embedding.output, onRow, &pooler);
  });
}
