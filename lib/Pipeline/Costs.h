//===- Costs.h - what the programs of a plan cost ----------------------------------*- C++ -*-===//
//
// Each dispatch of a plan carries its cost: bytes of weights, cache and activations and operations,
// per unit of sizes that are known at run time. Here they are added up, and evaluated for a step of
// some sequences at some position, which is what a language model's sizes come from.
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_LIB_PIPELINE_COSTS_H
#define INGOT_LIB_PIPELINE_COSTS_H

#include "ingot/Dialect/Plan/IR/PlanDialect.h"
#include <array>
#include <optional>
#include <string>
#include <vector>

namespace ingot {

/// What a cost grows with.
struct CostSize {
  /// As people name it: "1", "tokens", "pairs (window 512)", "dim 2 of arg0".
  std::string name;
  /// A size of the batch; absent for "1" and for sizes of arrays.
  std::optional<tfm::BatchDimKind> batchDim;
  int64_t window = 0;
  /// min(chosen * tokens, experts): matrices of a mixture. `experts` is 0 for other sizes.
  int64_t experts = 0, chosen = 0;

  /// How many different experts so many tokens meet if routers choose evenly: one is met unless
  /// every token passes it by.
  double expectedExperts(double tokens) const;
};

struct CostEntry {
  tfm::CostClass cost;
  CostSize size;
  int64_t coefficient;
};

/// A step of a language model: `sequences` of them, each with `rows` rows from `position` on.
struct StepShape {
  int64_t sequences = 1, rows = 1, position = 0, outputs = 1;
};

class Costs {
public:
  void add(plan::DispatchOp dispatch, plan::ProgramOp program);

  /// In the order of classes, then of names.
  const std::vector<CostEntry> &getEntries() const { return entries; }
  /// Bytes by class and operations of a step; nothing if a cost depends on more than that.
  std::optional<std::array<double, 4>> evaluate(const StepShape &step) const;
  /// The coefficient of a class per unit of a size of the batch, whatever the window; with
  /// nothing, what does not grow at all.
  int64_t per(tfm::CostClass cost, std::optional<tfm::BatchDimKind> dim) const;
  /// Bytes of the expert matrices that a step of so many tokens is expected to read, and of all.
  double expertBytes(double tokens) const;
  double allExpertBytes() const;

private:
  std::vector<CostEntry> entries;
};

/// The costs of a whole program.
Costs getCosts(plan::ProgramOp program);

/// "weights", "cache", "activations", "flops"
llvm::StringRef getCostName(tfm::CostClass cost);

/// "14.22 GB", "524.29 kflop": three figures and more.
std::string formatAmount(double value, llvm::StringRef unit);
std::string formatSeconds(double seconds);

/// Pairs of a row and a key that it sees under a causal mask: `rows` rows from `position` on, each
/// with the last `window` keys (0: all).
double countPairs(int64_t position, int64_t rows, int64_t window);

} // namespace ingot

#endif // INGOT_LIB_PIPELINE_COSTS_H
