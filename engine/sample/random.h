/* Random: numbers from a seed, computed with integers only, so they are the
 * same on every machine. */
#ifndef FLOTILLA_ENGINE_RANDOM_H
#define FLOTILLA_ENGINE_RANDOM_H

#include <stdint.h>

/* State of splitmix64 (Steele, Lea, Flood 2014), which may be any seed. */
struct flo_random_stream {
    uint64_t state;
};

static inline uint64_t flo_random_next(struct flo_random_stream *stream)
{
    uint64_t z = stream->state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Returns an unbiased random number below `limit`, which is not 0.  Draws above
 * the largest multiple of `limit` are rejected. */
static inline uint64_t flo_random_below(struct flo_random_stream *stream, uint64_t limit)
{
    uint64_t beyond = UINT64_MAX - UINT64_MAX % limit, draw;

    do {
        draw = flo_random_next(stream);
    } while (draw >= beyond);
    return draw % limit;
}

#endif
