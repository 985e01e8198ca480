/* Vocabulary: gives texts to llama.cpp's tokenizer if ours does not know the
 * one of the file. */
#include <stdlib.h>

#include <flotilla/errors/gguf.h>

#include "engine/llama/llama_filler.h"

#define PIECE_BYTES 4096

static bool ids(void *context, const char *text, size_t bytes, struct flo_tokens *tokens)
{
    const struct flo_llama *l = context;
    size_t room = tokens->count_max == 0 || tokens->count_max - tokens->count > bytes + 16
                      ? bytes + 16
                      : tokens->count_max - tokens->count;
    int32_t *made = malloc((room + 1) * sizeof(*made));
    int32_t count;

    if (made == NULL || bytes > INT32_MAX / 2) {
        free(made);
        return false;
    }
    count = llama_tokenize(l->vocab, text, (int32_t)bytes, made, (int32_t)room, false, false);
    if (count < 0) { /* a negative number: so many tokens do not fit */
        tokens->count_least = tokens->count + (size_t)-count;
        tokens->failed = true;
    }
    for (int32_t i = 0; i < count; i++) {
        flo_tokens_add(tokens, made[i]);
    }
    free(made);
    return true;
}

static void piece(void *context, int32_t id, struct flo_buf *out)
{
    const struct flo_llama *l = context;
    char bytes[PIECE_BYTES];
    int32_t count = llama_token_to_piece(l->vocab, id, bytes, sizeof(bytes), 0, true);

    /* a negative number means a piece longer than the array, which shows
     * nothing */
    if (count > 0) {
        flo_buf_add(out, bytes, (size_t)count);
    }
}

static bool is_end(void *context, int32_t id)
{
    return llama_vocab_is_eog(((const struct flo_llama *)context)->vocab, id);
}

static bool is_control(void *context, int32_t id)
{
    return llama_vocab_is_control(((const struct flo_llama *)context)->vocab, id);
}

int flo_llama_vocabulary(struct flo_engine *e, struct flo_err *err)
{
    struct flo_llama *l = e->library;
    const struct llama_vocab *vocab = l->vocab;
    struct flo_err ours = {0};

    /* Our own tokenizer is used if it knows the file's, so that the ids are
     * those of our own kernels. */
    if (flo_vocab_open(e->gguf, &e->vocab, &ours) == 0) {
        return 0;
    }
    if (llama_vocab_type(vocab) == LLAMA_VOCAB_TYPE_NONE) {
        return flo_fail(err, FLO_E_GGUF_VOCAB, "the file has no vocabulary");
    }
    struct flo_vocab_library library = {
        .context = l,
        .ids = ids,
        .piece = piece,
        .is_end = is_end,
        .is_control = is_control,
        .facts =
            {
                .count = llama_vocab_n_tokens(vocab),
                .bos = llama_vocab_bos(vocab),
                .eos = llama_vocab_eos(vocab),
                .eot = llama_vocab_eot(vocab),
                .unknown = -1,
                .separator = llama_vocab_sep(vocab),
                .adds_separator = llama_vocab_get_add_sep(vocab),
                .adds_bos = llama_vocab_get_add_bos(vocab),
                .adds_eos = llama_vocab_get_add_eos(vocab),
                .model = "library",
                .pre = "library",
            },
    };

    return flo_vocab_open_library(e->gguf, &library, &e->vocab, err);
}
