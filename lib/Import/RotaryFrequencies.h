//===- RotaryFrequencies.h - inverse frequencies of rotary positions ------------------*- C++
//-*-===//
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
struct RotaryTable {
  /// One frequency for each of the R/2 pairs of rotated elements.
  std::vector<float> frequencies;
  /// Cosines and sines are multiplied by this.
  double magnitude = 1;

  bool operator==(const RotaryTable &other) const {
    return std::tie(frequencies, magnitude) == std::tie(other.frequencies, other.magnitude);
  }
};

/// Frequencies of `size` rotated elements (even) with base `theta`.
std::vector<float> rotaryFrequencies(double theta, int64_t size, const RotaryScaling &scaling);

} // namespace ingot::importer

#endif // INGOT_LIB_IMPORT_ROTARYFREQUENCIES_H
