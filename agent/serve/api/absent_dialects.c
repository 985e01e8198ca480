/* Dialects stand-in: takes the place of other APIs in a build that has only
 * OpenAI's.  Their paths answer not.built. */
#include "agent/serve/anthropic/anthropic.h"
#include "agent/serve/api/stored.h"
#include "agent/serve/ollama/ollama.h"
#include "agent/serve/openai/openai.h"
#include "agent/serve/responses/responses.h"
#include "agent/serve/responses/store.h"
#include "base/left_out.h"

static int left_out(struct flo_err *err)
{
    return flo_left_out(err, "this API", "FLOTILLA_DIALECTS");
}

static int read(struct serve_request *request, const struct serve_body *body, struct flo_err *err)
{
    (void)request, (void)body;
    return left_out(err);
}

#define FRONT                                                                                      \
    {                                                                                              \
        .kind = REQUEST_CHAT, .id_prefix = "none-", .read = read, .fail = flo_openai_fail          \
    }

const struct serve_front flo_anthropic_messages = FRONT;
const struct serve_front flo_anthropic_count = FRONT;
const struct serve_front flo_ollama_chat = FRONT;
const struct serve_front flo_ollama_generate = FRONT;
const struct serve_front flo_ollama_embed = FRONT;
const struct serve_front flo_ollama_embeddings = FRONT;
const struct serve_front flo_ollama_refused = FRONT;
const struct serve_front flo_responses = FRONT;
const struct serve_front flo_responses_count = FRONT;

/* ---- responses by their id ---- */

int flo_stored_list(const struct flo_serve *serve, uint64_t asks, const struct stored_page *page,
                    struct flo_buf *out, struct flo_err *err)
{
    (void)serve, (void)asks, (void)page, (void)out;
    return left_out(err);
}

int flo_stored_show(const struct flo_serve *serve, uint64_t owner, const char *id,
                    struct flo_buf *out, struct flo_err *err)
{
    (void)serve, (void)owner, (void)id, (void)out;
    return left_out(err);
}

int flo_stored_delete(struct flo_serve *serve, uint64_t owner, const char *id, struct flo_buf *out,
                      struct flo_err *err)
{
    (void)serve, (void)owner, (void)id, (void)out;
    return left_out(err);
}

int flo_stored_list_input(const struct flo_serve *serve, uint64_t owner, const char *id,
                          const struct stored_page *page, struct flo_buf *out, struct flo_err *err)
{
    (void)serve, (void)owner, (void)id, (void)page, (void)out;
    return left_out(err);
}

int flo_stored_cancel(struct flo_serve *serve, uint64_t owner, const char *id, struct flo_buf *out,
                      struct flo_err *err)
{
    (void)serve, (void)owner, (void)id, (void)out;
    return left_out(err);
}

void flo_responses_close(struct flo_serve *serve)
{
    (void)serve;
}
