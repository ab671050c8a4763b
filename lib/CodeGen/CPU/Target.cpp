//===- Target.cpp - processors to compile for -------------------------------------------------===//

#include "KernelBuilder.h"
#include "ingot/CodeGen/CPU.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/TargetParser/Host.h"
#include "llvm/TargetParser/X86TargetParser.h"

using namespace ingot;
using namespace ingot::codegen;

/// Extensions that generated code can make use of. What else a processor has (virtualisation, cache
/// control, random numbers) is not required of the one that runs the code.
static const char *const kUsable[] = {
    "adx",        "amx-bf16",     "amx-fp16",   "amx-int8",     "amx-tile",
    "avx",        "avx2",         "avx512bf16", "avx512bitalg", "avx512bw",
    "avx512cd",   "avx512dq",     "avx512f",    "avx512fp16",   "avx512ifma",
    "avx512vbmi", "avx512vbmi2",  "avx512vl",   "avx512vnni",   "avx512vpopcntdq",
    "avxifma",    "avxneconvert", "avxvnni",    "avxvnniint16", "avxvnniint8",
    "bmi",        "bmi2",         "cmov",       "cx16",         "cx8",
    "f16c",       "fma",          "fxsr",       "gfni",         "lzcnt",
    "mmx",        "movbe",        "popcnt",     "sahf",         "sse",
    "sse2",       "sse3",         "sse4.1",     "sse4.2",       "ssse3",
    "vpclmulqdq"};

static llvm::Error makeError(const llvm::Twine &message) {
  return llvm::createStringError(llvm::inconvertibleErrorCode(), message);
}

bool CPUTarget::has(llvm::StringRef feature) const {
  return llvm::is_contained(emulated.empty() ? features : emulated, feature);
}

/// Twice the rate of the f32 multiply-add on Zen 4 and 5; on an Emerald Rapids slower
/// (docs/performance.md).
bool CPUTarget::multipliesPairsFast() const {
  return hasAVX512() && has("avx512bf16") && llvm::StringRef(name).starts_with("znver");
}

int64_t CPUTarget::byteDotLanes() const {
  return hasAVX512() && has("avx512vnni") ? 16 : has("avxvnni") ? 8 : 0;
}

/// A core of Zen 3 that computes beside reading does not look far enough ahead in one stream
/// (docs/performance.md). With AVX-512 several streams were not timed.
int64_t CPUTarget::streams() const { return hasAVX512() ? 1 : 2; }

llvm::Expected<CPUTarget> CPUTarget::resolve(llvm::StringRef name) {
  if (name.contains('@')) {
    auto [designed, executed] = name.split('@');
    llvm::Expected<CPUTarget> kernels = resolve(designed), target = resolve(executed);
    if (!kernels || !target)
      return llvm::joinErrors(kernels.takeError(), target.takeError());
    target->name = kernels->name + "@" + target->name;
    target->emulated = kernels->features;
    return target;
  }
  CPUTarget target;
  target.triple = "x86_64-unknown-linux-gnu";
  target.name = name == "native" ? llvm::sys::getHostCPUName().str() : name.str();
  target.cpu = target.name;
  // LLVM aborts on a name that it does not know.
  if (llvm::X86::parseArchX86(target.cpu, /*Only64Bit=*/true) == llvm::X86::CK_None)
    return makeError(
        "expected a level (x86-64-v3, x86-64-v4), a processor (znver4, sapphirerapids, ...) or "
        "native, got '" +
        name + "'");
  llvm::SmallVector<llvm::StringRef> all;
  llvm::X86::getFeaturesForCPU(target.cpu, all);
  // What an extension builds on is not always listed.
  llvm::StringMap<bool> implied;
  for (llvm::StringRef feature : all)
    llvm::X86::updateImpliedFeatures(feature, /*Enabled=*/true, implied);
  llvm::StringMap<bool> host =
      name == "native" ? llvm::sys::getHostCPUFeatures() : llvm::StringMap<bool>();
  for (llvm::StringRef feature : kUsable) {
    bool listed = llvm::is_contained(all, feature) || implied.lookup(feature);
    // A virtual machine or an operating system may hide what the processor could do.
    if (listed && (name != "native" || host.lookup(feature)))
      target.features.push_back(feature.str());
  }
  // The level x86-64-v4 lists what builds on it, but not the foundation itself.
  if (target.has("avx512vl") && !target.has("avx512f")) {
    target.features.push_back("avx512f");
    llvm::sort(target.features);
  }
  for (llvm::StringRef needed : {"avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe"})
    if (!target.has(needed))
      return makeError("expected a processor of level x86-64-v3 or above, '" + name + "' has no " +
                       needed);
  return target;
}

/// Tiles of a projection: rows and vectors of 16 columns, as their sums fit the registers beside a
/// line of weights and a broadcast. The first one is the default.
static llvm::ArrayRef<std::pair<int64_t, int64_t>> getTiles(plan::KernelOp kernel,
                                                            const CPUTarget &target) {
  using Tile = std::pair<int64_t, int64_t>;
  // 32 registers of 16 lanes; 16 of 8, where a vector is two of them.
  static constexpr Tile wide[] = {{8, 2}, {6, 2}, {12, 2}, {5, 4}, {6, 4}, {14, 1}},
                        narrow[] = {{6, 1}, {4, 1}, {5, 1}, {3, 2}, {2, 2}};
  // Bytes: 16 registers hold a product too; without a dot product also what it is made of.
  static constexpr Tile dots[] = {{5, 1}, {4, 1}, {3, 1}},
                        pairs[] = {{4, 1}, {5, 1}, {3, 1}, {2, 2}};
  auto meetsBytes = [](mlir::Operation &op) {
    return llvm::isa<tfm::LinearOp, tfm::ExpertLinearOp>(op) &&
           llvm::isa<tfm::BlockType>(mlir::getElementTypeOrSelf(op.getOperand(0).getType()));
  };
  if (llvm::any_of(kernel.getBody().front(), meetsBytes) && target.byteDotLanes() != kLanes)
    return target.byteDotLanes() ? llvm::ArrayRef<Tile>(dots) : llvm::ArrayRef<Tile>(pairs);
  return target.hasAVX512() ? llvm::ArrayRef<Tile>(wide) : llvm::ArrayRef<Tile>(narrow);
}

std::vector<plan::ScheduleAttr> codegen::getSchedules(plan::KernelOp kernel,
                                                      const CPUTarget &target) {
  mlir::MLIRContext *context = kernel.getContext();
  plan::ScheduleAttr given = kernel.getScheduleAttr();
  auto has = [&](auto *op) {
    using OpTy = std::remove_pointer_t<decltype(op)>;
    return !kernel.getBody().template getOps<OpTy>().empty();
  };
  plan::ScheduleKind kind = given                                ? given.getKind()
                            : has((tfm::AttentionOp *)nullptr)   ? plan::ScheduleKind::Attention
                            : has((tfm::CacheAppendOp *)nullptr) ? plan::ScheduleKind::Append
                                                                 : plan::ScheduleKind::Rows;
  if (kind != plan::ScheduleKind::Linear && kind != plan::ScheduleKind::Experts)
    return {given ? given : plan::ScheduleAttr::get(context, kind, 1, 1)};
  std::vector<plan::ScheduleAttr> result;
  for (auto [rows, vectors] : getTiles(kernel, target))
    result.push_back(plan::ScheduleAttr::get(context, kind, rows, vectors));
  return result;
}

plan::ScheduleAttr codegen::getDefaultSchedule(plan::KernelOp kernel, const CPUTarget &target) {
  return getSchedules(kernel, target).front();
}
