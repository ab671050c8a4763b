//===- RotaryFrequencies.h - inverse frequencies of rotary positions --------------*- C++ -*-===//
//
// A rotary table rotates pair i of a head by position * frequency[i]. The models were trained with
// frequencies that the library computes in f32, each operation rounded; at long positions another
// rounding is another angle. So they are computed here with the library's operations in its order,
// and the rounded values go into the graph, which then computes angles in f64.
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_LIB_IMPORT_ROTARYFREQUENCIES_H
#define INGOT_LIB_IMPORT_ROTARYFREQUENCIES_H

#include <cstdint>
#include <tuple>
#include <vector>

namespace ingot::importer {

/// How frequencies differ from the plain base^(-2i/R).
struct RotaryScaling {
  enum Kind {
    None,
    /// All divided by `factor`.
    Linear,
    /// Llama 3: long waves divided by `factor`, short ones kept, a ramp between.
    Llama3,
    /// YaRN: a ramp between kept and divided by the number of turns within the original length.
    Yarn
  } kind = None;
  double factor = 1;
  /// Positions that the model was first trained for (Llama 3, YaRN).
  double originalLength = 0;
  /// Llama 3: waves longer than originalLength / lowFactor are long, those shorter than
  /// originalLength / highFactor short.
  double lowFactor = 1, highFactor = 4;
  /// YaRN: turns within the original length that count as fast and as slow; whether the ramp's ends
  /// are rounded to whole pairs.
  double fastTurns = 32, slowTurns = 1;
  bool truncate = true;
};

/// What makes the cosines and sines of a rotary embedding.
///
/// Frequencies may depend on the length L of the prompt that a sequence starts with; they stay what
/// they are when it grows. Above `changeLength` they are `longFrequencies`, or, with a `growth` g
/// above 0, frequency i is multiplied by r^(-2i / (R - 2)), r = g * L / changeLength - (g - 1).
struct RotaryTable {
  /// One frequency for each of the R/2 pairs of rotated elements.
  std::vector<float> frequencies;
  /// Cosines and sines are multiplied by this.
  double magnitude = 1;
  /// Angles are rounded to f32 before their cosines and sines are taken.
  bool singleAngles = false;
  int64_t changeLength = 0;
  std::vector<float> longFrequencies;
  double growth = 0;

  bool dependsOnLength() const { return growth > 0 || !longFrequencies.empty(); }
  bool operator==(const RotaryTable &other) const {
    auto key = [](const RotaryTable &t) {
      return std::tie(t.frequencies, t.magnitude, t.singleAngles, t.changeLength, t.longFrequencies,
                      t.growth);
    };
    return key(*this) == key(other);
  }
};

/// theta^(2i/size) for all i with 2i < size, the reciprocals of plain frequencies.
std::vector<float> rotaryPowers(double theta, int64_t size);

/// Frequencies of `size` rotated elements with base `theta`. Of an odd number (without YaRN) the
/// last pair has one element more.
std::vector<float> rotaryFrequencies(double theta, int64_t size, const RotaryScaling &scaling);

} // namespace ingot::importer

#endif // INGOT_LIB_IMPORT_ROTARYFREQUENCIES_H
