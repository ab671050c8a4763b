//===- Passes.h - passes around the reference interpreter -------------------------*- C++ -*-===//
#ifndef INGOT_REFERENCE_PASSES_H
#define INGOT_REFERENCE_PASSES_H

#include "mlir/Pass/Pass.h"

namespace ingot::reference {

#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "ingot/Reference/Passes.h.inc"

} // namespace ingot::reference

#endif // INGOT_REFERENCE_PASSES_H
