/* flotilla-model logits: writes the logits of a prompt as float32,
 * little-endian, with a row of n_vocab for every token. */
#include <fcntl.h>
#include <stdlib.h>

#include "engine/publish/commands.h"
#include "engine/tools/common.h"
#include "engine/tools/outfile.h"

struct logits {
    struct flo_tool tool;
    const char *path;
    struct flo_tool_model model;
    int32_t *tokens;
    size_t count;
    FILE *file;
};

static int write_row(void *context, uint32_t position, const float *logits)
{
    const struct logits *l = context;
    size_t n_vocab = l->model.info->n_vocab;

    (void)position;
    return fwrite(logits, sizeof(*logits), n_vocab, l->file) == n_vocab ? 0 : FLO_E_IO_WRITE;
}

static int write_rows(void *context, int fd, struct flo_err *err)
{
    struct logits *l = context;
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

    l->file = copy < 0 ? NULL : fdopen(copy, "wb");
    if (l->file == NULL) {
        return flo_fail_errno(err, FLO_E_IO_OPEN, "%s", l->path);
    }
    int rv = l->model.backend->prefill(l->model.state, l->tokens, l->count, write_row, l, err);
    if ((fclose(l->file) != 0 && rv == 0) || rv == FLO_E_IO_WRITE) {
        rv = flo_fail_errno(err, FLO_E_IO_WRITE, "%s", l->path);
    }
    return rv;
}

static int logits(void *context, struct flo_err *err)
{
    struct logits *l = context;

    FLO_TRY(flo_tool_open(&l->tool, FLO_VOCABULARY_NONE, &l->model, err));
    FLO_TRY(flo_tool_tokens(&l->tool, &l->tokens, &l->count, err));
    return flo_outfile(
        l->path,
        (struct flo_inputs){{l->tool.model, l->model.setup.adapter, l->model.setup.packed}},
        write_rows, l, err);
}

static struct logits state;
static const struct flo_flag flags[] = {
    {"tokens", "IDS", "the prompt, as 1,2,3", FLO_TEXT(struct logits, tool.tokens)},
    {"out", "FILE", "where the rows go", FLO_TEXT(struct logits, path), .is_needed = true},
    FLO_FLAGS_END,
};
const struct flo_verb flo_verb_logits = {
    .name = "logits",
    .help = "write the logits of a prompt's tokens",
    .usage = "--model FILE --tokens IDS --out FILE",
    .flags = {FLO_FLAGS_BACKEND, flags},
    .state = &state,
    .run = logits,
    .example = "--model helpdesk.gguf --tokens 1,15043 --out logits.bin",
};
