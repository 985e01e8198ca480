/* Token: a model's vocabulary; converts text to ids and ids to text.
 *
 * Byte-level BPE (`tokenizer.ggml.model` = gpt2) with the pre-tokenizers of
 * token/split.h, SPM (llama), and those of a library.  A vocabulary borrows the strings of the open
 * GGUF, which must outlive it; after opening it is read-only and may be shared by threads.  Text
 * may hold NUL and broken UTF-8: each invalid byte counts as U+FFFD. */
#ifndef FLOTILLA_ENGINE_TOKEN_H
#define FLOTILLA_ENGINE_TOKEN_H

#include <flotilla/engine.h>

#include "base/gguf/gguf.h"

#define FLO_VOCAB_COUNT_MAX (1u << 20)
#define FLO_TOKEN_BYTES_MAX 65535 /* largest number of bytes in a token's text */

/* A growing list of ids with a limit.  Zero-initialise and set count_max (0: 16
 * Mi).  After a failed add, `failed` stays set. */
struct flo_tokens {
    int32_t *ids;
    size_t count;
    size_t capacity;
    size_t count_max;
    /* After a failure: lower bound of how many ids there would have been. */
    size_t count_least;
    bool failed;
};
void flo_tokens_add(struct flo_tokens *tokens, int32_t id);
void flo_tokens_deinit(struct flo_tokens *tokens);

struct flo_vocab;

/* Properties from the metadata; an id is -1 if the file has none. */
struct flo_vocab_facts {
    int32_t count;
    int32_t bos, eos, eot, unknown;
    int32_t separator; /* of the two texts of a pair; only with adds_separator */
    bool adds_bos;
    bool adds_eos;
    bool adds_separator;
    const char *model; /* "gpt2" */
    const char *pre;   /* "smollm" */
};

/* Opens the vocabulary of a GGUF.  FLO_E_GGUF_MISSING: no token list;
 * FLO_E_GGUF_VOCAB: inconsistent content; FLO_E_NOT_BUILT: unsupported
 * tokenizer model or pre-tokenizer; FLO_E_MEMORY. */
FLO_MUST_USE int flo_vocab_open(const struct flo_gguf *gguf, struct flo_vocab **out,
                                struct flo_err *err);
/* A tokenizer of a library, for files whose own one is not built here. */
struct flo_vocab_library {
    void *context; /* borrowed until the vocabulary is closed */
    /* Appends the ids of a text without special tokens.  false: out of
     * memory. */
    bool (*ids)(void *context, const char *text, size_t bytes, struct flo_tokens *tokens);
    /* Appends the bytes of a token; a control token's are its spelling. */
    void (*piece)(void *context, int32_t id, struct flo_buf *out);
    bool (*is_end)(void *context, int32_t id);
    bool (*is_control)(void *context, int32_t id);
    struct flo_vocab_facts facts;
};
/* Like flo_vocab_open(), with texts and pieces by the library.  The file's list
 * of tokens still says which are special. */
FLO_MUST_USE int flo_vocab_open_library(const struct flo_gguf *gguf,
                                        const struct flo_vocab_library *library,
                                        struct flo_vocab **out, struct flo_err *err);
void flo_vocab_close(struct flo_vocab *vocab);
const struct flo_vocab_facts *flo_vocab_facts(const struct flo_vocab *vocab);

/* Returns the id whose text is exactly this, or -1. */
int32_t flo_vocab_find(const struct flo_vocab *vocab, const char *text, size_t bytes);
/* Does this id end an answer?  True for eos, eot and every token spelled like
 * an end (ARCHITECTURES section 5); false for ids out of range. */
bool flo_vocab_is_end(const struct flo_vocab *vocab, int32_t id);
/* Tells whether the token is a control token (never shown as text). */
bool flo_vocab_is_control(const struct flo_vocab *vocab, int32_t id);
/* Appends the bytes of an id to `out`; the spelling of a control token only
 * with `with_control`.  Ids out of range append nothing. */
void flo_vocab_piece(const struct flo_vocab *vocab, int32_t id, bool with_control,
                     struct flo_buf *out);

/* A span of a text that is tokenised as one: spans of a template (control
 * tokens are recognised) and of a user (they are plain text) side by side.
 * User-defined tokens are recognised in both, except that in a message those
 * that look like a template's mark (in some files <|user|>) are plain text. */
struct flo_text_span {
    const char *data;
    size_t bytes;
    bool is_special;
    bool is_message; /* a user's span of a chat */
};
/* Appends the ids of the joined spans, as for the whole string, except that a
 * control token must lie wholly inside one special span.  No BOS, no EOS.
 * FLO_E_MEMORY; FLO_E_INFER_TOO_LONG if tokens->count_max is exceeded, detected
 * before any allocation if the text's byte count alone shows it. */
FLO_MUST_USE int flo_tokenize_spans(const struct flo_vocab *vocab,
                                    const struct flo_text_span *spans, size_t span_count,
                                    struct flo_tokens *tokens, struct flo_err *err);
/* Tokenises one text; flags of enum flo_text_flags. */
FLO_MUST_USE int flo_tokenize(const struct flo_vocab *vocab, const char *text, size_t bytes,
                              unsigned flags, struct flo_tokens *tokens, struct flo_err *err);

/* Converts ids to text one by one; bytes of an incomplete UTF-8 sequence are
 * held back until the rest arrives.  Zero-initialise. */
struct flo_text_stream {
    char held[8]; /* up to 3 held bytes, and the next character of a token */
    size_t held_bytes;
};
/* Appends the text that can be shown after this id (perhaps none) to `out`,
 * always valid UTF-8; bytes that can never be valid become U+FFFD. */
void flo_text_stream_add(struct flo_text_stream *stream, const struct flo_vocab *vocab, int32_t id,
                         struct flo_buf *out);
/* Ends the stream: held bytes become one U+FFFD. */
void flo_text_stream_finish(struct flo_text_stream *stream, struct flo_buf *out);

#endif
