//===- Compile.cpp - kernels to native code ---------------------------------------------------===//

#include "Emitters.h"
#include "Internal.h"
#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlowOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "mlir/Transforms/Passes.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Support/ThreadPool.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/Transforms/Utils/Cloning.h"

using namespace mlir;
using namespace ingot;
using namespace ingot::codegen;

//===----------------------------------------------------------------------===//
// Vector code to LLVM dialect
//===----------------------------------------------------------------------===//

/// Converts every module inside the one that the manager runs on; they are independent and run in
/// parallel.
static void addConversion(PassManager &manager) {
  OpPassManager &kernel = manager.nest<ModuleOp>();
  kernel.addPass(createSCFToControlFlowPass());
  kernel.addPass(createConvertVectorToLLVMPass());
  kernel.addPass(createConvertMathToLLVMPass());
  kernel.addPass(createArithToLLVMConversionPass());
  kernel.addPass(createConvertControlFlowToLLVMPass());
  kernel.addPass(createConvertFuncToLLVMPass());
  kernel.addPass(createReconcileUnrealizedCastsPass());
}

//===----------------------------------------------------------------------===//
// LLVM IR to an object
//===----------------------------------------------------------------------===//

/// Sanitizers look at our code, not at LLVM, whose optimizations would be most of the time of their
/// tests.
#ifdef INGOT_QUICK_KERNELS
static constexpr bool optimizes = false;
#else
static constexpr bool optimizes = true;
#endif

namespace {
/// One kernel on its way. Everything from LLVM IR on belongs to one thread.
struct KernelJob {
  std::string name;
  ModuleOp module;
  KernelObject object;
  std::string error, vectorText, llvmText, assembly;
};
} // namespace

static std::unique_ptr<llvm::TargetMachine> createTargetMachine(const CPUTarget &target,
                                                                std::string &error) {
  llvm::Triple triple(target.triple);
  const llvm::Target *llvmTarget = llvm::TargetRegistry::lookupTarget(triple, error);
  if (!llvmTarget)
    return nullptr;
  std::string features;
  for (const std::string &feature : target.features)
    features += (features.empty() ? "+" : ",+") + feature;
  // Vectors as wide as the registers.
  features += ",-prefer-256-bit";
  llvm::TargetOptions options;
  options.AllowFPOpFusion = llvm::FPOpFusion::Strict;
  return std::unique_ptr<llvm::TargetMachine>(llvmTarget->createTargetMachine(
      triple, target.cpu, features, options, llvm::Reloc::PIC_, llvm::CodeModel::Small,
      optimizes ? llvm::CodeGenOptLevel::Aggressive : llvm::CodeGenOptLevel::None));
}

static void setAttributes(llvm::Module &module, const CPUTarget &target,
                          llvm::TargetMachine &machine) {
  for (llvm::Function &function : module) {
    if (function.isDeclaration())
      continue;
    function.addFnAttr(llvm::Attribute::NoUnwind);
    // LLVM makes calls of memset, memcpy and libm where it may.
    function.addFnAttr("no-builtins");
    function.addFnAttr("target-cpu", machine.getTargetCPU());
    function.addFnAttr("target-features", machine.getTargetFeatureString());
    function.addFnAttr("prefer-vector-width",
                       llvm::is_contained(target.features, "avx512f") ? "512" : "256");
    function.setVisibility(llvm::GlobalValue::HiddenVisibility);
    function.setDSOLocal(true);
  }
}

static void optimize(llvm::Module &module, llvm::TargetMachine &machine) {
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager graphs;
  llvm::ModuleAnalysisManager modules;
  llvm::PipelineTuningOptions tuning;
  // The code is vector code already; what is scalar in it is meant to be.
  tuning.LoopVectorization = false;
  tuning.SLPVectorization = false;
  llvm::PassBuilder builder(&machine, tuning);
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(graphs);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, graphs, modules);
  builder.buildPerModuleDefaultPipeline(llvm::OptimizationLevel::O3).run(module, modules);
}

static std::string emit(llvm::Module &module, llvm::TargetMachine &machine,
                        llvm::CodeGenFileType type) {
  llvm::SmallVector<char, 0> bytes;
  llvm::raw_svector_ostream out(bytes);
  llvm::legacy::PassManager passes;
  // Fails only for targets without an assembler.
  (void)machine.addPassesToEmitFile(passes, out, nullptr, type);
  passes.run(module);
  return std::string(bytes.data(), bytes.size());
}

static void compileJob(KernelJob &job, const CPUTarget &target, bool wantsText) {
  llvm::LLVMContext context;
  std::unique_ptr<llvm::Module> module = translateModuleToLLVMIR(job.module, context, job.name);
  if (!module) {
    job.error = "cannot be translated to LLVM IR";
    return;
  }
  std::unique_ptr<llvm::TargetMachine> machine = createTargetMachine(target, job.error);
  if (!machine)
    return;
  module->setTargetTriple(llvm::Triple(target.triple));
  module->setDataLayout(machine->createDataLayout());
  module->setSourceFileName(job.name);
  setAttributes(*module, target, *machine);
  if (!target.emulated.empty())
    if (std::string unknown = emulateIntrinsics(*module); !unknown.empty()) {
      job.error = "uses " + unknown + ", which cannot be emulated";
      return;
    }
  if (optimizes)
    optimize(*module, *machine);
  if (wantsText) {
    llvm::raw_string_ostream(job.llvmText) << *module;
    std::unique_ptr<llvm::Module> copy = llvm::CloneModule(*module);
    job.assembly = emit(*copy, *machine, llvm::CodeGenFileType::AssemblyFile);
  }
  job.object = {job.name, emit(*module, *machine, llvm::CodeGenFileType::ObjectFile)};
}

//===----------------------------------------------------------------------===//
// The whole
//===----------------------------------------------------------------------===//

static void initializeLLVM() {
  static std::once_flag once;
  std::call_once(once, [] {
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
    LLVMInitializeX86AsmParser();
  });
}

llvm::FailureOr<CompiledCode> codegen::compileKernels(ArrayRef<plan::KernelOp> kernels,
                                                      const CPUTarget &target,
                                                      const CompileOptions &options) {
  CompiledCode code;
  if (kernels.empty())
    return code;
  initializeLLVM();
  MLIRContext *context = kernels.front()->getContext();
  context->loadDialect<LLVM::LLVMDialect, scf::SCFDialect, vector::VectorDialect, math::MathDialect,
                       func::FuncDialect, arith::ArithDialect, cf::ControlFlowDialect>();
  registerBuiltinDialectTranslation(*context);
  registerLLVMDialectTranslation(*context);

  // Vector code, a module per kernel inside one.
  OwningOpRef<ModuleOp> all = ModuleOp::create(UnknownLoc::get(context));
  std::vector<KernelJob> jobs;
  for (plan::KernelOp kernel : kernels) {
    OpBuilder builder = OpBuilder::atBlockEnd(all->getBody());
    auto module = ModuleOp::create(builder, kernel.getLoc());
    std::string error;
    Location errorLoc = kernel.getLoc();
    plan::ScheduleAttr schedule = options.schedules.lookup(kernel.getName());
    std::optional<CompiledKernel> emitted =
        emitKernel(kernel, schedule, target, module, error, errorLoc);
    if (!emitted)
      return (emitError(errorLoc) << error), failure();
    KernelJob job{kernel.getName().str(), module, {}, {}, {}, {}, {}};
    if (options.dump)
      llvm::raw_string_ostream(job.vectorText) << module;
    jobs.push_back(std::move(job));
    code.kernels.push_back(*emitted);
  }
  PassManager manager(context);
  manager.enableVerifier(false);
  addConversion(manager);
  if (failed(manager.run(*all)))
    return failure();

  // A context without threads (--verify-numerics, --mlir-disable-threading) takes no locks: one
  // worker then.
  const unsigned threads = context->isMultithreadingEnabled() ? options.threads : 1;
  llvm::DefaultThreadPool pool(llvm::hardware_concurrency(threads));
  for (KernelJob &job : jobs)
    pool.async([&job, &target, &options] { compileJob(job, target, bool(options.dump)); });
  pool.wait();

  std::vector<KernelObject> objects;
  for (KernelJob &job : jobs) {
    if (!job.error.empty())
      return (emitError(job.module.getLoc()) << "kernel '" << job.name << "' " << job.error),
             failure();
    if (options.dump) {
      options.dump(job.name, "vector.mlir", job.vectorText);
      options.dump(job.name, "ll", job.llvmText);
      options.dump(job.name, "s", job.assembly);
    }
    objects.push_back(std::move(job.object));
  }
  llvm::Expected<LinkedImage> image = linkImage(objects);
  if (!image)
    return emitError(kernels.front()->getLoc()) << llvm::toString(image.takeError()), failure();
  for (CompiledKernel &kernel : code.kernels) {
    auto symbol = image->symbols.find(kernel.name);
    if (symbol == image->symbols.end())
      return emitError(kernels.front()->getLoc())
                 << "kernel '" << kernel.name << "' is not in the linked image",
             failure();
    kernel.entry = symbol->second;
  }
  code.image = std::move(image->bytes);
  return code;
}
