/* flotilla-model logits: float32 little-endian, a row of n_vocab for every
 * token of the prompt. */
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
    return fwrite(logits, sizeof(*logits), n_vocab, l->file) == n_vocab
               ? 0
               : FLO_E_IO_WRITE;
}

static int write_rows(void *context, int fd, struct flo_err *err)
{
    struct logits *l = context;
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

    l->file = copy < 0 ? NULL : fdopen(copy, "wb");
    if (l->file == NULL) {
        return flo_fail_errno(err, FLO_E_IO_OPEN, "%s", l->path);
    }
    int rv = l->model.backend->prefill(l->model.state, l->tokens, l->count,
                                       write_row, l, err);
    if ((fclose(l->file) != 0 && rv == 0) || rv == FLO_E_IO_WRITE) {
        rv = flo_fail_errno(err, FLO_E_IO_WRITE, "%s", l->path);
    }
    return rv;
}

static int logits(void *context, struct flo_err *err)
{
    struct logits *l = context;
    int rv;

    if (l->path == NULL) {
        return flo_fail(err, FLO_E_USAGE, "--out is missing");
    }
    if ((rv = flo_tool_open(&l->tool, FLO_VOCABULARY_NONE, &l->model, err)) <
            0 ||
        (rv = flo_tool_tokens(&l->tool, &l->tokens, &l->count, err)) < 0) {
        return rv;
    }
    return flo_outfile(
        l->path,
        (struct flo_inputs){
            {l->tool.model, l->model.setup.adapter, l->model.setup.packed}},
        write_rows, l, err);
}

static struct logits state;
static const struct flo_option options[] = {
    {"tokens", FLO_OPTION_TEXT, &state.tool.tokens, "IDS the prompt, as 1,2,3"},
    {"out", FLO_OPTION_TEXT, &state.path, "FILE where the rows go"},
};
const struct flo_command flo_command_logits = {
    .name = "logits",
    .help = "write the logits of a prompt's tokens",
    .usage = "--model FILE --tokens IDS --out FILE",
    .shared = FLO_SHARED_BACKEND,
    .options = options,
    .option_count = FLO_COUNT(options),
    .state = &state,
    .run = logits,
};
