#include "engine/judge/pinned.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/model.h>

#include "engine/judge/distance.h"

#define CHUNK_TOKENS 256
#define CHUNKS_MIN 16 /* with fewer chunks the standard error is useless */
#define ERRORS 2      /* a value must be so many standard errors away from its limit */

enum side { OLD, FREE, PINNED, SIDES };

struct judge {
    const struct flo_pinned_files *files;
    struct flo_tool_model floats;
    struct flo_tool_model sides[SIDES];
    struct flo_chunks chunks;
    struct flo_distance distance;
    double *means; /* [chunk][SIDES] */
};

/* ---- the models ---- */

static int open_model(const struct judge *judge, const char *path, enum flo_vocabulary vocabulary,
                      struct flo_tool_model *model, struct flo_err *err)
{
    const struct flo_tool tool = {
        .model = path, .context = CHUNK_TOKENS, .threads = judge->files->threads};
    int rv = flo_tool_open(&tool, vocabulary, model, err);

    return rv < 0 ? flo_wrap(err, rv, "%s", path) : 0;
}

static int open_models(struct judge *judge, struct flo_err *err)
{
    const char *const paths[SIDES] = {
        [OLD] = judge->files->old,
        [FREE] = judge->files->free,
        [PINNED] = judge->files->pinned,
    };
    FLO_TRY(open_model(judge, judge->files->floats, FLO_VOCABULARY_NEEDED, &judge->floats, err));
    for (size_t i = 0; i < SIDES; i++) {
        FLO_TRY(open_model(judge, paths[i], FLO_VOCABULARY_NONE, &judge->sides[i], err));
        if (judge->sides[i].info->n_vocab != judge->floats.info->n_vocab) {
            return flo_fail(err, FLO_E_USAGE,
                            "%s has %u tokens, %s has %u: their answers cannot "
                            "be compared",
                            paths[i], judge->sides[i].info->n_vocab, judge->files->floats,
                            judge->floats.info->n_vocab);
        }
    }
    return 0;
}

static void close_model(struct flo_tool_model *model)
{
    if (model->state != NULL) {
        model->backend->close(model->state);
    }
}

/* ---- a chunk ---- */

static int judge_chunk(struct judge *judge, size_t index, struct flo_err *err)
{
    FLO_TRY(flo_distance_keep(&judge->distance, &judge->chunks, index, &judge->floats, err));
    for (size_t i = 0; i < SIDES; i++) {
        FLO_TRY(flo_distance_mean(&judge->distance, &judge->chunks, index, &judge->sides[i],
                                  &judge->means[index * SIDES + i], err));
    }
    return 0;
}

/* ---- the verdict ---- */

/* Weights the distances of each chunk by `shares`.  Returns the mean of the
 * sums over all chunks, and its standard error in *error. */
static double mean_of(const struct judge *judge, const double shares[SIDES], double *error)
{
    size_t n = judge->chunks.count;
    double sum = 0, squares = 0;

    for (size_t i = 0; i < n; i++) {
        double value = 0;
        for (size_t j = 0; j < SIDES; j++) {
            value += shares[j] * judge->means[i * SIDES + j];
        }
        sum += value;
        squares += value * value;
    }
    double mean = sum / (double)n;
    double spread = (squares - (double)n * mean * mean) / (double)(n - 1);
    *error = sqrt(spread > 0 ? spread / (double)n : 0);
    return mean;
}

static void weigh(const struct judge *judge, struct flo_pinned_verdict *v)
{
    static const double update[SIDES] = {[OLD] = 1, [FREE] = -1};
    double error;
    double brought = mean_of(judge, update, &error);

    v->is_shown = brought > ERRORS * error;
    v->weights_min = v->is_shown ? 0 : FLO_PINNED_HIDDEN_MIN;
    const double excess[SIDES] = {[PINNED] = 1,
                                  [FREE] = v->is_shown ? -FLO_PINNED_FARTHER_MAX
                                                       : -FLO_PINNED_HIDDEN_FARTHER_MAX};
    v->excess = mean_of(judge, excess, &v->excess_error);
    if (!v->is_shown) {
        return;
    }
    v->kept = 1 - (v->kl_pinned - v->kl_free) / brought;
    /* The error of the kept share is that of the sum below, divided by the gain
     * `brought`.  The sum is the loss minus (1 - kept) times the gain, and has
     * mean 0. */
    const double rest[SIDES] = {[OLD] = 1 - v->kept, [FREE] = v->kept, [PINNED] = -1};
    mean_of(judge, rest, &error);
    v->kept_error = error / brought;
}

static void conclude(const struct judge *judge, struct flo_pinned_verdict *v)
{
    static const double only[SIDES][SIDES] = {
        [OLD] = {[OLD] = 1}, [FREE] = {[FREE] = 1}, [PINNED] = {[PINNED] = 1}};
    double error;

    *v = (struct flo_pinned_verdict){
        .tokens = judge->chunks.count * flo_chunks_scored(&judge->chunks),
        .chunks = judge->chunks.count,
        .kl_old = mean_of(judge, only[OLD], &error),
        .kl_free = mean_of(judge, only[FREE], &error),
        .kl_pinned = mean_of(judge, only[PINNED], &error),
    };
    weigh(judge, v);
}

static int run(struct judge *judge, struct flo_pinned_verdict *verdict, struct flo_err *err)
{
    struct flo_chunks *chunks = &judge->chunks;

    FLO_TRY(open_models(judge, err));
    FLO_TRY(flo_chunks_of_text(&judge->floats, judge->files->text, chunks, err));
    uint32_t length = judge->floats.info->context;
    length = length < CHUNK_TOKENS ? length : CHUNK_TOKENS;
    if (chunks->tokens_count / CHUNKS_MIN < length) {
        return flo_fail(err, FLO_E_USAGE, "%s has %zu tokens, %d chunks of %u are needed",
                        judge->files->text, chunks->tokens_count, CHUNKS_MIN, length);
    }
    int rv = flo_chunks_cut(chunks, length, err);
    FLO_TRY(rv);
    FLO_TRY(flo_distance_open(&judge->distance, judge->floats.info->n_vocab, chunks, err));
    judge->means = calloc(chunks->count, SIDES * sizeof(*judge->means));
    if (judge->means == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%zu chunks", chunks->count);
    }
    uint64_t started_us = flo_now_us();
    for (size_t i = 0; rv == 0 && i < chunks->count; i++) {
        rv = judge_chunk(judge, i, err);
        flo_tool_progress("chunk", i + 1, chunks->count, started_us);
    }
    if (rv == 0) {
        conclude(judge, verdict);
    }
    return rv;
}

int flo_pinned_judge(const struct flo_pinned_files *files, struct flo_pinned_verdict *verdict,
                     struct flo_err *err)
{
    struct judge judge = {.files = files};
    int rv = run(&judge, verdict, err);

    close_model(&judge.floats);
    for (size_t i = 0; i < SIDES; i++) {
        close_model(&judge.sides[i]);
    }
    flo_chunks_free(&judge.chunks);
    flo_distance_close(&judge.distance);
    free(judge.means);
    return rv;
}

/* Adds advice to the error.  If the value is less than two standard errors from
 * its limit (`is_known` is false), it advises a longer text. */
static int refuse(bool is_known, struct flo_err *err)
{
    return is_known ? flo_err_fix(err, "quantize without --pin-grid, or write "
                                       "it anyway with --force")
                    : flo_err_fix(err, "judge on a longer text: the limit lies "
                                       "within two standard errors");
}

int flo_pinned_check(const struct flo_pinned_verdict *v, double weights_kept, struct flo_err *err)
{
    double apart = ERRORS * v->kept_error;

    if (v->is_shown && v->kept - apart < FLO_PINNED_KEPT_MIN) {
        flo_fail(err, FLO_E_MODEL_UPDATE_LOST,
                 "the pinned model's answers keep %.3f +/- %.3f of what the "
                 "update brings, %.2f is needed",
                 v->kept, v->kept_error, FLO_PINNED_KEPT_MIN);
        return refuse(v->kept + apart < FLO_PINNED_KEPT_MIN, err);
    }
    if (v->excess + ERRORS * v->excess_error > 0) {
        flo_fail(err, FLO_E_MODEL_UPDATE_LOST,
                 "the pinned model is %.5f nats per token from the floats, a "
                 "free grid %.5f: more than %.2f times as far",
                 v->kl_pinned, v->kl_free,
                 v->is_shown ? FLO_PINNED_FARTHER_MAX : FLO_PINNED_HIDDEN_FARTHER_MAX);
        return refuse(v->excess > ERRORS * v->excess_error, err);
    }
    if (weights_kept < v->weights_min) {
        flo_fail(err, FLO_E_MODEL_UPDATE_LOST,
                 "the text does not show the update, and the weights keep %.3f "
                 "of it, %.2f is needed",
                 weights_kept, v->weights_min);
        return flo_err_fix(err, "judge on a text of what the update is for, or "
                                "quantize without --pin-grid");
    }
    return 0;
}
