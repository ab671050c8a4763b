//===- Support.h - errors, checked arithmetic, memory ---------------------------------------===//
//
// Inside the library a function that can fail returns an `ingot_error *` like the C API does;
// INGOT_TRY passes one on. Exceptions (only std::bad_alloc in practice) are turned into errors at
// the border of the C API by `guarded`.
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_RUNTIME_SUPPORT_H
#define INGOT_RUNTIME_SUPPORT_H

#include "ingot/runtime.h"

#include <cstdint>
#include <exception>
#include <new>
#include <string>

struct ingot_error {
  ingot_status status;
  std::string message;
};

namespace ingot {

using Error = ingot_error *;

/// Makes an error from a printf format.
[[nodiscard]] Error makeError(ingot_status status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/// The one error that needs no memory.
[[nodiscard]] Error outOfMemory();

#define INGOT_TRY(expression)                                                                      \
  do {                                                                                             \
    if (::ingot::Error tryError_ = (expression))                                                   \
      return tryError_;                                                                            \
  } while (0)

/// Runs `body` (which returns an Error) for a function of the C API.
template <typename Body> Error guarded(Body body) noexcept {
  try {
    return body();
  } catch (const std::bad_alloc &) {
    return outOfMemory();
  } catch (const std::exception &error) {
    try {
      return makeError(INGOT_INTERNAL, "unexpected: %s", error.what());
    } catch (...) {
      return outOfMemory();
    }
  }
}

/// Copies an options struct of a caller that may have been compiled with a shorter one.
template <typename Options> Error readOptions(Options &to, const Options *from) {
  memset(&to, 0, sizeof to);
  to.struct_size = sizeof to;
  if (!from)
    return nullptr;
  if (from->struct_size < sizeof(size_t) || from->struct_size > 1 << 20)
    return makeError(INGOT_INVALID_ARGUMENT, "an options struct was not initialised");
  size_t bytes = from->struct_size < sizeof to ? from->struct_size : sizeof to;
  memcpy(static_cast<void *>(&to), from, bytes);
  to.struct_size = sizeof to;
  return nullptr;
}

/// Copies a filled info struct to a caller's, which may be shorter.
template <typename Info> Error writeInfo(Info *to, const Info &from) {
  if (!to || to->struct_size < sizeof(size_t) || to->struct_size > 1 << 20)
    return makeError(INGOT_INVALID_ARGUMENT, "an info struct was not initialised");
  size_t size = to->struct_size;
  memcpy(static_cast<void *>(to), &from, size < sizeof from ? size : sizeof from);
  to->struct_size = size;
  return nullptr;
}

template <typename T> [[nodiscard]] bool addOverflows(T a, T b, T &sum) {
  return __builtin_add_overflow(a, b, &sum);
}
template <typename T> [[nodiscard]] bool mulOverflows(T a, T b, T &product) {
  return __builtin_mul_overflow(a, b, &product);
}
inline int64_t ceilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline uint64_t roundUp(uint64_t a, uint64_t multiple) {
  return (a + multiple - 1) / multiple * multiple;
}

/// Memory from the caller's allocator, or from the operating system where there is none.
class Allocator {
public:
  Allocator() = default;
  explicit Allocator(const ingot_allocator &from) : from(from) {}
  /// Aligned to 64 bytes; null when there is none. Not zeroed, unless `zeroed` is set.
  void *allocate(uint64_t bytes, bool zeroed = false) const;
  void release(void *memory, uint64_t bytes) const;

private:
  ingot_allocator from = {};
};

/// A piece of memory that grows and is reused. Its content is lost when it grows.
class Block {
public:
  explicit Block(const Allocator &allocator) : allocator(&allocator) {}
  Block(const Block &) = delete;
  Block &operator=(const Block &) = delete;
  Block(Block &&other) noexcept
      : allocator(other.allocator), memory(other.memory), capacity(other.capacity) {
    other.memory = nullptr;
    other.capacity = 0;
  }
  ~Block() { allocator->release(memory, capacity); }

  Error reserve(uint64_t bytes, const char *what);
  char *data() const { return static_cast<char *>(memory); }
  uint64_t size() const { return capacity; }

private:
  const Allocator *allocator;
  void *memory = nullptr;
  uint64_t capacity = 0;
};

} // namespace ingot

#endif // INGOT_RUNTIME_SUPPORT_H
