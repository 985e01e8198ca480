/* Fronts of kinds without an answer of tokens: vectors of texts, and texts to
 * token ids and back. */
#include "agent/serve/openai/openai.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

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

/* One of several. */
static void add_vector(struct serve_request *request,
                       const struct flo_wire_message *frame,
                       struct flo_buf *out)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) shorter = {0};
    struct flo_wire_text vector = frame->embedding.vector;
    size_t count = request->params.dimensions;

    if (count > vector.bytes / 4) {
        request->lacks_dimensions = (uint32_t)(vector.bytes / 4);
        return;
    }
    if (count > 0 && count < vector.bytes / 4) {
        vector = cut(vector, count, &shorter);
        out->failed = out->failed || shorter.failed;
    }
    flo_buf_printf(out, "%s{\"object\":\"embedding\",\"index\":%u,",
                   out->bytes > 0 ? "," : "", frame->embedding.index);
    flo_buf_text(out, "\"embedding\":");
    if (request->params.is_base64) {
        add_base64(vector, out);
    } else {
        add_floats(vector, out);
    }
    flo_buf_text(out, "}");
}

static int add_vectors(struct serve_request *request,
                       const struct flo_wire_done *done, struct flo_buf *out,
                       struct flo_err *err)
{
    if (request->lacks_dimensions > 0) {
        strcpy(request->params.param, "dimensions");
        return flo_fail(err, FLO_E_INFER_PARAM,
                        "dimensions is %u, vectors of this model have %u",
                        request->params.dimensions, request->lacks_dimensions);
    }
    flo_buf_text(out, "{\"object\":\"list\",\"data\":[");
    flo_buf_add(out, request->kept.text.data, request->kept.text.bytes);
    flo_buf_printf(out,
                   "],\"model\":\"%s\",\"usage\":{\"prompt_tokens\":%u,"
                   "\"total_tokens\":%u}}\n",
                   request->model_name, done->tokens_in, done->tokens_in);
    return 0;
}

static void add_tokens(struct serve_request *request,
                       const struct flo_wire_message *frame,
                       struct flo_buf *out)
{
    struct flo_wire_text tokens = frame->tokens.tokens;

    flo_buf_printf(out, "{\"model\":\"%s\",\"count\":%zu,\"tokens\":[",
                   request->model_name, tokens.bytes / 4);
    for (size_t i = 0; i < tokens.bytes / 4; i++) {
        flo_buf_printf(out, i == 0 ? "%u" : ",%u",
                       flo_get_u32(tokens.data + 4 * i));
    }
    flo_buf_text(out, "]}\n");
}

static void add_text(struct serve_request *request,
                     const struct flo_wire_message *frame, struct flo_buf *out)
{
    flo_buf_printf(out, "{\"model\":\"%s\",\"content\":", request->model_name);
    flo_answer_add_text(out, frame->string.text);
    flo_buf_text(out, "}\n");
}

static int read(struct serve_request *request, const struct serve_body *body,
                struct flo_err *err)
{
    return flo_params_read(request->kind, body->data, body->bytes,
                           &request->params, err);
}

const struct serve_front flo_openai_vectors = {
    .kind = REQUEST_EMBED,
    .id_prefix = "cmpl-",
    .read = read,
    .begin = NULL,
    .piece = NULL,
    .end = NULL,
    .frame = add_vector,
    .whole = add_vectors,
    .fail = flo_openai_fail,
};

const struct serve_front flo_openai_tokenise = {
    .kind = REQUEST_TOKENISE,
    .id_prefix = "cmpl-",
    .read = read,
    .begin = NULL,
    .piece = NULL,
    .end = NULL,
    .whole = NULL,
    .frame = add_tokens,
    .fail = flo_openai_fail,
};

const struct serve_front flo_openai_detokenise = {
    .kind = REQUEST_DETOKENISE,
    .id_prefix = "cmpl-",
    .read = read,
    .begin = NULL,
    .piece = NULL,
    .end = NULL,
    .whole = NULL,
    .frame = add_text,
    .fail = flo_openai_fail,
};
