/* Fronts: finds the front, which is the set of functions that answer a path,
 * and writes errors in the form of that front's API. */
#include "agent/serve/api/fronts.h"

#include <string.h>

#include <flotilla/rows.h>

#include "agent/serve/anthropic/anthropic.h"
#include "agent/serve/ollama/ollama.h"
#include "agent/serve/openai/openai.h"
#include "agent/serve/responses/responses.h"

static const struct row {
    const char *path;
    const struct serve_front *front;
} rows[] = {
    {"/v1/chat/completions", &flo_openai_chat},
    {"/v1/completions", &flo_openai_text},
    {"/v1/embeddings", &flo_openai_vectors},
    {"/v1/audio/transcriptions", &flo_openai_speech},
    {"/v1/responses", &flo_responses},
    {"/v1/responses/input_tokens", &flo_responses_count},
    {"/v1/rerank", &flo_openai_rerank},
    {"/v1/moderations", &flo_openai_refused},
    {"/v1/images/generations", &flo_openai_refused},
    {"/v1/images/edits", &flo_openai_refused},
    {"/v1/images/variations", &flo_openai_refused},
    {"/v1/audio/speech", &flo_openai_refused},
    {"/v1/messages", &flo_anthropic_messages},
    {"/v1/messages/count_tokens", &flo_anthropic_count},
    {"/tokenize", &flo_openai_tokenise},
    {"/detokenize", &flo_openai_detokenise},
    {"/api/chat", &flo_ollama_chat},
    {"/api/generate", &flo_ollama_generate},
    {"/api/embed", &flo_ollama_embed},
    {"/api/embeddings", &flo_ollama_embeddings},
    {"/api/pull", &flo_ollama_refused},
    {"/api/push", &flo_ollama_refused},
    {"/api/create", &flo_ollama_refused},
    {"/api/copy", &flo_ollama_refused},
    {"/api/delete", &flo_ollama_refused},
};

const char *flo_fronts_path(size_t i)
{
    return i < FLO_COUNT(rows) ? rows[i].path : NULL;
}

const struct serve_front *flo_fronts_of(const char *path)
{
    const struct row *row = path == NULL ? NULL : FLO_FIND_WORD(path, rows, FLO_COUNT(rows), path);

    return row == NULL ? NULL : row->front;
}

/* ---- paths of one API ---- */

static bool is_ollama(const char *path)
{
    return strncmp(path, "/api/", 5) == 0;
}

static bool is_anthropic(const char *path)
{
    return strncmp(path, "/v1/messages", 12) == 0 || strcmp(path, "/v1/complete") == 0;
}

bool flo_fronts_is_on(const struct flo_serve *serve, const char *path)
{
    return !(serve->has_no_ollama && is_ollama(path)) &&
           !(serve->has_no_anthropic && is_anthropic(path));
}

/* ---- errors without a request ---- */

/* Returns the front for an error of any path.  Clients of an API expect its own
 * form of errors, also for paths that are unknown. */
static const struct serve_front *front_near(const char *path)
{
    const struct serve_front *front = flo_fronts_of(path);

    if (front != NULL || path == NULL) {
        return front != NULL ? front : &flo_openai_chat;
    }
    return is_ollama(path)      ? &flo_ollama_chat
           : is_anthropic(path) ? &flo_anthropic_messages
                                : &flo_openai_chat;
}

void flo_fronts_error_body(const struct flo_httpd_request *request, const struct flo_err *err,
                           int status, struct flo_buf *body)
{
    struct serve_failure failure = {.err = err, .status = status};

    front_near(flo_httpd_path(request))->fail(&failure, body);
}
