//===- Tune.cpp - tiles by measurement --------------------------------------------------------===//
//
// A candidate is an image with all measured kernels in one tile. For a kernel and a number of rows
// the candidates run by turns, so that a neighbour or a change of clock meets all of them, and the
// best time of each counts: what disturbs only adds.
//
//===----------------------------------------------------------------------------------------===//

#include "ingot/CodeGen/Tune.h"
#include "../../../runtime/include/ingot/kernel_abi.h"
#include "ingot/Dialect/Plan/Utils/KernelInterface.h"
#include "ingot/Dialect/Plan/Utils/PanelLayout.h"
#include "mlir/IR/Diagnostics.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/Memory.h"
#include "llvm/TargetParser/Host.h"
#include <chrono>
#include <cmath>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

using namespace mlir;
using namespace ingot;
using namespace ingot::codegen;

namespace {

/// Decode, a few sequences at once, prefill.
constexpr int64_t kRowCounts[] = {1, 10, 120};
/// Of a packed weight so much is read in a turn: with one row beyond the caches, with more within
/// them.
constexpr int64_t kBytesOfOneRow = 64 << 20, kBytesOfRows = 1 << 20;
constexpr int kTurns = 7;
constexpr double kSecondsPerTurn = 1e-3;
/// A tile that is not better by this much is noise.
constexpr double kLeastGain = 1.02;

/// Memory that costs nothing until it is touched.
class Buffer {
public:
  explicit Buffer(size_t bytes) {
    std::error_code error;
    block = llvm::sys::OwningMemoryBlock(llvm::sys::Memory::allocateMappedMemory(
        bytes, nullptr, llvm::sys::Memory::MF_READ | llvm::sys::Memory::MF_WRITE, error));
  }
  void *data() const { return block.base(); }

private:
  llvm::sys::OwningMemoryBlock block;
};

/// An image in executable memory.
class Image {
public:
  explicit Image(const CompiledCode &code) : code(code), memory(code.image.size()) {
    if (!memory.data())
      return;
    memcpy(memory.data(), code.image.data(), code.image.size());
    llvm::sys::MemoryBlock block(memory.data(), code.image.size());
    usable = !llvm::sys::Memory::protectMappedMemory(block, llvm::sys::Memory::MF_READ |
                                                                llvm::sys::Memory::MF_EXEC);
  }
  bool isUsable() const { return usable; }
  ingot_kernel_fn entry(size_t kernel) const {
    auto *address = static_cast<char *>(memory.data()) + code.kernels[kernel].entry;
    return reinterpret_cast<ingot_kernel_fn>(address);
  }
  uint64_t scratchBytes(size_t kernel) const { return code.kernels[kernel].scratchBytes; }

private:
  const CompiledCode &code;
  Buffer memory;
  bool usable = false;
};

/// Whether a kernel is a projection whose operands can be made up, and what they are.
class Arguments {
public:
  static std::optional<Arguments> get(plan::KernelOp kernel);
  /// Null where memory is short.
  const ingot_kernel_args *prepare(int64_t rows, uint64_t scratchBytes);
  int64_t panelsFor(int64_t rows) const {
    int64_t bytes = rows == 1 ? kBytesOfOneRow : kBytesOfRows;
    return std::clamp<int64_t>(bytes / layout.panelOffset(1), 1, layout.numPanels());
  }
  int64_t subPanelsFor(int64_t rows) const {
    return std::min(panelsFor(rows) * layout.panelSubPanels(), layout.numSubPanels());
  }

private:
  static constexpr int64_t kMaxRows = kRowCounts[std::size(kRowCounts) - 1];

  static std::optional<int64_t> bytesOf(RankedTensorType type);
  RankedTensorType typeOf(plan::KernelInterface::Buffer buffer) {
    return cast<RankedTensorType>(buffer.isResult ? kernel.getResultTypes()[buffer.index]
                                                  : kernel.getArgumentTypes()[buffer.index]);
  }

  plan::KernelOp kernel;
  plan::KernelInterface interface;
  plan::PanelLayout layout;
  std::vector<Buffer> buffers;
  std::vector<void *> addresses;
  std::vector<int64_t> scalars;
  std::optional<Buffer> scratch;
  ingot_kernel_args args = {};
};

} // namespace

/// With kMaxRows rows, where the number is open.
std::optional<int64_t> Arguments::bytesOf(RankedTensorType type) {
  if (isa_and_present<plan::PanelsAttr>(type.getEncoding())) {
    llvm::Expected<plan::PanelLayout> layout = plan::PanelLayout::get(type);
    if (!layout) {
      llvm::consumeError(layout.takeError());
      return std::nullopt;
    }
    return layout->bytes();
  }
  // Integers are numbers of something: a made-up one may be none.
  if (type.getEncoding() || type.getNumDynamicDims() > 1 ||
      !isa<FloatType, tfm::BlockType>(type.getElementType()))
    return std::nullopt;
  SmallVector<int64_t> shape(type.getShape());
  llvm::replace(shape, ShapedType::kDynamic, kMaxRows);
  return tfm::getStorageBytes(type.clone(shape));
}

std::optional<Arguments> Arguments::get(plan::KernelOp kernel) {
  plan::ScheduleAttr schedule = kernel.getScheduleAttr();
  if (!schedule || schedule.getKind() != plan::ScheduleKind::Linear)
    return std::nullopt;
  llvm::Expected<plan::KernelInterface> interface =
      plan::KernelInterface::get(kernel.getFunctionType());
  if (!interface) {
    llvm::consumeError(interface.takeError());
    return std::nullopt;
  }
  Arguments result;
  result.kernel = kernel;
  result.interface = *interface;
  if (interface->batch)
    return std::nullopt;
  bool packed = false;
  for (plan::KernelInterface::Buffer buffer : interface->buffers) {
    RankedTensorType type = result.typeOf(buffer);
    if (!bytesOf(type))
      return std::nullopt;
    if (!buffer.isResult && isa_and_present<plan::PanelsAttr>(type.getEncoding())) {
      if (packed)
        return std::nullopt;
      packed = true;
      result.layout = llvm::cantFail(plan::PanelLayout::get(type));
    }
  }
  for (plan::KernelInterface::Scalar scalar : interface->scalars)
    if (scalar.kind == plan::KernelInterface::ScalarKind::Value &&
        !isa<FloatType, IndexType>(kernel.getArgumentTypes()[scalar.index]))
      return std::nullopt;
  if (!packed)
    return std::nullopt;
  return result;
}

const ingot_kernel_args *Arguments::prepare(int64_t rows, uint64_t scratchBytes) {
  if (buffers.empty())
    for (plan::KernelInterface::Buffer buffer : interface.buffers) {
      RankedTensorType type = typeOf(buffer);
      int64_t bytes = *bytesOf(type);
      buffers.emplace_back(size_t(bytes) + 64);
      if (!buffers.back().data())
        return nullptr;
      // Small numbers in every type of float. Pages that are never written would all be one page.
      bool weight = isa_and_present<plan::PanelsAttr>(type.getEncoding());
      int64_t touched = weight ? std::min(bytes, panelsFor(1) * layout.panelOffset(1)) : bytes;
      memset(buffers.back().data(), 0x3c, size_t(touched));
      addresses.push_back(buffers.back().data());
    }
  scratch.emplace(scratchBytes + 64);
  if (!scratch->data())
    return nullptr;
  scalars.clear();
  for (plan::KernelInterface::Scalar scalar : interface.scalars) {
    // An index is the number of rows too, which a light operation in the kernel asks for.
    bool isSize = scalar.kind == plan::KernelInterface::ScalarKind::Dim ||
                  kernel.getArgumentTypes()[scalar.index].isIndex();
    scalars.push_back(isSize ? rows : 0);
  }
  args = {addresses.data(), scalars.data(), nullptr, scratch->data()};
  return &args;
}

static double secondsOf(ingot_kernel_fn run, const ingot_kernel_args &args, int64_t items,
                        int64_t times) {
  auto start = std::chrono::steady_clock::now();
  for (int64_t i = 0; i < times; ++i)
    run(&args, 0, items);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() /
         double(times);
}

/// Best seconds of each candidate on so many rows; nothing where memory is short.
static std::vector<double> measure(size_t kernel, Arguments &arguments, ArrayRef<Image> images,
                                   int64_t rows) {
  uint64_t scratchBytes = 0;
  for (const Image &image : images)
    scratchBytes = std::max(scratchBytes, image.scratchBytes(kernel));
  const ingot_kernel_args *args = arguments.prepare(rows, scratchBytes);
  if (!args)
    return {};
  int64_t items = arguments.subPanelsFor(rows);
  std::vector<double> best;
  for (const Image &image : images)
    best.push_back(secondsOf(image.entry(kernel), *args, items, 1));
  auto times = int64_t(std::clamp(kSecondsPerTurn / std::max(best.front(), 1e-9), 1.0, 1e6));
  for (int turn = 0; turn < kTurns; ++turn)
    for (auto [i, image] : llvm::enumerate(images))
      best[i] = std::min(best[i], secondsOf(image.entry(kernel), *args, items, times));
  return best;
}

std::string codegen::whyNotRunnable(const CPUTarget &target) {
  llvm::StringMap<bool> host = llvm::sys::getHostCPUFeatures();
  for (const std::string &feature : target.features)
    if (!host.lookup(feature))
      return "this processor has no " + feature + ", which code for '" + target.name + "' uses";
  return "";
}

llvm::FailureOr<std::vector<TunedTile>>
codegen::tuneTiles(ArrayRef<plan::KernelOp> kernels, const CPUTarget &target, unsigned threads,
                   llvm::function_ref<void(size_t, size_t)> progress) {
  std::vector<plan::KernelOp> measured;
  std::vector<Arguments> arguments;
  for (plan::KernelOp kernel : kernels)
    if (std::optional<Arguments> found = Arguments::get(kernel)) {
      measured.push_back(kernel);
      arguments.push_back(std::move(*found));
    }
  std::vector<TunedTile> result;
  if (measured.empty())
    return result;

  std::vector<std::vector<plan::ScheduleAttr>> candidates; // of each kernel
  size_t most = 0;
  for (plan::KernelOp kernel : measured) {
    candidates.push_back(getSchedules(kernel, target));
    most = std::max(most, candidates.back().size());
  }
  std::vector<CompiledCode> code;
  for (size_t i = 0; i < most; ++i) {
    CompileOptions options;
    options.threads = threads;
    for (auto [kernel, ofKernel] : llvm::zip_equal(measured, candidates))
      options.schedules[kernel.getName()] = ofKernel[i < ofKernel.size() ? i : 0];
    FailureOr<CompiledCode> compiled = compileKernels(measured, target, options);
    if (failed(compiled))
      return failure();
    code.push_back(std::move(*compiled));
  }
  std::vector<Image> images(code.begin(), code.end());
  if (!llvm::all_of(images, [](const Image &image) { return image.isUsable(); }))
    return emitError(measured.front().getLoc(), "there is no memory that code can be run in");

#if defined(__x86_64__)
  // As the runtime runs kernels: round to nearest, denormals are zero.
  unsigned state = _mm_getcsr();
  _mm_setcsr(0x9fc0);
#endif
  for (auto [k, kernel] : llvm::enumerate(measured)) {
    progress(k, measured.size());
    std::vector<double> gains(candidates[k].size(), 1);
    for (int64_t rows : kRowCounts) {
      auto inQuestion = ArrayRef<Image>(images).take_front(gains.size());
      std::vector<double> seconds = measure(k, arguments[k], inQuestion, rows);
      for (size_t i = 0; i < seconds.size(); ++i)
        gains[i] *= std::pow(seconds.front() / seconds[i], 1.0 / double(std::size(kRowCounts)));
    }
    arguments[k] = {};
    size_t best = size_t(std::max_element(gains.begin(), gains.end()) - gains.begin());
    if (gains[best] < kLeastGain)
      best = 0;
    result.push_back({kernel.getSymName().str(), candidates[k][best], best ? gains[best] : 1});
  }
#if defined(__x86_64__)
  _mm_setcsr(state);
#endif
  return result;
}
