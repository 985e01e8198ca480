#include "engine/publish/sensitivity.h"

#include <stdlib.h>

#include "engine/judge/distance.h"
#include "engine/model/compute.h"
#include "engine/publish/importance.h"
#include "engine/publish/matrices.h"

#define CHUNK_TOKENS 256
#define CHUNKS_OF_GROUP 4 /* most chunks that are computed for each group */
#define CHUNKS_OF_FILE 64 /* most chunks that are computed for a file */

struct run {
    const struct flo_sensitivity *ask;
    struct flo_tool_model floats, rounded;
    struct flo_chunks chunks;
    struct flo_distance distance;
    /* the matrices of both, in one order */
    struct flo_matrix **mine, **theirs;
    struct flo_matrix *kept; /* [count]: copies of `mine` */
    size_t *groups;          /* [count]: the group of each */
    size_t count;
};

/* ---- opening ---- */

static int open_model(const struct run *run, const char *path, enum flo_vocabulary vocabulary,
                      struct flo_tool_model *model, struct flo_err *err)
{
    const struct flo_tool tool = {
        .model = path, .packed = "none", .context = CHUNK_TOKENS, .threads = run->ask->threads};

    return flo_tool_open(&tool, vocabulary, model, err);
}

static struct flo_weights *weights_of(const struct flo_tool_model *model)
{
    return &flo_backend_native_session(model->state)->engine->weights;
}

static int open_run(struct run *run, struct flo_err *err)
{
    FLO_TRY(open_model(run, run->ask->floats, FLO_VOCABULARY_NEEDED, &run->floats, err));
    FLO_TRY(open_model(run, run->ask->rounded, FLO_VOCABULARY_NONE, &run->rounded, err));
    FLO_TRY(flo_calibration_cut(&run->floats, run->ask->text, CHUNK_TOKENS, &run->chunks, err));
    return flo_distance_open(&run->distance, run->floats.info->n_vocab, &run->chunks, err);
}

static void close_model(struct flo_tool_model *model)
{
    if (model->state != NULL) {
        model->backend->close(model->state);
    }
}

static void close_run(struct run *run)
{
    close_model(&run->floats);
    close_model(&run->rounded);
    flo_chunks_free(&run->chunks);
    flo_distance_close(&run->distance);
    free(run->mine);
    free(run->theirs);
    free(run->kept);
    free(run->groups);
}

/* Returns the number of chunk `i` of `most`, which are spread over the text. */
static size_t chunk_at(const struct run *run, size_t i, size_t most)
{
    return i * run->chunks.count / most;
}

static size_t chunks_of(const struct run *run, size_t most)
{
    return run->chunks.count < most ? run->chunks.count : most;
}

/* ---- groups ---- */

static int list_matrices(struct run *run, const struct flo_gguf *gguf, const size_t *groups,
                         struct flo_err *err)
{
    size_t most = flo_matrices_max(weights_of(&run->floats));

    run->mine = calloc(most, sizeof(struct flo_matrix *));
    run->theirs = calloc(most, sizeof(struct flo_matrix *));
    run->kept = calloc(most, sizeof(*run->kept));
    run->groups = calloc(most, sizeof(*run->groups));
    if (run->mine == NULL || run->theirs == NULL || run->kept == NULL || run->groups == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%zu matrices", most);
    }
    run->count = flo_matrices_list(weights_of(&run->floats), run->mine);
    if (flo_matrices_list(weights_of(&run->rounded), run->theirs) != run->count) {
        return flo_fail(err, FLO_E_INTERNAL, "the copy of %s has other matrices", run->ask->floats);
    }
    for (size_t i = 0; i < run->count; i++) {
        const struct flo_gguf_tensor *tensor =
            flo_gguf_tensor_find(gguf, run->mine[i]->tensor->name);
        run->kept[i] = *run->mine[i];
        run->groups[i] = groups[tensor - flo_gguf_tensor_at(gguf, 0)];
    }
    return 0;
}

/* Lets the model in floats read a group's matrices from the rounded file, or
 * again its own. */
static void lend(const struct run *run, size_t group, bool is_lent)
{
    for (size_t i = 0; i < run->count; i++) {
        if (run->groups[i] == group) {
            *run->mine[i] = is_lent ? *run->theirs[i] : run->kept[i];
        }
    }
}

static int measure_chunk(struct run *run, size_t index, size_t group_count, double *kls,
                         struct flo_err *err)
{
    FLO_TRY(flo_distance_keep(&run->distance, &run->chunks, index, &run->floats, err));
    for (size_t g = 0; g < group_count; g++) {
        double mean = 0;
        lend(run, g, true);
        int rv = flo_distance_mean(&run->distance, &run->chunks, index, &run->floats, &mean, err);
        lend(run, g, false);
        FLO_TRY(rv);
        kls[g] += mean;
    }
    return 0;
}

static int measure(struct run *run, const struct flo_gguf *gguf, const size_t *groups,
                   size_t group_count, double *kls, struct flo_err *err)
{
    uint64_t started_us = flo_now_us();

    FLO_TRY(open_run(run, err));
    FLO_TRY(list_matrices(run, gguf, groups, err));
    size_t count = chunks_of(run, CHUNKS_OF_GROUP);
    for (size_t i = 0; i < count; i++) {
        FLO_TRY(measure_chunk(run, chunk_at(run, i, count), group_count, kls, err));
        flo_tool_progress("sensitivity", i + 1, count, started_us);
    }
    for (size_t g = 0; g < group_count; g++) {
        kls[g] /= (double)count;
    }
    return 0;
}

int flo_sensitivity_measure(const struct flo_sensitivity *s, const struct flo_gguf *gguf,
                            const size_t *groups, size_t group_count, double *kls,
                            struct flo_err *err)
{
    struct run run = {.ask = s};

    for (size_t g = 0; g < group_count; g++) {
        kls[g] = 0;
    }
    int rv = measure(&run, gguf, groups, group_count, kls, err);
    close_run(&run);
    return rv;
}

/* ---- a file ---- */

static int compare(struct run *run, double *kl, uint64_t *positions, struct flo_err *err)
{
    double sum = 0;

    FLO_TRY(open_run(run, err));
    size_t count = chunks_of(run, CHUNKS_OF_FILE);
    for (size_t i = 0; i < count; i++) {
        size_t index = chunk_at(run, i, count);
        double mean = 0;
        FLO_TRY(flo_distance_keep(&run->distance, &run->chunks, index, &run->floats, err));
        FLO_TRY(flo_distance_mean(&run->distance, &run->chunks, index, &run->rounded, &mean, err));
        sum += mean;
    }
    *kl = sum / (double)count;
    *positions = count * (uint64_t)flo_chunks_scored(&run->chunks);
    return 0;
}

int flo_sensitivity_of_file(const struct flo_sensitivity *s, double *kl, uint64_t *positions,
                            struct flo_err *err)
{
    struct run run = {.ask = s};
    int rv = compare(&run, kl, positions, err);

    close_run(&run);
    return rv;
}
