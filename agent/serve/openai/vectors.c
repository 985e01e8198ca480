/* Vectors: the fronts that generate no tokens.  They convert texts to vectors,
 * and texts to token ids and back. */
#include "agent/serve/openai/openai.h"

#include <stdlib.h>

static void add_base64(struct flo_wire_text vector, struct flo_buf *out)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = malloc(4 * ((vector.bytes + 2) / 3) + 1);
    if (text == NULL) {
        out->failed = true;
        return;
    }
    flo_base64_encode(vector.data, vector.bytes, text);
    flo_buf_printf(out, "\"%s\"", text);
}

/* Adds a vector to the list of vectors of the answer. */
static void add_vector(struct serve_request *request, const struct flo_wire_message *frame,
                       struct flo_buf *out)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) shorter = {0};
    struct flo_wire_text vector = frame->embedding.vector;

    if (!flo_answer_vector(request, &vector, &shorter)) {
        return;
    }
    out->failed = out->failed || shorter.failed;
    flo_buf_printf(out, "%s{\"object\":\"embedding\",\"index\":%u,", out->bytes > 0 ? "," : "",
                   frame->embedding.index);
    flo_buf_text(out, "\"embedding\":");
    if (request->params.is_base64) {
        add_base64(vector, out);
    } else {
        flo_answer_add_floats(out, vector);
    }
    flo_buf_text(out, "}");
}

static int add_vectors(struct serve_request *request, const struct flo_wire_done *done,
                       struct flo_buf *out, struct flo_err *err)
{
    (void)err;
    flo_buf_text(out, "{\"object\":\"list\",\"data\":[");
    flo_buf_add(out, request->kept.text.data, request->kept.text.bytes);
    flo_buf_printf(out,
                   "],\"model\":\"%s\",\"usage\":{\"prompt_tokens\":%u,"
                   "\"total_tokens\":%u}}\n",
                   request->model_name, done->tokens_in, done->tokens_in);
    return 0;
}

static void add_tokens(struct serve_request *request, const struct flo_wire_message *frame,
                       struct flo_buf *out)
{
    struct flo_wire_text tokens = frame->tokens.tokens;

    flo_buf_printf(out, "{\"model\":\"%s\",\"count\":%zu,\"tokens\":[", request->model_name,
                   tokens.bytes / 4);
    for (size_t i = 0; i < tokens.bytes / 4; i++) {
        flo_buf_printf(out, i == 0 ? "%u" : ",%u", flo_get_u32(tokens.data + 4 * i));
    }
    flo_buf_text(out, "]}\n");
}

static void add_text(struct serve_request *request, const struct flo_wire_message *frame,
                     struct flo_buf *out)
{
    flo_buf_printf(out, "{\"model\":\"%s\",\"content\":", request->model_name);
    flo_answer_add_text(out, frame->string.text);
    flo_buf_text(out, "}\n");
}

static int read(struct serve_request *request, const struct serve_body *body, struct flo_err *err)
{
    return flo_params_read(request->kind, body->data, body->bytes, &request->params, err);
}

const struct serve_front flo_openai_vectors = {
    .kind = REQUEST_EMBED,
    .id_prefix = "cmpl-",
    .read = read,
    .frame = add_vector,
    .whole = add_vectors,
    .fail = flo_openai_fail,
};

const struct serve_front flo_openai_tokenise = {
    .kind = REQUEST_TOKENISE,
    .id_prefix = "cmpl-",
    .read = read,
    .frame = add_tokens,
    .fail = flo_openai_fail,
};

const struct serve_front flo_openai_detokenise = {
    .kind = REQUEST_DETOKENISE,
    .id_prefix = "cmpl-",
    .read = read,
    .frame = add_text,
    .fail = flo_openai_fail,
};
