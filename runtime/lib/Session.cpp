//===- Session.cpp - creating, forking, truncating -------------------------------------------===//
#include "Session.h"

#include <algorithm>

using namespace ingot;

ingot_session::ingot_session(ingot_model &model) : model(model) {
  tables.resize(model.pages.groupCount());
  held.resize(model.pages.groupCount());
  model.retain();
  model.sessions.fetch_add(1, std::memory_order_relaxed);
}

ingot_session::~ingot_session() {
  length = sourceLength = 0;
  trimPages();
  model.sessions.fetch_sub(1, std::memory_order_relaxed);
  model.release();
}

bool ingot_session::keepsIds() const {
  return !model.hasCache() || model.languageModel()->past_context() == fb::PastContext::Restart;
}

void ingot_session::dropPages(size_t group, int64_t firstPage, int64_t endPage, Hand &hand) {
  PageTable &table = tables[group];
  std::vector<Page *> &pages = held[group];
  while (table.firstPage + static_cast<int64_t>(pages.size()) > endPage && !pages.empty()) {
    PagePool::drop(pages.back(), hand[group]);
    pages.pop_back();
    table.addresses.pop_back();
  }
  int64_t gone =
      std::clamp<int64_t>(firstPage - table.firstPage, 0, static_cast<int64_t>(pages.size()));
  for (int64_t i = 0; i < gone; ++i)
    PagePool::drop(pages[static_cast<size_t>(i)], hand[group]);
  pages.erase(pages.begin(), pages.begin() + gone);
  table.addresses.erase(table.addresses.begin(), table.addresses.begin() + gone);
  table.firstPage += gone;
}

void ingot_session::trimPages() {
  Hand hand(tables.size());
  for (size_t g = 0; g < tables.size(); ++g)
    dropPages(g, 0, ceilDiv(lengthIn(g), kPagePositions), hand);
  model.pages.release(hand);
}

Error ingot::sessionInUse() {
  return makeError(INGOT_INVALID_ARGUMENT,
                   "a session is used by two calls at once (or twice in one step)");
}

ingot_error *ingot_session_create(ingot_model *model, ingot_session **out_session) {
  return guarded([&]() -> Error {
    if (!model || !out_session)
      return makeError(INGOT_INVALID_ARGUMENT, "ingot_session_create: a null pointer");
    if (!model->languageModel())
      return makeError(INGOT_INVALID_ARGUMENT, "%s: not a language model: run its entry points",
                       model->path());
    *out_session = new ingot_session(*model);
    return nullptr;
  });
}

void ingot_session_destroy(ingot_session *session) { delete session; }

ingot_error *ingot_session_fork(ingot_session *session, ingot_session **out_session) {
  return guarded([&]() -> Error {
    if (!session || !out_session)
      return makeError(INGOT_INVALID_ARGUMENT, "ingot_session_fork: a null pointer");
    SessionUse use(*session);
    if (!use.acquired)
      return sessionInUse();
    auto copy = std::make_unique<ingot_session>(session->model);
    copy->ids = session->ids;
    auto tables = session->tables;
    auto held = session->held;
    // Nothing fails from here on.
    for (const std::vector<Page *> &pages : held)
      for (Page *page : pages)
        page->references.fetch_add(1, std::memory_order_relaxed);
    copy->tables.swap(tables);
    copy->held.swap(held);
    copy->base = session->base;
    copy->length = session->length;
    copy->prompt = session->prompt;
    copy->sourceLength = session->sourceLength;
    copy->leastLength = session->leastLength;
    *out_session = copy.release();
    return nullptr;
  });
}

ingot_error *ingot_session_truncate(ingot_session *session, uint64_t length) {
  return guarded([&]() -> Error {
    SessionUse use(*session);
    if (!use.acquired)
      return sessionInUse();
    if (length > session->streamLength())
      return makeError(INGOT_INVALID_ARGUMENT, "a session of %llu tokens truncated to %llu",
                       static_cast<unsigned long long>(session->streamLength()),
                       static_cast<unsigned long long>(length));
    if (length < session->leastLength)
      return makeError(INGOT_INVALID_ARGUMENT,
                       "a session truncated to %llu tokens, but it restarted at %llu",
                       static_cast<unsigned long long>(length),
                       static_cast<unsigned long long>(session->leastLength));
    int64_t kept = static_cast<int64_t>(length - session->base);
    for (size_t g = 0; g < session->tables.size(); ++g) {
      // The next query stands at `kept` and sees `window` positions, itself included.
      int64_t window = static_cast<int64_t>(
          session->model.languageModel()->cache_groups()->Get(static_cast<unsigned>(g))->window());
      int64_t needed = window ? std::max<int64_t>(0, kept - window + 1) : 0;
      if (session->tables[g].firstPage * kPagePositions > needed)
        return makeError(INGOT_INVALID_ARGUMENT,
                         "a session truncated to %llu tokens, but positions before %lld have left "
                         "its window",
                         static_cast<unsigned long long>(length),
                         static_cast<long long>(session->tables[g].firstPage * kPagePositions));
    }
    session->length = kept;
    if (session->keepsIds())
      session->ids.resize(static_cast<size_t>(kept));
    session->trimPages();
    return nullptr;
  });
}

uint64_t ingot_session_length(const ingot_session *session) { return session->streamLength(); }
uint64_t ingot_session_position(const ingot_session *session) {
  return static_cast<uint64_t>(session->length);
}
