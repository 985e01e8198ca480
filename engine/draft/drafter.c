/* Drafter: opens a draft file by its kind; see <flotilla/drafter.h>. */
#include <flotilla/drafter.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/errors/draft.h>

#include "engine/draft/model.h"
#include "engine/draft/table.h"

enum { HEAD_BYTES = 8 };

const char *const flo_drafter_names[FLO_DRAFTER_KINDS] = {"table", "model"};

struct flo_drafter {
    struct flo_drafter_info info;
    struct flo_draft_table *table; /* NULL: a model */
    struct flo_draft_model *model; /* NULL: a table */
};

/* Reads the file's first bytes, and tells whether it is a table. */
static int read_kind(int fd, bool *is_table, struct flo_err *err)
{
    char head[HEAD_BYTES] = {0};

    if (pread(fd, head, sizeof(head), 0) < 0) {
        return flo_fail_errno(err, FLO_E_IO_READ, "a draft file");
    }
    *is_table = flo_draft_table_is(head, sizeof(head));
    return *is_table || memcmp(head, "GGUF", 4) == 0
               ? 0
               : flo_fail(err, FLO_E_DRAFT_UNFIT,
                          "it begins with neither FLODRAFT (a table) nor GGUF (a model)");
}

/* ---- opening ---- */

static int open_table(struct flo_drafter *drafter, int fd, const struct flo_engine *engine,
                      const struct flo_drafter_options *options, struct flo_err *err)
{
    FLO_TRY(flo_draft_table_open(fd, flo_engine_info(engine)->n_vocab,
                                 flo_vocabulary_checksum(engine), options->memory_bytes_max,
                                 &drafter->table, err));
    drafter->info = (struct flo_drafter_info){
        .kind = FLO_DRAFTER_TABLE,
        .bytes = flo_draft_table_bytes(drafter->table),
        .contexts = flo_draft_table_contexts(drafter->table),
    };
    return 0;
}

static int open_model(struct flo_drafter *drafter, int fd, const struct flo_engine *engine,
                      const struct flo_drafter_options *options, struct flo_err *err)
{
    FLO_TRY(flo_draft_model_open(fd, engine, options, &drafter->model, err));
    drafter->info = (struct flo_drafter_info){
        .kind = FLO_DRAFTER_MODEL,
        .bytes = flo_draft_model_bytes(drafter->model),
    };
    return 0;
}

int flo_drafter_open_fd(int fd, const struct flo_engine *engine,
                        const struct flo_drafter_options *options, struct flo_drafter **out,
                        struct flo_err *err)
{
    struct flo_drafter *drafter;
    bool is_table;

    FLO_TRY(read_kind(fd, &is_table, err));
    drafter = calloc(1, sizeof(*drafter));
    if (drafter == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "a drafter");
    }
    int rv = is_table ? open_table(drafter, fd, engine, options, err)
                      : open_model(drafter, fd, engine, options, err);
    if (rv < 0) {
        flo_drafter_close(drafter);
        return rv;
    }
    *out = drafter;
    return 0;
}

int flo_drafter_plan_fd(int fd, uint32_t context, const struct flo_drafter_options *options,
                        uint64_t *bytes, struct flo_err *err)
{
    bool is_table;
    off_t end;

    FLO_TRY(read_kind(fd, &is_table, err));
    if (!is_table) {
        return flo_draft_model_plan(fd, context, options, bytes, err);
    }
    end = lseek(fd, 0, SEEK_END);
    if (end < 0) {
        return flo_fail_errno(err, FLO_E_IO_READ, "a draft file");
    }
    *bytes = (uint64_t)end;
    return 0;
}

void flo_drafter_close(struct flo_drafter *drafter)
{
    if (drafter != NULL) {
        flo_draft_table_close(drafter->table);
        flo_draft_model_close(drafter->model);
        free(drafter);
    }
}

const struct flo_drafter_info *flo_drafter_info(const struct flo_drafter *drafter)
{
    return &drafter->info;
}

/* ---- guesses ---- */

uint32_t flo_drafter_guess(struct flo_drafter *drafter, uint32_t sequence, const int32_t *tokens,
                           uint32_t count, int32_t *out, uint32_t most)
{
    return drafter->table != NULL
               ? flo_draft_table_guess(drafter->table, tokens, count, out, most)
               : flo_draft_model_guess(drafter->model, sequence, tokens, count, out, most);
}

void flo_drafter_forget(struct flo_drafter *drafter, uint32_t sequence)
{
    if (drafter->model != NULL) {
        flo_draft_model_forget(drafter->model, sequence);
    }
}

uint32_t flo_drafter_lag(const struct flo_drafter *drafter, uint32_t sequence,
                         const int32_t *tokens, uint32_t count)
{
    return drafter->table != NULL ? 0
                                  : flo_draft_model_lag(drafter->model, sequence, tokens, count);
}
