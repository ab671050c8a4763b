//===- Activations.cpp - activation functions by the names that files have for them -----------===//

#include "GraphBuilder.h"

using namespace llvm;
using namespace ingot;
using namespace ingot::importer;

static constexpr std::pair<StringLiteral, Activation> activations[] = {
    {"gelu", Activation::Gelu},
    {"gelu_10", Activation::Gelu10},
    {"gelu_accurate", Activation::GeluTanh},
    {"gelu_fast", Activation::GeluTanh},
    {"gelu_new", Activation::GeluTanh},
    {"gelu_python", Activation::Gelu},
    {"gelu_python_tanh", Activation::GeluTanh},
    {"gelu_pytorch_tanh", Activation::GeluTanh},
    {"hardsigmoid", Activation::HardSigmoid},
    {"hardswish", Activation::HardSwish},
    {"laplace", Activation::Laplace},
    {"leaky_relu", Activation::LeakyRelu},
    {"linear", Activation::Identity},
    {"mish", Activation::Mish},
    {"quick_gelu", Activation::QuickGelu},
    {"relu", Activation::Relu},
    {"relu2", Activation::Relu2},
    {"relu6", Activation::Relu6},
    {"sigmoid", Activation::Sigmoid},
    {"silu", Activation::Silu},
    {"swish", Activation::Silu},
    {"tanh", Activation::Tanh},
};

std::optional<Activation> importer::findActivation(StringRef name) {
  for (const auto &[key, activation] : activations)
    if (key == name)
      return activation;
  return std::nullopt;
}

std::string importer::activationNames() {
  std::string names;
  for (const auto &[key, activation] : activations)
    names += (names.empty() ? "" : ", ") + key.str();
  return names;
}
