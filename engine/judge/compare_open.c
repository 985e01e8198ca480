/* Compare open: makes the rows of a comparison, and quantised copies. */
#include "engine/judge/compare.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/gguf/gguf.h"
#include "base/host/digest.h"
#include "base/quant/quant.h"
#include "base/scratch.h"
#include "engine/publish/quantize.h"

#define TYPE_BYTES_MAX 32

int flo_compare_types(const char *types, struct flo_compare_files *files, struct flo_err *err)
{
    const char *at = types;

    while (at != NULL) {
        size_t bytes = strcspn(at, ",");
        char name[TYPE_BYTES_MAX];
        if (files->mix_count == FLO_COUNT(files->mixes)) {
            return flo_fail(err, FLO_E_USAGE, "--types: more than %zu types",
                            FLO_COUNT(files->mixes));
        }
        snprintf(name, sizeof(name), "%.*s", (int)(bytes < sizeof(name) ? bytes : sizeof(name)),
                 at);
        int rv = flo_mix_read(name, &files->mixes[files->mix_count], err);
        if (rv < 0) {
            return flo_wrap(err, rv, "--types");
        }
        files->mix_count++;
        at = at[bytes] == ',' ? at + bytes + 1 : NULL;
    }
    return 0;
}

/* ---- copies ---- */

/* Tells whether all tensors of a model are floats.  A model that cannot be
 * opened is not; its own row has the error. */
static bool is_float(const char *path)
{
    struct flo_gguf *gguf = NULL;
    bool is_one = flo_gguf_open_path(path, &gguf, NULL) == 0;

    for (size_t i = 0; is_one && i < flo_gguf_tensor_count(gguf); i++) {
        uint32_t type = flo_gguf_tensor_at(gguf, i)->type;
        is_one = type == FLO_QUANT_F32 || type == FLO_QUANT_F16 || type == FLO_QUANT_BF16;
    }
    flo_gguf_close(gguf);
    return is_one;
}

static int copy(struct flo_compare_row *row, const struct flo_mix *mix, int *fd)
{
    struct flo_err *err = &row->error;

    row->type = mix->name;
    FLO_TRY(flo_scratch_file(NULL, fd, err));
    FLO_TRY(flo_quantize(row->file.path, mix, *fd, err));
    return flo_sha256_fd(*fd, &row->file.digest, &row->file.bytes, err);
}

/* ---- rows ---- */

static struct flo_compare_row *add_row(struct flo_compare_report *report, const char *path)
{
    struct flo_compare_row *row = &report->rows[report->count++];

    row->file.path = path;
    return row;
}

static bool is_twin(const char *a, const char *b)
{
    const char *slash = strrchr(a, '/'), *other = strrchr(b, '/');

    a = slash != NULL ? slash + 1 : a;
    b = other != NULL ? other + 1 : b;
    return strcmp(a, b) == 0;
}

static void mark_twins(struct flo_compare_report *report)
{
    for (size_t i = 0; i < report->count; i++) {
        for (size_t k = 0; k < report->count; k++) {
            const char *path = report->rows[i].file.path, *other = report->rows[k].file.path;
            report->rows[i].has_twin |= strcmp(path, other) != 0 && is_twin(path, other);
        }
    }
}

/* Refuses more rows than there is room for, before a copy is made.  With types
 * a candidate must be in floats, or one that cannot be read. */
static int check_copies(const char *const *paths, size_t count, size_t types, bool *has_copies,
                        struct flo_err *err)
{
    size_t rows = count;
    bool has_use = types == 0;

    for (size_t i = 0; types > 0 && i < count; i++) {
        has_copies[i] = is_float(paths[i]);
        rows += has_copies[i] ? types : 0;
        has_use = has_use || has_copies[i] || access(paths[i], R_OK) < 0;
    }
    if (!has_use) {
        return flo_fail(err, FLO_E_USAGE, "--types: no candidate is in F16, BF16 or F32");
    }
    return rows <= FLO_COMPARE_ROWS_MAX
               ? 0
               : flo_fail(err, FLO_E_USAGE, "models and their copies are %zu, at most %d", rows,
                          FLO_COMPARE_ROWS_MAX);
}

int flo_compare_rows(const char *const *paths, size_t count, struct flo_compare_files *files,
                     struct flo_compare_report *report, struct flo_err *err)
{
    bool has_copies[FLO_COMPARE_MODELS_MAX] = {false};

    FLO_TRY(check_copies(paths, count, files->mix_count, has_copies, err));
    for (size_t i = 0; i < count; i++) {
        struct flo_compare_row *row = add_row(report, paths[i]);
        /* a failure is the row's, not the comparison's */
        (void)!flo_eval_file(paths[i], &row->file, &row->error);
        for (size_t k = 0; has_copies[i] && k < files->mix_count; k++) {
            int *fd = &files->fds[report->count];
            (void)copy(add_row(report, paths[i]), files->mixes[k], fd);
        }
    }
    mark_twins(report);
    return 0;
}

void flo_compare_files_close(struct flo_compare_files *files)
{
    for (size_t i = 0; i < FLO_COUNT(files->fds); i++) {
        if (files->fds[i] >= 0) {
            close(files->fds[i]);
        }
    }
}
