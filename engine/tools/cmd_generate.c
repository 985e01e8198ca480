/* flotilla-engine generate: continue token ids. */
#include <stdlib.h>

#include "engine/sample/sampler.h"
#include "engine/tools/common.h"
#include "engine/tools/tools.h"

struct generate {
    struct flo_tool tool;
    bool prints_ids;
    bool stops; /* at the model's end tokens */
};

static int print_token(const struct generate *g, struct flo_engine *engine,
                       int32_t token, bool is_first, struct flo_err *err)
{
    struct flo_buf text = {0};
    int rv;

    if (g->prints_ids) {
        printf("%s%d", is_first ? "" : " ", token);
        return 0;
    }
    rv = flo_engine_detokenise(engine, &token, 1, false, &text, err);
    if (rv == 0 && text.bytes > 0) {
        fwrite(text.data, 1, text.bytes, stdout);
    }
    flo_buf_deinit(&text);
    return rv;
}

static int loop(const struct generate *g, const struct flo_tool_model *model,
                struct flo_sampler *sampler, struct flo_grammar *grammar,
                struct flo_err *err)
{
    struct flo_tool_next next;
    uint64_t made = 0;
    int rv = flo_tool_next(grammar, sampler, model, g->tool.count, &next, err);

    while (rv == 0 && next.count > 0) {
        if ((g->stops || grammar != NULL) && model->text != NULL &&
            flo_engine_is_end(model->text, next.tokens[0])) {
            break;
        }
        for (size_t i = 0; rv == 0 && i < next.count; i++) {
            rv = print_token(g, model->text, next.tokens[i], made++ == 0, err);
        }
        if (rv == 0 && made < g->tool.count &&
            (grammar == NULL || !flo_grammar_is_done(grammar))) {
            rv = flo_tool_feed(model, next.tokens, next.count, err);
        }
        if (rv == 0) {
            rv = flo_tool_next(grammar, sampler, model, g->tool.count - made,
                               &next, err);
        }
    }
    putchar('\n');
    return rv;
}

static int generate(const struct generate *g, struct flo_err *err)
{
    struct flo_tool_model model = {0};
    struct flo_sampler *sampler = NULL;
    struct flo_grammar *grammar = NULL;
    struct flo_sampling sampling;
    int32_t *tokens = NULL;
    size_t count = 0;
    enum flo_vocabulary vocabulary = FLO_VOCABULARY_NONE;
    int rv = 0;

    if (!g->prints_ids || g->tool.grammar != NULL || g->tool.schema != NULL) {
        vocabulary = FLO_VOCABULARY_NEEDED;
    } else if (g->stops) {
        vocabulary = FLO_VOCABULARY_IF_KNOWN;
    }
    if ((rv = flo_tool_sampling(&g->tool, &sampling, err)) < 0 ||
        (rv = flo_tool_tokens(&g->tool, &tokens, &count, err)) < 0 ||
        (rv = flo_tool_open(&g->tool, vocabulary, &model, err)) < 0 ||
        (rv = flo_sampler_make(model.info->n_vocab, &sampling, &sampler, err)) <
            0 ||
        (rv = flo_tool_grammar(&g->tool, model.text, &grammar, err)) < 0) {
        goto out;
    }
    for (size_t i = 0; i < count; i++) {
        flo_sampler_accept(sampler, tokens[i]);
    }
    rv = flo_tool_feed(&model, tokens, count, err);
    if (rv == 0) {
        rv = loop(g, &model, sampler, grammar, err);
    }
out:
    free(tokens);
    flo_grammar_close(grammar);
    flo_sampler_close(sampler);
    flo_tool_close(&model);
    return rv;
}

int flo_cmd_generate(int argc, char **argv)
{
    struct generate g = {.tool.count = 16};
    const struct flo_option options[] = {
        FLO_TOOL_OPTIONS(g.tool),
        FLO_BACKEND_OPTIONS(g.tool),
        FLO_SAMPLING_OPTIONS(g.tool),
        {"tokens", FLO_OPTION_TEXT, &g.tool.tokens,
         "IDS     the prompt, as 1,2,3"},
        {"ids", FLO_OPTION_FLAG, &g.prints_ids,
         "print ids, blanks between (else text)"},
        {"stop", FLO_OPTION_FLAG, &g.stops, "end at the model's end tokens"},
    };
    struct flo_err err = {0};
    int code = flo_options_read(
        argc, argv, "generate --model FILE --tokens IDS [--n N] [--ids]",
        options, FLO_COUNT(options), NULL, 0);

    if (code >= 0) {
        return code;
    }
    return flo_tool_end(&g.tool, generate(&g, &err), &err);
}
