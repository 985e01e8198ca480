/* Eval side: runs a model under evaluation in this process. */
#include "engine/judge/eval.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int flo_eval_side_open(struct flo_eval_side *side, const struct flo_tool *tool, struct flo_err *err)
{
    FLO_TRY(flo_tool_answer_open(tool, FLO_VOCABULARY_NEEDED, &side->greedy, err));
    side->model = &side->greedy.model;
    side->tokens = calloc(side->model->info->context, sizeof(*side->tokens));
    return side->tokens != NULL ? 0 : flo_fail(err, FLO_E_MEMORY, "the tokens");
}

void flo_eval_side_about(const struct flo_eval_side *side, struct flo_eval_about *about)
{
    about->info = *side->model->info;
    flo_process_memory(getpid(), NULL, NULL, &about->rss_bytes_peak);
}

/* Generates an answer token by token into side->tokens.  The text is made after
 * the clock has stopped. */
static int generate(struct flo_eval_side *side, uint32_t tokens_max, struct flo_eval_answer *answer,
                    struct flo_err *err)
{
    struct flo_tool_answer *a = &side->greedy;
    uint32_t room = side->model->info->context - side->n_prompt;
    uint64_t started_us = flo_now_us();
    int rv = flo_tool_feed(side->model, side->tokens, side->n_prompt, err);

    room = room < tokens_max ? room : tokens_max;
    a->count = 0;
    while (rv == 0 && answer->tokens_out < room) {
        answer->steps += a->count > 0 ? 1 : 0;
        rv = flo_tool_answer_next(a, 1, err);
        if (rv < 0) {
            break;
        }
        if (answer->ttft_us == 0) {
            answer->ttft_us = flo_now_us() - started_us;
        }
        answer->nonfinite += a->is_finite ? 0 : 1;
        if (flo_engine_is_end(side->model->text, a->tokens[0])) {
            break;
        }
        side->tokens[side->n_prompt + answer->tokens_out++] = a->tokens[0];
    }
    answer->rest_us = flo_now_us() - started_us - answer->ttft_us;
    return rv;
}

int flo_eval_side_prompt(struct flo_eval_side *side, const struct flo_suite_case *one,
                         struct flo_eval_answer *answer, struct flo_err *err)
{
    const struct flo_tool_prompt prompt = {one->system, one->prompt, one->is_raw};
    size_t count;

    FLO_TRY(flo_tool_prompt(side->model->text, &prompt, side->tokens,
                            side->model->info->context - 1, &count, err));
    side->n_prompt = (uint32_t)count;
    side->seen = 0;
    *answer = (struct flo_eval_answer){
        .tokens_in = side->n_prompt,
        .prompt_crc = flo_crc32c(0, side->tokens, 4 * side->n_prompt),
    };
    side->model->backend->reset(side->model->state, 0);
    return 0;
}

int flo_eval_side_answer(struct flo_eval_side *side, const struct flo_suite_case *one,
                         uint32_t tokens_max, struct flo_eval_answer *answer, struct flo_err *err)
{
    FLO_TRY(flo_eval_side_prompt(side, one, answer, err));
    side->text.bytes = 0;
    FLO_TRY(generate(side, tokens_max, answer, err));
    FLO_TRY(flo_engine_detokenise(side->model->text, side->tokens + side->n_prompt,
                                  answer->tokens_out, false, &side->text, err));
    const char *text = side->text.bytes > 0 ? side->text.data : "";
    answer->is_exact = flo_suite_is_exact(one, text, side->text.bytes);
    answer->is_json = flo_suite_is_json(text, side->text.bytes);
    return 0;
}

int flo_eval_side_force(struct flo_eval_side *side, const int32_t *tokens, uint32_t count,
                        flo_logits_fn *row, void *context, struct flo_err *err)
{
    const struct flo_backend *b = side->model->backend;
    uint32_t last = side->n_prompt - 1;

    b->reset(side->model->state, last);
    if (tokens != side->tokens + side->n_prompt) {
        memcpy(side->tokens + side->n_prompt, tokens, count * sizeof(*tokens));
    }
    return b->prefill(side->model->state, side->tokens + last, count + 1, row, context, err);
}

int flo_eval_side_watch(struct flo_eval_side *side, struct flo_states_shape *shape,
                        struct flo_err *err)
{
    if (side->states == NULL) {
        FLO_TRY(flo_states_open(side->model, &side->states, err));
    }
    *shape = flo_states_shape(side->states);
    return 0;
}

int flo_eval_side_states(struct flo_eval_side *side, uint32_t count, const float **values,
                         struct flo_err *err)
{
    const int32_t *next = side->tokens + side->seen;

    side->seen += count;
    return flo_states_run(side->states, next, count, values, err);
}
