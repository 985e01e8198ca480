/* Library: a vocabulary whose texts a library tokenises and shows. */
#include "engine/token/vocab/vocab.h"

#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/gguf.h>

/* ---- opening ---- */

/* Marks the control tokens and ends that the library knows.  Tokens that the
 * file itself marks stay marked. */
static void mark_tokens(struct flo_vocab *vocab)
{
    const struct flo_vocab_library *library = &vocab->library;

    for (int32_t id = 0; id < vocab->facts.count; id++) {
        struct flo_vocab_token *token = &vocab->tokens[id];

        if (library->is_control(library->context, id)) {
            token->type = FLO_TOKEN_CONTROL;
            token->is_mark = false;
        }
        token->is_end |= library->is_end(library->context, id);
    }
}

static int copy_pieces(struct flo_vocab *vocab, struct flo_err *err)
{
    const struct flo_vocab_library *library = &vocab->library;
    int32_t count = vocab->facts.count;
    struct flo_buf text = {.bytes_max = UINT32_MAX};

    vocab->library_at = malloc(((size_t)count + 1) * sizeof(*vocab->library_at));
    flo_buf_text(&text, "");
    for (int32_t id = 0; vocab->library_at != NULL && id <= count; id++) {
        vocab->library_at[id] = (uint32_t)text.bytes;
        if (id < count) {
            library->piece(library->context, id, &text);
        }
    }
    if (vocab->library_at == NULL || text.failed) {
        flo_buf_deinit(&text);
        return flo_fail(err, FLO_E_MEMORY, "the pieces of %d tokens", count);
    }
    vocab->library_text = text.data;
    return 0;
}

static int load(struct flo_vocab *vocab, const struct flo_gguf *gguf, struct flo_err *err)
{
    const struct flo_vocab_facts *facts = &vocab->library.facts;

    FLO_TRY(flo_vocab_load_tokens(vocab, gguf, err));
    if (vocab->facts.count != facts->count) {
        return flo_fail(err, FLO_E_GGUF_VOCAB, "%d tokens, the library has %d", vocab->facts.count,
                        facts->count);
    }
    vocab->facts = *facts;
    /* no limit, because the library's normalisation may drop bytes */
    vocab->id_bytes_max = SIZE_MAX;
    mark_tokens(vocab);
    FLO_TRY(flo_vocab_load_specials(vocab, err));
    return copy_pieces(vocab, err);
}

int flo_vocab_open_library(const struct flo_gguf *gguf, const struct flo_vocab_library *library,
                           struct flo_vocab **out, struct flo_err *err)
{
    struct flo_vocab *vocab = calloc(1, sizeof(*vocab));

    if (vocab == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "a vocabulary");
    }
    vocab->library = *library;
    int rv = load(vocab, gguf, err);
    if (rv < 0) {
        flo_vocab_close(vocab);
        return rv;
    }
    *out = vocab;
    return 0;
}

/* ---- texts ---- */

/* Returns where the first user-defined mark begins in the text; `bytes` if
 * there is none. */
static size_t next_mark(const struct flo_vocab *vocab, const char *text, size_t bytes)
{
    size_t first = bytes;

    for (size_t i = 0; i < vocab->specials.count; i++) {
        const struct flo_vocab_token *token = &vocab->tokens[vocab->specials.ids[i]];
        const char *hit = !token->is_mark || token->bytes < 2
                              ? NULL
                              : memmem(text, bytes, token->text, token->bytes);

        if (hit != NULL && (size_t)(hit - text) < first) {
            first = (size_t)(hit - text);
        }
    }
    return first;
}

/* The library makes one token of each user-defined token that it sees.  So a
 * message's text is cut inside each mark, which is then spelled by several
 * tokens. */
bool flo_library_text(const struct flo_vocab *vocab, const char *text, size_t bytes,
                      bool has_message, struct flo_tokens *tokens)
{
    const struct flo_vocab_library *library = &vocab->library;
    size_t from = 0;
    bool is_fine = true;

    while (is_fine && !tokens->failed && from < bytes) {
        size_t left = bytes - from;
        size_t mark = has_message ? next_mark(vocab, text + from, left) : left;
        size_t here = mark < left ? mark + 1 : left;

        is_fine = library->ids(library->context, text + from, here, tokens);
        from += here;
    }
    return is_fine;
}
