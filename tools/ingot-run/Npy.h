//===- Npy.h - arrays in NumPy's file format -------------------------------------------------===//
//
// Versions 1 to 3 of the format, little endian, C order; f32 f64 f16 i8 i16 i32 i64 u8 bool, and
// bf16 as the two-byte void type that ml_dtypes writes. Nothing in a file is believed before it is
// checked.
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_RUN_NPY_H
#define INGOT_RUN_NPY_H

#include "Common.h"

struct NpyArray {
  ingot_element_type type = INGOT_NONE;
  std::vector<int64_t> shape;
  std::string data;
};

NpyArray readNpy(const std::string &path);
void writeNpy(const std::string &path, const ingot_tensor &tensor);

#endif // INGOT_RUN_NPY_H
