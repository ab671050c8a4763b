/*===- c-api-test.c - the C API used from C ---------------------------------------------------===//
 *
 * Compiled as strict C11 and linked with the shared library that is installed: shows that the header
 * is C, that the library exports what the header declares, and that each group of calls works
 * without C++ around it. What the calls compute is tested in RuntimeTest.cpp and GenerateTest.cpp.
 *
 *   c-api-test MODEL.ingot TEXT           a language model with a tokenizer that knows TEXT
 *===----------------------------------------------------------------------------------------===*/
#include <ingot/runtime.h>
#include <stdio.h>
#include <stdlib.h>

#define EXPECT(condition)                                                                          \
  do {                                                                                             \
    if (!(condition)) {                                                                            \
      fprintf(stderr, "%s:%d: expected %s\n", __FILE__, __LINE__, #condition);                     \
      exit(1);                                                                                     \
    }                                                                                              \
  } while (0)

static void succeed(ingot_error *error) {
  if (error) {
    fprintf(stderr, "error: %s\n", ingot_error_message(error));
    exit(1);
  }
}

static void expect_status(ingot_error *error, ingot_status status) {
  EXPECT(ingot_error_status(error) == status);
  EXPECT(ingot_error_message(error)[0] != 0);
  ingot_error_destroy(error);
}

/*===-- Callbacks -----------------------------------------------------------------------------===*/

static struct counts {
  size_t allocated, released, progress, logged, tokens, rows, sampled;
} counts;

static void *allocate(void *user, size_t bytes, size_t alignment) {
  ((struct counts *)user)->allocated += bytes;
  return aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
}
static void release(void *user, void *memory, size_t bytes) {
  ((struct counts *)user)->released += bytes;
  free(memory);
}
static void on_progress(void *user, const char *stage, uint64_t done, uint64_t total) {
  EXPECT(stage && done <= total);
  ((struct counts *)user)->progress++;
}
static void on_log(void *user, ingot_log_level level, const char *message) {
  EXPECT((level == INGOT_LOG_INFO || level == INGOT_LOG_WARNING) && message[0] != 0);
  ((struct counts *)user)->logged++;
}
static bool on_token(void *user, size_t sequence, int32_t id) {
  EXPECT(sequence == 0 && id >= 0);
  return ++((struct counts *)user)->tokens < 5;
}
static void on_logits(void *user, size_t sequence, size_t token, const float *logits) {
  EXPECT(sequence == 0 && logits && token == ((struct counts *)user)->rows);
  ((struct counts *)user)->rows++;
}
static void before_sampling(void *user, size_t sequence, float *logits, size_t vocabulary) {
  (void)sequence;
  for (size_t i = 0; i < vocabulary; ++i)
    logits[i] = i == 3 ? 1.0f : 0.0f;
  ((struct counts *)user)->sampled++;
}

/*===-- Groups of calls -----------------------------------------------------------------------===*/

static void test_queries(ingot_model *model) {
  ingot_model_info info;
  ingot_model_info_init(&info);
  succeed(ingot_model_get_info(model, &info));
  EXPECT(info.has_language_model && info.has_tokenizer && info.threads >= 1);
  for (size_t p = 0; p < info.program_count; ++p) {
    ingot_program_info program;
    ingot_program_info_init(&program);
    succeed(ingot_model_get_program(model, p, &program));
    EXPECT(program.name && program.dispatch_count > 0);
    ingot_dispatch_info dispatch;
    ingot_dispatch_info_init(&dispatch);
    succeed(ingot_model_get_dispatch(model, p, 0, &dispatch));
    EXPECT(dispatch.kernel && dispatch.location);
  }
  ingot_memory_info memory;
  ingot_memory_info_init(&memory);
  succeed(ingot_model_get_memory(model, &memory));
  EXPECT(memory.mapped_bytes == info.file_bytes);
  size_t index;
  expect_status(ingot_model_find_program(model, "no such program", &index), INGOT_NOT_FOUND);
}

static void test_sessions(ingot_model *model, const int32_t *ids, size_t count, size_t vocabulary) {
  float *logits = malloc(vocabulary * sizeof *logits), *again = malloc(vocabulary * sizeof *again);
  ingot_session *session = NULL, *fork = NULL;
  EXPECT(logits && again && count >= 2);
  succeed(ingot_session_create(model, &session));
  succeed(ingot_session_feed(session, ids, count, INGOT_LOGITS_LAST, logits, vocabulary));
  EXPECT(ingot_session_length(session) == count && ingot_session_position(session) == count);
  /* Taken back and fed again, and in a fork: the same bits. */
  succeed(ingot_session_truncate(session, count - 1));
  succeed(ingot_session_fork(session, &fork));
  succeed(ingot_session_feed(session, ids + count - 1, 1, INGOT_LOGITS_LAST, again, vocabulary));
  EXPECT(memcmp(logits, again, vocabulary * sizeof *logits) == 0);
  ingot_cancel *cancel = NULL;
  succeed(ingot_cancel_create(&cancel));
  ingot_run_options run;
  ingot_run_options_init(&run);
  run.cancel = cancel;
  ingot_step_sequence step = {.session = fork, .ids = ids + count - 1, .count = 1,
                              .mode = INGOT_LOGITS_LAST, .logits = again, .logits_capacity = vocabulary};
  ingot_cancel_request(cancel);
  expect_status(ingot_step(model, &step, 1, NULL, NULL, &run), INGOT_CANCELLED);
  ingot_cancel_reset(cancel);
  memset(again, 0, vocabulary * sizeof *again);
  succeed(ingot_step(model, &step, 1, NULL, NULL, &run));
  EXPECT(memcmp(logits, again, vocabulary * sizeof *logits) == 0);
  int32_t outside = (int32_t)vocabulary;
  expect_status(ingot_session_feed(fork, &outside, 1, INGOT_LOGITS_NONE, NULL, 0), INGOT_INVALID_ARGUMENT);
  ingot_sampling_options sampling;
  ingot_sampling_options_init(&sampling);
  int32_t id = -1;
  succeed(ingot_sample(logits, vocabulary, NULL, 0, count, &sampling, &id));
  for (size_t i = 0; i < vocabulary; ++i)
    EXPECT(logits[i] < logits[id] || i >= (size_t)id);
  ingot_cancel_destroy(cancel);
  ingot_session_destroy(fork);
  ingot_session_destroy(session);
  free(logits);
  free(again);
}

static void test_generation(ingot_model *model, const int32_t *ids, size_t count) {
  ingot_session *session = NULL;
  succeed(ingot_session_create(model, &session));
  ingot_profile *profile = NULL;
  succeed(ingot_profile_create(model, &profile));
  ingot_generate_sequence sequence = {.session = session, .prompt = ids, .count = count};
  ingot_generate_options options;
  ingot_generate_options_init(&options);
  options.max_new_tokens = 20;
  options.ignore_end = true;
  ingot_run_options_init(&options.run);
  options.run.profile = profile;
  options.on_token = on_token;
  options.on_logits = on_logits;
  options.before_sampling = before_sampling;
  options.user = &counts;
  succeed(ingot_generate(model, &sequence, 1, &options));
  EXPECT(sequence.finish == INGOT_FINISH_CALLER && sequence.generated == 5);
  EXPECT(counts.tokens == 5 && counts.sampled == 5 && counts.rows == count + 4);
  ingot_profile_entry entry;
  ingot_profile_entry_init(&entry);
  succeed(ingot_profile_get(profile, 0, SIZE_MAX, &entry));
  EXPECT(entry.runs > 0 && entry.nanoseconds > 0);
  ingot_profile_destroy(profile);
  ingot_session_destroy(session);
}

static void test_text(ingot_model *model, const char *text, const int32_t *ids, size_t count) {
  ingot_text_stream *stream = NULL;
  char joined[256] = "";
  const char *piece;
  size_t bytes;
  succeed(ingot_text_stream_create(model, false, &stream));
  for (size_t i = 0; i <= count; ++i) {
    succeed(i < count ? ingot_text_stream_push(stream, ids[i], &piece, &bytes)
                      : ingot_text_stream_finish(stream, &piece, &bytes));
    EXPECT(strlen(joined) + bytes < sizeof joined);
    strncat(joined, piece, bytes);
  }
  EXPECT(strcmp(joined, text) == 0);
  ingot_text_stream_destroy(stream);
}

int main(int argc, char **argv) {
  EXPECT(argc == 3);
  EXPECT(strcmp(ingot_version(), "0.1.0") == 0 || ingot_version()[0] != 0);
  ingot_model *model = NULL;
  expect_status(ingot_model_load("no such file.ingot", NULL, &model), INGOT_NOT_FOUND);
  EXPECT(model == NULL && ingot_error_status(NULL) == INGOT_OK);

  ingot_model_options options;
  ingot_model_options_init(&options);
  options.allocator = (ingot_allocator){allocate, release, &counts};
  options.progress = on_progress;
  options.progress_user = &counts;
  options.log = on_log;
  options.log_user = &counts;
  succeed(ingot_model_load(argv[1], &options, &model));
  EXPECT(counts.progress > 0 && counts.logged > 0);
  ingot_language_model_info lm;
  ingot_language_model_info_init(&lm);
  succeed(ingot_model_get_language_model(model, &lm));
  int32_t *ids = NULL;
  size_t count = 0;
  succeed(ingot_model_encode(model, argv[2], strlen(argv[2]), false, &ids, &count));

  // What is cut to three tokens is the beginning, and said to be.
  ingot_encode_options cut;
  ingot_encode_options_init(&cut);
  cut.max_tokens = 3;
  int32_t *short_ids = NULL, *types = NULL;
  size_t short_count = 0, dropped = 0;
  succeed(ingot_model_encode_sequence(model, argv[2], strlen(argv[2]), &cut, &short_ids, &types,
                                      &short_count, &dropped));
  EXPECT(short_count == 3 && dropped > 0 && types[0] == 0);
  ingot_ids_destroy(short_ids);
  ingot_ids_destroy(types);
  ingot_encode_options torn;
  ingot_encode_options_init(&torn);
  torn.second_bytes = 1;
  ingot_error *refused[] = {
      ingot_model_encode_sequence(NULL, "a", 1, NULL, &short_ids, &types, &short_count, NULL),
      ingot_model_encode_sequence(model, NULL, 1, NULL, &short_ids, &types, &short_count, NULL),
      ingot_model_encode_sequence(model, "a", 1, NULL, NULL, &types, &short_count, NULL),
      ingot_model_encode_sequence(model, "a", 1, NULL, &short_ids, NULL, &short_count, NULL),
      ingot_model_encode_sequence(model, "a", 1, NULL, &short_ids, &types, NULL, NULL),
      ingot_model_encode_sequence(model, "a", 1, &torn, &short_ids, &types, &short_count, NULL)};
  for (size_t i = 0; i < sizeof refused / sizeof *refused; ++i) {
    EXPECT(ingot_error_status(refused[i]) == INGOT_INVALID_ARGUMENT);
    ingot_error_destroy(refused[i]);
  }

  test_queries(model);
  test_sessions(model, ids, count, lm.vocabulary);
  test_generation(model, ids, count);
  test_text(model, argv[2], ids, count);

  ingot_ids_destroy(ids);
  ingot_ids_destroy(NULL);
  ingot_session_destroy(NULL);
  ingot_model_destroy(model);
  ingot_model_destroy(NULL);
  EXPECT(counts.allocated > 0 && counts.allocated == counts.released);
  puts("the C API works from C");
  return 0;
}
