/* Vectors of texts in OpenAI's shape, and the text of ids. */
#include "agent/serve/openai/openai.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BYTES_MAX (64u << 20)

static void add_floats(struct flo_wire_text vector, struct flo_buf *out)
{
    flo_buf_text(out, "[");
    for (size_t i = 0; i < vector.bytes / 4; i++) {
        uint32_t bits = flo_get_u32(vector.data + 4 * i);
        float value;
        memcpy(&value, &bits, sizeof(value));
        flo_buf_printf(out, i == 0 ? "%.9g" : ",%.9g",
                       isfinite(value) ? (double)value : 0.0);
    }
    flo_buf_text(out, "]");
}

static void add_base64(struct flo_wire_text vector, struct flo_buf *out)
{
    char *text = malloc(4 * ((vector.bytes + 2) / 3) + 1);
    if (text == NULL) {
        out->failed = true;
        return;
    }
    flo_base64_encode(vector.data, vector.bytes, text);
    flo_buf_printf(out, "\"%s\"", text);
    free(text);
}

void flo_answer_embedding(struct serve_request *request,
                          const struct flo_wire_embedding *embedding)
{
    struct flo_buf *out = &request->text;
    out->bytes_max = BYTES_MAX;
    flo_buf_printf(out, "%s{\"object\":\"embedding\",\"index\":%u,",
                   out->bytes > 0 ? "," : "", embedding->index);
    flo_buf_text(out, "\"embedding\":");
    if (request->params.is_base64) {
        add_base64(embedding->vector, out);
    } else {
        add_floats(embedding->vector, out);
    }
    flo_buf_text(out, "}");
}

/* The whole answer; takes `out`. */
static void finish(struct serve_request *request, struct flo_buf *out)
{
    struct flo_httpd_request *http = request->http;
    struct flo_err err = {0};
    request->http = NULL;
    flo_httpd_set_user(http, NULL, NULL);
    flo_httpd_add_header(http, "X-Flotilla-Release", request->model_name);
    if (out->failed || request->text.failed) {
        flo_fail(&err, FLO_E_MEMORY, "no memory for the answer");
        flo_httpd_answer_err(http, &err);
    } else {
        flo_httpd_answer(http, 200, "application/json", out->data, out->bytes);
    }
    flo_buf_deinit(out);
}

void flo_answer_embeddings_done(struct serve_request *request,
                                const struct flo_wire_done *done)
{
    struct flo_buf out = {.bytes_max = 2 * BYTES_MAX};
    if (request->http == NULL) {
        return;
    }
    flo_buf_text(&out, "{\"object\":\"list\",\"data\":[");
    flo_buf_add(&out, request->text.data, request->text.bytes);
    flo_buf_printf(&out,
                   "],\"model\":\"%s\",\"usage\":{\"prompt_tokens\":%u,"
                   "\"total_tokens\":%u}}\n",
                   request->model_name, done->tokens_in, done->tokens_in);
    finish(request, &out);
}

void flo_answer_tokens(struct serve_request *request,
                       const struct flo_wire_tokens *tokens)
{
    struct flo_buf out = {.bytes_max = BYTES_MAX};
    size_t count = tokens->tokens.bytes / 4;
    if (request->http == NULL) {
        return;
    }
    flo_buf_printf(&out, "{\"model\":\"%s\",\"count\":%zu,\"tokens\":[",
                   request->model_name, count);
    for (size_t i = 0; i < count; i++) {
        flo_buf_printf(&out, i == 0 ? "%u" : ",%u",
                       flo_get_u32(tokens->tokens.data + 4 * i));
    }
    flo_buf_text(&out, "]}\n");
    finish(request, &out);
}

void flo_answer_text(struct serve_request *request, struct flo_wire_text text)
{
    struct flo_buf out = {.bytes_max = BYTES_MAX};
    if (request->http == NULL) {
        return;
    }
    flo_buf_printf(&out, "{\"model\":\"%s\",\"content\":", request->model_name);
    flo_answer_add_text(&out, text);
    flo_buf_text(&out, "}\n");
    finish(request, &out);
}
