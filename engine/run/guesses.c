/* Guesses: the tokens that may follow an answer's last one, from its text and
 * from the draft file.  Those that pay most are computed with the pass. */
#include "engine/run/run.h"

#include <string.h>

/* Guesses of one kind. */
struct guesses {
    int32_t tokens[FLO_DRAFT_MAX];
    uint32_t found;
};

/* Appends guesses to the list, in place of those that are there. */
static void append(struct flo_job *job, const struct guesses *from, uint32_t size)
{
    memcpy(job->tokens + job->n_tokens, from->tokens, size * sizeof(*from->tokens));
    job->n_guesses = size;
}

/* Notes the guesses, and appends as many as pay if they pay more than `gain`.
 * Without `drafting` (NULL) none is computed. */
static void offer(struct flo_job *job, const struct flo_drafting *drafting, enum flo_guess kind,
                  const struct guesses *from, float *gain)
{
    uint32_t size = 0;
    float mine = 0;
    if (from->found == 0) {
        return;
    }
    job->firsts[kind] = from->tokens[0];
    if (drafting != NULL) {
        mine = flo_draft_size(&job->draft, &drafting->costs, kind, from->found, &size);
    }
    if (mine > *gain) {
        *gain = mine;
        append(job, from, size);
    }
}

static uint32_t ask(struct flo_job *job, const struct flo_drafting *drafting, struct guesses *out,
                    uint32_t most)
{
    return flo_drafter_guess(drafting->drafter, job->sequence, job->tokens, job->n_tokens,
                             out->tokens, most);
}

/* Asks the draft model for guesses, if they pay more than `gain`. */
static void ask_model(struct flo_job *job, struct flo_drafting *drafting, uint32_t most, float gain)
{
    struct flo_draft_place place = {
        .most = most,
        .lag = flo_drafter_lag(drafting->drafter, job->sequence, job->tokens, job->n_tokens),
        .made = job->made,
        .gain = gain,
    };
    uint32_t size = flo_draft_ask(&job->draft, &drafting->costs, &place);
    struct guesses from;
    if (size == 0) {
        return;
    }
    uint64_t began_us = flo_now_us();
    from.found = ask(job, drafting, &from, size);
    uint32_t computed = flo_smaller(place.lag, FLO_DRAFT_CATCH_UP);
    float us = (float)(flo_now_us() - began_us);
    flo_draft_guess_cost(&drafting->costs, computed, from.found, us);
    if (from.found > 0) {
        job->guess_us = place.lag <= FLO_DRAFT_MAX ? us : 0;
        job->firsts[FLO_GUESS_MODEL] = from.tokens[0];
        append(job, &from, from.found);
    }
}

/* Makes guesses from the table.  Where it has none, the text goes on: a name
 * that the answer repeats is no frequent sequence. */
static void chain(struct flo_job *job, const struct flo_drafting *drafting, uint32_t most,
                  struct guesses *out)
{
    int32_t *next = job->tokens + job->n_tokens;
    uint32_t found = 0, more = 1;
    enum flo_guess kind;
    while (found < most && more > 0) {
        more = flo_drafter_guess(drafting->drafter, job->sequence, job->tokens,
                                 job->n_tokens + found, next + found, most - found);
        if (more == 0 && found > 0) {
            more = flo_draft_find(job->tokens, job->n_tokens + found, next + found, 1, &kind);
        }
        found += more;
    }
    memcpy(out->tokens, next, found * sizeof(*next));
    out->found = found;
}

void flo_job_guess(struct flo_job *job, struct flo_drafting *drafting)
{
    uint32_t room = flo_engine_info(job->engine)->context - job->n_tokens;
    uint32_t most = flo_smaller(job->tokens_max - job->made - 1, room > 0 ? room - 1 : 0);
    const struct flo_drafter *drafter = drafting == NULL ? NULL : drafting->drafter;
    bool is_model = drafter != NULL && flo_drafter_info(drafter)->kind == FLO_DRAFTER_MODEL;
    struct guesses from;
    enum flo_guess kind;
    float gain = 0;
    most = flo_smaller(most, FLO_DRAFT_MAX);
    if (drafter != NULL && !is_model) {
        chain(job, drafting, most, &from);
        offer(job, drafting, FLO_GUESS_TABLE, &from, &gain);
    }
    from.found = flo_draft_find(job->tokens, job->n_tokens, from.tokens, most, &kind);
    offer(job, drafting, kind, &from, &gain);
    if (is_model) {
        ask_model(job, drafting, most, gain);
    }
}

void flo_job_learn(struct flo_job *job, int32_t chosen)
{
    for (unsigned kind = 0; kind < FLO_GUESS_KINDS; kind++) {
        if (job->firsts[kind] >= 0) {
            flo_draft_learn(&job->draft, kind, job->firsts[kind] == chosen);
        }
    }
}

void flo_job_cost(struct flo_job *job, struct flo_draft_costs *costs, uint32_t rows, float us)
{
    flo_draft_cost(costs, rows, us);
    if (job->guess_us > 0 && costs->single_us > 0) {
        uint32_t tokens = 1 + job->n_guesses - job->n_left;
        flo_draft_paid(&job->draft, costs, tokens, us + job->guess_us);
    }
}
