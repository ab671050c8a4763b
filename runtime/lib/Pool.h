//===- Pool.h - a persistent pool of threads -------------------------------------------------===//
//
// A step is a few hundred dispatches of some microseconds each, so the threads of a pool stay in
// one job for a whole program run and meet at a barrier after every dispatch. Waiting spins for a
// short while, as the next dispatch usually comes at once, and then sleeps in the kernel, so that
// neither an idle model nor a busy neighbour burns a processor. Nothing here allocates or locks
// while a job runs.
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_RUNTIME_POOL_H
#define INGOT_RUNTIME_POOL_H

#include "Support.h"

#include <atomic>
#include <thread>
#include <vector>

namespace ingot {

/// A counter that can be waited on: spinning first, then sleeping.
class WaitableCounter {
public:
  uint32_t get() const { return value.load(std::memory_order_acquire); }
  /// Adds one and wakes everybody who waits.
  void advance();
  /// Returns when the counter differs from `old`.
  void waitWhile(uint32_t old);

private:
  std::atomic<uint32_t> value{0};
  std::atomic<uint32_t> sleepers{0};
};

/// Where the threads of a job meet.
class Barrier {
public:
  explicit Barrier(unsigned threads) : threads(threads) {}
  void wait();

private:
  const unsigned threads;
  std::atomic<unsigned> arrived{0};
  WaitableCounter phase;
};

class Pool {
public:
  /// What a job runs on each thread: `thread` counts from 0, which is the caller's.
  using Job = void (*)(void *user, unsigned thread, unsigned threads);

  Pool() = default;
  ~Pool();
  Pool(const Pool &) = delete;
  Pool &operator=(const Pool &) = delete;

  /// Starts `threads` - 1 threads; where the system gives fewer, the pool is that much smaller.
  void start(unsigned threads);
  unsigned size() const { return static_cast<unsigned>(workers.size()) + 1; }

  /// Only who has acquired the pool may run a job. Acquiring never waits.
  bool tryAcquire() { return !busy.exchange(true, std::memory_order_acquire); }
  void release() { busy.store(false, std::memory_order_release); }

  /// Runs a job on `threads` threads (at most size()), this one included; returns when all are
  /// done.
  void run(unsigned threads, Job job, void *user);

private:
  void work(unsigned thread);

  std::vector<std::thread> workers;
  std::atomic<bool> busy{false};
  WaitableCounter generation;
  // Written before `generation` advances, read after.
  Job job = nullptr;
  void *user = nullptr;
  unsigned jobThreads = 0;
  bool stopping = false;
  std::atomic<unsigned> running{0};
  WaitableCounter finished;
};

} // namespace ingot

#endif // INGOT_RUNTIME_POOL_H
