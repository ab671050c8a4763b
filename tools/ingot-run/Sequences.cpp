//===- Sequences.cpp - outputs of whole sequences, and embeddings ---------------------------===//
#include "Commands.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstring>

using namespace ingot;

namespace {

/// Adds what the model reads of a text or a pair. Only encoders cut: what is translated is read
/// whole.
void addText(Sequences &to, const Model &model, const std::string &text, const std::string *second,
             const std::string &where) {
  if (second && model.info().has_language_model)
    throw Failure(where + ": the model takes no pairs of texts: it is not an encoder");
  try {
    if (model.info().has_language_model) {
      to.ids.push_back(model.encode(text));
      to.types.emplace_back();
    } else {
      auto encoding = model.encodeSequence(text, second);
      if (encoding.dropped)
        fprintf(stderr, "note: %s: cut to %zu tokens, %zu more are not read\n", where.c_str(),
                encoding.ids.size(), encoding.dropped);
      to.ids.push_back(std::move(encoding.ids));
      to.types.push_back(std::move(encoding.types));
    }
  } catch (const Error &error) {
    throw Failure(error.what());
  }
  if (to.ids.back().empty())
    throw Failure(where + ": no tokens in it");
}

/// A file that is complete or is not there.
class RowsFile {
public:
  explicit RowsFile(const std::string &path) : path(path), file(fopen(path.c_str(), "wbe")) {
    if (!file)
      fail();
  }
  RowsFile(const RowsFile &) = delete;
  RowsFile &operator=(const RowsFile &) = delete;
  ~RowsFile() {
    if (file) {
      fclose(file);
      removeUnfinished(path);
    }
  }
  void write(const float *row, size_t width) {
    if (fwrite(row, sizeof(float), width, file) != width)
      fail();
  }
  void finish() {
    FILE *done = file;
    file = nullptr;
    if (fclose(done) != 0)
      fail();
  }

private:
  [[noreturn]] void fail() const {
    throw Failure(path + ": cannot be written: " + strerror(errno));
  }
  std::string path;
  FILE *file;
};

std::string knownOutputs(const Model &model) {
  std::string names;
  for (size_t i = 0; i < model.sequenceModel().output_count; ++i)
    names += (i ? ", " : "") + std::string(model.sequenceOutput(i).name);
  return names;
}

} // namespace

Sequences readSequences(const SequenceInput &input, const Model &model,
                        const std::optional<std::string> &tokenTypes) {
  Sequences sequences;
  if (input.ids) {
    sequences.ids = {parseIds(*input.ids, "--ids")};
    if (sequences.ids[0].empty())
      throw Failure("--ids: no ids in it");
  } else if (input.idsFile) {
    sequences.ids = readIdsFile(*input.idsFile);
  } else if (input.prompt) {
    addText(sequences, model, *input.prompt, input.pair ? &*input.pair : nullptr, "--prompt");
  } else if (input.file || input.pairsFile) {
    const std::string &path = input.file ? *input.file : *input.pairsFile;
    std::string text = readFile(path);
    for (size_t at = 0; at < text.size();) {
      size_t end = std::min(text.find('\n', at), text.size());
      std::string where = path + ": line " + std::to_string(sequences.ids.size() + 1);
      std::string line = text.substr(at, end - at), second;
      if (input.pairsFile) {
        size_t tab = line.find('\t');
        if (tab == std::string::npos || line.find('\t', tab + 1) != std::string::npos)
          throw Failure(where + ": expected two texts with a tab between");
        second = line.substr(tab + 1);
        line.resize(tab);
      }
      addText(sequences, model, line, input.pairsFile ? &second : nullptr, where);
      at = end + 1;
    }
    if (sequences.ids.empty())
      throw Failure(path + ": no lines in it");
  } else {
    throw Failure("nothing to do; give -p TEXT, --file=FILE, --ids=IDS or --ids-file=FILE");
  }
  if (tokenTypes)
    sequences.types.assign(sequences.ids.size(), parseIds(*tokenTypes, "--token-types"));
  sequences.types.resize(sequences.ids.size());
  return sequences;
}

std::optional<size_t> findSequenceOutput(const Model &model, const std::string &name) {
  if (!model.info().has_sequence_model)
    return std::nullopt;
  for (size_t i = 0; i < model.sequenceModel().output_count; ++i)
    if (model.sequenceOutput(i).name == name)
      return i;
  return std::nullopt;
}

namespace {

/// Ids and types in the form of the C API.
std::vector<ingot_sequence> makeSequences(const Sequences &from) {
  std::vector<ingot_sequence> sequences;
  for (size_t i = 0; i < from.ids.size(); ++i) {
    const std::vector<int32_t> &ids = from.ids[i], &types = from.types[i];
    if (!types.empty() && types.size() != ids.size())
      throw Failure("--token-types: expected one for each of the " + std::to_string(ids.size()) +
                    " tokens, got " + std::to_string(types.size()));
    sequences.push_back({ids.data(), types.empty() ? nullptr : types.data(), ids.size()});
  }
  return sequences;
}

/// The best ids of a row, best first; ties to the lower id.
std::vector<size_t> bestOf(const float *row, size_t width, size_t wanted) {
  std::vector<size_t> order(width);
  for (size_t i = 0; i < width; ++i)
    order[i] = i;
  wanted = std::min(wanted, width);
  std::partial_sort(order.begin(), order.begin() + static_cast<ptrdiff_t>(wanted), order.end(),
                    [&](size_t a, size_t b) { return row[a] != row[b] ? row[a] > row[b] : a < b; });
  order.resize(wanted);
  return order;
}

/// Probabilities of the elements of a row: that each is the one, or (`independent`) each for
/// itself.
std::vector<double> probabilitiesOf(const float *row, size_t width, bool independent) {
  std::vector<double> result(row, row + width);
  if (width == 1 && !independent) // no choice: the number is what the model says
    return result;
  double top = *std::max_element(result.begin(), result.end()), sum = 0;
  for (double &value : result) {
    value = independent ? 1 / (1 + std::exp(-value)) : std::exp(value - top);
    sum += value;
  }
  for (double &value : result)
    value /= independent ? 1 : sum;
  return result;
}

/// One line for a reader: a name and its probability.
std::string nameLine(const std::string &name, double probability) {
  char number[32];
  snprintf(number, sizeof number, "%.4f", probability);
  return name + "\t" + number + "\n";
}

/// What rows say about a text, in words: the likeliest tokens of every mask, the labels of the text
/// or of each of its tokens. Empty where they say nothing that has a name.
class Reader {
public:
  /// `brief`: of the labels of a text the likeliest alone, one text per line.
  Reader(const Model &model, size_t index, const std::vector<int32_t> &ids, bool brief)
      : model(model), index(index), output(model.sequenceOutput(index)), ids(ids), brief(brief) {
    if (std::string(output.name) == "logits" && output.width == model.sequenceModel().vocabulary)
      mask = model.specialId("mask");
  }

  std::string read(size_t token, const float *row) const {
    std::string text;
    if (mask >= 0 && ids[token] == mask) {
      std::vector<double> probabilities = probabilitiesOf(row, output.width, false);
      for (size_t id : bestOf(row, output.width, kTopTokens))
        text += nameLine(tokenText(static_cast<int32_t>(id)), probabilities[id]);
      return text + "\n";
    }
    if (!output.label_count)
      return text;
    std::vector<double> probabilities = probabilitiesOf(row, output.width, output.independent);
    bool all = output.first_row_only;
    for (size_t i : bestOf(row, output.width, all && !brief ? output.width : 1))
      text += (all ? "" : tokenText(ids[token]) + "\t") +
              nameLine(model.label(index, i), probabilities[i]);
    return text;
  }

private:
  static constexpr size_t kTopTokens = 5;

  std::string tokenText(int32_t id) const {
    TextStream stream(model, /*showSpecial=*/true);
    std::string text(stream.push(id));
    text += stream.finish();
    size_t begin = text.find_first_not_of(" \n\t");
    return begin == std::string::npos ? text : text.substr(begin);
  }

  const Model &model;
  const size_t index;
  const ingot_sequence_output_info output;
  const std::vector<int32_t> &ids;
  const bool brief;
  int32_t mask = -1;
};

} // namespace

int runSequences(const SequenceOptions &options, Model &model) {
  std::string name = options.output;
  std::optional<size_t> index;
  if (!name.empty()) {
    index = findSequenceOutput(model, name);
    if (!index)
      throw Failure(options.load.path + ": has no output '" + name + "', only " +
                    knownOutputs(model));
  } else {
    for (const char *candidate : {"logits", "classes", "hidden", "encoder"})
      if (!index)
        index = findSequenceOutput(model, candidate);
    if (!index)
      index = 0;
    name = model.sequenceOutput(*index).name;
  }
  ingot_sequence_output_info output = model.sequenceOutput(*index);
  Sequences input = readSequences(options.input, model, options.tokenTypes);
  std::vector<ingot_sequence> sequences = makeSequences(input);
  const auto &ids = input.ids;

  struct Sink {
    std::optional<RowsFile> file;
    std::vector<std::string> lines; // best id of every row, per sequence
    std::vector<Reader> readers;    // of each text
    std::string words;
    size_t width;
    std::string failure;
  } sink;
  if (options.input.prompt || options.input.pairsFile)
    for (const std::vector<int32_t> &list : ids)
      sink.readers.emplace_back(model, *index, list, /*brief=*/!options.input.prompt);
  sink.width = output.width;
  sink.lines.resize(ids.size());
  if (options.logits)
    sink.file.emplace(*options.logits);
  ingot_run_options run;
  ingot_run_options_init(&run);
  run.cancel = interruptToken();
  auto onRow = [](void *user, size_t sequence, size_t token, const float *row) {
    Sink &sink = *static_cast<Sink *>(user);
    if (!sink.failure.empty())
      return;
    try {
      if (sink.file) {
        sink.file->write(row, sink.width);
        return;
      }
      if (!sink.readers.empty())
        sink.words += sink.readers[sequence].read(token, row);
      sink.lines[sequence] +=
          (token ? " " : "") + std::to_string(bestOf(row, sink.width, 1).front());
    } catch (const Failure &failure) {
      sink.failure = failure.what();
    }
  };
  checkRun(options.load.path, ingot_run_sequences(model.get(), *index, sequences.data(),
                                                  sequences.size(), onRow, &sink, &run));
  if (!sink.failure.empty())
    throw Failure(sink.failure);
  if (sink.file)
    sink.file->finish();
  else if (!sink.words.empty())
    print(sink.words);
  else if (name == "logits" || name == "classes")
    for (const std::string &line : sink.lines)
      print(line + "\n");
  else
    throw Failure("--output=" + name + ": give --logits=FILE to write its rows, or use embed");
  return 0;
}

/// The shortest text that reads back as the same number.
static void appendNumber(std::string &text, float value) {
  char digits[32];
  auto [end, error] = std::to_chars(digits, digits + sizeof digits, value);
  text.append(digits, error == std::errc() ? end : digits);
}

/// One object; a vector per text, or (`perToken`) a list of vectors per text.
static void printEmbeddings(size_t width, const std::vector<std::vector<float>> &values,
                            bool perToken) {
  std::string text = "{\"schema\": 1, \"width\": " + std::to_string(width) + ", \"embeddings\": [";
  for (size_t i = 0; i < values.size(); ++i) {
    text += i ? ",\n" : "\n";
    if (perToken)
      text += "[";
    for (size_t at = 0; at < values[i].size(); ++at) {
      if (at % width == 0)
        text += at ? ", [" : "[";
      else
        text += ", ";
      appendNumber(text, values[i][at]);
      if (at % width == width - 1)
        text += "]";
    }
    if (perToken)
      text += "]";
  }
  print(text + "\n]}\n");
}

int runEmbed(const EmbedOptions &options) {
  Model model = loadModel(options.load);
  if (!model.info().has_sequence_model)
    throw Failure(options.load.path + ": makes no embeddings: it is not an encoder");
  Sequences input = readSequences(options.input, model, options.tokenTypes);
  std::vector<ingot_sequence> sequences = makeSequences(input);
  const auto &ids = input.ids;
  ingot_embed_options embed;
  ingot_embed_options_init(&embed);
  ingot_run_options_init(&embed.run);
  embed.run.cancel = interruptToken();
  embed.normalize = options.normalize;
  embed.raw = options.raw;
  if (options.pooling == "none") {
    // Every row of every text.
    std::optional<size_t> index = findSequenceOutput(model, "hidden");
    if (!index)
      index = findSequenceOutput(model, "encoder");
    if (!index)
      throw Failure(options.load.path + ": has no output to make vectors of");
    struct Rows {
      size_t width;
      bool normalize;
      std::vector<std::vector<float>> values;
    } rows{model.sequenceOutput(*index).width, options.normalize, {}};
    rows.values.resize(ids.size());
    auto onRow = [](void *user, size_t sequence, size_t, const float *row) {
      Rows &rows = *static_cast<Rows *>(user);
      double square = 0;
      for (size_t i = 0; i < rows.width; ++i)
        square += static_cast<double>(row[i]) * static_cast<double>(row[i]);
      double length = rows.normalize ? std::max(std::sqrt(square), 1e-12) : 1;
      for (size_t i = 0; i < rows.width; ++i)
        rows.values[sequence].push_back(static_cast<float>(static_cast<double>(row[i]) / length));
    };
    checkRun(options.load.path, ingot_run_sequences(model.get(), *index, sequences.data(),
                                                    sequences.size(), onRow, &rows, &embed.run));
    printEmbeddings(rows.width, rows.values, /*perToken=*/true);
    return 0;
  }
  const std::pair<const char *, ingot_pooling> kinds[] = {
      {"", INGOT_POOLING_DEFAULT},  {"cls", INGOT_POOLING_FIRST}, {"last", INGOT_POOLING_LAST},
      {"mean", INGOT_POOLING_MEAN}, {"max", INGOT_POOLING_MAX},   {"pooled", INGOT_POOLING_POOLED}};
  for (const auto &[name, kind] : kinds)
    if (options.pooling == name)
      embed.pooling = kind;
  size_t width = 0;
  checkRun(options.load.path, ingot_embed_width(model.get(), &embed, &width));
  std::vector<float> vectors(width * ids.size());
  checkRun(options.load.path, ingot_embed(model.get(), sequences.data(), sequences.size(), &embed,
                                          vectors.data(), vectors.size()));
  std::vector<std::vector<float>> values;
  for (size_t i = 0; i < ids.size(); ++i)
    values.emplace_back(vectors.begin() + static_cast<ptrdiff_t>(i * width),
                        vectors.begin() + static_cast<ptrdiff_t>((i + 1) * width));
  printEmbeddings(width, values, /*perToken=*/false);
  return 0;
}
