/* Vectors: the fronts of /api/embed, and of the older /api/embeddings for one
 * text. */
#include "agent/serve/ollama/ollama.h"

static int read_inputs(struct serve_request *request, const struct serve_body *body,
                       struct flo_err *err)
{
    bool is_load;

    return flo_ollama_read(OLLAMA_EMBED, body, &request->params, &is_load, err);
}

static int read_prompt(struct serve_request *request, const struct serve_body *body,
                       struct flo_err *err)
{
    bool is_load;

    return flo_ollama_read(OLLAMA_PROMPT, body, &request->params, &is_load, err);
}

static void add_vector(struct serve_request *request, const struct flo_wire_message *frame,
                       struct flo_buf *out)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) shorter = {0};
    struct flo_wire_text vector = frame->embedding.vector;

    if (flo_answer_vector(request, &vector, &shorter)) {
        out->failed = out->failed || shorter.failed;
        flo_buf_text(out, out->bytes > 0 ? "," : "");
        flo_answer_add_floats(out, vector);
    }
}

static int add_vectors(struct serve_request *request, const struct flo_wire_done *done,
                       struct flo_buf *out, struct flo_err *err)
{
    (void)err;
    flo_buf_printf(out, "{\"model\":\"%s\",\"embeddings\":[", request->model_name);
    flo_buf_add(out, request->kept.text.data, request->kept.text.bytes);
    flo_buf_printf(out,
                   "],\"total_duration\":%llu,\"load_duration\":%llu,"
                   "\"prompt_eval_count\":%u}\n",
                   (unsigned long long)(request->load_us + done->queue_us + done->prompt_wall_us) *
                       1000,
                   (unsigned long long)request->load_us * 1000, done->tokens_in);
    return 0;
}

static int add_one(struct serve_request *request, const struct flo_wire_done *done,
                   struct flo_buf *out, struct flo_err *err)
{
    (void)done, (void)err;
    flo_buf_text(out, "{\"embedding\":");
    flo_buf_add(out, request->kept.text.data, request->kept.text.bytes);
    flo_buf_text(out, "}\n");
    return 0;
}

const struct serve_front flo_ollama_embed = {
    .kind = REQUEST_EMBED,
    .id_prefix = "ollama-",
    .read = read_inputs,
    .frame = add_vector,
    .whole = add_vectors,
    .fail = flo_ollama_fail,
};

const struct serve_front flo_ollama_embeddings = {
    .kind = REQUEST_EMBED,
    .id_prefix = "ollama-",
    .read = read_prompt,
    .frame = add_vector,
    .whole = add_one,
    .fail = flo_ollama_fail,
};
