/* Continues a text: generate MODEL.ingot "Once upon a time"
 *
 *   cc generate.c $(pkg-config --cflags --libs ingot) -o generate
 */
#include <ingot/runtime.h>
#include <stdio.h>

static ingot_text_stream *stream;

/* Called with each id as it is chosen. Text comes in whole characters; false would stop here. */
static bool print(void *user, size_t sequence, int32_t id) {
  (void)user, (void)sequence;
  const char *text;
  size_t bytes;
  ingot_error *error = ingot_text_stream_push(stream, id, &text, &bytes);
  if (error) {
    ingot_error_destroy(error);
    return false;
  }
  fwrite(text, 1, bytes, stdout);
  return fflush(stdout) == 0;
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: %s MODEL.ingot TEXT\n", argv[0]);
    return 2;
  }
  ingot_model *model = NULL;
  ingot_session *session = NULL;
  int32_t *ids = NULL;
  size_t count = 0;

  /* A call that fails returns an error; NULL is success. */
  ingot_error *error = ingot_model_load(argv[1], NULL, &model);
  if (!error) error = ingot_model_encode(model, argv[2], strlen(argv[2]), true, &ids, &count);
  if (!error) error = ingot_session_create(model, &session);
  if (!error) error = ingot_text_stream_create(model, false, &stream);
  if (!error) {
    ingot_generate_sequence sequence = {.session = session, .prompt = ids, .count = count};
    ingot_generate_options options;
    ingot_generate_options_init(&options);
    options.max_new_tokens = 200;
    options.on_token = print;
    printf("%s", argv[2]);
    error = ingot_generate(model, &sequence, 1, &options);
    printf("\n");
  }
  if (error) fprintf(stderr, "error: %s\n", ingot_error_message(error));
  int result = error != NULL;
  ingot_error_destroy(error);
  ingot_text_stream_destroy(stream);
  ingot_ids_destroy(ids);
  ingot_session_destroy(session);
  ingot_model_destroy(model);
  return result;
}
