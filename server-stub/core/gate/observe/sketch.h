/* Sketch: collects a device's requests in a block until they are enough for a
 * reading.  Pure. */
#ifndef FLOTILLA_SERVER_OBSERVE_SKETCH_H
#define FLOTILLA_SERVER_OBSERVE_SKETCH_H

#include <flotilla/base.h>

/* Largest number of pairs of a sketch.  Beyond it, the two neighbouring buckets
 * with the fewest values become one. */
#define FLO_PAIRS_MAX 64
/* Buckets of a histogram that are not empty, in order. */
struct flo_pairs {
    uint16_t count;
    uint16_t index[FLO_PAIRS_MAX];
    uint32_t values[FLO_PAIRS_MAX];
};
void flo_pairs_merge(struct flo_pairs *pairs, const struct flo_histogram *histogram);
/* Gets the logarithm of the quantile q.  Returns false with fewer than `least`
 * values. */
bool flo_pairs_read(const struct flo_pairs *pairs, double q, uint64_t least, double *out);

#endif
