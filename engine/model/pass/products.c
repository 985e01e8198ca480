/* Products: computes the matrix products of a pass, whose rows are split
 * between threads.  For one token each thread makes a copy of the small input,
 * which is cheaper than a barrier.  For a batch the threads make the input
 * together. */
#include <math.h>

#include "engine/model/adapter/adapter.h"

/* ---- inputs ---- */

void flo_pass_norm(const struct flo_engine *e, const float *x, const float *weight,
                   const float *bias, size_t count, float *out)
{
    float epsilon = e->hparams.epsilon;

    if (e->arch->norm == FLO_NORM_LAYER) {
        e->kernel->layer_norm(x, weight, bias != NULL ? bias : e->weights.zeros, epsilon, count,
                              out);
    } else {
        e->kernel->rms_norm(x, weight, epsilon, count, out);
    }
}

void flo_pass_norm_rows(struct flo_pass *pass, unsigned thread, float *rows, const float *weight,
                        const float *bias)
{
    struct flo_engine *e = pass->engine;
    size_t n = e->hparams.n_embd;

    for (size_t t = thread; t < pass->count; t += flo_pool_threads(e->pool)) {
        flo_pass_norm(e, rows + t * n, weight, bias, n, rows + t * n);
    }
    flo_pool_barrier(e->pool);
}

static void make_row(const struct flo_pass *pass, const struct flo_source *source,
                     const struct flo_input *input, size_t t)
{
    const struct flo_activations *out = &input->x;
    const struct flo_engine *e = pass->engine;
    size_t columns = out->columns, blocks = columns / FLO_CODE_BLOCK;
    const float *values = source->values + t * columns;

    if (source->norm != NULL) {
        flo_pass_norm(e, values, source->norm, source->norm_bias, columns,
                      out->values + t * columns);
        values = out->values + t * columns;
    }
    for (size_t i = 0; pass->has_adapters && i < source->product_count; i++) {
        const struct flo_matrix *m = source->products[i].matrix;

        flo_adapter_lower(pass, t, m, m->slice, values, flo_adapter_low(input->low, t, i));
    }
    if (out->precision == FLO_PRECISION_FLOAT) {
        return;
    }
    if (e->weights.are_packed) {
        e->kernel->quantise_packed(values, out, t);
        return;
    }
    e->kernel->quantise(values, columns, out->precision, out->codes + t * columns,
                        out->scales + t * blocks, out->sums + t * blocks);
}

/* Makes the input of all rows of a batch.  A thread takes PREPARE_ROWS adjacent
 * rows, so that two threads rarely write to one cache line. */
static void make_rows(struct flo_pass *pass, unsigned thread, const struct flo_source *source,
                      const struct flo_input *out)
{
    enum { PREPARE_ROWS = 8 };
    struct flo_pool *pool = pass->engine->pool;
    size_t units = (source->count + PREPARE_ROWS - 1) / PREPARE_ROWS, unit;

    while ((unit = flo_pool_take(pool, thread, units)) < units) {
        size_t t = unit * PREPARE_ROWS, end = t + PREPARE_ROWS;

        for (; t < end && t < source->count; t++) {
            make_row(pass, source, out, t);
        }
    }
    flo_pool_barrier(pool);
}

static struct flo_input prepare(struct flo_pass *pass, unsigned thread,
                                const struct flo_source *source)
{
    struct flo_engine *e = pass->engine;
    bool is_alone = source->count == 1;
    struct flo_input out = is_alone ? e->scratch.single[thread] : e->scratch.shared;

    out.x.columns = source->products[0].matrix->columns;
    out.x.tokens = source->count;
    out.x.precision = FLO_PRECISION_FLOAT;
    for (size_t i = 0; i < source->product_count; i++) {
        enum flo_precision precision = source->products[i].matrix->precision;

        if (precision > out.x.precision) {
            out.x.precision = precision; /* the finest precision that one of the products needs */
        }
    }
    if (is_alone) {
        make_row(pass, source, &out, 0);
    } else {
        make_rows(pass, thread, source, &out);
    }
    if (source->norm == NULL) {
        out.x.values = source->values;
    }
    return out;
}

/* ---- products ---- */

/* Returns how many rows of a product a thread takes at once.  A thread gets
 * several such units.  So a thread that another process delays does not delay
 * all.  Kernels take strips in pairs. */
static uint32_t unit_rows(const struct flo_pass *pass, uint32_t rows)
{
    const uint32_t least = 2 * FLO_STRIP_ROWS;
    uint32_t threads = flo_pool_threads(pass->engine->pool);
    uint32_t unit = rows / (threads * 8) / least * least;

    if (threads == 1) {
        return rows;
    }
    return unit < least ? least : unit;
}

static uint32_t units_of(uint32_t rows, uint32_t unit)
{
    return (rows + unit - 1) / unit;
}

static void finish_rows(const struct flo_engine *e, const struct flo_product *p, size_t at,
                        size_t rows)
{
    float *y = p->y + at;

    if (p->after == FLO_AFTER_ADD) {
        flo_pass_scale(y, rows, e->hparams.residual_scale);
        e->kernel->add(e->scratch.x + at, y, rows);
    } else if (p->after == FLO_AFTER_GELU) {
        e->kernel->gelu_multiply(y, NULL, rows);
    } else if (p->after == FLO_AFTER_SIGMOID) {
        for (size_t i = 0; i < rows; i++) {
            y[i] = flo_sigmoid(y[i]);
        }
    } else if (p->after == FLO_AFTER_OUTPUT_CAP) {
        flo_pass_scale(y, rows, e->hparams.output_scale);
        if (e->hparams.output_cap > 0) {
            e->kernel->soft_cap(y, e->hparams.output_cap, rows);
        }
    }
}

/* Computes `rows` rows of one product, from row `first` on.  `slot` is the
 * product's number among those with this input. */
static void multiply(const struct flo_pass *pass, const struct flo_product *p, size_t slot,
                     uint32_t first, uint32_t rows, const struct flo_input *in)
{
    const struct flo_matrix *m = p->matrix;

    m->matmul(m->data + first / m->strip_rows * m->row_bytes, m->row_bytes, rows, &in->x,
              p->y + first, m->rows);
    for (size_t t = 0; t < in->x.tokens; t++) {
        size_t at = t * m->rows + first;

        if (pass->has_adapters) {
            flo_adapter_add(pass, t, m, m->slice, first, rows, flo_adapter_low(in->low, t, slot),
                            p->y + at);
        }
        if (m->bias != NULL) {
            pass->engine->kernel->add(p->y + at, m->bias + first, rows);
        }
        finish_rows(pass->engine, p, at, rows);
    }
}

void flo_pass_multiply(struct flo_pass *pass, unsigned thread, const struct flo_source *source)
{
    const struct flo_input in = prepare(pass, thread, source);
    const struct flo_product *products = source->products;
    uint32_t rows = 0, units = 0, unit;
    size_t taken;

    for (size_t i = 0; i < source->product_count; i++) {
        rows += products[i].matrix->rows;
    }
    unit = unit_rows(pass, rows);
    for (size_t i = 0; i < source->product_count; i++) {
        units += units_of(products[i].matrix->rows, unit);
    }
    while ((taken = flo_pool_take(pass->engine->pool, thread, units)) < units) {
        size_t i = 0;
        uint32_t first, left;

        while (taken >= units_of(products[i].matrix->rows, unit)) {
            taken -= units_of(products[i++].matrix->rows, unit);
        }
        first = (uint32_t)taken * unit;
        left = products[i].matrix->rows - first;
        multiply(pass, &products[i], i, first, left < unit ? left : unit, &in);
    }
}

void flo_pass_multiply_gated(struct flo_pass *pass, unsigned thread,
                             const struct flo_source *source)
{
    const struct flo_input in = prepare(pass, thread, source);
    const struct flo_product *gate = &source->products[0];
    const struct flo_product *up = source->product_count > 1 ? gate + 1 : NULL;
    uint32_t total = gate->matrix->rows, unit = unit_rows(pass, total);
    size_t units = units_of(total, unit), taken;

    while ((taken = flo_pool_take(pass->engine->pool, thread, units)) < units) {
        size_t first = taken * unit;
        size_t rows = total - first < unit ? total - first : unit;

        multiply(pass, gate, 0, (uint32_t)first, (uint32_t)rows, &in);
        if (up != NULL) {
            multiply(pass, up, 1, (uint32_t)first, (uint32_t)rows, &in);
        }
        for (size_t t = 0; t < in.x.tokens; t++) {
            size_t at = t * total + first;

            flo_pass_activate(pass->engine, gate->y + at, up == NULL ? NULL : up->y + at, rows);
        }
    }
}

void flo_pass_project(struct flo_pass *pass, unsigned thread, struct flo_product product,
                      float *values, const float *norm)
{
    const struct flo_source source = {
        .values = values,
        .norm = norm,
        .products = &product,
        .product_count = 1,
        .count = pass->count,
    };

    flo_pass_multiply(pass, thread, &source);
    flo_pool_barrier(pass->engine->pool);
}
