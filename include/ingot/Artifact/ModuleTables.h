//===- ModuleTables.h - what a module gives to an artifact ------------------------*- C++ -*-===//
#ifndef INGOT_ARTIFACT_MODULETABLES_H
#define INGOT_ARTIFACT_MODULETABLES_H

#include "ingot/Artifact/WeightPacker.h"
#include "ingot/Schema/ingot_generated.h"
#include "mlir/IR/BuiltinOps.h"

namespace ingot::artifact {

struct ModuleTables {
  /// The tables of the head that follow from the module alone: kernels, programs, language model
  /// and locations. Kernels are those that a program dispatches, in the module's order.
  fb::ArtifactT head;
  /// The table of weights, in the order in which the programs first use them.
  std::vector<Weight> weights;
};

/// Names of a location for people: config fields and checkpoint tensors ("layers.*.self_attn.q_proj
/// at model.layers.3"), else "line 9:8" of the file that was read; empty if it has neither. It
/// does not depend on what the input is called or where it lies.
std::string describeLocation(mlir::Location location);

/// Serialises the plan.kernels and plan.programs of a module, which plan-buffers has flattened.
/// Every reference that an artifact could not hold is an error that reads "@program: what (where)".
///
/// What a program may hold beside dispatches: tfm.parameter, plan.pack and tensor constants
/// (weights); tfm.uniform_batch, tfm.cache_create with an attribute `slot`; plan.slot; and the
/// arithmetic of sizes: tensor.dim, tfm.batch_dim, and arith's constant, addi, subi, muli,
/// divisions, remainders, minima and maxima and index casts. Sizes are not negative, so the signed
/// and unsigned forms mean the same. `cf.assert` of an equality of sizes becomes a check that the
/// runtime makes before it runs the program.
///
/// `tfm.batch_dim items` has a value only for a dispatch: it counts the items of the batch that the
/// dispatch receives, cut into its kernel's query blocks.
llvm::Expected<ModuleTables> buildModuleTables(mlir::ModuleOp module);

} // namespace ingot::artifact

#endif // INGOT_ARTIFACT_MODULETABLES_H
