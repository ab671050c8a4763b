//===- LinearBiases.cpp - slopes of attention with linear biases ------------------------------===//

#include "Decoder.h"
#include "llvm/Support/MathExtras.h"
#include <cmath>

std::vector<float> ingot::importer::alibiSlopes(int64_t heads, double maxBias) {
  std::vector<float> slopes;
  int64_t power = int64_t(llvm::bit_floor(uint64_t(heads)));
  auto add = [&](int64_t of, int64_t count, int64_t step) {
    float base = float(std::pow(2.0, -maxBias / double(of)));
    for (int64_t i = 0; i < count; ++i)
      slopes.push_back(float(std::pow(double(base), double(1 + i * step))));
  };
  add(power, power, 1);
  add(2 * power, heads - power, 2);
  return slopes;
}
