/* A vocabulary from the inside: tables of tokens, merges and specials. */
#ifndef FLOTILLA_ENGINE_VOCAB_H
#define FLOTILLA_ENGINE_VOCAB_H

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
};

struct flo_merge {
    int32_t left;
    int32_t right;
    int32_t joined;
};

/* Open addressing over indices + 1; 0 is free. */
struct flo_index {
    uint32_t *slots;
    uint32_t mask;
};

struct flo_vocab {
    struct flo_vocab_facts facts;
    const struct flo_split_name *split;
    struct flo_vocab_token *tokens;
    struct flo_index by_text; /* of tokens */
    struct flo_merge *merges; /* in order of rank */
    uint32_t merge_count;
    struct flo_index by_pair; /* of merges */
    int32_t byte_ids[256];    /* the token of each single byte, or -1 */
    int32_t *specials;        /* control, unknown, user: longest first */
    size_t special_count;
};

/* The rank of a merge, or -1. */
int64_t flo_vocab_merge(const struct flo_vocab *vocab, int32_t left,
                        int32_t right);

/* The printable stand-in of a byte in byte-level BPE, and back (-1: none). */
uint32_t flo_byte_to_code(uint8_t byte);
int flo_code_to_byte(uint32_t code);

/* Append the ids of one pre-split word (token/bpe.c). */
struct flo_bpe;
struct flo_bpe *flo_bpe_new(const struct flo_vocab *vocab);
void flo_bpe_free(struct flo_bpe *bpe);
/* Appends to `tokens`; false when there is no memory. */
bool flo_bpe_word(struct flo_bpe *bpe, const char *word, size_t bytes,
                  struct flo_tokens *tokens);

#endif
