/* LoRA: computes the product of an adapter's pair and adds it to a tensor, row
 * by row.  A and B of an adapter are integer multiples of 2^-24, so B * A is
 * summed exactly in 64-bit integers.  The result is the same on every CPU,
 * whatever the order of the sum.  Rows are independent, so threads take ranges
 * of them. */
#include "engine/publish/lora.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/quant/quant.h"
#include "engine/memory/pool.h"

/* ---- the adapter ---- */

int flo_lora_read(const struct flo_gguf *adapter, const struct flo_gguf *base,
                  enum flo_merge_method method, struct flo_lora *out, struct flo_err *err)
{
    const struct flo_gguf_tensor *a, *b;
    struct flo_lora lora;
    FLO_TRY(flo_lora_check(adapter, base, &lora, err));
    if (!flo_dither_is_built()) {
        return flo_fail(err, FLO_E_NOT_BUILT,
                        "merging is not built for 32-bit machines; merge on a "
                        "64-bit one: the bytes are the same everywhere");
    }
    for (size_t i = 0; i < flo_gguf_tensor_count(base); i++) {
        const struct flo_gguf_tensor *tensor = flo_gguf_tensor_at(base, i);
        const struct flo_quant_type *type = flo_quant_type(tensor->type);
        bool can = method == FLO_MERGE_DITHER ? flo_dither_can(tensor->type)
                                              : type->decode != NULL && type->encode != NULL;
        if (!can && flo_lora_halves(&lora, tensor->name, &a, &b)) {
            return flo_fail(err, FLO_E_NOT_BUILT, "merging into %s ('%s') is not built yet",
                            type->name, tensor->name);
        }
    }
    *out = lora;
    return 0;
}

/* ---- one tensor ---- */

/* Matrices A and B as integers.  A is [rank][in], B is [out][rank]; in a tensor
 * with the matrices of all experts, those of each expert follow each other. */
struct factors {
    int32_t *a;
    int32_t *b;
    size_t rank;
    size_t rows;  /* rows of one matrix of the tensor */
    int exponent; /* exponent, to base 2, by which the integer product is scaled */
};

static int load_factor(const struct flo_gguf *gguf, const struct flo_gguf_tensor *tensor, int bits,
                       int32_t **out, int *exponent, struct flo_err *err)
{
    size_t values = (size_t)tensor->values;
    FLO_CLEANUP(flo_free_cleanup) float *floats = malloc(values * sizeof(*floats));
    FLO_CLEANUP(flo_free_cleanup) int32_t *integers = malloc(values * sizeof(*integers));
    if (floats == NULL || integers == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "'%s'", tensor->name);
    }
    flo_quant_type(tensor->type)->decode(flo_gguf_tensor_data(gguf, tensor), floats, values);
    if (!flo_fixed_array(floats, values, bits, integers, exponent)) {
        return flo_fail(err, FLO_E_MODEL_NONFINITE, "adapter tensor '%s' holds NaN or infinity",
                        tensor->name);
    }
    *out = integers;
    integers = NULL;
    return 0;
}

static int load_factors(const struct flo_gguf *gguf, const struct flo_gguf_tensor *a,
                        const struct flo_gguf_tensor *b, struct factors *out, struct flo_err *err)
{
    int bits = 31;
    int a_exponent = 0;
    int b_exponent = 0;
    out->rank = (size_t)a->dims[1];
    out->rows = (size_t)b->dims[1];
    /* The sum rank * 2^bits * 2^bits must not exceed 2^62. */
    while (((uint64_t)out->rank << (2 * bits - 32)) > (uint64_t)1 << 30) {
        bits--;
    }
    int rv = load_factor(gguf, a, bits, &out->a, &a_exponent, err);
    if (rv == 0) {
        rv = load_factor(gguf, b, bits, &out->b, &b_exponent, err);
    }
    out->exponent = a_exponent + b_exponent;
    return rv;
}

/* Rows of one tensor that one thread merges. */
struct job {
    const struct flo_gguf_tensor *tensor;
    const struct factors *factors;
    const struct flo_merge_options *options;
    uint8_t *data; /* bytes of the whole tensor, first the old, then the new ones */
    size_t first;
    size_t end;
    struct flo_dither_change change; /* change of a row; `sum` and `first` are set for each row */
    int64_t *sum;
    float *floats; /* room for two rows, used by FLO_MERGE_REQUANTIZE */
    struct flo_dither_result result;
};

static void sum_row(const struct factors *factors, size_t row, size_t columns, int64_t *sum)
{
    const int32_t *b = factors->b + row * factors->rank;
    const int32_t *all = factors->a + row / factors->rows * factors->rank * columns;
    memset(sum, 0, columns * sizeof(*sum));
    for (size_t r = 0; r < factors->rank; r++) {
        const int32_t *a = all + r * columns;
        int64_t weight = b[r];
        for (size_t j = 0; j < columns; j++) {
            sum[j] += weight * a[j];
        }
    }
}

/* Decodes a row, adds the change and encodes it again.  It measures how much of
 * the change is left. */
static void requantize_row(struct job *job, void *row, size_t columns)
{
    const struct flo_quant_type *type = flo_quant_type(job->tensor->type);
    const struct flo_dither_change *change = &job->change;
    float *old = job->floats;
    float *now = job->floats + columns;
    double unit = ldexp((double)change->scale.mantissa, change->scale.exponent + change->exponent);
    type->decode(row, old, columns);
    for (size_t j = 0; j < columns; j++) {
        double wanted = (double)change->sum[j] * unit;
        now[j] = (float)((double)old[j] + wanted);
    }
    type->encode(now, row, columns);
    type->decode(row, now, columns);
    for (size_t j = 0; j < columns; j++) {
        double wanted = (double)change->sum[j] * unit;
        double moved = (double)now[j] - (double)old[j];
        job->result.moved_dot_wanted += moved * wanted;
        job->result.wanted_dot_wanted += wanted * wanted;
        job->result.codes_changed += now[j] != old[j];
    }
    job->result.codes += columns;
}

static void run_job(void *context, unsigned thread)
{
    struct job *job = (struct job *)context + thread;
    size_t columns = (size_t)job->tensor->dims[0];
    size_t row_bytes = flo_quant_bytes(flo_quant_type(job->tensor->type), columns);
    for (size_t row = job->first; row < job->end; row++) {
        uint8_t *data = job->data + row * row_bytes;
        sum_row(job->factors, row, columns, job->sum);
        job->change.first = (uint64_t)row * columns;
        if (job->options->method == FLO_MERGE_DITHER) {
            flo_dither_row(job->tensor->type, data, columns, &job->change, &job->result);
        } else {
            requantize_row(job, data, columns);
        }
    }
}

static void add_result(struct flo_dither_result *into, const struct flo_dither_result *from)
{
    into->moved_dot_wanted += from->moved_dot_wanted;
    into->wanted_dot_wanted += from->wanted_dot_wanted;
    into->codes_changed += from->codes_changed;
    into->codes += from->codes;
}

/* Merges all rows of a tensor, which are split between the threads. */
static int run_jobs(const struct job *model, uint32_t threads, struct flo_merge_result *result,
                    struct flo_err *err)
{
    struct job jobs[FLO_MERGE_THREADS_MAX];
    struct flo_pool *pool = NULL;
    size_t columns = (size_t)model->tensor->dims[0];
    size_t rows = (size_t)(model->tensor->values / model->tensor->dims[0]);
    size_t count = threads < rows ? threads : rows;
    FLO_CLEANUP(flo_free_cleanup) int64_t *sums = malloc(count * columns * sizeof(*sums));
    FLO_CLEANUP(flo_free_cleanup) float *floats = malloc(count * columns * 2 * sizeof(*floats));
    if (sums == NULL || floats == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "rows of %zu values", columns);
    }
    FLO_TRY(flo_pool_open((unsigned)count, &pool, err));
    for (size_t i = 0; i < count; i++) {
        jobs[i] = *model;
        jobs[i].first = rows * i / count;
        jobs[i].end = rows * (i + 1) / count;
        jobs[i].sum = sums + i * columns;
        jobs[i].change.sum = jobs[i].sum;
        jobs[i].floats = floats + i * columns * 2;
    }
    flo_pool_run(pool, (unsigned)count, run_job, jobs);
    for (size_t i = 0; i < count; i++) {
        add_result(&result->dither, &jobs[i].result);
    }
    flo_pool_close(pool);
    return 0;
}

static uint64_t count_changes(const uint8_t *a, const uint8_t *b, size_t bytes)
{
    uint64_t changes = 0;
    for (size_t i = 0; i < bytes; i++) {
        changes += a[i] != b[i];
    }
    return changes;
}

int flo_lora_merge_tensor(const struct flo_lora *lora, const struct flo_gguf *base,
                          const struct flo_gguf_tensor *tensor,
                          const struct flo_merge_options *options, void *data, bool *is_changed,
                          struct flo_merge_result *result, struct flo_err *err)
{
    const void *old = flo_gguf_tensor_data(base, tensor);
    const struct flo_gguf_tensor *a, *b;
    struct factors factors = {0};
    *is_changed = flo_lora_halves(lora, tensor->name, &a, &b);
    if (!*is_changed) {
        return 0;
    }
    int rv = load_factors(lora->gguf, a, b, &factors, err);
    if (rv == 0) {
        struct job model = {
            .tensor = tensor,
            .factors = &factors,
            .options = options,
            .data = data,
            .change = {.exponent = factors.exponent,
                       .scale = flo_fixed_from(lora->alpha, (uint32_t)factors.rank),
                       .key = flo_dither_key(options->seed, tensor->name)},
        };
        memcpy(data, old, (size_t)tensor->bytes);
        rv = run_jobs(&model, options->threads, result, err);
        result->bytes_changed += count_changes(data, old, (size_t)tensor->bytes);
        result->tensors++;
    }
    free(factors.a);
    free(factors.b);
    return rv;
}
