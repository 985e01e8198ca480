#include "engine/judge/chunks.h"

#include <stdlib.h>
#include <string.h>

#define TEXT_BYTES_MAX (1u << 30)

static int make_room(struct flo_chunks *chunks, size_t bytes, struct flo_err *err)
{
    chunks->begin = -1;
    chunks->tokens = malloc((bytes + 8) * sizeof(*chunks->tokens));
    return chunks->tokens != NULL ? 0
                                  : flo_fail(err, FLO_E_MEMORY, "the tokens of %zu bytes", bytes);
}

/* Returns the begin token of the model, which is the one that tokenising a
 * prompt puts first. */
static int32_t first_of_texts(struct flo_engine *text)
{
    int32_t plain[8], read[8];
    size_t n_plain, n_read;

    return flo_engine_tokenise(text, "a", 1, 0, plain, 8, &n_plain, NULL) == 0 &&
                   flo_engine_tokenise(text, "a", 1, FLO_TEXT_ENDS, read, 8, &n_read, NULL) == 0 &&
                   n_read > n_plain && read[0] != plain[0]
               ? read[0]
               : -1;
}

int flo_chunks_of_bytes(const struct flo_tool_model *model, const char *text, size_t bytes,
                        struct flo_chunks *chunks, struct flo_err *err)
{
    FLO_TRY(make_room(chunks, bytes, err));
    FLO_TRY(flo_engine_tokenise(model->text, text, bytes, 0, chunks->tokens, bytes + 8,
                                &chunks->tokens_count, err));
    chunks->begin = first_of_texts(model->text);
    return 0;
}

int flo_chunks_of_text(const struct flo_tool_model *model, const char *path,
                       struct flo_chunks *chunks, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    size_t bytes;

    FLO_TRY(flo_file_read(path, TEXT_BYTES_MAX, &text, &bytes, err));
    return flo_chunks_of_bytes(model, text, bytes, chunks, err);
}

int flo_chunks_of_ids(const struct flo_tool_model *model, const char *path,
                      struct flo_chunks *chunks, struct flo_err *err)
{
    static const char between[] = " ,\t\r\n";
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    size_t bytes;

    FLO_TRY(flo_file_read(path, TEXT_BYTES_MAX, &text, &bytes, err));
    FLO_TRY(make_room(chunks, bytes, err));
    for (const char *at = text + strspn(text, between); *at != '\0'; at += strspn(at, between)) {
        char *end;
        unsigned long id = strtoul(at, &end, 10);

        if (*at < '0' || *at > '9' || id > INT32_MAX || strchr(between, *end) == NULL) {
            return flo_fail(err, FLO_E_USAGE, "%s: id %zu is no token id", path,
                            chunks->tokens_count + 1);
        }
        /* checked here, because the last id of a text is only predicted, never
         * decoded */
        if (id >= model->info->n_vocab) {
            return flo_fail(err, FLO_E_USAGE, "%s: id %zu is %lu, the model has %u tokens", path,
                            chunks->tokens_count + 1, id, model->info->n_vocab);
        }
        chunks->tokens[chunks->tokens_count++] = (int32_t)id;
        at = end;
    }
    return 0;
}

int flo_chunks_cut(struct flo_chunks *chunks, uint32_t length, struct flo_err *err)
{
    if (chunks->tokens_count < length || length < 2) {
        return flo_fail(err, FLO_E_USAGE, "the text has %zu tokens, a chunk needs %u",
                        chunks->tokens_count, length < 2 ? 2 : length);
    }
    chunks->length = length;
    chunks->count = chunks->tokens_count / length;
    return 0;
}

void flo_chunks_free(struct flo_chunks *chunks)
{
    free(chunks->tokens);
    chunks->tokens = NULL;
}

uint32_t flo_chunks_scored(const struct flo_chunks *chunks)
{
    return chunks->length - chunks->length / 2;
}

/* Scores a chunk from the middle on.  Each token is predicted from all tokens
 * of the chunk before it. */
int flo_chunks_run(struct flo_chunks *chunks, size_t index, const struct flo_tool_model *model,
                   flo_logits_fn *row, void *context, struct flo_err *err)
{
    const struct flo_backend *b = model->backend;
    int32_t *chunk = chunks->tokens + index * chunks->length;
    uint32_t half = chunks->length / 2, done = half < 2 ? 0 : half - 1;
    int32_t first = chunk[0];
    int rv = 0;

    chunk[0] = chunks->begin >= 0 ? chunks->begin : first;
    b->reset(model->state, 0);
    if (done > 0) {
        rv = b->prefill(model->state, chunk, done, NULL, NULL, err);
    }
    if (rv == 0) {
        rv = b->prefill(model->state, chunk + done, chunks->length - 1 - done, row, context, err);
    }
    chunk[0] = first;
    return rv;
}
