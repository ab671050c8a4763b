//===- Run.cpp - entry points on named tensors, profiles ------------------------------------===//
#include "Model.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

using namespace ingot;

namespace {

bool isAligned(const void *pointer) { return reinterpret_cast<uintptr_t>(pointer) % 64 == 0; }

std::string shapeText(const int64_t *shape, size_t rank) {
  std::string text = "[";
  for (size_t d = 0; d < rank; ++d)
    text += (d ? ", " : "") + (shape[d] < 0 ? std::string("?") : std::to_string(shape[d]));
  return text + "]";
}

class TensorRun {
public:
  TensorRun(ingot_model &model, const ProgramPlan &program, size_t index)
      : model(model), program(program), index(index) {}

  Error run(const ingot_tensor *inputs, size_t inputCount, ingot_tensor *outputs,
            size_t outputCount, const Control &control);

private:
  Error bindInputs(const ingot_tensor *tensors, size_t count);
  Error bindOutputs(Context &context, ingot_tensor *tensors, size_t count);
  const char *name() const { return program.source->name()->c_str(); }
  Error noSuchTensor(const char *kind, const char *wanted,
                     const flatbuffers::Vector<flatbuffers::Offset<fb::Tensor>> *list) const;
  /// Memory that lives as long as the run.
  Error borrow(uint64_t bytes, void *&memory) {
    blocks.emplace_back(model.allocator);
    INGOT_TRY(blocks.back().reserve(std::max<uint64_t>(bytes, 64), "a tensor"));
    memory = blocks.back().data();
    return nullptr;
  }

  ingot_model &model;
  const ProgramPlan &program;
  size_t index;
  std::vector<Block> blocks;
  std::vector<const int64_t *> shapes;
  std::vector<const void *> inputData;
  std::vector<void *> outputData;
  struct Copy {
    ingot_tensor *to;
    const void *from;
  };
  std::vector<Copy> copies;
};

Error TensorRun::noSuchTensor(
    const char *kind, const char *wanted,
    const flatbuffers::Vector<flatbuffers::Offset<fb::Tensor>> *list) const {
  std::string names;
  for (unsigned i = 0; list && i < list->size(); ++i)
    names += (i ? ", " : "") + list->Get(i)->name()->str();
  return makeError(INGOT_NOT_FOUND, "%s has no %s %s; it has %s", name(), kind,
                   wanted ? wanted : "without a name", names.empty() ? "none" : names.c_str());
}

Error TensorRun::bindInputs(const ingot_tensor *tensors, size_t count) {
  const auto *list = program.source->inputs();
  size_t expected = list ? list->size() : 0;
  shapes.resize(expected);
  inputData.resize(expected);
  for (size_t t = 0; t < count; ++t) {
    bool known = false;
    for (unsigned i = 0; tensors[t].name && i < expected; ++i)
      known |= list->Get(i)->name()->string_view() == tensors[t].name;
    if (!known)
      return noSuchTensor("input", tensors[t].name, list);
  }
  for (size_t i = 0; i < expected; ++i) {
    const fb::Tensor &wanted = *list->Get(static_cast<unsigned>(i));
    const ingot_tensor *given = nullptr;
    for (size_t t = 0; t < count; ++t) {
      if (wanted.name()->string_view() != tensors[t].name)
        continue;
      if (given)
        return makeError(INGOT_INVALID_ARGUMENT, "%s: input %s is given twice", name(),
                         tensors[t].name);
      given = &tensors[t];
    }
    if (!given)
      return makeError(INGOT_INVALID_ARGUMENT, "%s: input %s is missing", name(),
                       wanted.name()->c_str());
    if (static_cast<uint8_t>(wanted.type()) != given->type)
      return makeError(INGOT_INVALID_ARGUMENT, "%s: input %s: expected elements of type %s, got %s",
                       name(), given->name,
                       ingot_element_name(static_cast<ingot_element_type>(wanted.type())),
                       ingot_element_name(given->type));
    size_t rank = wanted.shape() ? wanted.shape()->size() : 0;
    bool fits = given->rank == rank;
    uint64_t bytes = elementSize(wanted.type());
    for (size_t d = 0; fits && d < rank; ++d) {
      int64_t extent = wanted.shape()->Get(static_cast<unsigned>(d));
      fits = given->shape[d] >= 0 && (extent < 0 || extent == given->shape[d]) &&
             !mulOverflows(bytes, static_cast<uint64_t>(given->shape[d]), bytes);
    }
    if (!fits)
      return makeError(
          INGOT_INVALID_ARGUMENT, "%s: input %s: expected shape %s, got %s", name(), given->name,
          shapeText(wanted.shape() ? wanted.shape()->data() : nullptr, rank).c_str(),
          shapeText(given->shape, std::min<size_t>(given->rank, INGOT_MAX_RANK)).c_str());
    if (given->bytes != bytes || (!given->data && bytes))
      return makeError(INGOT_INVALID_ARGUMENT, "%s: input %s: expected %llu bytes, got %zu", name(),
                       given->name, static_cast<unsigned long long>(bytes), given->bytes);
    shapes[i] = given->shape;
    inputData[i] = given->data;
    if (!given->data || !isAligned(given->data)) {
      void *copy;
      INGOT_TRY(borrow(bytes, copy));
      if (bytes)
        memcpy(copy, given->data, bytes);
      inputData[i] = copy;
    }
  }
  return nullptr;
}

Error TensorRun::bindOutputs(Context &context, ingot_tensor *tensors, size_t count) {
  const auto *list = program.source->outputs();
  size_t expected = list ? list->size() : 0;
  outputData.assign(expected, nullptr);
  std::vector<bool> named(count);
  for (size_t i = 0; i < expected; ++i) {
    const fb::Tensor &made = *list->Get(static_cast<unsigned>(i));
    uint64_t bytes;
    INGOT_TRY(context.outputBytes(i, bytes));
    ingot_tensor *given = nullptr;
    for (size_t t = 0; t < count; ++t)
      if (tensors[t].name && made.name()->string_view() == tensors[t].name) {
        if (given)
          return makeError(INGOT_INVALID_ARGUMENT, "%s: output %s is asked for twice", name(),
                           tensors[t].name);
        given = &tensors[t];
        named[t] = true;
      }
    if (!given) {
      INGOT_TRY(borrow(bytes, outputData[i]));
      continue;
    }
    if (given->data && given->bytes < bytes)
      return makeError(INGOT_INVALID_ARGUMENT, "%s: output %s: needs %llu bytes, there are %zu",
                       name(), given->name, static_cast<unsigned long long>(bytes), given->bytes);
    if (given->data && isAligned(given->data) && bytes) {
      outputData[i] = given->data;
    } else {
      INGOT_TRY(borrow(bytes, outputData[i]));
      copies.push_back({given, outputData[i]});
    }
  }
  for (size_t t = 0; t < count; ++t)
    if (!named[t])
      return noSuchTensor("output", tensors[t].name, list);
  return nullptr;
}

Error TensorRun::run(const ingot_tensor *inputs, size_t inputCount, ingot_tensor *outputs,
                     size_t outputCount, const Control &control) {
  if (program.usesStep)
    return makeError(INGOT_INVALID_ARGUMENT, "%s: a phase of a language model: it runs in sessions",
                     name());
  INGOT_TRY(bindInputs(inputs, inputCount));
  ContextLease context(model);
  INGOT_TRY(context->prepare(program, shapes.data(), nullptr, control.threads));
  INGOT_TRY(bindOutputs(*context, outputs, outputCount));
  INGOT_TRY(context->execute(inputData.data(), outputData.data(), control, index));

  const auto *list = program.source->outputs();
  for (size_t t = 0; t < outputCount; ++t) {
    ingot_tensor &tensor = outputs[t];
    for (size_t i = 0; list && i < list->size(); ++i) {
      const fb::Tensor &made = *list->Get(static_cast<unsigned>(i));
      if (made.name()->string_view() != tensor.name)
        continue;
      uint64_t bytes;
      INGOT_TRY(context->outputBytes(i, bytes));
      if (!tensor.data) {
        tensor.data = malloc(bytes ? bytes : 1);
        if (!tensor.data)
          return outOfMemory();
      }
      tensor.type = static_cast<ingot_element_type>(made.type());
      tensor.rank = made.shape() ? made.shape()->size() : 0;
      for (size_t d = 0; d < tensor.rank; ++d)
        tensor.shape[d] = context->outputDim(i, d);
      tensor.bytes = bytes;
    }
  }
  for (const Copy &copy : copies)
    memcpy(copy.to->data, copy.from, copy.to->bytes);
  return nullptr;
}

} // namespace

ingot_error *ingot_run(ingot_model *model, size_t program, const ingot_tensor *inputs,
                       size_t input_count, ingot_tensor *outputs, size_t output_count,
                       const ingot_run_options *options) {
  return guarded([&]() -> Error {
    if (!model || (!inputs && input_count) || (!outputs && output_count))
      return makeError(INGOT_INVALID_ARGUMENT, "ingot_run: a null pointer");
    if (program >= model->programs.size())
      return makeError(INGOT_NOT_FOUND, "%s: no program %zu", model->path(), program);
    ingot_run_options given;
    INGOT_TRY(readOptions(given, options));
    Control control;
    INGOT_TRY(model->makeControl(given, control));
    return TensorRun(*model, model->programs[program], program)
        .run(inputs, input_count, outputs, output_count, control);
  });
}

void ingot_tensor_release(ingot_tensor *tensor) {
  if (!tensor)
    return;
  free(tensor->data);
  tensor->data = nullptr;
  tensor->bytes = 0;
}

//===-- Profiles -----------------------------------------------------------------------------===//

struct ingot_profile : ProfileData {};

ProfileData *ingot::profileData(ingot_profile *profile) { return profile; }

ingot_error *ingot_profile_create(const ingot_model *model, ingot_profile **out_profile) {
  return guarded([&]() -> Error {
    auto profile = std::make_unique<ingot_profile>();
    for (const ProgramPlan &program : model->programs) {
      profile->programs.emplace_back();
      profile->programs.back().dispatches.resize(program.dispatches.size());
    }
    *out_profile = profile.release();
    return nullptr;
  });
}

ingot_error *ingot_profile_get(const ingot_profile *profile, size_t program, size_t dispatch,
                               ingot_profile_entry *entry) {
  return guarded([&]() -> Error {
    if (program >= profile->programs.size() ||
        (dispatch != SIZE_MAX && dispatch >= profile->programs[program].dispatches.size()))
      return makeError(INGOT_NOT_FOUND, "no program %zu with a dispatch %zu", program, dispatch);
    const ProfileData::ProgramEntries &entries = profile->programs[program];
    const ProfileData::Entry &from =
        dispatch == SIZE_MAX ? entries.total : entries.dispatches[dispatch];
    ingot_profile_entry out;
    ingot_profile_entry_init(&out);
    out.runs = from.runs;
    out.nanoseconds = from.nanoseconds;
    std::copy(from.cost.begin(), from.cost.end(), out.cost);
    return writeInfo(entry, out);
  });
}

void ingot_profile_reset(ingot_profile *profile) {
  for (ProfileData::ProgramEntries &entries : profile->programs) {
    entries.total = {};
    std::fill(entries.dispatches.begin(), entries.dispatches.end(), ProfileData::Entry());
  }
}
void ingot_profile_destroy(ingot_profile *profile) { delete profile; }
