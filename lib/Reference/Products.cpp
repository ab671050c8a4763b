//===- Products.cpp - chains of fused multiply-adds -------------------------------------------===//
//
// std::fma is one instruction where the compiler may assume that the machine has it, and a slow
// call otherwise, with the same result. So each loop is compiled twice and the machine is asked.
//
//===----------------------------------------------------------------------------------------===//

#include "Products.h"
#include <algorithm>
#include <cmath>
#include <vector>

namespace ingot::reference {

template <typename T>
__attribute__((always_inline)) static inline void
multiplyPanel(const T *a, int64_t rows, int64_t inner, const T *panel, T *out) {
  for (int64_t m = 0; m < rows; ++m) {
    T sums[kPanel] = {};
    for (int64_t k = 0; k < inner; ++k)
      for (int64_t n = 0; n < kPanel; ++n)
        sums[n] = std::fma(a[m * inner + k], panel[k * kPanel + n], sums[n]);
    std::copy(sums, sums + kPanel, out + m * kPanel);
  }
}

template <typename T>
__attribute__((always_inline)) static inline T dotLoop(const T *x, const T *y, int64_t size) {
  T sum = 0;
  for (int64_t k = 0; k < size; ++k)
    sum = std::fma(x[k], y[k], sum);
  return sum;
}

template <typename T>
__attribute__((always_inline)) static inline void addScaledLoop(T factor, const T *x, int64_t size,
                                                                T *y) {
  for (int64_t k = 0; k < size; ++k)
    y[k] = std::fma(factor, x[k], y[k]);
}

#if defined(__x86_64__)
#define INGOT_WITH_FMA __attribute__((target("avx2,fma")))
static bool hasFma() {
  static const bool has = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  return has;
}
#else
#define INGOT_WITH_FMA
static bool hasFma() { return true; }
#endif

template <typename T>
INGOT_WITH_FMA static void multiplyPanelFma(const T *a, int64_t rows, int64_t inner, const T *panel,
                                            T *out) {
  multiplyPanel(a, rows, inner, panel, out);
}
template <typename T> INGOT_WITH_FMA static T dotFma(const T *x, const T *y, int64_t size) {
  return dotLoop(x, y, size);
}
template <typename T>
INGOT_WITH_FMA static void addScaledFma(T factor, const T *x, int64_t size, T *y) {
  addScaledLoop(factor, x, size, y);
}

template <typename T>
void multiply(const T *a, int64_t rows, int64_t inner, int64_t columns,
              const std::function<void(int64_t, int64_t, T *)> &pack, T *c) {
  std::vector<T> panel(inner * kPanel), out(rows * kPanel);
  for (int64_t first = 0; first < columns; first += kPanel) {
    int64_t count = std::min(kPanel, columns - first);
    pack(first, count, panel.data());
    if (hasFma())
      multiplyPanelFma(a, rows, inner, panel.data(), out.data());
    else
      multiplyPanel(a, rows, inner, panel.data(), out.data());
    for (int64_t m = 0; m < rows; ++m)
      std::copy_n(&out[m * kPanel], count, c + m * columns + first);
  }
}

template <typename T> T dot(const T *x, const T *y, int64_t size) {
  return hasFma() ? dotFma(x, y, size) : dotLoop(x, y, size);
}

template <typename T> void addScaled(T factor, const T *x, int64_t size, T *y) {
  return hasFma() ? addScaledFma(factor, x, size, y) : addScaledLoop(factor, x, size, y);
}

template void multiply(const double *, int64_t, int64_t, int64_t,
                       const std::function<void(int64_t, int64_t, double *)> &, double *);
template void multiply(const float *, int64_t, int64_t, int64_t,
                       const std::function<void(int64_t, int64_t, float *)> &, float *);
template double dot(const double *, const double *, int64_t);
template float dot(const float *, const float *, int64_t);
template void addScaled(double, const double *, int64_t, double *);
template void addScaled(float, const float *, int64_t, float *);

} // namespace ingot::reference
