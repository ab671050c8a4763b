//===- RotaryFrequencies.cpp - inverse frequencies of rotary positions ------------------------===//

#include "RotaryFrequencies.h"
#include <algorithm>
#include <cmath>

using namespace ingot::importer;

static constexpr double pi = 3.14159265358979323846;

/// The library's vectorised power is nearly always the correctly rounded
/// one, and so is f64's, rounded once more.
std::vector<float> ingot::importer::rotaryPowers(double theta, int64_t size) {
  std::vector<float> result((size + 1) / 2);
  for (int64_t i = 0; i < int64_t(result.size()); ++i) {
    float exponent = float(2 * i) / float(size);
    result[i] = float(std::pow(double(float(theta)), double(exponent)));
  }
  return result;
}

/// Frequencies by wavelength: kept below `high`, divided above `low`, in between a blend.
static float scaleLlama3(float frequency, const RotaryScaling &s) {
  // Quotients with a scalar numerator are products with the rounded reciprocal in the library.
  float wavelength = (1.0f / frequency) * float(2 * pi);
  float low = float(s.originalLength / s.lowFactor), high = float(s.originalLength / s.highFactor);
  if (wavelength > low)
    return frequency / float(s.factor);
  if (wavelength < high)
    return frequency;
  float smooth = ((1.0f / wavelength) * float(s.originalLength) - float(s.lowFactor)) /
                 float(s.highFactor - s.lowFactor);
  return (1.0f - smooth) * frequency / float(s.factor) + smooth * frequency;
}

/// The pair that turns `turns` times within the original length, as a real number.
static double yarnPair(double turns, double theta, int64_t size, double length) {
  return (double(size) * std::log(length / (turns * 2 * pi))) / (2 * std::log(theta));
}

static void scaleYarn(std::vector<float> &powers, double theta, const RotaryScaling &s) {
  int64_t size = int64_t(powers.size()) * 2;
  double low = yarnPair(s.fastTurns, theta, size, s.originalLength);
  double high = yarnPair(s.slowTurns, theta, size, s.originalLength);
  if (s.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, double(size - 1));
  if (low == high)
    high += 0.001;
  for (size_t i = 0; i < powers.size(); ++i) {
    float ramp = (float(i) - float(low)) / float(high - low);
    float kept = 1.0f - std::clamp(ramp, 0.0f, 1.0f);
    float divided = 1.0f / (float(s.factor) * powers[i]);
    powers[i] = divided * (1.0f - kept) + (1.0f / powers[i]) * kept;
  }
}

std::vector<float> ingot::importer::rotaryFrequencies(double theta, int64_t size,
                                                      const RotaryScaling &scaling) {
  std::vector<float> result = rotaryPowers(theta, size);
  if (scaling.kind == RotaryScaling::Yarn) {
    scaleYarn(result, theta, scaling);
    return result;
  }
  for (float &value : result) {
    value = 1.0f / value;
    if (scaling.kind == RotaryScaling::Linear)
      value /= float(scaling.factor);
    else if (scaling.kind == RotaryScaling::Llama3)
      value = scaleLlama3(value, scaling);
  }
  return result;
}
