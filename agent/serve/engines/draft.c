/* Draft: what an engine says of its draft file, and how often its guesses were
 * right. */
#include "agent/serve/engines/engines.h"

#include <string.h>

/* Takes the reason why there is no draft.  A program that names neither a kind
 * nor a reason is none of ours. */
static void take_reason(struct serve_engine *engine, struct flo_wire_text why)
{
    static const char unknown[] = "this engine does not use drafts";
    struct flo_wire_text said =
        why.bytes > 0 ? why : (struct flo_wire_text){unknown, sizeof(unknown) - 1};

    flo_text_clean(said.data, said.bytes, engine->draft.why, sizeof(engine->draft.why));
    flo_log(FLO_LOG_WARN, "serve", "%s: its draft is left out: %s", engine->name,
            engine->draft.why);
}

void flo_serve_draft_ready(struct serve_engine *engine, const struct flo_wire_ready *ready)
{
    struct flo_serve_draft *draft = &engine->draft;

    if (!engine->has_draft) {
        return;
    }
    if (ready->draft.bytes == 0) {
        take_reason(engine, ready->draft_why);
        return;
    }
    flo_text_clean(ready->draft.data, ready->draft.bytes, draft->kind, sizeof(draft->kind));
    draft->bytes = ready->draft_bytes;
    flo_log(FLO_LOG_INFO, "serve", "%s: a draft (%s) of %llu bytes guesses tokens", engine->name,
            draft->kind, (unsigned long long)draft->bytes);
}

void flo_serve_draft_count(struct serve_engine *engine, const struct flo_wire_done *done)
{
    engine->draft.guessed += done->guessed;
    engine->draft.guessed_right += done->guessed_right;
    engine->draft.tokens += done->tokens_out;
}

json_t *flo_serve_draft_json(const struct flo_serve_draft *draft)
{
    /* each pass over the model brings a token, and the guesses that were right */
    uint64_t passes =
        draft->tokens > draft->guessed_right ? draft->tokens - draft->guessed_right : 0;
    json_t *json;

    if (draft->kind[0] == '\0') {
        return draft->why[0] == '\0' ? NULL : json_pack("{s:s}", "why", draft->why);
    }
    json = json_pack("{s:s, s:I, s:I, s:I}", "kind", draft->kind, "bytes", (json_int_t)draft->bytes,
                     "guessed", (json_int_t)draft->guessed, "guessed_right",
                     (json_int_t)draft->guessed_right);
    if (passes > 0) {
        flo_json_set_figure(json, "tokens_per_step", (double)draft->tokens / (double)passes);
    }
    return json;
}
