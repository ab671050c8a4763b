//===- Passes.cpp - code generation as a pass, for reading what it does -----------------------===//

#include "Emitters.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Pass/Pass.h"

using namespace mlir;
using namespace ingot;
using namespace ingot::codegen;

namespace {
/// Replaces every plan.kernel by the vector code that it becomes, and drops the rest of the module.
struct EmitCPUKernelsPass : PassWrapper<EmitCPUKernelsPass, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(EmitCPUKernelsPass)

  EmitCPUKernelsPass() = default;
  EmitCPUKernelsPass(const EmitCPUKernelsPass &other) : PassWrapper(other) {}

  StringRef getArgument() const final { return "emit-cpu-kernels"; }
  StringRef getDescription() const final {
    return "shows the vector code, or the assembly, of every kernel";
  }
  void getDependentDialects(DialectRegistry &registry) const final {
    registry.insert<arith::ArithDialect, func::FuncDialect, LLVM::LLVMDialect, math::MathDialect,
                    scf::SCFDialect, vector::VectorDialect>();
  }

  void runOnOperation() final {
    llvm::Expected<CPUTarget> resolved = CPUTarget::resolve(target);
    if (!resolved) {
      getOperation().emitError("target: ") << llvm::toString(resolved.takeError());
      return signalPassFailure();
    }
    SmallVector<plan::KernelOp> kernels(getOperation().getOps<plan::KernelOp>());
    if (assembly) {
      CompileOptions options;
      options.dump = [](StringRef kernel, StringRef stage, StringRef text) {
        if (stage == "s")
          llvm::outs() << "// " << kernel << "\n" << text;
      };
      if (failed(compileKernels(kernels, *resolved, options)))
        return signalPassFailure();
    }
    OwningOpRef<ModuleOp> emitted = ModuleOp::create(getOperation().getLoc());
    for (plan::KernelOp kernel : kernels) {
      std::string error;
      Location errorLoc = kernel.getLoc();
      if (!assembly && !emitKernel(kernel, /*schedule=*/{}, *resolved, *emitted, error, errorLoc)) {
        emitError(errorLoc) << error;
        return signalPassFailure();
      }
    }
    getOperation().getBodyRegion().takeBody(emitted->getBodyRegion());
  }

  Option<std::string> target{*this, "target", llvm::cl::desc("processor to compile for"),
                             llvm::cl::init("x86-64-v4")};
  Option<bool> assembly{*this, "assembly", llvm::cl::desc("print the assembly instead"),
                        llvm::cl::init(false)};
};
} // namespace

void codegen::registerCPUPasses() { PassRegistration<EmitCPUKernelsPass>(); }
