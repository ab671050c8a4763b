//===- Model.h - a loaded model ---------------------------------------------------*- C++ -*-===//
#ifndef INGOT_RUNTIME_MODEL_H
#define INGOT_RUNTIME_MODEL_H

#include "Artifact.h"
#include "Code.h"
#include "Execute.h"
#include "Pages.h"
#include "Pool.h"

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace ingot {

class TextCodec;

/// Strings of a target, as the C API hands them out.
struct TargetFacts {
  std::vector<const char *> features;
  std::vector<const char *> missing;
  bool usable = false;
};

} // namespace ingot

struct ingot_model {
  explicit ingot_model(const ingot_model_options &options);
  ~ingot_model();

  ingot::Error load(const char *path);

  void retain() { references.fetch_add(1, std::memory_order_relaxed); }
  void release() {
    if (references.fetch_sub(1, std::memory_order_acq_rel) == 1)
      delete this;
  }

  /// A context that nobody else uses, and its return.
  std::unique_ptr<ingot::Context> takeContext();
  void returnContext(std::unique_ptr<ingot::Context> context);

  void log(ingot_log_level level, const std::string &message) const {
    if (options.log)
      options.log(options.log_user, level, message.c_str());
  }
  /// The C API's options as a Control; the deadline starts now.
  ingot::Error makeControl(const ingot_run_options &options, ingot::Control &control) const;

  const ingot::fb::LanguageModel *languageModel() const { return artifact.root().language_model(); }
  const ingot::fb::SequenceModel *sequenceModel() const { return artifact.root().sequence_model(); }
  bool hasCache() const { return languageModel() && languageModel()->whole() < 0; }
  /// Whether a group holds keys of sources; whether sessions need one.
  bool isSourceGroup(size_t group) const {
    return languageModel()->cache_groups()->Get(static_cast<unsigned>(group))->source();
  }
  bool hasSource() const {
    for (size_t g = 0; g < pages.groupCount(); ++g)
      if (isSourceGroup(g))
        return true;
    return false;
  }
  /// What texts are cut to, in tokens: the context, or less where the tokenizer says so.
  uint64_t textTokens() const;
  const char *path() const { return artifact.path().c_str(); }

  ingot_model_options options;
  std::string targetName; // what options.target points to
  ingot::Allocator allocator;
  ingot::Artifact artifact;
  std::vector<ingot::TargetFacts> targets;
  size_t chosenTarget = SIZE_MAX;
  ingot::Code code;
  ingot::Pool pool;
  std::vector<const void *> weights;
  std::vector<ingot::ProgramPlan> programs;
  ingot::PagePool pages;
  std::unique_ptr<ingot::TextCodec> text;
  std::vector<std::string> metadataKeys;
  std::atomic<uint64_t> sessions{0};
  mutable std::mutex contextMutex;
  std::vector<std::unique_ptr<ingot::Context>> contexts; // unused ones
  // Of the contexts in use, as they were when they were taken.
  uint64_t arenaBytesInUse = 0, logitsBytesInUse = 0;

private:
  ingot::Error checkHashes();
  ingot::Error chooseTarget();
  void planPrograms();

  std::atomic<uint32_t> references{1};
};

namespace ingot {

/// A context for the length of a scope.
class ContextLease {
public:
  explicit ContextLease(ingot_model &model) : model(model), context(model.takeContext()) {}
  ~ContextLease() { model.returnContext(std::move(context)); }
  ContextLease(const ContextLease &) = delete;
  ContextLease &operator=(const ContextLease &) = delete;
  Context &operator*() const { return *context; }
  Context *operator->() const { return context.get(); }

private:
  ingot_model &model;
  std::unique_ptr<Context> context;
};

} // namespace ingot

#endif // INGOT_RUNTIME_MODEL_H
