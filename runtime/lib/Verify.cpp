//===- Verify.cpp - the semantic verifier of artifacts ---------------------------------------===//
//
// The flatbuffers verifier says that every table can be read. This one says that what they mean
// can be trusted: each index is in the range of its vector, each piece of the file inside the file,
// each product of sizes without overflow, each field that must be there is there. Afterwards the
// rest of the runtime follows the numbers without looking again; only what depends on the sizes of
// a run is checked per run (Execute.cpp).
//
// Every message reads "FILE: field: reason".
//===----------------------------------------------------------------------------------------===//
#include "Artifact.h"
#include "ingot/kernel_abi.h"

#include <cstdarg>
#include <string_view>
#include <unordered_set>

using namespace ingot;

namespace {

constexpr uint64_t kMaxScratchBytes = 1 << 30;
constexpr int64_t kMaxQueryBlock = 1 << 16;
constexpr uint32_t kMaxHeads = 1 << 16, kMaxRecordBytes = 1 << 20;
constexpr uint64_t kMaxStepRows = 1 << 24;
constexpr uint64_t kMaxPageBytes = uint64_t(1) << 40;

template <typename T> uint32_t count(const flatbuffers::Vector<T> *vector) {
  return vector ? vector->size() : 0;
}

/// Numbers of 8 bytes lie at multiples of 8; the verifier of flatbuffers does not check it for
/// structs.
template <typename T> bool isAligned(const flatbuffers::Vector<T> *vector) {
  return !vector || vector->size() == 0 || reinterpret_cast<uintptr_t>(vector->Data()) % 8 == 0;
}

class Verifier {
public:
  Verifier(const fb::Artifact &artifact, const std::string &path, uint64_t headEnd,
           uint64_t fileLength)
      : a(artifact), path(path), headEnd(headEnd), fileLength(fileLength) {}

  Error verify();

private:
  Error fail(const std::string &field, const char *format, ...) const
      __attribute__((format(printf, 3, 4)));
  Error name(const std::string &field, const flatbuffers::String *text) const;
  /// Names that must be there and differ from each other.
  class Names {
  public:
    bool isNew(const flatbuffers::String *text) { return seen.insert(text->string_view()).second; }

  private:
    std::unordered_set<std::string_view> seen;
  };

  Error segments() const;
  Error segmentOfKind(const std::string &field, int64_t index, fb::SegmentKind kind) const;
  Error targets() const;
  Error weights() const;
  Error programs() const;
  Error tensors(const std::string &field, const fb::Program &program, bool outputs) const;
  Error sizes(const std::string &field, const fb::Program &program) const;
  Error batches(const std::string &field, const fb::Program &program) const;
  Error dispatch(const std::string &field, const fb::Program &program,
                 const fb::Dispatch &dispatch) const;
  Error program(const std::string &field, const fb::Program &program) const;
  Error languageModel() const;
  Error sequenceModel() const;
  Error phase(const std::string &field, int64_t index, bool cached) const;
  Error entries(const char *field,
                const flatbuffers::Vector<flatbuffers::Offset<fb::Entry>> *entries) const;

  const fb::Artifact &a;
  const std::string &path;
  uint64_t headEnd;
  uint64_t fileLength;
};

std::string at(const std::string &field, uint64_t index) {
  return field + "[" + std::to_string(index) + "]";
}

Error Verifier::fail(const std::string &field, const char *format, ...) const {
  char reason[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(reason, sizeof reason, format, arguments);
  va_end(arguments);
  return makeError(INGOT_CORRUPT, "%s: %s: %s", path.c_str(), field.c_str(), reason);
}

Error Verifier::name(const std::string &field, const flatbuffers::String *text) const {
  if (!text || text->size() == 0)
    return fail(field, "expected a name");
  if (text->size() > 1 << 20)
    return fail(field, "a name of %u bytes", text->size());
  for (char c : text->string_view())
    if (static_cast<unsigned char>(c) < 0x20)
      return fail(field, "a control character in a name");
  return nullptr;
}

Error Verifier::segments() const {
  uint64_t end = headEnd;
  for (uint32_t i = 0; i < count(a.segments()); ++i) {
    const fb::Segment &segment = *a.segments()->Get(i);
    std::string field = at("segments", i);
    if (segment.kind() > fb::SegmentKind::MAX)
      return fail(field, "unknown kind %u", static_cast<unsigned>(segment.kind()));
    if (segment.offset() % kSegmentAlignment)
      return fail(field, "offset %llu is no multiple of 4096",
                  static_cast<unsigned long long>(segment.offset()));
    if (segment.offset() < end)
      return fail(field, "overlaps what is before it");
    if (segment.length() == 0)
      return fail(field, "empty");
    if (addOverflows(segment.offset(), segment.length(), end) || end > fileLength)
      return fail(field, "%llu bytes at %llu end beyond the file",
                  static_cast<unsigned long long>(segment.length()),
                  static_cast<unsigned long long>(segment.offset()));
    uint64_t chunks = (segment.length() - 1) / kChunkBytes + 1;
    if (count(segment.hashes()) != chunks)
      return fail(field + ".hashes", "expected %llu, got %u",
                  static_cast<unsigned long long>(chunks), count(segment.hashes()));
  }
  return nullptr;
}

Error Verifier::segmentOfKind(const std::string &field, int64_t index, fb::SegmentKind kind) const {
  if (index < 0 || index >= count(a.segments()))
    return fail(field, "no segment %lld", static_cast<long long>(index));
  if (a.segments()->Get(static_cast<uint32_t>(index))->kind() != kind)
    return fail(field, "segment %lld is not of kind %s", static_cast<long long>(index),
                fb::EnumNameSegmentKind(kind));
  return nullptr;
}

Error Verifier::targets() const {
  Names kernelNames, targetNames;
  for (uint32_t i = 0; i < count(a.kernels()); ++i) {
    INGOT_TRY(name(at("kernels", i), a.kernels()->Get(i)->name()));
    if (!kernelNames.isNew(a.kernels()->Get(i)->name()))
      return fail(at("kernels", i), "this name occurs twice");
  }
  if (count(a.targets()) == 0)
    return fail("targets", "there is no code");
  for (uint32_t i = 0; i < count(a.targets()); ++i) {
    const fb::Target &target = *a.targets()->Get(i);
    std::string field = at("targets", i);
    INGOT_TRY(name(field + ".name", target.name()));
    if (!targetNames.isNew(target.name()))
      return fail(field, "this name occurs twice");
    INGOT_TRY(name(field + ".arch", target.arch()));
    for (uint32_t f = 0; f < count(target.features()); ++f)
      INGOT_TRY(name(at(field + ".features", f), target.features()->Get(f)));
    INGOT_TRY(segmentOfKind(field + ".segment", target.segment(), fb::SegmentKind::Code));
    uint64_t codeLength = a.segments()->Get(target.segment())->length();
    if (count(target.entries()) != count(a.kernels()))
      return fail(field + ".entries", "expected one per kernel");
    if (count(target.scratch()) != count(a.kernels()))
      return fail(field + ".scratch", "expected one per kernel");
    if (target.divided_rows() && target.divided_rows()->size() != count(a.kernels()))
      return fail(field + ".divided_rows", "expected one per kernel");
    for (uint32_t k = 0; k < count(a.kernels()); ++k) {
      if (target.entries()->Get(k) >= codeLength)
        return fail(at(field + ".entries", k), "outside the code segment");
      if (target.scratch()->Get(k) > kMaxScratchBytes)
        return fail(at(field + ".scratch", k), "%llu bytes are too much",
                    static_cast<unsigned long long>(target.scratch()->Get(k)));
    }
  }
  return nullptr;
}

Error Verifier::weights() const {
  for (uint32_t i = 0; i < count(a.weights()); ++i) {
    const fb::Weight &weight = *a.weights()->Get(i);
    std::string field = at("weights", i);
    INGOT_TRY(name(field + ".name", weight.name()));
    INGOT_TRY(name(field + ".layout", weight.layout()));
    INGOT_TRY(segmentOfKind(field + ".segment", weight.segment(), fb::SegmentKind::Weights));
    uint64_t segmentLength = a.segments()->Get(weight.segment())->length();
    if (weight.offset() % 64)
      return fail(field + ".offset", "no multiple of 64");
    if (weight.offset() > segmentLength || weight.length() > segmentLength - weight.offset())
      return fail(field, "outside its segment");
    uint64_t bytes = elementSize(weight.type());
    if (bytes == 0)
      return fail(field + ".type", "unknown type %u", static_cast<unsigned>(weight.type()));
    if (count(weight.shape()) > INGOT_MAX_RANK)
      return fail(field + ".shape", "rank %u", count(weight.shape()));
    for (uint32_t d = 0; d < count(weight.shape()); ++d) {
      int64_t extent = weight.shape()->Get(d);
      if (extent < 0 || mulOverflows(bytes, static_cast<uint64_t>(extent), bytes))
        return fail(field + ".shape", "impossible extent %lld", static_cast<long long>(extent));
    }
    if (weight.layout()->string_view() == "rows" && bytes != weight.length())
      return fail(field, "expected %llu bytes, got %llu", static_cast<unsigned long long>(bytes),
                  static_cast<unsigned long long>(weight.length()));
  }
  return nullptr;
}

Error Verifier::tensors(const std::string &field, const fb::Program &program, bool outputs) const {
  const auto *list = outputs ? program.outputs() : program.inputs();
  Names names;
  for (uint32_t i = 0; i < count(list); ++i) {
    const fb::Tensor &tensor = *list->Get(i);
    std::string here = at(field + (outputs ? ".outputs" : ".inputs"), i);
    INGOT_TRY(name(here + ".name", tensor.name()));
    if (!names.isNew(tensor.name()))
      return fail(here, "this name occurs twice");
    if (elementSize(tensor.type()) == 0)
      return fail(here + ".type", "unknown type %u", static_cast<unsigned>(tensor.type()));
    if (count(tensor.shape()) > INGOT_MAX_RANK)
      return fail(here + ".shape", "rank %u", count(tensor.shape()));
    for (uint32_t d = 0; d < count(tensor.shape()); ++d)
      if (tensor.shape()->Get(d) < -1)
        return fail(here + ".shape", "negative extent");
    if (count(tensor.sizes()) != (outputs ? count(tensor.shape()) : 0))
      return fail(here + ".sizes", "expected %u, got %u", outputs ? count(tensor.shape()) : 0,
                  count(tensor.sizes()));
    for (uint32_t d = 0; d < count(tensor.sizes()); ++d)
      if (tensor.sizes()->Get(d) >= count(program.sizes()))
        return fail(at(here + ".sizes", d), "no such size");
  }
  return nullptr;
}

Error Verifier::sizes(const std::string &field, const fb::Program &program) const {
  if (!isAligned(program.sizes()))
    return fail(field + ".sizes", "a table that is not aligned");
  for (uint32_t i = 0; i < count(program.sizes()); ++i) {
    const fb::Size &size = *program.sizes()->Get(i);
    std::string here = at(field + ".sizes", i);
    auto earlier = [&](int64_t index) { return index >= 0 && index < i; };
    switch (size.op()) {
    case fb::SizeOp::Constant:
      break;
    case fb::SizeOp::InputDim:
      if (size.a() < 0 || size.a() >= static_cast<int64_t>(count(program.inputs())))
        return fail(here, "no input %d", size.a());
      if (size.b() < 0 ||
          size.b() >= static_cast<int64_t>(count(program.inputs()->Get(size.a())->shape())))
        return fail(here, "input %d has no dimension %d", size.a(), size.b());
      break;
    case fb::SizeOp::BatchDim: {
      if (size.a() < 0 || size.a() >= static_cast<int64_t>(count(program.batches())))
        return fail(here, "no batch %d", size.a());
      if (size.b() < 0 || size.b() > static_cast<int>(fb::BatchDimKind::MAX))
        return fail(here, "unknown dimension %d of a batch", size.b());
      if (size.value() < 0)
        return fail(here, "negative window");
      const fb::Batch &batch = *program.batches()->Get(size.a());
      if (batch.kind() == fb::BatchKind::Uniform &&
          (!earlier(batch.sequences()) || !earlier(batch.rows()) ||
           (batch.keys() != -1 && !earlier(batch.keys()))))
        return fail(here, "the sizes of batch %d come later", size.a());
      break;
    }
    case fb::SizeOp::Add:
    case fb::SizeOp::Sub:
    case fb::SizeOp::Mul:
    case fb::SizeOp::CeilDiv:
    case fb::SizeOp::FloorDiv:
    case fb::SizeOp::Mod:
    case fb::SizeOp::Max:
    case fb::SizeOp::Min:
      if (!earlier(size.a()) || !earlier(size.b()))
        return fail(here, "operands %d and %d are not earlier sizes", size.a(), size.b());
      break;
    default:
      return fail(here, "unknown operation %u", static_cast<unsigned>(size.op()));
    }
  }
  for (uint32_t i = 0; i < count(program.checks()); ++i) {
    const fb::SizeCheck &check = *program.checks()->Get(i);
    if (check.a() >= count(program.sizes()) || check.b() >= count(program.sizes()))
      return fail(at(field + ".checks", i), "no such size");
  }
  for (uint32_t i = 0; i < count(program.slots()); ++i)
    if (program.slots()->Get(i)->bytes() >= count(program.sizes()))
      return fail(at(field + ".slots", i), "no such size");
  return nullptr;
}

Error Verifier::batches(const std::string &field, const fb::Program &program) const {
  int64_t groups = a.language_model() ? count(a.language_model()->cache_groups()) : 0;
  int64_t sizeCount = count(program.sizes());
  for (uint32_t i = 0; i < count(program.batches()); ++i) {
    const fb::Batch &batch = *program.batches()->Get(i);
    std::string here = at(field + ".batches", i);
    if (batch.kind() > fb::BatchKind::MAX)
      return fail(here, "unknown kind %u", static_cast<unsigned>(batch.kind()));
    if (batch.query_block() < 1 || batch.query_block() > kMaxQueryBlock)
      return fail(here, "query block of %u rows", batch.query_block());
    if (batch.heads() > kMaxHeads || batch.kv_heads() > batch.heads() ||
        batch.record_bytes() > kMaxRecordBytes || batch.record_bytes() % 64 ||
        batch.window() > uint64_t(INT64_MAX))
      return fail(here, "attention of %u and %u heads, records of %u bytes", batch.heads(),
                  batch.kv_heads(), batch.record_bytes());
    if (batch.cache_group() < -1 || batch.cache_group() >= groups)
      return fail(here, "no cache group %d", batch.cache_group());
    if (batch.slot() < -1 || batch.slot() >= static_cast<int64_t>(count(program.slots())))
      return fail(here, "no slot %d", batch.slot());
    if (batch.cache_group() >= 0 && batch.slot() >= 0)
      return fail(here, "pages in two places");
    if (batch.slot() >= 0 &&
        (batch.page_bytes() == 0 || batch.page_bytes() % 64 || batch.page_bytes() > kMaxPageBytes))
      return fail(here, "pages of %llu bytes", static_cast<unsigned long long>(batch.page_bytes()));
    bool uniform = batch.kind() == fb::BatchKind::Uniform;
    auto isSize = [&](int64_t index) { return index >= 0 && index < sizeCount; };
    if (uniform ? !isSize(batch.sequences()) || !isSize(batch.rows()) ||
                      (batch.keys() != -1 && !isSize(batch.keys()))
                : batch.sequences() != -1 || batch.rows() != -1 || batch.keys() != -1)
      return fail(here, "sizes %d, %d, %d do not fit its kind", batch.sequences(), batch.rows(),
                  batch.keys());
    if (uniform && batch.cache_group() >= 0)
      return fail(here, "a uniform batch in the cache of sessions");
  }
  return nullptr;
}

Error Verifier::dispatch(const std::string &field, const fb::Program &program,
                         const fb::Dispatch &dispatch) const {
  uint32_t sizeCount = count(program.sizes());
  if (!isAligned(dispatch.scalars()) || !isAligned(dispatch.cost()))
    return fail(field, "a table that is not aligned");
  if (dispatch.kernel() >= count(a.kernels()))
    return fail(field, "no kernel %u", dispatch.kernel());
  if (dispatch.grid() >= sizeCount)
    return fail(field + ".grid", "no size %u", dispatch.grid());
  if (dispatch.batch() < -1 || dispatch.batch() >= static_cast<int64_t>(count(program.batches())))
    return fail(field, "no batch %d", dispatch.batch());
  if (dispatch.location() >= count(a.locations()))
    return fail(field, "no location %u", dispatch.location());
  for (uint32_t i = 0; i < count(dispatch.buffers()); ++i) {
    const fb::Buffer &buffer = *dispatch.buffers()->Get(i);
    uint32_t limit = 0;
    switch (buffer.kind()) {
    case fb::BufferKind::Slot:
      limit = count(program.slots());
      break;
    case fb::BufferKind::Weight:
      limit = count(a.weights());
      break;
    case fb::BufferKind::Input:
      limit = count(program.inputs());
      break;
    case fb::BufferKind::Output:
      limit = count(program.outputs());
      break;
    }
    if (buffer.index() >= limit)
      return fail(at(field + ".buffers", i), "no %s %u",
                  buffer.kind() <= fb::BufferKind::MAX ? fb::EnumNameBufferKind(buffer.kind())
                                                       : "such kind",
                  buffer.index());
  }
  for (uint32_t i = 0; i < count(dispatch.scalars()); ++i) {
    const fb::Scalar &scalar = *dispatch.scalars()->Get(i);
    if (scalar.kind() > fb::ScalarKind::MAX ||
        (scalar.kind() == fb::ScalarKind::Size &&
         (scalar.value() < 0 || scalar.value() >= static_cast<int64_t>(sizeCount))))
      return fail(at(field + ".scalars", i), "no such size");
  }
  for (uint32_t i = 0; i < count(dispatch.cost()); ++i) {
    const fb::CostTerm &term = *dispatch.cost()->Get(i);
    if (term.cost() > fb::CostClass::MAX || term.size() >= sizeCount)
      return fail(at(field + ".cost", i), "no such size or class");
  }
  return nullptr;
}

Error Verifier::program(const std::string &field, const fb::Program &program) const {
  INGOT_TRY(tensors(field, program, /*outputs=*/false));
  INGOT_TRY(tensors(field, program, /*outputs=*/true));
  INGOT_TRY(batches(field, program));
  INGOT_TRY(sizes(field, program));
  for (uint32_t i = 0; i < count(program.dispatches()); ++i)
    INGOT_TRY(dispatch(at(field + ".dispatches", i), program, *program.dispatches()->Get(i)));
  return nullptr;
}

Error Verifier::programs() const {
  for (uint32_t i = 0; i < count(a.locations()); ++i)
    if (!a.locations()->Get(i))
      return fail(at("locations", i), "missing");
  Names names;
  for (uint32_t i = 0; i < count(a.programs()); ++i) {
    std::string field = at("programs", i);
    INGOT_TRY(name(field + ".name", a.programs()->Get(i)->name()));
    if (!names.isNew(a.programs()->Get(i)->name()))
      return fail(field, "this name occurs twice");
    INGOT_TRY(program(field, *a.programs()->Get(i)));
  }
  return nullptr;
}

/// A phase takes the ids of the packed rows and gives a row of logits for each wanted output.
Error Verifier::phase(const std::string &field, int64_t index, bool cached) const {
  if (index < 0 || index >= static_cast<int64_t>(count(a.programs())))
    return fail(field, "no program %lld", static_cast<long long>(index));
  const fb::Program &program = *a.programs()->Get(static_cast<uint32_t>(index));
  if (count(program.inputs()) != 1)
    return fail(field, "expected one input, the ids");
  const fb::Tensor &ids = *program.inputs()->Get(0);
  if (ids.type() != fb::ElementType::I32 || count(ids.shape()) != 1 || ids.shape()->Get(0) != -1)
    return fail(field, "expected ids of type i32 and shape [-1]");
  if (count(program.outputs()) < 1)
    return fail(field, "no logits");
  const fb::Tensor &logits = *program.outputs()->Get(0);
  if (logits.type() != fb::ElementType::F32 || count(logits.shape()) != 2)
    return fail(field, "expected logits of type f32 and rank 2");
  int64_t width = logits.shape()->Get(1);
  if (width != -1 && width != static_cast<int64_t>(a.language_model()->vocabulary()))
    return fail(field, "logits of width %lld", static_cast<long long>(width));
  if (!cached)
    for (uint32_t i = 0; i < count(program.batches()); ++i)
      if (program.batches()->Get(i)->cache_group() >= 0)
        return fail(at(field + ".batches", i), "a cache in the program that has none");
  return nullptr;
}

Error Verifier::languageModel() const {
  const fb::LanguageModel *lm = a.language_model();
  if (!lm) {
    // Then no program may ask for a cache; batches() has seen to it.
    return nullptr;
  }
  const std::string field = "language_model";
  if (lm->vocabulary() < 1 || lm->vocabulary() > INT32_MAX)
    return fail(field + ".vocabulary", "%u", lm->vocabulary());
  if (lm->context() < 1 || lm->context() > static_cast<uint64_t>(kMaxPositions))
    return fail(field + ".context", "%llu", static_cast<unsigned long long>(lm->context()));
  if (lm->past_context() > fb::PastContext::MAX)
    return fail(field + ".past_context", "unknown policy");
  if (lm->past_context() == fb::PastContext::Restart && lm->keep() >= lm->context())
    return fail(field + ".keep", "expected less than the context");
  if (lm->begin_id() < -1)
    return fail(field + ".begin_id", "%d", lm->begin_id());
  if (lm->start_id() < -1)
    return fail(field + ".start_id", "%d", lm->start_id());
  bool cached = lm->whole() == -1;
  if (!cached) {
    if (lm->prefill() != -1 || lm->decode() != -1 || count(lm->cache_groups()))
      return fail(field, "both with and without a cache");
    return phase(field + ".whole", lm->whole(), /*cached=*/false);
  }
  INGOT_TRY(phase(field + ".prefill", lm->prefill(), /*cached=*/true));
  INGOT_TRY(phase(field + ".decode", lm->decode(), /*cached=*/true));
  if (lm->max_tokens() < 1 || lm->max_tokens() > kMaxStepRows)
    return fail(field + ".max_tokens", "%llu", static_cast<unsigned long long>(lm->max_tokens()));
  if (lm->max_outputs() < 1 || lm->max_outputs() > kMaxStepRows)
    return fail(field + ".max_outputs", "%llu", static_cast<unsigned long long>(lm->max_outputs()));
  for (uint32_t i = 0; i < count(lm->cache_groups()); ++i) {
    const fb::CacheGroup &group = *lm->cache_groups()->Get(i);
    if (group.page_bytes() == 0 || group.page_bytes() % 64 || group.page_bytes() > kMaxPageBytes)
      return fail(at(field + ".cache_groups", i), "pages of %llu bytes",
                  static_cast<unsigned long long>(group.page_bytes()));
    if (group.window() > static_cast<uint64_t>(kMaxPositions))
      return fail(at(field + ".cache_groups", i), "impossible window");
  }
  return nullptr;
}

Error Verifier::sequenceModel() const {
  const fb::SequenceModel *model = a.sequence_model();
  if (!model)
    return nullptr;
  const std::string field = "sequence_model";
  if (model->vocabulary() < 1 || model->vocabulary() > INT32_MAX)
    return fail(field + ".vocabulary", "%u", model->vocabulary());
  if (model->context() < 1 || model->context() > static_cast<uint64_t>(kMaxPositions))
    return fail(field + ".context", "%llu", static_cast<unsigned long long>(model->context()));
  if (model->token_types() > INT32_MAX)
    return fail(field + ".token_types", "%u", model->token_types());
  if (model->max_tokens() < 1 || model->max_tokens() > kMaxStepRows)
    return fail(field + ".max_tokens", "%llu",
                static_cast<unsigned long long>(model->max_tokens()));
  if (model->pooling() > fb::Pooling::MAX)
    return fail(field + ".pooling", "unknown kind");
  if (!count(model->outputs()))
    return fail(field + ".outputs", "there are none");
  Names names;
  for (uint32_t i = 0; i < count(model->outputs()); ++i) {
    const fb::SequenceOutput &output = *model->outputs()->Get(i);
    std::string here = at(field + ".outputs", i);
    INGOT_TRY(name(here + ".name", output.name()));
    if (!names.isNew(output.name()))
      return fail(here, "this name occurs twice");
    if (output.rows() > fb::OutputRows::MAX || output.width() < 1 || output.width() > INT32_MAX)
      return fail(here, "rows of an unknown kind, or of %u elements", output.width());
    if (uint32_t labels = count(output.labels()); labels && labels != output.width())
      return fail(here, "%u labels of %u elements", labels, output.width());
    for (uint32_t l = 0; l < count(output.labels()); ++l)
      INGOT_TRY(name(at(here + ".labels", l), output.labels()->Get(l)));
    if (output.program() >= count(a.programs()))
      return fail(here, "no program %u", output.program());
    const fb::Program &program = *a.programs()->Get(output.program());
    if (count(program.inputs()) != (model->token_types() ? 2u : 1u))
      return fail(here, "expected ids, and token types where there are some, as inputs");
    for (const fb::Tensor *input : *program.inputs())
      if (input->type() != fb::ElementType::I32 || count(input->shape()) != 1 ||
          input->shape()->Get(0) != -1)
        return fail(here, "expected inputs of type i32 and shape [-1]");
    if (count(program.outputs()) < 1 || program.outputs()->Get(0)->type() != fb::ElementType::F32 ||
        count(program.outputs()->Get(0)->shape()) != 2)
      return fail(here, "expected a first output of type f32 and rank 2");
    for (uint32_t b = 0; b < count(program.batches()); ++b)
      if (int group = program.batches()->Get(b)->cache_group();
          group >= 0 &&
          !a.language_model()->cache_groups()->Get(static_cast<uint32_t>(group))->source())
        return fail(here, "its program writes to a cache that is none of sources");
  }
  return nullptr;
}

Error Verifier::entries(const char *field,
                        const flatbuffers::Vector<flatbuffers::Offset<fb::Entry>> *entries) const {
  for (uint32_t i = 0; i < count(entries); ++i)
    if (!entries->Get(i)->key() || !entries->Get(i)->value())
      return fail(at(field, i), "key or value is missing");
  return nullptr;
}

Error Verifier::verify() {
  INGOT_TRY(segments());
  INGOT_TRY(targets());
  INGOT_TRY(weights());
  INGOT_TRY(programs());
  INGOT_TRY(languageModel());
  INGOT_TRY(sequenceModel());
  if (a.tokenizer() != -1)
    INGOT_TRY(segmentOfKind("tokenizer", a.tokenizer(), fb::SegmentKind::Tokenizer));
  if (a.ir() != -1)
    INGOT_TRY(segmentOfKind("ir", a.ir(), fb::SegmentKind::IR));
  if (count(a.programs()) == 0)
    return fail("programs", "there is nothing to run");
  INGOT_TRY(entries("sources", a.sources()));
  INGOT_TRY(entries("options", a.options()));
  return nullptr;
}

} // namespace

Error ingot::verifyArtifact(const fb::Artifact &artifact, const std::string &path, uint64_t headEnd,
                            uint64_t fileLength) {
  return Verifier(artifact, path, headEnd, fileLength).verify();
}
