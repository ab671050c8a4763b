//===- Tensors.cpp - an entry point on arrays -----------------------------------------------===//
#include "Commands.h"
#include "Npy.h"

#include <algorithm>

using namespace ingot;

namespace {

struct Binding {
  std::string name, file;
};

std::vector<Binding> parseBindings(const std::vector<std::string> &texts, const char *option) {
  std::vector<Binding> bindings;
  for (const std::string &text : texts) {
    size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == text.size())
      throw Failure(std::string(option) + ": expected NAME=FILE, got '" + text + "'");
    bindings.push_back({text.substr(0, equals), text.substr(equals + 1)});
  }
  return bindings;
}

/// The entry point that is named, or the only one that runs without a session.
size_t findEntry(const Model &model, const std::string &name) {
  if (!name.empty())
    return model.findProgram(name);
  size_t found = SIZE_MAX;
  std::string names;
  for (size_t i = 0; i < model.info().program_count; ++i) {
    ingot_program_info program = model.program(i);
    if (program.needs_session)
      continue;
    found = found == SIZE_MAX ? i : SIZE_MAX - 1;
    names += (names.empty() ? "" : ", ") + std::string(program.name);
  }
  if (found == SIZE_MAX)
    throw Failure(std::string(model.info().path) +
                  ": has no entry point for arrays; give -p TEXT or --ids=IDS");
  if (found == SIZE_MAX - 1)
    throw Failure(std::string(model.info().path) + ": several entry points; name one of " + names +
                  " with --entry");
  return found;
}

} // namespace

int runTensors(const TensorOptions &options) {
  auto inputBindings = parseBindings(options.inputs, "--input");
  auto outputBindings = parseBindings(options.outputs, "--output");
  Model model = loadModel(options.load);
  size_t entry = findEntry(model, options.entry);
  if (outputBindings.empty()) {
    std::string names;
    for (size_t i = 0; i < model.program(entry).output_count; ++i) {
      auto output = Model::query<ingot_tensor_info>(
          [&](auto *out) { return ingot_model_get_output(model.get(), entry, i, out); });
      names += (i ? ", " : "") + std::string(output.name);
    }
    throw Failure(options.load.path + ": nothing to write; give --output NAME=FILE with one of " +
                  names);
  }

  std::vector<NpyArray> arrays(inputBindings.size());
  std::vector<ingot_tensor> inputs(inputBindings.size());
  for (size_t i = 0; i < inputs.size(); ++i) {
    arrays[i] = readNpy(inputBindings[i].file);
    ingot_tensor &tensor = inputs[i];
    tensor = {};
    tensor.name = inputBindings[i].name.c_str();
    tensor.type = arrays[i].type;
    tensor.rank = arrays[i].shape.size();
    std::copy(arrays[i].shape.begin(), arrays[i].shape.end(), tensor.shape);
    tensor.data = arrays[i].data.data();
    tensor.bytes = arrays[i].data.size();
  }
  struct Outputs : std::vector<ingot_tensor> {
    ~Outputs() {
      for (ingot_tensor &tensor : *this)
        ingot_tensor_release(&tensor);
    }
  } outputs;
  for (const Binding &binding : outputBindings) {
    outputs.push_back({});
    outputs.back().name = binding.name.c_str();
  }
  ingot_run_options run;
  ingot_run_options_init(&run);
  run.cancel = interruptToken();
  checkRun(options.load.path, ingot_run(model.get(), entry, inputs.data(), inputs.size(),
                                        outputs.data(), outputs.size(), &run));
  for (size_t i = 0; i < outputs.size(); ++i)
    writeNpy(outputBindings[i].file, outputs[i]);
  return 0;
}
