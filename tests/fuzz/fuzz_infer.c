/* Bodies of inference requests from any local program. */
#include "agent/serve/openai/openai.h"

#include <stdlib.h>

#include <flotilla/errors/rest.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* A text that the reader made is JSON again. */
static void must_be_json(struct flo_wire_text text)
{
    json_t *json = NULL;

    if (text.bytes > 0 && flo_json_parse(text.data, text.bytes, text.bytes, &json, NULL) < 0) {
        abort();
    }
    json_decref(json);
}

static void look_at_chat(const struct flo_wire_generate *generate)
{
    must_be_json(generate->tools);
    for (uint32_t i = 0; i < generate->n_messages; i++) {
        must_be_json(generate->messages[i].more);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct serve_params params;
    for (int kind = REQUEST_CHAT; kind < REQUEST_KINDS; kind++) {
        struct flo_err err = {0};
        if (flo_params_read((enum request_kind)kind, (const char *)data, bytes, &params, &err) <
            0) {
            if (err.what[0] == '\0') {
                abort();
            }
            continue;
        }
        if (kind == REQUEST_CHAT) {
            look_at_chat(&params.message.generate);
        }
        struct flo_buf out = {0};
        int rv = flo_wire_write(&out, &params.message, &err);
        if (rv < 0 && rv != FLO_E_REST_TOO_LARGE) {
            abort();
        }
        flo_buf_deinit(&out);
        flo_params_deinit(&params);
    }
    return 0;
}
