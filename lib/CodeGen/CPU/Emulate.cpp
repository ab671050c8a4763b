//===- Emulate.cpp - kernels of one processor in the instructions of another ------------------===//
//
// Kernels are generated for what a processor offers: its registers decide tiles, its dot products
// the arithmetic. What is written as plain vector code runs anywhere, LLVM splits or widens it;
// only intrinsics name instructions. Replacing their calls by what the manuals say they compute
// makes the kernels of a newer processor run on an older one, slowly, with the same structure and
// the same bits: so they are tested where that processor is not at hand.
//
//===----------------------------------------------------------------------------------------===//

#include "Internal.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/IntrinsicInst.h"
#include "llvm/IR/Module.h"

using namespace llvm;
using namespace ingot;
using namespace ingot::codegen;

namespace {

struct Emulator {
  IRBuilder<> b;

  explicit Emulator(CallInst *call) : b(call) {}

  FixedVectorType *f32s(unsigned n) { return FixedVectorType::get(b.getFloatTy(), n); }
  FixedVectorType *i32s(unsigned n) { return FixedVectorType::get(b.getInt32Ty(), n); }
  Value *splat(unsigned n, uint32_t value) {
    return ConstantVector::getSplat(ElementCount::getFixed(n), b.getInt32(value));
  }
  /// Lanes first, first + stride, ... of a vector.
  Value *every(Value *vector, unsigned count, unsigned first, unsigned stride) {
    SmallVector<int> lanes;
    for (unsigned i = 0; i < count; ++i)
      lanes.push_back(first + i * stride);
    return b.CreateShuffleVector(vector, lanes);
  }
  /// Element `which` of each pair of bf16, as f32; denormals are zero.
  Value *half(Value *pairs, unsigned n, bool high) {
    Value *bits = b.CreateBitCast(pairs, i32s(n));
    bits = high ? b.CreateAnd(bits, splat(n, 0xffff0000)) : b.CreateShl(bits, splat(n, 16));
    Value *denormal = b.CreateICmpEQ(b.CreateAnd(bits, splat(n, 0x7f800000)), splat(n, 0));
    bits = b.CreateSelect(denormal, b.CreateAnd(bits, splat(n, 0x80000000)), bits);
    return b.CreateBitCast(bits, f32s(n));
  }

  /// vdpbf16ps: the odd products first, then the even ones, a fused multiply-add each.
  Value *dotBF16(CallInst *call) {
    unsigned n = cast<FixedVectorType>(call->getType())->getNumElements();
    Value *sum = call->getArgOperand(0);
    for (bool high : {true, false})
      sum = b.CreateIntrinsic(
          Intrinsic::fma, {f32s(n)},
          {half(call->getArgOperand(1), n, high), half(call->getArgOperand(2), n, high), sum});
    return sum;
  }

  /// vpdpbusd: four products of unsigned by signed bytes and the accumulator.
  Value *dotBytes(CallInst *call) {
    unsigned n = cast<FixedVectorType>(call->getType())->getNumElements();
    auto *bytes = FixedVectorType::get(b.getInt8Ty(), 4 * n);
    Value *a = b.CreateBitCast(call->getArgOperand(1), bytes);
    Value *x = b.CreateBitCast(call->getArgOperand(2), bytes);
    Value *sum = call->getArgOperand(0);
    for (unsigned i = 0; i < 4; ++i)
      sum = b.CreateAdd(sum, b.CreateMul(b.CreateZExt(every(a, n, i, 4), i32s(n)),
                                         b.CreateSExt(every(x, n, i, 4), i32s(n))));
    return sum;
  }

  /// vcvtneps2bf16: to nearest even; denormals are zero, a NaN becomes quiet.
  Value *roundToBF16(CallInst *call) {
    Value *x = call->getArgOperand(0);
    unsigned n = cast<FixedVectorType>(x->getType())->getNumElements();
    Value *bits = b.CreateBitCast(x, i32s(n));
    Value *high = b.CreateLShr(bits, splat(n, 16));
    Value *odd = b.CreateAnd(high, splat(n, 1));
    Value *rounded = b.CreateAdd(b.CreateAdd(bits, splat(n, 0x7fff)), odd);
    rounded = b.CreateLShr(rounded, splat(n, 16));
    Value *denormal = b.CreateICmpEQ(b.CreateAnd(bits, splat(n, 0x7f800000)), splat(n, 0));
    rounded = b.CreateSelect(denormal, b.CreateAnd(high, splat(n, 0x8000)), rounded);
    Value *nan = b.CreateFCmpUNO(x, x);
    rounded = b.CreateSelect(nan, b.CreateOr(high, splat(n, 0x40)), rounded);
    Value *words = b.CreateTrunc(rounded, FixedVectorType::get(b.getInt16Ty(), n));
    return b.CreateBitCast(words, call->getType());
  }

  /// vscalefps without mask: x * 2^floor(y), by two factors so that each is a normal number.
  Value *scale(CallInst *call) {
    auto *mask = dyn_cast<ConstantInt>(call->getArgOperand(3));
    if (!mask || !mask->isMinusOne())
      return nullptr;
    Value *x = call->getArgOperand(0), *y = call->getArgOperand(1);
    unsigned n = cast<FixedVectorType>(x->getType())->getNumElements();
    auto bound = [&](double value) {
      return ConstantVector::getSplat(ElementCount::getFixed(n),
                                      ConstantFP::get(b.getFloatTy(), value));
    };
    Value *floor = b.CreateUnaryIntrinsic(Intrinsic::floor, y);
    floor = b.CreateMinNum(b.CreateMaxNum(floor, bound(-300)), bound(250));
    Value *exponent = b.CreateFPToSI(floor, i32s(n));
    Value *first = b.CreateAShr(exponent, splat(n, 1)), *second = b.CreateSub(exponent, first);
    for (Value *part : {first, second}) {
      Value *bits = b.CreateShl(b.CreateAdd(part, splat(n, 127)), splat(n, 23));
      Value *positive = b.CreateICmpSGT(part, splat(n, uint32_t(-127)));
      bits = b.CreateSelect(positive, bits, splat(n, 0));
      x = b.CreateFMul(x, b.CreateBitCast(bits, f32s(n)));
    }
    return x;
  }
};

} // namespace

/// Vector extensions of AVX-512 and later; what AVX2 has runs as it is.
static bool needsNewerProcessor(StringRef name) {
  return name.starts_with("llvm.x86.avx512") || name.starts_with("llvm.x86.avx10") ||
         name.starts_with("llvm.x86.amx") || name.starts_with("llvm.x86.t");
}

std::string codegen::emulateIntrinsics(Module &module) {
  std::string unknown;
  for (Function &function : module)
    for (Instruction &instruction : make_early_inc_range(instructions(function))) {
      auto *call = dyn_cast<CallInst>(&instruction);
      Function *callee = call ? call->getCalledFunction() : nullptr;
      if (!callee || !needsNewerProcessor(callee->getName()))
        continue;
      Emulator emulator(call);
      StringRef name = callee->getName();
      Value *value = nullptr;
      if (name.starts_with("llvm.x86.avx512bf16.dpbf16ps."))
        value = emulator.dotBF16(call);
      else if (name.starts_with("llvm.x86.avx512bf16.cvtneps2bf16."))
        value = emulator.roundToBF16(call);
      else if (name.starts_with("llvm.x86.avx512.vpdpbusd."))
        value = emulator.dotBytes(call);
      else if (name.starts_with("llvm.x86.avx512.mask.scalef.ps."))
        value = emulator.scale(call);
      if (!value) {
        unknown = name.str();
        continue;
      }
      call->replaceAllUsesWith(value);
      call->eraseFromParent();
    }
  return unknown;
}
