//===- EmitKernel.cpp - from a plan.kernel to a function of vector code -----------------------===//

#include "Emitters.h"
#include "KernelABI.h"
#include "llvm/ADT/bit.h"

using namespace mlir;
using namespace ingot;
using namespace ingot::codegen;

Value KernelEmission::scratch(int64_t bytes) {
  int64_t offset = scratchBytes;
  scratchBytes += llvm::alignTo(bytes, 64);
  Value base = kb.load(kb.ptr, kb.field(kb.args(), abi::kArgsScratch));
  return kb.field(base, offset);
}

void KernelEmission::rowTiles(Value count, int64_t largest,
                              function_ref<void(Value, int64_t)> body) {
  Value first = kb.c(0);
  // Six rows, say, then four, two and one.
  for (int64_t rows = largest; rows; rows = llvm::bit_floor(uint64_t(rows - 1))) {
    Value tiles = rows == 1 ? kb.sub(count, first) : kb.div(kb.sub(count, first), rows);
    Value end = kb.add(first, kb.mul(tiles, rows));
    kb.loop(first, end, kb.c(rows), [&](Value row) { body(row, rows); });
    first = end;
  }
}

Value codegen::peelReshapes(Value value) {
  while (Operation *op = value.getDefiningOp()) {
    if (auto expand = dyn_cast<tensor::ExpandShapeOp>(op))
      value = expand.getSrc();
    else if (auto collapse = dyn_cast<tensor::CollapseShapeOp>(op))
      value = collapse.getSrc();
    else
      break;
  }
  return value;
}

void codegen::zeroFrom(KernelBuilder &kb, Value row, int64_t first, int64_t end, Type element) {
  for (int64_t i = first; i < end; ++i)
    kb.store(kb.zero(kb.registerType(element)), kb.gep(row, i, kb.registerType(element)));
}

std::optional<CompiledKernel> codegen::emitKernel(plan::KernelOp kernel,
                                                  plan::ScheduleAttr schedule,
                                                  const CPUTarget &target, ModuleOp module,
                                                  std::string &error, Location &errorLoc) {
  errorLoc = kernel.getLoc();
  llvm::Expected<plan::KernelInterface> interface =
      plan::KernelInterface::get(kernel.getFunctionType());
  if (!interface) {
    error = llvm::toString(interface.takeError());
    return std::nullopt;
  }
  KernelBuilder kb(module, kernel.getSymName(), kernel.getLoc());
  Evaluator eval(kb, kernel, *interface);
  if (!schedule)
    schedule = kernel.getScheduleAttr();
  // A tile of one by one leaves the choice to the target.
  bool open = schedule && schedule.getTileRows() == 1 && schedule.getTileVectors() == 1;
  if (!schedule || open)
    schedule = getDefaultSchedule(kernel, target);
  KernelEmission emission{kb, eval, kernel, schedule, *interface, target};
  // Without a work item there may be no memory to look at.
  kb.branch(kb.lt(kb.begin(), kb.end()), [&] {
    switch (schedule.getKind()) {
    case plan::ScheduleKind::Rows:
      return emitRows(emission);
    case plan::ScheduleKind::Append:
      return emitAppend(emission);
    case plan::ScheduleKind::Linear:
      return emitLinear(emission);
    case plan::ScheduleKind::Attention:
      return emitAttention(emission);
    case plan::ScheduleKind::Experts:
      return emitExperts(emission);
    case plan::ScheduleKind::Route:
      return emitRoute(emission);
    }
  });
  kb.finish();
  if (kb.hasFailed()) {
    error = kb.getError();
    errorLoc = kb.getErrorLoc();
    return std::nullopt;
  }
  return CompiledKernel{kernel.getName().str(), 0, uint64_t(emission.scratchBytes),
                        emission.dividedRows};
}
