/* Vocab: a vocabulary's internals: tables of tokens, merges and special
 * tokens. */
#ifndef FLOTILLA_ENGINE_VOCAB_H
#define FLOTILLA_ENGINE_VOCAB_H

#include <stdatomic.h>
#include <string.h>

#include "engine/token/split.h"
#include "engine/token/token.h"

/* `tokenizer.ggml.token_type` */
enum flo_token_type {
    FLO_TOKEN_NORMAL = 1,
    FLO_TOKEN_UNKNOWN = 2,
    FLO_TOKEN_CONTROL = 3,
    FLO_TOKEN_USER = 4,
    FLO_TOKEN_UNUSED = 5,
    FLO_TOKEN_BYTE = 6,
};

struct flo_vocab_token {
    const char *text; /* in the file */
    uint16_t bytes;
    uint8_t type;
    bool is_end;
    bool is_mark;      /* user-defined, but looks like a template's mark */
    bool strips_right; /* special token that removes the blanks after it */
};

/* Hash table with open addressing.  A slot is id + 1 in its low 21 bits, and
 * above them 11 bits of the text's hash; 0 is free. */
struct flo_index {
    uint32_t *slots;
    uint32_t mask;
};

#define FLO_RANK_NONE UINT32_MAX

struct flo_vocab {
    struct flo_vocab_facts facts;
    const struct flo_split_kind *split;
    struct flo_vocab_token *tokens;
    struct flo_index by_text; /* index of the tokens by their text */
    /* For BPE: the list of merges, by rank.  For each token, the rank of the
     * first merge that makes it; FLO_RANK_NONE ends a chain. */
    uint16_t *merge_left_bytes; /* [merge_count]: bytes of the left half */
    uint32_t *merge_next;       /* [merge_count]: next merge with the same result */
    uint32_t *first_rank;       /* [count] */
    uint32_t merge_count;
    int32_t byte_ids[256];    /* SPM: token of each byte, or -1 */
    uint32_t token_bytes_max; /* number of bytes of the longest token */
    size_t id_bytes_max;   /* largest number of bytes that can become one id; SIZE_MAX: unlimited */
    const uint8_t *scores; /* SPM: f32 little-endian, in the mapped file */
    bool is_spm;
    bool adds_space;            /* SPM: insert a blank before a text after a special token */
    bool strips;                /* some token strips the blanks to its right */
    struct flo_tokens specials; /* control, unknown and user-defined: longest first */
    _Atomic(struct flo_pieces *) pieces; /* NULL: not made yet (pieces.c) */
    /* Tokenizer of a library: `library.ids` is NULL without one.  Token i shows
     * the bytes from library_at[i] to library_at[i + 1]. */
    struct flo_vocab_library library;
    char *library_text;
    uint32_t *library_at; /* [count + 1]; NULL: none */
};

/* Is this the token's text? */
static inline bool flo_token_is(const struct flo_vocab_token *token, const char *text, size_t bytes)
{
    return token->bytes == bytes && memcmp(token->text, text, bytes) == 0;
}
/* Returns the byte of a token "<0x0A>"; -1 if it is not spelled like this. */
int flo_token_byte(const struct flo_vocab_token *token);

/* Gives the rank of the merge that makes token `id` from its first `left_bytes`
 * bytes and the rest; lower ranks merge first.  false: there is no such
 * merge. */
bool flo_vocab_rank(const struct flo_vocab *vocab, int32_t id, uint32_t left_bytes, uint32_t *rank);

/* Finds a list in the metadata; an absent one is an error. */
FLO_MUST_USE int flo_vocab_list(const struct flo_gguf *gguf, const char *key, uint32_t item_type,
                                const struct flo_gguf_kv **out, struct flo_err *err);
/* Reads the tokens, and which of them are special, and builds by_text. */
FLO_MUST_USE int flo_vocab_load_tokens(struct flo_vocab *vocab, const struct flo_gguf *gguf,
                                       struct flo_err *err);
FLO_MUST_USE int flo_vocab_load_specials(struct flo_vocab *vocab, struct flo_err *err);
/* Builds by_text from the tokens; two equal tokens are FLO_E_GGUF_VOCAB. */
FLO_MUST_USE int flo_vocab_index(struct flo_vocab *vocab, struct flo_err *err);
/* Reads the list of merges; by_text must be built. */
FLO_MUST_USE int flo_vocab_load_merges(struct flo_vocab *vocab, const struct flo_gguf *gguf,
                                       struct flo_err *err);

/* Convert a byte to its printable character in byte-level BPE, and back (-1:
 * none). */
uint32_t flo_byte_to_code(uint8_t byte);
int flo_code_to_byte(uint32_t code);

/* Returns how many more ids fit. */
size_t flo_tokens_room(const struct flo_tokens *tokens);
/* Are `count` more ids too many?  Then sets tokens->failed. */
bool flo_tokens_refuse(struct flo_tokens *tokens, size_t count);
/* Could the ids of this many bytes fit?  If not, sets tokens->failed. */
bool flo_tokens_have_room(struct flo_tokens *tokens, const struct flo_vocab *vocab, size_t bytes);

/* Append the ids of a text without special tokens: word by word (token/bpe.c),
 * or the whole text, with a blank before it if `has_prefix` (token/spm.c).
 * false: out of memory. */
bool flo_bpe_text(const struct flo_vocab *vocab, const char *text, size_t bytes,
                  struct flo_tokens *tokens);
bool flo_spm_text(const struct flo_vocab *vocab, const char *text, size_t bytes, bool has_prefix,
                  struct flo_tokens *tokens);
/* By the library (vocab/library.c).  With `has_message` the text may be a
 * user's: then no user-defined mark in it becomes one token. */
bool flo_library_text(const struct flo_vocab *vocab, const char *text, size_t bytes,
                      bool has_message, struct flo_tokens *tokens);

/* Represents a blank in SPM's tokens. */
#define FLO_SPM_BLANK "\xe2\x96\x81"
#define FLO_SPM_BLANK_CODE 0x2581

#endif
