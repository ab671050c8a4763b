//===- Internal.h - steps between vector code and the image -----------------------*- C++ -*-===//
#ifndef INGOT_LIB_CODEGEN_CPU_INTERNAL_H
#define INGOT_LIB_CODEGEN_CPU_INTERNAL_H

#include "ingot/CodeGen/CPU.h"
#include "llvm/ADT/StringMap.h"

namespace llvm {
class Module;
} // namespace llvm

namespace ingot::codegen {

/// Replaces calls of intrinsics of newer processors by plain code. Returns the name of one that it
/// does not know, or nothing.
std::string emulateIntrinsics(llvm::Module &module);

/// One kernel as an ELF object.
struct KernelObject {
  std::string name;
  std::string bytes;
};

struct LinkedImage {
  std::string bytes;
  llvm::StringMap<uint64_t> symbols;
};

/// Links objects into an image that needs no relocation and whose file offsets equal its addresses.
/// The same objects give the same bytes. One call at a time: the linker has global state.
llvm::Expected<LinkedImage> linkImage(llvm::ArrayRef<KernelObject> objects);

} // namespace ingot::codegen

#endif // INGOT_LIB_CODEGEN_CPU_INTERNAL_H
