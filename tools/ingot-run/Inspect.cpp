//===- Inspect.cpp - what is in an artifact -------------------------------------------------===//
#include "Commands.h"

#include <nlohmann/json.hpp>

#include <cstdarg>
#include <cstdio>

using namespace ingot;
using Json = nlohmann::ordered_json;

namespace {

const char *const kCostNames[] = {"weights", "cache", "activations", "flops"};
const char *const kPolicies[] = {"stop", "slide", "restart", "unbounded"};

std::string sizeText(const Model &model, size_t program, size_t size) {
  size_t length = 0;
  check(ingot_model_format_size(model.get(), program, size, nullptr, 0, &length));
  std::string text(length + 1, '\0');
  check(ingot_model_format_size(model.get(), program, size, text.data(), text.size(), nullptr));
  text.resize(length);
  return text;
}

Json shapeJson(const int64_t *shape, size_t rank) {
  Json json = Json::array();
  for (size_t d = 0; d < rank; ++d)
    json.push_back(shape[d]);
  return json;
}

std::string shapeText(const Json &shape) {
  std::string text = "[";
  for (const Json &extent : shape)
    text += (text.size() > 1 ? ", " : "") +
            (extent.get<int64_t>() < 0 ? std::string("?") : std::to_string(extent.get<int64_t>()));
  return text + "]";
}

Json tensorJson(const ingot_tensor_info &tensor) {
  return {{"name", tensor.name},
          {"type", ingot_element_name(tensor.type)},
          {"shape", shapeJson(tensor.shape, tensor.rank)}};
}

Json dispatchJson(const Model &model, size_t p, size_t d) {
  auto dispatch = Model::query<ingot_dispatch_info>(
      [&](auto *out) { return ingot_model_get_dispatch(model.get(), p, d, out); });
  Json json = {{"kernel", dispatch.kernel},
               {"location", dispatch.location},
               {"grid", sizeText(model, p, dispatch.grid_size)},
               {"batch", dispatch.batch}};
  static const char *const kinds[] = {"slot", "weight", "input", "output"};
  json["buffers"] = Json::array();
  for (size_t b = 0; b < dispatch.buffer_count; ++b) {
    auto buffer = Model::query<ingot_buffer_info>(
        [&](auto *out) { return ingot_model_get_buffer(model.get(), p, d, b, out); });
    Json entry = {{"kind", kinds[buffer.kind]}, {"index", buffer.index}};
    if (buffer.kind == INGOT_BUFFER_WEIGHT)
      entry["name"] = Model::query<ingot_weight_info>([&](auto *out) {
                        return ingot_model_get_weight(model.get(), buffer.index, out);
                      }).name;
    json["buffers"].push_back(entry);
  }
  json["cost"] = Json::array();
  for (size_t c = 0; c < dispatch.cost_count; ++c) {
    auto cost = Model::query<ingot_cost_info>(
        [&](auto *out) { return ingot_model_get_cost(model.get(), p, d, c, out); });
    json["cost"].push_back({{"class", kCostNames[cost.cost]},
                            {"coefficient", cost.coefficient},
                            {"size", sizeText(model, p, cost.size)}});
  }
  return json;
}

Json programJson(const Model &model, size_t p) {
  ingot_program_info program = model.program(p);
  Json json = {{"name", program.name}, {"needs_session", program.needs_session}};
  json["inputs"] = Json::array();
  for (size_t i = 0; i < program.input_count; ++i)
    json["inputs"].push_back(tensorJson(Model::query<ingot_tensor_info>(
        [&](auto *out) { return ingot_model_get_input(model.get(), p, i, out); })));
  json["outputs"] = Json::array();
  for (size_t i = 0; i < program.output_count; ++i)
    json["outputs"].push_back(tensorJson(Model::query<ingot_tensor_info>(
        [&](auto *out) { return ingot_model_get_output(model.get(), p, i, out); })));
  json["slots"] = Json::array();
  for (size_t s = 0; s < program.slot_count; ++s) {
    uint32_t size = 0;
    check(ingot_model_get_slot(model.get(), p, s, &size));
    json["slots"].push_back(sizeText(model, p, size));
  }
  json["dispatches"] = Json::array();
  for (size_t d = 0; d < program.dispatch_count; ++d)
    json["dispatches"].push_back(dispatchJson(model, p, d));
  return json;
}

Json languageModelJson(const Model &model) {
  ingot_language_model_info lm = model.languageModel();
  Json json = {{"vocabulary", lm.vocabulary},
               {"context", lm.context},
               {"past_context", kPolicies[lm.past_context]}};
  if (lm.past_context == INGOT_PAST_RESTART)
    json["keep"] = lm.keep;
  json["cache"] = lm.has_cache;
  if (lm.has_cache) {
    json["max_tokens"] = lm.max_tokens;
    json["max_outputs"] = lm.max_outputs;
    json["cache_groups"] = Json::array();
    uint64_t perToken = 0;
    for (size_t g = 0; g < lm.cache_group_count; ++g) {
      auto group = Model::query<ingot_cache_group_info>(
          [&](auto *out) { return ingot_model_get_cache_group(model.get(), g, out); });
      json["cache_groups"].push_back(
          {{"layers", group.layers}, {"page_bytes", group.page_bytes}, {"window", group.window}});
      perToken += group.page_bytes / 64;
    }
    json["cache_bytes_per_token"] = perToken;
  }
  json["end_ids"] = Json(std::vector<uint32_t>(lm.end_ids, lm.end_ids + lm.end_id_count));
  if (lm.begin_id >= 0)
    json["begin_id"] = lm.begin_id;
  return json;
}

Json describe(const Model &model) {
  ingot_model_info info = model.info();
  Json json = {{"schema", 1},
               {"file", info.path},
               {"bytes", info.file_bytes},
               {"producer", info.producer},
               {"format_version", info.format_version},
               {"kernel_abi_version", info.kernel_abi_version},
               {"tokenizer", info.has_tokenizer},
               {"chat_template", info.has_chat_template}};
  json["segments"] = Json::array();
  for (size_t i = 0; i < info.segment_count; ++i) {
    auto segment = Model::query<ingot_segment_info>(
        [&](auto *out) { return ingot_model_get_segment(model.get(), i, out); });
    json["segments"].push_back(
        {{"kind", segment.kind}, {"offset", segment.offset}, {"length", segment.length}});
  }
  json["targets"] = Json::array();
  for (size_t i = 0; i < info.target_count; ++i) {
    auto target = Model::query<ingot_target_info>(
        [&](auto *out) { return ingot_model_get_target(model.get(), i, out); });
    Json entry = {{"name", target.name},
                  {"arch", target.arch},
                  {"code_bytes", target.code_bytes},
                  {"usable", target.usable},
                  {"chosen", target.chosen}};
    entry["features"] =
        Json(std::vector<std::string>(target.features, target.features + target.feature_count));
    entry["missing"] =
        Json(std::vector<std::string>(target.missing, target.missing + target.missing_count));
    json["targets"].push_back(entry);
  }
  if (info.has_language_model)
    json["language_model"] = languageModelJson(model);
  json["programs"] = Json::array();
  for (size_t p = 0; p < info.program_count; ++p)
    json["programs"].push_back(programJson(model, p));
  json["weights"] = Json::array();
  for (size_t w = 0; w < info.weight_count; ++w) {
    auto weight = Model::query<ingot_weight_info>(
        [&](auto *out) { return ingot_model_get_weight(model.get(), w, out); });
    json["weights"].push_back({{"name", weight.name},
                               {"type", ingot_element_name(weight.type)},
                               {"shape", shapeJson(weight.shape, weight.rank)},
                               {"layout", weight.layout},
                               {"bytes", weight.bytes}});
  }
  json["metadata"] = Json::object();
  for (size_t i = 0; i < info.metadata_count; ++i) {
    const char *key = nullptr, *value = nullptr;
    check(ingot_model_get_metadata(model.get(), i, &key, &value));
    json["metadata"][key] = value;
  }
  return json;
}

std::string text(const Json &value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

void line(const char *format, ...) __attribute__((format(printf, 1, 2)));
void line(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vprintf(format, arguments);
  va_end(arguments);
  putchar('\n');
}

std::string costText(const Json &cost) {
  std::string out;
  for (const Json &term : cost)
    out += (out.empty() ? "" : ", ") + text(term["class"]) + " " + text(term["coefficient"]) +
           " * " + text(term["size"]);
  return out;
}

void printProgram(const Json &program, bool dispatches) {
  std::string signature;
  for (const Json &input : program["inputs"])
    signature += (signature.empty() ? "" : ", ") + text(input["name"]) + " " + text(input["type"]) +
                 shapeText(input["shape"]);
  signature += " -> ";
  bool first = true;
  for (const Json &output : program["outputs"]) {
    signature += (first ? "" : ", ") + text(output["name"]) + " " + text(output["type"]) +
                 shapeText(output["shape"]);
    first = false;
  }
  line("  %s(%s): %zu dispatches, %zu slots", text(program["name"]).c_str(), signature.c_str(),
       program["dispatches"].size(), program["slots"].size());
  if (!dispatches)
    return;
  size_t index = 0;
  for (const Json &dispatch : program["dispatches"]) {
    std::string buffers;
    for (const Json &buffer : dispatch["buffers"])
      buffers += (buffers.empty() ? "" : ", ") + text(buffer["kind"]) + " " +
                 text(buffer.contains("name") ? buffer["name"] : buffer["index"]);
    line("    %4zu %s  grid %s  (%s)", index++, text(dispatch["kernel"]).c_str(),
         text(dispatch["grid"]).c_str(), buffers.c_str());
    line("         at %s", text(dispatch["location"]).c_str());
    if (!dispatch["cost"].empty())
      line("         cost %s", costText(dispatch["cost"]).c_str());
  }
}

void printHuman(const Json &json, const InspectOptions &options) {
  line("%s: %s, by %s", text(json["file"]).c_str(),
       formatBytes(json["bytes"].get<uint64_t>()).c_str(), text(json["producer"]).c_str());
  line("segments");
  for (const Json &segment : json["segments"])
    line("  %-10s %12llu bytes at %llu", text(segment["kind"]).c_str(),
         segment["length"].get<unsigned long long>(), segment["offset"].get<unsigned long long>());
  line("targets");
  for (const Json &target : json["targets"]) {
    std::string features;
    for (const Json &feature : target["features"])
      features += " " + text(feature);
    line("  %s%s, %s, needs%s", text(target["name"]).c_str(),
         target["chosen"].get<bool>()   ? " (chosen)"
         : target["usable"].get<bool>() ? ""
                                        : " (not for this processor)",
         formatBytes(target["code_bytes"].get<uint64_t>()).c_str(),
         features.empty() ? " nothing special" : features.c_str());
  }
  if (json.contains("language_model")) {
    const Json &lm = json["language_model"];
    line("language model");
    line("  vocabulary %s, context %s, past it %s%s", text(lm["vocabulary"]).c_str(),
         text(lm["context"]).c_str(), text(lm["past_context"]).c_str(),
         lm.contains("keep") ? (" keeping " + text(lm["keep"])).c_str() : "");
    if (lm["cache"].get<bool>()) {
      line("  cache: %s bytes per token", text(lm["cache_bytes_per_token"]).c_str());
      for (const Json &group : lm["cache_groups"])
        line("    %s layers, pages of %s%s", text(group["layers"]).c_str(),
             formatBytes(group["page_bytes"].get<uint64_t>()).c_str(),
             group["window"].get<uint64_t>() ? (", window of " + text(group["window"])).c_str()
                                             : "");
      line("  at most %s rows and %s outputs per run", text(lm["max_tokens"]).c_str(),
           text(lm["max_outputs"]).c_str());
    } else {
      line("  no cache: whole sequences in every step");
    }
    line("  end ids %s", lm["end_ids"].dump().c_str());
    line("  tokenizer: %s%s", json["tokenizer"].get<bool>() ? "yes" : "no",
         json["chat_template"].get<bool>() ? ", with a chat template" : "");
  }
  line("programs");
  for (const Json &program : json["programs"])
    printProgram(program, options.dispatches);
  uint64_t bytes = 0;
  for (const Json &weight : json["weights"])
    bytes += weight["bytes"].get<uint64_t>();
  line("weights: %zu, %s", json["weights"].size(), formatBytes(bytes).c_str());
  if (options.weights)
    for (const Json &weight : json["weights"])
      line("  %s %s%s %s, %s bytes", text(weight["name"]).c_str(), text(weight["type"]).c_str(),
           shapeText(weight["shape"]).c_str(), text(weight["layout"]).c_str(),
           text(weight["bytes"]).c_str());
  if (!json["metadata"].empty())
    line("made from");
  for (const auto &[key, value] : json["metadata"].items())
    line("  %s = %s", key.c_str(), text(value).c_str());
}

} // namespace

int runInspect(const InspectOptions &options) {
  LoadOptions load = options.load;
  load.inspectOnly = true;
  Model model = loadModel(load);
  Json json = describe(model);
  if (options.json)
    print(json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
  else
    printHuman(json, options);
  return 0;
}
