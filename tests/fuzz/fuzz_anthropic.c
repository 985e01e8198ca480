/* Bodies of Anthropic's messages from any local program. */
#include "agent/serve/anthropic/anthropic.h"
#include "agent/serve/front/memory.h"

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const struct serve_front *const fronts[] = {&flo_anthropic_messages,
                                                       &flo_anthropic_count};
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
            flo_request_free(request);
        }
        flo_buf_deinit(&memory.body);
    }
    return 0;
}
