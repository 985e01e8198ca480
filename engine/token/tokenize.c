/* Text to ids: special tokens are cut out first, the rest is split into
 * words, words are merged.
 *
 * Specials are taken longest first over the whole text, each from left to
 * right, out of what longer ones left over: the rule of the common engines,
 * so that the same prompt gives the same ids. */
#include "engine/token/vocab.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "engine/token/unicode.h"

#define TOKENS_MAX (16u << 20)
#define TEXT_BYTES_MAX (64u << 20)

void flo_tokens_add(struct flo_tokens *tokens, int32_t id)
{
    size_t most = tokens->count_max != 0 ? tokens->count_max : TOKENS_MAX;
    if (tokens->failed || tokens->count >= most) {
        tokens->failed = true;
        return;
    }
    if (tokens->count == tokens->capacity) {
        size_t capacity = tokens->capacity != 0 ? 2 * tokens->capacity : 64;
        int32_t *ids = realloc(tokens->ids, capacity * sizeof(*ids));
        if (ids == NULL) {
            tokens->failed = true;
            return;
        }
        tokens->ids = ids;
        tokens->capacity = capacity;
    }
    tokens->ids[tokens->count++] = id;
}

void flo_tokens_deinit(struct flo_tokens *tokens)
{
    free(tokens->ids);
    memset(tokens, 0, sizeof(*tokens));
}

/* A part of the joined text: still raw (id < 0) or a special token. */
struct piece {
    size_t start;
    size_t bytes;
    int32_t id;
};

struct pieces {
    struct piece *items;
    size_t count;
    size_t capacity;
};

static bool pieces_add(struct pieces *pieces, struct piece piece)
{
    if (piece.bytes == 0) {
        return true;
    }
    if (pieces->count == pieces->capacity) {
        size_t capacity = pieces->capacity != 0 ? 2 * pieces->capacity : 32;
        struct piece *items = realloc(pieces->items, capacity * sizeof(*items));
        if (items == NULL) {
            return false;
        }
        pieces->items = items;
        pieces->capacity = capacity;
    }
    pieces->items[pieces->count++] = piece;
    return true;
}

/* The text being cut and, for each special span, where it lies in it. */
struct work {
    const struct flo_vocab *vocab;
    struct flo_buf text;
    struct piece *spans; /* of special spans only: start, bytes */
    size_t span_count;
    bool has_message;
};

/* Does the place lie wholly in one special span? */
static bool is_in_special(const struct work *work, size_t start, size_t bytes)
{
    for (size_t i = 0; i < work->span_count; i++) {
        const struct piece *span = &work->spans[i];
        if (start >= span->start &&
            start + bytes <= span->start + span->bytes) {
            return true;
        }
    }
    return false;
}

static bool must_be_special(const struct work *work,
                            const struct flo_vocab_token *token)
{
    return token->type != FLO_TOKEN_USER ||
           (token->is_mark && work->has_message);
}

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Cut every allowed occurrence of one special out of one raw piece. */
static bool cut(const struct work *work, int32_t id, struct piece raw,
                struct pieces *out)
{
    const struct flo_vocab_token *token = &work->vocab->tokens[id];
    size_t end = raw.start + raw.bytes;
    size_t from = raw.start;   /* of what is not yet given out */
    size_t search = raw.start; /* where to look next */
    while (search < end) {
        const char *hit = memmem(work->text.data + search, end - search,
                                 token->text, token->bytes);
        if (hit == NULL) {
            break;
        }
        size_t at = (size_t)(hit - work->text.data);
        if (must_be_special(work, token) &&
            !is_in_special(work, at, token->bytes)) {
            search = at + 1;
            continue;
        }
        if (!pieces_add(out, (struct piece){from, at - from, -1}) ||
            !pieces_add(out, (struct piece){at, token->bytes, id})) {
            return false;
        }
        from = at + token->bytes;
        while (token->strips_right && from < end &&
               is_blank(work->text.data[from])) {
            from++;
        }
        search = from;
    }
    return pieces_add(out, (struct piece){from, end - from, -1});
}

/* One special over all pieces. */
static bool cut_all(const struct work *work, int32_t id, struct pieces *pieces)
{
    const struct flo_vocab_token *token = &work->vocab->tokens[id];
    if (token->bytes > work->text.bytes ||
        (token->type != FLO_TOKEN_USER && work->span_count == 0) ||
        memmem(work->text.data, work->text.bytes, token->text, token->bytes) ==
            NULL) {
        return true;
    }
    struct pieces next = {0};
    bool is_fine = true;
    for (size_t i = 0; is_fine && i < pieces->count; i++) {
        is_fine = pieces->items[i].id >= 0
                      ? pieces_add(&next, pieces->items[i])
                      : cut(work, id, pieces->items[i], &next);
    }
    free(pieces->items);
    *pieces = next;
    return is_fine;
}

/* Append with every bad byte as U+FFFD. */
static void add_valid(struct flo_buf *out, const char *text, size_t bytes)
{
    size_t at = 0;
    while (at < bytes) {
        size_t good = flo_utf8_valid(text + at, bytes - at);
        flo_buf_add(out, text + at, good);
        at += good;
        if (at < bytes) {
            flo_buf_add(out, "\xef\xbf\xbd", 3);
            at++;
        }
    }
}

static int join_spans(struct work *work, const struct flo_text_span *spans,
                      size_t span_count, struct flo_err *err)
{
    work->text.bytes_max = TEXT_BYTES_MAX;
    work->spans = calloc(span_count + 1, sizeof(*work->spans));
    if (work->spans == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%zu parts of a text", span_count);
    }
    for (size_t i = 0; i < span_count; i++) {
        size_t start = work->text.bytes;
        if (work->vocab->is_spm) { /* bad bytes have tokens of their own */
            flo_buf_add(&work->text, spans[i].data, spans[i].bytes);
        } else {
            add_valid(&work->text, spans[i].data, spans[i].bytes);
        }
        work->has_message = work->has_message || spans[i].is_message;
        if (spans[i].is_special) {
            work->spans[work->span_count++] =
                (struct piece){start, work->text.bytes - start, -1};
        }
    }
    if (work->text.failed) {
        return flo_fail(err, FLO_E_INFER_TOO_LONG,
                        "a text of more than %u bytes", TEXT_BYTES_MAX);
    }
    return 0;
}

static bool merge_words(const struct work *work, struct piece raw,
                        struct flo_bpe *bpe, struct flo_tokens *tokens)
{
    struct flo_split split;
    const char *word;
    size_t bytes;
    flo_split_init(&split, work->vocab->split, work->text.data + raw.start,
                   raw.bytes);
    while (!tokens->failed && flo_split_next(&split, &word, &bytes)) {
        if (!flo_bpe_word(bpe, word, bytes, tokens)) {
            return false;
        }
    }
    return true;
}

static int convert(const struct work *work, struct flo_tokens *tokens,
                   struct flo_err *err)
{
    struct pieces pieces = {0};
    struct flo_bpe *bpe = flo_bpe_new(work->vocab);
    bool is_fine = bpe != NULL &&
                   pieces_add(&pieces, (struct piece){0, work->text.bytes, -1});
    for (size_t i = 0; is_fine && i < work->vocab->special_count; i++) {
        is_fine = cut_all(work, work->vocab->specials[i], &pieces);
    }
    bool is_after_special = true; /* the beginning counts as one */
    for (size_t i = 0; is_fine && i < pieces.count; i++) {
        const struct piece *piece = &pieces.items[i];
        if (piece->id >= 0) {
            flo_tokens_add(tokens, piece->id);
        } else if (work->vocab->is_spm) {
            is_fine = flo_spm_text(
                work->vocab, work->text.data + piece->start, piece->bytes,
                work->vocab->adds_space && is_after_special, tokens);
        } else {
            is_fine = merge_words(work, *piece, bpe, tokens);
        }
        is_after_special = piece->id >= 0;
    }
    free(pieces.items);
    flo_bpe_free(bpe);
    if (!is_fine) {
        return flo_fail(err, FLO_E_MEMORY, "tokens of %zu bytes",
                        work->text.bytes);
    }
    if (tokens->failed) {
        return flo_fail(err, FLO_E_INFER_TOO_LONG,
                        "a text of %zu bytes has more than %zu tokens",
                        work->text.bytes, tokens->count);
    }
    return 0;
}

int flo_tokenize_spans(const struct flo_vocab *vocab,
                       const struct flo_text_span *spans, size_t span_count,
                       struct flo_tokens *tokens, struct flo_err *err)
{
    struct work work = {.vocab = vocab};
    int rv = join_spans(&work, spans, span_count, err);
    if (rv == 0 && work.text.bytes > 0) {
        rv = convert(&work, tokens, err);
    }
    flo_buf_deinit(&work.text);
    free(work.spans);
    return rv;
}

int flo_tokenize(const struct flo_vocab *vocab, const char *text, size_t bytes,
                 bool is_special, struct flo_tokens *tokens,
                 struct flo_err *err)
{
    const struct flo_vocab_facts *facts = &vocab->facts;
    struct flo_text_span span = {
        .data = text, .bytes = bytes, .is_special = is_special};
    if (is_special && facts->adds_bos && facts->bos >= 0) {
        flo_tokens_add(tokens, facts->bos);
    }
    int rv = flo_tokenize_spans(vocab, &span, 1, tokens, err);
    if (rv == 0 && is_special && facts->adds_eos && facts->eos >= 0) {
        flo_tokens_add(tokens, facts->eos);
    }
    if (rv == 0 && tokens->failed) {
        rv = flo_fail(err, FLO_E_INFER_TOO_LONG, "more than %zu tokens",
                      tokens->count);
    }
    return rv;
}
