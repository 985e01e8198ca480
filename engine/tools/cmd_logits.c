/* flotilla-engine logits: float32 little-endian, a row of n_vocab for every
 * token of the prompt. */
#include <stdlib.h>

#include "engine/tools/common.h"
#include "engine/tools/tools.h"

struct output {
    FILE *file;
    uint32_t n_vocab;
};

static int write_row(void *context, uint32_t position, const float *logits)
{
    struct output *out = context;

    (void)position;
    if (fwrite(logits, sizeof(*logits), out->n_vocab, out->file) !=
        out->n_vocab) {
        return FLO_E_IO_WRITE;
    }
    return 0;
}

static int write_logits(const struct flo_tool *tool, const char *path,
                        const struct flo_tool_model *model, struct flo_err *err)
{
    struct output out = {.n_vocab = model->info->n_vocab};
    int32_t *tokens;
    size_t count;
    int rv = flo_tool_tokens(tool, &tokens, &count, err);

    if (rv < 0) {
        return rv;
    }
    out.file = fopen(path, "wb");
    if (out.file == NULL) {
        free(tokens);
        return flo_fail_errno(err, FLO_E_IO_OPEN, "%s", path);
    }
    rv = model->backend->prefill(model->state, tokens, count, write_row, &out,
                                 err);
    if ((fclose(out.file) != 0 && rv == 0) || rv == FLO_E_IO_WRITE) {
        rv = flo_fail_errno(err, FLO_E_IO_WRITE, "%s", path);
    }
    free(tokens);
    return rv;
}

static int logits(const struct flo_tool *tool, const char *path,
                  struct flo_err *err)
{
    struct flo_tool_model model = {0};
    int rv;

    if (path == NULL) {
        return flo_fail(err, FLO_E_USAGE, "--out is missing");
    }
    rv = flo_tool_open(tool, FLO_VOCABULARY_NONE, &model, err);
    if (rv == 0) {
        rv = write_logits(tool, path, &model, err);
    }
    flo_tool_close(&model);
    return rv;
}

int flo_cmd_logits(int argc, char **argv)
{
    struct flo_tool tool = {0};
    const char *path = NULL;
    const struct flo_option options[] = {
        FLO_TOOL_OPTIONS(tool),
        FLO_BACKEND_OPTIONS(tool),
        {"tokens", FLO_OPTION_TEXT, &tool.tokens,
         "IDS     the prompt, as 1,2,3"},
        {"out", FLO_OPTION_TEXT, &path, "FILE       where the rows go"},
    };
    struct flo_err err = {0};
    int code = flo_options_read(argc, argv,
                                "logits --model FILE --tokens IDS --out FILE",
                                options, FLO_COUNT(options), NULL, 0);

    if (code >= 0) {
        return code;
    }
    return flo_tool_end(&tool, logits(&tool, path, &err), &err);
}
