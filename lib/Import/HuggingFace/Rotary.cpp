//===- Rotary.cpp - fields of rotary positions ------------------------------------------------===//
//
// The parameters of rotary positions are in an object (rope_parameters, of older configs
// rope_scaling) or beside it; what the object has counts. Layers of different kinds may have
// objects of their own, so the object is an argument here.
//
//===----------------------------------------------------------------------------------------===//

#include "Families.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include <cmath>

using namespace llvm;
using namespace ingot;
using namespace ingot::importer;

namespace {

class RotaryReader {
public:
  RotaryReader(Config &config, Config &object, const DecoderSpec &spec, int64_t size,
               int64_t beside)
      : config(config), object(object), spec(spec), size(size), beside(beside) {}

  void read(StringRef type, double theta, RotaryTable &table);

private:
  double originalLength();
  RotaryScaling readLlama3();
  RotaryScaling readYarn(double &magnitude);
  std::vector<float> readFactors(StringRef name, ArrayRef<float> frequencies);
  void readLongrope(double theta, RotaryTable &table);

  Config &config, &object;
  const DecoderSpec &spec;
  int64_t size;
  int64_t beside; ///< the length before scaling beside the object, where it is absent
};

} // namespace

/// The length before scaling. It may stand beside the object, and then counts.
double RotaryReader::originalLength() {
  StringRef name = "original_max_position_embeddings";
  int64_t length = object.integer(name, 1, maxPositions, spec.context);
  return double(config.has(name) ? config.integer(name, 1, maxPositions)
                : beside         ? beside
                                 : length);
}

RotaryScaling RotaryReader::readLlama3() {
  RotaryScaling scaling;
  scaling.kind = RotaryScaling::Llama3;
  scaling.originalLength = originalLength();
  scaling.factor = object.positive("factor");
  scaling.lowFactor = object.positive("low_freq_factor");
  scaling.highFactor = object.positive("high_freq_factor");
  if (scaling.highFactor <= scaling.lowFactor)
    object.error("high_freq_factor", "expected more than low_freq_factor, got " +
                                         toText(json::Value(scaling.highFactor)));
  return scaling;
}

RotaryScaling RotaryReader::readYarn(double &magnitude) {
  RotaryScaling scaling;
  scaling.kind = RotaryScaling::Yarn;
  scaling.originalLength = originalLength();
  scaling.factor = object.positive("factor", double(spec.context) / scaling.originalLength);
  // Zero and null stand for the default here.
  auto orDefault = [&](StringRef name, double fallback) {
    double value = object.number(name, 0, 1e9, 0.0);
    return value == 0 ? fallback : value;
  };
  scaling.fastTurns = orDefault("beta_fast", 32);
  scaling.slowTurns = orDefault("beta_slow", 1);
  scaling.truncate = object.flag("truncate", true);
  auto magnitudeOf = [&](double weight) {
    return scaling.factor <= 1 ? 1.0 : 0.1 * weight * std::log(scaling.factor) + 1.0;
  };
  double mscale = orDefault("mscale", 0), mscaleAll = orDefault("mscale_all_dim", 0);
  magnitude =
      mscale != 0 && mscaleAll != 0 ? magnitudeOf(mscale) / magnitudeOf(mscaleAll) : magnitudeOf(1);
  magnitude = object.positive("attention_factor", magnitude);
  return scaling;
}

/// Plain frequencies divided by the factors in field `name`, one for each pair.
std::vector<float> RotaryReader::readFactors(StringRef name, ArrayRef<float> powers) {
  std::vector<double> factors = object.numbers(name);
  if (factors.size() != powers.size())
    object.error(name, "expected a list of " + Twine(powers.size()) + " numbers, got " +
                           Twine(factors.size()));
  std::vector<float> result(powers.size(), 1);
  for (auto [frequency, power, factor] : zip_first(result, powers, factors)) {
    frequency = 1.0f / (float(factor) * power);
    if (factor <= 0)
      object.error(name, "expected factors greater than 0, got " + toText(json::Value(factor)));
  }
  return result;
}

void RotaryReader::readLongrope(double theta, RotaryTable &table) {
  double length = originalLength();
  double factor = object.positive("factor", double(spec.context) / length);
  double magnitude = 1;
  if (factor > 1 && length > 1)
    magnitude = std::sqrt(1 + std::log(factor) / std::log(length));
  table.magnitude = object.positive("attention_factor", magnitude);
  std::vector<float> powers = rotaryPowers(theta, size);
  table.frequencies = readFactors("short_factor", powers);
  table.longFrequencies = readFactors("long_factor", powers);
  table.changeLength = int64_t(length);
}

void RotaryReader::read(StringRef type, double theta, RotaryTable &table) {
  RotaryScaling scaling;
  if (type == "longrope")
    return readLongrope(theta, table);
  if (type == "llama3") {
    scaling = readLlama3();
  } else if (type == "yarn") {
    scaling = readYarn(table.magnitude);
  } else if (type == "linear") {
    scaling.kind = RotaryScaling::Linear;
    scaling.factor = object.positive("factor");
  } else if (type == "proportional") {
    scaling.kind = RotaryScaling::Linear;
    scaling.factor = object.positive("factor", 1);
  } else if (type == "dynamic") {
    table.growth = object.number("factor", 1, 1e9);
    table.changeLength = spec.context;
    if (size == 2)
      object.error("rope_type", "expected more than 2 rotated elements of each head for dynamic");
  }
  table.frequencies = rotaryFrequencies(theta, size, scaling);
}

std::optional<size_t> importer::readRotaryTable(Config &config, Config *object, StringRef name,
                                                DecoderSpec &spec, int64_t headDim,
                                                const RotaryFields &fields) {
  double theta = config.positive(fields.theta, fields.defaultTheta);
  Config *partialIn = object && object->has("partial_rotary_factor") ? object : &config;
  StringRef partialName = partialIn == object ? "partial_rotary_factor" : fields.partial;
  double partial = partialIn->number(partialName, 0, 1, fields.defaultPartial.value_or(1));
  std::string type = "default";
  StringRef typeName = "rope_type";
  if (object) {
    theta = object->positive("rope_theta", theta);
    // "type" is the older name; where both are there the newer one counts.
    StringRef older = object->string("type", "default");
    type = object->string("rope_type", older).str();
    typeName = object->has("rope_type") ? "rope_type" : "type";
    SmallVector<StringRef> names;
    fields.longropeNames.split(names, '|', -1, /*KeepEmpty=*/false);
    if (is_contained(names, type))
      type = "longrope";
  }
  const StringRef types[] = {"default",  "dynamic",      "linear", "llama3",
                             "longrope", "proportional", "yarn"};
  if (!is_contained(types, type)) {
    object->error(typeName, "expected one of " + join(std::begin(types), std::end(types), ", ") +
                                ", got " + quote(type));
    return std::nullopt;
  }
  // The first pairs of the head's own frequencies, and no angle for the others.
  bool keepsAll = type == "proportional";
  if (!fields.defaultPartial && partial != 1 && !keepsAll)
    partialIn->error(partialName, "expected 1 in this family, got " + toText(json::Value(partial)));
  // Frequencies in steps of two make whole pairs of an odd number, if the head has room for them.
  int64_t size = keepsAll ? headDim : int64_t(double(headDim) * partial);
  bool takesOdd = type != "dynamic" && type != "yarn" && size < headDim;
  if (size < 1 || (size % 2 != 0 && !takesOdd)) {
    config.error("head_dim",
                 "expected an even number of rotated elements of each head, got " + Twine(size));
    return std::nullopt;
  }
  RotaryTable table;
  RotaryReader(config, object ? *object : config, spec, size, fields.originalLength)
      .read(type, theta, table);
  if (keepsAll)
    std::fill(table.frequencies.begin() + int64_t(std::floor(partial * double(headDim) / 2)),
              table.frequencies.end(), 0.0f);
  auto isFinite = [](float f) { return std::isfinite(f); };
  if (!all_of(table.frequencies, isFinite) || !all_of(table.longFrequencies, isFinite))
    config.error(object ? name : fields.theta,
                 "expected parameters with finite rotary frequencies");
  auto it = llvm::find(spec.rotaries, table);
  size_t number = size_t(it - spec.rotaries.begin());
  if (it == spec.rotaries.end())
    spec.rotaries.push_back(std::move(table));
  return number;
}

void importer::readRotary(Config &config, DecoderSpec &spec, AttentionSpec &attention,
                          const RotaryFields &fields) {
  Config *newer = config.child("rope_parameters"), *older = config.child("rope_scaling");
  if (newer && older)
    config.error("rope_scaling", "expected nothing beside rope_parameters");
  attention.rotary = readRotaryTable(config, newer ? newer : older, "rope_parameters|rope_scaling",
                                     spec, attention.headDim, fields);
}
