//===- KernelBuilder.h - emits the vector code of one kernel ----------------------*- C++ -*-===//
//
// A thin layer over OpBuilder that all emitters share. It knows three things:
//
// * Types. Everything is a scalar or a vector of 16 lanes, whatever the processor: LLVM splits or
//   widens. `index` is i64, bf16 is i16 (its bits), i1 is one byte in memory.
//
// * Scopes. The loops and branches that are being emitted form a stack. A pure operation (`make`)
//   is placed in the outermost scope in which its operands are defined and is made only once:
//   address arithmetic, broadcasts and whole row statistics leave the loops they do not depend on
//   without any later pass, so what the evaluator asks for twice is computed once. Loads of
//   read-only memory move the same way, but not out of a branch, which may guard them.
//
// * Failure. An operation that cannot be compiled is reported once, at its location; the emitter
//   goes on with a value of the right type and the kernel is dropped at the end.
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_LIB_CODEGEN_CPU_KERNELBUILDER_H
#define INGOT_LIB_CODEGEN_CPU_KERNELBUILDER_H

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/STLFunctionalExtras.h"

namespace ingot::codegen {

/// Lanes of every vector.
inline constexpr int64_t kLanes = 16;

class KernelBuilder {
public:
  using Value = mlir::Value;
  using Type = mlir::Type;
  using Values = llvm::SmallVector<Value>;

  /// Appends `func.func @name(ptr, i64, i64)` to `module`; emission starts in its body.
  KernelBuilder(mlir::ModuleOp module, llvm::StringRef name, mlir::Location loc);

  /// Ends the function.
  void finish();
  bool hasFailed() const { return !error.empty(); }
  /// Records that `op` cannot be compiled; only the first reason is kept.
  void fail(mlir::Operation *op, const llvm::Twine &why);
  const std::string &getError() const { return error; }
  mlir::Location getErrorLoc() const { return errorLoc; }

  Value args() { return entry->getArgument(0); }
  Value begin() { return entry->getArgument(1); }
  Value end() { return entry->getArgument(2); }

  //===--- types ----------------------------------------------------------------------------===//
  Type i1, i8, i16, i32, i64, f16, f32, f64, ptr;
  mlir::VectorType vec(Type element) const { return mlir::VectorType::get({kLanes}, element); }
  static bool isVector(Value value) { return mlir::isa<mlir::VectorType>(value.getType()); }
  /// How an element of a tensor is held in registers.
  Type registerType(Type element) const;
  /// How it lies in memory.
  Type memoryType(Type element) const { return element.isInteger(1) ? i8 : registerType(element); }
  /// `element` or a vector of it, as `like` is.
  Type shapedAs(Value like, Type element) const {
    return isVector(like) ? Type(vec(element)) : element;
  }
  static int64_t bytesOf(Type memoryType) {
    return mlir::isa<mlir::LLVM::LLVMPointerType>(memoryType)
               ? 8
               : memoryType.getIntOrFloatBitWidth() / 8;
  }

  //===--- constants ------------------------------------------------------------------------===//
  Value constant(mlir::TypedAttr attr);
  Value c(int64_t value) { return constantInt(i64, value); }
  /// A scalar or a splat.
  Value constantInt(Type type, int64_t value);
  Value constantFloat(Type type, double value);
  Value zero(Type type);
  /// 0, scale, 2 * scale, ... as a vector of `element`.
  Value iota(Type element, int64_t scale = 1);
  /// A mask of the first `count` lanes.
  Value firstLanes(int64_t count);
  Value firstLanes(Value count);

  //===--- pure operations ------------------------------------------------------------------===//
  /// Creates a pure operation with one result, folded, hoisted and unique.
  template <typename OpTy, typename... Args> Value make(Args &&...args) {
    toInnermost();
    return place(OpTy::create(b, loc, std::forward<Args>(args)...), /*speculatable=*/true);
  }
  Value makeGeneric(mlir::OperationState &state, unsigned result = 0);
  Value add(Value a, Value x) { return make<mlir::arith::AddIOp>(a, x); }
  Value sub(Value a, Value x) { return make<mlir::arith::SubIOp>(a, x); }
  Value mul(Value a, Value x) { return make<mlir::arith::MulIOp>(a, x); }
  Value div(Value a, Value x) { return make<mlir::arith::DivUIOp>(a, x); } ///< of values >= 0
  Value rem(Value a, Value x) { return make<mlir::arith::RemUIOp>(a, x); } ///< of values >= 0
  Value add(Value a, int64_t x) { return add(a, constantInt(a.getType(), x)); }
  Value mul(Value a, int64_t x) { return mul(a, constantInt(a.getType(), x)); }
  Value div(Value a, int64_t x) { return div(a, constantInt(a.getType(), x)); }
  Value rem(Value a, int64_t x) { return rem(a, constantInt(a.getType(), x)); }
  Value min(Value a, Value x) { return make<mlir::arith::MinSIOp>(a, x); }
  Value max(Value a, Value x) { return make<mlir::arith::MaxSIOp>(a, x); }
  Value andi(Value a, Value x) { return make<mlir::arith::AndIOp>(a, x); }
  Value ori(Value a, Value x) { return make<mlir::arith::OrIOp>(a, x); }
  Value cmp(mlir::arith::CmpIPredicate predicate, Value a, Value x) {
    return make<mlir::arith::CmpIOp>(predicate, a, x);
  }
  Value fcmp(mlir::arith::CmpFPredicate predicate, Value a, Value x) {
    return make<mlir::arith::CmpFOp>(predicate, a, x);
  }
  Value lt(Value a, Value x) { return cmp(mlir::arith::CmpIPredicate::slt, a, x); }
  Value select(Value condition, Value a, Value x);
  Value fadd(Value a, Value x) { return make<mlir::arith::AddFOp>(a, x); }
  Value fsub(Value a, Value x) { return make<mlir::arith::SubFOp>(a, x); }
  Value fmul(Value a, Value x) { return make<mlir::arith::MulFOp>(a, x); }
  Value fdiv(Value a, Value x) { return make<mlir::arith::DivFOp>(a, x); }
  Value fma(Value a, Value x, Value acc);
  /// acc + the products of pairs of bf16, 16 lanes of two; one instruction of AVX512-BF16.
  Value dotPairs(Value acc, Value a, Value x);
  /// a > x ? a : x, one instruction.
  Value fmax(Value a, Value x) { return select(fcmp(mlir::arith::CmpFPredicate::OGT, a, x), a, x); }
  Value bitcast(Type type, Value value);
  /// All lanes equal to a scalar; a vector is returned as it is.
  Value broadcast(Value value);
  /// Whether any lane of a mask is set.
  Value anyLane(Value mask);
  Value extract(Value vector, int64_t lane);
  Value extract(Value vector, Value lane);
  Value insert(Value scalar, Value vector, Value lane);
  /// Combines the lanes as l[i] op l[i + 8], then + 4, + 2, + 1: the tree of all row sums.
  Value reduceTree(Value vector, llvm::function_ref<Value(Value, Value)> combine);
  /// Float conversions that name no library function on any target.
  Value extend(Value value, Type element,
               Type from);                   ///< from `from` (as in the tensor) to f32 or f64
  Value truncate(Value value, Type element); ///< from f32 or f64 to `element` (as in the tensor)

  //===--- memory ---------------------------------------------------------------------------===//
  /// base + index elements. The index is a scalar i64, or a vector of them (giving pointers).
  Value gep(Value base, Value index, Type element);
  Value gep(Value base, int64_t index, Type element);
  Value field(Value base, int64_t bytes) { return gep(base, bytes, i8); }
  /// Loads memory that nothing writes while the kernel runs.
  Value load(Type type, Value pointer);
  Value maskedLoad(mlir::VectorType type, Value pointer, Value mask);
  Value gather(mlir::VectorType type, Value pointers, Value mask); ///< a null mask: all lanes
  /// Loads memory that the kernel itself writes: stays where it is emitted.
  Value loadScratch(Type type, Value pointer);
  void store(Value value, Value pointer, Value mask = {});
  /// No instruction, but LLVM moves no access that may alias a store over it: loads stay near their
  /// uses, and what is meant to stay in memory does not become a register.
  void fence();
  /// No instruction, but LLVM knows nothing of the vector any more: it is computed here, and what
  /// is added to it afterwards is not added to something else before.
  Value pin(Value vector);
  /// Asks for `count` lines of 64 bytes from `address` on, which need not be there.
  void prefetch(Value address, int64_t count);
  void scatter(Value value, Value pointers, Value mask);
  /// The address of constant data in the code segment.
  Value constantData(mlir::DenseElementsAttr data);

  //===--- control flow ---------------------------------------------------------------------===//
  void loop(Value lower, Value upper, Value step, llvm::function_ref<void(Value)> body);
  Values loop(Value lower, Value upper, Value step, mlir::ValueRange inits,
              llvm::function_ref<Values(Value, mlir::ValueRange)> body);
  void branch(Value condition, llvm::function_ref<void()> then);
  Values branch(Value condition, mlir::TypeRange types, llvm::function_ref<Values()> then,
                llvm::function_ref<Values()> otherwise);

  //===--- scopes ---------------------------------------------------------------------------===//
  /// The scope in which `value` is defined, 0 being the function's; nothing where it is not visible
  /// from here.
  std::optional<unsigned> depthOf(Value value) const;
  unsigned depth() const { return scopes.size() - 1; }
  /// The innermost branch: loads do not move above it.
  unsigned guardDepth() const;
  /// Emits in an outer scope, before the scope within it that is being emitted.
  void atDepth(unsigned depth, llvm::function_ref<void()> body);

  /// Moves `b` to the end of what has been emitted, for code that is written without this class.
  void toInnermost();

  mlir::OpBuilder b;
  mlir::Location loc;

private:
  struct Scope {
    mlir::Block *block;
    mlir::Operation *child; ///< the operation in `block` that holds the next scope
    bool guard;             ///< a branch
  };
  void enter(mlir::Block *block, mlir::Operation *op, bool guard);
  void leave();
  Value place(mlir::Operation *op, bool speculatable, unsigned result = 0);

  mlir::ModuleOp module;
  mlir::Block *entry;
  llvm::SmallVector<Scope> scopes;
  llvm::SmallVector<mlir::Operation *> savedChildren;
  llvm::DenseMap<unsigned, llvm::SmallVector<mlir::Operation *, 1>> known;
  llvm::DenseMap<mlir::Attribute, mlir::LLVM::GlobalOp> globals;
  std::string error;
  mlir::Location errorLoc;
};

} // namespace ingot::codegen

#endif // INGOT_LIB_CODEGEN_CPU_KERNELBUILDER_H
