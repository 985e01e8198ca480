/* Index: tables that find a token by its text and a merge by its pair.
 *
 * 150,000 tokens and as many merges must load in a few milliseconds.  So
 * strings stay in the file.  Each token is hashed once, AHEAD tokens before it
 * is inserted, so that its slot can be prefetched.  A merge is not hashed at
 * all if it makes the same token as the previous merge, or the next token, as
 * in nearly every list.
 *
 * The hash has no secret, so a list of tokens may be made to collide.  Such a
 * list is refused when the number of all probes gets too high. */
#include "engine/token/vocab/vocab.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/gguf.h>

#define MERGES_MAX (1u << 22)
/* Most probes of the whole table, to which STEPS_EACH per entry is added. */
#define STEPS_MIN 65536
#define STEPS_EACH 64
#define AHEAD 16 /* number of tokens that are hashed ahead of the one that is inserted */
#define ID_BITS 21
#define ID_MASK ((1u << ID_BITS) - 1)
_Static_assert(FLO_VOCAB_COUNT_MAX < ID_MASK, "id + 1 fits in a slot");

/* ---- tokens by text ---- */

#ifdef __SIZEOF_INT128__
__extension__ typedef unsigned __int128 wide;

/* Returns the XOR of the two halves of a 128-bit product. */
static uint64_t folded_product(uint64_t a, uint64_t b)
{
    wide product = (wide)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}
#else
/* Returns the XOR of the two halves of a 128-bit product, computed with 32-bit
 * multiplications for machines without 128-bit ones. */
static uint64_t folded_product(uint64_t a, uint64_t b)
{
    uint64_t low = (a & UINT32_MAX) * (b & UINT32_MAX);
    uint64_t left = (a >> 32) * (b & UINT32_MAX);
    uint64_t right = (a & UINT32_MAX) * (b >> 32);
    uint64_t middle = (low >> 32) + (left & UINT32_MAX) + (right & UINT32_MAX);
    uint64_t high = (a >> 32) * (b >> 32) + (left >> 32) + (right >> 32) + (middle >> 32);
    return high ^ (middle << 32 | (low & UINT32_MAX));
}
#endif

static uint64_t mix(uint64_t a, uint64_t b)
{
    return folded_product(a ^ 0x9e3779b97f4a7c15u, b ^ 0xd6e8feb86659fd93u);
}

/* Reads the last 8 bytes, or all if there are fewer; then some bytes are read
 * twice. */
static uint64_t tail(const char *text, size_t bytes)
{
    const uint8_t *p = (const uint8_t *)text;
    if (bytes >= 4) {
        return (uint64_t)flo_get_u32(p) << 32 | flo_get_u32(p + bytes - 4);
    }
    return (uint64_t)p[0] << 16 | (uint64_t)p[bytes / 2] << 8 | p[bytes - 1];
}

static uint64_t hash_text(const char *text, size_t bytes)
{
    uint64_t hash = bytes;
    while (bytes > 8) {
        hash = mix(hash, flo_get_u64((const uint8_t *)text));
        text += 8;
        bytes -= 8;
    }
    return mix(hash, bytes > 0 ? tail(text, bytes) : 0);
}

static uint32_t slot_value(uint64_t hash, uint32_t id)
{
    return (uint32_t)(hash >> 32) << ID_BITS | (id + 1);
}

int32_t flo_vocab_find(const struct flo_vocab *vocab, const char *text, size_t bytes)
{
    const struct flo_index *index = &vocab->by_text;
    uint64_t hash = hash_text(text, bytes);
    uint32_t wanted = slot_value(hash, 0) & ~ID_MASK;
    uint32_t at = (uint32_t)hash & index->mask;
    for (; index->slots[at] != 0; at = (at + 1) & index->mask) {
        uint32_t slot = index->slots[at];
        uint32_t id = (slot & ID_MASK) - 1;
        if ((slot & ~ID_MASK) == wanted && flo_token_is(&vocab->tokens[id], text, bytes)) {
            return (int32_t)id;
        }
    }
    return -1;
}

static int insert(struct flo_vocab *vocab, uint32_t id, uint64_t hash, uint64_t *steps_left,
                  struct flo_err *err)
{
    const struct flo_index *index = &vocab->by_text;
    const struct flo_vocab_token *token = &vocab->tokens[id];
    uint32_t value = slot_value(hash, id);
    uint32_t at = (uint32_t)hash & index->mask;
    for (; index->slots[at] != 0; at = (at + 1) & index->mask) {
        uint32_t slot = index->slots[at];
        uint32_t other = (slot & ID_MASK) - 1;
        if (((slot ^ value) & ~ID_MASK) == 0 &&
            flo_token_is(&vocab->tokens[other], token->text, token->bytes)) {
            return flo_fail(err, FLO_E_GGUF_VOCAB,
                            "tokens %" PRIu32 " and %" PRIu32 " are the same", other, id);
        }
        if ((*steps_left)-- == 0) {
            return flo_fail(err, FLO_E_GGUF_VOCAB, "the tokens are made to collide");
        }
    }
    index->slots[at] = value;
    return 0;
}

/* Tokens without text get no slot, because nobody can search for them. */
int flo_vocab_index(struct flo_vocab *vocab, struct flo_err *err)
{
    uint64_t hashes[AHEAD];
    uint32_t count = (uint32_t)vocab->facts.count;
    uint64_t steps_left = STEPS_MIN + (uint64_t)STEPS_EACH * count;
    struct flo_index *index = &vocab->by_text;
    uint32_t slots = 16;
    while (slots < 2 * count) {
        slots *= 2;
    }
    index->slots = calloc(slots, sizeof(*index->slots));
    index->mask = slots - 1;
    if (index->slots == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%" PRIu32 " tokens", count);
    }
    for (uint32_t i = 0; i < count + AHEAD; i++) {
        uint64_t *hash = &hashes[i % AHEAD];
        if (i >= AHEAD && vocab->tokens[i - AHEAD].bytes > 0) {
            int rv = insert(vocab, i - AHEAD, *hash, &steps_left, err);
            FLO_TRY(rv);
        }
        if (i < count) {
            *hash = hash_text(vocab->tokens[i].text, vocab->tokens[i].bytes);
            __builtin_prefetch(&index->slots[(uint32_t)*hash & index->mask], 1);
        }
    }
    return 0;
}

/* ---- ranks of pairs ---- */

int flo_vocab_list(const struct flo_gguf *gguf, const char *key, uint32_t item_type,
                   const struct flo_gguf_kv **out, struct flo_err *err)
{
    FLO_TRY(flo_gguf_require(gguf, key, err));
    return flo_gguf_array(gguf, key, item_type, out, err);
}

/* Returns the rank of a token by its score.  A higher score gives a lower
 * rank. */
static uint32_t rank_of_score(const struct flo_vocab *vocab, int32_t id)
{
    uint32_t bits = flo_get_u32(vocab->scores + 4 * (size_t)id);
    bits = bits == 0x80000000u ? 0 : bits; /* minus zero */
    return (bits & 0x80000000u) != 0 ? bits : ~bits & 0x7fffffffu;
}

bool flo_vocab_rank(const struct flo_vocab *vocab, int32_t id, uint32_t left_bytes, uint32_t *rank)
{
    if (vocab->kind == FLO_VOCAB_SPM) {
        *rank = rank_of_score(vocab, id);
        return true;
    }
    uint32_t at = vocab->first_rank[id];
    while (at != FLO_RANK_NONE && vocab->merge_left_bytes[at] != left_bytes) {
        at = vocab->merge_next[at];
    }
    *rank = at;
    return at != FLO_RANK_NONE;
}

/* One merge in the model's file: "left right", split at the first blank after
 * the first byte. */
struct halves {
    const char *left;
    size_t left_bytes;
    const char *right;
    size_t right_bytes;
};

static bool makes(const struct flo_vocab_token *token, const struct halves *halves)
{
    return token->bytes == halves->left_bytes + halves->right_bytes &&
           memcmp(token->text, halves->left, halves->left_bytes) == 0 &&
           memcmp(token->text + halves->left_bytes, halves->right, halves->right_bytes) == 0;
}

/* Returns the token that a merge makes, or -1 if there is none.  Tries
 * `before`, the token of the previous merge, and the token with the next id.
 * Then searches for the text. */
static int32_t made(const struct flo_vocab *vocab, int32_t before, const struct halves *halves,
                    char *joined)
{
    for (int32_t id = before; id <= before + 1; id++) {
        if (id >= 0 && id < vocab->facts.count && makes(&vocab->tokens[id], halves)) {
            return id;
        }
    }
    size_t bytes = halves->left_bytes + halves->right_bytes;
    if (bytes > vocab->token_bytes_max) {
        return -1;
    }
    memcpy(joined, halves->left, halves->left_bytes);
    memcpy(joined + halves->left_bytes, halves->right, halves->right_bytes);
    return flo_vocab_find(vocab, joined, bytes);
}

/* Appends a merge to the chain of merges that make the same token.  The first
 * of two equal merges counts.  Returns false if all chains together are too
 * long. */
static bool chain(struct flo_vocab *vocab, uint32_t rank, int32_t id, uint64_t *steps_left)
{
    uint32_t *end = &vocab->first_rank[id];
    while (*end != FLO_RANK_NONE) {
        if (vocab->merge_left_bytes[*end] == vocab->merge_left_bytes[rank]) {
            return true;
        }
        if ((*steps_left)-- == 0) {
            return false;
        }
        end = &vocab->merge_next[*end];
    }
    *end = rank;
    return true;
}

static int read_merges(struct flo_vocab *vocab, const uint8_t *cursor, char *joined,
                       struct flo_err *err)
{
    uint64_t steps_left = STEPS_MIN + (uint64_t)STEPS_EACH * vocab->merge_count;
    int32_t id = -1;
    for (uint32_t rank = 0; rank < vocab->merge_count; rank++) {
        struct flo_gguf_text text = flo_gguf_next_string(&cursor);
        const char *blank = text.bytes < 3 ? NULL : memchr(text.data + 1, ' ', text.bytes - 1);
        if (blank == NULL) {
            return flo_fail(err, FLO_E_GGUF_VOCAB,
                            "merge %" PRIu32 " (%zu bytes) is not two pieces", rank, text.bytes);
        }
        size_t left_bytes = (size_t)(blank - text.data);
        struct halves halves = {text.data, left_bytes, blank + 1, text.bytes - left_bytes - 1};
        id = made(vocab, id, &halves, joined);
        if (id < 0) {
            return flo_fail(err, FLO_E_GGUF_VOCAB,
                            "merge %" PRIu32 " ('%.*s') makes an unknown token", rank,
                            text.bytes < 64 ? (int)text.bytes : 64, text.data);
        }
        vocab->merge_left_bytes[rank] = (uint16_t)left_bytes;
        vocab->merge_next[rank] = FLO_RANK_NONE;
        if (!chain(vocab, rank, id, &steps_left)) {
            return flo_fail(err, FLO_E_GGUF_VOCAB, "the merges are made to collide");
        }
    }
    return 0;
}

int flo_vocab_load_merges(struct flo_vocab *vocab, const struct flo_gguf *gguf, struct flo_err *err)
{
    const struct flo_gguf_kv *list;
    size_t tokens = (size_t)vocab->facts.count;
    FLO_TRY(flo_vocab_list(gguf, "tokenizer.ggml.merges", FLO_GGUF_STRING, &list, err));
    if (list->count > MERGES_MAX) {
        return flo_fail(err, FLO_E_GGUF_VOCAB, "%" PRIu64 " merges, %u are allowed", list->count,
                        MERGES_MAX);
    }
    size_t count = (size_t)list->count;
    vocab->merge_count = (uint32_t)count;
    vocab->merge_left_bytes = malloc((count + 1) * sizeof(*vocab->merge_left_bytes));
    vocab->merge_next = malloc((count + 1) * sizeof(*vocab->merge_next));
    vocab->first_rank = malloc(tokens * sizeof(*vocab->first_rank));
    FLO_CLEANUP(flo_free_cleanup) char *joined = malloc(vocab->token_bytes_max + 1u);
    if (vocab->merge_left_bytes == NULL || vocab->merge_next == NULL || vocab->first_rank == NULL ||
        joined == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%zu merges", count);
    } else {
        memset(vocab->first_rank, 0xff, tokens * sizeof(*vocab->first_rank));
        FLO_TRY(read_merges(vocab, list->data, joined, err));
    }
    return 0;
}
