/* Draft: guesses the next tokens from earlier text (prompt lookup decoding).
 *
 * The last tokens are looked up in prompt and answer.  The tokens that followed
 * them there are computed together with the last token.  A draft token is
 * accepted if the sampler chooses the same one.  The answer is therefore the
 * same as without drafts, to the bit.  How many drafts are computed depends on
 * two measurements: how often drafts were right, and the cost of a pass with
 * that many tokens.  Pure. */
#include "engine/run/run.h"

#include <string.h>

enum { LONG = 4, SHORT = 2 }; /* numbers of tokens that must match for a long and a short match */

/* Weights of a new value in two moving means: of successes and of costs.
 * `forget` is the speed with which old costs drift towards a guess, and
 * `gain_min` the least speedup for which drafts are computed. */
static const float recent = 0.1f, cost_recent = 0.2f, forget = 0.0005f;
static const float gain_min = 1.1f;

uint32_t flo_draft_find(const int32_t *tokens, size_t count, int32_t *out, uint32_t most,
                        bool *is_long)
{
    const int32_t *last = tokens + count - SHORT;
    size_t found = 0; /* position after the match found last; 0: none found */

    *is_long = false;
    for (size_t at = count; count > LONG && !*is_long && --at >= LONG;) {
        if (tokens[at - 1] != last[1] || tokens[at - 2] != last[0]) {
            continue;
        }
        *is_long = memcmp(tokens + at - LONG, tokens + count - LONG,
                          (LONG - SHORT) * sizeof(*tokens)) == 0;
        if (found == 0 || *is_long) {
            found = at;
        }
    }
    if (found == 0) {
        return 0;
    }
    if (most > count - found) {
        most = (uint32_t)(count - found);
    }
    memcpy(out, tokens + found, most * sizeof(*out));
    return most;
}

void flo_draft_begin(struct flo_draft *draft)
{
    *draft = (struct flo_draft){.right = {0.3f, 0.5f}};
}

void flo_draft_learn(struct flo_draft *draft, bool is_long, bool was_right)
{
    float *right = &draft->right[is_long];

    *right += recent * ((was_right ? 1.0f : 0.0f) - *right);
}

uint32_t flo_draft_size(const struct flo_draft *draft, const struct flo_draft_costs *costs,
                        bool is_long, uint32_t found)
{
    float p = draft->right[is_long], tokens = 1, chance = 1;
    float best = gain_min, extra = 0, again = 0;
    uint32_t size = 0;

    if (costs->row_share <= 0) {
        return 0; /* not measured yet */
    }
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
        float gain = tokens / (1 + extra + again);
        if (gain > best) {
            best = gain;
            size = k;
        }
    }
    return size;
}

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
    /* Known costs drift towards a guess, so a number of drafts that seemed too
     * expensive is tried again some time later. */
    for (uint32_t k = 1; k <= FLO_DRAFT_MAX; k++) {
        if (costs->extra[k] > 0) {
            costs->extra[k] += forget * ((float)k * costs->row_share - costs->extra[k]);
        }
    }
}
