/* Random: numbers from a seed, in integers only: the same on every machine. */
#ifndef FLOTILLA_ENGINE_RANDOM_H
#define FLOTILLA_ENGINE_RANDOM_H

#include <stdint.h>

/* splitmix64 (Steele, Lea, Flood 2014), which accepts any seed. */
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

/* Returns a number below `limit` (not 0), without bias: draws beyond the last
 * whole multiple are rejected. */
static inline uint64_t flo_random_below(struct flo_random_stream *stream, uint64_t limit)
{
    uint64_t beyond = UINT64_MAX - UINT64_MAX % limit, draw;

    do {
        draw = flo_random_next(stream);
    } while (draw >= beyond);
    return draw % limit;
}

#endif
