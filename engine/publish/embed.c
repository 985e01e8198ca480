/* flotilla-model embed: prints the vectors of texts, of length 1, as one JSON
 * object per line.  With --cosine it prints the similarity of each text to the
 * first. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/engine_output.h>

#include "engine/publish/commands.h"
#include "engine/tools/common.h"

struct embed {
    struct flo_tool tool;
    const char *pooling_name;
    enum flo_pooling pooling;
    bool shows_cosine;
    struct flo_tool_model model;
    struct flo_session *session;
    int32_t *tokens; /* [context] */
    float *vectors;  /* [2][n_embd]: vectors of the first and of the current text */
};

static void print_vector(const struct embed *e, const float *vector, size_t n, size_t tokens)
{
    double cosine = 0;

    for (size_t i = 0; i < n; i++) {
        cosine += (double)e->vectors[i] * (double)vector[i];
    }
    if (e->shows_cosine) {
        printf("%.6f\n", cosine);
        return;
    }
    printf("{\"tokens\":%zu,\"embedding\":[", tokens);
    for (size_t i = 0; i < n; i++) {
        printf(i == 0 ? "%.9g" : ",%.9g", (double)vector[i]);
    }
    puts("]}");
}

static int embed_text(struct embed *e, size_t index, struct flo_err *err)
{
    const struct flo_engine_info *info = e->model.info;
    float *vector = e->vectors + (index > 0 ? info->n_embd : 0);
    size_t count;

    FLO_TRY(flo_engine_tokenise(e->model.text, e->tool.args.words[index],
                                strlen(e->tool.args.words[index]), FLO_TEXT_SPECIAL | FLO_TEXT_ENDS,
                                e->tokens, info->context, &count, err));
    memset(vector, 0, info->n_embd * sizeof(*vector));
    flo_session_reset(e->session);
    FLO_TRY(flo_session_embed(e->session, e->tokens, count, e->pooling, vector, err));
    if (!flo_embedding_end(info, vector)) {
        return flo_fail(err, FLO_E_MODEL_NONFINITE, "text %zu: its vector is not finite",
                        index + 1);
    }
    print_vector(e, vector, info->n_embd, count);
    return 0;
}

static int embed(void *context, struct flo_err *err)
{
    struct embed *e = context;

    e->pooling = strcmp(e->pooling_name, "last") == 0 ? FLO_POOLING_LAST : FLO_POOLING_MEAN;
    FLO_TRY(flo_tool_open(&e->tool, FLO_VOCABULARY_NEEDED, &e->model, err));
    e->session = flo_backend_native_session(e->model.state);
    e->tokens = calloc(e->model.info->context, sizeof(*e->tokens));
    e->vectors = calloc(2 * (size_t)e->model.info->n_embd, sizeof(*e->vectors));
    if (e->tokens == NULL || e->vectors == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "the vectors");
    }
    for (size_t i = 0; i < FLO_ARGS_MAX && e->tool.args.words[i] != NULL; i++) {
        FLO_TRY(embed_text(e, i, err));
    }
    return 0;
}

/* Packed weights and the default cache: a vector has the bits that it has when
 * it is served. */
static struct embed state = {.pooling_name = "mean", .tool.caches_packed = true};
static const struct flo_flag flags[] = {
    {"pooling", "mean|last", "of the tokens' final states (mean)",
     FLO_TEXT(struct embed, pooling_name)},
    {"cosine", NULL, "only each text's cosine with the first",
     FLO_SWITCH(struct embed, shows_cosine)},
    FLO_FLAGS_END,
};
const struct flo_verb flo_verb_embed = {
    .name = "embed",
    .help = "a text as a vector",
    .usage = "TEXT... --model FILE",
    .flags = {FLO_FLAGS_BACKEND, flags},
    .state = &state,
    .run = embed,
    .example = "'opening hours' --model embedder.gguf",
};
