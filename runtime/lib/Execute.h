//===- Execute.h - running a program ---------------------------------------------------------===//
//
// A run has two halves. `prepare` evaluates the program's sizes from the dimensions of its inputs
// and the rows of the step, with overflow checks, and reserves the memory that they ask for; then
// the caller looks at the shapes of the outputs and binds addresses; `execute` builds the tables
// that kernels read and goes through the dispatches.
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_RUNTIME_EXECUTE_H
#define INGOT_RUNTIME_EXECUTE_H

#include "Artifact.h"
#include "Items.h"
#include "Pool.h"
#include "Shares.h"
#include "ingot/kernel_abi.h"

#include <array>
#include <atomic>
#include <vector>

struct ingot_cancel {
  std::atomic<bool> requested{false};
};

namespace ingot {

/// A dispatch with everything resolved that does not depend on the run.
struct DispatchPlan {
  ingot_kernel_fn function;
  uint32_t dividedRows; // with at most so many it is divided into pieces
  uint32_t grid;
  int32_t batch;
  uint32_t bufferBegin, bufferEnd;
  uint32_t scalarBegin, scalarEnd;
  uint32_t costBegin, costEnd;
};

struct ProgramPlan {
  const fb::Program *source = nullptr;
  std::vector<fb::Size> sizes;
  std::vector<DispatchPlan> dispatches;
  std::vector<fb::Buffer> buffers;
  std::vector<fb::Scalar> scalars;
  std::vector<fb::CostTerm> costs;
  uint64_t scratchBytes = 0;  // per thread
  bool usesStep = false;      // has batches of what a session is fed
  std::vector<bool> ofSource; // per batch: its keys are those of the sequences' sources
};

/// The pages that one session holds in one cache group.
struct PageTable {
  std::vector<void *> addresses;
  int64_t firstPage = 0; // what addresses[0] is
};

/// The rows of one program run, packed.
struct StepRows {
  struct Sequence {
    int64_t rowBegin, rowCount;
    int64_t position;        // of its first row
    int64_t prompt;          // tokens of its prompt
    const PageTable *tables; // one per cache group; null without a cache
    int64_t sourceLength;    // positions in the groups of the source
    int64_t keyEnd(bool ofSource) const { return ofSource ? sourceLength : position + rowCount; }
  };
  std::vector<Sequence> sequences;
  std::vector<int32_t> ids, rowSequence, rowPosition, rowPrompt, outputRows;

  void clear();
  /// Starts a sequence whose first row stands at `position`, and whose prompt has `prompt` tokens.
  void beginSequence(int64_t position, int64_t prompt, const PageTable *tables,
                     int64_t sourceLength = 0);
  void addRow(int32_t id, bool output);
};

/// Sums over runs, one per program and dispatch.
struct ProfileData {
  struct Entry {
    uint64_t runs = 0;
    uint64_t nanoseconds = 0;
    std::array<uint64_t, INGOT_COST_CLASSES> cost = {};
  };
  struct ProgramEntries {
    Entry total;
    std::vector<Entry> dispatches;
  };
  std::vector<ProgramEntries> programs;
};

/// What a call may do while it runs.
struct Control {
  unsigned threads = 1;
  const ingot_cancel *cancel = nullptr;
  uint64_t deadline = 0; // nanoseconds of the monotonic clock; 0: none
  ProfileData *profile = nullptr;

  bool mustStop() const;
  Error check() const;
};
/// What a profile of the C API holds.
ProfileData *profileData(ingot_profile *profile);
uint64_t monotonicNanoseconds();

/// Everything that one run at a time needs: arena, scratch, tables. Reused from run to run, so that
/// a step in the steady state allocates nothing.
class Context {
public:
  Context(const Allocator &allocator, Pool &pool, const std::vector<const void *> &weights)
      : pool(pool), weights(weights), arena(allocator), scratch(allocator), logits(allocator),
        parts(allocator) {}

  /// `inputShapes[i]` are the dimensions of input i. `step` may be null for programs that have no
  /// step batch; it must live until `execute` returns.
  Error prepare(const ProgramPlan &program, const int64_t *const *inputShapes, const StepRows *step,
                unsigned threads);
  int64_t outputDim(size_t output, size_t dimension) const {
    return sizes[program->source->outputs()
                     ->Get(static_cast<unsigned>(output))
                     ->sizes()
                     ->Get(static_cast<unsigned>(dimension))];
  }
  /// Bytes of an output, all dimensions checked; INGOT_CORRUPT when they make no sense.
  Error outputBytes(size_t output, uint64_t &bytes) const;
  /// Inputs and outputs must be aligned to 64 bytes.
  Error execute(const void *const *inputs, void *const *outputs, const Control &control,
                size_t programIndex);

  Block &logitsBlock() { return logits; }
  uint64_t arenaBytes() const { return arena.size() + scratch.size() + parts.size(); }
  uint64_t logitsBytes() const { return logits.size(); }

  // Of the step layer, kept here to be reused.
  StepRows rows;
  // What this context was counted as when it was taken.
  uint64_t accountedArena = 0, accountedLogits = 0;

private:
  struct BatchData {
    // Facts, known in `prepare`.
    bool known = false;
    int64_t tokens = 0, sequences = 0, outputs = 0, pages = 0;
    int64_t rows = 0, keys = 0;                       // per sequence, for Uniform
    std::vector<ingot_kernel_sequence> sequenceTable; // without pages
    ItemList items;
    uint64_t partsOffset = 0; // of its records and then counters in `parts`
    // Tables, filled in `execute`.
    std::vector<int32_t> rowSequence, rowPosition, rowPrompt;
    std::vector<void *> pageTable;
    ingot_kernel_batch view = {};
  };
  struct RunState;

  Error evaluateSize(const fb::Size &size, const int64_t *const *inputShapes, int64_t &value);
  Error learnBatch(unsigned index);
  Error batchDimension(const fb::Size &size, int64_t &value);
  Error layOutSlots();
  Error buildBatch(unsigned index);
  void buildTables(const void *const *inputs, void *const *outputs);
  void runDispatch(size_t index, unsigned thread, unsigned threads);
  static void runOnPool(void *state, unsigned thread, unsigned threads);
  void recordCosts(ProfileData &profile, size_t programIndex);

  Pool &pool;
  const std::vector<const void *> &weights;
  Block arena, scratch, logits, parts;
  uint64_t scratchStride = 0;
  Shares shares;
  unsigned threadsPlanned = 1;

  const ProgramPlan *program = nullptr;
  const StepRows *step = nullptr;
  std::vector<int64_t> sizes;
  std::vector<uint64_t> slotOffsets;
  std::vector<BatchData> batches;
  std::vector<void *> pointers;
  std::vector<int64_t> scalarValues;
};

} // namespace ingot

#endif // INGOT_RUNTIME_EXECUTE_H
