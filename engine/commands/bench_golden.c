/* Bench golden: plays golden cases; see bench_golden.h. */
#include "engine/commands/bench_golden.h"

#include <stdlib.h>
#include <string.h>

#include <flotilla/engine_output.h>

/* Matchers that a text alone cannot meet. */
#define WITHOUT (1u << FLO_GOLDEN_EXIT | 1u << FLO_GOLDEN_LOSSES)

static int put_prompt(const struct flo_tool_answer *a, const struct flo_golden_case *c,
                      int32_t *tokens, size_t *count, struct flo_err *err)
{
    struct flo_engine_message messages[FLO_GOLDEN_MESSAGES_MAX];
    const struct flo_tool_prompt asked = {NULL, c->prompt, c->input == FLO_GOLDEN_RAW};
    size_t room = a->model.info->context - 1;

    if (c->input != FLO_GOLDEN_MESSAGES) {
        return flo_tool_prompt(a->model.text, &asked, tokens, room, count, err);
    }
    for (uint32_t i = 0; i < c->n_messages; i++) {
        messages[i] = (struct flo_engine_message){.role = c->messages[i].role,
                                                  .text = c->messages[i].content,
                                                  .bytes = strlen(c->messages[i].content)};
    }
    return flo_engine_chat(a->model.text, messages, c->n_messages, tokens, room, count, err);
}

/* Answers greedily.  `tokens` has the prompt, and then the answer. */
static int answer(struct flo_tool_answer *a, const struct flo_golden_case *c, int32_t *tokens,
                  size_t count, uint32_t *answered, struct flo_err *err)
{
    size_t room = a->model.info->context - count;

    room = room < c->tokens_max ? room : c->tokens_max;
    *answered = 0;
    a->model.backend->reset(a->model.state, 0);
    a->count = 0;
    FLO_TRY(flo_tool_feed(&a->model, tokens, count, err));
    while (*answered < room) {
        FLO_TRY(flo_tool_answer_next(a, 1, err));
        if (flo_engine_is_end(a->model.text, a->tokens[0])) {
            break;
        }
        tokens[(*answered)++] = a->tokens[0];
    }
    return 0;
}

static int judge(const struct flo_tool_answer *a, const struct flo_golden_case *c,
                 const int32_t *tokens, uint32_t count, enum flo_bench_case *out,
                 struct flo_err *err)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    struct flo_err why = {0};

    FLO_TRY(flo_engine_detokenise(a->model.text, tokens, count, false, &text, err));
    flo_buf_text(&text, "");
    if (text.failed) {
        return flo_fail(err, FLO_E_MEMORY, "an answer");
    }
    const struct flo_golden_answer given = {
        .text = text.data, .bytes = text.bytes, .tokens = tokens, .n_tokens = count};
    *out = flo_golden_judge(c, WITHOUT, &given, &why) == 0 ? FLO_BENCH_RIGHT : FLO_BENCH_WRONG;
    return 0;
}

int flo_bench_golden(struct flo_tool_answer *a, const struct flo_golden_case *c,
                     enum flo_bench_case *out, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *room = NULL;
    struct flo_err why = {0};
    uint32_t answered = 0;
    size_t count = 0;

    *out = FLO_BENCH_PASSED_OVER;
    if (c->input >= FLO_GOLDEN_TEXT || flo_golden_count(c, WITHOUT) == 0) {
        return 0;
    }
    room = calloc(a->model.info->context, sizeof(int32_t));
    if (room == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "a prompt");
    }
    int32_t *tokens = (int32_t *)(void *)room;
    if (put_prompt(a, c, tokens, &count, &why) < 0) {
        return 0; /* no chat template, or a prompt longer than the context */
    }
    FLO_TRY(answer(a, c, tokens, count, &answered, err));
    return judge(a, c, tokens, answered, out, err);
}
