/* Answer: an example of the engine as a library, with one question and one
 * answer.
 *
 *   cc answer.c $(pkg-config --cflags --libs flotilla-engine) -o answer
 *   ./answer MODEL.gguf "error 7 on sensor 3" */
#include <flotilla/engine.h>

#include <stdlib.h>
#include <string.h>

#define TOKENS_MAX 512 /* most tokens of the question in the model's chat form */
#define ANSWER_MAX 64

static void need(int rv, const struct flo_err *err)
{
    if (rv < 0) {
        fprintf(stderr, "%s\n", err->what);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    struct flo_engine_message said = {.role = "user", .text = argc == 3 ? argv[2] : ""};
    struct flo_engine *engine;
    struct flo_session *session;
    struct flo_sampler *sampler;
    struct flo_sample next = {0};
    struct flo_sampling greedy = {0};
    struct flo_engine_stream stream = {0};
    struct flo_buf answer = {0};
    struct flo_err err = {0};
    int32_t tokens[TOKENS_MAX];
    size_t count;

    said.bytes = strlen(said.text);
    need(flo_engine_open(argc == 3 ? argv[1] : "", NULL, &engine, &err), &err);
    need(flo_session_open(engine, &session, &err), &err);
    need(flo_sampler_open(engine, &greedy, &sampler, &err), &err);
    need(flo_engine_chat(engine, &said, 1, tokens, TOKENS_MAX, &count, &err), &err);
    for (int i = 0; i < ANSWER_MAX; i++) {
        need(flo_session_decode(session, tokens, count, FLO_LOGITS_LAST, &err), &err);
        flo_sampler_sample(sampler, flo_session_logits(session), &next);
        if (flo_engine_is_end(engine, next.token)) {
            break;
        }
        flo_engine_stream_add(&stream, engine, next.token, &answer);
        tokens[0] = next.token;
        count = 1;
    }
    flo_engine_stream_finish(&stream, &answer);
    printf("%.*s\n", (int)answer.bytes, answer.data);
    flo_buf_deinit(&answer);
    flo_sampler_close(sampler);
    flo_session_close(session);
    flo_engine_close(engine);
    return 0;
}
