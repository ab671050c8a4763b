//===- Result.h - A value or one error message -------------------*- C++ -*-===//
//
// Part of Ingot. The tokenizer library is linked by the runtime too, so it brings its own small
// result type instead of llvm::Expected.
//
//===----------------------------------------------------------------------===//

#ifndef INGOT_TOKENIZER_RESULT_H
#define INGOT_TOKENIZER_RESULT_H

#include <cassert>
#include <optional>
#include <string>
#include <utility>

namespace ingot::tokenizer {

/// What went wrong: lower case, no final period, "expected X, got Y" where that applies.
struct Error {
  std::string message;
};

/// Empty on success.
using MaybeError = std::optional<Error>;

/// Either a T or an Error. Reading the value of a failed result is a programming error.
template <typename T> class [[nodiscard]] Result {
public:
  Result(T value) : value(std::move(value)) {}
  Result(Error error) : failure(std::move(error.message)) {}

  explicit operator bool() const { return value.has_value(); }
  T &operator*() { return assert(value), *value; }
  const T &operator*() const { return assert(value), *value; }
  T *operator->() { return assert(value), &*value; }
  const T *operator->() const { return assert(value), &*value; }

  const std::string &error() const { return failure; }
  Error takeError() { return Error{std::move(failure)}; }

private:
  std::optional<T> value;
  std::string failure;
};

} // namespace ingot::tokenizer

#endif // INGOT_TOKENIZER_RESULT_H
