/* Vectors of texts in OpenAI's shape, and the text of ids. */
#include "agent/serve/openai/openai.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BYTES_MAX (64u << 20)

static float float_at(struct flo_wire_text vector, size_t i)
{
    uint32_t bits = flo_get_u32(vector.data + 4 * i);
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static void add_floats(struct flo_wire_text vector, struct flo_buf *out)
{
    flo_buf_text(out, "[");
    for (size_t i = 0; i < vector.bytes / 4; i++) {
        float value = float_at(vector, i);
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

/* The first `count` numbers, of length 1 again. */
static struct flo_wire_text cut(struct flo_wire_text vector, size_t count,
                                struct flo_buf *out)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        double value = (double)float_at(vector, i);
        sum += value * value;
    }
    double scale = sum > 0 && isfinite(sum) ? 1 / sqrt(sum) : 1;
    for (size_t i = 0; i < count; i++) {
        float value = (float)((double)float_at(vector, i) * scale);
        uint8_t bytes[4];
        uint32_t bits;
        memcpy(&bits, &value, sizeof(bits));
        flo_put_u32(bytes, bits);
        flo_buf_add(out, bytes, sizeof(bytes));
    }
    return (struct flo_wire_text){out->data, out->bytes};
}

void flo_answer_embedding(struct serve_request *request,
                          const struct flo_wire_embedding *embedding)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) shorter = {0};
    struct flo_buf *out = &request->text;
    struct flo_wire_text vector = embedding->vector;
    size_t count = request->params.dimensions;
    out->bytes_max = BYTES_MAX;
    if (count > vector.bytes / 4) {
        request->lacks_dimensions = (uint32_t)(vector.bytes / 4);
        return;
    }
    if (count > 0 && count < vector.bytes / 4) {
        vector = cut(vector, count, &shorter);
        out->failed = out->failed || shorter.failed;
    }
    flo_buf_printf(out, "%s{\"object\":\"embedding\",\"index\":%u,",
                   out->bytes > 0 ? "," : "", embedding->index);
    flo_buf_text(out, "\"embedding\":");
    if (request->params.is_base64) {
        add_base64(vector, out);
    } else {
        add_floats(vector, out);
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
    if (request->lacks_dimensions > 0) {
        struct flo_err err = {0};
        snprintf(request->params.param, sizeof(request->params.param),
                 "dimensions");
        flo_fail(&err, FLO_E_INFER_PARAM,
                 "dimensions is %u, vectors of this model have %u",
                 request->params.dimensions, request->lacks_dimensions);
        flo_answer_fail(request, &err);
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
