#include "engine/publish/import/tokens.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/publish/import/family.h"
#include "engine/publish/import/pieces.h"
#include "engine/publish/import/reading.h"
#include "engine/publish/import/special.h"
#include "engine/publish/import/splits.h"
#include "engine/publish/import/steps.h"
#include "engine/token/vocab/vocab.h"

#define TOKENIZER_BYTES_MAX (64u << 20)
#define TOKENIZER_VALUES_MAX (3u << 20)
#define TEMPLATE_BYTES_MAX (1u << 20)
#define TOKENS_BYTES_MAX (200u << 20)
#define CHARACTERS_USUAL 100 /* most characters of a word of WordPiece */
#define BLANK "\xe2\x96\x81" /* stands for a blank in SentencePiece */

/* A JSON file of the folder. */
struct document {
    char *text;
    struct flo_tree tree;
    const struct flo_tree_node *root; /* NULL: the file is absent */
};
struct tokens {
    struct flo_import *import;
    struct document tokenizer, settings;
    char *model; /* bytes of a SentencePiece model, or NULL */
    size_t model_bytes;
    struct flo_sentencepiece piece_model;
    struct flo_import_pieces pieces;
    struct flo_import_steps steps;
    const char *kind; /* tokenizer.ggml.model */
    bool is_word_piece;
    bool has_own; /* the file says what is done to texts */
};

static void document_deinit(struct document *document)
{
    flo_tree_deinit(&document->tree);
    free(document->text);
}

static int read_document(const struct flo_import *import, const char *name, struct document *out,
                         struct flo_err *err)
{
    size_t bytes;
    FLO_TRY(flo_folder_read(&import->folder, name, TOKENIZER_BYTES_MAX, &out->text, &bytes, err));
    if (out->text == NULL) {
        return 0;
    }
    int rv = flo_folder_tree(out->text, bytes, TOKENIZER_VALUES_MAX, &out->tree, err);
    if (rv < 0) {
        return flo_wrap(err, rv, "%s", name);
    }
    out->root = out->tree.nodes;
    return 0;
}

/* ---- the keys of tokens ---- */

/* Appends a token as the file has it. */
static void add_token(const struct tokens *tokens, uint32_t id, struct flo_buf *out)
{
    const struct flo_import_piece *piece = &tokens->pieces.items[id];
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {.bytes_max = 4 * FLO_PIECE_BYTES_MAX};
    const char *at = piece->text;
    const char *end = piece->text != NULL ? piece->text + piece->bytes : NULL;
    if (tokens->is_word_piece && piece->type != FLO_PIECE_CONTROL && !piece->is_added_only) {
        bool is_inner = piece->text != NULL && piece->bytes > 2 && memcmp(at, "##", 2) == 0;
        flo_buf_text(&text, is_inner ? "" : BLANK);
        at += is_inner ? 2 : 0;
    }
    if (piece->text == NULL) {
        flo_buf_printf(&text, "[PAD%u]", id);
    }
    for (; piece->text != NULL && at < end; at++) {
        bool is_blank =
            piece->type == FLO_PIECE_DEFINED && end - at >= 3 && memcmp(at, BLANK, 3) == 0;
        flo_buf_add(&text, is_blank ? " " : at, 1);
        at += is_blank ? 2 : 0;
    }
    out->failed = out->failed || text.failed;
    flo_keys_item(out, text.bytes > 0 ? text.data : "", text.bytes);
}

static int set_tokens(struct tokens *tokens, const char *model, bool has_scores,
                      struct flo_err *err)
{
    struct flo_keys *keys = &tokens->import->keys;
    uint32_t count = tokens->pieces.count;
    struct flo_buf texts = {.bytes_max = TOKENS_BYTES_MAX};
    FLO_CLEANUP(flo_free_cleanup) uint8_t *numbers = calloc(count + 1, 4);
    if (numbers == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%u tokens", count);
    }
    for (uint32_t i = 0; i < count; i++) {
        add_token(tokens, i, &texts);
    }
    tokens->kind = model;
    flo_keys_text(keys, "tokenizer.ggml.model", model);
    if (!texts.failed) {
        flo_keys_array(keys, "tokenizer.ggml.tokens", FLO_GGUF_STRING, count, texts.data,
                       texts.bytes);
    }
    bool failed = texts.failed;
    flo_buf_deinit(&texts);
    for (uint32_t i = 0; i < count && has_scores; i++) {
        uint32_t bits;
        failed = failed || !isfinite(tokens->pieces.items[i].score);
        memcpy(&bits, &tokens->pieces.items[i].score, sizeof(bits));
        flo_put_u32(numbers + 4 * (size_t)i, bits);
    }
    if (has_scores) {
        flo_keys_array(keys, "tokenizer.ggml.scores", FLO_GGUF_F32, count, numbers,
                       (size_t)count * 4);
    }
    for (uint32_t i = 0; i < count; i++) {
        flo_put_u32(numbers + 4 * (size_t)i, tokens->pieces.items[i].type);
    }
    flo_keys_array(keys, "tokenizer.ggml.token_type", FLO_GGUF_I32, count, numbers,
                   (size_t)count * 4);
    return failed
               ? flo_folder_fail(err,
                                 "the tokens are longer than %u MiB, or have a score that is NaN",
                                 TOKENS_BYTES_MAX >> 20)
               : 0;
}

/* Appends a part of a merge.  A blank is written as byte-level tokens write
 * it. */
static void add_part(struct flo_buf *out, const struct flo_tree_node *part)
{
    for (size_t i = 0; i < part->bytes; i++) {
        flo_buf_add(out, part->text[i] == ' ' ? "\xc4\xa0" : part->text + i,
                    part->text[i] == ' ' ? 2 : 1);
    }
}

static int set_merges(struct tokens *tokens, struct flo_err *err)
{
    const struct flo_tree_node *merges =
        flo_tree_member(flo_tree_member(tokens->tokenizer.root, "model"), "merges");
    FLO_CLEANUP(flo_buf_deinit)
    struct flo_buf all = {.bytes_max = TOKENS_BYTES_MAX}, one = {.bytes_max = FLO_PIECE_BYTES_MAX};
    uint64_t count = 0;
    for (const struct flo_tree_node *node = flo_tree_first(merges); node != NULL;
         node = node->next) {
        const struct flo_tree_node *a = node->kind == FLO_TREE_ARRAY ? node->first : NULL;
        one.bytes = 0;
        if (node->kind == FLO_TREE_STRING) {
            flo_buf_add(&one, node->text, node->bytes);
        } else if (a != NULL && a->kind == FLO_TREE_STRING && a->next != NULL &&
                   a->next->kind == FLO_TREE_STRING) {
            add_part(&one, a);
            flo_buf_text(&one, " ");
            add_part(&one, a->next);
        } else {
            one.failed = true;
        }
        flo_keys_item(&all, one.data, one.bytes);
        count++;
    }
    bool failed = all.failed || one.failed;
    if (!failed) {
        flo_keys_array(&tokens->import->keys, "tokenizer.ggml.merges", FLO_GGUF_STRING, count,
                       all.data, all.bytes);
    }
    return failed ? flo_folder_fail(err, "tokenizer.json: merge %llu is no pair",
                                    (unsigned long long)count)
                  : 0;
}

/* Sets what is done to texts, and whether SPM puts a blank in front. */
static int set_steps(struct tokens *tokens, struct flo_err *err)
{
    struct flo_keys *keys = &tokens->import->keys;
    const char *signs = tokens->steps.signs.data;
    bool is_gemma = strncmp(tokens->import->family->arch, "gemma", 5) == 0;
    if (tokens->tokenizer.root == NULL) {
        return 0;
    }
    FLO_TRY(flo_steps_set(keys, tokens->tokenizer.root, &tokens->steps,
                          is_gemma && strcmp(tokens->kind, "llama") == 0 ? "gemma4" : tokens->kind,
                          &tokens->has_own, err));
    if (!tokens->has_own && strcmp(tokens->kind, "llama") == 0) {
        flo_keys_bool(keys, "tokenizer.ggml.add_space_prefix", signs[0] == 'P');
    }
    return flo_decoder_check(tokens->tokenizer.root, tokens->kind, err);
}

/* ---- kinds of tokenizers ---- */

static int read_pieces(struct tokens *tokens, struct flo_err *err)
{
    int rv = flo_pieces_read_json(tokens->tokenizer.root, tokens->import->vocabulary,
                                  &tokens->pieces, err);
    return rv < 0 ? flo_wrap(err, rv, "tokenizer.json")
                  : flo_twice_check(tokens->import, &tokens->pieces, tokens->settings.root, err);
}

static int set_bpe(struct tokens *tokens, struct flo_err *err)
{
    FLO_TRY(read_pieces(tokens, err));
    FLO_TRY(set_tokens(tokens, "gpt2", false, err));
    FLO_TRY(set_steps(tokens, err));
    flo_splits_set(&tokens->import->keys, tokens->import->family->arch, tokens->tokenizer.root,
                   tokens->has_own);
    return set_merges(tokens, err);
}

static int set_word_piece(struct tokens *tokens, struct flo_err *err)
{
    FLO_TRY(read_pieces(tokens, err));
    tokens->is_word_piece = true;
    flo_keys_text(&tokens->import->keys, "tokenizer.ggml.pre", "bert-bge");
    FLO_TRY(set_tokens(tokens, "bert", false, err));
    return set_steps(tokens, err);
}

/* Writes out base64, without its padding.  Returns its bytes. */
static size_t decode_base64(const char *text, size_t bytes, uint8_t *out)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t bits = 0;
    unsigned have = 0;
    size_t count = 0;
    for (size_t i = 0; i < bytes; i++) {
        const char *at = memchr(letters, text[i], 64);
        if (at == NULL) {
            break;
        }
        bits = bits << 6 | (uint32_t)(at - letters);
        have += 6;
        if (have >= 8) {
            have -= 8;
            out[count++] = (uint8_t)(bits >> have);
        }
    }
    return count;
}

static int set_map(struct tokens *tokens, struct flo_err *err)
{
    const struct flo_tree_node *normaliser = flo_tree_member(tokens->tokenizer.root, "normalizer");
    const struct flo_tree_node *map = flo_tree_member(normaliser, "precompiled_charsmap");
    const struct flo_tree_node *part = flo_tree_first(flo_tree_member(normaliser, "normalizers"));
    for (; map == NULL && part != NULL; part = part->next) {
        map = flo_tree_member(part, "precompiled_charsmap");
    }
    if (map == NULL || map->kind != FLO_TREE_STRING) {
        return 0;
    }
    FLO_CLEANUP(flo_free_cleanup) uint8_t *bytes = malloc(map->bytes + 1);
    if (bytes == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "the normalising map");
    }
    size_t count = decode_base64(map->text, map->bytes, bytes);
    flo_keys_array(&tokens->import->keys, "tokenizer.ggml.precompiled_charsmap", FLO_GGUF_U8, count,
                   bytes, count);
    return 0;
}

/* Unigram: the piece that stands for unknown text is named by its place. */
static int set_unigram(struct tokens *tokens, struct flo_err *err)
{
    struct flo_keys *keys = &tokens->import->keys;
    const struct flo_tree_node *model = flo_tree_member(tokens->tokenizer.root, "model");
    int64_t unknown;
    FLO_TRY(read_pieces(tokens, err));
    if (flo_tree_whole(flo_tree_member(model, "unk_id"), 0, INT32_MAX, &unknown) &&
        unknown < tokens->pieces.count) {
        tokens->pieces.items[unknown].type = FLO_PIECE_UNKNOWN;
    }
    flo_keys_text(keys, "tokenizer.ggml.pre", "default");
    FLO_TRY(set_tokens(tokens, "t5", true, err));
    flo_keys_bool(keys, "tokenizer.ggml.add_space_prefix", true);
    flo_keys_bool(keys, "tokenizer.ggml.remove_extra_whitespaces", true);
    FLO_TRY(set_steps(tokens, err));
    return set_map(tokens, err);
}

/* Changes pieces by tokenizer_config.json, as added tokens came later than a
 * SentencePiece model. */
static int add_decoder(struct tokens *tokens, struct flo_err *err)
{
    const struct flo_tree_node *node =
        flo_tree_first(flo_tree_member(tokens->settings.root, "added_tokens_decoder"));
    uint32_t count = 0;
    for (; node != NULL; node = node->next) {
        const struct flo_tree_node *text = flo_tree_member(node, "content");
        const struct flo_tree_node *special = flo_tree_member(node, "special");
        char *end;
        unsigned long id = strtoul(node->key, &end, 10);
        if (++count > FLO_PIECES_ADDED_MAX) {
            return flo_folder_fail(err, "tokenizer_config.json: more than %d added tokens",
                                   FLO_PIECES_ADDED_MAX);
        }
        if (*end != '\0' || text == NULL || text->kind != FLO_TREE_STRING ||
            text->bytes > FLO_PIECE_BYTES_MAX) {
            return flo_folder_fail(err, "tokenizer_config.json: an added token has no text and id");
        }
        if (id >= tokens->pieces.count) {
            continue;
        }
        bool is_special = flo_tree_says(special, true);
        tokens->pieces.items[id] = (struct flo_import_piece){
            .text = text->text,
            .bytes = (uint32_t)text->bytes,
            .score = -1000,
            .type = is_special || flo_piece_looks_special(text->text, text->bytes)
                        ? FLO_PIECE_CONTROL
                        : FLO_PIECE_DEFINED};
    }
    return 0;
}

static int set_sentencepiece(struct tokens *tokens, struct flo_err *err)
{
    struct flo_keys *keys = &tokens->import->keys;
    const struct flo_tree_node *prefix = flo_tree_member(tokens->settings.root, "add_prefix_space");
    uint32_t count = tokens->import->vocabulary;
    FLO_TRY(flo_sentencepiece_read((const uint8_t *)tokens->model, tokens->model_bytes,
                                   &tokens->piece_model, err));
    FLO_TRY(flo_pieces_init(&tokens->pieces, count, -10000, err));
    for (uint32_t i = 0; i < tokens->piece_model.pieces.count && i < count; i++) {
        tokens->pieces.items[i] = tokens->piece_model.pieces.items[i];
    }
    FLO_TRY(add_decoder(tokens, err));
    FLO_TRY(flo_twice_check(tokens->import, &tokens->pieces, tokens->settings.root, err));
    flo_keys_text(keys, "tokenizer.ggml.pre", "default");
    FLO_TRY(set_tokens(tokens, "llama", true, err));
    if (prefix != NULL && prefix->kind == FLO_TREE_BOOLEAN) {
        flo_keys_bool(keys, "tokenizer.ggml.add_space_prefix", prefix->text[0] == 't');
    }
    return set_steps(tokens, err);
}

/* Marks the tokens of single bytes, which a decoder shows as they are spelled
 * unless it has a ByteFallback. */
static void mark_bytes(struct tokens *tokens)
{
    const struct flo_tree_node *decoder = flo_tree_member(tokens->tokenizer.root, "decoder");
    const struct flo_tree_node *part = flo_tree_first(flo_tree_member(decoder, "decoders"));
    while (part != NULL && !flo_tree_is(flo_tree_member(part, "type"), "ByteFallback")) {
        part = part->next;
    }
    if (decoder != NULL && decoder->kind == FLO_TREE_OBJECT && part == NULL) {
        return;
    }
    for (uint32_t i = 0; i < tokens->pieces.count; i++) {
        struct flo_import_piece *piece = &tokens->pieces.items[i];
        const char *at = piece->text != NULL ? piece->text + 3 : "";
        uint32_t byte;
        if (piece->text != NULL && piece->bytes == 6 && memcmp(piece->text, "<0x", 3) == 0 &&
            flo_hex_read(&at, piece->text + 5, 2, &byte) && piece->text[5] == '>') {
            piece->type = FLO_PIECE_BYTE;
        }
    }
}

static void set_ignored(struct tokens *tokens)
{
    const struct flo_tree_node *model = flo_tree_member(tokens->tokenizer.root, "model");
    if (flo_tree_says(flo_tree_member(model, "ignore_merges"), true)) {
        flo_keys_bool(&tokens->import->keys, "flotilla.tokenizer.ignore_merges", true);
    }
}

/* BPE over characters with bytes for the rest, read by its merges. */
static int set_merged(struct tokens *tokens, struct flo_err *err)
{
    set_ignored(tokens);
    FLO_TRY(set_tokens(tokens, "gemma4", true, err));
    FLO_TRY(set_steps(tokens, err));
    return set_merges(tokens, err);
}

/* Tells whether a token may stay untaken, which scores would then build. */
static bool has_single(const struct flo_tree_node *root)
{
    const struct flo_tree_node *node = flo_tree_first(flo_tree_member(root, "added_tokens"));
    while (node != NULL && !flo_tree_says(flo_tree_member(node, "single_word"), true)) {
        node = node->next;
    }
    return node != NULL;
}

/* The same, without a SentencePiece model: merges become scores, if each token
 * has one. */
static int set_fallback(struct tokens *tokens, struct flo_err *err)
{
    FLO_TRY(read_pieces(tokens, err));
    mark_bytes(tokens);
    if (!flo_pieces_score_merges(
            flo_tree_member(flo_tree_member(tokens->tokenizer.root, "model"), "merges"),
            &tokens->pieces) ||
        has_single(tokens->tokenizer.root)) {
        return set_merged(tokens, err);
    }
    flo_keys_text(&tokens->import->keys, "tokenizer.ggml.pre", "default");
    FLO_TRY(set_tokens(tokens, "llama", true, err));
    set_ignored(tokens);
    return set_steps(tokens, err);
}

/* Gemma 4: the same kind, read by its merges.  Some control tokens are shown,
 * as programs parse them. */
static int set_gemma4(struct tokens *tokens, struct flo_err *err)
{
    static const char *const shown[] = {
        "<|channel>",       "<channel|>",       "<|tool_call>", "<tool_call|>",
        "<|tool_response>", "<tool_response|>", "<|\"|>",
    };
    FLO_TRY(read_pieces(tokens, err));
    mark_bytes(tokens);
    for (uint32_t i = 0; i < tokens->pieces.count; i++) {
        struct flo_import_piece *piece = &tokens->pieces.items[i];
        for (size_t s = 0; piece->text != NULL && s < FLO_COUNT(shown); s++) {
            if (piece->bytes == strlen(shown[s]) &&
                memcmp(piece->text, shown[s], piece->bytes) == 0) {
                piece->type = FLO_PIECE_DEFINED;
            }
        }
    }
    return set_merged(tokens, err);
}

static int set_by_kind(struct tokens *tokens, struct flo_err *err)
{
    const struct flo_tree_node *model = flo_tree_member(tokens->tokenizer.root, "model");
    const struct flo_tree_node *type = flo_tree_member(model, "type");
    const struct flo_tree_node *fallback = flo_tree_member(model, "byte_fallback");
    bool has_bytes = flo_tree_says(fallback, true) && !tokens->steps.makes_bytes;
    const struct flo_tree_node *unknown = flo_tree_member(model, "unk_token");
    bool is_bpe =
        flo_tree_is(type, "BPE") || (type == NULL && flo_tree_member(model, "merges") != NULL);
    if (is_bpe && !has_bytes && !tokens->steps.makes_bytes && unknown != NULL &&
        unknown->kind != FLO_TREE_NULL) {
        return flo_folder_fail(err, "tokenizer.json: model/BPE.byte_fallback is false beside "
                                    "unk_token, and nothing has a ByteLevel");
    }
    if (is_bpe && has_bytes && strcmp(tokens->import->family->arch, "gemma4") == 0) {
        return set_gemma4(tokens, err);
    }
    if (tokens->model != NULL && (tokens->tokenizer.root == NULL || (is_bpe && has_bytes))) {
        return set_sentencepiece(tokens, err);
    }
    if (is_bpe) {
        return (has_bytes ? set_fallback : set_bpe)(tokens, err);
    }
    if (flo_tree_is(type, "WordPiece")) {
        return set_word_piece(tokens, err);
    }
    if (flo_tree_is(type, "Unigram")) {
        return set_unigram(tokens, err);
    }
    return flo_folder_fail(
        err, "tokenizer.json is missing, or its model is not BPE, WordPiece or Unigram");
}

/* ---- the chat's template ---- */

static const struct flo_tree_node *template_of(const struct flo_tree_node *settings)
{
    const struct flo_tree_node *node = flo_tree_member(settings, "chat_template");
    const struct flo_tree_node *item =
        node != NULL && node->kind == FLO_TREE_ARRAY ? node->first : NULL;
    for (; item != NULL; item = item->next) {
        if (flo_tree_is(flo_tree_member(item, "name"), "default")) {
            return flo_tree_member(item, "template");
        }
    }
    return node;
}

static int set_template(struct tokens *tokens, struct flo_err *err)
{
    struct flo_import *import = tokens->import;
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    size_t bytes;
    FLO_TRY(flo_folder_read(&import->folder, "chat_template.jinja", TEMPLATE_BYTES_MAX, &text,
                            &bytes, err));
    const struct flo_tree_node *node = template_of(tokens->settings.root);
    if (text != NULL && strlen(text) == bytes) {
        flo_keys_text(&import->keys, "tokenizer.chat_template", text);
    } else if (node != NULL && node->kind == FLO_TREE_STRING && node->bytes <= TEMPLATE_BYTES_MAX) {
        flo_keys_text(&import->keys, "tokenizer.chat_template", node->text);
    }
    return 0;
}

/* Changes what a family's files say wrongly, as llama.cpp's converter does. */
static void set_exceptions(struct tokens *tokens)
{
    const struct flo_import *import = tokens->import;
    struct flo_keys *keys = &tokens->import->keys;
    const char *arch = import->family->arch;
    double end = flo_config_number(&import->config, "eod_token_id", -1);
    if (strcmp(arch, "hunyuan-dense") == 0 && end >= 0 && end < tokens->pieces.count) {
        flo_keys_u32(keys, "tokenizer.ggml.eos_token_id", (uint32_t)end);
    }
    if (strncmp(arch, "gemma", 5) == 0) {
        flo_keys_bool(keys, "tokenizer.ggml.add_space_prefix", false);
    }
    if (strcmp(arch, "gemma4") == 0) {
        flo_keys_bool(keys, "tokenizer.ggml.add_bos_token", true);
    }
}

/* Refuses settings whose class would change what tokenizer.json does. */
static int check_settings(const struct tokens *tokens, struct flo_err *err)
{
    static const char *const bert[][2] = {{"do_lower_case", "lowercase"},
                                          {"strip_accents", "strip_accents"},
                                          {"tokenize_chinese_chars", "handle_chinese_chars"}};
    const struct flo_tree_node *settings = tokens->settings.root;
    const struct flo_tree_node *normalizer = flo_tree_member(tokens->tokenizer.root, "normalizer");
    const struct flo_tree_node *class = flo_tree_member(settings, "tokenizer_class");
    const char *name = class != NULL && class->kind == FLO_TREE_STRING ? class->text : "";
    bool is_bert = strstr(name, "Bert") != NULL &&
                   flo_tree_is(flo_tree_member(normalizer, "type"), "BertNormalizer");
    for (size_t i = 0; is_bert && i < FLO_COUNT(bert); i++) {
        const struct flo_tree_node *a = flo_tree_member(settings, bert[i][0]);
        const struct flo_tree_node *b = flo_tree_member(normalizer, bert[i][1]);
        if (a != NULL && b != NULL &&
            (a->kind != b->kind || flo_tree_says(a, true) != flo_tree_says(b, true))) {
            return flo_folder_fail(err,
                                   "tokenizer_config.json: %s is %.*s, and tokenizer.json's "
                                   "normalizer/BertNormalizer.%s is %.*s",
                                   bert[i][0], (int)a->bytes, a->text, bert[i][1], (int)b->bytes,
                                   b->text);
        }
    }
    if (strncmp(name, "Llama", 5) == 0 && strcmp(tokens->steps.signs.data, "PR|") == 0 &&
        flo_tree_says(flo_tree_member(settings, "add_prefix_space"), false)) {
        return flo_folder_fail(err, "tokenizer_config.json: add_prefix_space is false, and "
                                    "tokenizer.json's normalizer/Prepend puts a blank in front");
    }
    return 0;
}

/* Reads each key of a file: it is known, or refused. */
static int read_keys(const struct tokens *tokens, const char *file,
                     const struct flo_tree_node *root, struct flo_err *err)
{
    return root != NULL ? flo_reading_file(&tokens->import->reading, file, file, root, err) : 0;
}

static int read_all(struct tokens *tokens, struct flo_err *err)
{
    FLO_TRY(read_keys(tokens, "tokenizer.json", tokens->tokenizer.root, err));
    FLO_TRY(read_keys(tokens, "tokenizer_config.json", tokens->settings.root, err));
    if (tokens->tokenizer.root == NULL) {
        return 0;
    }
    FLO_TRY(flo_steps_read(tokens->tokenizer.root, &tokens->steps, err));
    return check_settings(tokens, err);
}

/* Sets the token that stands for unknown words, and which words are too long,
 * as the model says. */
static int set_model(struct tokens *tokens, struct flo_err *err)
{
    struct flo_keys *keys = &tokens->import->keys;
    const struct flo_tree_node *model = flo_tree_member(tokens->tokenizer.root, "model");
    const struct flo_tree_node *unknown = flo_tree_member(model, "unk_token");
    const struct flo_tree_node *most = flo_tree_member(model, "max_input_chars_per_word");
    int64_t id = 0, characters = CHARACTERS_USUAL;
    if (tokens->tokenizer.root != NULL && strcmp(tokens->kind, "t5") == 0) {
        if (!flo_tree_whole(flo_tree_member(model, "unk_id"), 0, tokens->pieces.count - 1, &id)) {
            return flo_folder_fail(err, "tokenizer.json: model/Unigram.unk_id is no token");
        }
        flo_keys_u32(keys, "tokenizer.ggml.unknown_token_id", (uint32_t)id);
    }
    if (tokens->tokenizer.root == NULL || strcmp(tokens->kind, "bert") != 0) {
        return 0;
    }
    while (id < tokens->pieces.count && (tokens->pieces.items[id].text == NULL ||
                                         !flo_tree_is(unknown, tokens->pieces.items[id].text))) {
        id++;
    }
    if (id == tokens->pieces.count) {
        return flo_folder_fail(err, "tokenizer.json: model/WordPiece.unk_token is no token");
    }
    flo_keys_u32(keys, "tokenizer.ggml.unknown_token_id", (uint32_t)id);
    if (most != NULL && !flo_tree_whole(most, 1, FLO_WORD_CHARACTERS_MAX, &characters)) {
        return flo_folder_fail(
            err, "tokenizer.json: model/WordPiece.max_input_chars_per_word is not 1 to %u",
            FLO_WORD_CHARACTERS_MAX);
    }
    if (characters != CHARACTERS_USUAL) {
        flo_keys_u32(keys, "flotilla.tokenizer.word_chars_max", (uint32_t)characters);
    }
    return 0;
}

static int set_all(struct tokens *tokens, struct flo_err *err)
{
    struct flo_import *import = tokens->import;
    FLO_TRY(read_document(import, "tokenizer.json", &tokens->tokenizer, err));
    FLO_TRY(read_document(import, "tokenizer_config.json", &tokens->settings, err));
    FLO_TRY(flo_folder_read(&import->folder, "tokenizer.model", TOKENIZER_BYTES_MAX, &tokens->model,
                            &tokens->model_bytes, err));
    FLO_TRY(read_all(tokens, err));
    FLO_TRY(set_by_kind(tokens, err));
    flo_special_set(&import->keys, tokens->tokenizer.root, tokens->settings.root, &import->config,
                    tokens->pieces.count);
    FLO_TRY(set_model(tokens, err));
    FLO_TRY(flo_special_forms(&import->keys, tokens->tokenizer.root, tokens->settings.root,
                              flo_config_number(&import->config, "type_vocab_size", 1) > 1, err));
    set_exceptions(tokens);
    return set_template(tokens, err);
}

int flo_tokens_set(struct flo_import *import, struct flo_err *err)
{
    struct tokens tokens = {.import = import};
    int rv = set_all(&tokens, err);
    flo_import_steps_deinit(&tokens.steps);
    flo_pieces_deinit(&tokens.pieces);
    flo_pieces_deinit(&tokens.piece_model.pieces);
    document_deinit(&tokens.tokenizer);
    document_deinit(&tokens.settings);
    free(tokens.model);
    return rv;
}
