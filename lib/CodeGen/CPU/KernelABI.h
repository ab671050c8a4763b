//===- KernelABI.h - kernel_abi.h as offsets --------------------------------------*- C++ -*-===//
//
// Where generated code finds the fields of the structs that the runtime passes to it.
//
//===----------------------------------------------------------------------------------------===//
#ifndef INGOT_LIB_CODEGEN_CPU_KERNELABI_H
#define INGOT_LIB_CODEGEN_CPU_KERNELABI_H

#include "../../../runtime/include/ingot/kernel_abi.h"
#include "ingot/Dialect/Plan/Utils/KernelInterface.h"

namespace ingot::codegen::abi {

inline constexpr int64_t kArgsBuffers = offsetof(ingot_kernel_args, buffers);
inline constexpr int64_t kArgsScalars = offsetof(ingot_kernel_args, scalars);
inline constexpr int64_t kArgsBatch = offsetof(ingot_kernel_args, batch);
inline constexpr int64_t kArgsScratch = offsetof(ingot_kernel_args, scratch);

inline constexpr int64_t kBatchSequences = offsetof(ingot_kernel_batch, sequences);
inline constexpr int64_t kBatchItems = offsetof(ingot_kernel_batch, items);
inline constexpr int64_t kBatchRowSequence = offsetof(ingot_kernel_batch, row_sequence);
inline constexpr int64_t kBatchRowPosition = offsetof(ingot_kernel_batch, row_position);
inline constexpr int64_t kBatchRowPrompt = offsetof(ingot_kernel_batch, row_prompt);
inline constexpr int64_t kBatchOutputRows = offsetof(ingot_kernel_batch, output_rows);
inline constexpr int64_t kBatchSequenceCount = offsetof(ingot_kernel_batch, sequence_count);
inline constexpr int64_t kBatchItemCount = offsetof(ingot_kernel_batch, item_count);
inline constexpr int64_t kBatchTokenCount = offsetof(ingot_kernel_batch, token_count);
inline constexpr int64_t kBatchOutputCount = offsetof(ingot_kernel_batch, output_count);

inline constexpr int64_t kSequenceBytes = sizeof(ingot_kernel_sequence);
inline constexpr int64_t kSequenceRowBegin = offsetof(ingot_kernel_sequence, row_begin);
inline constexpr int64_t kSequencePosition = offsetof(ingot_kernel_sequence, position);
inline constexpr int64_t kSequenceKeyBegin = offsetof(ingot_kernel_sequence, key_begin);
inline constexpr int64_t kSequenceKeyEnd = offsetof(ingot_kernel_sequence, key_end);
inline constexpr int64_t kSequencePages = offsetof(ingot_kernel_sequence, pages);

inline constexpr int64_t kItemBytes = sizeof(ingot_kernel_item);
inline constexpr int64_t kItemSequence = offsetof(ingot_kernel_item, sequence);
inline constexpr int64_t kItemRowCount = offsetof(ingot_kernel_item, row_count);
inline constexpr int64_t kItemRowBegin = offsetof(ingot_kernel_item, row_begin);
inline constexpr int64_t kItemSegment = offsetof(ingot_kernel_item, segment);
inline constexpr int64_t kItemPart = offsetof(ingot_kernel_item, part);
inline constexpr int64_t kItemPartCount = offsetof(ingot_kernel_item, part_count);
inline constexpr int64_t kItemCounters = offsetof(ingot_kernel_item, counters);
inline constexpr int64_t kItemRecords = offsetof(ingot_kernel_item, records);

static_assert(INGOT_PAGE_POSITIONS == plan::kPagePositions, "one page size");
static_assert(INGOT_SEGMENT_POSITIONS == plan::kSegmentPositions, "one segment size");
static_assert(INGOT_KERNEL_ABI_VERSION == 3, "look at the emitters before changing this");

} // namespace ingot::codegen::abi

#endif // INGOT_LIB_CODEGEN_CPU_KERNELABI_H
