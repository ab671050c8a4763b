/*===- ToyKernels.c - kernels of the artifacts that the runtime's tests make --------------------===
 *
 * Written by hand against kernel_abi.h, compiled by the build of the tests into the kind of code
 * segment that the compiler emits: one shared object without imports and relocations. A toy language
 * model of width 8 with one attention site whose weights are (q . k)^2 + 1/16: no exponentials, one
 * fixed order.
 *===--------------------------------------------------------------------------------------------===*/
#include "ingot/kernel_abi.h"

#define WIDTH 8
#define PAGE_FLOATS (INGOT_PAGE_POSITIONS * 2 * WIDTH) /* of one layer: keys, then values */

/* c = a + b over n elements, 16 per work item. */
void toy_add(const ingot_kernel_args *args, int64_t begin, int64_t end) {
  const float *a = args->buffers[0], *b = args->buffers[1];
  float *c = args->buffers[2];
  int64_t n = args->scalars[0];
  for (int64_t i = begin * 16; i < end * 16 && i < n; ++i)
    c[i] = a[i] + b[i];
}

/* x[row] = table[id[row]] plus something that depends on the position. */
void toy_embed(const ingot_kernel_args *args, int64_t begin, int64_t end) {
  const int32_t *ids = args->buffers[0];
  const float *table = args->buffers[1];
  float *x = args->buffers[2];
  for (int64_t row = begin; row < end; ++row)
    for (int64_t i = 0; i < WIDTH; ++i)
      x[row * WIDTH + i] = table[ids[row] * WIDTH + i] +
                           0.0625f * (float)((args->batch->row_position[row] * 7 + i * 3) % 11);
}

static float *page_of(const ingot_kernel_sequence *sequence, int64_t position) {
  return (float *)sequence->pages[position / INGOT_PAGE_POSITIONS];
}

/* Rows of k and v into the cache. */
void toy_append(const ingot_kernel_args *args, int64_t begin, int64_t end) {
  const float *k = args->buffers[0], *v = args->buffers[1];
  for (int64_t row = begin; row < end; ++row) {
    const ingot_kernel_sequence *sequence =
        &args->batch->sequences[args->batch->row_sequence[row]];
    int64_t position = sequence->position + row - sequence->row_begin;
    float *page = page_of(sequence, position);
    int64_t slot = position % INGOT_PAGE_POSITIONS;
    for (int64_t i = 0; i < WIDTH; ++i) {
      page[slot * WIDTH + i] = k[row * WIDTH + i];
      page[(INGOT_PAGE_POSITIONS + slot) * WIDTH + i] = 0.5f * v[row * WIDTH + i] + 0.25f;
    }
  }
}

/* scalars: window (0: all), causal (0 or 1), extra (0, or 1: a result that depends on how many rows
 * are in flight, which ingot-run verify must notice). */
void toy_attend(const ingot_kernel_args *args, int64_t begin, int64_t end) {
  const float *q = args->buffers[0];
  float *o = args->buffers[1];
  int64_t window = args->scalars[0], causal = args->scalars[1], extra = args->scalars[2];
  float *sum = args->scratch;
  for (int64_t item = begin; item < end; ++item) {
    const ingot_kernel_item *block = &args->batch->items[item];
    const ingot_kernel_sequence *sequence = &args->batch->sequences[block->sequence];
    for (int64_t row = block->row_begin; row < block->row_begin + block->row_count; ++row) {
      int64_t position = sequence->position + row - sequence->row_begin;
      int64_t last = causal ? position + 1 : sequence->key_end;
      int64_t first = window && position - window + 1 > 0 ? position - window + 1 : 0;
      if (first < sequence->key_begin)
        __builtin_trap(); /* a key that the kernel needs is gone */
      float total = 0;
      for (int64_t i = 0; i < WIDTH; ++i)
        sum[i] = 0;
      for (int64_t key = first; key < last; ++key) {
        const float *page = page_of(sequence, key);
        int64_t slot = key % INGOT_PAGE_POSITIONS;
        float dot = 0;
        for (int64_t i = 0; i < WIDTH; ++i)
          dot += q[row * WIDTH + i] * page[slot * WIDTH + i];
        float weight = dot * dot + 0.0625f;
        total += weight;
        for (int64_t i = 0; i < WIDTH; ++i)
          sum[i] += weight * page[(INGOT_PAGE_POSITIONS + slot) * WIDTH + i];
      }
      for (int64_t i = 0; i < WIDTH; ++i)
        o[row * WIDTH + i] = total > 0 ? sum[i] / total : 0;
      if (extra)
        o[row * WIDTH] += 1e-4f * (float)args->batch->token_count;
    }
  }
}

/* logits[output] = (o + x / 4)[row] times the table's rows. */
void toy_head(const ingot_kernel_args *args, int64_t begin, int64_t end) {
  const float *o = args->buffers[0], *x = args->buffers[1], *table = args->buffers[2];
  float *logits = args->buffers[3];
  int64_t vocabulary = args->scalars[0];
  for (int64_t output = begin; output < end; ++output) {
    int64_t row = args->batch->output_rows[output];
    for (int64_t id = 0; id < vocabulary; ++id) {
      float sum = 0;
      for (int64_t i = 0; i < WIDTH; ++i)
        sum += (o[row * WIDTH + i] + 0.25f * x[row * WIDTH + i]) * table[id * WIDTH + i];
      logits[output * vocabulary + id] = sum;
    }
  }
}

/* Takes long: scalars[0] rounds per work item. */
void toy_spin(const ingot_kernel_args *args, int64_t begin, int64_t end) {
  volatile int64_t sink = 0;
  for (int64_t i = begin; i < end; ++i)
    for (int64_t n = 0; n < args->scalars[0]; ++n)
      sink += n;
}

/* out[item] = twice a denormal: 0 when denormals are flushed. */
void toy_denormal(const ingot_kernel_args *args, int64_t begin, int64_t end) {
  const float *in = args->buffers[0];
  float *out = args->buffers[1];
  for (int64_t i = begin; i < end; ++i)
    out[i] = in[i] + in[i];
}
