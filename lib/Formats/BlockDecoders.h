//===- BlockDecoders.h - reading one block ------------------------------------------*- C++ -*-===//
//
// A decoder widens one block. Bytes are read as they lie, so blocks need no alignment.
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_LIB_FORMATS_BLOCKDECODERS_H
#define INGOT_LIB_FORMATS_BLOCKDECODERS_H

#include "ingot/Formats/BlockFormats.h"

namespace ingot::formats {

using Byte = uint8_t;
using BlockDecoder = void (*)(const Byte *block, float *out);

inline unsigned read16(const Byte *at) { return at[0] | unsigned(at[1]) << 8; }
inline uint32_t read32(const Byte *at) { return read16(at) | uint32_t(read16(at + 2)) << 16; }
inline float readHalf(const Byte *at) { return halfToFloat(uint16_t(read16(at))); }

// Codebooks.cpp: the formats that choose vectors from tables, and those of non-linear numbers.
void decodeIQ1S(const Byte *block, float *out);
void decodeIQ1M(const Byte *block, float *out);
void decodeIQ2XXS(const Byte *block, float *out);
void decodeIQ2XS(const Byte *block, float *out);
void decodeIQ2S(const Byte *block, float *out);
void decodeIQ3XXS(const Byte *block, float *out);
void decodeIQ3S(const Byte *block, float *out);
void decodeIQ4NL(const Byte *block, float *out);
void decodeIQ4XS(const Byte *block, float *out);
void decodeMXFP4(const Byte *block, float *out);

} // namespace ingot::formats

#endif // INGOT_LIB_FORMATS_BLOCKDECODERS_H
