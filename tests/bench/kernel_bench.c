/* How fast the chosen kernel multiplies with packed weights.
 *
 *     kernel_bench [TYPE] [KERNEL]
 *
 * For each type: products of 128 tokens with a matrix that stays in the
 * caches, in 10^9 operations a second (two per weight and token), for codes
 * of 8 and of 16 bits; and of one token with weights that come from memory,
 * in 10^9 bytes a second.  One thread, its own CPU time, the best of several
 * runs: other processes disturb it little.  The
 * strips lie in huge pages, as files do on file systems with large folios. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <time.h>

#include "engine/kernel/kernel.h"
#include "engine/kernel/pack.h"

enum { TOKENS = 128, RUNS = 7, FAR_BYTES = 192 << 20, HUGE_BYTES = 2 << 20 };

static const struct shape {
    size_t columns, rows;
} shapes[] = {{576, 576}, {576, 1536}, {1536, 576}, {896, 4864}, {2048, 8192}};

static double cpu_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static float noise(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (float)(int32_t)*state * 0x1p-31f;
}

/* At least `bytes` of strips: one packed from noise, many times. */
static uint8_t *make_strips(uint32_t type, size_t columns, size_t bytes)
{
    const struct flo_quant_type *quant = flo_quant_type(type);
    size_t strip_bytes = flo_pack_strip_bytes(type, columns);
    size_t row_bytes = flo_quant_bytes(quant, columns);
    size_t count = bytes / strip_bytes + 1;
    float *values = malloc(16 * columns * sizeof(float));
    uint8_t *rows = malloc(16 * row_bytes);
    size_t room = (count * strip_bytes / HUGE_BYTES + 1) * HUGE_BYTES;
    uint8_t *strips = aligned_alloc(HUGE_BYTES, room);
    uint32_t state = 1;

    (void)madvise(strips, room, MADV_HUGEPAGE);
    for (size_t i = 0; i < 16 * columns; i++) {
        values[i] = noise(&state);
    }
    quant->encode(values, rows, 16 * columns);
    flo_pack_strip(type, rows, row_bytes, 16, columns, strips);
    for (size_t s = 1; s < count; s++) {
        memcpy(strips + s * strip_bytes, strips, strip_bytes);
    }
    free(values);
    free(rows);
    return strips;
}

struct bench {
    const struct flo_kernel *kernel;
    uint32_t type;
    size_t columns, rows;
    const uint8_t *strips;
    struct flo_activations x;
    float *y;
};

static void prepare(struct bench *b)
{
    for (size_t t = 0; t < b->x.tokens; t++) {
        b->kernel->quantise_packed(b->x.values + t * b->columns, &b->x, t);
    }
}

static void multiply(struct bench *b)
{
    b->kernel->matmul_packed[b->type](b->strips, flo_pack_strip_bytes(b->type, b->columns), b->rows,
                                      &b->x, b->y, b->rows);
}

/* Seconds of one call, the best of several runs of about 20 ms. */
static double best_seconds(struct bench *b, void (*work)(struct bench *))
{
    double best = 1e9;
    size_t calls = 1;

    for (int run = 0; run < RUNS; run++) {
        double begin = cpu_seconds(), spent;

        for (size_t i = 0; i < calls; i++) {
            work(b);
        }
        spent = (cpu_seconds() - begin) / (double)calls;
        best = spent < best ? spent : best;
        calls = spent > 0.02 ? 1 : (size_t)(0.02 / spent);
    }
    return best;
}

static double operations(const struct bench *b, size_t tokens)
{
    return 2e-9 * (double)(b->columns * b->rows * tokens);
}

static void bench_shape(struct bench *b, const struct shape *shape)
{
    size_t strip_bytes = flo_pack_strip_bytes(b->type, shape->columns);
    size_t cells = TOKENS * shape->columns;
    size_t far_rows = FAR_BYTES / strip_bytes * 16;
    uint32_t state = 2;

    b->columns = shape->columns;
    b->strips = make_strips(b->type, b->columns, FAR_BYTES);
    b->x = (struct flo_activations){
        .values = malloc(cells * sizeof(float)),
        .codes = aligned_alloc(64, cells * sizeof(int16_t)),
        .scales = malloc(cells / 32 * sizeof(float)),
        .sums = malloc(cells / 16 * sizeof(float)),
        .columns = b->columns,
    };
    b->y = malloc((TOKENS * shape->rows + far_rows) * sizeof(float));
    for (size_t i = 0; i < cells; i++) {
        b->x.values[i] = noise(&state);
    }
    printf("%-7s %5zu x %5zu ", flo_quant_type(b->type)->name, b->columns, shape->rows);
    for (int bits = 8; bits <= 16; bits += 8) {
        b->x.precision = bits == 8 ? FLO_PRECISION_8 : FLO_PRECISION_16;
        for (size_t tokens = 4; tokens <= TOKENS; tokens += TOKENS - 4) {
            b->x.tokens = tokens;
            b->rows = shape->rows;
            prepare(b);
            printf(" %d-bit x%zu %5.0f", bits, tokens,
                   operations(b, tokens) / best_seconds(b, multiply));
        }
        b->x.tokens = 1;
        prepare(b);
        printf(" GOP/s, near %5.1f",
               (double)(b->rows / 16 * strip_bytes) * 1e-9 / best_seconds(b, multiply));
        b->rows = far_rows;
        printf(" far %4.1f GB/s;",
               (double)(far_rows / 16 * strip_bytes) * 1e-9 / best_seconds(b, multiply));
        b->x.tokens = TOKENS;
        printf(" %.1f ns/block", best_seconds(b, prepare) * 1e9 * 32 / (double)cells);
    }
    printf("\n");
    fflush(stdout);
    free(b->x.values);
    free(b->x.codes);
    free(b->x.scales);
    free(b->x.sums);
    free(b->y);
    free((void *)(uintptr_t)b->strips);
}

int main(int argc, char **argv)
{
    const char *only = argc > 1 ? argv[1] : NULL;
    struct bench b = {0};
    struct flo_err err = {0};

    if (flo_kernel_choose(argc > 2 ? argv[2] : NULL, false, &b.kernel, &err) < 0) {
        fprintf(stderr, "kernel_bench: %s\n", err.what);
        return 1;
    }
    printf("kernel %s\n", b.kernel->name);
    for (b.type = 0; b.type < FLO_QUANT_ID_COUNT; b.type++) {
        if (b.kernel->matmul_packed[b.type] == NULL ||
            (only != NULL && strcasecmp(only, flo_quant_type(b.type)->name) != 0)) {
            continue;
        }
        for (size_t i = 0; i < FLO_COUNT(shapes); i++) {
            if (shapes[i].columns % flo_quant_type(b.type)->block_values == 0) {
                bench_shape(&b, &shapes[i]);
            }
        }
    }
    return 0;
}
