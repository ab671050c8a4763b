//===- SearchQ4.h - the search for the scales of q4_0 -----------------------------*- C++ -*-===//
//
// `encode` takes wide instructions where the machine has them. This is the way that every machine
// has, which must make the same bytes.
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_LIB_FORMATS_SEARCHQ4_H
#define INGOT_LIB_FORMATS_SEARCHQ4_H

namespace ingot::formats {

/// Makes a block of q4_0, 18 bytes, of 32 numbers.
void searchQ4_0Anywhere(const float *values, unsigned char *block);

} // namespace ingot::formats

#endif // INGOT_LIB_FORMATS_SEARCHQ4_H
