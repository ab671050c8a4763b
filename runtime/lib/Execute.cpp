//===- Execute.cpp - sizes, tables and dispatches of a run -----------------------------------===//
#include "Execute.h"
#include "Cpu.h"

#include <algorithm>
#include <cstring>
#include <ctime>

using namespace ingot;

//===-- Rows ---------------------------------------------------------------------------------===//

void StepRows::clear() {
  sequences.clear();
  ids.clear();
  rowSequence.clear();
  rowPosition.clear();
  rowPrompt.clear();
  outputRows.clear();
}

void StepRows::beginSequence(int64_t position, int64_t prompt, const PageTable *tables,
                             int64_t sourceLength) {
  sequences.push_back(
      {static_cast<int64_t>(ids.size()), 0, position, prompt, tables, sourceLength});
}

void StepRows::addRow(int32_t id, bool output) {
  Sequence &sequence = sequences.back();
  if (output)
    outputRows.push_back(static_cast<int32_t>(ids.size()));
  ids.push_back(id);
  rowSequence.push_back(static_cast<int32_t>(sequences.size() - 1));
  rowPosition.push_back(static_cast<int32_t>(sequence.position + sequence.rowCount));
  rowPrompt.push_back(static_cast<int32_t>(sequence.prompt));
  ++sequence.rowCount;
}

//===-- Control ------------------------------------------------------------------------------===//

uint64_t ingot::monotonicNanoseconds() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000000000u + static_cast<uint64_t>(now.tv_nsec);
}

bool Control::mustStop() const {
  return (cancel && cancel->requested.load(std::memory_order_relaxed)) ||
         (deadline && monotonicNanoseconds() >= deadline);
}

Error Control::check() const {
  if (cancel && cancel->requested.load(std::memory_order_relaxed))
    return makeError(INGOT_CANCELLED, "cancelled");
  if (deadline && monotonicNanoseconds() >= deadline)
    return makeError(INGOT_DEADLINE_EXCEEDED, "the timeout has passed");
  return nullptr;
}

//===-- Sizes --------------------------------------------------------------------------------===//

namespace {

Error badSize(const fb::Program &program, const char *why) {
  return makeError(INGOT_INVALID_ARGUMENT, "%s: %s", program.name()->c_str(), why);
}

/// (row, key) pairs of `rows` rows from `position` on under a causal mask, with at most `window`
/// keys per row (0: no limit).
int64_t causalPairs(int64_t position, int64_t rows, int64_t window) {
  // Rows before `full` see position + 1 keys, later ones the window.
  int64_t full = window ? std::clamp<int64_t>(window - position, 0, rows) : rows;
  return full * position + full * (full + 1) / 2 + (rows - full) * window;
}

int64_t floorDiv(int64_t a, int64_t b) {
  int64_t quotient = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

} // namespace

/// Computes the facts of a batch from the rows of the step, or from the sizes of a uniform one.
Error Context::learnBatch(unsigned index) {
  BatchData &data = batches[index];
  if (data.known)
    return nullptr;
  const fb::Batch &batch = *program->source->batches()->Get(index);
  data.sequenceTable.clear();
  auto add = [&](int64_t rowBegin, int64_t rowCount, int64_t position, int64_t keyEnd,
                 const PageTable *tables) {
    ingot_kernel_sequence sequence = {};
    sequence.row_begin = rowBegin;
    sequence.row_count = rowCount;
    sequence.position = position;
    sequence.key_end = keyEnd;
    if (tables && batch.cache_group() >= 0)
      sequence.key_begin = tables[batch.cache_group()].firstPage * kPagePositions;
    data.sequenceTable.push_back(sequence);
  };
  data.pages = 0;
  if (batch.kind() == fb::BatchKind::Step) {
    data.tokens = static_cast<int64_t>(step->ids.size());
    data.sequences = static_cast<int64_t>(step->sequences.size());
    data.outputs = static_cast<int64_t>(step->outputRows.size());
    for (const StepRows::Sequence &s : step->sequences) {
      data.pages += ceilDiv(s.position + s.rowCount, kPagePositions);
      add(s.rowBegin, s.rowCount, s.position, s.keyEnd(program->ofSource[index]), s.tables);
    }
  } else {
    data.sequences = sizes[static_cast<size_t>(batch.sequences())];
    data.rows = sizes[static_cast<size_t>(batch.rows())];
    data.keys = batch.keys() < 0 ? data.rows : sizes[static_cast<size_t>(batch.keys())];
    for (int64_t value : {data.sequences, data.rows, data.keys})
      if (value < 0 || value > kMaxPositions)
        return badSize(*program->source, "a batch of impossible size");
    data.outputs = 0;
    int64_t perSequence = ceilDiv(data.keys, kPagePositions);
    if (mulOverflows(data.sequences, data.rows, data.tokens) || data.tokens > kMaxPositions ||
        mulOverflows(data.sequences, perSequence, data.pages) || data.pages > kMaxPositions)
      return badSize(*program->source, "a batch of more than 2^31 rows or pages");
    for (int64_t s = 0; s < data.sequences; ++s)
      add(s * data.rows, data.rows, 0, data.keys, nullptr);
  }
  AttentionFacts facts;
  facts.queryBlock = batch.query_block();
  facts.heads = batch.heads();
  facts.kvHeads = batch.kv_heads();
  facts.recordBytes = batch.record_bytes();
  facts.causal = batch.causal();
  facts.window = static_cast<int64_t>(batch.window());
  data.items.build(facts, data.sequenceTable, threadsPlanned);
  data.known = true;
  return nullptr;
}

Error Context::batchDimension(const fb::Size &size, int64_t &value) {
  INGOT_TRY(learnBatch(static_cast<unsigned>(size.a())));
  const BatchData &data = batches[static_cast<size_t>(size.a())];
  bool uniform = program->source->batches()->Get(static_cast<unsigned>(size.a()))->kind() ==
                 fb::BatchKind::Uniform;
  int64_t window = size.value();
  switch (static_cast<fb::BatchDimKind>(size.b())) {
  case fb::BatchDimKind::Tokens:
    value = data.tokens;
    return nullptr;
  case fb::BatchDimKind::Sequences:
    value = data.sequences;
    return nullptr;
  case fb::BatchDimKind::Outputs:
    value = data.outputs;
    return nullptr;
  case fb::BatchDimKind::Pages:
    value = data.pages;
    return nullptr;
  case fb::BatchDimKind::Items:
    value = static_cast<int64_t>(data.items.items.size());
    return nullptr;
  case fb::BatchDimKind::Keys:
  case fb::BatchDimKind::Pairs:
  case fb::BatchDimKind::AllPairs:
    break;
  }
  auto kind = static_cast<fb::BatchDimKind>(size.b());
  auto keysOf = [&](int64_t held, int64_t rows) {
    return rows == 0 ? 0 : window ? std::min(held, window + rows - 1) : held;
  };
  if (uniform) {
    int64_t cap = window ? std::min(window, data.keys) : data.keys;
    int64_t one = kind == fb::BatchDimKind::Keys    ? keysOf(data.keys, data.rows)
                  : kind == fb::BatchDimKind::Pairs ? (cap ? causalPairs(0, data.rows, cap) : 0)
                                                    : data.rows * data.keys;
    if (mulOverflows(one, data.sequences, value))
      return badSize(*program->source, "too many keys");
    return nullptr;
  }
  value = 0;
  for (const StepRows::Sequence &sequence : step->sequences) {
    int64_t held = sequence.keyEnd(program->ofSource[static_cast<size_t>(size.a())]);
    int64_t one = kind == fb::BatchDimKind::Keys ? keysOf(held, sequence.rowCount)
                  : kind == fb::BatchDimKind::Pairs
                      ? causalPairs(sequence.position, sequence.rowCount, window)
                      : held * sequence.rowCount;
    if (addOverflows(value, one, value))
      return badSize(*program->source, "too many keys");
  }
  return nullptr;
}

Error Context::evaluateSize(const fb::Size &size, const int64_t *const *inputShapes,
                            int64_t &value) {
  int64_t a = 0, b = 0;
  if (size.op() > fb::SizeOp::BatchDim) {
    a = sizes[static_cast<size_t>(size.a())];
    b = sizes[static_cast<size_t>(size.b())];
  }
  bool overflow = false;
  switch (size.op()) {
  case fb::SizeOp::Constant:
    value = size.value();
    break;
  case fb::SizeOp::InputDim:
    value = inputShapes[size.a()][size.b()];
    break;
  case fb::SizeOp::BatchDim:
    return batchDimension(size, value);
  case fb::SizeOp::Add:
    overflow = addOverflows(a, b, value);
    break;
  case fb::SizeOp::Sub:
    overflow = __builtin_sub_overflow(a, b, &value);
    break;
  case fb::SizeOp::Mul:
    overflow = mulOverflows(a, b, value);
    break;
  case fb::SizeOp::CeilDiv:
  case fb::SizeOp::FloorDiv:
  case fb::SizeOp::Mod:
    if (b == 0 || (a == INT64_MIN && b == -1))
      return badSize(*program->source, "division by zero in the computation of its sizes");
    if (size.op() == fb::SizeOp::FloorDiv)
      value = floorDiv(a, b);
    else if (size.op() == fb::SizeOp::CeilDiv)
      value = floorDiv(a, b) + (a % b != 0);
    else
      value = a - floorDiv(a, b) * b;
    break;
  case fb::SizeOp::Max:
    value = std::max(a, b);
    break;
  case fb::SizeOp::Min:
    value = std::min(a, b);
    break;
  }
  if (overflow)
    return badSize(*program->source, "its sizes overflow for these inputs");
  return nullptr;
}

Error Context::prepare(const ProgramPlan &newProgram, const int64_t *const *inputShapes,
                       const StepRows *newStep, unsigned threads) {
  program = &newProgram;
  step = newStep;
  threadsPlanned = std::min(threads, pool.size());
  if (batches.size() < (program->source->batches() ? program->source->batches()->size() : 0))
    batches.resize(program->source->batches()->size());
  for (BatchData &batch : batches)
    batch.known = false;
  sizes.resize(program->sizes.size());
  for (size_t i = 0; i < sizes.size(); ++i) {
    int64_t value = 0;
    INGOT_TRY(evaluateSize(program->sizes[i], inputShapes, value));
    sizes[i] = value;
  }
  if (const auto *checks = program->source->checks())
    for (const fb::SizeCheck *check : *checks)
      if (sizes[check->a()] != sizes[check->b()])
        return makeError(
            INGOT_INVALID_ARGUMENT, "%s: sizes that the graph takes to be equal are %lld and %lld",
            program->source->name()->c_str(), static_cast<long long>(sizes[check->a()]),
            static_cast<long long>(sizes[check->b()]));
  for (const DispatchPlan &dispatch : program->dispatches)
    if (sizes[dispatch.grid] < 0 || sizes[dispatch.grid] > (int64_t(1) << 48))
      return badSize(*program->source, "a grid of impossible size");
  scratchStride = roundUp(program->scratchBytes, 4096);
  INGOT_TRY(scratch.reserve(scratchStride * threads, "scratch memory"));
  shares.reserve(threads);
  return layOutSlots();
}

Error Context::outputBytes(size_t output, uint64_t &bytes) const {
  const fb::Tensor &tensor = *program->source->outputs()->Get(static_cast<unsigned>(output));
  bytes = elementSize(tensor.type());
  // A single number has no list of extents.
  for (unsigned d = 0; tensor.shape() && d < tensor.shape()->size(); ++d) {
    int64_t extent = outputDim(output, d);
    int64_t declared = tensor.shape()->Get(d);
    if (extent < 0 || (declared >= 0 && declared != extent) ||
        mulOverflows(bytes, static_cast<uint64_t>(extent), bytes) || bytes > PTRDIFF_MAX)
      return makeError(INGOT_CORRUPT, "%s: output %s: impossible extent %lld",
                       program->source->name()->c_str(), tensor.name()->c_str(),
                       static_cast<long long>(extent));
  }
  return nullptr;
}

//===-- Tables -------------------------------------------------------------------------------===//

/// Slots follow each other in the arena, each rounded up to 64 bytes.
Error Context::layOutSlots() {
  const auto *slots = program->source->slots();
  slotOffsets.clear();
  uint64_t end = 0;
  for (unsigned i = 0; slots && i < slots->size(); ++i) {
    int64_t bytes = sizes[slots->Get(i)->bytes()];
    if (bytes < 0 || bytes > PTRDIFF_MAX / 2)
      return badSize(*program->source, "a buffer of impossible size");
    slotOffsets.push_back(end);
    if (addOverflows(end, roundUp(static_cast<uint64_t>(bytes), 64), end) || end > PTRDIFF_MAX / 2)
      return badSize(*program->source, "buffers of impossible size");
  }
  const auto *list = program->source->batches();
  uint64_t partBytes = 0;
  for (unsigned i = 0; list && i < list->size(); ++i) {
    INGOT_TRY(learnBatch(i));
    const ItemList &items = batches[i].items;
    batches[i].partsOffset = partBytes;
    partBytes += roundUp(items.recordBytes + items.counters * sizeof(int32_t), 64);
    if (list->Get(i)->slot() < 0)
      continue;
    uint64_t bytes, room = static_cast<uint64_t>(
                        sizes[slots->Get(static_cast<unsigned>(list->Get(i)->slot()))->bytes()]);
    if (mulOverflows(static_cast<uint64_t>(batches[i].pages), list->Get(i)->page_bytes(), bytes) ||
        bytes > room)
      return badSize(*program->source, "a slot too small for its pages");
  }
  if (partBytes)
    INGOT_TRY(parts.reserve(partBytes, "partial results of attention"));
  return arena.reserve(end + INGOT_PAGE_SLACK, "the arena");
}

/// Fills the tables that kernels read for a batch.
Error Context::buildBatch(unsigned index) {
  const fb::Batch &batch = *program->source->batches()->Get(index);
  BatchData &data = batches[index];
  char *transient = nullptr;
  if (batch.slot() >= 0) {
    transient = arena.data() + slotOffsets[static_cast<size_t>(batch.slot())];
    data.pageTable.resize(static_cast<size_t>(data.pages));
    for (size_t p = 0; p < data.pageTable.size(); ++p)
      data.pageTable[p] = transient + p * batch.page_bytes();
    memset(transient, 0, data.pageTable.size() * batch.page_bytes());
  }
  size_t pagesUsed = 0;
  for (size_t s = 0; s < data.sequenceTable.size(); ++s) {
    ingot_kernel_sequence &sequence = data.sequenceTable[s];
    if (transient) {
      sequence.pages = data.pageTable.data() + pagesUsed;
      pagesUsed += static_cast<size_t>(ceilDiv(sequence.key_end, kPagePositions));
    } else if (batch.cache_group() >= 0) {
      // The table starts with the first page that is held; kernels index it by absolute page.
      const PageTable &table = step->sequences[s].tables[batch.cache_group()];
      sequence.pages =
          reinterpret_cast<void *const *>(reinterpret_cast<uintptr_t>(table.addresses.data()) -
                                          static_cast<uintptr_t>(table.firstPage) * sizeof(void *));
    }
  }
  if (data.items.counters) {
    char *records = parts.data() + data.partsOffset;
    int32_t *counters = reinterpret_cast<int32_t *>(records + data.items.recordBytes);
    memset(counters, 0, data.items.counters * sizeof(int32_t));
    data.items.place(records, counters);
  }
  data.view = {};
  if (batch.kind() == fb::BatchKind::Step) {
    data.view.row_sequence = step->rowSequence.data();
    data.view.row_position = step->rowPosition.data();
    data.view.row_prompt = step->rowPrompt.data();
    data.view.output_rows = step->outputRows.data();
  } else {
    data.rowSequence.resize(static_cast<size_t>(data.tokens));
    data.rowPosition.resize(static_cast<size_t>(data.tokens));
    data.rowPrompt.assign(static_cast<size_t>(data.tokens), static_cast<int32_t>(data.rows));
    for (int64_t s = 0; s < data.sequences; ++s)
      for (int64_t r = 0; r < data.rows; ++r) {
        data.rowSequence[static_cast<size_t>(s * data.rows + r)] = static_cast<int32_t>(s);
        data.rowPosition[static_cast<size_t>(s * data.rows + r)] = static_cast<int32_t>(r);
      }
    data.view.row_sequence = data.rowSequence.data();
    data.view.row_position = data.rowPosition.data();
    data.view.row_prompt = data.rowPrompt.data();
  }
  data.view.sequences = data.sequenceTable.data();
  data.view.items = data.items.items.data();
  data.view.sequence_count = data.sequences;
  data.view.item_count = static_cast<int64_t>(data.items.items.size());
  data.view.token_count = data.tokens;
  data.view.output_count = data.outputs;
  return nullptr;
}

void Context::buildTables(const void *const *inputs, void *const *outputs) {
  pointers.clear();
  for (const fb::Buffer &buffer : program->buffers) {
    void *address = nullptr;
    switch (buffer.kind()) {
    case fb::BufferKind::Slot:
      address = arena.data() + slotOffsets[buffer.index()];
      break;
    case fb::BufferKind::Weight:
      address = const_cast<void *>(weights[buffer.index()]);
      break;
    case fb::BufferKind::Input:
      address = const_cast<void *>(inputs[buffer.index()]);
      break;
    case fb::BufferKind::Output:
      address = outputs[buffer.index()];
      break;
    }
    pointers.push_back(address);
  }
  scalarValues.clear();
  for (const fb::Scalar &scalar : program->scalars)
    scalarValues.push_back(scalar.kind() == fb::ScalarKind::Size
                               ? sizes[static_cast<size_t>(scalar.value())]
                               : scalar.value());
}

//===-- Dispatches ---------------------------------------------------------------------------===//

/// Shared by the threads of a run.
struct Context::RunState {
  Context *context;
  const Control *control;
  size_t next;
  Barrier *barrier;
  ProfileData::ProgramEntries *profile;
  /// Index of the last dispatch to run. Thread 0 decides before the barrier of that dispatch, so
  /// that everybody knows after it; who is late at an earlier barrier compares and goes on.
  std::atomic<size_t> stopAfter{SIZE_MAX};
};

void Context::runDispatch(size_t index, unsigned thread, unsigned threads) {
  const DispatchPlan &dispatch = program->dispatches[index];
  int64_t grid = sizes[dispatch.grid];
  ingot_kernel_args args;
  args.buffers = pointers.data() + dispatch.bufferBegin;
  args.scalars = scalarValues.data() + dispatch.scalarBegin;
  args.batch = dispatch.batch >= 0 ? &batches[static_cast<size_t>(dispatch.batch)].view : nullptr;
  args.scratch = scratch.data() + scratchStride * thread;
  auto take = [&](int64_t begin, int64_t end) {
    if (begin < end)
      dispatch.function(&args, begin, end);
  };
  if (dispatch.batch >= 0) {
    unsigned index = static_cast<unsigned>(dispatch.batch);
    int64_t heads = program->source->batches()->Get(index)->kv_heads();
    const ItemList &list = batches[index].items;
    // Attention: ranges of equal cost.
    if (heads && grid == heads * static_cast<int64_t>(list.items.size()))
      return take(list.begin(heads, thread, threads), list.begin(heads, thread + 1, threads));
  }
  size_t rows = step ? step->rowPosition.size() : UINT32_MAX;
  if (rows <= dispatch.dividedRows)
    shares.divide(grid, thread, threads, take);
  else
    take(grid * thread / threads, grid * (thread + 1) / threads);
}

void Context::runOnPool(void *opaque, unsigned thread, unsigned threads) {
  RunState &state = *static_cast<RunState *>(opaque);
  Context &context = *state.context;
  uint64_t before = thread == 0 && state.profile ? monotonicNanoseconds() : 0;
  for (size_t i = state.next; i < context.program->dispatches.size(); ++i) {
    context.runDispatch(i, thread, threads);
    if (thread == 0 && state.control->mustStop())
      state.stopAfter.store(i, std::memory_order_relaxed);
    state.barrier->wait();
    if (thread == 0 && state.profile) {
      uint64_t now = monotonicNanoseconds();
      state.profile->dispatches[i].nanoseconds += now - before;
      before = now;
    }
    if (i >= state.stopAfter.load(std::memory_order_relaxed))
      return;
  }
}

Error Context::execute(const void *const *inputs, void *const *outputs, const Control &control,
                       size_t programIndex) {
  uint64_t start = control.profile ? monotonicNanoseconds() : 0;
  const auto *list = program->source->batches();
  for (unsigned i = 0; list && i < list->size(); ++i)
    INGOT_TRY(buildBatch(i));
  buildTables(inputs, outputs);
  INGOT_TRY(control.check());

  shares.clear();
  RunState state{this, &control, 0, nullptr, nullptr};
  if (control.profile)
    state.profile = &control.profile->programs[programIndex];
  FloatingPointScope floatingPoint;
  unsigned threads = std::min(control.threads, pool.size());
  bool stopped = false;
  for (; state.next < program->dispatches.size() && !stopped; ++state.next) {
    // Another call may have the pool; then this thread works alone until it is free.
    if (threads > 1 && pool.tryAcquire()) {
      Barrier barrier(threads);
      state.barrier = &barrier;
      pool.run(threads, runOnPool, &state);
      pool.release();
      stopped = state.stopAfter.load(std::memory_order_relaxed) != SIZE_MAX;
      break;
    }
    uint64_t before = state.profile ? monotonicNanoseconds() : 0;
    runDispatch(state.next, 0, 1);
    if (state.profile)
      state.profile->dispatches[state.next].nanoseconds += monotonicNanoseconds() - before;
    stopped = control.mustStop();
  }
  if (control.profile) {
    state.profile->total.nanoseconds += monotonicNanoseconds() - start;
    recordCosts(*control.profile, programIndex);
  }
  if (!stopped)
    return nullptr;
  // The token may have been reset in the meantime; the run is incomplete all the same.
  INGOT_TRY(control.check());
  return makeError(INGOT_CANCELLED, "cancelled");
}

void Context::recordCosts(ProfileData &profile, size_t programIndex) {
  ProfileData::ProgramEntries &entries = profile.programs[programIndex];
  ++entries.total.runs;
  for (size_t i = 0; i < program->dispatches.size(); ++i) {
    const DispatchPlan &dispatch = program->dispatches[i];
    ProfileData::Entry &entry = entries.dispatches[i];
    ++entry.runs;
    for (uint32_t c = dispatch.costBegin; c < dispatch.costEnd; ++c) {
      const fb::CostTerm &term = program->costs[c];
      uint64_t cost =
          static_cast<uint64_t>(term.coefficient()) * static_cast<uint64_t>(sizes[term.size()]);
      entry.cost[static_cast<size_t>(term.cost())] += cost;
      entries.total.cost[static_cast<size_t>(term.cost())] += cost;
    }
  }
}
