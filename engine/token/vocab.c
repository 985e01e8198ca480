/* Vocabulary: the GGUF's lists to tables, checked once.
 *
 * 150,000 tokens and as many merges must load in some tens of milliseconds,
 * so strings stay in the file and each is hashed once.  The hash is fixed; a
 * list made to collide in it is refused when a probe gets too long. */
#include "engine/token/vocab.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "engine/token/unicode.h"

#define PROBES_MAX 8192
#define MERGES_MAX (1u << 22)

/* Spelled like the end of an answer, whatever the metadata says. */
static const char *const ends[] = {
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "<|eom_id|>",
    "</s>",
    "<EOT>",
    "<|end_of_text|>",
    "<|eot|>",
    "_<EOT>",
    "<|return|>",
    "<|call|>",
    "<end_of_utterance>",
};

uint32_t flo_byte_to_code(uint8_t byte)
{
    if ((byte >= 33 && byte <= 126) || (byte >= 161 && byte != 173)) {
        return byte;
    }
    /* 0-32 -> 256.., 127-160 -> 289.., 173 -> 323 */
    return byte <= 32 ? 256u + byte : byte == 173 ? 323 : 289u + byte - 127;
}

int flo_code_to_byte(uint32_t code)
{
    if (code < 256) {
        return flo_byte_to_code((uint8_t)code) == code ? (int)code : -1;
    }
    if (code <= 288) {
        return (int)code - 256;
    }
    return code <= 322 ? (int)code - 289 + 127 : code == 323 ? 173 : -1;
}

/* ---- hash tables ---- */

static uint64_t mix(uint64_t x)
{
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    return x ^ x >> 32;
}

static uint32_t hash_text(const char *text, size_t bytes)
{
    uint64_t hash = bytes * 0x9e3779b97f4a7c15u;
    for (size_t i = 0; i < bytes; i += 8) {
        uint64_t word = 0;
        memcpy(&word, text + i, bytes - i < 8 ? bytes - i : 8);
        hash = mix(hash ^ word);
    }
    return (uint32_t)hash;
}

static uint32_t hash_pair(int32_t left, int32_t right)
{
    return (uint32_t)mix((uint64_t)(uint32_t)left << 32 | (uint32_t)right);
}

static bool index_init(struct flo_index *index, size_t count)
{
    uint32_t slots = 16;
    while (slots < 2 * count) {
        slots *= 2;
    }
    index->slots = calloc(slots, sizeof(*index->slots));
    index->mask = slots - 1;
    return index->slots != NULL;
}

static bool token_is(const struct flo_vocab_token *token, const char *text,
                     size_t bytes)
{
    return token->bytes == bytes && memcmp(token->text, text, bytes) == 0;
}

int32_t flo_vocab_find(const struct flo_vocab *vocab, const char *text,
                       size_t bytes)
{
    const struct flo_index *index = &vocab->by_text;
    uint32_t at = hash_text(text, bytes) & index->mask;
    for (; index->slots[at] != 0; at = (at + 1) & index->mask) {
        uint32_t id = index->slots[at] - 1;
        if (token_is(&vocab->tokens[id], text, bytes)) {
            return (int32_t)id;
        }
    }
    return -1;
}

static int insert_token(struct flo_vocab *vocab, uint32_t id,
                        struct flo_err *err)
{
    const struct flo_index *index = &vocab->by_text;
    const struct flo_vocab_token *token = &vocab->tokens[id];
    uint32_t at = hash_text(token->text, token->bytes) & index->mask;
    for (int probes = 0; index->slots[at] != 0; at = (at + 1) & index->mask) {
        uint32_t other = index->slots[at] - 1;
        if (token_is(&vocab->tokens[other], token->text, token->bytes)) {
            return flo_fail(err, FLO_E_GGUF_VOCAB,
                            "tokens %" PRIu32 " and %" PRIu32 " are the same",
                            other, id);
        }
        if (++probes > PROBES_MAX) {
            return flo_fail(err, FLO_E_GGUF_VOCAB,
                            "the tokens are made to collide");
        }
    }
    index->slots[at] = id + 1;
    return 0;
}

int64_t flo_vocab_merge(const struct flo_vocab *vocab, int32_t left,
                        int32_t right)
{
    const struct flo_index *index = &vocab->by_pair;
    uint32_t at = hash_pair(left, right) & index->mask;
    for (; index->slots[at] != 0; at = (at + 1) & index->mask) {
        uint32_t rank = index->slots[at] - 1;
        if (vocab->merges[rank].left == left &&
            vocab->merges[rank].right == right) {
            return rank;
        }
    }
    return -1;
}

/* The first of two equal merges counts. */
static int insert_merge(struct flo_vocab *vocab, uint32_t rank,
                        struct flo_err *err)
{
    const struct flo_index *index = &vocab->by_pair;
    const struct flo_merge *merge = &vocab->merges[rank];
    uint32_t at = hash_pair(merge->left, merge->right) & index->mask;
    for (int probes = 0; index->slots[at] != 0; at = (at + 1) & index->mask) {
        const struct flo_merge *other = &vocab->merges[index->slots[at] - 1];
        if (other->left == merge->left && other->right == merge->right) {
            return 0;
        }
        if (++probes > PROBES_MAX) {
            return flo_fail(err, FLO_E_GGUF_VOCAB,
                            "the merges are made to collide");
        }
    }
    index->slots[at] = rank + 1;
    return 0;
}

/* ---- loading ---- */

/* "<0x0A>" of a byte token; -1 when it is not. */
static int byte_token(const struct flo_vocab_token *token)
{
    uint8_t byte;
    char digits[3] = {0};
    if (token->bytes != 6 || memcmp(token->text, "<0x", 3) != 0 ||
        token->text[5] != '>') {
        return -1;
    }
    for (int i = 0; i < 2; i++) {
        char c = token->text[3 + i];
        digits[i] = c >= 'A' && c <= 'F' ? (char)(c | 32) : c;
    }
    return flo_hex_decode(digits, &byte, 1) ? byte : -1;
}

static bool is_end_text(const struct flo_vocab_token *token)
{
    for (size_t i = 0; i < FLO_COUNT(ends); i++) {
        if (token_is(token, ends[i], strlen(ends[i]))) {
            return true;
        }
    }
    return false;
}

static int load_token(struct flo_vocab *vocab, uint32_t id,
                      struct flo_gguf_text text, int32_t type,
                      struct flo_err *err)
{
    struct flo_vocab_token *token = &vocab->tokens[id];
    if (text.bytes > FLO_TOKEN_BYTES_MAX) {
        return flo_fail(err, FLO_E_GGUF_VOCAB,
                        "token %" PRIu32 " has %zu bytes, %d are allowed", id,
                        text.bytes, FLO_TOKEN_BYTES_MAX);
    }
    if (type < FLO_TOKEN_NORMAL || type > FLO_TOKEN_BYTE) {
        return flo_fail(err, FLO_E_GGUF_VOCAB,
                        "token %" PRIu32 " has type %" PRId32
                        ", 1 to 6 are known",
                        id, type);
    }
    token->text = text.data;
    token->bytes = (uint16_t)text.bytes;
    token->type = (uint8_t)type;
    if (type == FLO_TOKEN_BYTE && byte_token(token) < 0) {
        return flo_fail(err, FLO_E_GGUF_VOCAB,
                        "byte token %" PRIu32 " is '%.*s', not '<0x..>'", id,
                        text.bytes < 16 ? (int)text.bytes : 16, text.data);
    }
    /* Some files forget to mark these; as text they would never match. */
    if (text.bytes > 0 && is_end_text(token)) {
        token->is_end = true;
        token->type =
            token->type == FLO_TOKEN_USER ? FLO_TOKEN_USER : FLO_TOKEN_CONTROL;
    }
    return text.bytes > 0 ? insert_token(vocab, id, err) : 0;
}

static int load_tokens(struct flo_vocab *vocab, const struct flo_gguf *gguf,
                       struct flo_err *err)
{
    const struct flo_gguf_kv *list;
    const struct flo_gguf_kv *types;
    int rv = flo_gguf_require(gguf, "tokenizer.ggml.tokens", err);
    if (rv < 0 ||
        (rv = flo_gguf_array(gguf, "tokenizer.ggml.tokens", FLO_GGUF_STRING,
                             &list, err)) < 0 ||
        (rv = flo_gguf_array(gguf, "tokenizer.ggml.token_type", FLO_GGUF_I32,
                             &types, err)) < 0) {
        return rv;
    }
    if (list->count == 0 || list->count > FLO_VOCAB_COUNT_MAX) {
        return flo_fail(err, FLO_E_GGUF_VOCAB,
                        "%" PRIu64 " tokens, 1 to %u are allowed", list->count,
                        FLO_VOCAB_COUNT_MAX);
    }
    if (types != NULL && types->count != list->count) {
        return flo_fail(err, FLO_E_GGUF_VOCAB,
                        "%" PRIu64 " token types for %" PRIu64 " tokens",
                        types->count, list->count);
    }
    uint32_t count = (uint32_t)list->count;
    vocab->facts.count = (int32_t)count;
    vocab->tokens = calloc(count, sizeof(*vocab->tokens));
    if (vocab->tokens == NULL || !index_init(&vocab->by_text, count)) {
        return flo_fail(err, FLO_E_MEMORY, "%" PRIu32 " tokens", count);
    }
    const uint8_t *cursor = list->data;
    for (uint32_t id = 0; id < count; id++) {
        int32_t type = types == NULL
                           ? FLO_TOKEN_NORMAL
                           : (int32_t)flo_get_u32(types->data + 4 * (size_t)id);
        struct flo_gguf_text text = flo_gguf_next_string(&cursor);
        if ((rv = load_token(vocab, id, text, type, err)) < 0) {
            return rv;
        }
    }
    return 0;
}

/* "left right" to ids; the blank is the first one behind the first byte. */
static int load_merge(struct flo_vocab *vocab, uint32_t rank,
                      struct flo_gguf_text text, struct flo_err *err)
{
    char joined[512];
    const char *blank =
        text.bytes < 2 ? NULL : memchr(text.data + 1, ' ', text.bytes - 1);
    if (blank == NULL || text.bytes > sizeof(joined)) {
        return flo_fail(err, FLO_E_GGUF_VOCAB,
                        "merge %" PRIu32 " (%zu bytes) is not two pieces", rank,
                        text.bytes);
    }
    size_t left_bytes = (size_t)(blank - text.data);
    size_t right_bytes = text.bytes - left_bytes - 1;
    memcpy(joined, text.data, left_bytes);
    memcpy(joined + left_bytes, blank + 1, right_bytes);
    struct flo_merge *merge = &vocab->merges[rank];
    merge->left = flo_vocab_find(vocab, joined, left_bytes);
    merge->right = flo_vocab_find(vocab, joined + left_bytes, right_bytes);
    merge->joined = flo_vocab_find(vocab, joined, left_bytes + right_bytes);
    if (merge->left < 0 || merge->right < 0 || merge->joined < 0) {
        return flo_fail(err, FLO_E_GGUF_VOCAB,
                        "merge %" PRIu32 " ('%.*s') names an unknown token",
                        rank, text.bytes < 64 ? (int)text.bytes : 64,
                        text.data);
    }
    return insert_merge(vocab, rank, err);
}

static int load_merges(struct flo_vocab *vocab, const struct flo_gguf *gguf,
                       struct flo_err *err)
{
    const struct flo_gguf_kv *list;
    int rv = flo_gguf_require(gguf, "tokenizer.ggml.merges", err);
    if (rv < 0 || (rv = flo_gguf_array(gguf, "tokenizer.ggml.merges",
                                       FLO_GGUF_STRING, &list, err)) < 0) {
        return rv;
    }
    if (list->count > MERGES_MAX) {
        return flo_fail(err, FLO_E_GGUF_VOCAB,
                        "%" PRIu64 " merges, %u are allowed", list->count,
                        MERGES_MAX);
    }
    vocab->merge_count = (uint32_t)list->count;
    vocab->merges = calloc(list->count + 1, sizeof(*vocab->merges));
    if (vocab->merges == NULL || !index_init(&vocab->by_pair, list->count)) {
        return flo_fail(err, FLO_E_MEMORY, "%" PRIu64 " merges", list->count);
    }
    const uint8_t *cursor = list->data;
    for (uint32_t rank = 0; rv == 0 && rank < vocab->merge_count; rank++) {
        rv = load_merge(vocab, rank, flo_gguf_next_string(&cursor), err);
    }
    return rv;
}

static void load_bytes(struct flo_vocab *vocab)
{
    for (int byte = 0; byte < 256; byte++) {
        char text[4];
        size_t bytes = flo_utf8_put(flo_byte_to_code((uint8_t)byte), text);
        vocab->byte_ids[byte] = flo_vocab_find(vocab, text, bytes);
    }
}

static int longest_first(const void *a, const void *b, void *context)
{
    const struct flo_vocab *vocab = context;
    int32_t x = *(const int32_t *)a;
    int32_t y = *(const int32_t *)b;
    int order = vocab->tokens[y].bytes - vocab->tokens[x].bytes;
    return order != 0 ? order : x - y;
}

static int load_specials(struct flo_vocab *vocab, struct flo_err *err)
{
    size_t count = 0;
    for (int pass = 0; pass < 2; pass++) {
        count = 0;
        for (int32_t id = 0; id < vocab->facts.count; id++) {
            const struct flo_vocab_token *token = &vocab->tokens[id];
            bool is_special =
                token->bytes > 0 && (token->type == FLO_TOKEN_CONTROL ||
                                     token->type == FLO_TOKEN_UNKNOWN ||
                                     token->type == FLO_TOKEN_USER);
            if (is_special && pass == 1) {
                vocab->specials[count] = id;
            }
            count += is_special;
        }
        if (pass == 0) {
            vocab->specials = calloc(count + 1, sizeof(*vocab->specials));
            if (vocab->specials == NULL) {
                return flo_fail(err, FLO_E_MEMORY, "%zu special tokens", count);
            }
        }
    }
    vocab->special_count = count;
    qsort_r(vocab->specials, count, sizeof(*vocab->specials), longest_first,
            vocab);
    return 0;
}

static int load_id(const struct flo_vocab *vocab, const struct flo_gguf *gguf,
                   const char *key, int32_t *out, struct flo_err *err)
{
    uint64_t id = UINT64_MAX;
    int rv = flo_gguf_u64(gguf, key, &id, err);
    *out = -1;
    if (rv == FLO_E_GGUF_TYPE ||
        (rv == 0 && flo_gguf_find(gguf, key) == NULL)) {
        return rv;
    }
    if (rv < 0 || id >= (uint64_t)vocab->facts.count) {
        return flo_fail(err, FLO_E_GGUF_VOCAB,
                        "%s is %" PRId64 ", ids are 0 to %" PRId32, key,
                        rv < 0 ? -1 : (int64_t)id, vocab->facts.count - 1);
    }
    *out = (int32_t)id;
    return 0;
}

static int load_ids(struct flo_vocab *vocab, const struct flo_gguf *gguf,
                    struct flo_err *err)
{
    struct flo_vocab_facts *facts = &vocab->facts;
    const struct {
        const char *key;
        int32_t *out;
    } ids[] = {
        {"tokenizer.ggml.bos_token_id", &facts->bos},
        {"tokenizer.ggml.eos_token_id", &facts->eos},
        {"tokenizer.ggml.eot_token_id", &facts->eot},
        {"tokenizer.ggml.unknown_token_id", &facts->unknown},
        {"tokenizer.ggml.padding_token_id", &facts->padding},
    };
    int rv = 0;
    for (size_t i = 0; rv == 0 && i < FLO_COUNT(ids); i++) {
        rv = load_id(vocab, gguf, ids[i].key, ids[i].out, err);
    }
    facts->adds_bos = vocab->split->adds_bos;
    if (rv < 0 ||
        (rv = flo_gguf_bool(gguf, "tokenizer.ggml.add_bos_token",
                            &facts->adds_bos, err)) < 0 ||
        (rv = flo_gguf_bool(gguf, "tokenizer.ggml.add_eos_token",
                            &facts->adds_eos, err)) < 0) {
        return rv;
    }
    if (facts->eos >= 0) {
        vocab->tokens[facts->eos].is_end = true;
    }
    if (facts->eot >= 0) {
        vocab->tokens[facts->eot].is_end = true;
    }
    return 0;
}

static int load_kind(struct flo_vocab *vocab, const struct flo_gguf *gguf,
                     struct flo_err *err)
{
    struct flo_gguf_text model = {"", 0};
    struct flo_gguf_text pre = {"", 0};
    int rv = flo_gguf_require(gguf, "tokenizer.ggml.model", err);
    if (rv < 0 ||
        (rv = flo_gguf_string(gguf, "tokenizer.ggml.model", &model, err)) < 0 ||
        (rv = flo_gguf_string(gguf, "tokenizer.ggml.pre", &pre, err)) < 0) {
        return rv;
    }
    if (!flo_gguf_text_is(model, "gpt2")) {
        return flo_fail(err, FLO_E_NOT_BUILT,
                        "tokenizer model '%.*s' is not built yet; 'gpt2' is",
                        model.bytes < 32 ? (int)model.bytes : 32, model.data);
    }
    vocab->split = flo_split_find(pre.data, pre.bytes);
    if (vocab->split == NULL) {
        return flo_fail(err, FLO_E_NOT_BUILT,
                        "pre-tokenizer '%.*s' is not built yet",
                        pre.bytes < 32 ? (int)pre.bytes : 32, pre.data);
    }
    snprintf(vocab->facts.model, sizeof(vocab->facts.model), "gpt2");
    snprintf(vocab->facts.pre, sizeof(vocab->facts.pre), "%s",
             vocab->split->name);
    return 0;
}

int flo_vocab_open(const struct flo_gguf *gguf, struct flo_vocab **out,
                   struct flo_err *err)
{
    struct flo_vocab *vocab = calloc(1, sizeof(*vocab));
    if (vocab == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "a vocabulary");
    }
    int rv;
    if ((rv = load_kind(vocab, gguf, err)) < 0 ||
        (rv = load_tokens(vocab, gguf, err)) < 0 ||
        (rv = load_merges(vocab, gguf, err)) < 0 ||
        (rv = load_specials(vocab, err)) < 0 ||
        (rv = load_ids(vocab, gguf, err)) < 0) {
        flo_vocab_close(vocab);
        return rv;
    }
    load_bytes(vocab);
    *out = vocab;
    return 0;
}

void flo_vocab_close(struct flo_vocab *vocab)
{
    if (vocab == NULL) {
        return;
    }
    free(vocab->tokens);
    free(vocab->by_text.slots);
    free(vocab->merges);
    free(vocab->by_pair.slots);
    free(vocab->specials);
    free(vocab);
}

const struct flo_vocab_facts *flo_vocab_facts(const struct flo_vocab *vocab)
{
    return &vocab->facts;
}

bool flo_vocab_is_end(const struct flo_vocab *vocab, int32_t id)
{
    return id >= 0 && id < vocab->facts.count && vocab->tokens[id].is_end;
}

bool flo_vocab_is_control(const struct flo_vocab *vocab, int32_t id)
{
    return id >= 0 && id < vocab->facts.count &&
           (vocab->tokens[id].type == FLO_TOKEN_CONTROL ||
            vocab->tokens[id].type == FLO_TOKEN_UNKNOWN);
}
