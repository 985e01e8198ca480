/* Rate: token buckets of requests.  A bucket stores the time that its requests
 * need to refill, so the arithmetic has no remainders. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "server-stub/core/request/rate.h"

/* Limits of requests.  Our page sends at most two requests a second, our
 * scripts four.  1,000 a second are a fifth of what the controller can
 * answer. */
const struct flo_rate_policy flo_rate_policies[FLO_RATE_KINDS] = {
    [FLO_RATE_DEFAULT] = {"default", 60000, 60000},
    [FLO_RATE_URGENT] = {"urgent", 120, 60000},
    [FLO_RATE_LOGIN] = {"login", 60, 60000}};

static uint64_t used_at(const struct flo_rate_bucket *bucket, uint64_t now_ms)
{
    uint64_t since_ms = now_ms > bucket->at_ms ? now_ms - bucket->at_ms : 0;

    return bucket->used_us > since_ms * 1000 ? bucket->used_us - since_ms * 1000 : 0;
}

/* Finds the token's bucket; if there is none, the least used bucket is emptied
 * for the token. */
static struct flo_rate_bucket *bucket_of(struct flo_rate_bucket *buckets, const char *token,
                                         uint64_t now_ms)
{
    struct flo_rate_bucket *least = &buckets[0];

    for (size_t i = 0; i < FLO_RATE_BUCKETS; i++) {
        if (strcmp(buckets[i].token, token) == 0) {
            return &buckets[i];
        }
        if (used_at(&buckets[i], now_ms) < used_at(least, now_ms)) {
            least = &buckets[i];
        }
    }
    *least = (struct flo_rate_bucket){0};
    snprintf(least->token, sizeof(least->token), "%s", token);
    return least;
}

struct flo_rate_answer flo_rate_take(struct flo_rates *rates, enum flo_rate_kind kind,
                                     const char *token, uint64_t now_ms)
{
    assert(kind < FLO_RATE_KINDS && token[0] != '\0');
    const struct flo_rate_policy *policy = &flo_rate_policies[kind];
    struct flo_rate_bucket *bucket = bucket_of(rates->buckets[kind], token, now_ms);
    uint64_t full = policy->fill_ms * 1000;
    uint64_t each = full / policy->quota;
    uint64_t used = used_at(bucket, now_ms);
    struct flo_rate_answer answer = {.may = used + each <= full};

    if (answer.may) {
        used += each;
        bucket->used_us = used;
        bucket->at_ms = now_ms;
    }
    answer.left = (full - used) / each;
    answer.wait_ms = answer.may ? 0 : (used + each - full) / 1000 + 1;
    answer.full_ms = used / 1000;
    return answer;
}
