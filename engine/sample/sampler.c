/* Sampler: chooses one token from logits.
 *
 * The order is: biases, penalties of the answer, repeat penalty, then top-k,
 * top-p and min-p on the model's own distribution, then temperature on the
 * remaining candidates.  Candidates come out of a heap, largest first and
 * smaller id first among equals, so only as many are sorted as are needed; the
 * draw is an integer below the sum of integer weights. */
#include "engine/sample/sampler.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define REPEAT_LAST_DEFAULT 64
#define PENALTY_MAX 2
#define BIAS_MAX 100

static int out_of_range(struct flo_err *err, const char *name, double value, double minimum,
                        double maximum)
{
    return flo_fail(err, FLO_E_INFER_PARAM, "%s is %g, not %g to %g", name, value, minimum,
                    maximum);
}

/* Checks the options that may be negative. */
static int check_signed(const struct flo_sampling *s, struct flo_err *err)
{
    const struct {
        const char *name;
        float value;
    } rows[] = {{"presence_penalty", s->presence_penalty},
                {"frequency_penalty", s->frequency_penalty}};

    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        if (!(fabsf(rows[i].value) <= PENALTY_MAX)) {
            return out_of_range(err, rows[i].name, (double)rows[i].value, -PENALTY_MAX,
                                PENALTY_MAX);
        }
    }
    if (s->bias_count > FLO_LOGIT_BIASES_MAX) {
        return flo_fail(err, FLO_E_INFER_PARAM, "logit_bias has %u tokens, at most %d",
                        s->bias_count, FLO_LOGIT_BIASES_MAX);
    }
    for (uint32_t i = 0; i < s->bias_count; i++) {
        if (!(fabsf(s->biases[i].bias) <= BIAS_MAX)) {
            return out_of_range(err, "logit_bias", (double)s->biases[i].bias, -BIAS_MAX, BIAS_MAX);
        }
    }
    return 0;
}

int flo_sampling_check(const struct flo_sampling *s, struct flo_err *err)
{
    const struct {
        const char *name;
        double value, maximum;
    } rows[] = {
        {"temperature", (double)s->temperature, 100},
        {"top_k", (double)s->top_k, 1 << 30},
        {"top_p", (double)s->top_p, 1},
        {"min_p", (double)s->min_p, 1},
        {"repeat_penalty", (double)s->repeat_penalty, 100},
        {"repeat_last", (double)s->repeat_last, FLO_REPEAT_LAST_MAX},
    };

    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        if (!(rows[i].value >= 0 && rows[i].value <= rows[i].maximum)) {
            return out_of_range(err, rows[i].name, rows[i].value, 0, rows[i].maximum);
        }
    }
    if (s->repeat_penalty != 0 && s->repeat_penalty < 0.01f) {
        return out_of_range(err, "repeat_penalty", (double)s->repeat_penalty, 0.01, 100);
    }
    return check_signed(s, err);
}

struct candidate {
    float logit;
    int32_t token;
};

struct flo_sampler {
    struct flo_sampling sampling;
    struct flo_sampler_state state;
    uint32_t n_vocab;
    uint64_t *weights;             /* [n_vocab]: weights of the candidates for the draw */
    struct candidate candidates[]; /* [n_vocab] */
};

uint64_t flo_sampler_bytes(uint32_t n_vocab)
{
    const struct flo_sampler *s = NULL;

    return sizeof(*s) + n_vocab * (uint64_t)(sizeof(s->candidates[0]) + sizeof(*s->weights));
}

int flo_sampler_make(uint32_t n_vocab, const struct flo_sampling *sampling,
                     struct flo_sampler **out, struct flo_err *err)
{
    struct flo_sampler *sampler;

    FLO_TRY(flo_sampling_check(sampling, err));
    sampler = malloc(sizeof(*sampler) + (size_t)n_vocab * sizeof(sampler->candidates[0]));
    if (sampler == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "a sampler for %u tokens", n_vocab);
    }
    sampler->n_vocab = n_vocab;
    sampler->weights = malloc(n_vocab * sizeof(*sampler->weights));
    if (sampler->weights == NULL) {
        free(sampler);
        return flo_fail(err, FLO_E_MEMORY, "a sampler for %u tokens", n_vocab);
    }
    int rv = flo_sampler_reset(sampler, sampling, err);
    if (rv < 0) {
        flo_sampler_close(sampler);
        return rv;
    }
    *out = sampler;
    return 0;
}

void flo_sampler_close(struct flo_sampler *sampler)
{
    if (sampler != NULL) {
        free(sampler->weights);
        free(sampler);
    }
}

int flo_sampler_reset(struct flo_sampler *sampler, const struct flo_sampling *sampling,
                      struct flo_err *err)
{
    FLO_TRY(flo_sampling_check(sampling, err));
    sampler->sampling = *sampling;
    if (sampling->repeat_last == 0) {
        sampler->sampling.repeat_last = REPEAT_LAST_DEFAULT;
    }
    sampler->state.random.state = sampling->seed;
    sampler->state.recent_count = 0;
    return 0;
}

const struct flo_sampler_state *flo_sampler_state(const struct flo_sampler *sampler)
{
    return &sampler->state;
}

void flo_sampler_go_on(struct flo_sampler *sampler, const struct flo_sampler_state *state)
{
    sampler->state = *state;
}

void flo_sampler_accept(struct flo_sampler *sampler, int32_t token)
{
    struct flo_sampler_state *state = &sampler->state;

    state->recent[state->recent_count++ % FLO_REPEAT_LAST_MAX] = token;
}

void flo_sampler_answer(struct flo_sampler *sampler, int32_t token)
{
    struct flo_answered *answered = sampler->sampling.answered;
    uint32_t at = 0;

    flo_sampler_accept(sampler, token);
    if (answered == NULL) {
        return;
    }
    while (at < answered->count && answered->items[at].token != token) {
        at++;
    }
    if (at < answered->count) {
        answered->items[at].times++;
    } else if (at < answered->max) {
        answered->items[answered->count].token = token;
        answered->items[answered->count++].times = 1;
    }
}

/* ---- what the model said ---- */

/* Finds the best token, its distance to the second best, and whether all logits
 * are finite.  A NaN or infinity is never the best. */
static void look(const float *logits, uint32_t count, struct flo_sample *out)
{
    float first = -INFINITY, second = -INFINITY;
    int32_t best = 0;
    bool is_finite = true;

    for (uint32_t i = 0; i < count; i++) {
        float logit = logits[i];

        if (!isfinite(logit)) {
            is_finite = false;
        } else if (logit > first) {
            second = first;
            first = logit;
            best = (int32_t)i;
        } else if (logit > second) {
            second = logit;
        }
    }
    *out = (struct flo_sample){
        .token = best,
        .logit = logits[best],
        .gap = isfinite(second) ? first - second : 0,
        .is_finite = is_finite,
    };
}

/* ---- candidates ---- */

static bool is_better(struct candidate a, struct candidate b)
{
    return a.logit > b.logit || (a.logit == b.logit && a.token < b.token);
}

static void swap(struct candidate *a, struct candidate *b)
{
    struct candidate moved = *a;

    *a = *b;
    *b = moved;
}

static void sift_down(struct candidate *heap, size_t count, size_t at)
{
    for (;;) {
        size_t child = 2 * at + 1;

        if (child >= count) {
            return;
        }
        if (child + 1 < count && is_better(heap[child + 1], heap[child])) {
            child++;
        }
        if (!is_better(heap[child], heap[at])) {
            return;
        }
        swap(&heap[at], &heap[child]);
        at = child;
    }
}

static int32_t recent_at(const struct flo_sampler *s, uint32_t back)
{
    uint32_t at = s->state.recent_count - 1 - back;

    return s->state.recent[at % FLO_REPEAT_LAST_MAX];
}

static bool has_penalty(const struct flo_sampler *s)
{
    return s->sampling.repeat_penalty != 0 && s->sampling.repeat_penalty != 1;
}

static bool is_token(const struct flo_sampler *s, int32_t token)
{
    return token >= 0 && (uint32_t)token < s->n_vocab;
}

static void bias(const struct flo_sampler *s, struct candidate *by_token)
{
    const struct flo_logit_bias *biases = s->sampling.biases;

    for (uint32_t i = 0; i < s->sampling.bias_count; i++) {
        if (is_token(s, biases[i].token)) {
            by_token[biases[i].token].logit +=
                biases[i].bias <= -BIAS_MAX ? -INFINITY : biases[i].bias;
        }
    }
}

static void punish_answered(const struct flo_sampler *s, struct candidate *by_token)
{
    const struct flo_answered *answered = s->sampling.answered;

    for (uint32_t i = 0; answered != NULL && i < answered->count; i++) {
        if (is_token(s, answered->items[i].token)) {
            by_token[answered->items[i].token].logit -=
                s->sampling.presence_penalty +
                s->sampling.frequency_penalty * (float)answered->items[i].times;
        }
    }
}

/* Tells whether an option changes the logits before the choice. */
static bool has_changes(const struct flo_sampler *s)
{
    return has_penalty(s) || s->sampling.bias_count > 0 ||
           (s->sampling.answered != NULL && s->sampling.answered->count > 0);
}

/* Applies the repeat penalty to each recent token once, however often it
 * occurred. */
static void punish(struct flo_sampler *s, struct candidate *by_token)
{
    float penalty = s->sampling.repeat_penalty;
    uint32_t count = s->state.recent_count < s->sampling.repeat_last ? s->state.recent_count
                                                                     : s->sampling.repeat_last;

    for (uint32_t i = 0; has_penalty(s) && i < count; i++) {
        int32_t token = recent_at(s, i);
        uint32_t later = 0;

        while (later < i && recent_at(s, later) != token) {
            later++;
        }
        if (later < i || !is_token(s, token)) {
            continue;
        }
        float *logit = &by_token[token].logit;
        *logit = *logit > 0 ? *logit / penalty : *logit * penalty;
    }
}

static bool is_allowed(const uint64_t *allowed, uint32_t token)
{
    return allowed == NULL || (allowed[token / 64] >> token % 64 & 1) != 0;
}

/* Collects the finite candidates among the allowed tokens.  Returns their
 * number. */
static size_t gather(struct flo_sampler *s, const float *logits, const uint64_t *allowed)
{
    struct candidate *c = s->candidates;
    size_t count = 0;

    for (uint32_t i = 0; i < s->n_vocab; i++) {
        c[i] = (struct candidate){logits[i], (int32_t)i};
    }
    bias(s, c);
    punish_answered(s, c);
    punish(s, c);
    for (uint32_t i = 0; i < s->n_vocab; i++) {
        if (isfinite(c[i].logit) && is_allowed(allowed, i)) {
            c[count++] = c[i];
        }
    }
    return count;
}

/* Returns exp(exponent), or 0 if that weight is too small for a draw with steps
 * of 2^-40. */
static double share_of(double exponent)
{
    return exponent < -28 ? 0 : exp(exponent);
}

static size_t best_of(const struct candidate *candidates, size_t count)
{
    size_t best = 0;

    for (size_t i = 1; i < count; i++) {
        best = is_better(candidates[i], candidates[best]) ? i : best;
    }
    return best;
}

/* Moves the candidates that top-k, top-p and min-p leave to the array's end,
 * best last.  Returns their number, which is at least 1. */
static size_t choose(struct flo_sampler *s, size_t count)
{
    struct candidate *heap = s->candidates;
    const struct flo_sampling *p = &s->sampling;
    size_t most = p->top_k == 0 || p->top_k > count ? count : p->top_k;
    bool has_top_p = p->top_p > 0 && p->top_p < 1;
    double total = 0, sum = 0;
    size_t taken = 0;

    if (most == count && !has_top_p && !(p->min_p > 0)) {
        /* Nothing is sorted, because all candidates stay and only the best one
         * must be last. */
        swap(&heap[best_of(heap, count)], &heap[count - 1]);
        return count;
    }
    for (size_t i = count / 2; i-- > 0;) {
        sift_down(heap, count, i);
    }
    float best = heap[0].logit;
    for (size_t i = 0; has_top_p && i < count; i++) {
        total += share_of((double)heap[i].logit - (double)best);
    }
    while (taken < most) {
        struct candidate next = heap[0];
        double share = exp((double)next.logit - (double)best);

        if (taken > 0 &&
            ((has_top_p && sum >= (double)p->top_p * total) || share < (double)p->min_p)) {
            break;
        }
        sum += share;
        taken++;
        heap[0] = heap[count - taken];
        heap[count - taken] = next;
        sift_down(heap, count - taken, 0);
    }
    return taken;
}

static struct candidate draw(struct flo_sampler *s, const struct candidate *chosen, size_t count)
{
    double best = (double)chosen[count - 1].logit;
    uint64_t total = 0, at;

    for (size_t i = 0; i < count; i++) {
        double share = share_of(((double)chosen[i].logit - best) / (double)s->sampling.temperature);
        s->weights[i] = (uint64_t)(share * 0x1p40);
        total += s->weights[i];
    }
    at = flo_random_below(&s->state.random, total);
    for (size_t i = 0; i < count; i++) {
        if (at < s->weights[i]) {
            return chosen[i];
        }
        at -= s->weights[i];
    }
    return chosen[count - 1];
}

void flo_sampler_choose(struct flo_sampler *s, const float *logits, const uint64_t *allowed,
                        struct flo_sample *sample)
{
    bool is_greedy = s->sampling.temperature == 0;
    size_t count = 0;

    look(logits, s->n_vocab, sample);
    if (!is_greedy || has_changes(s) || allowed != NULL) {
        count = gather(s, logits, allowed);
    }
    if (count > 0) {
        struct candidate found;

        if (is_greedy) {
            found = s->candidates[best_of(s->candidates, count)];
        } else {
            size_t taken = choose(s, count);
            found = draw(s, s->candidates + count - taken, taken);
        }
        sample->token = found.token;
        sample->logit = logits[found.token];
    }
    /* If all allowed logits are NaN or infinite, the first allowed token is
     * taken. */
    for (uint32_t i = 0; count == 0 && allowed != NULL && i < s->n_vocab; i++) {
        if (is_allowed(allowed, i)) {
            sample->token = (int32_t)i;
            sample->logit = logits[i];
            break;
        }
    }
}

void flo_sampler_sample(struct flo_sampler *s, const float *logits, struct flo_sample *sample)
{
    flo_sampler_choose(s, logits, NULL, sample);
    flo_sampler_answer(s, sample->token);
}
