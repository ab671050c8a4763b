//===- Pool.cpp - threads that spin, then sleep ----------------------------------------------===//
#include "Pool.h"
#include "Cpu.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <system_error>
#include <unistd.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

using namespace ingot;

namespace {
/// About 50 microseconds: longer than a dispatch of a small model, shorter than a time slice.
constexpr int kSpins = 2000;

void relax() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  __asm__ volatile("isb");
#endif
}

void futex(std::atomic<uint32_t> &word, int operation, uint32_t value) {
  static_assert(sizeof(std::atomic<uint32_t>) == sizeof(uint32_t), "a futex is a plain word");
  syscall(SYS_futex, reinterpret_cast<uint32_t *>(&word), operation | FUTEX_PRIVATE_FLAG, value,
          nullptr, nullptr, 0);
}
} // namespace

void WaitableCounter::advance() {
  value.fetch_add(1, std::memory_order_seq_cst);
  // A sleeper announces itself before it looks at the value for the last time: either it sees the
  // new value or this sees the sleeper.
  if (sleepers.load(std::memory_order_seq_cst))
    futex(value, FUTEX_WAKE, INT32_MAX);
}

void WaitableCounter::waitWhile(uint32_t old) {
  for (int i = 0; i < kSpins; ++i) {
    if (value.load(std::memory_order_acquire) != old)
      return;
    relax();
  }
  sleepers.fetch_add(1, std::memory_order_seq_cst);
  while (value.load(std::memory_order_seq_cst) == old)
    futex(value, FUTEX_WAIT, old);
  sleepers.fetch_sub(1, std::memory_order_relaxed);
}

void Barrier::wait() {
  uint32_t here = phase.get();
  if (arrived.fetch_add(1, std::memory_order_acq_rel) + 1 == threads) {
    arrived.store(0, std::memory_order_relaxed);
    phase.advance();
  } else {
    phase.waitWhile(here);
  }
}

Pool::~Pool() {
  stopping = true;
  generation.advance();
  for (std::thread &worker : workers)
    worker.join();
}

void Pool::start(unsigned threads) {
  workers.reserve(threads);
  for (unsigned i = 1; i < threads; ++i) {
    try {
      workers.emplace_back([this, i] { work(i); });
    } catch (const std::system_error &) {
      return;
    }
  }
}

void Pool::run(unsigned threads, Job newJob, void *newUser) {
  if (threads <= 1) {
    newJob(newUser, 0, 1);
    return;
  }
  job = newJob;
  user = newUser;
  jobThreads = threads;
  // Every worker looks at each job once, also those that have no part in it: so none can still be
  // reading these fields when the next job is written.
  running.store(static_cast<unsigned>(workers.size()), std::memory_order_relaxed);
  uint32_t before = finished.get();
  generation.advance();
  newJob(newUser, 0, threads);
  finished.waitWhile(before); // advances exactly once per job
}

void Pool::work(unsigned thread) {
  FloatingPointScope floatingPoint;
  uint32_t seen = 0;
  for (;;) {
    generation.waitWhile(seen);
    ++seen;
    if (stopping)
      return;
    if (thread < jobThreads)
      job(user, thread, jobThreads);
    if (running.fetch_sub(1, std::memory_order_acq_rel) == 1)
      finished.advance();
  }
}
