//===- Common.cpp - loading, ids, progress --------------------------------------------------===//
#include "Common.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <sys/stat.h>
#include <unistd.h>

using namespace ingot;

Failure failureIn(const std::string &path, const std::string &what) {
  return Failure(what.rfind(path + ":", 0) == 0 ? what : path + ": " + what);
}

void checkRun(const std::string &path, ingot_error *error) {
  bool interrupted = ingot_error_status(error) == INGOT_CANCELLED;
  try {
    check(error);
  } catch (const Error &failure) {
    throw failureIn(path, interrupted ? "interrupted" : failure.what());
  }
}

ingot::Model loadModel(const LoadOptions &options) {
  ingot_model_options model;
  ingot_model_options_init(&model);
  model.trust = options.trust;
  model.inspect_only = options.inspectOnly;
  model.threads = options.threads;
  model.target = options.target.empty() ? nullptr : options.target.c_str();
  model.page_budget = options.pageBudget << 20;
  ProgressLine line;
  model.progress = [](void *user, const char *, uint64_t done, uint64_t total) {
    static_cast<ProgressLine *>(user)->show("checking", done, total);
  };
  model.progress_user = &line;
  model.log = [](void *, ingot_log_level level, const char *message) {
    if (level == INGOT_LOG_WARNING)
      fprintf(stderr, "warning: %s\n", message);
  };
  return Model(options.path, &model);
}

ingot::Session newSession(const Model &model) {
  Session session(model);
  if (!model.languageModel().has_source)
    return session;
  std::vector<int32_t> ids;
  uint32_t vocabulary = model.sequenceModel().vocabulary;
  for (uint32_t i = 0; i < std::min<uint64_t>(64, model.sequenceModel().context); ++i)
    ids.push_back(static_cast<int32_t>(i * 7919 % vocabulary));
  ingot_sequence source = {ids.data(), nullptr, ids.size()};
  ingot_session *handle = session.get();
  check(ingot_set_sources(model.get(), &handle, &source, 1, nullptr));
  return session;
}

std::vector<std::vector<int32_t>> raggedSequences(const Model &model, size_t count,
                                                  size_t longest) {
  std::vector<std::vector<int32_t>> sequences(count);
  uint32_t state = 1, vocabulary = model.sequenceModel().vocabulary;
  for (size_t i = 0; i < count; ++i) {
    // Evenly spread, the longest first; neighbours in a batch differ.
    size_t step = i % 2 ? count - 1 - i / 2 : i / 2;
    sequences[i].resize(std::max<size_t>(1, longest - longest * 3 * step / (4 * count)));
    for (int32_t &id : sequences[i]) {
      state = state * 1664525 + 1013904223;
      id = static_cast<int32_t>((state >> 8) % vocabulary);
    }
  }
  return sequences;
}

std::vector<ingot_sequence> asSequences(const std::vector<std::vector<int32_t>> &ids) {
  std::vector<ingot_sequence> sequences;
  for (const std::vector<int32_t> &each : ids)
    sequences.push_back({each.data(), nullptr, each.size()});
  return sequences;
}

size_t mainOutput(const Model &model) {
  for (size_t i = 0; i < model.sequenceModel().output_count; ++i) {
    std::string_view name = model.sequenceOutput(i).name;
    if (name == "hidden" || name == "encoder")
      return i;
  }
  return 0;
}

static ingot_cancel *theToken = nullptr;
static volatile sig_atomic_t interrupted = 0;

static void listen() {
  struct sigaction action = {};
  action.sa_handler = [](int) {
    interrupted = 1;
    ingot_cancel_request(theToken);
  };
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  sigaction(SIGINT, &action, nullptr);
}

ingot_cancel *interruptToken() {
  static Cancel token = [] {
    Cancel made = makeCancel();
    theToken = made.get();
    listen();
    return made;
  }();
  return token.get();
}

void listenAgain() {
  ingot_cancel_reset(interruptToken());
  interrupted = 0;
  listen();
}

bool wasInterrupted() { return interrupted; }

void removeUnfinished(const std::string &path) {
  struct stat status;
  if (stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode))
    unlink(path.c_str());
}

void ProgressLine::show(const std::string &what, uint64_t done, uint64_t total) {
  static const bool terminal = isatty(STDERR_FILENO);
  if (!terminal || total == 0)
    return;
  // Short work shows nothing.
  double now = nowSeconds();
  if (started == 0)
    started = static_cast<uint64_t>(now * 1000) + 1;
  if (static_cast<uint64_t>(now * 1000) < started + 400)
    return;
  fprintf(stderr, "\r%s: %3u %%\x1b[K", what.c_str(),
          static_cast<unsigned>(100 * (static_cast<double>(done) / static_cast<double>(total))));
  fflush(stderr);
  visible = true;
}

void ProgressLine::clear() {
  if (visible)
    fputs("\r\x1b[K", stderr);
  visible = false;
}

std::vector<int32_t> parseIds(const std::string &text, const std::string &where) {
  std::vector<int32_t> ids;
  const char *at = text.data(), *end = at + text.size();
  auto isSeparator = [](char c) { return c == ' ' || c == ',' || c == '\t' || c == '\r'; };
  bool wantsId = true;
  while (at < end) {
    if (isSeparator(*at)) {
      if (*at == ',' && wantsId)
        throw Failure(where + ": expected an id before ','");
      wantsId |= *at == ',';
      ++at;
      continue;
    }
    wantsId = false;
    int32_t id = 0;
    auto [next, error] = std::from_chars(at, end, id);
    if (error == std::errc::result_out_of_range)
      throw Failure(where + ": an id that is out of range");
    if (error != std::errc() || (next < end && !isSeparator(*next))) {
      const char *stop = at;
      while (stop < end && !isSeparator(*stop))
        ++stop;
      throw Failure(where + ": expected an id, got '" +
                    std::string(at, std::min<ptrdiff_t>(stop - at, 40)) + "'");
    }
    ids.push_back(id);
    at = next;
  }
  if (wantsId && !ids.empty())
    throw Failure(where + ": expected an id after ','");
  return ids;
}

std::string readFile(const std::string &path) {
  FILE *file = path == "-" ? stdin : fopen(path.c_str(), "rbe");
  if (!file)
    throw Failure(path + ": cannot be opened: " + strerror(errno));
  std::string text;
  char buffer[65536];
  size_t got;
  while ((got = fread(buffer, 1, sizeof buffer, file)) > 0)
    text.append(buffer, got);
  bool failed = ferror(file) != 0;
  int code = errno;
  if (file != stdin)
    fclose(file);
  if (failed)
    throw Failure(path + ": cannot be read: " + strerror(code));
  return text;
}

std::vector<std::vector<int32_t>> readIdsFile(const std::string &path) {
  std::string text = readFile(path);
  std::vector<std::vector<int32_t>> sequences;
  for (size_t at = 0; at < text.size();) {
    size_t end = std::min(text.find('\n', at), text.size());
    std::string where = path + ": line " + std::to_string(sequences.size() + 1);
    sequences.push_back(parseIds(text.substr(at, end - at), where));
    if (sequences.back().empty())
      throw Failure(where + ": no ids in it");
    at = end + 1;
  }
  if (sequences.empty())
    throw Failure(path + ": no ids in it");
  return sequences;
}

void print(std::string_view text) {
  if (fwrite(text.data(), 1, text.size(), stdout) != text.size())
    throw Failure(std::string("standard output: cannot be written: ") + strerror(errno));
}

double nowSeconds() {
  using namespace std::chrono;
  return duration<double>(steady_clock::now().time_since_epoch()).count();
}

std::string formatBytes(uint64_t bytes) {
  const char *units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1024 && unit < 4) {
    value /= 1024;
    ++unit;
  }
  char text[64];
  snprintf(text, sizeof text, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
  return text;
}
