/* Bodies of /v1/rerank from any local program, and scores from any engine. */
#include "agent/serve/front/memory.h"
#include "agent/serve/openai/openai.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void tell(struct serve_request *request, uint32_t index, const uint8_t *value)
{
    struct flo_wire_message frame = {.type = FLO_WIRE_EMBEDDING};

    frame.embedding.index = index;
    frame.embedding.vector = (struct flo_wire_text){(const char *)value, 4};
    flo_answer_frame(request, &frame);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct flo_serve serve;
    struct serve_memory memory = {0};
    const struct flo_wire_done done = {.tokens_in = 9};
    struct flo_err err = {0};
    json_t *json = NULL;
    const struct serve_question question = {
        .front = &flo_openai_rerank,
        .sink = flo_sink_memory(&memory),
        .party.token = -1,
        .body = {NULL, (const char *)data, bytes},
    };
    struct serve_request *request = flo_request_open(&serve, &question);

    if (request != NULL) {
        const struct flo_wire_embed *embed = &request->params.message.embed;
        uint32_t count = embed->n_inputs - embed->ranks;
        if (embed->n_inputs < 2 || embed->n_inputs > FLO_WIRE_INPUTS_MAX) {
            abort();
        }
        for (uint32_t i = 0; i < count; i++) {
            tell(request, i, data + i % (bytes - 3)); /* two texts at least */
        }
        if (flo_answer_done(request, &done, &err) < 0) {
            flo_answer_fail(request, &err);
        }
        flo_request_free(request);
    }
    if (flo_json_parse(memory.body.data, memory.body.bytes, memory.body.bytes, &json, NULL) < 0) {
        abort();
    }
    json_decref(json);
    flo_buf_deinit(&memory.body);
    return 0;
}
