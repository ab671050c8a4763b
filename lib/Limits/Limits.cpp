//===- Limits.cpp - limits that are given -----------------------------------------------------===//

#include "ingot/Limits/Limits.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>

using namespace ingot;

double Limits::seconds(double bytes, double flops, double gflops) const {
  double reading = readGBs > 0 ? bytes / readGBs : 0, working = gflops > 0 ? flops / gflops : 0;
  return std::max(reading, working) * 1e-9;
}

/// "1008GB/s" as 10^9 per second; negative if it is not a rate.
static double parseRate(const std::string &text) {
  char *end = nullptr;
  double value = strtod(text.c_str(), &end);
  if (end == text.c_str() || !std::isfinite(value) || value <= 0)
    return -1;
  // Without a prefix the number counts single bytes or operations.
  static const char prefixes[] = {'k', 'M', 'G', 'T', 'P'};
  static const double factors[] = {1e-6, 1e-3, 1, 1e3, 1e6};
  const char *found = *end ? std::find(prefixes, prefixes + 5, *end) : prefixes + 5;
  if (found != prefixes + 5)
    return value * factors[found - prefixes];
  return value * 1e-9;
}

std::string ingot::parseLimits(const std::string &text, Limits &limits) {
  limits = Limits();
  for (size_t at = 0; at <= text.size();) {
    size_t end = std::min(text.find(',', at), text.size());
    std::string item = text.substr(at, end - at), name = item.substr(0, item.find('='));
    double rate = name.size() < item.size() ? parseRate(item.substr(name.size() + 1)) : -1;
    double *to = name == "read"                    ? &limits.readGBs
                 : name == "f32"                   ? &limits.f32Gflops
                 : name == "f16" || name == "bf16" ? &limits.bf16Gflops
                 : name == "int8"                  ? &limits.int8Gops
                                                   : nullptr;
    if (!to || rate < 0)
      return "expected rates like read=1008GB/s,f32=40T,f16=83T,int8=166T, got '" + item + "'";
    *to = rate;
    at = end + 1;
  }
  if (limits.bf16Gflops == 0)
    limits.bf16Gflops = limits.f32Gflops;
  if (limits.int8Gops == 0)
    limits.int8Gops = limits.bf16Gflops;
  limits.f32By = limits.bf16By = limits.int8By = "given";
  return "";
}
