/* A vocabulary from the inside: tables of tokens, merges and specials. */
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
    bool strips_right; /* a special that swallows the blanks after it */
};

/* Open addressing.  A slot is id + 1 in its low 21 bits with 11 bits of the
 * text's hash above; 0 is free. */
struct flo_index {
    uint32_t *slots;
    uint32_t mask;
};

#define FLO_RANK_NONE UINT32_MAX

struct flo_vocab {
    struct flo_vocab_facts facts;
    const struct flo_split_kind *split;
    struct flo_vocab_token *tokens;
    struct flo_index by_text; /* tokens by their text */
    /* For BPE: the list of merges, by rank, and for each token the rank of the
     * first merge that makes it; FLO_RANK_NONE ends a chain. */
    uint16_t *merge_left_bytes; /* [merge_count] of the left half */
    uint32_t *merge_next;       /* [merge_count] of the same token */
    uint32_t *first_rank;       /* [count] */
    uint32_t merge_count;
    int32_t byte_ids[256];    /* SPM: each byte's token, or -1 */
    uint32_t token_bytes_max; /* bytes of the longest token */
    size_t id_bytes_max;      /* most bytes that become one id; SIZE_MAX: any */
    const uint8_t *scores;    /* SPM: f32 little endian, in the file */
    bool is_spm;
    bool adds_space;                     /* SPM: a blank before a text after a special */
    bool strips;                         /* some token strips_right */
    struct flo_tokens specials;          /* control, unknown, user: longest first */
    _Atomic(struct flo_pieces *) pieces; /* NULL: not asked for (pieces.c) */
};

/* Is this its text? */
static inline bool flo_token_is(const struct flo_vocab_token *token, const char *text, size_t bytes)
{
    return token->bytes == bytes && memcmp(token->text, text, bytes) == 0;
}
/* The byte of a token "<0x0A>"; -1 when it is not spelled so. */
int flo_token_byte(const struct flo_vocab_token *token);

/* The rank of making token `id` from its first `left_bytes` bytes and the
 * rest: lower merges first; false when there is no such merge. */
bool flo_vocab_rank(const struct flo_vocab *vocab, int32_t id, uint32_t left_bytes, uint32_t *rank);

/* A list of the metadata that must be there. */
FLO_MUST_USE int flo_vocab_list(const struct flo_gguf *gguf, const char *key, uint32_t item_type,
                                const struct flo_gguf_kv **out, struct flo_err *err);
/* Make by_text of the tokens; two that are the same are FLO_E_GGUF_VOCAB. */
FLO_MUST_USE int flo_vocab_index(struct flo_vocab *vocab, struct flo_err *err);
/* Read the list of merges; by_text must be there. */
FLO_MUST_USE int flo_vocab_load_merges(struct flo_vocab *vocab, const struct flo_gguf *gguf,
                                       struct flo_err *err);

/* The printable stand-in of a byte in byte-level BPE, and back (-1: none). */
uint32_t flo_byte_to_code(uint8_t byte);
int flo_code_to_byte(uint32_t code);

/* How many ids more fit. */
size_t flo_tokens_room(const struct flo_tokens *tokens);
/* Are `count` more too many?  Then tokens->failed is set. */
bool flo_tokens_refuse(struct flo_tokens *tokens, size_t count);
/* Do the ids of so many bytes perhaps fit?  If not, tokens->failed is set. */
bool flo_tokens_have_room(struct flo_tokens *tokens, const struct flo_vocab *vocab, size_t bytes);

/* Append the ids of a text without specials: by its words (token/bpe.c), or as
 * one with a blank in front of it if `has_prefix` (token/spm.c).  false when
 * there is no memory. */
bool flo_bpe_text(const struct flo_vocab *vocab, const char *text, size_t bytes,
                  struct flo_tokens *tokens);
bool flo_spm_text(const struct flo_vocab *vocab, const char *text, size_t bytes, bool has_prefix,
                  struct flo_tokens *tokens);

/* Stands for a blank in SPM's tokens. */
#define FLO_SPM_BLANK "\xe2\x96\x81"
#define FLO_SPM_BLANK_CODE 0x2581

#endif
