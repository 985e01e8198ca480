/* Which front answers which path, and the form of errors there. */
#include "agent/serve/api/fronts.h"

#include <string.h>

#include "agent/serve/ollama/ollama.h"
#include "agent/serve/anthropic/anthropic.h"
#include "agent/serve/openai/openai.h"

static const struct {
    const char *path;
    const struct serve_front *front;
} rows[] = {
    {"/v1/chat/completions", &flo_openai_chat},
    {"/v1/completions", &flo_openai_text},
    {"/v1/embeddings", &flo_openai_vectors},
    {"/v1/audio/transcriptions", &flo_openai_speech},
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
    for (size_t i = 0; path != NULL && i < FLO_COUNT(rows); i++) {
        if (strcmp(rows[i].path, path) == 0) {
            return rows[i].front;
        }
    }
    return NULL;
}

/* ---- errors without a request ---- */

/* Anthropic's clients show an error where they find a text of theirs; these
 * paths are never ours. */
static bool foreign_body(const char *path, const struct flo_err *err,
                         struct flo_buf *out)
/* Ollama's clients show an error where they find a text; its paths are not
 * ours.
 */
static bool is_ollamas(const char *path)
{
    return path != NULL && strncmp(path, "/api/", 5) == 0;
}

static void ollamas_body(const struct flo_err *err, struct flo_buf *out)
{
    const char *fix = err->fix[0] != '\0' ? err->fix : flo_error_fix(err->code);
    char text[sizeof(err->what) + sizeof(err->fix) + 4];

    if (strncmp(path, "/v1/messages", 12) != 0 &&
        strcmp(path, "/v1/complete") != 0) {
        return false;
    }
    snprintf(text, sizeof(text), "%s; %s", err->what, fix);
    flo_buf_text(out, "{\"type\":\"error\",\"error\":{\"type\":"
                      "\"not_found_error\",\"message\":");
    flo_answer_add_text(out, (struct flo_wire_text){text, strlen(text)});
    flo_buf_text(out, "}}\n");
    return true;
    flo_buf_text(out, "{\"error\":");
    flo_answer_add_text(
        out, (struct flo_wire_text){text, chars < 0 ? 0 : strlen(text)});
    flo_buf_text(out, "}\n");
}

static const struct serve_front *front_near(const char *path)
{
    const struct serve_front *front = flo_fronts_of(path);
    bool is_anthropics =
        path != NULL && (strncmp(path, "/v1/messages", 12) == 0 ||
                         strcmp(path, "/v1/complete") == 0);

    return front != NULL   ? front
           : is_anthropics ? &flo_anthropic_messages
                           : &flo_openai_chat;
}

void flo_fronts_error_body(const struct flo_httpd_request *request,
                           const struct flo_err *err, int status,
                           struct flo_buf *body)
{
    const char *path = flo_httpd_path(request);
    struct serve_failure failure = {.err = err, .status = status};

    if (status == 404 && path != NULL && foreign_body(path, err, body)) {
        return;
    }
    if (path != NULL && strncmp(path, "/api/", 5) == 0) {
        front = &flo_ollama_chat;
    }
    front = front != NULL ? front : &flo_openai_chat;
    front->fail(&failure, body);
    if (status == 404 && is_ollamas(path)) {
        ollamas_body(err, body);
        return;
    }
    front_near(path)->fail(&failure, body);
}
