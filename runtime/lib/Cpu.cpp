//===- Cpu.cpp - features, threads, floating-point state -------------------------------------===//
#include "Cpu.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sched.h>
#include <string>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <xmmintrin.h>
#endif

using namespace ingot;

#if defined(__x86_64__)
namespace {

enum Register : uint8_t { EAX, EBX, ECX, EDX };
/// State that the operating system must save for the registers of an extension.
enum State : uint8_t { None, AVX, AVX512, AMX };

struct Feature {
  const char *name;
  uint32_t leaf;
  uint32_t subleaf;
  Register reg;
  uint8_t bit;
  State state;
};

// By leaf, as the manuals of Intel and AMD list them; names are LLVM's.
constexpr Feature features[] = {
    {"x87", 1, 0, EDX, 0, None},
    {"cx8", 1, 0, EDX, 8, None},
    {"cmov", 1, 0, EDX, 15, None},
    {"mmx", 1, 0, EDX, 23, None},
    {"fxsr", 1, 0, EDX, 24, None},
    {"sse", 1, 0, EDX, 25, None},
    {"sse2", 1, 0, EDX, 26, None},
    {"sse3", 1, 0, ECX, 0, None},
    {"pclmul", 1, 0, ECX, 1, None},
    {"ssse3", 1, 0, ECX, 9, None},
    {"fma", 1, 0, ECX, 12, AVX},
    {"cx16", 1, 0, ECX, 13, None},
    {"sse4.1", 1, 0, ECX, 19, None},
    {"sse4.2", 1, 0, ECX, 20, None},
    {"crc32", 1, 0, ECX, 20, None},
    {"movbe", 1, 0, ECX, 22, None},
    {"popcnt", 1, 0, ECX, 23, None},
    {"aes", 1, 0, ECX, 25, None},
    {"xsave", 1, 0, ECX, 27, None},
    {"avx", 1, 0, ECX, 28, AVX},
    {"f16c", 1, 0, ECX, 29, AVX},
    {"rdrnd", 1, 0, ECX, 30, None},
    {"fsgsbase", 7, 0, EBX, 0, None},
    {"bmi", 7, 0, EBX, 3, None},
    {"avx2", 7, 0, EBX, 5, AVX},
    {"bmi2", 7, 0, EBX, 8, None},
    {"invpcid", 7, 0, EBX, 10, None},
    {"rtm", 7, 0, EBX, 11, None},
    {"avx512f", 7, 0, EBX, 16, AVX512},
    {"evex512", 7, 0, EBX, 16, AVX512},
    {"avx512dq", 7, 0, EBX, 17, AVX512},
    {"rdseed", 7, 0, EBX, 18, None},
    {"adx", 7, 0, EBX, 19, None},
    {"avx512ifma", 7, 0, EBX, 21, AVX512},
    {"clflushopt", 7, 0, EBX, 23, None},
    {"clwb", 7, 0, EBX, 24, None},
    {"avx512cd", 7, 0, EBX, 28, AVX512},
    {"sha", 7, 0, EBX, 29, None},
    {"avx512bw", 7, 0, EBX, 30, AVX512},
    {"avx512vl", 7, 0, EBX, 31, AVX512},
    {"avx512vbmi", 7, 0, ECX, 1, AVX512},
    {"pku", 7, 0, ECX, 4, None},
    {"waitpkg", 7, 0, ECX, 5, None},
    {"avx512vbmi2", 7, 0, ECX, 6, AVX512},
    {"shstk", 7, 0, ECX, 7, None},
    {"gfni", 7, 0, ECX, 8, None},
    {"vaes", 7, 0, ECX, 9, AVX},
    {"vpclmulqdq", 7, 0, ECX, 10, AVX},
    {"avx512vnni", 7, 0, ECX, 11, AVX512},
    {"avx512bitalg", 7, 0, ECX, 12, AVX512},
    {"avx512vpopcntdq", 7, 0, ECX, 14, AVX512},
    {"rdpid", 7, 0, ECX, 22, None},
    {"kl", 7, 0, ECX, 23, None},
    {"cldemote", 7, 0, ECX, 25, None},
    {"movdiri", 7, 0, ECX, 27, None},
    {"movdir64b", 7, 0, ECX, 28, None},
    {"enqcmd", 7, 0, ECX, 29, None},
    {"uintr", 7, 0, EDX, 5, None},
    {"avx512vp2intersect", 7, 0, EDX, 8, AVX512},
    {"serialize", 7, 0, EDX, 14, None},
    {"tsxldtrk", 7, 0, EDX, 16, None},
    {"amx-bf16", 7, 0, EDX, 22, AMX},
    {"avx512fp16", 7, 0, EDX, 23, AVX512},
    {"amx-tile", 7, 0, EDX, 24, AMX},
    {"amx-int8", 7, 0, EDX, 25, AMX},
    {"sha512", 7, 1, EAX, 0, AVX},
    {"sm3", 7, 1, EAX, 1, AVX},
    {"sm4", 7, 1, EAX, 2, AVX},
    {"avxvnni", 7, 1, EAX, 4, AVX},
    {"avx512bf16", 7, 1, EAX, 5, AVX512},
    {"cmpccxadd", 7, 1, EAX, 7, None},
    {"amx-fp16", 7, 1, EAX, 21, AMX},
    {"hreset", 7, 1, EAX, 22, None},
    {"avxifma", 7, 1, EAX, 23, AVX},
    {"avxvnniint8", 7, 1, EDX, 4, AVX},
    {"avxneconvert", 7, 1, EDX, 5, AVX},
    {"amx-complex", 7, 1, EDX, 8, AMX},
    {"avxvnniint16", 7, 1, EDX, 10, AVX},
    {"prefetchi", 7, 1, EDX, 14, None},
    {"xsaveopt", 13, 1, EAX, 0, None},
    {"xsavec", 13, 1, EAX, 1, None},
    {"xsaves", 13, 1, EAX, 3, None},
    {"ptwrite", 0x14, 0, EBX, 4, None},
    {"sahf", 0x80000001, 0, ECX, 0, None},
    {"lzcnt", 0x80000001, 0, ECX, 5, None},
    {"sse4a", 0x80000001, 0, ECX, 6, None},
    {"prfchw", 0x80000001, 0, ECX, 8, None},
    {"xop", 0x80000001, 0, ECX, 11, AVX},
    {"lwp", 0x80000001, 0, ECX, 15, None},
    {"fma4", 0x80000001, 0, ECX, 16, AVX},
    {"tbm", 0x80000001, 0, ECX, 21, None},
    {"mwaitx", 0x80000001, 0, ECX, 29, None},
    {"64bit", 0x80000001, 0, EDX, 29, None},
    {"clzero", 0x80000008, 0, EBX, 0, None},
    {"rdpru", 0x80000008, 0, EBX, 4, None},
    {"wbnoinvd", 0x80000008, 0, EBX, 9, None},
};

/// Extended control register 0: which states the operating system saves. (The instruction is
/// spelled in bytes so that this file needs no target option.)
uint64_t enabledStates() {
  unsigned eax, ebx, ecx, edx;
  if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & (1u << 27)))
    return 0;
  uint32_t low, high;
  __asm__ volatile(".byte 0x0f, 0x01, 0xd0" : "=a"(low), "=d"(high) : "c"(0));
  return low | static_cast<uint64_t>(high) << 32;
}

/// Tile registers are switched on per process, on request.
bool requestTiles() {
#if defined(SYS_arch_prctl)
  constexpr int requestPermission = 0x1023, tileData = 18;
  return syscall(SYS_arch_prctl, requestPermission, tileData) == 0;
#else
  return false;
#endif
}

bool stateIsEnabled(State state) {
  constexpr uint64_t avx = 0x6, avx512 = 0xe6, amx = 0x60000;
  static const uint64_t enabled = enabledStates();
  switch (state) {
  case None:
    return true;
  case AVX:
    return (enabled & avx) == avx;
  case AVX512:
    return (enabled & avx512) == avx512;
  case AMX: {
    static const bool granted = (enabled & amx) == amx && requestTiles();
    return granted;
  }
  }
  return false;
}

} // namespace

bool ingot::cpuHasFeature(std::string_view name) {
  for (const Feature &feature : features) {
    if (name != feature.name)
      continue;
    unsigned regs[4];
    if (!__get_cpuid_count(feature.leaf, feature.subleaf, &regs[0], &regs[1], &regs[2], &regs[3]))
      return false;
    // Leaf 7 says in EAX how many subleaves it has.
    if (feature.leaf == 7 && feature.subleaf > 0) {
      unsigned base[4];
      __get_cpuid_count(7, 0, &base[0], &base[1], &base[2], &base[3]);
      if (feature.subleaf > base[EAX])
        return false;
    }
    return (regs[feature.reg] >> feature.bit & 1) && stateIsEnabled(feature.state);
  }
  return false;
}

std::string_view ingot::cpuArchitecture() { return "x86_64"; }

FloatingPointScope::FloatingPointScope() : saved(_mm_getcsr()) {
  constexpr unsigned maskAll = 0x1f80, flushToZero = 0x8000, denormalsAreZero = 0x0040;
  _mm_setcsr(maskAll | flushToZero | denormalsAreZero);
}
FloatingPointScope::~FloatingPointScope() { _mm_setcsr(static_cast<unsigned>(saved)); }

#elif defined(__aarch64__)

bool ingot::cpuHasFeature(std::string_view name) { return name == "neon" || name == "fp-armv8"; }
std::string_view ingot::cpuArchitecture() { return "aarch64"; }

FloatingPointScope::FloatingPointScope() {
  __asm__ volatile("mrs %0, fpcr" : "=r"(saved));
  __asm__ volatile("msr fpcr, %0" : : "r"(1ul << 24));
}
FloatingPointScope::~FloatingPointScope() { __asm__ volatile("msr fpcr, %0" : : "r"(saved)); }

#else
#error "the runtime knows x86-64 and AArch64"
#endif

namespace {

/// Reads a small file of /proc or /sys; empty when there is none.
std::string readSmallFile(const std::string &path) {
  std::string text;
  if (FILE *file = fopen(path.c_str(), "re")) {
    char buffer[4096];
    text.assign(buffer, fread(buffer, 1, sizeof buffer, file));
    fclose(file);
  }
  return text;
}

/// CPUs that a quota of `quota` microseconds per `period` amounts to, rounded up; 0: no limit.
unsigned quotaCpus(double quota, double period) {
  return quota > 0 && period > 0 ? static_cast<unsigned>((quota + period - 1) / period) : 0;
}

/// The tightest CPU quota of this process's cgroup and its parents; 0: none.
unsigned cgroupCpus() {
  unsigned limit = 0;
  auto tighten = [&](unsigned cpus) {
    if (cpus && (!limit || cpus < limit))
      limit = cpus;
  };
  std::string groups = readSmallFile("/proc/self/cgroup");
  for (size_t at = 0; at < groups.size();) {
    size_t end = std::min(groups.find('\n', at), groups.size());
    std::string line = groups.substr(at, end - at);
    at = end + 1;
    bool unified = line.rfind("0::", 0) == 0;
    bool cpuController =
        line.find(":cpu,") != std::string::npos || line.find(",cpu:") != std::string::npos ||
        line.find(":cpu:") != std::string::npos || line.find(",cpu,") != std::string::npos;
    if (!unified && !cpuController)
      continue;
    std::string path = line.substr(line.rfind(':') + 1);
    for (;;) {
      if (unified) {
        std::string text = readSmallFile("/sys/fs/cgroup" + path + "/cpu.max");
        double quota = 0, period = 0;
        if (sscanf(text.c_str(), "%lf %lf", &quota, &period) == 2)
          tighten(quotaCpus(quota, period));
      } else {
        std::string base = "/sys/fs/cgroup/cpu" + path;
        tighten(quotaCpus(atof(readSmallFile(base + "/cpu.cfs_quota_us").c_str()),
                          atof(readSmallFile(base + "/cpu.cfs_period_us").c_str())));
      }
      size_t slash = path.rfind('/');
      if (slash == std::string::npos || path.empty())
        break;
      path.resize(slash);
    }
  }
  return limit;
}

} // namespace

unsigned ingot::usableThreads() {
  unsigned cpus = 0;
  // Machines with more than 1024 CPUs need a larger set; the call says so by failing.
  for (size_t most = 1024; most <= 1 << 16 && !cpus; most *= 4) {
    cpu_set_t *set = CPU_ALLOC(most);
    if (!set)
      break;
    size_t bytes = CPU_ALLOC_SIZE(most);
    if (sched_getaffinity(0, bytes, set) == 0)
      cpus = static_cast<unsigned>(CPU_COUNT_S(bytes, set));
    CPU_FREE(set);
  }
  if (!cpus)
    cpus = static_cast<unsigned>(std::max(1l, sysconf(_SC_NPROCESSORS_ONLN)));
  if (unsigned quota = cgroupCpus())
    cpus = std::min(cpus, quota);
  return std::max(1u, cpus);
}
