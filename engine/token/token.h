/* Token: a model's vocabulary; converts text to ids and ids to text.
 *
 * BPE (`tokenizer.ggml.model` = gpt2, gemma4) with the pre-tokenizers of
 * token/split.h, SPM (llama), WordPiece (bert), Unigram (t5), and the
 * tokenizers of a library.  A vocabulary
 * borrows the strings of the open GGUF, which must outlive it; after opening it
 * is read-only and may be shared by threads.  Text may hold NUL and broken
 * UTF-8: each invalid byte counts as U+FFFD. */
#ifndef FLOTILLA_ENGINE_TOKEN_H
#define FLOTILLA_ENGINE_TOKEN_H

#include <flotilla/engine.h>

#include "base/gguf/gguf.h"

#define FLO_VOCAB_COUNT_MAX (1u << 20)
#define FLO_TOKEN_BYTES_MAX 65535 /* most bytes that the text of a token may have */

/* A growing list of ids with a limit.  Zero-initialise it and set count_max (0:
 * 16 Mi).  `failed` stays set after an id did not fit. */
struct flo_tokens {
    int32_t *ids;
    size_t count;
    size_t capacity;
    size_t count_max;
    /* least number of ids that the text would have had; set together with
     * `failed` */
    size_t count_least;
    bool failed;
};
void flo_tokens_add(struct flo_tokens *tokens, int32_t id);
void flo_tokens_deinit(struct flo_tokens *tokens);

struct flo_vocab;

/* Properties of the vocabulary in the model's file.  An id is -1 if the file
 * has none. */
struct flo_vocab_facts {
    int32_t count;
    int32_t bos, eos, eot, unknown;
    int32_t separator; /* token between the texts of a pair; used only with adds_separator */
    bool adds_bos;
    bool adds_eos;
    bool adds_separator;
    const char *model; /* "gpt2" */
    const char *pre;   /* "smollm" */
};

/* Opens the vocabulary of a GGUF file.
 *
 * FLO_E_GGUF_MISSING  the file has no list of tokens
 * FLO_E_GGUF_VOCAB    the file's lists contradict each other
 * FLO_E_NOT_BUILT     the tokenizer model or pre-tokenizer is not supported
 * FLO_E_MEMORY */
FLO_MUST_USE int flo_vocab_open(const struct flo_gguf *gguf, struct flo_vocab **out,
                                struct flo_err *err);
/* A tokenizer of a library.  It is used for files whose tokenizer is not built
 * here. */
struct flo_vocab_library {
    void *context; /* borrowed until the vocabulary is closed */
    /* Appends the ids of a text without special tokens.  Returns false if there
     * is no memory. */
    bool (*ids)(void *context, const char *text, size_t bytes, struct flo_tokens *tokens);
    /* Appends the bytes of a token.  Those of a control token are its
     * spelling. */
    void (*piece)(void *context, int32_t id, struct flo_buf *out);
    bool (*is_end)(void *context, int32_t id);
    bool (*is_control)(void *context, int32_t id);
    struct flo_vocab_facts facts;
};
/* Opens a vocabulary as flo_vocab_open() does, but the library makes the ids of
 * texts and the bytes of tokens.  The file's list of tokens still says which
 * are special. */
FLO_MUST_USE int flo_vocab_open_library(const struct flo_gguf *gguf,
                                        const struct flo_vocab_library *library,
                                        struct flo_vocab **out, struct flo_err *err);
void flo_vocab_close(struct flo_vocab *vocab);
const struct flo_vocab_facts *flo_vocab_facts(const struct flo_vocab *vocab);

/* Returns the id of the token with exactly this text, or -1. */
int32_t flo_vocab_find(const struct flo_vocab *vocab, const char *text, size_t bytes);
/* Tells whether this id ends an answer.  That is so for eos, eot and every
 * token spelled like an end (ARCHITECTURES section 5).  Returns false for ids
 * out of range. */
bool flo_vocab_is_end(const struct flo_vocab *vocab, int32_t id);
/* Tells whether the token is a control token, which is never shown as text. */
bool flo_vocab_is_control(const struct flo_vocab *vocab, int32_t id);
/* Appends the bytes of a token to `out`.  Those of a control token are its
 * spelling, and appended only if `with_control`.  Nothing is appended for an id
 * out of range. */
void flo_vocab_piece(const struct flo_vocab *vocab, int32_t id, bool with_control,
                     struct flo_buf *out);

/* A piece of a text that is tokenised as a whole.  In a template's pieces
 * control tokens are recognised; in a user's they are plain text.  User-defined
 * tokens are recognised in both.  In a message, though, those that look like a
 * template's mark (in some files <|user|>) are plain text. */
struct flo_text_span {
    const char *data;
    size_t bytes;
    bool is_special;
    bool is_message; /* a user's text in a chat */
    bool is_exact;   /* all spans are spelled byte by byte, also where the model composes texts */
};
/* Appends the ids of the joined spans, as if they were one text.  But a control
 * token must lie wholly inside one special span.  No begin or end token is
 * added.  FLO_E_MEMORY; FLO_E_INFER_TOO_LONG if there are more than
 * tokens->count_max, noticed before any allocation if the number of bytes alone
 * shows it. */
FLO_MUST_USE int flo_tokenize_spans(const struct flo_vocab *vocab,
                                    const struct flo_text_span *spans, size_t span_count,
                                    struct flo_tokens *tokens, struct flo_err *err);
/* Tokenises one text with flags of enum flo_text_flags. */
FLO_MUST_USE int flo_tokenize(const struct flo_vocab *vocab, const char *text, size_t bytes,
                              unsigned flags, struct flo_tokens *tokens, struct flo_err *err);

/* A text, or a pair such as a query and a document. */
struct flo_text_pair {
    const char *first, *second; /* second: NULL for a single text */
    size_t first_bytes, second_bytes;
};
/* Appends the ids of a text or a pair as an encoder or a reranker reads it,
 * with the model's special tokens around and between: BERT's are [CLS] A [SEP]
 * B [SEP], XLM-R's <s> A </s></s> B </s>.  The form is the file's own
 * (flotilla.tokenizer.pair), or follows from its keys for begin, end and
 * separator.  The texts are plain text.
 *
 * For each id a byte is appended to `segments`, 0 or 1: the token type of BERT's
 * second segment, from B on.  It is 0 in models with one segment.
 *
 * FLO_E_MEMORY; FLO_E_INFER_TOO_LONG as flo_tokenize_spans(). */
FLO_MUST_USE int flo_tokenize_pair(const struct flo_vocab *vocab, const struct flo_text_pair *pair,
                                   struct flo_tokens *tokens, struct flo_buf *segments,
                                   struct flo_err *err);

/* State of converting ids to text one by one.  Bytes of an incomplete UTF-8
 * sequence are held back until the rest arrives.  Zero-initialise. */
struct flo_text_stream {
    char held[8]; /* up to 3 held bytes, followed by a character of the token */
    size_t held_bytes;
};
/* Appends to `out` the text that can be shown after this id, perhaps none.  It
 * is always valid UTF-8: bytes that can never be valid become U+FFFD. */
void flo_text_stream_add(struct flo_text_stream *stream, const struct flo_vocab *vocab, int32_t id,
                         struct flo_buf *out);
/* Ends the stream.  Held bytes become one U+FFFD. */
void flo_text_stream_finish(struct flo_text_stream *stream, struct flo_buf *out);

#endif
