/* Parts of answers from an engine: each token is told to a chat's front, whole
 * and as a stream.  The first byte chooses the request, and whether its answer
 * is collected first; frames follow as u8 bytes of text, text, u8 bytes of
 * parts, parts. */
#include "agent/serve/front/memory.h"
#include "agent/serve/openai/openai.h"
#include "base/tree/tree.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

#define TOOLS                                                                                      \
    "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"tools\":[{"                           \
    "\"type\":\"function\",\"function\":{\"name\":\"f\"}},{\"type\":"                              \
    "\"function\",\"function\":{\"name\":\"g\"}}]"

#define COLLECTED 128 /* from this first byte on */

static const char *const bodies[] = {
    TOOLS "}",
    TOOLS ",\"stream\":true}",
    TOOLS ",\"stream\":true,\"tool_choice\":\"none\"}",
    TOOLS ",\"parallel_tool_calls\":false}",
    "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"functions\":[{"
    "\"name\":\"f\"}],\"stream\":true}",
};

static struct flo_wire_text take(const uint8_t **at, const uint8_t *end)
{
    size_t bytes = *at < end ? *(*at)++ : 0;

    bytes = bytes < (size_t)(end - *at) ? bytes : (size_t)(end - *at);
    struct flo_wire_text text = {(const char *)*at, bytes};
    *at += bytes;
    return text;
}

/* As a guard lets an answer go. */
static int let_go(struct serve_request *request, struct flo_err *err)
{
    struct flo_wire_done done = {0};
    struct flo_buf text = {0}, parts = {0};
    int rv = flo_answer_collect(request, &done, err);

    if (rv == 0) {
        flo_answer_let_go(request, &text, &parts);
        done.text = flo_answer_text_of(&text);
        done.parts = flo_answer_text_of(&parts);
        rv = flo_answer_done(request, &done, err);
    }
    flo_buf_deinit(&text);
    flo_buf_deinit(&parts);
    return rv;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct flo_serve serve;
    const uint8_t *at = data + 1, *end = data + bytes;
    struct serve_memory memory = {0};
    struct flo_err err = {0};
    int rv = 0;

    if (bytes == 0) {
        return 0;
    }
    const char *body = bodies[data[0] % COLLECTED % FLO_COUNT(bodies)];
    const struct serve_question question = {
        .front = &flo_openai_chat,
        .sink = flo_sink_memory(&memory),
        .body = {NULL, body, strlen(body)},
    };
    struct serve_request *request = flo_request_open(&serve, &question);
    bool is_collected = data[0] >= COLLECTED;
    if (request != NULL) {
        request->is_guarded = is_collected;
    }
    while (request != NULL && rv == 0 && at < end) {
        struct flo_wire_token token = {.text = take(&at, end)};
        token.parts = take(&at, end);
        rv = flo_answer_token(request, &token, &err);
    }
    if (request == NULL || (rv < 0 && err.what[0] == '\0')) {
        abort();
    }
    if (is_collected && memory.status != 0) {
        abort();
    }
    if (rv == 0) {
        rv = is_collected ? let_go(request, &err)
                          : flo_answer_done(request, &(struct flo_wire_done){0}, &err);
    }
    if (rv < 0) {
        flo_answer_fail(request, &err);
    }
    if (memory.status == 0 || !flo_sink_is_gone(&request->sink)) {
        abort();
    }
    /* A model may write U+0000, which not every reader takes. */
    if (!request->params.is_stream && !flo_json_check(memory.body.data, memory.body.bytes)) {
        abort();
    }
    flo_request_free(request);
    flo_buf_deinit(&memory.body);
    return 0;
}
