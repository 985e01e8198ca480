/* Held out: keeps answers, and measures a table on them. */
#include "engine/publish/draft/held_out.h"

int flo_held_out_add(struct flo_held_out *held, const int32_t *tokens, uint32_t n_prompt,
                     uint32_t count, struct flo_err *err)
{
    uint32_t kept = n_prompt < FLO_DRAFT_CONTEXT_MAX ? n_prompt : FLO_DRAFT_CONTEXT_MAX;
    const uint32_t numbers[] = {kept, kept + count - n_prompt};

    flo_buf_add(&held->list, numbers, sizeof(numbers));
    flo_buf_add(&held->list, tokens + n_prompt - kept, numbers[1] * sizeof(*tokens));
    held->count++;
    return held->list.failed
               ? flo_fail(err, FLO_E_MEMORY, "%u answers that are held out", held->count)
               : 0;
}

void flo_held_out_deinit(struct flo_held_out *held)
{
    flo_buf_deinit(&held->list);
}

/* A kept answer. */
struct answer {
    uint32_t n_prompt, count;
    const int32_t *tokens;
};

/* Reads the answer at *at, and moves *at to the next one. */
static struct answer read_next(const uint32_t **at)
{
    const struct answer answer = {(*at)[0], (*at)[1], (const void *)(*at + 2)};

    *at += 2 + answer.count;
    return answer;
}

static void measure_one(const struct answer *answer, const struct flo_draft_table *table,
                        struct flo_held_out_score *score)
{
    for (uint32_t i = answer->n_prompt; i < answer->count; i++) {
        int32_t guess;
        bool is_guessed = flo_draft_table_guess(table, answer->tokens, i, &guess, 1) == 1;
        score->tokens++;
        score->guessed += is_guessed;
        score->right += is_guessed && guess == answer->tokens[i];
    }
}

void flo_held_out_measure(const struct flo_held_out *held, const struct flo_draft_table *table,
                          struct flo_held_out_score *score)
{
    const uint32_t *at = (const void *)held->list.data;

    *score = (struct flo_held_out_score){0};
    for (uint32_t i = 0; i < held->count; i++) {
        const struct answer answer = read_next(&at);
        measure_one(&answer, table, score);
    }
}

int flo_held_out_release(const struct flo_held_out *held, struct flo_draft_maker *maker,
                         struct flo_err *err)
{
    const uint32_t *at = (const void *)held->list.data;

    for (uint32_t i = 0; i < held->count; i++) {
        const struct answer answer = read_next(&at);
        FLO_TRY(flo_draft_maker_add(maker, answer.tokens, answer.n_prompt, answer.count, err));
    }
    return 0;
}
