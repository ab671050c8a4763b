//===- Products.h - chains of fused multiply-adds ---------------------------------*- C++ -*-===//
#ifndef INGOT_LIB_REFERENCE_PRODUCTS_H
#define INGOT_LIB_REFERENCE_PRODUCTS_H

#include <cstdint>
#include <functional>

namespace ingot::reference {

/// Columns of the right matrix that are multiplied together.
inline constexpr int64_t kPanel = 16;

/// c[m, n] = sum of a[m, k] * b[k, n]: k ascending, fused multiply-adds, from +0. `a` is [rows,
/// inner], `c` is [rows, columns]. `pack(first, count, panel)` writes columns [first, first +
/// count) of `b` to panel[k * kPanel + column], whose other columns are ignored.
template <typename T>
void multiply(const T *a, int64_t rows, int64_t inner, int64_t columns,
              const std::function<void(int64_t first, int64_t count, T *panel)> &pack, T *c);

/// The sum of x[k] * y[k]: k ascending, fused multiply-adds, from +0.
template <typename T> T dot(const T *x, const T *y, int64_t size);

/// y[k] = fma(factor, x[k], y[k]).
template <typename T> void addScaled(T factor, const T *x, int64_t size, T *y);

} // namespace ingot::reference

#endif // INGOT_LIB_REFERENCE_PRODUCTS_H
