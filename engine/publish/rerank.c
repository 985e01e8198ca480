/* flotilla-model rerank: prints the score of each document for a query, one
 * number per line. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/engine_output.h>

#include "engine/publish/commands.h"
#include "engine/tools/common.h"

struct rerank {
    struct flo_tool tool; /* words: QUERY DOCUMENT... */
    struct flo_tool_model model;
    struct flo_session *session;
    int32_t *tokens; /* [context] */
    float *state;    /* [n_embd] */
};

static int rank(struct rerank *r, const char *document, struct flo_err *err)
{
    const char *query = r->tool.args.words[0];
    const struct flo_rank_pair pair = {query, strlen(query), document, strlen(document)};
    size_t count;
    double score;
    int rv = flo_engine_pair(r->model.text, &pair, r->tokens, r->model.info->context, &count, err);

    flo_session_reset(r->session);
    FLO_TRY(rv);
    FLO_TRY(flo_session_embed(r->session, r->tokens, count, FLO_POOLING_LAST, r->state, err));
    FLO_TRY(flo_engine_rank(r->model.text, r->state, &score, err));
    score = (double)(float)score; /* as it is served */
    if (r->tool.args.is_json) {
        printf("{\"tokens\":%zu,\"score\":%.9g}\n", count, score);
    } else {
        printf("%.9g\n", score);
    }
    return 0;
}

static int rerank(void *context, struct flo_err *err)
{
    struct rerank *r = context;
    const char *const *words = r->tool.args.words;
    int rv = flo_tool_open(&r->tool, FLO_VOCABULARY_NEEDED, &r->model, err);

    FLO_TRY(rv);
    r->session = flo_backend_native_session(r->model.state);
    r->tokens = calloc(r->model.info->context, sizeof(*r->tokens));
    r->state = calloc(r->model.info->n_embd, sizeof(*r->state));
    if (r->tokens == NULL || r->state == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "the tokens");
    }
    for (size_t i = 1; rv == 0 && i < FLO_ARGS_MAX && words[i] != NULL; i++) {
        rv = rank(r, words[i], err);
        if (rv < 0) {
            flo_wrap(err, rv, "document %zu", i);
        }
    }
    return rv;
}

static struct rerank state = {.tool.caches_packed = true}; /* as of embed.c */
const struct flo_verb flo_verb_rerank = {
    .name = "rerank",
    .help = "how well documents answer a query",
    .usage = "QUERY DOCUMENT... --model FILE",
    .flags = {FLO_FLAGS_BACKEND, FLO_FLAGS_JSON_ALONE},
    .state = &state,
    .run = rerank,
    .example = "'opening hours' 'We open at 9' --model reranker.gguf",
};
