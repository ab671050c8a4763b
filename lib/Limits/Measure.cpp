//===- Measure.cpp - measuring bandwidth and arithmetic --------------------------------------===//
//
// Each loop keeps enough independent work in flight to be bound by the unit that it measures; all
// threads run it at the same time. The middle of several short runs counts, not the best one: what
// is compared with a limit does not have its best moment either.
//===----------------------------------------------------------------------------------------===//
#include "ingot/Limits/Limits.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <sys/mman.h>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

using namespace ingot;

namespace {

double nowSeconds() {
  using namespace std::chrono;
  return duration<double>(steady_clock::now().time_since_epoch()).count();
}

/// The middle one, of an even number the upper one.
double median(std::vector<double> values) {
  auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// Runs `work(thread)` on all threads at once, `repeat` times; returns the median time.
double usualTime(unsigned threads, int repeat, const std::function<void(unsigned)> &work) {
  std::vector<double> times;
  for (int r = 0; r < repeat; ++r) {
    std::atomic<unsigned> ready{0};
    std::atomic<bool> go{false};
    std::vector<std::thread> workers;
    auto body = [&](unsigned t) {
      ready.fetch_add(1);
      while (!go.load(std::memory_order_acquire))
        std::this_thread::yield();
      work(t);
    };
    for (unsigned t = 1; t < threads; ++t)
      workers.emplace_back(body, t);
    while (ready.load() + 1 < threads)
      std::this_thread::yield();
    double begin = nowSeconds();
    go.store(true, std::memory_order_release);
    work(0);
    for (std::thread &worker : workers)
      worker.join();
    times.push_back(nowSeconds() - begin);
  }
  return median(std::move(times));
}

/// Where results go, so that no loop is removed.
std::atomic<uint64_t> sink{0};

/// How much is measured.
struct Effort {
  uint64_t readBytes; // per thread: more than any cache's share
  int repeat;
  double seconds; // of one loop
};

#if defined(__x86_64__)

__attribute__((target("avx2"))) void readMemory(const char *data, uint64_t bytes) {
  __m256i sum[8] = {};
  for (uint64_t i = 0; i < bytes; i += 256)
    for (int j = 0; j < 8; ++j)
      sum[j] = _mm256_or_si256(
          sum[j], _mm256_load_si256(reinterpret_cast<const __m256i *>(data + i + 32 * j)));
  for (int j = 1; j < 8; ++j)
    sum[0] = _mm256_or_si256(sum[0], sum[j]);
  sink += static_cast<uint64_t>(_mm256_extract_epi64(sum[0], 0));
}

// The operands are opaque to the optimiser; twelve chains cover the latency of two units.
// Registers are named by a constraint: "x" those of AVX2, "v" those of AVX-512 too.
#define INGOT_CHAINS(reg, operation)                                                               \
  for (uint64_t i = 0; i < rounds; ++i) {                                                          \
    for (int j = 0; j < 12; ++j)                                                                   \
      chain[j] = operation;                                                                        \
    __asm__ volatile(""                                                                            \
                     : "+" reg(chain[0]), "+" reg(chain[1]), "+" reg(chain[2]), "+" reg(chain[3]), \
                       "+" reg(chain[4]), "+" reg(chain[5]));                                      \
    __asm__ volatile(""                                                                            \
                     : "+" reg(chain[6]), "+" reg(chain[7]), "+" reg(chain[8]), "+" reg(chain[9]), \
                       "+" reg(chain[10]), "+" reg(chain[11]));                                    \
  }

__attribute__((target("avx2,fma"))) void fmaAvx2(uint64_t rounds) {
  __m256 chain[12] = {}, a = _mm256_set1_ps(0.5f), b = _mm256_set1_ps(1.0f);
  __asm__ volatile("" : "+x"(a), "+x"(b));
  INGOT_CHAINS("x", _mm256_fmadd_ps(chain[j], a, b))
  __m256 sum = chain[0];
  for (int j = 1; j < 12; ++j)
    sum = _mm256_add_ps(sum, chain[j]);
  sink += static_cast<uint64_t>(_mm256_cvtss_f32(sum));
}

/// Two vectors of weights are widened and meet six rows of activations.
__attribute__((target("avx2"))) void maddInt8(uint64_t rounds) {
  alignas(32) static const char weights[32] = {1, 2, 3, 4, 5, 6, 7, 8};
  __m256i chain[12] = {}, activation = _mm256_set1_epi16(1);
  for (uint64_t i = 0; i < rounds; ++i) {
    const __m128i *data = reinterpret_cast<const __m128i *>(weights);
    __asm__ volatile("" : "+r"(data), "+x"(activation));
    for (int half = 0; half < 2; ++half) {
      __m256i wide = _mm256_cvtepi8_epi16(_mm_load_si128(data + half));
      __asm__ volatile("" : "+x"(wide));
      for (int row = 0; row < 6; ++row) {
        __m256i product = _mm256_madd_epi16(wide, activation);
        __asm__ volatile("" : "+x"(product)); // each row has a product of its own
        chain[6 * half + row] = _mm256_add_epi32(chain[6 * half + row], product);
      }
    }
  }
  __m256i sum = chain[0];
  for (int j = 1; j < 12; ++j)
    sum = _mm256_add_epi32(sum, chain[j]);
  sink += static_cast<uint64_t>(_mm256_extract_epi32(sum, 0));
}

__attribute__((target("avx512f"))) void fmaAvx512(uint64_t rounds) {
  __m512 chain[12] = {}, a = _mm512_set1_ps(0.5f), b = _mm512_set1_ps(1.0f);
  __asm__ volatile("" : "+v"(a), "+v"(b));
  INGOT_CHAINS("v", _mm512_fmadd_ps(chain[j], a, b))
  __m512 sum = chain[0];
  for (int j = 1; j < 12; ++j)
    sum = _mm512_add_ps(sum, chain[j]);
  sink += static_cast<uint64_t>(_mm512_cvtss_f32(sum));
}

__attribute__((target("avx512f,avx512bf16"))) void dotBf16(uint64_t rounds) {
  __m512 chain[12] = {};
  __m512i a = _mm512_set1_epi16(0x3f00), b = _mm512_set1_epi16(0x3f80);
  __asm__ volatile("" : "+v"(a), "+v"(b));
  INGOT_CHAINS(
      "v", _mm512_dpbf16_ps(chain[j], reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b)))
  __m512 sum = chain[0];
  for (int j = 1; j < 12; ++j)
    sum = _mm512_add_ps(sum, chain[j]);
  sink += static_cast<uint64_t>(_mm512_cvtss_f32(sum));
}

__attribute__((target("avx512f,avx512vnni"))) void dotInt8(uint64_t rounds) {
  __m512i chain[12] = {}, a = _mm512_set1_epi8(1), b = _mm512_set1_epi8(1);
  __asm__ volatile("" : "+v"(a), "+v"(b));
  INGOT_CHAINS("v", _mm512_dpbusd_epi32(chain[j], a, b))
  __m512i sum = chain[0];
  for (int j = 1; j < 12; ++j)
    sum = _mm512_add_epi32(sum, chain[j]);
  sink += static_cast<uint64_t>(_mm_cvtsi128_si32(_mm512_castsi512_si128(sum)));
}
#undef INGOT_CHAINS
#endif

void readPlain(const char *data, uint64_t bytes) {
  uint64_t sum[8] = {};
  for (uint64_t i = 0; i < bytes; i += 64)
    for (int j = 0; j < 8; ++j)
      sum[j] |= *reinterpret_cast<const uint64_t *>(data + i + 8 * static_cast<uint64_t>(j));
  for (uint64_t s : sum)
    sink += s;
}

double measureRead(unsigned threads, const Effort &effort) {
  const uint64_t share = effort.readBytes, bytes = share * threads;
  void *memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    return 0;
  madvise(memory, bytes, MADV_HUGEPAGE);
  char *data = static_cast<char *>(memory);
  auto part = [&](unsigned t) { return data + share * t; };
  usualTime(threads, 1, [&](unsigned t) {
    std::fill(reinterpret_cast<uint64_t *>(part(t)), reinterpret_cast<uint64_t *>(part(t) + share),
              t);
  });
  auto read = readPlain;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2"))
    read = readMemory;
#endif
  double seconds = usualTime(threads, effort.repeat, [&](unsigned t) { read(part(t), share); });
  munmap(memory, bytes);
  return static_cast<double>(bytes) / seconds * 1e-9;
}

/// Billions of operations per second of `loop`, which does `perRound` in each round.
double measureLoop(unsigned threads, const Effort &effort, void (*loop)(uint64_t),
                   double perRound) {
  uint64_t rounds = 1 << 12;
  while (usualTime(1, 1, [&](unsigned) { loop(rounds); }) < effort.seconds)
    rounds *= 2;
  double seconds = usualTime(threads, effort.repeat, [&](unsigned) { loop(rounds); });
  return static_cast<double>(rounds) * perRound * threads / seconds * 1e-9;
}

} // namespace

Limits ingot::measureLimits(unsigned threads, bool quick) {
  // All threads together read more than the caches of a processor hold.
  uint64_t readMiB = quick ? std::max(96u, 256 / std::max(threads, 1u)) : 256;
  Effort effort = {readMiB << 20, quick ? 3 : 5, quick ? 0.002 : 0.01};
  Limits limits;
  limits.readGBs = measureRead(threads, effort);
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) {
    limits.f32Gflops = measureLoop(threads, effort, fmaAvx512, 12 * 16 * 2);
    limits.f32By = "512-bit fma";
  } else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    limits.f32Gflops = measureLoop(threads, effort, fmaAvx2, 12 * 8 * 2);
    limits.f32By = "256-bit fma";
  }
  limits.bf16Gflops = limits.f32Gflops;
  limits.bf16By = limits.f32By;
  if (__builtin_cpu_supports("avx512bf16")) {
    // Intel's take longer than the two multiply-adds that they replace.
    double rate = measureLoop(threads, effort, dotBf16, 12 * 16 * 4);
    if (rate > limits.bf16Gflops) {
      limits.bf16Gflops = rate;
      limits.bf16By = "vdpbf16ps";
    }
  }
  if (__builtin_cpu_supports("avx512vnni")) {
    limits.int8Gops = measureLoop(threads, effort, dotInt8, 12 * 64 * 2);
    limits.int8By = "vpdpbusd";
  } else if (__builtin_cpu_supports("avx2")) {
    limits.int8Gops = measureLoop(threads, effort, maddInt8, 12 * 16 * 2);
    limits.int8By = "vpmovsxbw + vpmaddwd";
  }
#endif
  return limits;
}

Limits ingot::medianOf(const std::vector<Limits> &samples) {
  if (samples.empty())
    return Limits();
  Limits limits = samples.back();
  for (double Limits::*rate :
       {&Limits::readGBs, &Limits::f32Gflops, &Limits::bf16Gflops, &Limits::int8Gops}) {
    std::vector<double> rates;
    for (const Limits &sample : samples)
      rates.push_back(sample.*rate);
    limits.*rate = median(std::move(rates));
  }
  return limits;
}
