/* Vocab: converts the GGUF's lists to tables, and checks them once. */
#include "engine/token/vocab/vocab.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/gguf.h>

#include "engine/token/steps.h"
#include "engine/token/unicode.h"
#include "engine/token/vocab/pieces.h"

#define COMPOSED_MAX 4u    /* most bytes that become one when a text is composed */
#define SPECIALS_MAX 65536 /* most special tokens, as each is searched for in a whole text */

/* Texts that end an answer, whatever the metadata says. */
static const char *const ends[] = {
    "<|eot_id|>", "<|im_end|>", "<|end|>",  "<end_of_turn>",      "<|endoftext|>",
    "<|eom_id|>", "</s>",       "<EOT>",    "<|end_of_text|>",    "<|eot|>",
    "_<EOT>",     "<|return|>", "<|call|>", "<end_of_utterance>", "<turn|>",
};

/* ---- loading ---- */

static bool is_end_text(const struct flo_vocab_token *token)
{
    if (token->text[0] != '<' && token->text[0] != '_') {
        return false; /* nearly all tokens end here, so the loop is rarely needed */
    }
    for (size_t i = 0; i < FLO_COUNT(ends); i++) {
        if (flo_token_is(token, ends[i], strlen(ends[i]))) {
            return true;
        }
    }
    return false;
}

/* Tells whether the token is spelled like <|user|>, <|channel> or
 * <tool_call|>. */
static bool has_bars(const struct flo_vocab_token *token)
{
    size_t bytes = token->bytes;
    const char *text = token->text;
    return bytes > 4 && text[0] == '<' && text[bytes - 1] == '>' &&
           (text[1] == '|' || text[bytes - 2] == '|');
}

/* Tells whether the token looks like a mark of chat templates, such as
 * <|user|>, <|channel>, <tool_call|> or [INST]. */
static bool looks_like_mark(const struct flo_vocab_token *token)
{
    size_t bytes = token->bytes;
    const char *text = token->text;
    bool has_brackets = bytes > 2 && text[0] == '[' && text[bytes - 1] == ']';
    return has_bars(token) || has_brackets || flo_token_is(token, "<s>", 3) ||
           flo_token_is(token, "<bos>", 5) || flo_token_is(token, "<eos>", 5) ||
           flo_token_is(token, "<start_of_turn>", 15);
}

static int load_token(struct flo_vocab *vocab, uint32_t id, struct flo_gguf_text text, int32_t type,
                      struct flo_err *err)
{
    struct flo_vocab_token *token = &vocab->tokens[id];
    if (text.bytes > FLO_TOKEN_BYTES_MAX) {
        return flo_fail(err, FLO_E_GGUF_VOCAB, "token %" PRIu32 " has %zu bytes, %d are allowed",
                        id, text.bytes, FLO_TOKEN_BYTES_MAX);
    }
    if (type < FLO_TOKEN_NORMAL || type > FLO_TOKEN_BYTE) {
        return flo_fail(err, FLO_E_GGUF_VOCAB,
                        "token %" PRIu32 " has type %" PRId32 ", 1 to 6 are known", id, type);
    }
    token->text = text.data;
    token->bytes = (uint16_t)text.bytes;
    token->type = (uint8_t)type;
    if (type == FLO_TOKEN_BYTE && flo_token_byte(token) < 0) {
        return flo_fail(err, FLO_E_GGUF_VOCAB, "byte token %" PRIu32 " is '%.*s', not '<0x..>'", id,
                        text.bytes < 16 ? (int)text.bytes : 16, text.data);
    }
    /* Some files list end tokens as text or as user-defined.  They become
     * control tokens, because a message that spells an end must never end an
     * answer. */
    if (text.bytes > 0 && is_end_text(token)) {
        token->is_end = true;
        token->type = FLO_TOKEN_CONTROL;
    }
    /* Files of Gemma 4 list the marks of turns as text. */
    if (vocab->kind == FLO_VOCAB_RAW_BPE && type == FLO_TOKEN_NORMAL && has_bars(token)) {
        token->type = FLO_TOKEN_CONTROL;
    }
    token->is_mark = token->type == FLO_TOKEN_USER && looks_like_mark(token);
    if (token->bytes > vocab->token_bytes_max) {
        vocab->token_bytes_max = token->bytes;
    }
    return 0;
}

int flo_vocab_load_tokens(struct flo_vocab *vocab, const struct flo_gguf *gguf, struct flo_err *err)
{
    const struct flo_gguf_kv *list;
    const struct flo_gguf_kv *types;
    FLO_TRY(flo_vocab_list(gguf, "tokenizer.ggml.tokens", FLO_GGUF_STRING, &list, err));
    FLO_TRY(flo_gguf_array(gguf, "tokenizer.ggml.token_type", FLO_GGUF_I32, &types, err));
    if (list->count == 0 || list->count > FLO_VOCAB_COUNT_MAX) {
        return flo_fail(err, FLO_E_GGUF_VOCAB, "%" PRIu64 " tokens, 1 to %u are allowed",
                        list->count, FLO_VOCAB_COUNT_MAX);
    }
    if (types != NULL && types->count != list->count) {
        return flo_fail(err, FLO_E_GGUF_VOCAB, "%" PRIu64 " token types for %" PRIu64 " tokens",
                        types->count, list->count);
    }
    uint32_t count = (uint32_t)list->count;
    vocab->facts.count = (int32_t)count;
    vocab->tokens = calloc(count, sizeof(*vocab->tokens));
    if (vocab->tokens == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%" PRIu32 " tokens", count);
    }
    const uint8_t *cursor = list->data;
    for (uint32_t id = 0; id < count; id++) {
        int32_t type =
            types == NULL ? FLO_TOKEN_NORMAL : (int32_t)flo_get_u32(types->data + 4 * (size_t)id);
        struct flo_gguf_text text = flo_gguf_next_string(&cursor);
        FLO_TRY(load_token(vocab, id, text, type, err));
    }
    return flo_vocab_index(vocab, err);
}

/* Finds the token of each byte: "<0x0A>", or else the byte itself. */
static void find_bytes(struct flo_vocab *vocab)
{
    for (int byte = 0; byte < 256; byte++) {
        char text[8];
        char alone = (char)byte;
        snprintf(text, sizeof(text), "<0x%02X>", (unsigned)byte);
        int32_t id = flo_vocab_find(vocab, text, 6);
        vocab->byte_ids[byte] = id >= 0 ? id : flo_vocab_find(vocab, &alone, 1);
    }
}

/* Loads the scores of the tokens, by which SPM merges and Unigram chooses. */
static int load_scores(struct flo_vocab *vocab, const struct flo_gguf *gguf, struct flo_err *err)
{
    const struct flo_gguf_kv *list;
    FLO_TRY(flo_vocab_list(gguf, "tokenizer.ggml.scores", FLO_GGUF_F32, &list, err));
    if (list->count != (uint64_t)vocab->facts.count) {
        return flo_fail(err, FLO_E_GGUF_VOCAB, "%" PRIu64 " token scores for %" PRId32 " tokens",
                        list->count, vocab->facts.count);
    }
    vocab->scores = list->data;
    return 0;
}

static int longest_first(const void *a, const void *b, void *context)
{
    const struct flo_vocab *vocab = context;
    int32_t x = *(const int32_t *)a;
    int32_t y = *(const int32_t *)b;
    int order = vocab->tokens[y].bytes - vocab->tokens[x].bytes;
    return order != 0 ? order : x - y;
}

int flo_vocab_load_specials(struct flo_vocab *vocab, struct flo_err *err)
{
    struct flo_tokens *specials = &vocab->specials;
    for (int32_t id = 0; id < vocab->facts.count; id++) {
        const struct flo_vocab_token *token = &vocab->tokens[id];
        if (token->bytes > 0 &&
            (token->type == FLO_TOKEN_CONTROL || token->type == FLO_TOKEN_UNKNOWN ||
             token->type == FLO_TOKEN_USER)) {
            flo_tokens_add(specials, id);
        }
    }
    if (specials->failed) {
        return flo_fail(err, FLO_E_MEMORY, "%zu special tokens", specials->count);
    }
    if (specials->count > SPECIALS_MAX) {
        return flo_fail(err, FLO_E_GGUF_VOCAB, "%zu special tokens, %d are allowed",
                        specials->count, SPECIALS_MAX);
    }
    if (specials->count > 0) {
        qsort_r(specials->ids, specials->count, sizeof(*specials->ids), longest_first, vocab);
    }
    return 0;
}

static void mark_left(struct flo_vocab *vocab, struct flo_vocab_token *token)
{
    vocab->strips = token->strips_left = true;
}

static void mark_right(struct flo_vocab *vocab, struct flo_vocab_token *token)
{
    vocab->strips = token->strips_right = true;
}

static void mark_single(struct flo_vocab *vocab, struct flo_vocab_token *token)
{
    (void)vocab;
    token->is_single = true;
}

static void mark_normalized(struct flo_vocab *vocab, struct flo_vocab_token *token)
{
    (void)vocab;
    token->is_normalized = true;
}

/* Marks the tokens of a list of the file. */
static int load_marks(struct flo_vocab *vocab, const struct flo_gguf *gguf, const char *key,
                      void (*mark)(struct flo_vocab *vocab, struct flo_vocab_token *token),
                      struct flo_err *err)
{
    const struct flo_gguf_kv *list;
    FLO_TRY(flo_gguf_array(gguf, key, FLO_GGUF_I32, &list, err));
    for (uint64_t i = 0; list != NULL && i < list->count; i++) {
        uint32_t id = flo_get_u32(list->data + 4 * i);
        if (id >= (uint32_t)vocab->facts.count) {
            return flo_fail(err, FLO_E_GGUF_VOCAB, "%s has %" PRId32 ", ids are 0 to %" PRId32, key,
                            (int32_t)id, vocab->facts.count - 1);
        }
        mark(vocab, &vocab->tokens[id]);
    }
    return 0;
}

/* Sets which tokens strip the blanks around them.  Our importer writes lists of
 * them.  Nearly all special tokens strip those after them in files of Phi-3, which was trained
 * without these blanks.  No key says so there. Other engines decide by the model's name, and the
 * same ids need the same rule. */
static int load_strips(struct flo_vocab *vocab, const struct flo_gguf *gguf, struct flo_err *err)
{
    static const char *const keeping[] = {"<unk>", "<s>", "<|endoftext|>"};
    struct flo_gguf_text name = {"", 0};
    char lower[256] = "";
    FLO_TRY(load_marks(vocab, gguf, "flotilla.tokenizer.strips_left", mark_left, err));
    FLO_TRY(load_marks(vocab, gguf, "flotilla.tokenizer.strips_right", mark_right, err));
    FLO_TRY(load_marks(vocab, gguf, "flotilla.tokenizer.single_word", mark_single, err));
    FLO_TRY(load_marks(vocab, gguf, "flotilla.tokenizer.normalized", mark_normalized, err));
    int rv = flo_gguf_string(gguf, "general.name", &name, err);
    for (size_t i = 0; i < name.bytes && i + 1 < sizeof(lower); i++) {
        char c = name.data[i];
        lower[i] = c >= 'A' && c <= 'Z' ? (char)(c | 32) : c;
    }
    FLO_TRY(rv);
    if (strstr(lower, "phi-3") == NULL && strstr(lower, "phi3") == NULL) {
        return rv;
    }
    for (size_t i = 0; i < vocab->specials.count; i++) {
        vocab->tokens[vocab->specials.ids[i]].strips_right = true;
    }
    vocab->strips = vocab->specials.count > 0;
    for (size_t i = 0; i < FLO_COUNT(keeping); i++) {
        int32_t id = flo_vocab_find(vocab, keeping[i], strlen(keeping[i]));
        if (id >= 0) {
            vocab->tokens[id].strips_right = false;
        }
    }
    return 0;
}

/* Loads the id of a special token.  If the file has no such key, the id is the
 * one of the first models of its kind, or -1. */
static int load_id(const struct flo_vocab *vocab, const struct flo_gguf *gguf, const char *key,
                   int32_t otherwise, int32_t *out, struct flo_err *err)
{
    uint64_t id = UINT64_MAX;
    int rv = flo_gguf_u64(gguf, key, &id, err);
    if (rv == FLO_E_GGUF_TYPE || (rv == 0 && flo_gguf_find(gguf, key) == NULL)) {
        *out = otherwise < vocab->facts.count ? otherwise : -1;
        return rv;
    }
    *out = -1;
    if (rv < 0 || id >= (uint64_t)vocab->facts.count) {
        return flo_fail(err, FLO_E_GGUF_VOCAB, "%s is %" PRId64 ", ids are 0 to %" PRId32, key,
                        rv < 0 ? -1 : (int64_t)id, vocab->facts.count - 1);
    }
    *out = (int32_t)id;
    return 0;
}

/* Makes <|end|> no end token in gpt-oss.  An answer there has several messages,
 * and <|end|> ends one of them; <|return|> or <|call|> ends the answer. */
static void spare_message_end(struct flo_vocab *vocab)
{
    static const char *const texts[] = {"<|end|>", "<|return|>", "<|call|>"};
    int32_t ids[FLO_COUNT(texts)] = {-1, -1, -1};

    for (int32_t id = 0; id < vocab->facts.count; id++) {
        for (size_t i = 0; vocab->tokens[id].is_end && i < FLO_COUNT(texts); i++) {
            if (flo_token_is(&vocab->tokens[id], texts[i], strlen(texts[i]))) {
                ids[i] = id;
            }
        }
    }
    if (ids[0] >= 0 && ids[1] >= 0 && ids[2] >= 0) {
        vocab->tokens[ids[0]].is_end = ids[0] == vocab->facts.eos;
    }
}

/* Adds the end tokens of a message, and those that a trainer's list names. */
static int load_ends(struct flo_vocab *vocab, const struct flo_gguf *gguf, struct flo_err *err)
{
    static const char key[] = "flotilla.end_token_ids";
    const struct flo_gguf_kv *list = NULL;
    int32_t eom = -1; /* ends a message that calls a tool */
    FLO_TRY(load_id(vocab, gguf, "tokenizer.ggml.eom_token_id", -1, &eom, err));
    if (eom >= 0) {
        vocab->tokens[eom].is_end = true;
    }
    FLO_TRY(flo_gguf_array(gguf, key, FLO_GGUF_U32, &list, err));
    for (uint64_t i = 0; list != NULL && i < list->count; i++) {
        uint32_t id = flo_get_u32(list->data + 4 * i);
        if (id >= (uint32_t)vocab->facts.count) {
            return flo_fail(err, FLO_E_GGUF_VOCAB, "%s has %" PRIu32 ", ids are 0 to %" PRId32, key,
                            id, vocab->facts.count - 1);
        }
        vocab->tokens[id].is_end = true;
    }
    return 0;
}

static int load_ids(struct flo_vocab *vocab, const struct flo_gguf *gguf, struct flo_err *err)
{
    struct flo_vocab_facts *facts = &vocab->facts;
    enum flo_vocab_kind kind = vocab->kind;
    bool is_spm = kind == FLO_VOCAB_SPM, is_bert = kind == FLO_VOCAB_WORDPIECE;
    bool is_t5 = kind == FLO_VOCAB_UNIGRAM;
    const struct {
        const char *key;
        int32_t otherwise;
        int32_t *out;
    } ids[] = {
        {"tokenizer.ggml.bos_token_id",
         is_spm    ? 1
         : is_bert ? 101
                   : -1,
         &facts->bos},
        {"tokenizer.ggml.eos_token_id",
         is_spm  ? 2
         : is_t5 ? 1
                 : -1,
         &facts->eos},
        {"tokenizer.ggml.eot_token_id", -1, &facts->eot},
        {"tokenizer.ggml.unknown_token_id",
         is_spm    ? 0
         : is_bert ? 100
         : is_t5   ? 2
                   : -1,
         &facts->unknown},
        {"tokenizer.ggml.seperator_token_id", is_bert ? 102 : -1, &facts->separator},
    };
    for (size_t i = 0; i < FLO_COUNT(ids); i++) {
        FLO_TRY(load_id(vocab, gguf, ids[i].key, ids[i].otherwise, ids[i].out, err));
    }
    if (is_bert && facts->eos < 0) {
        facts->eos = facts->separator;
    }
    FLO_TRY(flo_gguf_bool(gguf, "tokenizer.ggml.add_bos_token", &facts->adds_bos, err));
    FLO_TRY(flo_gguf_bool(gguf, "tokenizer.ggml.add_eos_token", &facts->adds_eos, err));
    FLO_TRY(flo_gguf_bool(gguf, "tokenizer.ggml.add_sep_token", &facts->adds_separator, err));
    if (facts->eos >= 0) {
        vocab->tokens[facts->eos].is_end = true;
    }
    if (facts->eot >= 0) {
        vocab->tokens[facts->eot].is_end = true;
    }
    spare_message_end(vocab);
    return load_ends(vocab, gguf, err);
}

/* Sets whether texts are composed.  Those of Qwen 2 are not, because all other
 * engines give such files the ids of uncomposed texts. */
static int load_composes(struct flo_vocab *vocab, const struct flo_split_kind *kind,
                         const struct flo_gguf *gguf, struct flo_err *err)
{
    struct flo_gguf_text architecture = {"", 0};
    FLO_TRY(flo_gguf_string(gguf, "general.architecture", &architecture, err));
    vocab->composes = kind->composes && !flo_gguf_text_is(architecture, "qwen2");
    return 0;
}

/* Loads the pre-tokenizer: the file's own expressions, or those of its
 * name. */
static int load_split(struct flo_vocab *vocab, const struct flo_gguf *gguf, struct flo_err *err)
{
    static const char own[] = "flotilla.tokenizer.split";
    struct flo_gguf_text pre = {"", 0};
    const struct flo_gguf_kv *list;
    FLO_TRY(flo_gguf_string(gguf, "tokenizer.ggml.pre", &pre, err));
    FLO_TRY(flo_gguf_array(gguf, own, FLO_GGUF_STRING, &list, err));
    if (pre.bytes == 0) {
        pre = vocab->kind == FLO_VOCAB_RAW_BPE ? (struct flo_gguf_text){"gemma4", 6}
                                               : (struct flo_gguf_text){"default", 7};
    }
    const struct flo_split_kind *kind = flo_split_find(pre.data, pre.bytes, &vocab->facts.pre);
    if (kind == NULL && list == NULL) {
        return flo_fail(err, FLO_E_NOT_BUILT, "pre-tokenizer '%.*s' is not built yet",
                        pre.bytes < 32 ? (int)pre.bytes : 32, pre.data);
    }
    if (kind != NULL) {
        vocab->kind = kind->is_raw ? FLO_VOCAB_RAW_BPE : vocab->kind;
        vocab->prefers_whole = kind->prefers_whole;
        vocab->facts.adds_bos = kind->adds_bos;
        vocab->facts.adds_separator = kind->adds_separator;
        FLO_TRY(load_composes(vocab, kind, gguf, err));
    }
    if (list == NULL) {
        return flo_splitter_open(&vocab->splitter, kind, err);
    }
    vocab->facts.pre = kind != NULL ? vocab->facts.pre : "own";
    vocab->composes = false; /* such a file names its normalizer */
    const uint8_t *cursor = list->data;
    for (uint64_t i = 0; i < list->count; i++) {
        struct flo_gguf_text text = flo_gguf_next_string(&cursor);
        int rv = flo_splitter_add(&vocab->splitter, text.data, text.bytes, err);
        if (rv < 0) {
            return flo_wrap(err, rv, "%s", own);
        }
    }
    return 0;
}

/* Loads the normalization form that texts get before they are split. */
static int load_normalizer(struct flo_vocab *vocab, const struct flo_gguf *gguf,
                           struct flo_err *err)
{
    struct flo_gguf_text name = {"", 0};
    FLO_TRY(flo_gguf_string(gguf, "flotilla.tokenizer.normalizer", &name, err));
    bool is_known = flo_gguf_text_is(name, "nfc");
    vocab->composes = vocab->composes || is_known;
    return name.bytes == 0 || is_known
               ? 0
               : flo_fail(err, FLO_E_NOT_BUILT, "the normalizer '%.*s' is not built; 'nfc' is",
                          name.bytes < 32 ? (int)name.bytes : 32, name.data);
}

static int load_kind(struct flo_vocab *vocab, const struct flo_gguf *gguf, struct flo_err *err)
{
    static const struct {
        const char *name;
        enum flo_vocab_kind kind;
    } models[] = {
        {"gpt2", FLO_VOCAB_BPE},       {"gemma4", FLO_VOCAB_RAW_BPE}, {"llama", FLO_VOCAB_SPM},
        {"bert", FLO_VOCAB_WORDPIECE}, {"t5", FLO_VOCAB_UNIGRAM},
    };
    struct flo_gguf_text model = {"", 0};
    FLO_TRY(flo_gguf_require(gguf, "tokenizer.ggml.model", err));
    FLO_TRY(flo_gguf_string(gguf, "tokenizer.ggml.model", &model, err));
    for (size_t i = 0; i < FLO_COUNT(models); i++) {
        if (flo_gguf_text_is(model, models[i].name)) {
            vocab->facts.model = models[i].name;
            vocab->kind = models[i].kind;
        }
    }
    if (vocab->facts.model == NULL) {
        return flo_fail(err, FLO_E_NOT_BUILT,
                        "tokenizer model '%.*s' is not built yet; 'llama' (SPM), 'gpt2' and "
                        "'gemma4' (BPE), 'bert' (WordPiece) and 't5' (Unigram) are",
                        model.bytes < 32 ? (int)model.bytes : 32, model.data);
    }
    vocab->facts.pre = "default";
    if (vocab->kind == FLO_VOCAB_BPE || vocab->kind == FLO_VOCAB_RAW_BPE) {
        FLO_TRY(load_split(vocab, gguf, err));
    }
    FLO_TRY(flo_gguf_bool(gguf, "flotilla.tokenizer.ignore_merges", &vocab->prefers_whole, err));
    vocab->facts.adds_bos |= vocab->kind == FLO_VOCAB_SPM || vocab->kind == FLO_VOCAB_WORDPIECE;
    vocab->facts.adds_eos = vocab->kind == FLO_VOCAB_WORDPIECE || vocab->kind == FLO_VOCAB_UNIGRAM;
    vocab->adds_space = vocab->kind == FLO_VOCAB_SPM || vocab->kind == FLO_VOCAB_UNIGRAM;
    FLO_TRY(load_normalizer(vocab, gguf, err));
    return flo_gguf_bool(gguf, "tokenizer.ggml.add_space_prefix", &vocab->adds_space, err);
}

/* Returns the most bytes that one id can cover.  Without `unknown`, a byte
 * without a token is dropped, so the result is then SIZE_MAX.  BPE drops such
 * bytes even with an `unknown`; but then only control characters and rare
 * planes lack tokens.  A long text of only these may be refused. */
static size_t id_bytes_max(const struct flo_vocab *vocab)
{
    if (vocab->kind == FLO_VOCAB_WORDPIECE || vocab->kind == FLO_VOCAB_UNIGRAM ||
        vocab->steps != NULL) {
        return SIZE_MAX; /* words and blanks of any length may become one id, or none */
    }
    for (int byte = 0; vocab->facts.unknown < 0 && byte < 256; byte++) {
        uint32_t code = flo_byte_to_code((uint8_t)byte);
        char text[2] = {(char)(0xc0 | code >> 6), (char)(0x80 | (code & 0x3f))};
        char alone = (char)code;
        int32_t id = vocab->kind != FLO_VOCAB_BPE ? vocab->byte_ids[byte]
                     : code < 0x80                ? flo_vocab_find(vocab, &alone, 1)
                                                  : flo_vocab_find(vocab, text, 2);
        if (id < 0) {
            return SIZE_MAX;
        }
    }
    size_t most = vocab->token_bytes_max > 4 ? vocab->token_bytes_max : 4;
    return vocab->composes ? COMPOSED_MAX * most : most;
}

/* Loads what the kind of tokenizer needs, after the tokens. */
static int load_tables(struct flo_vocab *vocab, const struct flo_gguf *gguf, struct flo_err *err)
{
    switch (vocab->kind) {
    case FLO_VOCAB_WORDPIECE:
        return flo_vocab_load_encoder(vocab, gguf, err);
    case FLO_VOCAB_UNIGRAM:
        FLO_TRY(load_scores(vocab, gguf, err));
        return flo_vocab_load_encoder(vocab, gguf, err);
    case FLO_VOCAB_SPM:
        return load_scores(vocab, gguf, err);
    default:
        return flo_vocab_load_merges(vocab, gguf, err);
    }
}

static int load(struct flo_vocab *vocab, const struct flo_gguf *gguf, struct flo_err *err)
{
    FLO_TRY(load_kind(vocab, gguf, err));
    FLO_TRY(flo_vocab_load_tokens(vocab, gguf, err));
    FLO_TRY(load_tables(vocab, gguf, err));
    FLO_TRY(flo_vocab_load_specials(vocab, err));
    FLO_TRY(load_strips(vocab, gguf, err));
    FLO_TRY(load_ids(vocab, gguf, err));
    FLO_TRY(flo_steps_load(vocab, gguf, err));
    return flo_vocab_load_pair(vocab, gguf, err);
}

int flo_vocab_open(const struct flo_gguf *gguf, struct flo_vocab **out, struct flo_err *err)
{
    struct flo_vocab *vocab = calloc(1, sizeof(*vocab));
    if (vocab == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "a vocabulary");
    }
    int rv = load(vocab, gguf, err);
    if (rv < 0) {
        flo_vocab_close(vocab);
        return rv;
    }
    find_bytes(vocab);
    vocab->id_bytes_max = id_bytes_max(vocab);
    *out = vocab;
    return 0;
}

void flo_vocab_close(struct flo_vocab *vocab)
{
    if (vocab == NULL) {
        return;
    }
    flo_splitter_close(&vocab->splitter);
    flo_prefix_close(&vocab->prefix);
    flo_steps_free(vocab->steps);
    flo_added_close(&vocab->added);
    free(vocab->tokens);
    free(vocab->by_text.slots);
    free(vocab->merge_left_bytes);
    free(vocab->merge_next);
    free(vocab->first_rank);
    free(vocab->library_text);
    free(vocab->library_at);
    flo_tokens_deinit(&vocab->specials);
    flo_pieces_free(atomic_load(&vocab->pieces));
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
