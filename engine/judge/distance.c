#include "engine/judge/distance.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int flo_distance_open(struct flo_distance *d, uint32_t n_vocab, const struct flo_chunks *chunks,
                      struct flo_err *err)
{
    d->n_vocab = n_vocab;
    d->scored = flo_chunks_scored(chunks);
    d->rows = calloc(d->scored, n_vocab * sizeof(*d->rows));
    d->totals = calloc(d->scored, sizeof(*d->totals));
    return d->rows != NULL && d->totals != NULL
               ? 0
               : flo_fail(err, FLO_E_MEMORY, "%zu rows of %u tokens", d->scored, n_vocab);
}

void flo_distance_close(struct flo_distance *d)
{
    free(d->rows);
    free(d->totals);
    *d = (struct flo_distance){0};
}

static int keep_row(void *context, uint32_t position, const float *logits)
{
    struct flo_distance *d = context;

    (void)position;
    memcpy(d->rows + d->row * d->n_vocab, logits, d->n_vocab * sizeof(*logits));
    d->totals[d->row++] = flo_tool_log_sum(logits, d->n_vocab, NULL);
    return 0;
}

static int compare_row(void *context, uint32_t position, const float *logits)
{
    struct flo_distance *d = context;
    const float *row = d->rows + d->row * d->n_vocab;

    (void)position;
    d->sum += flo_tool_divergence(row, d->totals[d->row++], logits,
                                  flo_tool_log_sum(logits, d->n_vocab, NULL), d->n_vocab);
    return 0;
}

int flo_distance_keep(struct flo_distance *d, struct flo_chunks *chunks, size_t index,
                      const struct flo_tool_model *model, struct flo_err *err)
{
    d->row = 0;
    return flo_chunks_run(chunks, index, model, keep_row, d, err);
}

int flo_distance_mean(struct flo_distance *d, struct flo_chunks *chunks, size_t index,
                      const struct flo_tool_model *model, double *mean, struct flo_err *err)
{
    d->row = 0;
    d->sum = 0;
    FLO_TRY(flo_chunks_run(chunks, index, model, compare_row, d, err));
    if (!isfinite(d->sum)) {
        return flo_fail(err, FLO_E_MODEL_NONFINITE, "a next token's probability is not finite");
    }
    *mean = d->sum / (double)d->scored;
    return 0;
}
