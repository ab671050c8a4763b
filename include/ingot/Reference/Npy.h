//===- Npy.h - NumPy's array files ------------------------------------------------*- C++ -*-===//
#ifndef INGOT_REFERENCE_NPY_H
#define INGOT_REFERENCE_NPY_H

#include "ingot/Reference/Tensor.h"

namespace ingot::reference {

/// Reads a .npy file (versions 1 to 3, C order, little-endian floats of 2, 4 and 8 bytes, integers
/// of 1 to 8 bytes, booleans) into a tensor of `elementType`. Floats are rounded to it, integers
/// must fit it; a float is never read as an integer or the other way. Errors name the file.
llvm::Expected<Tensor> readNpy(llvm::StringRef path, mlir::Type elementType);
/// The same, from the file's contents; `name` is for the errors.
llvm::Expected<Tensor> parseNpy(llvm::StringRef contents, llvm::StringRef name,
                                mlir::Type elementType);

/// Writes a .npy file, to a temporary file that is then renamed. Floats are written in their type,
/// bf16 as f32, and all of them as f64 with `asDoubles`: results of the interpreter in
/// Precision::F64.
llvm::Error writeNpy(llvm::StringRef path, const Tensor &tensor, bool asDoubles = false);
std::string formatNpy(const Tensor &tensor, bool asDoubles = false);

} // namespace ingot::reference

#endif // INGOT_REFERENCE_NPY_H
