//===- Profile.cpp - time per dispatch beside the limits ------------------------------------===//
#include "Commands.h"
#include "ingot/Limits/Limits.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>
#include <map>

using namespace ingot;
using Json = nlohmann::ordered_json;

namespace {

/// "layers.0.mlp" and "layers.1.mlp" are "layers.*.mlp": numbers that differ become a star.
std::string mergeLocations(const std::string &a, const std::string &b) {
  auto isDigit = [](char c) { return c >= '0' && c <= '9'; };
  auto numberAt = [&](const std::string &text, size_t at) {
    size_t end = at;
    while (end < text.size() && isDigit(text[end]))
      ++end;
    return text.substr(at, end - at);
  };
  std::string merged;
  size_t j = 0;
  for (size_t i = 0; i < a.size();) {
    std::string number = numberAt(b, j);
    if (!number.empty() && (a[i] == '*' || isDigit(a[i]))) {
      std::string mine = a[i] == '*' ? "*" : numberAt(a, i);
      merged += mine == number ? mine : "*";
      i += mine.size();
      j += number.size();
    } else if (j < b.size() && a[i] == b[j]) {
      merged += a[i];
      ++i;
      ++j;
    } else {
      return a; // other places altogether: the first stands for all
    }
  }
  return j == b.size() ? merged : a;
}

/// Dispatches of one kernel: as a rule one per layer.
struct Line {
  std::string kernel, location;
  size_t count = 0;
  uint64_t nanoseconds = 0, bytes = 0, flops = 0;

  void addLocation(const std::string &other) {
    location = count++ ? mergeLocations(location, other) : other;
  }
  void add(const ingot_profile_entry &entry) {
    nanoseconds += entry.nanoseconds;
    bytes += entry.cost[INGOT_COST_WEIGHTS] + entry.cost[INGOT_COST_CACHE] +
             entry.cost[INGOT_COST_ACTIVATIONS];
    flops += entry.cost[INGOT_COST_FLOPS];
  }
};

/// What a dispatch's time is compared with.
struct Ceiling {
  const Limits &limits;
  const char *arithmetic; ///< of most matrices: "f32", "bf16" or "int8"
  double rate;            ///< its limit, 10^9 per second

  /// The time that the costs need at the limits, over the time taken: 1 is the ceiling.
  double shareOf(const Line &line) const {
    double least =
        limits.seconds(static_cast<double>(line.bytes), static_cast<double>(line.flops), rate);
    return line.nanoseconds ? 1e9 * least / static_cast<double>(line.nanoseconds) : 0;
  }
};

/// The arithmetic is that of the activations that the artifact was compiled with.
Ceiling ceilingOf(const Model &model, const Limits &limits) {
  for (size_t i = 0; i < model.info().metadata_count; ++i) {
    const char *key = nullptr, *value = nullptr;
    check(ingot_model_get_metadata(model.get(), i, &key, &value));
    if (std::string_view(key) != "option.activations")
      continue;
    if (std::string_view(value) == "int8")
      return {limits, "int8", limits.int8Gops};
    if (std::string_view(value) == "bf16")
      return {limits, "bf16", limits.bf16Gflops};
  }
  return {limits, "f32", limits.f32Gflops};
}

Json programJson(const Model &model, const Profile &profile, size_t p, const Ceiling &ceiling) {
  ingot_program_info program = model.program(p);
  auto get = [&](size_t dispatch) {
    return Model::query<ingot_profile_entry>(
        [&](auto *out) { return ingot_profile_get(profile.get(), p, dispatch, out); });
  };
  ingot_profile_entry total = get(SIZE_MAX);
  Json json = {{"name", program.name},
               {"runs", total.runs},
               {"nanoseconds", total.nanoseconds},
               {"dispatches", Json::array()}};
  uint64_t sum = 0;
  for (size_t d = 0; d < program.dispatch_count; ++d) {
    auto info = Model::query<ingot_dispatch_info>(
        [&](auto *out) { return ingot_model_get_dispatch(model.get(), p, d, out); });
    ingot_profile_entry entry = get(d);
    sum += entry.nanoseconds;
    Line line;
    line.add(entry);
    json["dispatches"].push_back({{"kernel", info.kernel},
                                  {"location", info.location},
                                  {"nanoseconds", entry.nanoseconds},
                                  {"bytes", line.bytes},
                                  {"flops", line.flops},
                                  {"share_of_limit", ceiling.shareOf(line)}});
  }
  json["dispatch_nanoseconds"] = sum;
  return json;
}

void printProgram(const Json &program, const Ceiling &ceiling, bool each) {
  double runs = program["runs"].get<double>(), total = program["nanoseconds"].get<double>();
  printf("%s: %.0f runs, %.3f ms each\n", program["name"].get<std::string>().c_str(), runs,
         total / runs * 1e-6);
  std::vector<Line> lines;
  std::map<std::string, size_t> index;
  for (const Json &dispatch : program["dispatches"]) {
    std::string kernel = dispatch["kernel"];
    auto [at, isNew] = index.try_emplace(kernel, lines.size());
    if (isNew || each) {
      at->second = lines.size();
      lines.emplace_back();
      lines.back().kernel = kernel;
    }
    Line &line = lines[at->second];
    line.addLocation(dispatch["location"]);
    line.nanoseconds += dispatch["nanoseconds"].get<uint64_t>();
    line.bytes += dispatch["bytes"].get<uint64_t>();
    line.flops += dispatch["flops"].get<uint64_t>();
  }
  if (!each)
    std::sort(lines.begin(), lines.end(),
              [](const Line &a, const Line &b) { return a.nanoseconds > b.nanoseconds; });
  printf("  %7s %7s %6s %9s %9s %7s  %s\n", "share", "ms/run", "times", "GB/s", "GFLOP/s", "limit",
         "kernel");
  double accounted = 0;
  for (const Line &line : lines) {
    double ns = std::max(1.0, static_cast<double>(line.nanoseconds));
    accounted += static_cast<double>(line.nanoseconds);
    printf("  %5.1f %% %7.3f %6zu %9.2f %9.2f %5.1f %%  %s (%s)\n", 100 * ns / total,
           ns / runs * 1e-6, line.count, static_cast<double>(line.bytes) / ns,
           static_cast<double>(line.flops) / ns, 100 * ceiling.shareOf(line), line.kernel.c_str(),
           line.location.c_str());
  }
  printf("  %5.1f %% %7.3f  between dispatches\n", 100 * (total - accounted) / total,
         (total - accounted) / runs * 1e-6);
}

/// Prefills and decodes, once without looking, to touch everything, and once for `profile`.
void profileModel(const ProfileOptions &options, Model &model, ingot_run_options &run,
                  const Profile &profile) {
  ingot_language_model_info lm = model.languageModel();
  if (lm.past_context == INGOT_PAST_STOP && options.prompt + options.newTokens > lm.context)
    throw Failure(options.load.path + ": the context of " + std::to_string(lm.context) +
                  " positions is too small for this; lower -p or -n");
  std::vector<int32_t> prompt(std::max<uint64_t>(1, options.prompt));
  for (size_t i = 0; i < prompt.size(); ++i)
    prompt[i] = static_cast<int32_t>((i * 2654435761u >> 4) % lm.vocabulary);
  std::vector<float> logits(lm.vocabulary);
  auto feed = [&](Session &session, const int32_t *ids, size_t count) {
    ingot_step_sequence sequence = {session.get(),     ids,           count,
                                    INGOT_LOGITS_LAST, logits.data(), logits.size()};
    check(ingot_step(model.get(), &sequence, 1, nullptr, nullptr, &run));
  };
  {
    Session session = newSession(model);
    feed(session, prompt.data(), prompt.size());
  }
  Session session = newSession(model);
  run.profile = profile.get();
  feed(session, prompt.data(), prompt.size());
  for (uint64_t i = 0; i < options.newTokens; ++i)
    feed(session, &prompt[i % prompt.size()], 1);
}

/// Encodes 32 sequences of up to `-p` tokens, once without looking, and `-n` times for `profile`.
void profileSequences(const ProfileOptions &options, Model &model, ingot_run_options &run,
                      const Profile &profile) {
  uint64_t longest = std::min<uint64_t>(options.prompt, model.sequenceModel().context);
  auto ids = raggedSequences(model, 32, std::max<uint64_t>(1, longest));
  std::vector<ingot_sequence> sequences = asSequences(ids);
  auto onRow = [](void *, size_t, size_t, const float *) {};
  for (uint64_t i = 0; i <= std::max<uint64_t>(1, options.newTokens); ++i) {
    run.profile = i ? profile.get() : nullptr;
    check(ingot_run_sequences(model.get(), mainOutput(model), sequences.data(), sequences.size(),
                              onRow, nullptr, &run));
  }
  run.profile = nullptr;
}

/// Runs every entry point of a graph on made-up numbers between -1 and 1; dynamic dimensions are
/// `-p`.
void profileGraph(const ProfileOptions &options, Model &model, ingot_run_options &run,
                  const Profile &profile) {
  for (size_t p = 0; p < model.info().program_count; ++p) {
    ingot_program_info program = model.program(p);
    std::vector<ingot_tensor> inputs(program.input_count), outputs(program.output_count);
    std::vector<std::vector<float>> data(inputs.size());
    std::vector<std::vector<char>> results(outputs.size());
    uint32_t state = 1;
    for (size_t i = 0; i < inputs.size(); ++i) {
      auto info = Model::query<ingot_tensor_info>(
          [&](auto *out) { return ingot_model_get_input(model.get(), p, i, out); });
      if (info.type != INGOT_F32)
        throw Failure(options.load.path + ": input " + info.name +
                      " is not f32; graphs are profiled on made-up numbers of f32");
      inputs[i] = {};
      inputs[i].name = info.name;
      inputs[i].type = info.type;
      inputs[i].rank = info.rank;
      size_t count = 1;
      for (size_t d = 0; d < info.rank; ++d) {
        inputs[i].shape[d] =
            info.shape[d] < 0 ? static_cast<int64_t>(options.prompt) : info.shape[d];
        count *= static_cast<size_t>(inputs[i].shape[d]);
      }
      data[i].resize(count);
      for (float &value : data[i]) {
        state = state * 1664525 + 1013904223;
        value = static_cast<float>(static_cast<int32_t>(state)) * 0x1p-31f;
      }
      inputs[i].data = data[i].data();
      inputs[i].bytes = count * sizeof(float);
    }
    for (uint64_t i = 0; i <= std::max<uint64_t>(1, options.newTokens); ++i) {
      for (size_t o = 0; o < outputs.size(); ++o) {
        auto info = Model::query<ingot_tensor_info>(
            [&](auto *out) { return ingot_model_get_output(model.get(), p, o, out); });
        if (i == 0)
          outputs[o] = {};
        outputs[o].name = info.name;
        // The first run, which is not counted, says how large the results are.
        if (i == 1) {
          results[o].resize(outputs[o].bytes);
          ingot_tensor_release(&outputs[o]);
          outputs[o].data = results[o].data();
          outputs[o].bytes = results[o].size();
        }
      }
      run.profile = i ? profile.get() : nullptr;
      check(ingot_run(model.get(), p, inputs.data(), inputs.size(), outputs.data(), outputs.size(),
                      &run));
    }
  }
}

} // namespace

int runProfile(const ProfileOptions &options) {
  Model model = loadModel(options.load);
  ingot_run_options run;
  ingot_run_options_init(&run);
  run.cancel = interruptToken();
  Profile profile = model.makeProfile();
  try {
    if (model.info().has_sequence_model)
      profileSequences(options, model, run, profile);
    if (model.info().has_language_model)
      profileModel(options, model, run, profile);
    else if (!model.info().has_sequence_model)
      profileGraph(options, model, run, profile);
  } catch (const Error &error) {
    throw failureIn(options.load.path, error.what());
  }
  Limits limits = measureLimits(model.info().threads);
  Ceiling ceiling = ceilingOf(model, limits);
  Json json = {{"schema", 1},
               {"file", options.load.path},
               {"threads", model.info().threads},
               {"limits",
                {{"read_gb_s", limits.readGBs},
                 {"f32_gflops", limits.f32Gflops},
                 {"bf16_gflops", limits.bf16Gflops},
                 {"int8_gops", limits.int8Gops}}},
               {"arithmetic", ceiling.arithmetic},
               {"programs", Json::array()}};
  for (size_t p = 0; p < model.info().program_count; ++p) {
    Json program = programJson(model, profile, p, ceiling);
    if (program["runs"].get<uint64_t>())
      json["programs"].push_back(program);
  }
  if (options.json) {
    print(json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
    return 0;
  }
  printf("%s: %u threads; limits: read %.1f GB/s, %s %.0f GFLOP/s\n", options.load.path.c_str(),
         model.info().threads, limits.readGBs, ceiling.arithmetic, ceiling.rate);
  for (const Json &program : json["programs"])
    printProgram(program, ceiling, options.dispatches);
  return 0;
}
