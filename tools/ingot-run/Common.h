//===- Common.h - what the subcommands of ingot-run share -------------------------*- C++ -*-===//
#ifndef INGOT_RUN_COMMON_H
#define INGOT_RUN_COMMON_H

#include "ingot/runtime.hpp"

#include <cstdint>
#include <string>
#include <vector>

/// Ends the program with `error: what` and exit code 1.
class Failure : public std::runtime_error {
public:
  using std::runtime_error::runtime_error;
};

/// What went wrong with the file `path`, which is named once.
Failure failureIn(const std::string &path, const std::string &what);

/// Throws the error of a call on the model at `path`; what was cancelled is "interrupted".
void checkRun(const std::string &path, ingot_error *error);

/// Options of every subcommand that loads a model.
struct LoadOptions {
  std::string path;
  std::string target;
  uint32_t threads = 0;
  uint64_t pageBudget = 0; // MiB
  bool trust = false;
  bool inspectOnly = false;
};

/// Loads a model; shows progress on a terminal when it takes long.
ingot::Model loadModel(const LoadOptions &options);

/// A session to measure or verify with; one of an encoder-decoder has some source.
ingot::Session newSession(const ingot::Model &model);

/// Made-up sequences for an encoder: `count` different lengths, from a quarter of `longest` up.
std::vector<std::vector<int32_t>> raggedSequences(const ingot::Model &model, size_t count,
                                                  size_t longest);
/// `ids` as the C API takes them, without token types; valid as long as `ids`.
std::vector<ingot_sequence> asSequences(const std::vector<std::vector<int32_t>> &ids);
/// The output that stands for an encoder's work: "hidden", or "encoder" beside a decoder.
size_t mainOutput(const ingot::Model &model);

/// The token that Ctrl-C sets. The second Ctrl-C ends the program at once.
ingot_cancel *interruptToken();
/// Forgets the first Ctrl-C.
void listenAgain();
bool wasInterrupted();

/// Removes a file that was not written to its end, which would look like a whole one; a device
/// stays.
void removeUnfinished(const std::string &path);

/// A line on stderr that is overwritten, when stderr is a terminal; nothing otherwise.
class ProgressLine {
public:
  ~ProgressLine() { clear(); }
  void show(const std::string &what, uint64_t done, uint64_t total);
  void clear();

private:
  bool visible = false;
  uint64_t started = 0;
};

/// Numbers separated by blanks, tabs or one comma between two of them. `where` begins the message
/// of a failure.
std::vector<int32_t> parseIds(const std::string &text, const std::string &where);

/// One sequence per line; empty lines are errors (but for the end of the last line).
std::vector<std::vector<int32_t>> readIdsFile(const std::string &path);

std::string readFile(const std::string &path);

/// Writes to stdout, or fails.
void print(std::string_view text);

/// Milliseconds of a steady clock.
double nowSeconds();

/// "1.5 MiB"
std::string formatBytes(uint64_t bytes);

#endif // INGOT_RUN_COMMON_H
