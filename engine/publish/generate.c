/* flotilla-model generate: has a model continue a list of token ids. */
#include <stdlib.h>

#include "engine/publish/commands.h"
#include "engine/tools/common.h"

struct generate {
    struct flo_tool tool;
    bool prints_ids;
    bool stops; /* one of the model's end tokens ends the answer */
    struct flo_tool_answer answer;
    int32_t *tokens; /* the prompt */
};

static int print_token(const struct generate *g, int32_t token, bool is_first, struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};

    if (g->prints_ids) {
        printf("%s%d", is_first ? "" : " ", token);
        return 0;
    }
    FLO_TRY(flo_engine_detokenise(g->answer.model.text, &token, 1, false, &text, err));
    if (text.bytes > 0) {
        fwrite(text.data, 1, text.bytes, stdout);
    }
    return 0;
}

static int loop(struct generate *g, struct flo_err *err)
{
    struct flo_tool_answer *a = &g->answer;
    bool stops = (g->stops || a->grammar != NULL) && a->model.text != NULL;
    uint64_t made = 0;
    int rv = flo_tool_answer_next(a, g->tool.count, err);

    while (rv == 0 && a->count > 0 && !(stops && flo_engine_is_end(a->model.text, a->tokens[0]))) {
        for (size_t i = 0; rv == 0 && i < a->count; i++) {
            rv = print_token(g, a->tokens[i], made++ == 0, err);
        }
        if (rv == 0) {
            rv = flo_tool_answer_next(a, g->tool.count - made, err);
        }
    }
    putchar('\n');
    return rv;
}

static int generate(void *context, struct flo_err *err)
{
    struct generate *g = context;
    enum flo_vocabulary vocabulary = FLO_VOCABULARY_NONE;
    size_t count;

    if (!g->prints_ids || g->tool.grammar != NULL || g->tool.schema != NULL) {
        vocabulary = FLO_VOCABULARY_NEEDED;
    } else if (g->stops) {
        vocabulary = FLO_VOCABULARY_IF_KNOWN;
    }
    FLO_TRY(flo_tool_tokens(&g->tool, &g->tokens, &count, err));
    FLO_TRY(flo_tool_answer_open(&g->tool, vocabulary, &g->answer, err));
    for (size_t i = 0; i < count; i++) {
        flo_sampler_accept(g->answer.sampler, g->tokens[i]);
    }
    FLO_TRY(flo_tool_feed(&g->answer.model, g->tokens, count, err));
    return loop(g, err);
}

static struct generate state = {.tool.count = 16};
static const struct flo_flag flags[] = {
    {"tokens", "IDS", "the prompt, as 1,2,3", FLO_TEXT(struct generate, tool.tokens)},
    {"ids", NULL, "print ids, blanks between (else text)", FLO_SWITCH(struct generate, prints_ids)},
    {"stop", NULL, "end at the model's end tokens", FLO_SWITCH(struct generate, stops)},
    FLO_FLAGS_END,
};
const struct flo_verb flo_verb_generate = {
    .name = "generate",
    .help = "continue token ids",
    .usage = "--model FILE --tokens IDS [-n N] [--ids]",
    .flags = {FLO_FLAGS_SAMPLING, flags},
    .state = &state,
    .run = generate,
    .example = "--model helpdesk.gguf --tokens 1,15043 -n 16",
};
