//===- CPU.h - kernels to native code ---------------------------------------------*- C++ -*-===//
//
// Compiles the kernels of a plan for one processor and links them into one code segment: an ELF
// image without imports and without run-time relocations whose file offsets equal its addresses,
// so that the runtime maps it read + execute as it is and jumps to `entry`.
//
// How a kernel becomes code is told by lib/CodeGen/CPU: the emitters (one per schedule kind) write
// vector code with scf, arith, vector and LLVM pointers, every function written out; it is
// converted to LLVM IR, optimised and assembled in process, one LLVMContext per kernel, in
// parallel. The same kernels and target give the same bytes, whatever the number of threads.
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_CODEGEN_CPU_H
#define INGOT_CODEGEN_CPU_H

#include "ingot/Dialect/Plan/IR/PlanDialect.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/Error.h"
#include <functional>
#include <string>
#include <vector>

namespace ingot::codegen {

/// A processor to compile for.
struct CPUTarget {
  std::string name;   ///< as recorded in the artifact: "x86-64-v3", "znver4", ...
  std::string triple; ///< "x86_64-unknown-linux-gnu"
  std::string cpu;    ///< LLVM's name of the processor whose scheduling is used
  /// Instruction set extensions that the code needs, LLVM's names, sorted; no tuning flags.
  std::vector<std::string> features;
  /// Extensions that kernels are designed for where that is another processor: the code does the
  /// same with what `features` offer.
  std::vector<std::string> emulated;

  /// Whether kernels may use an extension.
  bool has(llvm::StringRef feature) const;
  /// Whether a product of bf16 pairs (vdpbf16ps) is faster than the two multiply-adds that it
  /// replaces.
  bool multipliesPairsFast() const;
  /// Lanes of the instruction that adds four products of bytes (vpdpbusd): 16, 8 or, where there is
  /// none, 0.
  int64_t byteDotLanes() const;
  /// How many panels of a matrix a thread reads by turns where it has one row, but for bytes that
  /// are multiplied in pairs.
  int64_t streams() const;
  bool hasAVX512() const {
    return has("avx512f") && has("avx512vl") && has("avx512bw") && has("avx512dq");
  }

  /// `name` is a level ("x86-64-v3", "x86-64-v4"), a processor ("znver4", "sapphirerapids", ...) or
  /// "native", which becomes the processor this runs on, with the features that it and its
  /// operating system offer. "znver5@x86-64-v3" is the kernels of the first in the instructions of
  /// the second: slow, to try what the first would compute. Fails on an unknown name, and on a
  /// processor below x86-64-v3.
  static llvm::Expected<CPUTarget> resolve(llvm::StringRef name);
};

struct CompileOptions {
  /// Kernels that are compiled at once; 0: one per core.
  unsigned threads = 0;
  /// Called, from one thread and in the order of the kernels, with the text of each stage:
  /// "vector.mlir", "ll" (optimised) and "s". Null: no text is made.
  std::function<void(llvm::StringRef kernel, llvm::StringRef stage, llvm::StringRef text)> dump;
  /// By kernel, where it is not the kernel's own schedule or the default one that counts.
  llvm::StringMap<plan::ScheduleAttr> schedules;
};

struct CompiledKernel {
  std::string name;
  uint64_t entry;        ///< offset of the first instruction in the image
  uint64_t scratchBytes; ///< per thread, aligned to 64
  uint32_t dividedRows;  ///< as the schema has it
};

struct CompiledCode {
  std::string image;
  std::vector<CompiledKernel> kernels; ///< in the order given
};

/// Compiles and links. Errors are reported as diagnostics at the operations that cause them.
/// Kernels without a schedule get the default one.
llvm::FailureOr<CompiledCode> compileKernels(llvm::ArrayRef<plan::KernelOp> kernels,
                                             const CPUTarget &target,
                                             const CompileOptions &options = {});

/// How a kernel is compiled for a target if nobody says more: of the kind that select-schedule
/// wrote, or that follows from what the kernel contains, in a tile that fits the target's
/// registers.
plan::ScheduleAttr getDefaultSchedule(plan::KernelOp kernel, const CPUTarget &target);
/// The tiles that are worth measuring, the default one first: one where a tile makes no difference.
std::vector<plan::ScheduleAttr> getSchedules(plan::KernelOp kernel, const CPUTarget &target);

/// Registers the passes of code generation: --emit-cpu-kernels{target=...}.
void registerCPUPasses();

} // namespace ingot::codegen

#endif // INGOT_CODEGEN_CPU_H
