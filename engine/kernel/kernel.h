/* Kernels: the arithmetic of a forward pass, one table per instruction set.
 *
 * A kernel computes on plain arrays; it knows neither models nor files.
 * Weights are read from the mapped file, in GGUF blocks or packed in strips of
 * 16 rows (pack.h).  Activations are rows of floats and, for quantised weights,
 * also codes in blocks of 32 (flo_activations).  Sums over codes are exact
 * integers inside a block, and floats across blocks.
 *
 * Codes have 8 bits where that costs little accuracy (inputs of gate, up, down
 * and of attention's output) and 16 elsewhere.  With 8 bits everywhere, as in
 * llama.cpp, most of the error comes from q, k, v and the logits.
 *
 * NaN and infinity in weights or activations give NaN in the results, never a
 * trap, a hang or an access out of bounds.
 *
 * A new instruction set needs a file with a table, listed in choose.c.  A new
 * tensor type needs an entry in `matmul` (the reference kernel's first). */
#ifndef FLOTILLA_ENGINE_KERNEL_H
#define FLOTILLA_ENGINE_KERNEL_H

#include <math.h>

#include <flotilla/base.h>

#include "base/quant/quant.h"

#define FLO_CODE_BLOCK 32 /* number of values of an activation that share a scale */
#define FLO_KV_BLOCK 16   /* number of positions in a block of the KV cache */
#define FLO_KV_RING 32    /* the length of a ring is a multiple of this */
#define FLO_ATTEND_ROWS 4 /* most queries that share one pass over the cache */

/* Precision of a product's input.  Higher values are finer. */
enum flo_precision {
    FLO_PRECISION_FLOAT, /* the input is floats, for float weights */
    FLO_PRECISION_8,     /* the input is codes of 8 bits */
    FLO_PRECISION_16,
};

/* Input of a matrix product, with one row per token.  For packed weights the
 * same memory has another form, which the kernel defines and which may
 * interleave tokens. */
struct flo_activations {
    float *values;  /* [tokens][columns] */
    int16_t *codes; /* [tokens][columns] */
    float *scales;  /* [tokens][columns / 32]: scales; a value is about scale * code */
    /* [tokens][columns / 32]: scale times the sum of the codes; packed form:
     * [tokens][columns / 16], for any use by the kernel */
    float *sums;
    size_t columns;
    size_t tokens;
    enum flo_precision precision; /* precision of the codes of this input */
};

/* Computes y[t * stride + r] = sum over columns of weights[r][c] * x[t][c], for
 * all tokens.  `weights` has `rows` rows of `row_bytes` each. */
typedef void flo_matmul_fn(const void *weights, size_t row_bytes, size_t rows,
                           const struct flo_activations *x, float *y, size_t stride);

/* Quantises the values of one token to codes, scales and sums.  The precision
 * is FLO_PRECISION_8 or _16, and `columns` a multiple of 32. */
typedef void flo_quantise_fn(const float *values, size_t columns, enum flo_precision precision,
                             int16_t *codes, float *scales, float *sums);

/* Quantises the values of token t into the packed form that the kernel's
 * products with strips read.  It writes codes, scales and sums of `out`, whose
 * columns, tokens and precision are set.  Tokens may be done in any order, by
 * several threads at once. */
typedef void flo_quantise_packed_fn(const float *values, const struct flo_activations *out,
                                    size_t t);

/* The largest code. */
static inline float flo_code_max(enum flo_precision precision)
{
    return precision == FLO_PRECISION_8 ? 127.0f : 32767.0f;
}

/* Type of the KV cache of one head.  The cache has blocks of FLO_KV_BLOCK
 * positions, keys and values apart.  In a block keys are transposed,
 * [head_size][16], and values are rows, [16][head_size].  The quantised
 * types have a scale (f16) for every 32 values of a position, after the
 * codes: [scales][16] and [16][scales].  Q4_0 packs two codes, to which 8 is
 * added, into the low and the high half of a byte.  For keys they are those
 * of positions i and i + 8, for values those of numbers d and d + head_size
 * / 2. */
enum flo_cache {
    FLO_CACHE_F16,
    FLO_CACHE_F32,
    FLO_CACHE_Q8_0,
    FLO_CACHE_Q4_0,
};
#define FLO_CACHE_COUNT 4
#define FLO_CACHE_HEAD_MAX 512 /* most values that a head may have */

/* Returns how many scales a position has in a quantised cache. */
static inline size_t flo_cache_scales(size_t head_size)
{
    return (head_size + 31) / 32;
}
/* Returns how many bytes the codes of a block take. */
static inline size_t flo_cache_code_bytes(enum flo_cache type, size_t head_size)
{
    static const uint8_t nibbles[] = {4, 8, 2, 1}; /* nibbles per value */

    return head_size * FLO_KV_BLOCK * nibbles[type] / 2;
}
/* Returns how many bytes a block of keys, or of values, takes. */
static inline size_t flo_cache_block_bytes(enum flo_cache type, size_t head_size)
{
    size_t bytes = flo_cache_code_bytes(type, head_size);

    if (type == FLO_CACHE_Q8_0 || type == FLO_CACHE_Q4_0) {
        bytes += flo_cache_scales(head_size) * FLO_KV_BLOCK * sizeof(uint16_t);
    }
    return bytes;
}

/* Queries that attend to one sequence, of the heads that share a key and value
 * head. */
struct flo_attention {
    const void *keys, *values; /* blocks */
    /* The blocks are a ring of so many positions: position p stands in the place
     * of position p % ring.  0: the blocks are of all positions. */
    size_t ring;
    enum flo_cache type;
    size_t head_size;
    float scale;
    float cap;   /* cap of scores: s becomes cap * tanh(s / cap); 0: none */
    size_t rows; /* 1..FLO_ATTEND_ROWS */
    const float *queries[FLO_ATTEND_ROWS]; /* [head_size] each */
    float *out[FLO_ATTEND_ROWS];           /* [head_size] each */
    /* first position that each row attends to, less than its length */
    size_t firsts[FLO_ATTEND_ROWS];
    size_t lengths[FLO_ATTEND_ROWS]; /* end of the positions that each row attends to */
    /* score of nothing, for each row: it takes a share of the weights, and adds
     * no value; used if has_sinks */
    bool has_sinks;
    float sinks[FLO_ATTEND_ROWS];
};

/* Returns the place of a position in the cache. */
static inline size_t flo_attend_place(const struct flo_attention *a, size_t position)
{
    return a->ring == 0 ? position : position % a->ring;
}
/* Returns the share of a row's sink in the sum of weights, if the largest score
 * is `largest`. */
static inline float flo_attend_sink(const struct flo_attention *a, size_t row, float largest)
{
    return a->has_sinks ? expf(a->sinks[row] - largest) : 0.0f;
}

/* out[i] = x[i] / sqrt(mean(x^2) + epsilon) * weight[i]; out may be x */
typedef void flo_rms_norm_fn(const float *x, const float *weight, float epsilon, size_t count,
                             float *out);
/* out[i] = (x[i] - mean) / sqrt(variance + epsilon) * weight[i] + bias[i] */
typedef void flo_layer_norm_fn(const float *x, const float *weight, const float *bias,
                               float epsilon, size_t count, float *out);
/* Rotates the values of one head in place. */
typedef void flo_rope_fn(float *x, const float *cosines, const float *sines, size_t count);
/* gate[i] = f(gate[i]) * up[i] */
typedef void flo_gate_fn(float *gate, const float *up, size_t count);
/* x[i] = cap * tanh(x[i] / cap) */
typedef void flo_soft_cap_fn(float *x, float cap, size_t count);
/* x[i] += y[i] */
typedef void flo_add_fn(float *x, const float *y, size_t count);
/* y[i] += sum over r of low[r] * b[r * stride + i]; the bits of a row do not
 * depend on which rows are computed with it */
typedef void flo_low_rank_add_fn(const float *b, size_t stride, size_t rank, const float *low,
                                 float *y, size_t rows);
/* Some values of a recurrent state, which is a number for each pair of a key's
 * number and a value.  Rows of all keys' numbers lie behind each other. */
struct flo_recurrence {
    float *state; /* [keys][values] */
    size_t keys, values;
    float decay;
    const float *key, *query; /* [keys] */
};
/* One token: state[k][v] = state[k][v] * decay + added[v] * key[k], and then
 * out[v] = sum over k of state[k][v] * query[k].  `out` may be `added`. */
typedef void flo_recur_fn(const struct flo_recurrence *recurrence, const float *added, float *out);
/* out[v] = sum over k of state[k][v] * key[k] */
typedef void flo_recall_fn(const struct flo_recurrence *recurrence, float *out);
/* Stores the key and the value of one head at `position` of the cache. */
typedef void flo_store_fn(const float *key, const float *value, size_t head_size, size_t position,
                          enum flo_cache type, void *keys, void *values);
/* Computes out = softmax(scale * q . K) V over the positions of each row. */
typedef void flo_attention_fn(const struct flo_attention *attention);

struct flo_kernel {
    const char *name;
    bool (*is_supported)(void);
    /* Products with rows of GGUF blocks, by the id of the tensor type.  NULL:
     * the kernel does not compute the type. */
    flo_matmul_fn *matmul[FLO_QUANT_ID_COUNT];
    flo_quantise_fn *quantise;
    /* Products with strips (pack.h).  `weights` is a strip and `row_bytes` its
     * size.  Only the last strip of a matrix may have rows % 16 != 0.  NULL for
     * all types: the kernel reads no strips. */
    flo_matmul_fn *matmul_packed[FLO_QUANT_ID_COUNT];
    flo_quantise_packed_fn *quantise_packed;
    flo_rms_norm_fn *rms_norm;
    flo_layer_norm_fn *layer_norm;
    /* Computes x[j] = x[j] * cos[j] + x[j ^ 1] * sin[j] for j < count, an
     * even number.  The tables have the value of each pair twice, and signed
     * sines. */
    flo_rope_fn *rope_pairs;
    /* Does the same as rope_pairs with the pairs (j, j + count / 2).  The
     * tables have the order of x. */
    flo_rope_fn *rope_halves;
    flo_gate_fn *silu_multiply;
    /* computes GELU by the tanh approximation; up NULL: the factor is 1 */
    flo_gate_fn *gelu_multiply;
    flo_soft_cap_fn *soft_cap;
    flo_add_fn *add;
    flo_low_rank_add_fn *low_rank_add;
    flo_recur_fn *recur;
    flo_recall_fn *recall;
    flo_store_fn *store;
    flo_attention_fn *attend;
};

/* Declares the product `prefix`<type>, used with a list of types (quant.h).
 * FLO_MATMUL_ROW enters it in a table. */
#define FLO_MATMUL_DECLARE(prefix, type, id) flo_matmul_fn prefix##type;
#define FLO_MATMUL_ROW(prefix, type, id) [FLO_QUANT_##id] = prefix##type,

extern const struct flo_kernel flo_kernel_ref;

/* Tells whether products with this type of weights read codes, not floats. */
bool flo_weight_reads_codes(uint32_t type);

/* Returns the kernel at `index` of those built in, best first, or NULL after
 * the last.  This CPU need not support it. */
const struct flo_kernel *flo_kernel_at(size_t index);
/* Writes the names of all kernels, or only of those that this CPU supports,
 * best first. */
#define FLO_KERNEL_NAMES_BYTES 256
void flo_kernel_names(bool are_usable, char *names, size_t bytes);

/* Finds the kernel of this name.  Without a name (NULL) it finds the best one
 * that this CPU supports.  Unless `trusts`, a kernel is first compared with
 * plain C on a small block.  One that disagrees is logged and skipped.
 *
 * FLO_E_USAGE     there is no kernel of this name, or this CPU cannot run it;
 *                 the error names those that it can
 * FLO_E_INTERNAL  the named kernel disagrees with plain C */
FLO_MUST_USE int flo_kernel_choose(const char *name, bool trusts, const struct flo_kernel **kernel,
                                   struct flo_err *err);
/* Returns `name` or, if it is NULL, the value of the environment variable
 * FLOTILLA_KERNEL.  Returns NULL if neither is set, which means the best
 * kernel. */
const char *flo_kernel_spec(const char *name);

/* Tells whether a kernel agrees with plain C on a small block.  `what` names
 * the first operation that differs.  Pure. */
bool flo_kernel_agrees(const struct flo_kernel *kernel, const char **what);

#endif
