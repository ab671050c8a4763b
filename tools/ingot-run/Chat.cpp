//===- Chat.cpp - a conversation ------------------------------------------------------------===//
//
// Each turn the whole conversation is written with the chat template and encoded. What the session
// already holds of it stays in the cache, so a turn costs what is new: the answer's own tokens are
// there, and the user's are fed.
//===----------------------------------------------------------------------------------------===//
#include "Commands.h"

#include "ingot/Chat/StopStrings.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <set>
#include <unistd.h>

using namespace ingot;

namespace {

using Json = nlohmann::ordered_json;

constexpr uint64_t kMostNewTokens = 2048;

class Chat {
public:
  explicit Chat(const ChatOptions &options);

  /// One turn: the user says `text`, the answer is printed. A Failure leaves the conversation as it
  /// was before the turn.
  void turn(const std::string &text);
  void clear();

private:
  struct Message {
    std::string role, content;
  };
  struct Answer { // what the callbacks of one generation see
    Chat &chat;
    TextStream text;
    chat::StopStrings stops;
    std::string content;
    std::vector<int32_t> ids;
    std::string failure; // of writing to stdout
    bool ended = false;
    double firstToken = 0;
    float penalty = 0;
    std::set<int32_t> seen; // with a penalty: the ids of the whole conversation
  };

  std::string format(bool generationPrompt) const;
  std::string format(const std::vector<Message> &messages, bool generationPrompt) const;
  void findEndOfTurn();
  bool isEnd(int32_t id) const { return std::find(ends.begin(), ends.end(), id) != ends.end(); }
  /// Truncates the session to what it shares with `ids`; the number of tokens that stay.
  size_t reuse(const std::vector<int32_t> &ids);
  static bool onToken(void *user, size_t, int32_t id);
  static void show(Answer &answer, std::string_view text);

  const ChatOptions &options;
  Model model;
  ingot_language_model_info lm;
  std::string chatTemplate, variables;
  std::vector<int32_t> ends;
  std::vector<Message> messages;
  Session session;
  std::vector<int32_t> cached; // ids that the session holds
  uint64_t turns = 0;
};

Chat::Chat(const ChatOptions &options) : options(options), model(loadModel(options.load)) {
  const std::string &path = options.load.path;
  if (!model.info().has_language_model)
    throw Failure(path + ": not a language model");
  if (options.templateFile)
    chatTemplate = readFile(*options.templateFile);
  else if (!model.info().has_chat_template)
    throw Failure(path + ": has no chat template; give one with --chat-template FILE");
  lm = model.languageModel();
  if (lm.end_id_count)
    ends.assign(lm.end_ids, lm.end_ids + lm.end_id_count);
  if (int32_t id = model.specialId("eos"); id >= 0)
    ends.push_back(id);

  Json values = Json::object();
  for (const std::string &variable : options.variables) {
    size_t equals = variable.find('=');
    if (equals == 0 || equals == std::string::npos)
      throw Failure("--var: expected NAME=VALUE, got '" + variable + "'");
    // JSON where it is, text otherwise.
    std::string text = variable.substr(equals + 1);
    Json value = Json::parse(text, nullptr, /*allow_exceptions=*/false);
    values[variable.substr(0, equals)] = value.is_discarded() ? Json(text) : value;
  }
  variables = values.dump(-1, ' ', false, Json::error_handler_t::replace);
  clear();
  findEndOfTurn();
}

void Chat::clear() {
  messages.clear();
  if (options.system)
    messages.push_back({"system", *options.system});
  session = Session(model);
  cached.clear();
}

std::string Chat::format(bool generationPrompt) const { return format(messages, generationPrompt); }

std::string Chat::format(const std::vector<Message> &list, bool generationPrompt) const {
  std::vector<ingot_chat_message> borrowed;
  for (const Message &message : list)
    borrowed.push_back({message.role.c_str(), message.content.c_str(), nullptr});
  ingot_chat_options chat;
  ingot_chat_options_init(&chat);
  chat.chat_template = options.templateFile ? chatTemplate.c_str() : nullptr;
  chat.variables = variables.c_str();
  chat.no_generation_prompt = !generationPrompt;
  return model.formatChat(borrowed, &chat);
}

/// What the template writes behind an answer ends one: checkpoints often do not say so elsewhere.
void Chat::findEndOfTurn() {
  const std::string answer = "ingot";
  try {
    std::string text = format({{"user", "?"}, {"assistant", answer}}, false);
    size_t at = text.rfind(answer);
    if (at == std::string::npos)
      return;
    std::vector<int32_t> ids = model.encode(text.substr(at + answer.size()), /*special=*/false);
    if (ids.empty())
      return;
    TextStream plain(model);
    std::string shown(plain.push(ids[0]));
    shown += plain.finish();
    if (shown.empty()) // a special token
      ends.push_back(ids[0]);
  } catch (const Error &) {
    // A template may refuse that conversation; the first real turn will tell.
  }
}

size_t Chat::reuse(const std::vector<int32_t> &ids) {
  // The last token is fed in any case: its logits are wanted.
  size_t limit = std::min(cached.size(), ids.size() - 1), kept = 0;
  while (kept < limit && cached[kept] == ids[kept])
    ++kept;
  if (kept < cached.size()) {
    ingot_error *error = ingot_session_truncate(session.get(), kept);
    if (error) { // those positions have left a sliding window: from the start
      ingot_error_destroy(error);
      session = Session(model);
      kept = 0;
    }
    cached.resize(kept);
  }
  return kept;
}

void Chat::show(Answer &answer, std::string_view text) {
  answer.content += text;
  if (answer.chat.options.json || text.empty())
    return;
  try {
    print(text);
    fflush(stdout);
  } catch (const Failure &failure) {
    answer.failure = failure.what();
  }
}

bool Chat::onToken(void *user, size_t, int32_t id) {
  Answer &answer = *static_cast<Answer *>(user);
  if (answer.ids.empty())
    answer.firstToken = nowSeconds();
  answer.ids.push_back(id);
  if (answer.penalty != 0)
    answer.seen.insert(id);
  if (answer.chat.isEnd(id)) {
    answer.ended = true;
    return false;
  }
  show(answer, answer.stops.push(answer.text.push(id)));
  return answer.failure.empty() && !answer.stops.stopped();
}

void Chat::turn(const std::string &text) {
  const std::string &path = options.load.path;
  messages.push_back({"user", text});
  struct Undo { // until there is an answer
    std::vector<Message> *messages;
    ~Undo() {
      if (messages)
        messages->pop_back();
    }
  } undo{&messages};

  std::vector<int32_t> ids;
  try {
    ids = model.encode(format(true), /*special=*/false);
  } catch (const Error &error) {
    throw Failure(error.what());
  }
  if (ids.empty())
    throw Failure(path + ": the chat template made an empty text");
  uint64_t most = options.newTokens.value_or(kMostNewTokens);
  if (lm.past_context == INGOT_PAST_STOP) {
    if (ids.size() > lm.context)
      throw Failure(path + ": the context is full: the conversation has " +
                    std::to_string(ids.size()) + " tokens, the context " +
                    std::to_string(lm.context) +
                    " positions; start over (/clear), or compile with a larger --context");
    most = std::min<uint64_t>(most, lm.context - ids.size() + 1);
  }
  size_t kept = reuse(ids);

  Answer answer{*this, TextStream(model), chat::StopStrings(options.stops), {}, {}, {}, false, 0, 0,
                {}};
  ingot_generate_sequence sequence = {session.get(), ids.data() + kept, ids.size() - kept,
                                      INGOT_FINISH_NONE, 0};
  ingot_generate_options generate;
  ingot_generate_options_init(&generate);
  generate.max_new_tokens = most;
  generate.sampling = options.sampling.over(model.sampling());
  ingot_run_options_init(&generate.run);
  generate.run.cancel = interruptToken();
  ProgressLine line;
  generate.run.progress = [](void *user, const char *stage, uint64_t done, uint64_t total) {
    static_cast<ProgressLine *>(user)->show(stage, done, total);
    if (done == total)
      static_cast<ProgressLine *>(user)->clear();
  };
  generate.run.progress_user = &line;
  // The library would apply it to what is fed now; it is about the whole conversation.
  float penalty = std::exchange(generate.sampling.repetition_penalty, 0);
  if (!(penalty >= 0) || penalty > 1e6f)
    throw Failure("--repeat-penalty: expected a positive number");
  if (penalty != 0 && penalty != 1) {
    answer.penalty = penalty;
    answer.seen.insert(ids.begin(), ids.end());
    generate.before_sampling = [](void *user, size_t, float *logits, size_t) {
      const Answer &answer = *static_cast<Answer *>(user);
      for (int32_t id : answer.seen)
        logits[id] = logits[id] > 0 ? logits[id] / answer.penalty : logits[id] * answer.penalty;
    };
  }
  generate.on_token = onToken;
  generate.user = &answer;
  double begin = nowSeconds();
  ingot_error *error = ingot_generate(model.get(), &sequence, 1, &generate);
  double end = nowSeconds();
  line.clear();

  // What was fed is in the session, whatever happened.
  cached = ids;
  cached.insert(cached.end(), answer.ids.begin(), answer.ids.end());
  cached.resize(std::min<size_t>(cached.size(), session.length()));

  bool cancelled = ingot_error_status(error) == INGOT_CANCELLED;
  if (cancelled)
    ingot_error_destroy(error);
  else
    checkRun(path, error);
  if (!answer.stops.stopped()) {
    show(answer, answer.stops.push(answer.text.finish()));
    if (!answer.stops.stopped())
      show(answer, answer.stops.finish());
  }
  if (!answer.failure.empty())
    throw Failure(answer.failure);
  bool full = sequence.finish == INGOT_FINISH_CONTEXT ||
              (sequence.finish == INGOT_FINISH_LENGTH && lm.past_context == INGOT_PAST_STOP &&
               ids.size() + answer.ids.size() > lm.context);
  const char *finish = cancelled                                             ? "cancelled"
                       : answer.stops.stopped()                              ? "stop"
                       : answer.ended || sequence.finish == INGOT_FINISH_END ? "end"
                       : full                                                ? "context"
                                                                             : "length";
  undo.messages = nullptr;
  messages.push_back({"assistant", answer.content});
  ++turns;
  if (options.json)
    print(Json{{"schema", 1},
               {"turn", turns},
               {"content", answer.content},
               {"finish", finish},
               {"prompt_tokens", ids.size()},
               {"cached_tokens", kept},
               {"new_tokens", answer.ids.size()},
               {"seconds_to_first_token", answer.firstToken ? answer.firstToken - begin : 0},
               {"seconds", end - begin}}
              .dump(-1, ' ', false, Json::error_handler_t::replace) +
          "\n");
  else
    print("\n");
  fflush(stdout);
  if (options.stats) {
    double first = answer.firstToken ? answer.firstToken - begin : end - begin;
    double rest = end - begin - first;
    fprintf(stderr,
            "stats: prompt %zu tokens, %zu of them cached, first token after %.2f s; "
            "answer %zu tokens",
            ids.size(), kept, first, answer.ids.size());
    if (answer.ids.size() > 1 && rest > 0)
      fprintf(stderr, ", %.1f tokens/s", static_cast<double>(answer.ids.size() - 1) / rest);
    fprintf(stderr, "; %s\n", finish);
  }
  if (full)
    fprintf(stderr,
            "note: %s: the context of %llu positions is full; start over (/clear), or compile with "
            "a larger --context or another --past-context\n",
            path.c_str(), static_cast<unsigned long long>(lm.context));
}

/// Lines of stdin, read so that Ctrl-C gives an empty one.
class Lines {
public:
  enum class Result { Line, Interrupted, End };

  Result next(std::string &line) {
    for (;;) {
      size_t end = pending.find('\n');
      if (end != pending.npos) {
        line = pending.substr(0, end);
        pending.erase(0, end + 1);
        if (!line.empty() && line.back() == '\r')
          line.pop_back();
        return Result::Line;
      }
      char buffer[4096];
      ssize_t got = read(STDIN_FILENO, buffer, sizeof(buffer));
      if (got < 0 && errno == EINTR) {
        if (!wasInterrupted())
          continue;
        pending.clear();
        return Result::Interrupted;
      }
      if (got < 0)
        throw Failure(std::string("standard input: cannot be read: ") + strerror(errno));
      if (got == 0) {
        if (pending.empty())
          return Result::End;
        line = std::exchange(pending, {});
        return Result::Line;
      }
      pending.append(buffer, static_cast<size_t>(got));
    }
  }

private:
  std::string pending;
};

} // namespace

int runChat(const ChatOptions &options) {
  for (const std::string &stop : options.stops)
    if (stop.empty())
      throw Failure("--stop: expected a text, got an empty one");
  Chat chat(options);
  if (options.prompt) {
    chat.turn(*options.prompt);
    if (wasInterrupted())
      throw Failure(options.load.path + ": interrupted");
    return 0;
  }
  bool interactive = isatty(STDIN_FILENO);
  if (interactive)
    fputs("Type a message; /clear starts over, /exit or Ctrl-D ends, Ctrl-C stops an answer.\n",
          stderr);
  Lines lines;
  for (std::string line;;) {
    if (interactive) {
      listenAgain();
      fputs("> ", stderr);
      fflush(stderr);
    }
    Lines::Result result = lines.next(line);
    if (result == Lines::Result::Interrupted) {
      if (!interactive)
        throw Failure(options.load.path + ": interrupted");
      fputs("\n", stderr);
      continue;
    }
    if (result == Lines::Result::End) {
      if (interactive)
        fputs("\n", stderr);
      return 0;
    }
    if (line.find_first_not_of(" \t") == line.npos)
      continue;
    if (line == "/exit")
      return 0;
    if (line == "/clear") {
      chat.clear();
      continue;
    }
    try {
      chat.turn(line);
    } catch (const Failure &failure) {
      if (!interactive)
        throw;
      fprintf(stderr, "error: %s\n", failure.what());
    }
    if (!interactive && wasInterrupted())
      throw Failure(options.load.path + ": interrupted");
  }
}
