/*===- runtime.h - the C API of the Ingot runtime ---------------------------------------------===//
 *
 * Maps an artifact that ingot-compile wrote (an `.ingot` file) and runs it. A short tour:
 *
 *   ingot_model *model = NULL;
 *   ingot_error *error = ingot_model_load("m.ingot", NULL, &model);
 *   ingot_session *session = NULL;
 *   if (!error) error = ingot_session_create(model, &session);
 *   if (!error) error = ingot_session_feed(session, ids, count, INGOT_LOGITS_LAST, logits, vocabulary);
 *
 * Conventions
 *   - A call that can fail returns an `ingot_error *`: NULL is success, anything else must be passed
 *     to ingot_error_destroy. On failure out-parameters are left as they were.
 *   - Handles are opaque. `create`, `load` and `fork` give a handle that its `destroy` takes back;
 *     every destroy accepts NULL. Pointers inside info structs are borrowed: they live as long as
 *     the model. A pointer that may be NULL is said to be: elsewhere NULL is a bug of the caller, which
 *     not every call detects.
 *   - Options and info structs begin with their size, so that they can grow: call the inline
 *     `..._init` first. A zero in an option always means its default; NULL options mean all defaults.
 *   - Each type says which threads may use it. The library never prints, never exits and never
 *     changes the signal, locale or floating-point state of its caller.
 *   - An artifact contains native code: load only files that you would load as a shared library.
 *     The hashes detect corruption, not malice.
 *===----------------------------------------------------------------------------------------===*/
#ifndef INGOT_RUNTIME_H
#define INGOT_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_MSC_VER)
#define INGOT_API
#define INGOT_MUST_USE
#else
#define INGOT_API __attribute__((visibility("default")))
#define INGOT_MUST_USE __attribute__((warn_unused_result))
#endif

#define INGOT_VERSION_MAJOR 0
#define INGOT_VERSION_MINOR 1
#define INGOT_VERSION_PATCH 0

/* "0.1.0": the version of the library that is linked. */
INGOT_API const char *ingot_version(void);

/*===-- Errors --------------------------------------------------------------------------------===*/

typedef enum ingot_status {
  INGOT_OK = 0,
  INGOT_INVALID_ARGUMENT = 1,  /* the call cannot be right: a bug of the caller, or bad input */
  INGOT_NOT_FOUND = 2,         /* no file, entry point or tensor of that name */
  INGOT_IO = 3,                /* the operating system refused a file */
  INGOT_CORRUPT = 4,           /* not an artifact, a truncated one, or a changed byte */
  INGOT_UNSUPPORTED = 5,       /* another format version, a processor that lacks features, inspect_only */
  INGOT_OUT_OF_MEMORY = 6,     /* the allocator gave nothing */
  INGOT_BUDGET_EXCEEDED = 7,   /* the step needs more pages than the budget allows; nothing changed */
  INGOT_CONTEXT_FULL = 8,      /* more positions than the context under the policy `stop` */
  INGOT_CANCELLED = 9,         /* the cancel token was set */
  INGOT_DEADLINE_EXCEEDED = 10,/* the timeout of the call passed */
  INGOT_INTERNAL = 11          /* should not happen */
} ingot_status;

/* An immutable error. Any thread may read it; the one that destroys it must be the last. */
typedef struct ingot_error ingot_error;

/* INGOT_OK for NULL. */
INGOT_API ingot_status ingot_error_status(const ingot_error *error);
/* "FILE: what", without newline or final period; "" for NULL. Lives as long as the error. */
INGOT_API const char *ingot_error_message(const ingot_error *error);
INGOT_API void ingot_error_destroy(ingot_error *error);

/*===-- Loading a model -----------------------------------------------------------------------===*/

/* Memory for cache pages and arenas. Called from any thread that loads, steps or destroys, possibly
 * at the same time. `allocate` returns `bytes` bytes aligned to `alignment` (a power of two, at
 * least 64) or NULL; the memory need not be zero. */
typedef struct ingot_allocator {
  void *(*allocate)(void *user, size_t bytes, size_t alignment);
  void (*release)(void *user, void *memory, size_t bytes);
  void *user;
} ingot_allocator;

typedef enum ingot_log_level { INGOT_LOG_INFO = 0, INGOT_LOG_WARNING = 1 } ingot_log_level;

/* May be called from any thread that is inside a call of this library. */
typedef void (*ingot_log_fn)(void *user, ingot_log_level level, const char *message);
/* Called on the calling thread, now and then: `done` of `total` units of `stage` are finished. */
typedef void (*ingot_progress_fn)(void *user, const char *stage, uint64_t done, uint64_t total);

typedef struct ingot_model_options {
  size_t struct_size;
  bool trust;            /* skip the hashes of the weights (everything else is always checked) */
  bool perf_map;         /* name kernels in /tmp/perf-PID.map; also when INGOT_PERF_MAP=1 is set */
  bool inspect_only;     /* map no code: any processor's artifact opens, every run is unsupported */
  uint32_t threads;      /* 0: as many as affinity and cgroup allow */
  const char *target;    /* use the code of this target; NULL: the first that this processor runs */
  uint64_t page_budget;  /* most bytes of cache pages in use by all sessions; 0: no limit */
  ingot_allocator allocator; /* all NULL: memory from the operating system */
  ingot_log_fn log;
  void *log_user;
  ingot_progress_fn progress; /* stage "check": bytes hashed */
  void *progress_user;
} ingot_model_options;

static inline void ingot_model_options_init(ingot_model_options *options) {
  memset(options, 0, sizeof *options);
  options->struct_size = sizeof *options;
}

/* A mapped artifact, its code and its thread pool. Every function that takes a model may be called
 * from any thread at any time. Sessions hold the model alive: it may be destroyed before them. */
typedef struct ingot_model ingot_model;

/* Maps the artifact at `path`, checks it and chooses code for this processor (see inspect_only). Weights are read in
 * place and shared with other processes. The file must not be changed while it is mapped. */
INGOT_MUST_USE INGOT_API ingot_error *ingot_model_load(const char *path,
                                                       const ingot_model_options *options,
                                                       ingot_model **out_model);
INGOT_API void ingot_model_destroy(ingot_model *model);

/*===-- Asking a model ------------------------------------------------------------------------===*/

/* Values are those of ElementType in schema/ingot.fbs. */
typedef enum ingot_element_type {
  INGOT_NONE = 0, INGOT_F32 = 1, INGOT_F64 = 2, INGOT_F16 = 3, INGOT_BF16 = 4, INGOT_I1 = 5,
  INGOT_I8 = 6, INGOT_U8 = 7, INGOT_I16 = 8, INGOT_I32 = 9, INGOT_I64 = 10
} ingot_element_type;

/* Bytes per element (an I1 takes a byte: 0 or 1); 0 for INGOT_NONE and unknown values. */
INGOT_API size_t ingot_element_size(ingot_element_type type);
/* "f32", "i1", ...; "none" for unknown values. */
INGOT_API const char *ingot_element_name(ingot_element_type type);

#define INGOT_MAX_RANK 8

typedef struct ingot_model_info {
  size_t struct_size;
  const char *path;
  const char *producer;      /* "ingot 0.1.0" */
  uint64_t file_bytes;
  uint32_t format_version;
  uint32_t kernel_abi_version;
  size_t segment_count;
  size_t target_count;
  size_t kernel_count;
  size_t weight_count;
  size_t program_count;
  size_t metadata_count;
  size_t chosen_target;      /* the one that runs use; SIZE_MAX: none is for this processor */
  uint32_t threads;          /* size of the thread pool, the caller's thread included */
  bool weights_checked;      /* false when loaded with `trust` */
  bool has_language_model;   /* sessions, ingot_generate: decoders and encoder-decoders */
  bool has_sequence_model;   /* ingot_run_sequences: encoders and encoder-decoders */
  bool has_tokenizer;
  bool code_copied;          /* the file system forbids execution: code was copied to memory */
  bool has_chat_template;
} ingot_model_info;

typedef struct ingot_segment_info {
  size_t struct_size;
  const char *kind;          /* "code", "weights", "tokenizer", "ir" */
  uint64_t offset;           /* from the start of the file */
  uint64_t length;
  const void *data;          /* mapped, read-only */
} ingot_segment_info;

typedef struct ingot_target_info {
  size_t struct_size;
  const char *name;
  const char *arch;
  const char *const *features; /* instruction set extensions that the code needs */
  size_t feature_count;
  const char *const *missing;  /* those that this processor lacks */
  size_t missing_count;
  bool usable;
  bool chosen;
  uint64_t code_bytes;
} ingot_target_info;

typedef struct ingot_weight_info {
  size_t struct_size;
  const char *name;
  ingot_element_type type;
  const int64_t *shape;      /* logical shape */
  size_t rank;
  const char *layout;        /* "rows", or the text of the packing attribute */
  uint64_t bytes;
  const void *data;          /* in its layout, mapped, read-only */
} ingot_weight_info;

typedef struct ingot_program_info {
  size_t struct_size;
  const char *name;
  size_t input_count;
  size_t output_count;
  size_t size_count;
  size_t batch_count;
  size_t slot_count;
  size_t dispatch_count;
  bool needs_session;        /* a phase of the language model: run it through sessions */
} ingot_program_info;

typedef struct ingot_tensor_info {
  size_t struct_size;
  const char *name;
  ingot_element_type type;
  size_t rank;
  const int64_t *shape;      /* -1: decided by the caller (input) or computed per run (output) */
} ingot_tensor_info;

typedef struct ingot_dispatch_info {
  size_t struct_size;
  const char *kernel;
  const char *location;      /* where in the source model it comes from: a tensor, a field */
  int32_t batch;             /* -1: none */
  uint32_t grid_size;        /* index of the size that counts its work items */
  size_t buffer_count;
  size_t scalar_count;
  size_t cost_count;
} ingot_dispatch_info;

typedef enum ingot_buffer_kind {
  INGOT_BUFFER_SLOT = 0, INGOT_BUFFER_WEIGHT = 1, INGOT_BUFFER_INPUT = 2, INGOT_BUFFER_OUTPUT = 3
} ingot_buffer_kind;

typedef struct ingot_buffer_info {
  size_t struct_size;
  ingot_buffer_kind kind;
  uint32_t index;            /* of the slot, weight, input or output */
} ingot_buffer_info;

typedef enum ingot_cost_class {
  INGOT_COST_WEIGHTS = 0, INGOT_COST_CACHE = 1, INGOT_COST_ACTIVATIONS = 2, INGOT_COST_FLOPS = 3
} ingot_cost_class;
#define INGOT_COST_CLASSES 4

typedef struct ingot_cost_info {
  size_t struct_size;
  ingot_cost_class cost;     /* bytes of that class, or floating-point operations */
  uint32_t size;             /* the cost is coefficient * size */
  int64_t coefficient;
} ingot_cost_info;

typedef enum ingot_past_context {
  INGOT_PAST_STOP = 0, INGOT_PAST_SLIDE = 1, INGOT_PAST_RESTART = 2, INGOT_PAST_UNBOUNDED = 3
} ingot_past_context;

typedef struct ingot_language_model_info {
  size_t struct_size;
  uint32_t vocabulary;
  uint64_t context;          /* positions */
  ingot_past_context past_context;
  uint64_t keep;             /* restart: newest tokens that are prefilled anew */
  bool has_cache;            /* false: every step runs whole sequences again */
  uint64_t max_tokens;       /* most rows of one program run; longer steps are cut */
  uint64_t max_outputs;
  size_t cache_group_count;
  const uint32_t *end_ids;   /* ids that end a generation */
  size_t end_id_count;
  int32_t begin_id;          /* -1: none */
  bool has_source;           /* sessions need a source: ingot_set_sources */
  int32_t start_id;          /* encoder-decoders: what a text starts with; -1: none */
} ingot_language_model_info;

/* How the rows of a sequence become one vector. */
typedef enum ingot_pooling {
  INGOT_POOLING_DEFAULT = 0, /* what the model says */
  INGOT_POOLING_FIRST = 1,   /* the row of the first token (CLS) */
  INGOT_POOLING_LAST = 2,
  INGOT_POOLING_MEAN = 3,
  INGOT_POOLING_MAX = 4,     /* of each element */
  INGOT_POOLING_POOLED = 5   /* the model's own output "pooled" */
} ingot_pooling;

/* What a model computes of whole sequences: encoders, and those of encoder-decoders. */
typedef struct ingot_sequence_model_info {
  size_t struct_size;
  uint32_t vocabulary;
  uint64_t context;          /* most tokens of a sequence */
  uint32_t token_types;      /* types are 0 ... token_types - 1; 0: the model takes none */
  uint64_t max_tokens;       /* most rows of one program run, unless one sequence is longer */
  size_t output_count;
  ingot_pooling pooling;     /* of embeddings, by default */
  bool normalize;            /* embeddings have length 1, by default */
  uint64_t text_tokens;      /* texts are cut to so many tokens: the context, or fewer where the
                                checkpoint says so */
} ingot_sequence_model_info;

typedef struct ingot_sequence_output_info {
  size_t struct_size;
  const char *name;          /* "hidden", "pooled", "logits", "classes" or "encoder" */
  uint32_t width;            /* floats of a row */
  bool first_row_only;       /* one row per sequence, not one per token */
  size_t program;
  size_t label_count;        /* `width` where the elements have names, else 0 */
  bool independent;          /* each element has a probability of its own: several may be true */
} ingot_sequence_output_info;

typedef struct ingot_cache_group_info {
  size_t struct_size;
  uint64_t page_bytes;       /* one page holds INGOT_PAGE_POSITIONS positions of every layer */
  uint64_t window;           /* positions that a query sees; 0: all */
  uint32_t layers;
} ingot_cache_group_info;

#define INGOT_DEFINE_INIT(type)                                                                    \
  static inline void type##_init(type *info) {                                                     \
    memset(info, 0, sizeof *info);                                                                 \
    info->struct_size = sizeof *info;                                                              \
  }
INGOT_DEFINE_INIT(ingot_model_info)
INGOT_DEFINE_INIT(ingot_segment_info)
INGOT_DEFINE_INIT(ingot_target_info)
INGOT_DEFINE_INIT(ingot_weight_info)
INGOT_DEFINE_INIT(ingot_program_info)
INGOT_DEFINE_INIT(ingot_tensor_info)
INGOT_DEFINE_INIT(ingot_dispatch_info)
INGOT_DEFINE_INIT(ingot_buffer_info)
INGOT_DEFINE_INIT(ingot_cost_info)
INGOT_DEFINE_INIT(ingot_language_model_info)
INGOT_DEFINE_INIT(ingot_sequence_model_info)
INGOT_DEFINE_INIT(ingot_sequence_output_info)
INGOT_DEFINE_INIT(ingot_cache_group_info)

/* An index out of range is INGOT_NOT_FOUND; so is the language model of an artifact without one. */
INGOT_MUST_USE INGOT_API ingot_error *ingot_model_get_info(const ingot_model *model,
                                                           ingot_model_info *info);
INGOT_MUST_USE INGOT_API ingot_error *ingot_model_get_segment(const ingot_model *model, size_t index,
                                                              ingot_segment_info *info);
INGOT_MUST_USE INGOT_API ingot_error *ingot_model_get_target(const ingot_model *model, size_t index,
                                                             ingot_target_info *info);
INGOT_MUST_USE INGOT_API ingot_error *ingot_model_get_weight(const ingot_model *model, size_t index,
                                                             ingot_weight_info *info);
/* Facts about the artifact: compile options ("option.NAME") and hashes of the sources
 * ("source.FILE"). */
INGOT_MUST_USE INGOT_API ingot_error *ingot_model_get_metadata(const ingot_model *model, size_t index,
                                                               const char **out_key,
                                                               const char **out_value);
INGOT_MUST_USE INGOT_API ingot_error *ingot_model_get_language_model(const ingot_model *model,
                                                                     ingot_language_model_info *info);
INGOT_MUST_USE INGOT_API ingot_error *ingot_model_get_sequence_model(const ingot_model *model,
                                                                     ingot_sequence_model_info *info);
INGOT_MUST_USE INGOT_API ingot_error *ingot_model_get_sequence_output(const ingot_model *model,
                                                                      size_t index,
                                                                      ingot_sequence_output_info *info);
/* The name of element `index` of the rows of an output; it lives as long as the model. */
INGOT_MUST_USE INGOT_API ingot_error *ingot_model_get_label(const ingot_model *model, size_t output,
                                                            size_t index, const char **out_label);
INGOT_MUST_USE INGOT_API ingot_error *ingot_model_get_cache_group(const ingot_model *model,
                                                                  size_t index,
                                                                  ingot_cache_group_info *info);
INGOT_MUST_USE INGOT_API ingot_error *ingot_model_find_program(const ingot_model *model,
                                                               const char *name, size_t *out_index);
INGOT_MUST_USE INGOT_API ingot_error *ingot_model_get_program(const ingot_model *model, size_t index,
                                                              ingot_program_info *info);
INGOT_MUST_USE INGOT_API ingot_error *ingot_model_get_input(const ingot_model *model, size_t program,
                                                            size_t index, ingot_tensor_info *info);
INGOT_MUST_USE INGOT_API ingot_error *ingot_model_get_output(const ingot_model *model,
                                                             size_t program, size_t index,
                                                             ingot_tensor_info *info);
INGOT_MUST_USE INGOT_API ingot_error *ingot_model_get_dispatch(const ingot_model *model,
                                                               size_t program, size_t index,
                                                               ingot_dispatch_info *info);
INGOT_MUST_USE INGOT_API ingot_error *ingot_model_get_buffer(const ingot_model *model,
                                                             size_t program, size_t dispatch,
                                                             size_t index, ingot_buffer_info *info);
INGOT_MUST_USE INGOT_API ingot_error *ingot_model_get_cost(const ingot_model *model, size_t program,
                                                           size_t dispatch, size_t index,
                                                           ingot_cost_info *info);
/* The size that slot `slot` of a program has, as an index of its sizes. */
INGOT_MUST_USE INGOT_API ingot_error *ingot_model_get_slot(const ingot_model *model, size_t program,
                                                           size_t slot, uint32_t *out_size);
/* Writes size `size` of a program as a formula ("tokens * 1536") with its terminating zero into
 * `text`, cut to `capacity` bytes; *out_length is the length that it has uncut. */
INGOT_MUST_USE INGOT_API ingot_error *ingot_model_format_size(const ingot_model *model,
                                                              size_t program, size_t size,
                                                              char *text, size_t capacity,
                                                              size_t *out_length);

typedef struct ingot_memory_info {
  size_t struct_size;
  uint64_t mapped_bytes;     /* the file; shared with other processes and the page cache */
  uint64_t code_bytes;       /* code copied out of the file; 0 when it is mapped */
  uint64_t head_bytes;       /* the head, copied */
  uint64_t arena_bytes;      /* arenas and scratch of all execution contexts */
  uint64_t output_bytes;     /* logits held by contexts and sessions */
  uint64_t page_bytes_used;  /* cache pages that sessions hold (shared ones once) */
  uint64_t page_bytes_free;  /* pages kept for reuse */
  uint64_t page_budget;      /* 0: no limit */
  uint64_t sessions;         /* alive */
} ingot_memory_info;
INGOT_DEFINE_INIT(ingot_memory_info)

INGOT_MUST_USE INGOT_API ingot_error *ingot_model_get_memory(const ingot_model *model,
                                                             ingot_memory_info *info);
/* Gives back pages and arenas that nothing uses at the moment. */
INGOT_API void ingot_model_trim(ingot_model *model);

/*===-- Cancelling, profiling -----------------------------------------------------------------===*/

/* A flag that stops calls between two dispatches. Any thread may use it at any time. */
typedef struct ingot_cancel ingot_cancel;
INGOT_MUST_USE INGOT_API ingot_error *ingot_cancel_create(ingot_cancel **out_cancel);
INGOT_API void ingot_cancel_request(ingot_cancel *cancel); /* safe in a signal handler */
INGOT_API void ingot_cancel_reset(ingot_cancel *cancel);
INGOT_API void ingot_cancel_destroy(ingot_cancel *cancel);

/* Time and cost per dispatch, summed over the runs that it was passed to. One thread at a time. */
typedef struct ingot_profile ingot_profile;

typedef struct ingot_profile_entry {
  size_t struct_size;
  uint64_t runs;
  uint64_t nanoseconds;
  uint64_t cost[INGOT_COST_CLASSES];
} ingot_profile_entry;
INGOT_DEFINE_INIT(ingot_profile_entry)

INGOT_MUST_USE INGOT_API ingot_error *ingot_profile_create(const ingot_model *model,
                                                           ingot_profile **out_profile);
/* Of one dispatch; or of a whole program, its preparation included, with dispatch SIZE_MAX. */
INGOT_MUST_USE INGOT_API ingot_error *ingot_profile_get(const ingot_profile *profile, size_t program,
                                                        size_t dispatch, ingot_profile_entry *entry);
INGOT_API void ingot_profile_reset(ingot_profile *profile);
INGOT_API void ingot_profile_destroy(ingot_profile *profile);

/*===-- Running an entry point on tensors -----------------------------------------------------===*/

/* A dense tensor in C order. */
typedef struct ingot_tensor {
  const char *name;
  ingot_element_type type;
  size_t rank;
  int64_t shape[INGOT_MAX_RANK];
  void *data;
  size_t bytes;
} ingot_tensor;

/* Options of everything that executes. */
typedef struct ingot_run_options {
  size_t struct_size;
  uint32_t threads;          /* use at most so many threads of the pool; 0: all. Never changes bits */
  ingot_cancel *cancel;
  uint64_t timeout_ns;       /* 0: none; measured from the call, checked between dispatches */
  ingot_profile *profile;
  uint64_t prefill_chunk;    /* most rows of one sequence per program run; 0: as many as fit */
  ingot_progress_fn progress; /* stage "prefill": rows done, when a step is cut into several runs */
  void *progress_user;
} ingot_run_options;
INGOT_DEFINE_INIT(ingot_run_options)

/* Runs program `program` of the model on named tensors. Every input of the program must be there
 * exactly once, with its type and a shape that fits. `outputs` names the outputs that are wanted:
 * with data == NULL the library allocates them and fills in type, rank, shape, data and bytes (free
 * them with ingot_tensor_release); otherwise `bytes` says how much room `data` has and the rest is
 * filled in. Inputs and outputs that are not aligned to 64 bytes are copied. */
INGOT_MUST_USE INGOT_API ingot_error *ingot_run(ingot_model *model, size_t program,
                                                const ingot_tensor *inputs, size_t input_count,
                                                ingot_tensor *outputs, size_t output_count,
                                                const ingot_run_options *options);
/* Frees data that ingot_run allocated and sets it to NULL. */
INGOT_API void ingot_tensor_release(ingot_tensor *tensor);

/*===-- Whole sequences -----------------------------------------------------------------------===*/

typedef struct ingot_sequence {
  const int32_t *ids;
  const int32_t *token_types; /* NULL: all 0 */
  size_t count;               /* at least 1 */
} ingot_sequence;

/* One row of an output; `sequence` counts in the call, `token` in that sequence (0 where the output
 * has its first row only). The row is valid during the call. */
typedef void (*ingot_row_fn)(void *user, size_t sequence, size_t token, const float *row);

/* Computes output `output` (an index) of several sequences of any lengths, in one batch without a
 * padded row. Rows come on the calling thread, sequence after sequence, token after token. How many
 * sequences share a run, and threads, never change a bit. */
INGOT_MUST_USE INGOT_API ingot_error *ingot_run_sequences(ingot_model *model, size_t output,
                                                          const ingot_sequence *sequences,
                                                          size_t count, ingot_row_fn on_row,
                                                          void *user,
                                                          const ingot_run_options *options);

typedef struct ingot_embed_options {
  size_t struct_size;
  ingot_pooling pooling;     /* 0: the model's own */
  bool normalize;            /* bring the vectors to length 1; the model may do so by itself */
  bool raw;                  /* do not normalise, whatever the model says */
  ingot_run_options run;     /* its struct_size may be 0 */
} ingot_embed_options;
INGOT_DEFINE_INIT(ingot_embed_options)

/* Floats of a vector with this pooling. */
INGOT_MUST_USE INGOT_API ingot_error *ingot_embed_width(const ingot_model *model,
                                                        const ingot_embed_options *options,
                                                        size_t *out_width);
/* One vector per sequence, one after the other; `capacity` is the room in floats. */
INGOT_MUST_USE INGOT_API ingot_error *ingot_embed(ingot_model *model, const ingot_sequence *sequences,
                                                  size_t count, const ingot_embed_options *options,
                                                  float *vectors, size_t capacity);

/*===-- Language-model sessions ---------------------------------------------------------------===*/

/* One sequence of tokens and its cache. A session may be used by one thread at a time (a call that
 * meets another one in the same session fails); different sessions of one model may be used by
 * different threads at the same time. */
typedef struct ingot_session ingot_session;

INGOT_MUST_USE INGOT_API ingot_error *ingot_session_create(ingot_model *model,
                                                           ingot_session **out_session);
INGOT_API void ingot_session_destroy(ingot_session *session);

/* A copy with the same tokens. Pages are shared; the last one is copied by whoever writes next. */
INGOT_MUST_USE INGOT_API ingot_error *ingot_session_fork(ingot_session *session,
                                                         ingot_session **out_session);
/* Forgets all tokens but the first `length`, as if they had never been fed. Positions that a
 * sliding window or a restart has given back cannot be returned to: INGOT_INVALID_ARGUMENT. The
 * tokens of the latest step can always be taken back. */
INGOT_MUST_USE INGOT_API ingot_error *ingot_session_truncate(ingot_session *session,
                                                             uint64_t length);
/* Encoder-decoders: gives each session its source, whose keys and values are computed once and read
 * by every step from then on (forks share them). A session must have a source before it is fed, and
 * no tokens when it gets one. `options` may be NULL. */
INGOT_MUST_USE INGOT_API ingot_error *ingot_set_sources(ingot_model *model,
                                                        ingot_session *const *sessions,
                                                        const ingot_sequence *sources,
                                                        size_t count,
                                                        const ingot_run_options *options);
/* Tokens fed so far, those that have left the context included. */
INGOT_API uint64_t ingot_session_length(const ingot_session *session);
/* Position of the next token: less than the length after a restart. */
INGOT_API uint64_t ingot_session_position(const ingot_session *session);

typedef enum ingot_logits_mode {
  INGOT_LOGITS_NONE = 0, /* the tokens are only remembered */
  INGOT_LOGITS_LAST = 1, /* after the last token */
  INGOT_LOGITS_ALL = 2   /* after every token */
} ingot_logits_mode;

/* What one session is fed in a step. */
typedef struct ingot_step_sequence {
  ingot_session *session;
  const int32_t *ids;
  size_t count;              /* at least 1 */
  ingot_logits_mode mode;
  /* Where its rows of `vocabulary` floats go, in the order of the tokens: `logits` has room for
   * `logits_capacity` floats, all of them are needed. May be NULL, then see on_logits. */
  float *logits;
  size_t logits_capacity;
} ingot_step_sequence;

/* One row of logits; `sequence` counts in the step, `token` in the ids of that sequence. The row is
 * valid during the call. Called on the thread of the step, in ascending order within a sequence. */
typedef void (*ingot_logits_fn)(void *user, size_t sequence, size_t token, const float *logits);

/* Feeds several sessions of one model in one step, of any lengths. Steps larger than the artifact's
 * limits are cut into several program runs; cutting, threads and company never change a bit.
 * Everything is checked first (ids, context, page budget): such an error changes nothing. After
 * INGOT_CANCELLED or INGOT_DEADLINE_EXCEEDED each session holds the tokens whose runs were complete;
 * ingot_session_length says how many. */
INGOT_MUST_USE INGOT_API ingot_error *ingot_step(ingot_model *model,
                                                 const ingot_step_sequence *sequences, size_t count,
                                                 ingot_logits_fn on_logits, void *user,
                                                 const ingot_run_options *options);
/* ingot_step of one session with default options. */
INGOT_MUST_USE INGOT_API ingot_error *ingot_session_feed(ingot_session *session, const int32_t *ids,
                                                         size_t count, ingot_logits_mode mode,
                                                         float *logits, size_t logits_capacity);

/*===-- Sampling and generation ---------------------------------------------------------------===*/

/* Applied in this order: repetition penalty (logits of ids in the history are divided by it when
 * positive, multiplied when negative), temperature, top-k, top-p, min-p, draw. Equal logits are
 * ordered by id. The draw depends on nothing but seed, position and the logits. */
typedef struct ingot_sampling_options {
  size_t struct_size;
  float temperature;         /* 0: greedy, ties to the lowest id */
  uint32_t top_k;            /* 0: off */
  float top_p;               /* 0 or 1: off */
  float min_p;               /* 0: off; relative to the most probable */
  float repetition_penalty;  /* 0 or 1: off */
  uint64_t seed;
} ingot_sampling_options;
INGOT_DEFINE_INIT(ingot_sampling_options)

/* How the model's makers sample from it, where the checkpoint says so; greedy otherwise. */
INGOT_MUST_USE INGOT_API ingot_error *ingot_model_get_sampling(const ingot_model *model,
                                                               ingot_sampling_options *options);

/* Chooses an id. `history` are the ids that the penalty applies to (may be NULL), `position` is the
 * number of tokens before the drawn one. Any thread. */
INGOT_MUST_USE INGOT_API ingot_error *ingot_sample(const float *logits, size_t vocabulary,
                                                   const int32_t *history, size_t history_count,
                                                   uint64_t position,
                                                   const ingot_sampling_options *options,
                                                   int32_t *out_id);

typedef enum ingot_finish_reason {
  INGOT_FINISH_NONE = 0,
  INGOT_FINISH_LENGTH = 1,   /* max_new_tokens were made */
  INGOT_FINISH_END = 2,      /* an end id was made (and handed out) */
  INGOT_FINISH_CALLER = 3,   /* on_token said so */
  INGOT_FINISH_CONTEXT = 4   /* the context is full under `stop` */
} ingot_finish_reason;

typedef struct ingot_generate_sequence {
  ingot_session *session;
  const int32_t *prompt;     /* fed first */
  size_t count;              /* at least 1 */
  ingot_finish_reason finish; /* out */
  size_t generated;           /* out: ids handed to on_token */
} ingot_generate_sequence;

typedef struct ingot_generate_options {
  size_t struct_size;
  uint64_t max_new_tokens;   /* 0: prompts are fed, nothing is sampled */
  bool ignore_end;           /* go on past end ids */
  ingot_sampling_options sampling; /* its struct_size may be 0 */
  ingot_run_options run;           /* its struct_size may be 0; the timeout covers the whole call */
  /* Each sampled id, before it is fed. Return false to finish that sequence. */
  bool (*on_token)(void *user, size_t sequence, int32_t id);
  /* Every row of logits of every token that is fed, as in ingot_step; asks for all of them. `token`
   * counts in prompt and continuation. */
  ingot_logits_fn on_logits;
  /* May change the logits that an id is about to be sampled from. */
  void (*before_sampling)(void *user, size_t sequence, float *logits, size_t vocabulary);
  void *user;
  /* Beam search with so many beams; 0 or 1: none. Then on_token is called when everything has been
   * generated, with the ids of the best text of each sequence; there are no logits, nothing is
   * sampled, and the sessions are left as they were. */
  uint32_t beams;
  bool length_penalty_set;   /* take the next field, else the model's own */
  float length_penalty;      /* sums of log-probabilities are divided by length to this power */
  bool early_stopping;       /* stop at the first `beams` texts; the model may do so by itself */
} ingot_generate_options;
INGOT_DEFINE_INIT(ingot_generate_options)

/* Feeds all prompts in one batch, then samples and feeds back until every sequence has finished.
 * The last sampled id is handed out but not fed. More positions than the context under `stop`
 * (prompt + max_new_tokens - 1) are refused before anything runs, unless max_new_tokens is
 * UINT64_MAX: then a sequence finishes when the context is full. */
INGOT_MUST_USE INGOT_API ingot_error *ingot_generate(ingot_model *model,
                                                     ingot_generate_sequence *sequences,
                                                     size_t count,
                                                     const ingot_generate_options *options);

/*===-- Text ----------------------------------------------------------------------------------===*/

/* Encodes UTF-8 text. With `special` the ids that the tokenizer puts around a text (begin, end) are
 * added and special tokens spelled in the text are recognised. Free with ingot_ids_destroy. */
INGOT_MUST_USE INGOT_API ingot_error *ingot_model_encode(const ingot_model *model, const char *text,
                                                         size_t bytes, bool special,
                                                         int32_t **out_ids, size_t *out_count);
INGOT_API void ingot_ids_destroy(int32_t *ids);

typedef struct ingot_encode_options {
  size_t struct_size;
  const char *second;        /* the second text of a pair; NULL: there is none */
  size_t second_bytes;
  uint64_t max_tokens;       /* 0: text_tokens of ingot_sequence_model_info */
} ingot_encode_options;
INGOT_DEFINE_INIT(ingot_encode_options)

/* Encodes a text or a pair of texts as an encoder reads it: with what the tokenizer puts around and
 * between, the token type of each id (NULL where the model takes none), and not longer than
 * `max_tokens`, but for what the tokenizer puts around. What is too long loses its end (where the tokenizer says so its beginning), of a pair the longer text first; `out_dropped`
 * (may be NULL) is the number of tokens that were cut. Free both arrays with ingot_ids_destroy. */
INGOT_MUST_USE INGOT_API ingot_error *
ingot_model_encode_sequence(const ingot_model *model, const char *text, size_t bytes,
                            const ingot_encode_options *options, int32_t **out_ids,
                            int32_t **out_types, size_t *out_count, size_t *out_dropped);

/* Turns ids into text as they come; never splits a UTF-8 character. One thread at a time. */
typedef struct ingot_text_stream ingot_text_stream;
INGOT_MUST_USE INGOT_API ingot_error *ingot_text_stream_create(ingot_model *model,
                                                               bool show_special,
                                                               ingot_text_stream **out_stream);
/* The text that became certain with `id` (may be empty), valid until the next call. */
INGOT_MUST_USE INGOT_API ingot_error *ingot_text_stream_push(ingot_text_stream *stream, int32_t id,
                                                             const char **out_text,
                                                             size_t *out_bytes);
/* The rest: bytes that never became a character, as U+FFFD. The stream starts anew. */
INGOT_MUST_USE INGOT_API ingot_error *ingot_text_stream_finish(ingot_text_stream *stream,
                                                               const char **out_text,
                                                               size_t *out_bytes);
INGOT_API void ingot_text_stream_destroy(ingot_text_stream *stream);

/* The tokenizer's id for a role: "bos", "eos", "unk", "pad", "sep", "cls" or "mask"; -1 if it has
 * none. Any thread. */
INGOT_MUST_USE INGOT_API ingot_error *ingot_model_get_special_id(const ingot_model *model,
                                                                 const char *role, int32_t *out_id);

/*===-- Chat ----------------------------------------------------------------------------------===*/

/* One message of a conversation. */
typedef struct ingot_chat_message {
  const char *role;          /* "system", "user", "assistant", "tool", ... */
  const char *content;       /* UTF-8; NULL: none */
  const char *fields;        /* more fields, a JSON object: "{\"tool_calls\": [...]}"; may be NULL */
} ingot_chat_message;

typedef struct ingot_chat_options {
  size_t struct_size;
  const char *chat_template; /* Jinja; NULL: the one in the artifact */
  const char *variables;     /* more variables of the template, a JSON object; may be NULL */
  bool no_generation_prompt; /* do not end with the beginning of the assistant's answer */
} ingot_chat_options;
INGOT_DEFINE_INIT(ingot_chat_options)

/* Writes a conversation as the model expects it: the text that the chat template of the artifact
 * makes of the messages. Encode it with special == false: a template spells special tokens itself.
 * The template is evaluated within bounds of time and memory and reaches nothing but its variables;
 * what is wrong with it, or what it finds wrong with the conversation, is INGOT_INVALID_ARGUMENT
 * ("FILE: chat template: line 3: ..."). An artifact without a template is INGOT_NOT_FOUND. The text
 * ends with a zero byte that *out_bytes does not count; free it with ingot_text_destroy. */
INGOT_MUST_USE INGOT_API ingot_error *ingot_model_format_chat(const ingot_model *model,
                                                              const ingot_chat_message *messages,
                                                              size_t count,
                                                              const ingot_chat_options *options,
                                                              char **out_text, size_t *out_bytes);
INGOT_API void ingot_text_destroy(char *text);

#ifdef __cplusplus
}
#endif

#endif /* INGOT_RUNTIME_H */
