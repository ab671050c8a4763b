//===- Model.cpp - loading ------------------------------------------------------------------===//
#include "Model.h"
#include "Cpu.h"
#include "Text.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <sys/mman.h>

using namespace ingot;

ingot_model::ingot_model(const ingot_model_options &given)
    : options(given), targetName(given.target ? given.target : ""), allocator(given.allocator),
      pages(allocator, given.page_budget) {
  options.target = given.target ? targetName.c_str() : nullptr;
}

ingot_model::~ingot_model() = default;

//===-- Hashes -------------------------------------------------------------------------------===//

namespace {

/// A job of the pool that hashes the chunks of some segments; threads take chunks as they come.
struct HashJob {
  struct Chunk {
    unsigned segment, chunk;
    uint64_t bytes;
  };
  const Artifact *artifact;
  std::vector<Chunk> chunks;
  uint64_t total = 0;
  ingot_progress_fn progress = nullptr;
  void *progressUser = nullptr;
  std::atomic<size_t> next{0};
  std::atomic<uint64_t> done{0};
  std::atomic<size_t> firstBad{SIZE_MAX};

  static void run(void *opaque, unsigned thread, unsigned) {
    HashJob &job = *static_cast<HashJob *>(opaque);
    uint64_t reported = 0;
    for (;;) {
      size_t index = job.next.fetch_add(1, std::memory_order_relaxed);
      if (index >= job.chunks.size() || index > job.firstBad.load(std::memory_order_relaxed))
        return;
      const Chunk &chunk = job.chunks[index];
      if (!job.artifact->chunkIsIntact(chunk.segment, chunk.chunk)) {
        size_t bad = job.firstBad.load();
        while (index < bad && !job.firstBad.compare_exchange_weak(bad, index)) {
        }
      }
      uint64_t sum = job.done.fetch_add(chunk.bytes, std::memory_order_relaxed) + chunk.bytes;
      // Only the caller's thread calls back, after another 64 MiB; the end may be another's.
      if (thread == 0 && job.progress && sum - reported >= 64 << 20 && sum < job.total) {
        job.progress(job.progressUser, "check", sum, job.total);
        reported = sum;
      }
    }
  }
};

} // namespace

Error ingot_model::checkHashes() {
  HashJob job;
  job.artifact = &artifact;
  job.progress = options.progress;
  job.progressUser = options.progress_user;
  const auto &segments = *artifact.root().segments();
  for (unsigned s = 0; s < segments.size(); ++s) {
    const fb::Segment &segment = *segments.Get(s);
    if (segment.kind() == fb::SegmentKind::Weights && options.trust)
      continue;
    // Hashing would otherwise wait for each page. Where there are huge ones, this would fill the
    // cache with small ones.
    if (segment.kind() == fb::SegmentKind::Weights && !artifact.readsAhead())
      madvise(const_cast<char *>(artifact.segmentData(s)), segment.length(), MADV_WILLNEED);
    for (unsigned c = 0; c < segment.hashes()->size(); ++c) {
      uint64_t bytes = std::min(kChunkBytes, segment.length() - c * kChunkBytes);
      job.chunks.push_back({s, c, bytes});
      job.total += bytes;
    }
  }
  pool.run(pool.size(), HashJob::run, &job);
  size_t bad = job.firstBad.load();
  if (bad != SIZE_MAX)
    return artifact.changedChunk(job.chunks[bad].segment, job.chunks[bad].chunk);
  if (job.progress)
    job.progress(job.progressUser, "check", job.total, job.total);
  return nullptr;
}

//===-- Targets ------------------------------------------------------------------------------===//

/// Finds out what each target needs and chooses one, which a model that is only looked at can lack.
Error ingot_model::chooseTarget() {
  const auto &list = *artifact.root().targets();
  for (const fb::Target *target : list) {
    TargetFacts facts;
    facts.usable = target->arch()->string_view() == cpuArchitecture();
    for (unsigned f = 0; target->features() && f < target->features()->size(); ++f) {
      const flatbuffers::String *feature = target->features()->Get(f);
      facts.features.push_back(feature->c_str());
      // Whether tiles may be used is asked of the system: only when nothing else is missing.
      if (!facts.usable || !cpuHasFeature(feature->string_view()))
        facts.missing.push_back(feature->c_str());
    }
    facts.usable &= facts.missing.empty();
    targets.push_back(std::move(facts));
  }
  std::string names;
  for (size_t i = 0; i < targets.size(); ++i) {
    const fb::Target *target = list.Get(static_cast<unsigned>(i));
    bool wanted = !options.target || target->name()->string_view() == targetName;
    if (wanted && targets[i].usable) {
      chosenTarget = i;
      return nullptr;
    }
    if (!wanted) {
      names += (names.empty() ? "" : ", ") + target->name()->str();
      continue;
    }
    std::string missing;
    for (const char *feature : targets[i].missing)
      missing += (missing.empty() ? "" : ", ") + std::string(feature);
    if (target->arch()->string_view() != cpuArchitecture())
      missing = "an " + target->arch()->str() + " processor";
    names += (names.empty() ? "" : "; ") + target->name()->str() + " needs " + missing;
  }
  if (options.target && std::none_of(list.begin(), list.end(), [&](const fb::Target *target) {
        return target->name()->string_view() == targetName;
      }))
    return makeError(INGOT_NOT_FOUND, "%s: no code for target %s, only for %s", path(),
                     targetName.c_str(), names.c_str());
  if (options.inspect_only)
    return nullptr;
  if (options.target)
    return makeError(INGOT_UNSUPPORTED,
                     "%s: this processor cannot run the code of a target (%s); leave --target out "
                     "or compile again",
                     path(), names.c_str());
  return makeError(INGOT_UNSUPPORTED,
                   "%s: compiled for other processors than this one (%s); compile again with "
                   "another --target",
                   path(), names.c_str());
}

//===-- Plans --------------------------------------------------------------------------------===//

/// Copies what a run reads from the head into flat arrays, with kernels as addresses.
void ingot_model::planPrograms() {
  const fb::Artifact &root = artifact.root();
  const fb::Target *target =
      options.inspect_only ? nullptr : root.targets()->Get(static_cast<unsigned>(chosenTarget));
  for (unsigned i = 0; root.weights() && i < root.weights()->size(); ++i) {
    const fb::Weight *weight = root.weights()->Get(i);
    weights.push_back(artifact.segmentData(weight->segment()) + weight->offset());
  }
  for (const fb::Program *source : *root.programs()) {
    ProgramPlan plan;
    plan.source = source;
    for (unsigned i = 0; source->sizes() && i < source->sizes()->size(); ++i)
      plan.sizes.push_back(*source->sizes()->Get(i));
    for (unsigned i = 0; source->batches() && i < source->batches()->size(); ++i) {
      const fb::Batch &batch = *source->batches()->Get(i);
      plan.usesStep |= batch.kind() == fb::BatchKind::Step;
      plan.ofSource.push_back(batch.cache_group() >= 0 &&
                              root.language_model()
                                  ->cache_groups()
                                  ->Get(static_cast<unsigned>(batch.cache_group()))
                                  ->source());
    }
    for (unsigned d = 0; source->dispatches() && d < source->dispatches()->size(); ++d) {
      const fb::Dispatch *dispatch = source->dispatches()->Get(d);
      DispatchPlan out;
      out.function = target ? code.kernel(dispatch->kernel()) : nullptr;
      // Artifacts of before this field say nothing.
      out.dividedRows =
          target && target->divided_rows() ? target->divided_rows()->Get(dispatch->kernel()) : 0;
      out.grid = dispatch->grid();
      out.batch = dispatch->batch();
      out.bufferBegin = static_cast<uint32_t>(plan.buffers.size());
      for (unsigned i = 0; dispatch->buffers() && i < dispatch->buffers()->size(); ++i)
        plan.buffers.push_back(*dispatch->buffers()->Get(i));
      out.bufferEnd = static_cast<uint32_t>(plan.buffers.size());
      out.scalarBegin = static_cast<uint32_t>(plan.scalars.size());
      for (unsigned i = 0; dispatch->scalars() && i < dispatch->scalars()->size(); ++i)
        plan.scalars.push_back(*dispatch->scalars()->Get(i));
      out.scalarEnd = static_cast<uint32_t>(plan.scalars.size());
      out.costBegin = static_cast<uint32_t>(plan.costs.size());
      for (unsigned i = 0; dispatch->cost() && i < dispatch->cost()->size(); ++i)
        plan.costs.push_back(*dispatch->cost()->Get(i));
      out.costEnd = static_cast<uint32_t>(plan.costs.size());
      if (target)
        plan.scratchBytes = std::max(plan.scratchBytes, target->scratch()->Get(dispatch->kernel()));
      plan.dispatches.push_back(out);
    }
    programs.push_back(std::move(plan));
  }
}

Error ingot_model::load(const char *path) {
  INGOT_TRY(artifact.open(path));
  INGOT_TRY(chooseTarget());
  pool.start(options.threads ? std::min(options.threads, 1024u) : usableThreads());
  INGOT_TRY(checkHashes());
  const char *perf = getenv("INGOT_PERF_MAP");
  bool perfMap = options.perf_map || (perf && strcmp(perf, "0") != 0 && *perf);
  if (!options.inspect_only)
    INGOT_TRY(code.load(artifact, static_cast<unsigned>(chosenTarget), perfMap));
  if (code.isCopied() && !perfMap)
    log(INGOT_LOG_WARNING, std::string(path) + ": on a file system without execution: the code was "
                                               "copied to memory");
  planPrograms();
  const fb::Artifact &root = artifact.root();
  for (unsigned i = 0; root.options() && i < root.options()->size(); ++i)
    metadataKeys.push_back("option." + root.options()->Get(i)->key()->str());
  for (unsigned i = 0; root.sources() && i < root.sources()->size(); ++i)
    metadataKeys.push_back("source." + root.sources()->Get(i)->key()->str());
  if (const fb::LanguageModel *lm = languageModel())
    for (unsigned g = 0; lm->cache_groups() && g < lm->cache_groups()->size(); ++g)
      pages.addGroup(lm->cache_groups()->Get(g)->page_bytes());
  int tokenizer = artifact.root().tokenizer();
  if (tokenizer >= 0) {
    const fb::Segment *segment = artifact.root().segments()->Get(static_cast<unsigned>(tokenizer));
    INGOT_TRY(TextCodec::create(artifact.path(),
                                artifact.segmentData(static_cast<unsigned>(tokenizer)),
                                segment->length(), text));
  }
  log(INGOT_LOG_INFO,
      std::string(path) + ": " +
          (options.inspect_only
               ? "no code"
               : "code for " +
                     root.targets()->Get(static_cast<unsigned>(chosenTarget))->name()->str()) +
          ", " + std::to_string(pool.size()) + " threads");
  return nullptr;
}

//===-- Contexts -----------------------------------------------------------------------------===//

std::unique_ptr<Context> ingot_model::takeContext() {
  {
    std::lock_guard<std::mutex> lock(contextMutex);
    if (!contexts.empty()) {
      std::unique_ptr<Context> context = std::move(contexts.back());
      contexts.pop_back();
      context->accountedArena = context->arenaBytes();
      context->accountedLogits = context->logitsBytes();
      arenaBytesInUse += context->accountedArena;
      logitsBytesInUse += context->accountedLogits;
      return context;
    }
  }
  return std::make_unique<Context>(allocator, pool, weights);
}

void ingot_model::returnContext(std::unique_ptr<Context> context) {
  std::lock_guard<std::mutex> lock(contextMutex);
  arenaBytesInUse -= context->accountedArena;
  logitsBytesInUse -= context->accountedLogits;
  contexts.push_back(std::move(context));
}

Error ingot_model::makeControl(const ingot_run_options &run, Control &control) const {
  if (options.inspect_only)
    return makeError(INGOT_UNSUPPORTED, "%s: was opened to be inspected, not to be run", path());
  control.threads = run.threads ? std::min(run.threads, pool.size()) : pool.size();
  control.cancel = run.cancel;
  if (run.timeout_ns) {
    uint64_t now = monotonicNanoseconds();
    control.deadline = run.timeout_ns > UINT64_MAX - now ? UINT64_MAX : now + run.timeout_ns;
  }
  control.profile = profileData(run.profile);
  if (control.profile && control.profile->programs.size() != programs.size())
    return makeError(INGOT_INVALID_ARGUMENT, "the profile was made for another model");
  return nullptr;
}

//===-- C API --------------------------------------------------------------------------------===//

const char *ingot_version(void) { return "0.1.0"; }

ingot_error *ingot_model_load(const char *path, const ingot_model_options *options,
                              ingot_model **out_model) {
  return guarded([&]() -> Error {
    if (!path || !out_model)
      return makeError(INGOT_INVALID_ARGUMENT, "ingot_model_load: path or out_model is null");
    ingot_model_options given;
    INGOT_TRY(readOptions(given, options));
    if (!given.allocator.allocate != !given.allocator.release)
      return makeError(INGOT_INVALID_ARGUMENT, "an allocator needs both of its functions");
    auto model = std::make_unique<ingot_model>(given);
    INGOT_TRY(model->load(path));
    *out_model = model.release();
    return nullptr;
  });
}

void ingot_model_destroy(ingot_model *model) {
  if (model)
    model->release();
}

void ingot_model_trim(ingot_model *model) {
  std::vector<std::unique_ptr<Context>> unused;
  {
    std::lock_guard<std::mutex> lock(model->contextMutex);
    unused.swap(model->contexts);
  }
  model->pages.trim();
}

ingot_error *ingot_model_get_memory(const ingot_model *model, ingot_memory_info *info) {
  return guarded([&]() -> Error {
    ingot_memory_info memory;
    ingot_memory_info_init(&memory);
    memory.mapped_bytes = model->artifact.size();
    memory.code_bytes = model->code.isCopied() ? model->code.size() : 0;
    memory.head_bytes = model->artifact.headSize();
    {
      std::lock_guard<std::mutex> lock(model->contextMutex);
      for (const auto &context : model->contexts) {
        memory.arena_bytes += context->arenaBytes();
        memory.output_bytes += context->logitsBytes();
      }
      memory.arena_bytes += model->arenaBytesInUse;
      memory.output_bytes += model->logitsBytesInUse;
    }
    memory.page_bytes_used = model->pages.usedBytes();
    memory.page_bytes_free = model->pages.freeBytes();
    memory.page_budget = model->options.page_budget;
    memory.sessions = model->sessions.load();
    return writeInfo(info, memory);
  });
}

ingot_error *ingot_cancel_create(ingot_cancel **out_cancel) {
  return guarded([&]() -> Error {
    *out_cancel = new ingot_cancel;
    return nullptr;
  });
}
void ingot_cancel_request(ingot_cancel *cancel) { cancel->requested.store(true); }
void ingot_cancel_reset(ingot_cancel *cancel) { cancel->requested.store(false); }
void ingot_cancel_destroy(ingot_cancel *cancel) { delete cancel; }
