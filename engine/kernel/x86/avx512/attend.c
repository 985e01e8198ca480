/* AVX-512 kernel: attention over the KV cache.
 *
 * Up to four queries that share a key and value head are computed together, in
 * tiles of positions.  A tile always begins at a multiple of its size, so the
 * order of a query's sums depends only on positions.  Keys are transposed in
 * blocks of 16 positions, so 16 scores are one vector without a sum across
 * lanes.  Four partial sums hide the latency.  Softmax is online, tile by tile.
 *
 * Keys and values are read from front to back, alternating after about a page.
 * Zen 4 prefetches that by itself: larger tiles, several blocks in parallel and
 * every kind of prefetch instruction measured 10 to 70 % slower there. */
#include "engine/kernel/attend.h"
#include "engine/kernel/x86/ahead.h"
#include "engine/kernel/x86/avx2/avx2.h"
#include "engine/kernel/x86/avx512/avx512.h"
#include "engine/kernel/x86/avx512/math.h"

#include <math.h>

enum {
    R_MAX = FLO_ATTEND_ROWS,
    BLOCK = FLO_KV_BLOCK,
    TILE_MAX = FLO_KV_RING, /* so no tile goes past the end of a ring */
    PARTS = 4,              /* partial sums of a score */
    AHEAD = 4096,           /* least prefetch distance of keys and of values, in bytes */
};

struct rows {
    __m512 total[R_MAX]; /* sums, by lanes */
    float largest[R_MAX];
    size_t froms[R_MAX], tos[R_MAX]; /* positions of this tile that each row attends to */
    _Alignas(64) float weights[R_MAX][TILE_MAX]; /* exp(score - largest) */
};

/* Values that are common to all positions. */
struct cache {
    size_t block_bytes;
    size_t scales_at; /* in a block */
    size_t scales;    /* scales per position */
    size_t tile;      /* positions */
    size_t ahead;     /* prefetch distance in bytes */
};

/* Prefetches `count` values of a block from its value `at` on.  Nibbles are not
 * prefetched: unpacking them is slower than reading. */
FLO_INLINE void fetch(const enum flo_cache type, const struct cache *cache, const uint8_t *block,
                      size_t at, const size_t values)
{
    const size_t bytes = type == FLO_CACHE_F32 ? 4 : type == FLO_CACHE_F16 ? 2 : 1;

    if (cache->ahead > 0 && type != FLO_CACHE_Q4_0) {
#pragma GCC unroll 4
        for (size_t i = 0; i < values * bytes; i += 64) {
            _mm_prefetch((const void *)(block + at * bytes + cache->ahead + i), _MM_HINT_T0);
        }
    }
}

FLO_INLINE __m512 of_codes(__m128i codes)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(codes));
}

FLO_INLINE __m128i of_nibbles(__m128i bytes)
{
    return _mm_sub_epi8(_mm_and_si128(bytes, _mm_set1_epi8(15)), _mm_set1_epi8(8));
}

/* Loads value d of 16 keys; `scales` are those of d's group of 32. */
FLO_INLINE __m512 load_keys(const enum flo_cache type, const uint8_t *block, size_t d,
                            __m512 scales)
{
    __m128i codes;

    switch (type) {
    case FLO_CACHE_F16:
        return flo_load_half_16(block + d * BLOCK * 2);
    case FLO_CACHE_F32:
        return _mm512_loadu_ps(block + d * BLOCK * 4);
    case FLO_CACHE_Q8_0:
        codes = _mm_loadu_si128((const void *)(block + d * BLOCK));
        break;
    default:
        codes = _mm_loadl_epi64((const void *)(block + d * (BLOCK / 2)));
        codes = of_nibbles(_mm_unpacklo_epi64(codes, _mm_srli_epi16(codes, 4)));
        break;
    }
    return _mm512_mul_ps(of_codes(codes), scales);
}

/* Loads the values from d on of position i of a block. */
FLO_INLINE __m512 load_values(const enum flo_cache type, const struct cache *cache,
                              const uint8_t *block, size_t head_size, size_t i, size_t d)
{
    size_t half = head_size / 2, at = i * head_size + d;
    const uint8_t *scale = block + cache->scales_at + (i * cache->scales + d / 32) * 2;
    __m128i codes;

    switch (type) {
    case FLO_CACHE_F16:
        return flo_load_half_16(block + at * 2);
    case FLO_CACHE_F32:
        return _mm512_loadu_ps(block + at * 4);
    case FLO_CACHE_Q8_0:
        codes = _mm_loadu_si128((const void *)(block + at));
        break;
    default:
        codes = _mm_loadu_si128((const void *)(block + i * half + d % half));
        codes = of_nibbles(d < half ? codes : _mm_srli_epi16(codes, 4));
        break;
    }
    return _mm512_mul_ps(of_codes(codes), _mm512_set1_ps(flo_half(scale)));
}

/* Computes 16 scores of each row. */
FLO_INLINE void score_block(const int R, const enum flo_cache type, const struct flo_attention *a,
                            const struct cache *cache, const uint8_t *block, size_t at,
                            struct rows *rows)
{
    const bool is_coded = type == FLO_CACHE_Q8_0 || type == FLO_CACHE_Q4_0;
    __m512 acc[R_MAX][PARTS], scales = _mm512_setzero_ps();

#pragma GCC unroll 4
    for (int r = 0; r < R; r++) {
#pragma GCC unroll 4
        for (int i = 0; i < PARTS; i++) {
            acc[r][i] = _mm512_setzero_ps();
        }
    }
    for (size_t d = 0; d < a->head_size; d += PARTS) {
        __m512 k[PARTS];

        fetch(type, cache, block, d * BLOCK, PARTS * BLOCK);
        if (is_coded && d % 32 == 0) {
            scales = flo_load_half_16(block + cache->scales_at + d * BLOCK / 16);
        }
#pragma GCC unroll 4
        for (int i = 0; i < PARTS; i++) {
            k[i] = load_keys(type, block, d + (size_t)i, scales);
        }
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) {
#pragma GCC unroll 4
            for (int i = 0; i < PARTS; i++) {
                __m512 q = _mm512_set1_ps(a->queries[r][d + (size_t)i]);

                acc[r][i] = _mm512_fmadd_ps(q, k[i], acc[r][i]);
            }
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) {
        __m512 score =
            _mm512_add_ps(_mm512_add_ps(acc[r][0], acc[r][1]), _mm512_add_ps(acc[r][2], acc[r][3]));

        _mm512_store_ps(rows->weights[r] + at, _mm512_mul_ps(score, _mm512_set1_ps(a->scale)));
    }
}

static __m512 soft_capped(const struct flo_attention *a, __m512 score)
{
    score = flo_tanh_16(_mm512_mul_ps(score, _mm512_set1_ps(1.0f / a->cap)));
    return _mm512_mul_ps(score, _mm512_set1_ps(a->cap));
}

/* Rescales out and total to a new largest score. */
static void rescale(const struct flo_attention *a, struct rows *rows, int r, float largest)
{
    __m512 by = flo_exp_16(_mm512_set1_ps(rows->largest[r] - largest));

    for (size_t d = 0; d < a->head_size; d += 16) {
        float *out = a->out[r] + d;

        _mm512_storeu_ps(out, _mm512_mul_ps(_mm512_loadu_ps(out), by));
    }
    rows->total[r] = _mm512_mul_ps(rows->total[r], by);
    rows->largest[r] = largest;
}

/* Returns a mask of the positions to which row r attends, in the block of 16
 * positions that begins at `at` in the tile. */
FLO_INLINE __mmask16 seen_lanes(const struct rows *rows, int r, size_t at)
{
    size_t from = rows->froms[r] > at ? rows->froms[r] - at : 0;
    size_t to = rows->tos[r] - at;

    return (__mmask16)(~0u << from & ~(to < BLOCK ? ~0u << to : 0u));
}

/* Turns the scores of row r into weights; positions outside the row's range
 * weigh 0. */
static void softmax_tile(const struct flo_attention *a, struct rows *rows, int r)
{
    const __m512 none = _mm512_set1_ps(-INFINITY);
    size_t first = rows->froms[r] / BLOCK * BLOCK;
    __m512 most = none;
    float largest;

    for (size_t at = first; at < rows->tos[r]; at += BLOCK) {
        float *weights = rows->weights[r] + at;
        __m512 s = _mm512_load_ps(weights);

        if (a->cap > 0) {
            s = soft_capped(a, s);
        }
        s = _mm512_mask_mov_ps(none, seen_lanes(rows, r, at), s);
        _mm512_store_ps(weights, s);
        /* max gives its second operand for a NaN, so NaNs in `s` do not
         * count */
        most = _mm512_max_ps(s, most);
    }
    largest = _mm512_reduce_max_ps(most);
    if (!(largest > -INFINITY)) { /* all scores are -inf or NaN */
        largest = 0;
    }
    if (largest > rows->largest[r]) {
        rescale(a, rows, r, largest);
    }
    for (size_t at = first; at < rows->tos[r]; at += BLOCK) {
        float *weights = rows->weights[r] + at;
        /* exp(-inf) is 0, so masked lanes add nothing. */
        __m512 s =
            flo_exp_16(_mm512_sub_ps(_mm512_load_ps(weights), _mm512_set1_ps(rows->largest[r])));

        _mm512_store_ps(weights, s);
        rows->total[r] = _mm512_add_ps(rows->total[r], s);
    }
}

/* Adds weights * V over positions [from, to) of a tile to out, from value d on,
 * for R rows from `first` on and D vectors. */
FLO_INLINE void add_values(const int R, const int D, const enum flo_cache type,
                           const struct flo_attention *a, const struct cache *cache,
                           const uint8_t *values, size_t d, int first, size_t from, size_t to,
                           const struct rows *rows)
{
    __m512 acc[R_MAX][4];

#pragma GCC unroll 4
    for (int r = 0; r < R; r++) {
#pragma GCC unroll 4
        for (int i = 0; i < D; i++) {
            acc[r][i] = _mm512_loadu_ps(a->out[first + r] + d + i * 16);
        }
    }
    for (size_t p = from; p < to; p++) {
        const uint8_t *block = values + p / BLOCK * cache->block_bytes;
        __m512 v[4];

        fetch(type, cache, block, p % BLOCK * a->head_size + d, D * 16);
#pragma GCC unroll 4
        for (int i = 0; i < D; i++) {
            v[i] = load_values(type, cache, block, a->head_size, p % BLOCK, d + (size_t)i * 16);
        }
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) {
            __m512 w = _mm512_set1_ps(rows->weights[first + r][p]);

#pragma GCC unroll 4
            for (int i = 0; i < D; i++) {
                acc[r][i] = _mm512_fmadd_ps(w, v[i], acc[r][i]);
            }
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) {
#pragma GCC unroll 4
        for (int i = 0; i < D; i++) {
            _mm512_storeu_ps(a->out[first + r] + d + i * 16, acc[r][i]);
        }
    }
}

FLO_INLINE void add_range(const int R, const enum flo_cache type, const struct flo_attention *a,
                          const struct cache *cache, const uint8_t *values, int first, size_t from,
                          size_t to, const struct rows *rows)
{
    size_t d = 0;

    for (; from < to && d + 64 <= a->head_size; d += 64) {
        add_values(R, 4, type, a, cache, values, d, first, from, to, rows);
    }
    for (; from < to && d < a->head_size; d += 16) {
        add_values(R, 1, type, a, cache, values, d, first, from, to, rows);
    }
}

/* Reads a position only for rows that attend to it: for others it may hold
 * another sequence's values, or a NaN. */
FLO_INLINE void add_tile(const int R, const enum flo_cache type, const struct flo_attention *a,
                         const struct cache *cache, const uint8_t *values, const struct rows *rows)
{
    size_t from = 0, to = cache->tile; /* positions of the tile to which all rows attend */

    for (int r = 0; r < R; r++) {
        from = rows->froms[r] > from ? rows->froms[r] : from;
        to = rows->tos[r] < to ? rows->tos[r] : to;
    }
    if (to <= from) {
        from = to = cache->tile;
    }
    for (int r = 0; r < R; r++) {
        size_t end = rows->tos[r] < from ? rows->tos[r] : from;

        add_range(1, type, a, cache, values, r, rows->froms[r], end, rows);
    }
    add_range(R, type, a, cache, values, 0, from, to, rows);
    for (int r = 0; r < R; r++) {
        add_range(1, type, a, cache, values, r, to, rows->tos[r], rows);
    }
}

/* Computes one tile, whose first position is `p`. */
FLO_INLINE void attend_tile(const int R, const enum flo_cache type, const struct flo_attention *a,
                            const struct cache *cache, size_t p, struct rows *rows)
{
    const size_t offset = flo_attend_place(a, p) / BLOCK * cache->block_bytes;
    const uint8_t *keys = (const uint8_t *)a->keys + offset;
    size_t from = cache->tile, to = 0; /* range of positions that some row attends to */

    for (int r = 0; r < R; r++) {
        size_t begin = a->firsts[r] > p ? a->firsts[r] - p : 0;
        size_t end = a->lengths[r] > p ? a->lengths[r] - p : 0;

        rows->tos[r] = end < cache->tile ? end : cache->tile;
        rows->froms[r] = begin < rows->tos[r] ? begin : rows->tos[r];
        from = rows->froms[r] < from ? rows->froms[r] : from;
        to = rows->tos[r] > to ? rows->tos[r] : to;
    }
    for (size_t b = from / BLOCK; b * BLOCK < to; b++) {
        score_block(R, type, a, cache, keys + b * cache->block_bytes, b * BLOCK, rows);
    }
    for (int r = 0; r < R; r++) {
        if (rows->froms[r] < rows->tos[r]) {
            softmax_tile(a, rows, r);
        }
    }
    add_tile(R, type, a, cache, (const uint8_t *)a->values + offset, rows);
}

FLO_INLINE void attend(const int R, const enum flo_cache type, const struct flo_attention *a)
{
    const size_t block_bytes = flo_cache_block_bytes(type, a->head_size);
    /* The distance is at least one block, because a shorter one takes twice as
     * long for heads of 256. */
    const size_t ahead = block_bytes > AHEAD ? block_bytes : AHEAD;
    const struct cache cache = {
        block_bytes,
        flo_cache_code_bytes(type, a->head_size),
        flo_cache_scales(a->head_size),
        a->head_size <= 64 ? TILE_MAX : BLOCK,
        flo_fetches_ahead() ? ahead : 0,
    };
    struct rows rows = {0};
    size_t longest, first;

    flo_attend_begin(R, a, rows.largest, &first, &longest);
    for (size_t p = first / cache.tile * cache.tile; p < longest; p += cache.tile) {
        attend_tile(R, type, a, &cache, p, &rows);
    }
    for (int r = 0; r < R; r++) {
        float sink = flo_attend_sink(a, (size_t)r, rows.largest[r]);
        __m512 total = _mm512_set1_ps(flo_sum_16(rows.total[r]) + sink);

        for (size_t d = 0; d < a->head_size; d += 16) {
            float *out = a->out[r] + d;

            _mm512_storeu_ps(out, _mm512_div_ps(_mm512_loadu_ps(out), total));
        }
    }
}

FLO_ATTEND_EACH(attend)

void flo_avx512_attend(const struct flo_attention *attention)
{
    if (attention->head_size % 32 != 0) {
        flo_avx2_attend(attention);
        return;
    }
    attend_each(attention);
}
