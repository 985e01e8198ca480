/* Logprobs: computes log-probabilities from logits. */
#include <flotilla/engine_output.h>

#include <math.h>

/* Inserts a candidate into a list of at most `count`, best first.  Among equals
 * a later one, which has a larger id, goes behind.  Returns the new length. */
static uint32_t insert(struct flo_logprob *list, uint32_t used, uint32_t count,
                       struct flo_logprob one)
{
    uint32_t at = used;

    if (used == count) {
        if (count == 0 || one.logprob <= list[count - 1].logprob) {
            return used;
        }
        at = count - 1;
    } else {
        used++;
    }
    for (; at > 0 && one.logprob > list[at - 1].logprob; at--) {
        list[at] = list[at - 1];
    }
    list[at] = one;
    return used;
}

static float logprob_of(double logit, double total)
{
    double value = logit - total;

    return value > (double)FLO_LOGPROB_MIN ? (float)value : FLO_LOGPROB_MIN;
}

uint32_t flo_logprobs(const float *logits, uint32_t n_vocab, int32_t token, uint32_t count,
                      struct flo_logprob *out)
{
    uint32_t used = 0;
    double best = -INFINITY, total = 0;

    count = count < FLO_LOGPROBS_MAX ? count : FLO_LOGPROBS_MAX;
    for (uint32_t i = 0; i < n_vocab; i++) {
        if (isfinite(logits[i])) {
            best = (double)logits[i] > best ? (double)logits[i] : best;
            used = insert(out + 1, used, count, (struct flo_logprob){(int32_t)i, logits[i]});
        }
    }
    for (uint32_t i = 0; i < n_vocab; i++) {
        total += isfinite(logits[i]) ? exp((double)logits[i] - best) : 0;
    }
    total = best + log(total);
    out[0] = (struct flo_logprob){token, isfinite(logits[token])
                                             ? logprob_of((double)logits[token], total)
                                             : FLO_LOGPROB_MIN};
    for (uint32_t i = 1; i <= used; i++) {
        out[i].logprob = logprob_of((double)out[i].logprob, total);
    }
    return used + 1;
}
