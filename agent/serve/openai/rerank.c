/* Rerank: the front of /v1/rerank, which scores documents by how well they
 * answer a query.
 *
 * A reranker reads query and document together and gives a score.  Cosines of
 * vectors are another method, used only if a client asks for it.  The answer
 * names the method that was used. */
#include "agent/serve/openai/openai.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/worker.h>

#define DOCUMENTS_MAX (FLO_WIRE_INPUTS_MAX - 1) /* besides the query */

struct rerank {
    json_t *documents; /* documents that the answer repeats; NULL: it repeats none */
    bool by_vectors;
    uint32_t count, top, told;
    float *query; /* [dimensions] */
    size_t dimensions;
    struct score {
        uint32_t index;
        double value;
    } scores[DOCUMENTS_MAX];
};

static int refuse(struct serve_request *request, const char *field, const char *what,
                  struct flo_err *err)
{
    snprintf(request->params.param, sizeof(request->params.param), "%s", field);
    return flo_fail(err, FLO_E_INFER_PARAM, "%s %s", field, what);
}

/* ---- the body ---- */

static int read_method(struct serve_request *request, const json_t *body, struct flo_err *err)
{
    struct rerank *rerank = request->state;
    const json_t *value = json_object_get(body, "method");
    const char *method = json_string_value(value);

    rerank->by_vectors = method != NULL && strcmp(method, "embedding") == 0;
    if (!rerank->by_vectors && value != NULL && !json_is_null(value) &&
        (method == NULL || strcmp(method, "rerank") != 0)) {
        refuse(request, "method", "must be \"rerank\" or \"embedding\"", err);
        return flo_err_fix(err, "\"embedding\" orders by the cosine of vectors as "
                                "/v1/embeddings has them; leave it out for a model "
                                "that is a reranker");
    }
    const json_t *pooling = json_object_get(body, "pooling");
    if (!rerank->by_vectors && pooling != NULL && !json_is_null(pooling)) {
        return refuse(request, "pooling", "needs \"method\":\"embedding\"", err);
    }
    return 0;
}

static const json_t *text_of(const json_t *document)
{
    const json_t *text = json_is_object(document) ? json_object_get(document, "text") : document;

    return json_string_length(text) > 0 ? text : NULL;
}

/* Returns the documents of a body.  Some clients name this field "texts". */
static const json_t *documents_of(const json_t *body)
{
    const json_t *documents = json_object_get(body, "documents");

    return documents != NULL ? documents : json_object_get(body, "texts");
}

/* Writes the inputs for the engine: the query, then each document. */
static int read_texts(struct serve_request *request, json_t *body, json_t *input,
                      struct flo_err *err)
{
    json_t *query = json_object_get(body, "query");
    const json_t *documents = documents_of(body);
    size_t count = json_array_size(documents);
    char what[80];

    if (json_string_length(query) == 0) {
        return refuse(request, "query", "must be a text, not an empty one", err);
    }
    json_array_append(input, query);
    if (count == 0 || count > DOCUMENTS_MAX) {
        snprintf(what, sizeof(what), "has %zu texts, must have 1 to %d", count, DOCUMENTS_MAX);
        return refuse(request, "documents", json_is_array(documents) ? what : "must be a list",
                      err);
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *text = text_of(json_array_get(documents, i));
        if (text == NULL) {
            snprintf(what, sizeof(what), "[%zu] must be a text, or an object with one", i);
            return refuse(request, "documents", what, err);
        }
        json_array_append_new(input,
                              json_stringn(json_string_value(text), json_string_length(text)));
    }
    return 0;
}

static int read_top(struct serve_request *request, json_t *body, struct flo_err *err)
{
    struct rerank *rerank = request->state;
    const json_t *top = json_object_get(body, "top_n");
    const json_t *told = json_object_get(body, "return_documents");

    if (top != NULL && !json_is_null(top) &&
        (!json_is_integer(top) || json_integer_value(top) < 1)) {
        return refuse(request, "top_n", "must be a whole number from 1 on", err);
    }
    if (told != NULL && !json_is_null(told) && !json_is_boolean(told)) {
        return refuse(request, "return_documents", "must be true or false", err);
    }
    rerank->top = rerank->count;
    if (json_is_integer(top) && json_integer_value(top) < (json_int_t)rerank->count) {
        rerank->top = (uint32_t)json_integer_value(top);
    }
    return 0;
}

static int read_body(struct serve_request *request, json_t *body, struct flo_err *err)
{
    struct rerank *rerank = request->state = calloc(1, sizeof(*rerank));
    json_t *tree = json_object(), *input = json_array();
    struct serve_params *params = &request->params;
    int rv = rerank == NULL || tree == NULL || input == NULL
                 ? flo_fail(err, FLO_E_MEMORY, "no memory for documents")
                 : read_method(request, body, err);

    if (rv == 0) {
        rv = read_texts(request, body, input, err);
    }
    if (rv == 0) {
        rerank->count = (uint32_t)json_array_size(input) - 1;
        rv = read_top(request, body, err);
    }
    if (rv < 0) {
        json_decref(tree);
        json_decref(input);
        return rv;
    }
    if (json_is_true(json_object_get(body, "return_documents"))) {
        rerank->documents = json_incref(input);
    }
    json_object_set(tree, "model", json_object_get(body, "model"));
    json_object_set(tree, "pooling", json_object_get(body, "pooling"));
    json_object_set_new(tree, "input", input);
    rv = flo_params_read_tree(REQUEST_EMBED, tree, params, err);
    params->message.embed.ranks = rv == 0 && !rerank->by_vectors;
    return rv;
}

static int read(struct serve_request *request, const struct serve_body *body, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *tree = NULL;

    FLO_TRY(flo_json_body(body->data, body->bytes, body->bytes, &tree, err));
    return read_body(request, tree, err);
}

/* ---- the answer ---- */

/* Returns the cosine of two vectors of length 1, or 0 if a number is not
 * finite. */
static double cosine(const struct rerank *rerank, struct flo_wire_text vector)
{
    double sum = 0;

    for (size_t i = 0; i < rerank->dimensions; i++) {
        sum += (double)flo_get_f32(vector.data + 4 * i) * (double)rerank->query[i];
    }
    return isfinite(sum) ? sum : 0;
}

static void keep_query(struct rerank *rerank, struct flo_wire_text vector)
{
    free(rerank->query);
    rerank->query = malloc(vector.bytes + 1);
    rerank->dimensions = rerank->query == NULL ? 0 : vector.bytes / 4;
    for (size_t i = 0; i < rerank->dimensions; i++) {
        rerank->query[i] = flo_get_f32(vector.data + 4 * i);
    }
}

/* Stores the score that a reranker gave a document.  Returns false when it is
 * invalid. */
static bool keep_score(struct rerank *rerank, uint32_t i, struct flo_wire_text vector)
{
    if (i >= rerank->count || vector.bytes != 4 || !isfinite(flo_get_f32(vector.data))) {
        return false;
    }
    rerank->scores[i] = (struct score){i, (double)flo_get_f32(vector.data)};
    return true;
}

/* Handles a frame of the engine.  For the method of vectors, the query's vector
 * comes first. */
static void frame(struct serve_request *request, const struct flo_wire_message *message,
                  struct flo_buf *out)
{
    struct rerank *rerank = request->state;
    struct flo_wire_text vector = message->embedding.vector;
    uint32_t i = message->embedding.index;

    rerank->told++;
    if (!rerank->by_vectors) {
        out->failed |= !keep_score(rerank, i, vector);
    } else if (i == 0) {
        keep_query(rerank, vector);
        out->failed |= rerank->query == NULL;
    } else if (i <= rerank->count && vector.bytes == 4 * rerank->dimensions) {
        rerank->scores[i - 1] = (struct score){i - 1, cosine(rerank, vector)};
    } else {
        out->failed = true; /* the vectors differ in size, which is a fault of the engine */
    }
}

static int compare(const void *a, const void *b)
{
    const struct score *x = a, *y = b;

    if (x->value < y->value || x->value > y->value) {
        return x->value < y->value ? 1 : -1;
    }
    return x->index < y->index ? -1 : x->index > y->index;
}

static int whole(struct serve_request *request, const struct flo_wire_done *done,
                 struct flo_buf *out, struct flo_err *err)
{
    struct rerank *rerank = request->state;

    if (rerank->told != rerank->count + rerank->by_vectors) {
        return flo_fail(err, FLO_E_WORKER_PROTOCOL, "scores of %u documents, not of %u",
                        rerank->told, rerank->count);
    }
    qsort(rerank->scores, rerank->count, sizeof(rerank->scores[0]), compare);
    flo_buf_printf(out,
                   "{\"id\":\"%s\",\"object\":\"list\",\"model\":\"%s\","
                   "\"method\":\"%s\",\"results\":[",
                   request->id, request->model_name, rerank->by_vectors ? "embedding" : "rerank");
    for (uint32_t i = 0; i < rerank->top; i++) {
        const struct score *score = &rerank->scores[i];
        const json_t *text = json_array_get(rerank->documents, score->index + 1);
        flo_buf_printf(out, "%s{\"index\":%u,\"relevance_score\":%.9g", i > 0 ? "," : "",
                       score->index, score->value);
        if (text != NULL) {
            flo_buf_text(out, ",\"document\":{");
            flo_answer_add_member(
                out, "text",
                (struct flo_wire_text){json_string_value(text), json_string_length(text)});
            flo_buf_text(out, "}");
        }
        flo_buf_text(out, "}");
    }
    flo_buf_printf(out, "],\"usage\":{\"prompt_tokens\":%u,\"total_tokens\":%u}}\n",
                   done->tokens_in, done->tokens_in);
    return 0;
}

static void fail(struct serve_failure *failure, struct flo_buf *out)
{
    if (failure->param != NULL && strcmp(failure->param, "input") == 0) {
        failure->param = "documents";
    }
    flo_openai_fail(failure, out);
}

static void drop(void *state)
{
    struct rerank *rerank = state;

    if (rerank != NULL) {
        json_decref(rerank->documents);
        free(rerank->query);
        free(rerank);
    }
}

const struct serve_front flo_openai_rerank = {
    .kind = REQUEST_EMBED,
    .id_prefix = "rerank-",
    .read = read,
    .frame = frame,
    .whole = whole,
    .fail = fail,
    .drop = drop,
};
