/* Draft: guesses the next tokens from earlier text (prompt lookup decoding),
 * and chooses between these guesses and those of a draft file.
 *
 * The last tokens are looked up in prompt and answer.  The tokens that followed
 * them there are computed together with the last token.  A draft token is
 * accepted if the sampler chooses the same one.  The answer is therefore the
 * same as without drafts, to the bit.  How many drafts are computed depends on
 * three measurements: how often drafts were right, the cost of a pass with that
 * many tokens, and the cost of a guess by a draft model.  Pure. */
#include "engine/run/run.h"

#include <assert.h>
#include <string.h>

enum { LONG = 4, SHORT = 2 }; /* numbers of tokens that must match for a long and a short match */

/* Weights of a new value in two moving means: of successes and of costs.
 * `forget` is the speed with which old costs drift towards a guess, and
 * `gain_min` the least speedup for which drafts are computed. */
static const float recent = 0.1f, cost_recent = 0.2f, forget = 0.0005f;
static const float gain_min = 1.1f;

/* A draft model is used if its passes were measured to be faster than those
 * without guesses, by this factor.  One that does not pay is tried again after
 * some tokens, in a few passes.  Each time that it still does not pay, the wait
 * doubles. */
static const float pays = 1.05f, paid_first = 1.5f;
enum { TRIES = 8, WAIT_MIN = 64, WAIT_MAX = 8192 };
/* most tokens that a model computes before a guess when it is in use */
enum { CAUGHT_UP = FLO_DRAFT_MAX };

#define ANSWER_TOKENS 64.0f /* expected length of the first answer */

uint32_t flo_draft_find(const int32_t *tokens, size_t count, int32_t *out, uint32_t most,
                        enum flo_guess *kind)
{
    const int32_t *last = tokens + count - SHORT;
    size_t found = 0; /* position after the match found last; 0: none found */
    bool is_long = false;

    for (size_t at = count; count > LONG && !is_long && --at >= LONG;) {
        if (tokens[at - 1] != last[1] || tokens[at - 2] != last[0]) {
            continue;
        }
        is_long = memcmp(tokens + at - LONG, tokens + count - LONG,
                         (LONG - SHORT) * sizeof(*tokens)) == 0;
        if (found == 0 || is_long) {
            found = at;
        }
    }
    *kind = is_long ? FLO_GUESS_LONG : FLO_GUESS_SHORT;
    if (found == 0) {
        return 0;
    }
    if (most > count - found) {
        most = (uint32_t)(count - found);
    }
    memcpy(out, tokens + found, most * sizeof(*out));
    return most;
}

/* ---- what was right ---- */

void flo_draft_begin(struct flo_draft *draft, const struct flo_draft *known)
{
    static const float first[FLO_GUESS_KINDS] = {0.3f, 0.5f, 0.5f, 0.5f};
    if (known->wait > 0) {
        *draft = *known;
    } else {
        *draft = (struct flo_draft){
            .wait = WAIT_MIN, .paid = paid_first, .answer_tokens = ANSWER_TOKENS};
        memcpy(draft->right, first, sizeof(first));
    }
    /* Earlier requests say nothing about the text of this one. */
    draft->right[FLO_GUESS_SHORT] = first[FLO_GUESS_SHORT];
    draft->right[FLO_GUESS_LONG] = first[FLO_GUESS_LONG];
}

void flo_draft_learn(struct flo_draft *draft, enum flo_guess kind, bool was_right)
{
    float *right = &draft->right[kind];

    *right += recent * ((was_right ? 1.0f : 0.0f) - *right);
}

void flo_draft_end(struct flo_draft *draft, uint32_t made)
{
    draft->answer_tokens += recent * ((float)made - draft->answer_tokens);
}

/* ---- how many pay ---- */

/* Returns the largest speedup by 1 to `found` guesses of this kind, and writes
 * their number to *size.  It is 0 if none gives more than `least`. */
static float best_size(const struct flo_draft *draft, const struct flo_draft_costs *costs,
                       enum flo_guess kind, uint32_t found, float least, uint32_t *size)
{
    float p = draft->right[kind], tokens = 1, chance = 1;
    float best = least, extra = 0, again = 0;

    *size = 0;
    if (costs->row_share <= 0) {
        return 0; /* not measured yet */
    }
    float each = kind == FLO_GUESS_MODEL ? costs->guess_us / costs->single_us : 0;
    for (uint32_t k = 1; k <= found && k <= FLO_DRAFT_MAX; k++) {
        float mine = costs->extra[k] > 0 ? costs->extra[k] : (float)k * costs->row_share;
        /* a pass with more drafts never costs less than one with fewer */
        extra = mine > extra ? mine : extra;
        if (costs->computes_again) {
            /* if draft k is wrong, the next pass computes k rows again */
            again += chance * (1 - p) * extra;
        }
        chance *= p;
        tokens += chance;
        float gain = tokens / (1 + extra + again + (float)k * each);
        if (gain > best) {
            best = gain;
            *size = k;
        }
    }
    return *size > 0 ? best : 0;
}

float flo_draft_size(const struct flo_draft *draft, const struct flo_draft_costs *costs,
                     enum flo_guess kind, uint32_t found, uint32_t *size)
{
    return best_size(draft, costs, kind, found, gain_min, size);
}

/* Returns how many tokens of the answer are still expected: up to the mean of
 * earlier answers, or half as many as there are already. */
static float tokens_left(const struct flo_draft *draft, uint32_t made)
{
    float left = draft->answer_tokens - (float)made, half = (float)made / 2;

    return left > half ? left : half;
}

/* Tells whether the model saves more time in the rest of the answer than it
 * needs for the tokens that it has not computed yet. */
static bool is_worth_its_lag(const struct flo_draft *draft, const struct flo_draft_costs *costs,
                             const struct flo_draft_place *place, float gain)
{
    float cost = (float)place->lag * costs->lag_us / costs->single_us;

    return place->lag <= CAUGHT_UP || tokens_left(draft, place->made) * (1 - 1 / gain) > cost;
}

/* Tells whether a model that does not pay is tried now. */
static bool is_tried(struct flo_draft *draft)
{
    if (draft->tries == 0 && ++draft->waited >= draft->wait) {
        draft->waited = 0;
        draft->tries = TRIES;
        draft->wait = flo_smaller(2 * draft->wait, WAIT_MAX);
    }
    draft->tries -= draft->tries > 0 ? 1 : 0;
    return draft->tries > 0;
}

uint32_t flo_draft_ask(struct flo_draft *draft, const struct flo_draft_costs *costs,
                       const struct flo_draft_place *place)
{
    uint32_t size;
    float gain = best_size(draft, costs, FLO_GUESS_MODEL, place->most, 0, &size);
    assert(draft->wait >= WAIT_MIN && draft->wait <= WAIT_MAX);
    if (size == 0 || gain <= place->gain) {
        return 0;
    }
    if (gain <= gain_min || draft->paid < pays || !is_worth_its_lag(draft, costs, place, gain)) {
        return place->lag <= FLO_DRAFT_CATCH_UP && is_tried(draft) ? size : 0;
    }
    draft->wait = WAIT_MIN;
    draft->waited = draft->tries = 0;
    return size;
}

void flo_draft_paid(struct flo_draft *draft, const struct flo_draft_costs *costs, uint32_t tokens,
                    float us)
{
    draft->paid += recent * ((float)tokens * costs->single_us / us - draft->paid);
}

/* ---- what a pass costs ---- */

static void mix(float *mean, float value)
{
    *mean += *mean > 0 ? cost_recent * (value - *mean) : value;
}

void flo_draft_cost(struct flo_draft_costs *costs, uint32_t rows, float us)
{
    if (rows > FLO_DRAFT_MAX + 1) {
        mix(&costs->prompt_row_us, us / (float)rows);
        return;
    }
    if (rows > 1 && costs->single_us > 0) {
        float extra = us / costs->single_us - 1;
        mix(&costs->extra[rows - 1], extra > 0.01f ? extra : 0.01f);
        return;
    }
    if (rows > 1) {
        return;
    }
    mix(&costs->single_us, us);
    costs->row_share = costs->prompt_row_us / costs->single_us;
    costs->guess_us -= forget * costs->guess_us;
    costs->lag_us -= forget * costs->lag_us;
    /* Known costs drift towards a guess, so a number of drafts that seemed too
     * expensive is tried again some time later. */
    for (uint32_t k = 1; k <= FLO_DRAFT_MAX; k++) {
        if (costs->extra[k] > 0) {
            costs->extra[k] += forget * ((float)k * costs->row_share - costs->extra[k]);
        }
    }
}

void flo_draft_guess_cost(struct flo_draft_costs *costs, uint32_t lag, uint32_t guesses, float us)
{
    if (guesses == 0) {
        mix(&costs->lag_us, us / (float)lag);
    } else if (lag <= CAUGHT_UP) {
        mix(&costs->guess_us, us / (float)guesses);
    }
}
