//===- Random.h - numbers that look random and are the same everywhere ------------*- C++ -*-===//
#ifndef INGOT_REFERENCE_RANDOM_H
#define INGOT_REFERENCE_RANDOM_H

#include <cstdint>

namespace ingot::reference {

/// Number `counter` of the stream `seed` (the finaliser of SplitMix64 over both).
inline uint64_t randomBits(uint64_t seed, uint64_t counter) {
  uint64_t x = seed * 0xD1342543DE82EF95u + (counter + 1) * 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

/// In [0, 1).
inline double toUnit(uint64_t bits) { return double(bits >> 11) * 0x1p-53; }

} // namespace ingot::reference

#endif // INGOT_REFERENCE_RANDOM_H
