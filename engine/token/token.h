/* Tokens: a model's vocabulary, text to ids and ids to text.
 *
 * Byte-level BPE (`tokenizer.ggml.model` = gpt2) with the pre-tokenizers of
 * token/split.h.  A vocabulary borrows the strings of the open GGUF, which
 * must outlive it; after opening it is read-only and may be shared by
 * threads.  Text may hold NUL and broken UTF-8: each bad byte counts as
 * U+FFFD. */
#ifndef FLOTILLA_ENGINE_TOKEN_H
#define FLOTILLA_ENGINE_TOKEN_H

#include <flotilla/engine.h>

#include "base/gguf/gguf.h"

#define FLO_VOCAB_COUNT_MAX (1u << 20)
#define FLO_TOKEN_BYTES_MAX 65535 /* bytes of one token's text */

/* A growing list of ids with a bound.  Zero-initialise and set count_max (0:
 * 16 Mi).  After a failed add `failed` stays set. */
struct flo_tokens {
    int32_t *ids;
    size_t count;
    size_t capacity;
    size_t count_max;
    /* When it failed: so many there would have been at least. */
    size_t count_least;
    bool failed;
};
void flo_tokens_add(struct flo_tokens *tokens, int32_t id);
void flo_tokens_deinit(struct flo_tokens *tokens);

struct flo_vocab;

/* Facts of the metadata; an id is -1 when the file names none. */
struct flo_vocab_facts {
    int32_t count;
    int32_t bos, eos, eot, unknown;
    bool adds_bos;
    bool adds_eos;
    const char *model; /* "gpt2" */
    const char *pre;   /* "smollm" */
};

/* FLO_E_GGUF_MISSING no token list; FLO_E_GGUF_VOCAB something in it does not
 * fit; FLO_E_NOT_BUILT another tokenizer model or pre-tokenizer;
 * FLO_E_MEMORY. */
FLO_MUST_USE int flo_vocab_open(const struct flo_gguf *gguf, struct flo_vocab **out,
                                struct flo_err *err);
void flo_vocab_close(struct flo_vocab *vocab);
const struct flo_vocab_facts *flo_vocab_facts(const struct flo_vocab *vocab);

/* The id whose text is exactly this, or -1. */
int32_t flo_vocab_find(const struct flo_vocab *vocab, const char *text, size_t bytes);
/* Does this id end an answer?  eos, eot and every token that is spelled like
 * an end (ARCHITECTURES section 5); false for ids out of range. */
bool flo_vocab_is_end(const struct flo_vocab *vocab, int32_t id);
/* Is it a control token (never shown as text)? */
bool flo_vocab_is_control(const struct flo_vocab *vocab, int32_t id);
/* The bytes that an id stands for, added to `out`; control tokens add their
 * spelling only when `with_control`.  Ids out of range add nothing. */
void flo_vocab_piece(const struct flo_vocab *vocab, int32_t id, bool with_control,
                     struct flo_buf *out);

/* A part of a text that is tokenised as one: pieces of a template (control
 * tokens are recognised) and of a user (they are plain text) next to each
 * other.  User-defined tokens are recognised in both, except those that look
 * like a mark of a template (some files list <|user|> so) in a message. */
struct flo_text_span {
    const char *data;
    size_t bytes;
    bool is_special;
    bool is_message; /* a user's part of a chat: see below */
};
/* Append the ids of the joined spans: the same ids as for the whole string,
 * except that a control token is only taken when it lies wholly inside one
 * special span.  No BOS, no EOS.  FLO_E_MEMORY, FLO_E_INFER_TOO_LONG when
 * tokens->count_max is passed: found before anything is allocated where the
 * text's bytes alone say so. */
FLO_MUST_USE int flo_tokenize_spans(const struct flo_vocab *vocab,
                                    const struct flo_text_span *spans, size_t span_count,
                                    struct flo_tokens *tokens, struct flo_err *err);
/* One text; flags of enum flo_text_flags. */
FLO_MUST_USE int flo_tokenize(const struct flo_vocab *vocab, const char *text, size_t bytes,
                              unsigned flags, struct flo_tokens *tokens, struct flo_err *err);

/* Ids to text as they come: bytes of an incomplete UTF-8 sequence are held
 * back until the rest arrives.  Zero-initialise. */
struct flo_text_stream {
    char held[8]; /* 3 bytes, and the next character of a token */
    size_t held_bytes;
};
/* Append to `out` what can be shown after this id (perhaps nothing).  `out`
 * gets valid UTF-8 only; bytes that can never be valid become U+FFFD. */
void flo_text_stream_add(struct flo_text_stream *stream, const struct flo_vocab *vocab, int32_t id,
                         struct flo_buf *out);
/* At the end: what is still held becomes one U+FFFD. */
void flo_text_stream_finish(struct flo_text_stream *stream, struct flo_buf *out);

#endif
