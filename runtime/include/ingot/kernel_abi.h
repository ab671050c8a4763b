/*===- kernel_abi.h - the contract between generated kernels and the runtime ------------------===//
 *
 * Generated code is called through this header and through nothing else: a kernel imports no symbol,
 * allocates nothing and keeps no state. The compiler mirrors these structs when it emits code
 * (lib/CodeGen/CPU/KernelABI.h), the runtime fills them. A change here is a new
 * INGOT_KERNEL_ABI_VERSION, and an artifact that was compiled against another version is refused.
 *
 * Work is divided as the plan says: a dispatch has a grid of independent work items, the runtime
 * gives each thread ranges [begin, end) of them, one in each call. No work item writes what another
 * one reads or writes, but for the counters and records of a block of queries whose keys are divided
 * (see ingot_kernel_item), which are folded in one order: so any division gives the same bits.
 *===----------------------------------------------------------------------------------------===*/
#ifndef INGOT_KERNEL_ABI_H
#define INGOT_KERNEL_ABI_H

#include <stddef.h>
#include <stdint.h>

#define INGOT_KERNEL_ABI_VERSION 3

/* Positions per page of the key/value cache; also the key block of the attention kernels. */
#define INGOT_PAGE_POSITIONS 64
/* Bytes behind a page that kernels may read, whatever is there. */
#define INGOT_PAGE_SLACK 64
/* Positions per segment: attention starts each from a fresh state and folds them in order. */
#define INGOT_SEGMENT_POSITIONS 1024

/* One sequence of a ragged batch. Rows of all sequences are packed: no row is padding. */
typedef struct ingot_kernel_sequence {
  int64_t row_begin; /* first row of this sequence in packed activations */
  int64_t row_count; /* rows of this sequence in this step; may be 0 */
  int64_t position;  /* absolute position of its first row */
  int64_t key_begin; /* first position whose page is still held; a multiple of the page size */
  int64_t key_end;   /* positions held once the keys of this step are appended (exclusive) */
  /* pages[p] is the address of the page with positions [64 p, 64 p + 64); valid for
   * key_begin / 64 <= p < ceil(key_end / 64). Inside a page every layer has an offset of its own. */
  void *const *pages;
} ingot_kernel_sequence;

/* A block of queries of one sequence: the unit in which attention is divided. The keys of a block may
 * be divided too, one item per segment. Such items leave what they computed in records, and the
 * last one of them folds the records in the order of the segments: it makes no difference which
 * one that is. */
typedef struct ingot_kernel_item {
  int32_t sequence;  /* index into ingot_kernel_batch.sequences */
  int32_t row_count; /* 1 .. query block of the plan */
  int64_t row_begin; /* first packed row */
  int32_t segment;   /* the only segment that the item sees, or -1: all of them */
  int32_t part;      /* the number of this segment among those of the block */
  int32_t part_count;
  int32_t zero;
  /* Of all parts of a block; null where it has one item. Counters are zero before and after every dispatch:
   * as many as query rows (rows times query heads). Records: query rows times parts. */
  int32_t *counters;
  void *records;
} ingot_kernel_item;

typedef struct ingot_kernel_batch {
  const ingot_kernel_sequence *sequences;
  const ingot_kernel_item *items;
  const int32_t *row_sequence; /* [tokens] sequence of each packed row */
  const int32_t *row_position; /* [tokens] absolute position of each packed row */
  const int32_t *row_prompt;   /* [tokens] tokens that its sequence was fed when it was empty */
  const int32_t *output_rows;  /* [output_count] packed rows whose outputs are wanted, ascending */
  int64_t sequence_count;
  int64_t item_count;
  int64_t token_count;
  int64_t output_count;
} ingot_kernel_batch;

typedef struct ingot_kernel_args {
  /* One address per buffer binding of the dispatch, in plan order. */
  void *const *buffers;
  /* One value per scalar binding, in plan order: an integer, or the bits of an f32 or f64 in the
   * low bytes. */
  const int64_t *scalars;
  /* The batch binding of the dispatch, null where it has none. */
  const ingot_kernel_batch *batch;
  /* This thread's scratch memory: as many bytes as the plan says for the kernel, aligned to 64. */
  void *scratch;
} ingot_kernel_args;

/* A kernel. The caller has set round-to-nearest and flush-to-zero (FTZ and DAZ). */
typedef void (*ingot_kernel_fn)(const ingot_kernel_args *args, int64_t begin, int64_t end);

#ifdef __cplusplus
#define INGOT_ABI_ASSERT static_assert
#else
#define INGOT_ABI_ASSERT _Static_assert
#endif
INGOT_ABI_ASSERT(sizeof(void *) == 8, "kernels are 64-bit code");
INGOT_ABI_ASSERT(sizeof(ingot_kernel_sequence) == 48, "layout is part of the ABI");
INGOT_ABI_ASSERT(offsetof(ingot_kernel_sequence, pages) == 40, "layout is part of the ABI");
INGOT_ABI_ASSERT(sizeof(ingot_kernel_item) == 48, "layout is part of the ABI");
INGOT_ABI_ASSERT(offsetof(ingot_kernel_item, records) == 40, "layout is part of the ABI");
INGOT_ABI_ASSERT(offsetof(ingot_kernel_item, row_begin) == 8, "layout is part of the ABI");
INGOT_ABI_ASSERT(sizeof(ingot_kernel_batch) == 80, "layout is part of the ABI");
INGOT_ABI_ASSERT(offsetof(ingot_kernel_batch, sequence_count) == 48, "layout is part of the ABI");
INGOT_ABI_ASSERT(sizeof(ingot_kernel_args) == 32, "layout is part of the ABI");
#undef INGOT_ABI_ASSERT

#endif /* INGOT_KERNEL_ABI_H */
