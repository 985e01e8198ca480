/* Sketch: merges buckets and reads a quantile. */
#include <assert.h>
#include <math.h>

#include "server-stub/core/gate/observe/sketch.h"
#include "server-stub/core/gate/statistics/series.h"

#define STRIDE 32 /* buckets that are checked at once, because most are empty */
_Static_assert(FLO_HISTOGRAM_BUCKETS % STRIDE == 0, "none is left over");

static void join_smallest(struct flo_pairs *pairs)
{
    size_t best = 0;

    assert(pairs->count >= 2);
    for (size_t i = 1; i + 1 < pairs->count; i++) {
        uint64_t here = (uint64_t)pairs->values[i] + pairs->values[i + 1];
        uint64_t there = (uint64_t)pairs->values[best] + pairs->values[best + 1];
        best = here < there ? i : best;
    }
    uint64_t both = (uint64_t)pairs->values[best] + pairs->values[best + 1];
    size_t kept = pairs->values[best] < pairs->values[best + 1] ? 1 : 0;
    pairs->index[best] = pairs->index[best + kept];
    pairs->values[best] = both > UINT32_MAX ? UINT32_MAX : (uint32_t)both;
    pairs->count--;
    for (size_t i = best + 1; i < pairs->count; i++) {
        pairs->index[i] = pairs->index[i + 1];
        pairs->values[i] = pairs->values[i + 1];
    }
}

static size_t place_of(const struct flo_pairs *pairs, uint16_t index)
{
    size_t low = 0;
    size_t high = pairs->count;

    assert(pairs->count <= FLO_PAIRS_MAX && index < FLO_HISTOGRAM_BUCKETS);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (pairs->index[middle] < index) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void add_pair(struct flo_pairs *pairs, uint16_t index, uint32_t values)
{
    bool is_behind = pairs->count == 0 || pairs->index[pairs->count - 1] < index;
    size_t at = is_behind ? pairs->count : place_of(pairs, index);

    assert(pairs->count <= FLO_PAIRS_MAX && values > 0);
    if (!is_behind && pairs->index[at] == index) {
        uint32_t room = UINT32_MAX - pairs->values[at];
        pairs->values[at] += values < room ? values : room;
        return;
    }
    if (pairs->count == FLO_PAIRS_MAX) {
        join_smallest(pairs);
        at = place_of(pairs, index);
    }
    for (size_t i = pairs->count; i > at; i--) {
        pairs->index[i] = pairs->index[i - 1];
        pairs->values[i] = pairs->values[i - 1];
    }
    pairs->index[at] = index;
    pairs->values[at] = values;
    pairs->count++;
}

/* Returns a bit for each of four buckets that is not empty. */
static uint32_t used_of_four(const uint32_t *buckets)
{
    return (buckets[0] != 0 ? 1u : 0u) | (buckets[1] != 0 ? 2u : 0u) | (buckets[2] != 0 ? 4u : 0u) |
           (buckets[3] != 0 ? 8u : 0u);
}

/* Returns a bit for each bucket of a stride that is not empty. */
static uint32_t used_of(const uint32_t *buckets)
{
    uint32_t any = 0;
    uint32_t used = 0;

    for (size_t k = 0; k < STRIDE; k++) {
        any |= buckets[k];
    }
    for (size_t k = 0; k < STRIDE && any != 0; k += 4) {
        used |= used_of_four(&buckets[k]) << k;
    }
    return used;
}

/* Merges a histogram.  The search for buckets with values stops once all
 * `count` values of the histogram are found. */
void flo_pairs_merge(struct flo_pairs *pairs, const struct flo_histogram *histogram)
{
    uint64_t left = histogram->count;

    for (size_t i = 0; i < FLO_HISTOGRAM_BUCKETS && left > 0; i += STRIDE) {
        uint32_t used = used_of(&histogram->buckets[i]);
        for (; used != 0; used &= used - 1) {
            size_t k = i + (size_t)__builtin_ctz(used);
            uint32_t values = histogram->buckets[k];
            add_pair(pairs, (uint16_t)k, values);
            left -= values < left ? values : left;
        }
    }
}

bool flo_pairs_read(const struct flo_pairs *pairs, double q, uint64_t least, double *out)
{
    struct flo_bucket buckets[FLO_PAIRS_MAX];
    double value;

    assert(pairs->count <= FLO_PAIRS_MAX);
    for (size_t i = 0; i < pairs->count; i++) {
        buckets[i] = (struct flo_bucket){.index = pairs->index[i], .count = pairs->values[i]};
    }
    if (!flo_buckets_quantile(buckets, pairs->count, q, least, &value)) {
        return false;
    }
    *out = log(value);
    return true;
}
