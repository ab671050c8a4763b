//===- Positions.cpp - positions and windows of models in GGUF files --------------------------===//

#include "../Config.h"
#include "Reader.h"
#include "llvm/ADT/STLExtras.h"
#include <cmath>

using namespace llvm;
using namespace ingot;
using namespace ingot::importer;

size_t GGUFStructure::addRotary(RotaryTable table) {
  auto isFinite = [](float f) { return std::isfinite(f); };
  if (!all_of(table.frequencies, isFinite) || !all_of(table.longFrequencies, isFinite))
    metadata.error(".rope.freq_base", "expected parameters with finite rotary frequencies");
  auto it = llvm::find(spec.rotaries, table);
  size_t number = size_t(it - spec.rotaries.begin());
  if (it == spec.rotaries.end())
    spec.rotaries.push_back(std::move(table));
  return number;
}

/// How frequencies are scaled; sets what cosines and sines are multiplied by.
RotaryScaling GGUFStructure::readScaling(double &magnitude) {
  RotaryScaling scaling;
  StringRef type = metadata.string(".rope.scaling.type", "none");
  // The older name of the factor of linear scaling.
  bool isOlder = metadata.has(".rope.scale_linear");
  scaling.factor = metadata.positive(isOlder ? ".rope.scale_linear" : ".rope.scaling.factor", 1);
  // Factors of longrope are tensors.
  bool isLongrope = checkpoint.tensors.find("rope_factors_short.weight");
  if (type == "linear" || (isOlder && type == "none" && scaling.factor != 1)) {
    scaling.kind = RotaryScaling::Linear;
  } else if (type == "yarn" && !isLongrope) {
    scaling.kind = RotaryScaling::Yarn;
    scaling.originalLength = double(
        metadata.integer(".rope.scaling.original_context_length", 1, maxPositions, spec.context));
    scaling.fastTurns = metadata.positive(".rope.scaling.yarn_beta_fast", 32);
    scaling.slowTurns = metadata.positive(".rope.scaling.yarn_beta_slow", 1);
    scaling.truncate = architecture->roundsRamp;
    double growth = scaling.factor <= 1 ? 0 : std::log(scaling.factor);
    // The library's attention_factor, which stands in for this.
    magnitude = metadata.positive(".rope.scaling.yarn_attn_factor", 0.1 * growth + 1);
    // Latent attention scales its scores instead.
    if (architecture->latent) {
      double scale = metadata.number(".rope.scaling.yarn_log_multiplier", 0, 1e9, 0.0) * growth + 1;
      latentScale = scale * scale;
      magnitude = 1;
    }
  } else if (type != "none" && type != "longrope" && !isLongrope) {
    metadata.error(".rope.scaling.type",
                   "expected one of none, linear, longrope, yarn, got " + quote(type));
  }
  magnitude *= metadata.positive(".rope.scaling.attn_factor", 1);
  return scaling;
}

void GGUFStructure::readRotaries() {
  if (architecture->rotary == Rotary::None ||
      architecture->alibiLayers == int64_t(spec.layers.size()))
    return;
  double theta = metadata.positive(".rope.freq_base", 10000);
  int64_t whole = architecture->latent ? latent.rotated : headDim;
  int64_t size = metadata.integer(".rope.dimension_count", 2, std::max<int64_t>(whole, 2), whole);
  if (size % 2 != 0 || size > whole) {
    metadata.error(".rope.dimension_count",
                   "expected an even number of up to " + Twine(whole) + ", got " + Twine(size));
    return;
  }
  RotaryTable table;
  RotaryScaling scaling = readScaling(table.magnitude);
  if (checkpoint.tensors.find("rope_factors_short.weight")) {
    auto divided = [&](StringRef name) {
      std::vector<float> result = rotaryPowers(theta, size);
      for (auto [frequency, factor] : zip(result, readFloats(name, size / 2)))
        frequency = 1.0f / (factor * frequency);
      return result;
    };
    table.frequencies = divided("rope_factors_short.weight");
    table.longFrequencies = divided("rope_factors_long.weight");
    table.changeLength =
        metadata.integer(".rope.scaling.original_context_length", 1, maxPositions, spec.context);
  } else {
    table.frequencies = rotaryFrequencies(theta, size, scaling);
  }
  if (checkpoint.tensors.find("rope_freqs.weight"))
    for (auto [frequency, divisor] :
         zip(table.frequencies, readFloats("rope_freqs.weight", size / 2)))
      frequency /= divisor;
  RotaryTable local = table;
  double localTheta = metadata.positive(
      ".rope.freq_base_swa", architecture->localTheta ? architecture->localTheta : theta);
  if (architecture->localUnscaled) {
    local = RotaryTable();
    local.frequencies = rotaryFrequencies(localTheta, size, RotaryScaling());
  } else if (localTheta != theta) {
    local.frequencies = rotaryFrequencies(localTheta, size, scaling);
  }
  rotary = addRotary(table);
  localRotary = metadata.integer(".attention.sliding_window", 0, maxPositions, 0)
                    ? addRotary(std::move(local))
                    : *rotary;
}

/// Linear biases: where the key or the architecture says so.
void GGUFStructure::readAlibi() {
  bool always =
      architecture->alibiLayers == -1 || architecture->alibiLayers == int64_t(spec.layers.size());
  double bias = metadata.number(".attention.max_alibi_bias", 0, 1e9, always ? 8.0 : 0.0);
  for (size_t i = 0; i < spec.layers.size() && bias > 0; ++i)
    spec.layers[i].attention.alibi.slopes = alibiSlopes(heads[i], bias);
}

/// Which layers see the last tokens only, and which positions they rotate by.
void GGUFStructure::readWindows() {
  int64_t window = metadata.integer(".attention.sliding_window", 0, maxPositions, 0);
  std::vector<bool> local = metadata.windowLayers(spec.layers.size(), architecture->windowPattern);
  for (size_t i = 0; i < spec.layers.size(); ++i) {
    bool isLocal = local[i] && window > 0;
    AttentionSpec &attention = spec.layers[i].attention;
    attention.window = isLocal ? window : 0;
    if (isLocal)
      attention.rotary = localRotary;
    else if (architecture->fullWithoutRotary && window > 0)
      attention.rotary = std::nullopt;
    if (architecture->withoutRotary && int64_t(i + 1) % architecture->withoutRotary == 0)
      attention.rotary = std::nullopt;
  }
}
