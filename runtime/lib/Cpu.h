//===- Cpu.h - what this processor can do ----------------------------------------------------===//
#ifndef INGOT_RUNTIME_CPU_H
#define INGOT_RUNTIME_CPU_H

#include <string_view>

namespace ingot {

/// Whether this processor and operating system have an instruction set extension, by LLVM's name
/// ("avx512bf16"). A name that is not known counts as absent.
bool cpuHasFeature(std::string_view name);

/// The architecture that this library was built for, as artifacts spell it: "x86_64".
std::string_view cpuArchitecture();

/// Threads that this process may use: its affinity, capped by the cgroup's CPU quota.
unsigned usableThreads();

/// While it lives, the floating-point environment is what kernels expect: round to nearest,
/// denormals flushed to zero, all exceptions masked.
class FloatingPointScope {
public:
  FloatingPointScope();
  ~FloatingPointScope();
  FloatingPointScope(const FloatingPointScope &) = delete;
  FloatingPointScope &operator=(const FloatingPointScope &) = delete;

private:
  unsigned long saved;
};

} // namespace ingot

#endif // INGOT_RUNTIME_CPU_H
