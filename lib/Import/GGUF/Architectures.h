//===- Architectures.h - from a GGUF file's keys and tensors to structures ----------*- C++ -*-===//
//
// GGUF names tensors by their role, the same in all architectures ("blk.0.ffn_gate.weight"). So
// most of a model's structure follows from which tensors there are: biases, gates, norms before and
// after, a head of its own. What cannot be seen (activations, which elements rotate together,
// scales that the architecture implies) is one row of the table in Architectures.cpp.
//
// Weights are stored as the converter left them, and the structures say so:
//  - queries and keys of architectures that rotate neighbours were permuted to that order, or are
//    so by nature: rotations are interleaved;
//  - weights of norms of Gemma already have their 1;
//  - fused projections are whole parts below each other, which are taken as tensors of their own;
//  - matrices are [out, in], those of GPT-2 too.
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_LIB_IMPORT_GGUF_ARCHITECTURES_H
#define INGOT_LIB_IMPORT_GGUF_ARCHITECTURES_H

#include "../Decoder.h"
#include "Metadata.h"

namespace ingot::importer {

/// Fills `spec` from the keys and from the tensors of `checkpoint`, whose fused tensors are
/// replaced by their parts. Errors are in the diagnostics.
void fillFromGGUF(Metadata &metadata, Checkpoint &checkpoint, DecoderSpec &spec);

} // namespace ingot::importer

#endif // INGOT_LIB_IMPORT_GGUF_ARCHITECTURES_H
