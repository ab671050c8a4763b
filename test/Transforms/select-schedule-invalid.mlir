// RUN: ingot-opt %s --select-schedule -verify-diagnostics

// expected-error @+1 {{expected a kind of schedule, as form-dispatches writes it}}
plan.kernel @k(%x: tensor<4xf32>) -> tensor<4xf32> {
  plan.yield %x : tensor<4xf32>
}
