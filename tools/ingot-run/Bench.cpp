//===- Bench.cpp - rates beside the limits --------------------------------------------------===//
#include "Commands.h"
#include "ingot/Limits/Limits.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>
#include <functional>

using namespace ingot;
using Json = nlohmann::ordered_json;

namespace {

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  size_t n = values.size();
  return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

class Bench {
public:
  Bench(const BenchOptions &options, Model model) : options(options), model(std::move(model)) {
    ingot_run_options_init(&run);
    run.cancel = interruptToken();
  }

  Json measure();

private:
  void measureTexts(Json &json);
  void measureSequences(Json &json);
  void rounds(const std::function<void()> &measure);
  std::vector<int32_t> someIds(uint64_t count);
  Session filled(uint64_t depth);
  double prefillSeconds(const Session &start);
  double decodeSeconds(const std::vector<Session> &starts, uint64_t steps);
  void step(std::vector<ingot_step_sequence> &sequences) {
    check(ingot_step(model.get(), sequences.data(), sequences.size(), nullptr, nullptr, &run));
  }
  struct Cost {
    double bytes[INGOT_COST_CLASSES] = {};
  };
  Cost costOf(const std::function<void()> &work);

  const BenchOptions &options;
  Model model;
  ingot_language_model_info lm = {};
  uint64_t prompt = 0, batch = 0; // of texts
  Limits limits;                  // known after rounds()
  ingot_run_options run;
  uint32_t state = 1;
};

/// Any ids will do: speed does not depend on them.
std::vector<int32_t> Bench::someIds(uint64_t count) {
  std::vector<int32_t> ids(count);
  for (int32_t &id : ids) {
    state = state * 1664525 + 1013904223;
    id = static_cast<int32_t>((state >> 8) % lm.vocabulary);
  }
  return ids;
}

Session Bench::filled(uint64_t depth) {
  Session session = newSession(model);
  std::vector<int32_t> ids = someIds(depth);
  std::vector<ingot_step_sequence> sequences = {
      {session.get(), ids.data(), ids.size(), INGOT_LOGITS_NONE, nullptr, 0}};
  if (depth)
    step(sequences);
  return session;
}

/// Each measurement goes on from a copy of the session: all of them begin at the same depth.
double Bench::prefillSeconds(const Session &start) {
  Session session = start.fork();
  std::vector<int32_t> ids = someIds(prompt);
  std::vector<float> logits(lm.vocabulary);
  std::vector<ingot_step_sequence> sequences = {
      {session.get(), ids.data(), ids.size(), INGOT_LOGITS_LAST, logits.data(), logits.size()}};
  double begin = nowSeconds();
  step(sequences);
  return nowSeconds() - begin;
}

double Bench::decodeSeconds(const std::vector<Session> &starts, uint64_t steps) {
  std::vector<Session> sessions;
  for (const Session &start : starts)
    sessions.push_back(start.fork());
  std::vector<std::vector<float>> logits(sessions.size(), std::vector<float>(lm.vocabulary));
  std::vector<int32_t> ids = someIds(sessions.size() * steps);
  double begin = nowSeconds();
  for (uint64_t i = 0; i < steps; ++i) {
    std::vector<ingot_step_sequence> sequences;
    for (size_t s = 0; s < sessions.size(); ++s)
      sequences.push_back({sessions[s].get(), &ids[i * sessions.size() + s], 1, INGOT_LOGITS_LAST,
                           logits[s].data(), logits[s].size()});
    step(sequences);
  }
  return nowSeconds() - begin;
}

/// What the plan counts for the runs inside `work`.
Bench::Cost Bench::costOf(const std::function<void()> &work) {
  Profile profile = model.makeProfile();
  run.profile = profile.get();
  work();
  run.profile = nullptr;
  Cost cost;
  for (size_t p = 0; p < model.info().program_count; ++p) {
    auto entry = Model::query<ingot_profile_entry>(
        [&](auto *out) { return ingot_profile_get(profile.get(), p, SIZE_MAX, out); });
    for (int c = 0; c < INGOT_COST_CLASSES; ++c)
      cost.bytes[c] += static_cast<double>(entry.cost[c]);
  }
  return cost;
}

static Json share(double value, double limit) {
  return limit > 0 ? Json(value / limit) : Json(nullptr);
}

/// Arithmetic beside the machine's.
static void addRates(Json &json, double flops, double seconds, const Limits &limits) {
  double gflops = flops / seconds * 1e-9;
  json["flops"] = flops;
  json["gflops"] = gflops;
  json["share_of_f32"] = share(gflops, limits.f32Gflops);
  json["share_of_bf16"] = share(gflops, limits.bf16Gflops);
  json["share_of_int8"] = share(gflops, limits.int8Gops);
}

Json Bench::measure() {
  ingot_model_info info = model.info();
  auto target = Model::query<ingot_target_info>(
      [&](auto *out) { return ingot_model_get_target(model.get(), info.chosen_target, out); });
  Json json = {
      {"schema", 1}, {"file", info.path}, {"target", target.name}, {"threads", info.threads}};
  if (info.has_sequence_model)
    measureSequences(json);
  if (info.has_language_model)
    measureTexts(json);
  ingot_memory_info memory = model.memory();
  json["memory"] = {{"file_bytes", memory.mapped_bytes},
                    {"arena_bytes", memory.arena_bytes},
                    {"page_bytes", memory.page_bytes_used}};
  if (!options.noLimits)
    json["limits"] = {{"read_gb_s", limits.readGBs},      {"f32_gflops", limits.f32Gflops},
                      {"bf16_gflops", limits.bf16Gflops}, {"int8_gops", limits.int8Gops},
                      {"f32_by", limits.f32By},           {"bf16_by", limits.bf16By},
                      {"int8_by", limits.int8By}};
  return json;
}

/// Measures the limits and then `measure`, by turns.
void Bench::rounds(const std::function<void()> &measure) {
  std::vector<Limits> samples;
  ProgressLine line;
  for (uint64_t r = 0; r < options.repeat; ++r) {
    line.show("measuring", r, options.repeat);
    if (!options.noLimits)
      samples.push_back(measureLimits(model.info().threads, /*quick=*/true));
    measure();
  }
  line.clear();
  limits = medianOf(samples);
}

/// An encoder over sequences of different lengths, in one call.
void Bench::measureSequences(Json &json) {
  uint64_t longest =
      std::min<uint64_t>(options.prompt.value_or(128), model.sequenceModel().context);
  auto ids = raggedSequences(model, options.batch.value_or(32), std::max<uint64_t>(1, longest));
  std::vector<ingot_sequence> sequences = asSequences(ids);
  uint64_t tokens = 0;
  for (const ingot_sequence &sequence : sequences)
    tokens += sequence.count;
  size_t output = mainOutput(model);
  auto onRow = [](void *, size_t, size_t, const float *) {};
  auto work = [&] {
    check(ingot_run_sequences(model.get(), output, sequences.data(), sequences.size(), onRow,
                              nullptr, &run));
  };
  Cost cost = costOf(work);
  std::vector<double> samples;
  rounds([&] {
    double begin = nowSeconds();
    work();
    samples.push_back(nowSeconds() - begin);
  });
  double seconds = median(samples);
  json["encoder"] = {{"output", model.sequenceOutput(output).name},
                     {"sequences", sequences.size()},
                     {"longest", longest},
                     {"tokens", tokens},
                     {"tok_s", static_cast<double>(tokens) / seconds},
                     {"seconds", seconds},
                     {"samples", samples}};
  addRates(json["encoder"], cost.bytes[INGOT_COST_FLOPS], seconds, limits);
}

void Bench::measureTexts(Json &json) {
  lm = model.languageModel();
  prompt = options.prompt.value_or(512);
  batch = options.batch.value_or(1);
  if (lm.past_context == INGOT_PAST_STOP &&
      options.depth + std::max(prompt, options.newTokens + 1) > lm.context)
    throw Failure(options.load.path + ": the context of " + std::to_string(lm.context) +
                  " positions is too small for this; lower -p, -n or --depth");
  json["prompt"] = prompt;
  json["new_tokens"] = options.newTokens;
  json["depth"] = options.depth;
  json["batch"] = batch;
  std::vector<Session> starts;
  for (uint64_t b = 0; b < (options.newTokens ? batch : 1); ++b)
    starts.push_back(filled(options.depth));
  // Once to warm up, with the costs counted; then measurements of both, interleaved.
  Cost prefillCost, decodeCost;
  if (prompt)
    prefillCost = costOf([&] { prefillSeconds(starts[0]); });
  if (options.newTokens)
    decodeCost = costOf([&] { decodeSeconds(starts, options.newTokens); });
  std::vector<double> prefill, decode;
  rounds([&] {
    if (prompt)
      prefill.push_back(prefillSeconds(starts[0]));
    if (options.newTokens)
      decode.push_back(decodeSeconds(starts, options.newTokens));
  });
  if (!prefill.empty()) {
    double seconds = median(prefill);
    json["prefill"] = {{"tok_s", static_cast<double>(prompt) / seconds},
                       {"seconds", seconds},
                       {"samples", prefill}};
    addRates(json["prefill"], prefillCost.bytes[INGOT_COST_FLOPS], seconds, limits);
  }
  if (!decode.empty()) {
    double seconds = median(decode), tokens = static_cast<double>(options.newTokens * batch);
    // Over all measured steps: the bytes of the cache grow from one to the next.
    double weights = decodeCost.bytes[INGOT_COST_WEIGHTS],
           cache = decodeCost.bytes[INGOT_COST_CACHE];
    double gbs = (weights + cache) / seconds * 1e-9;
    json["decode"] = {{"tok_s", tokens / seconds},
                      {"seconds", seconds},
                      {"samples", decode},
                      {"bytes_per_token", (weights + cache) / tokens},
                      {"weight_bytes_per_token", weights / tokens},
                      {"cache_bytes_per_token", cache / tokens},
                      {"gb_s", gbs}};
    json["decode"]["share_of_read"] = share(gbs, limits.readGBs);
  }
}

std::string percent(const Json &share) {
  if (!share.is_number())
    return "?";
  char text[32];
  snprintf(text, sizeof text, "%.1f %%", 100 * share.get<double>());
  return text;
}

void printHuman(const Json &json) {
  printf("%s: %s, %u threads\n", json["file"].get<std::string>().c_str(),
         json["target"].get<std::string>().c_str(), json["threads"].get<unsigned>());
  if (json.contains("limits")) {
    const Json &limits = json["limits"];
    auto arithmetic = [&](const char *name, const char *key, const char *unit) {
      printf(", %s %.0f %s (%s)", name, limits[std::string(key) + "_" + unit].get<double>(),
             unit[1] == 'f' ? "GFLOP/s" : "GOP/s",
             limits[std::string(key) + "_by"].get<std::string>().c_str());
    };
    printf("limits   read %.1f GB/s", limits["read_gb_s"].get<double>());
    arithmetic("f32", "f32", "gflops");
    arithmetic("bf16", "bf16", "gflops");
    arithmetic("int8", "int8", "gops");
    printf("\n");
  }
  for (const char *kind : {"encoder", "prefill"}) {
    if (!json.contains(kind))
      continue;
    const Json &part = json[kind];
    bool ragged = part.contains("sequences");
    printf("%-8s %9.1f tok/s   %5llu tokens", kind, part["tok_s"].get<double>(),
           (ragged ? part["tokens"] : json["prompt"]).get<unsigned long long>());
    if (ragged)
      printf(" in %llu sequences", part["sequences"].get<unsigned long long>());
    printf("   %.1f GFLOP/s: %s of f32, %s of bf16, %s of int8\n", part["gflops"].get<double>(),
           percent(part["share_of_f32"]).c_str(), percent(part["share_of_bf16"]).c_str(),
           percent(part["share_of_int8"]).c_str());
  }
  if (json.contains("decode")) {
    const Json &decode = json["decode"];
    printf("decode   %9.1f tok/s   %5llu tokens   %.2f GB/s: %s of read; %s per token\n",
           decode["tok_s"].get<double>(), json["new_tokens"].get<unsigned long long>(),
           decode["gb_s"].get<double>(), percent(decode["share_of_read"]).c_str(),
           formatBytes(static_cast<uint64_t>(decode["bytes_per_token"].get<double>())).c_str());
  }
}

} // namespace

int runBench(const BenchOptions &options) {
  Model model = loadModel(options.load);
  if (!model.info().has_language_model && !model.info().has_sequence_model)
    throw Failure(options.load.path + ": neither a language model nor an encoder; use profile");
  Json json;
  try {
    json = Bench(options, std::move(model)).measure();
  } catch (const Error &error) {
    throw failureIn(options.load.path, error.what());
  }
  if (options.json)
    print(json.dump(2) + "\n");
  else
    printHuman(json);
  return 0;
}
