/* Tokenize: converts text to ids.  Special tokens are cut out first, the rest
 * is split into words, and the words are merged to tokens.  The longest special
 * token is searched first, in the whole text from left to right, then the next
 * in the rest.  Other engines do the same, so the same prompt gives the same
 * ids. */
#include "engine/token/vocab/vocab.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "engine/token/normalize.h"
#include "engine/token/steps.h"
#include "engine/token/unicode.h"

#define TEXT_BYTES_MAX (64u << 20)

/* A piece of the joined text.  It is a special token, or text not tokenised yet
 * (id < 0). */
struct piece {
    size_t start;
    size_t bytes;
    int32_t id;
};

static void add_piece(struct flo_buf *pieces, size_t start, size_t end, int32_t id)
{
    struct piece piece = {start, end - start, id};
    if (end > start) {
        flo_buf_add(pieces, &piece, sizeof(piece));
    }
}

/* The joined text, and the positions of its special spans. */
struct work {
    const struct flo_vocab *vocab;
    struct flo_buf text;
    struct piece *spans; /* positions of the special spans: start and bytes */
    size_t span_count;
    bool has_message;
    bool composes; /* texts get normalization form C first */
};

/* Tells whether the range lies wholly in one special span. */
static bool is_in_special(const struct work *work, size_t start, size_t bytes)
{
    for (size_t i = 0; i < work->span_count; i++) {
        const struct piece *span = &work->spans[i];
        if (start >= span->start && start + bytes <= span->start + span->bytes) {
            return true;
        }
    }
    return false;
}

static bool must_be_special(const struct work *work, const struct flo_vocab_token *token)
{
    return token->type != FLO_TOKEN_USER || (token->is_mark && work->has_message);
}

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Cuts one special token out of a piece, wherever it is allowed in its text. */
static void cut(const struct work *work, int32_t id, const struct piece *raw, struct flo_buf *out)
{
    const struct flo_vocab_token *token = &work->vocab->tokens[id];
    const char *text = work->text.data;
    const char *hit;
    size_t end = raw->start + raw->bytes;
    size_t from = raw->start; /* beginning of the text that is not in `out` yet */
    size_t search = from;     /* position where the search continues */
    while ((hit = memmem(text + search, end - search, token->text, token->bytes)) != NULL) {
        size_t at = (size_t)(hit - text);
        if (must_be_special(work, token) && !is_in_special(work, at, token->bytes)) {
            search = at + 1;
            continue;
        }
        size_t before = at; /* end of the text before the token */
        while (token->strips_left && before > from && is_blank(text[before - 1])) {
            before--;
        }
        add_piece(out, from, before, -1);
        from = at + token->bytes;
        add_piece(out, at, from, id);
        while (token->strips_right && from < end && is_blank(text[from])) {
            from++;
        }
        search = from;
    }
    add_piece(out, from, end, -1);
}

/* Cuts one special token out of all pieces, in order. */
static void cut_all(const struct work *work, int32_t id, struct flo_buf *pieces)
{
    const struct flo_vocab_token *token = &work->vocab->tokens[id];
    if (token->bytes > work->text.bytes ||
        (token->type != FLO_TOKEN_USER && work->span_count == 0) ||
        memmem(work->text.data, work->text.bytes, token->text, token->bytes) == NULL) {
        return;
    }
    struct flo_buf next = {.bytes_max = pieces->bytes_max};
    const struct piece *piece = (const void *)pieces->data;
    for (size_t i = 0; i < pieces->bytes / sizeof(*piece); i++) {
        if (piece[i].id >= 0) {
            flo_buf_add(&next, &piece[i], sizeof(piece[i]));
        } else {
            cut(work, id, &piece[i], &next);
        }
    }
    next.failed = next.failed || pieces->failed;
    flo_buf_deinit(pieces);
    *pieces = next;
}

/* Cuts the tokens out of the whole text as the file's own steps mean it. */
struct cutting {
    const struct work *work;
    struct flo_buf *pieces;
};

static bool may_cut(void *context, const struct flo_vocab_token *token, size_t at, size_t bytes)
{
    const struct work *work = ((struct cutting *)context)->work;
    return !must_be_special(work, token) || is_in_special(work, at, bytes);
}

static void put_piece(void *context, size_t start, size_t end, int32_t id)
{
    add_piece(((struct cutting *)context)->pieces, start, end, id);
}

static void cut_added(const struct work *work, struct flo_buf *pieces)
{
    struct cutting cutting = {work, pieces};
    struct flo_added_cut cut = {work->vocab, &cutting, may_cut, put_piece};
    flo_added_run(&work->vocab->added, &cut, work->text.data, 0, work->text.bytes);
}

static int too_long(const struct flo_tokens *tokens, size_t bytes, struct flo_err *err)
{
    return flo_fail(err, FLO_E_INFER_TOO_LONG,
                    "a text of %zu bytes has at least %zu tokens, at most %zu "
                    "fit",
                    bytes, tokens->count_least, tokens->count + flo_tokens_room(tokens));
}

/* Refuses a text that surely has too many tokens, before it is copied. */
static int check_bytes(const struct flo_vocab *vocab, const struct flo_text_span *spans,
                       size_t span_count, struct flo_tokens *tokens, struct flo_err *err)
{
    size_t bytes = 0, stripped = 0;
    for (size_t i = 0; i < span_count; i++) {
        bytes += spans[i].bytes;
        for (size_t at = 0; vocab->strips && at < spans[i].bytes; at++) {
            stripped += is_blank(spans[i].data[at]);
        }
    }
    return flo_tokens_have_room(tokens, vocab, bytes - stripped) ? 0 : too_long(tokens, bytes, err);
}

static int join_spans(struct work *work, const struct flo_text_span *spans, size_t span_count,
                      struct flo_err *err)
{
    work->text.bytes_max = TEXT_BYTES_MAX;
    work->spans = calloc(span_count + 1, sizeof(*work->spans));
    if (work->spans == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%zu parts of a text", span_count);
    }
    for (size_t i = 0; i < span_count; i++) {
        size_t start = work->text.bytes;
        /* SPM has tokens for invalid bytes, so they stay */
        if (work->vocab->kind == FLO_VOCAB_SPM && work->vocab->steps == NULL) {
            flo_buf_add(&work->text, spans[i].data, spans[i].bytes);
        } else {
            flo_utf8_add(&work->text, spans[i].data, spans[i].bytes, false);
        }
        work->has_message = work->has_message || spans[i].is_message;
        work->composes = work->composes && !spans[i].is_exact;
        if (spans[i].is_special) {
            work->spans[work->span_count++] = (struct piece){start, work->text.bytes - start, -1};
        }
    }
    if (work->text.failed) {
        return flo_fail(err, FLO_E_INFER_TOO_LONG, "a text of more than %u bytes", TEXT_BYTES_MAX);
    }
    return 0;
}

/* Appends the ids of a text without special tokens.  Returns false if there is
 * no memory. */
static bool add_text(const struct work *work, const char *text, size_t bytes, bool is_after_special,
                     struct flo_tokens *tokens)
{
    const struct flo_vocab *vocab = work->vocab;
    if (vocab->library.ids != NULL) {
        return flo_library_text(vocab, text, bytes, work->has_message, tokens);
    }
    switch (vocab->kind) {
    case FLO_VOCAB_SPM:
        return flo_spm_text(vocab, text, bytes, vocab->adds_space && is_after_special, tokens);
    case FLO_VOCAB_WORDPIECE:
        flo_wordpiece_text(vocab, text, bytes, tokens);
        return true;
    case FLO_VOCAB_UNIGRAM:
        return flo_unigram_text(vocab, text, bytes, tokens);
    default:
        return flo_bpe_text(vocab, text, bytes, tokens);
    }
}

/* Does what add_text() does, after the text was composed. */
static bool add_composed(const struct work *work, const char *text, size_t bytes,
                         bool is_after_special, struct flo_tokens *tokens)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf composed = {.bytes_max = TEXT_BYTES_MAX};
    flo_text_compose(&composed, text, bytes);
    bool is_fine =
        !composed.failed && add_text(work, composed.data, composed.bytes, is_after_special, tokens);
    return is_fine;
}

/* Does what add_text() does, by the file's own steps. */
static bool add_stepped(const struct work *work, const struct piece *piece,
                        struct flo_tokens *tokens)
{
    struct flo_steps_text text = {.data = work->text.data + piece->start,
                                  .bytes = piece->bytes,
                                  .is_first = piece->start == 0,
                                  .is_special = is_in_special(work, piece->start, piece->bytes),
                                  .is_message = work->has_message,
                                  .is_exact = !work->composes};
    return flo_steps_run(work->vocab, &text, tokens);
}

static int convert(const struct work *work, struct flo_tokens *tokens, struct flo_err *err)
{
    const struct flo_vocab *vocab = work->vocab;
    /* The buffer has room for as many special tokens as are allowed, and for
     * the text between them. */
    struct flo_buf pieces = {.bytes_max = (2 * flo_tokens_room(tokens) + 1) * sizeof(struct piece)};
    if (vocab->steps != NULL) {
        cut_added(work, &pieces);
    } else {
        add_piece(&pieces, 0, work->text.bytes, -1);
    }
    for (size_t i = 0; vocab->steps == NULL && i < vocab->specials.count; i++) {
        cut_all(work, vocab->specials.ids[i], &pieces);
    }
    bool is_fine = true;
    /* SPM puts a blank before a text after a special token; the beginning of
     * the whole text counts as such a place */
    bool is_after_special = true;
    const struct piece *piece = (const void *)pieces.data;
    if (pieces.failed) {
        flo_tokens_refuse(tokens, flo_tokens_room(tokens) + 1);
    }
    for (size_t i = 0; is_fine && !tokens->failed && i < pieces.bytes / sizeof(*piece); i++) {
        const char *text = work->text.data + piece[i].start;
        size_t bytes = piece[i].bytes;
        if (piece[i].id >= 0) {
            flo_tokens_add(tokens, piece[i].id);
        } else if (vocab->steps != NULL) {
            is_fine = add_stepped(work, &piece[i], tokens);
        } else if (work->composes) {
            is_fine = add_composed(work, text, bytes, is_after_special, tokens);
        } else {
            is_fine = add_text(work, text, bytes, is_after_special, tokens);
        }
        is_after_special = piece[i].id >= 0;
    }
    flo_buf_deinit(&pieces);
    if (!is_fine) {
        return flo_fail(err, FLO_E_MEMORY, "tokens of %zu bytes", work->text.bytes);
    }
    return tokens->failed ? too_long(tokens, work->text.bytes, err) : 0;
}

int flo_tokenize_spans(const struct flo_vocab *vocab, const struct flo_text_span *spans,
                       size_t span_count, struct flo_tokens *tokens, struct flo_err *err)
{
    struct work work = {.vocab = vocab, .composes = vocab->composes || vocab->steps != NULL};
    int rv = check_bytes(vocab, spans, span_count, tokens, err);
    if (rv == 0) {
        rv = join_spans(&work, spans, span_count, err);
    }
    if (rv == 0 && work.text.bytes > 0) {
        rv = convert(&work, tokens, err);
    }
    flo_buf_deinit(&work.text);
    free(work.spans);
    return rv;
}

int flo_tokenize(const struct flo_vocab *vocab, const char *text, size_t bytes, unsigned flags,
                 struct flo_tokens *tokens, struct flo_err *err)
{
    const struct flo_pair_form form = flo_vocab_form(vocab, false);
    size_t at = 0;
    struct flo_text_span span = {
        .data = text,
        .bytes = bytes,
        .is_special = (flags & FLO_TEXT_SPECIAL) != 0,
    };
    for (; form.items[at] != FLO_PAIR_FIRST; at++) {
        if ((flags & FLO_TEXT_BEGIN) != 0) {
            flo_tokens_add(tokens, form.items[at]);
        }
    }
    FLO_TRY(flo_tokenize_spans(vocab, &span, 1, tokens, err));
    while (++at < form.count && (flags & FLO_TEXT_END) != 0) {
        flo_tokens_add(tokens, form.items[at]);
    }
    if (tokens->failed) {
        return too_long(tokens, bytes, err);
    }
    return 0;
}
