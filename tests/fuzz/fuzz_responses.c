/* Bodies of responses from any local program, and what is repeated of them. */
#include "agent/serve/front/memory.h"
#include "agent/serve/responses/responses.h"
#include "agent/serve/responses/store.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* A refusal is told, in JSON; a text that the reader made is JSON again. */
static void must_be_json(struct flo_wire_text text)
{
    json_t *json = NULL;

    if (text.bytes > 0 && flo_json_parse(text.data, text.bytes, text.bytes, &json, NULL) < 0) {
        abort();
    }
    json_decref(json);
}

static void look_at(const struct flo_wire_generate *generate)
{
    must_be_json(generate->tools);
    for (uint32_t i = 0; i < generate->n_messages; i++) {
        must_be_json(generate->messages[i].more);
    }
}

/* The answer repeats parts of the body: it is JSON again, and so is the kept
 * conversation. */
static void answer(struct serve_request *request, const struct serve_memory *memory)
{
    const struct flo_wire_token token = {.text = {"a", 1}};
    const struct flo_wire_done done = {.reason = FLO_WIRE_STOP};
    struct flo_err err = {0};

    if (flo_answer_token(request, &token, &err) < 0 || flo_answer_done(request, &done, &err) < 0) {
        abort();
    }
    if (!request->params.is_stream && memory->status == 200) {
        json_t *json =
            json_loadb(memory->body.data, memory->body.bytes, JSON_REJECT_DUPLICATES, NULL);
        if (json == NULL) {
            abort();
        }
        json_decref(json);
    }
    for (const struct responses_stored *one = request->serve->responses; one != NULL;
         one = one->next) {
        must_be_json((struct flo_wire_text){one->items.data, one->items.bytes});
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const struct serve_front *const fronts[] = {&flo_responses, &flo_responses_count};
    static struct flo_serve serve;

    for (size_t i = 0; i < FLO_COUNT(fronts); i++) {
        struct serve_memory memory = {0};
        const struct serve_question question = {
            .front = fronts[i],
            .sink = flo_sink_memory(&memory),
            .party.token = -1,
            .body = {NULL, (const char *)data, bytes},
        };
        struct serve_request *request = flo_request_open(&serve, &question);
        if (request == NULL) {
            if (memory.status < 400 || memory.body.bytes == 0) {
                abort();
            }
            must_be_json((struct flo_wire_text){memory.body.data, memory.body.bytes});
        } else {
            look_at(&request->params.message.generate);
            answer(request, &memory);
            flo_request_free(request);
        }
        flo_buf_deinit(&memory.body);
    }
    flo_responses_close(&serve);
    return 0;
}
