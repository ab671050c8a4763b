//===- Support.cpp - errors and memory ------------------------------------------------------===//
#include "Support.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sys/mman.h>

using namespace ingot;

namespace {
/// From this size on memory comes from mmap: fresh pages are zero and go back when released.
constexpr uint64_t kMapThreshold = 64 << 10;
/// From this size on huge pages are asked for: first touch is four times faster with them.
constexpr uint64_t kHugeThreshold = 8 << 20;

ingot_error outOfMemoryError = {INGOT_OUT_OF_MEMORY, "out of memory"};
} // namespace

Error ingot::makeError(ingot_status status, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  va_list again;
  va_copy(again, arguments);
  int length = vsnprintf(nullptr, 0, format, arguments);
  va_end(arguments);
  std::string message(length > 0 ? length : 0, '\0');
  if (length > 0)
    vsnprintf(&message[0], message.size() + 1, format, again);
  va_end(again);
  return new ingot_error{status, std::move(message)};
}

Error ingot::outOfMemory() { return &outOfMemoryError; }

ingot_status ingot_error_status(const ingot_error *error) {
  return error ? error->status : INGOT_OK;
}
const char *ingot_error_message(const ingot_error *error) {
  return error ? error->message.c_str() : "";
}
void ingot_error_destroy(ingot_error *error) {
  if (error != &outOfMemoryError)
    delete error;
}

void *Allocator::allocate(uint64_t bytes, bool zeroed) const {
  if (bytes == 0)
    bytes = 64;
  if (bytes > PTRDIFF_MAX - 4096)
    return nullptr;
  if (from.allocate) {
    void *memory = from.allocate(from.user, bytes, 64);
    if (memory && zeroed)
      memset(memory, 0, bytes);
    return memory;
  }
  if (bytes >= kMapThreshold) {
    void *memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
      return nullptr;
    if (bytes >= kHugeThreshold)
      madvise(memory, bytes, MADV_HUGEPAGE); // advice: may fail without harm
    return memory;
  }
  void *memory = aligned_alloc(64, roundUp(bytes, 64));
  if (memory && zeroed)
    memset(memory, 0, bytes);
  return memory;
}

void Allocator::release(void *memory, uint64_t bytes) const {
  if (!memory)
    return;
  if (bytes == 0)
    bytes = 64;
  if (from.release)
    from.release(from.user, memory, bytes);
  else if (bytes >= kMapThreshold)
    munmap(memory, bytes);
  else
    free(memory);
}

Error Block::reserve(uint64_t bytes, const char *what) {
  if (memory && bytes <= capacity)
    return nullptr;
  // Old and new are never held at the same time: nothing is kept.
  allocator->release(memory, capacity);
  memory = nullptr;
  capacity = 0;
  // Room to grow, so that a sequence that gets longer by one does not allocate in each step.
  uint64_t wanted = bytes < (uint64_t(1) << 62) ? roundUp(bytes + bytes / 4, 4096) : bytes;
  memory = allocator->allocate(wanted);
  if (!memory)
    memory = allocator->allocate(wanted = bytes);
  if (!memory)
    return makeError(INGOT_OUT_OF_MEMORY, "no memory for %s of %llu bytes", what,
                     static_cast<unsigned long long>(bytes));
  capacity = wanted;
  return nullptr;
}
