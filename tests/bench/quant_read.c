/* How long reading quantised weights takes, in nanoseconds a value.
 *
 *     quant_read [TYPE] [KERNEL]
 *
 * For each type: decoding to floats; the product of one token and of eight
 * tokens with rows of the file's blocks, per weight; encoding.  One thread, its own CPU
 * time, the best of several runs.  The matrix stays in the caches. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "engine/kernel/kernel.h"

enum { COLUMNS = 2048, ROWS = 64, VALUES = ROWS * COLUMNS, TOKENS = 8, RUNS = 9 };

struct bench {
    const struct flo_kernel *kernel;
    const struct flo_quant_type *type;
    uint8_t *rows;
    float *values;
    struct flo_activations x;
    float y[TOKENS * ROWS];
};

static double cpu_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void decode(struct bench *b)
{
    b->type->decode(b->rows, b->values, VALUES);
}

static void multiply(struct bench *b)
{
    b->kernel->matmul[b->type->id](b->rows, flo_quant_bytes(b->type, COLUMNS), ROWS, &b->x, b->y,
                                   ROWS);
}

static void encode(struct bench *b)
{
    b->type->encode(b->values, b->rows, VALUES);
}

static double best_ns(struct bench *b, void (*work)(struct bench *))
{
    double best = 1e9;

    for (int run = 0; run < RUNS; run++) {
        double begin = cpu_seconds(), spent;
        size_t calls = 0;

        do {
            work(b);
            calls++;
            spent = cpu_seconds() - begin;
        } while (spent < 0.01);
        spent /= (double)calls;
        best = spent < best ? spent : best;
    }
    return best * 1e9 / VALUES;
}

static void fill(struct bench *b)
{
    uint32_t state = 1;

    for (size_t i = 0; i < VALUES; i++) {
        state = state * 1664525u + 1013904223u;
        b->values[i] = (float)(int32_t)state * 0x1p-31f;
        b->rows[i] = (uint8_t)(state >> 24);
    }
    for (size_t t = 0; t < TOKENS; t++) {
        memcpy(b->x.values + t * COLUMNS, b->values + t * COLUMNS, COLUMNS * sizeof(float));
        b->kernel->quantise(b->values + t * COLUMNS, COLUMNS, FLO_PRECISION_16,
                            b->x.codes + t * COLUMNS, b->x.scales + t * COLUMNS / 32,
                            b->x.sums + t * COLUMNS / 32);
    }
    for (size_t i = 0; i < flo_quant_bytes(b->type, VALUES); i += b->type->block_bytes) {
        flo_quant_put_scale(b->type, b->rows + i, 0.5f);
    }
}

static void measure(struct bench *b)
{
    fill(b);
    printf("%-8s decode %6.3f", b->type->name, best_ns(b, decode));
    for (b->x.tokens = 1; b->x.tokens <= TOKENS; b->x.tokens += TOKENS - 1) {
        printf("  product x%zu %6.3f", b->x.tokens, best_ns(b, multiply));
    }
    fill(b);
    if (b->type->encode != NULL) {
        printf("  encode %7.2f", best_ns(b, encode));
    }
    printf(" ns/value\n");
    fflush(stdout);
}

int main(int argc, char **argv)
{
    static struct bench b;
    struct flo_err err = {0};

    if (flo_kernel_choose(argc > 2 ? argv[2] : NULL, false, &b.kernel, &err) < 0) {
        fprintf(stderr, "quant_read: %s\n", err.what);
        return 1;
    }
    printf("kernel %s\n", b.kernel->name);
    b.rows = malloc(VALUES * sizeof(float));
    b.values = malloc(VALUES * sizeof(float));
    b.x = (struct flo_activations){
        .values = malloc(TOKENS * COLUMNS * sizeof(float)),
        .codes = aligned_alloc(64, TOKENS * COLUMNS * sizeof(int16_t)),
        .scales = malloc(TOKENS * COLUMNS / 32 * sizeof(float)),
        .sums = malloc(TOKENS * COLUMNS / 32 * sizeof(float)),
        .columns = COLUMNS,
        .precision = FLO_PRECISION_16,
    };
    for (uint32_t id = 0; id < FLO_QUANT_ID_COUNT; id++) {
        b.type = flo_quant_type(id);
        if (b.type != NULL && b.type->decode != NULL && b.kernel->matmul[id] != NULL &&
            (argc < 2 || argv[1][0] == '\0' || strcasecmp(argv[1], b.type->name) == 0)) {
            measure(&b);
        }
    }
    return 0;
}
