//===- Limits.cpp - measuring bandwidth and arithmetic ---------------------------------------===//
//
// Each loop keeps enough independent work in flight to be bound by the unit that it measures; all
// threads run it at the same time; the best of several short runs counts, as a limit is what the
// machine can do, not what it did while something else was running.
//===----------------------------------------------------------------------------------------===//
#include "Limits.h"
#include "Common.h"

#include <algorithm>
#include <atomic>
#include <functional>
#include <sys/mman.h>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace {

/// Runs `work(thread)` on all threads at once, `repeat` times; returns the shortest time.
double shortest(unsigned threads, int repeat, const std::function<void(unsigned)> &work) {
  double best = 1e30;
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
    best = std::min(best, nowSeconds() - begin);
  }
  return best;
}

/// Where results go, so that no loop is removed.
std::atomic<uint64_t> sink{0};

constexpr uint64_t kReadBytes = uint64_t(256) << 20; // per thread: more than any cache's share

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
#define INGOT_CHAINS(vector, operation)                                                            \
  for (uint64_t i = 0; i < rounds; ++i) {                                                          \
    for (int j = 0; j < 12; ++j)                                                                   \
      chain[j] = operation;                                                                        \
    __asm__ volatile(""                                                                            \
                     : "+x"(chain[0]), "+x"(chain[1]), "+x"(chain[2]), "+x"(chain[3]),             \
                       "+x"(chain[4]), "+x"(chain[5]), "+x"(chain[6]), "+x"(chain[7]));            \
    __asm__ volatile("" : "+x"(chain[8]), "+x"(chain[9]), "+x"(chain[10]), "+x"(chain[11]));       \
  }

__attribute__((target("avx2,fma"))) void fmaAvx2(uint64_t rounds) {
  __m256 chain[12] = {}, a = _mm256_set1_ps(0.5f), b = _mm256_set1_ps(1.0f);
  __asm__ volatile("" : "+x"(a), "+x"(b));
  INGOT_CHAINS(__m256, _mm256_fmadd_ps(chain[j], a, b))
  __m256 sum = chain[0];
  for (int j = 1; j < 12; ++j)
    sum = _mm256_add_ps(sum, chain[j]);
  sink += static_cast<uint64_t>(_mm256_cvtss_f32(sum));
}

#undef INGOT_CHAINS
#define INGOT_CHAINS(operation)                                                                    \
  for (uint64_t i = 0; i < rounds; ++i) {                                                          \
    for (int j = 0; j < 12; ++j)                                                                   \
      chain[j] = operation;                                                                        \
    __asm__ volatile(""                                                                            \
                     : "+v"(chain[0]), "+v"(chain[1]), "+v"(chain[2]), "+v"(chain[3]),             \
                       "+v"(chain[4]), "+v"(chain[5]), "+v"(chain[6]), "+v"(chain[7]));            \
    __asm__ volatile("" : "+v"(chain[8]), "+v"(chain[9]), "+v"(chain[10]), "+v"(chain[11]));       \
  }

__attribute__((target("avx512f"))) void fmaAvx512(uint64_t rounds) {
  __m512 chain[12] = {}, a = _mm512_set1_ps(0.5f), b = _mm512_set1_ps(1.0f);
  __asm__ volatile("" : "+v"(a), "+v"(b));
  INGOT_CHAINS(_mm512_fmadd_ps(chain[j], a, b))
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
      _mm512_dpbf16_ps(chain[j], reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b)))
  __m512 sum = chain[0];
  for (int j = 1; j < 12; ++j)
    sum = _mm512_add_ps(sum, chain[j]);
  sink += static_cast<uint64_t>(_mm512_cvtss_f32(sum));
}

__attribute__((target("avx512f,avx512vnni"))) void dotInt8(uint64_t rounds) {
  __m512i chain[12] = {}, a = _mm512_set1_epi8(1), b = _mm512_set1_epi8(1);
  __asm__ volatile("" : "+v"(a), "+v"(b));
  INGOT_CHAINS(_mm512_dpbusd_epi32(chain[j], a, b))
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

double measureRead(unsigned threads) {
  uint64_t bytes = kReadBytes * threads;
  void *memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    return 0;
  madvise(memory, bytes, MADV_HUGEPAGE);
  char *data = static_cast<char *>(memory);
  auto part = [&](unsigned t) { return data + kReadBytes * t; };
  shortest(threads, 1, [&](unsigned t) {
    std::fill(reinterpret_cast<uint64_t *>(part(t)),
              reinterpret_cast<uint64_t *>(part(t) + kReadBytes), t);
  });
  auto read = readPlain;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2"))
    read = readMemory;
#endif
  double seconds = shortest(threads, 5, [&](unsigned t) { read(part(t), kReadBytes); });
  munmap(memory, bytes);
  return static_cast<double>(bytes) / seconds * 1e-9;
}

/// Billions of operations per second of `loop`, which does `perRound` in each round.
double measureLoop(unsigned threads, void (*loop)(uint64_t), double perRound) {
  uint64_t rounds = 1 << 12;
  while (shortest(1, 1, [&](unsigned) { loop(rounds); }) < 0.01)
    rounds *= 2;
  double seconds = shortest(threads, 5, [&](unsigned) { loop(rounds); });
  return static_cast<double>(rounds) * perRound * threads / seconds * 1e-9;
}

} // namespace

Limits measureLimits(unsigned threads) {
  Limits limits;
  limits.readGBs = measureRead(threads);
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f"))
    limits.f32Gflops = measureLoop(threads, fmaAvx512, 12 * 16 * 2);
  else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    limits.f32Gflops = measureLoop(threads, fmaAvx2, 12 * 8 * 2);
  if (__builtin_cpu_supports("avx512bf16"))
    limits.bf16Gflops = measureLoop(threads, dotBf16, 12 * 16 * 4);
  if (__builtin_cpu_supports("avx512vnni"))
    limits.int8Gops = measureLoop(threads, dotInt8, 12 * 64 * 2);
#endif
  return limits;
}
