//===- Session.h - a sequence of tokens and its cache ----------------------------------------===//
//
// A session stands in a stream of tokens. Its window is what the model sees: tokens
// [base, base + length) of the stream at positions [0, length). The window only moves under the
// policy `restart`: when it holds `context` tokens and another one comes, the newest `keep` are
// prefilled anew from position 0 and become the window's start. Under `slide` positions go on, and
// pages that no later query can see are given back.
//
// The length of the prompt, what an empty session was fed at once, is kept to its end: frequencies
// of rotary positions may depend on it, and keys in the cache are rotated.
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_RUNTIME_SESSION_H
#define INGOT_RUNTIME_SESSION_H

#include "Model.h"

struct ingot_session {
  explicit ingot_session(ingot_model &model);
  ~ingot_session();

  uint64_t streamLength() const { return base + static_cast<uint64_t>(length); }
  bool keepsIds() const;

  /// Drops the pages of a group that hold no position in [first, end); pages before the window go
  /// back to the hand as well.
  void dropPages(size_t group, int64_t firstPage, int64_t endPage, ingot::Hand &hand);
  /// Drops what is beyond the length, into the pool.
  void trimPages();
  /// Tokens that a group holds.
  int64_t lengthIn(size_t group) const {
    return model.isSourceGroup(group) ? sourceLength : length;
  }

  ingot_model &model;
  std::atomic<bool> busy{false};
  uint64_t base = 0;
  int64_t length = 0;
  int64_t prompt = 0;                           // tokens that it was fed when it was empty
  int64_t sourceLength = 0;                     // tokens of its source; 0: it has none yet
  uint64_t leastLength = 0;                     // of the stream, that truncate can return to
  std::vector<int32_t> ids;                     // of the window, where a step may need them again
  std::vector<ingot::PageTable> tables;         // per cache group: addresses, for kernels
  std::vector<std::vector<ingot::Page *>> held; // per cache group: the same pages
};

namespace ingot {

/// Marks a session as in use for a scope; `acquired` is false when another call uses it.
class SessionUse {
public:
  explicit SessionUse(ingot_session &session)
      : session(session), acquired(!session.busy.exchange(true, std::memory_order_acquire)) {}
  ~SessionUse() {
    if (acquired)
      session.busy.store(false, std::memory_order_release);
  }
  SessionUse(const SessionUse &) = delete;
  SessionUse &operator=(const SessionUse &) = delete;

private:
  ingot_session &session;

public:
  const bool acquired;
};

Error sessionInUse();

/// A step with its control made already: what ingot_step and ingot_generate share.
Error runStep(ingot_model &model, const ingot_step_sequence *sequences, size_t count,
              ingot_logits_fn onLogits, void *user, const ingot_run_options &options,
              const Control &control);

} // namespace ingot

#endif // INGOT_RUNTIME_SESSION_H
