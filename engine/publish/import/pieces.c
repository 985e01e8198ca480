#include "engine/publish/import/pieces.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/fnv.h"
#include "engine/publish/import/config.h"

#define ADDED_SCORE (-1000.0F)

int flo_pieces_init(struct flo_import_pieces *pieces, uint32_t count, float score,
                    struct flo_err *err)
{
    pieces->items = calloc((size_t)count + 1, sizeof(*pieces->items));
    if (pieces->items == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%u tokens", count);
    }
    pieces->count = count;
    for (uint32_t i = 0; i < count; i++) {
        pieces->items[i] = (struct flo_import_piece){.type = FLO_PIECE_UNUSED, .score = score};
    }
    return 0;
}

void flo_pieces_deinit(struct flo_import_pieces *pieces)
{
    free(pieces->items);
    *pieces = (struct flo_import_pieces){0};
}

static bool has_ends(const char *text, size_t bytes, const char *first, const char *last)
{
    size_t a = strlen(first), b = strlen(last);
    return bytes >= a + b && memcmp(text, first, a) == 0 && memcmp(text + bytes - b, last, b) == 0;
}

bool flo_piece_looks_special(const char *text, size_t bytes)
{
    static const char *const words[] = {"<pad>", "<mask>", "<2mass>", "[@BOS@]"};
    for (size_t i = 0; i < FLO_COUNT(words); i++) {
        if (bytes == strlen(words[i]) && memcmp(text, words[i], bytes) == 0) {
            return true;
        }
    }
    return has_ends(text, bytes, "<|", "|>") ||
           has_ends(text, bytes, "<\xef\xbd\x9c", "\xef\xbd\x9c>") ||
           has_ends(text, bytes, "<unused", ">");
}

/* ---- tokenizer.json ---- */

/* Puts a token at its place, which another text must not have. */
static int put(struct flo_import_pieces *pieces, int64_t id, const char *text, size_t bytes,
               struct flo_err *err)
{
    if (id < 0 || id >= pieces->count) {
        return flo_folder_fail(err, "token %" PRId64 " lies outside the vocabulary of %u", id,
                               pieces->count);
    }
    struct flo_import_piece *piece = &pieces->items[id];
    if (bytes > FLO_PIECE_BYTES_MAX) {
        return flo_folder_fail(err, "token %" PRId64 " has %zu bytes", id, bytes);
    }
    if (piece->text != NULL && (piece->bytes != bytes || memcmp(piece->text, text, bytes) != 0)) {
        return flo_folder_fail(err, "two tokens have the id %" PRId64, id);
    }
    piece->text = text;
    piece->bytes = (uint32_t)bytes;
    return 0;
}

/* Reads {"token": id, …} of BPE and WordPiece. */
static int read_map(const struct flo_tree_node *vocab, struct flo_import_pieces *pieces,
                    struct flo_err *err)
{
    for (const struct flo_tree_node *node = flo_tree_first(vocab); node != NULL;
         node = node->next) {
        int64_t id;
        if (!flo_tree_whole(node, 0, INT32_MAX, &id)) {
            return flo_folder_fail(err, "a token's id is no number");
        }
        FLO_TRY(put(pieces, id, node->key, node->key_bytes, err));
        pieces->items[id].type = FLO_PIECE_NORMAL;
    }
    return 0;
}

/* Reads [["token", score], …] of Unigram. */
static int read_list(const struct flo_tree_node *vocab, struct flo_import_pieces *pieces,
                     struct flo_err *err)
{
    int64_t id = 0;
    for (const struct flo_tree_node *node = flo_tree_first(vocab); node != NULL;
         node = node->next, id++) {
        const struct flo_tree_node *text = node->kind == FLO_TREE_ARRAY ? node->first : NULL;
        double score;
        if (text == NULL || text->kind != FLO_TREE_STRING || !flo_tree_number(text->next, &score)) {
            return flo_folder_fail(err, "token %" PRId64 " has no text and score", id);
        }
        FLO_TRY(put(pieces, id, text->text, text->bytes, err));
        pieces->items[id].type = FLO_PIECE_NORMAL;
        pieces->items[id].score = (float)score;
    }
    return 0;
}

static int read_added(const struct flo_tree_node *added, struct flo_import_pieces *pieces,
                      struct flo_err *err)
{
    uint32_t count = 0;
    for (const struct flo_tree_node *node = flo_tree_first(added); node != NULL;
         node = node->next) {
        const struct flo_tree_node *text = flo_tree_member(node, "content");
        const struct flo_tree_node *special = flo_tree_member(node, "special");
        int64_t id;
        if (++count > FLO_PIECES_ADDED_MAX) {
            return flo_folder_fail(err, "more than %d added tokens", FLO_PIECES_ADDED_MAX);
        }
        if (text == NULL || text->kind != FLO_TREE_STRING ||
            !flo_tree_whole(flo_tree_member(node, "id"), 0, INT32_MAX, &id)) {
            return flo_folder_fail(err, "an added token has no text and id");
        }
        bool is_new = id >= 0 && id < pieces->count && pieces->items[id].text == NULL;
        FLO_TRY(put(pieces, id, text->text, text->bytes, err));
        bool is_special = flo_tree_says(special, true);
        pieces->items[id].is_added_only = is_new;
        pieces->items[id].type = is_special || flo_piece_looks_special(text->text, text->bytes)
                                     ? FLO_PIECE_CONTROL
                                     : FLO_PIECE_DEFINED;
    }
    return 0;
}

static int read_json(const struct flo_tree_node *root, struct flo_import_pieces *pieces,
                     struct flo_err *err)
{
    const struct flo_tree_node *model = flo_tree_member(root, "model");
    const struct flo_tree_node *vocab = flo_tree_member(model, "vocab");
    if (vocab == NULL || (vocab->kind != FLO_TREE_OBJECT && vocab->kind != FLO_TREE_ARRAY)) {
        return flo_folder_fail(err, "it has no vocabulary");
    }
    FLO_TRY(vocab->kind == FLO_TREE_OBJECT ? read_map(vocab, pieces, err)
                                           : read_list(vocab, pieces, err));
    return read_added(flo_tree_member(root, "added_tokens"), pieces, err);
}

int flo_pieces_read_json(const struct flo_tree_node *root, uint32_t size,
                         struct flo_import_pieces *out, struct flo_err *err)
{
    struct flo_import_pieces pieces = {0};
    FLO_TRY(flo_pieces_init(&pieces, size, ADDED_SCORE, err));
    int rv = read_json(root, &pieces, err);
    if (rv < 0) {
        flo_pieces_deinit(&pieces);
        return rv;
    }
    *out = pieces;
    return 0;
}

/* ---- scores by merges ---- */

/* Splits a merge, "a b" or ["a", "b"], into its parts. */
static bool parts_of(const struct flo_tree_node *merge, const char *text[2], size_t bytes[2])
{
    if (merge->kind == FLO_TREE_STRING) {
        const char *blank = memchr(merge->text, ' ', merge->bytes);
        if (blank == NULL) {
            return false;
        }
        text[0] = merge->text;
        bytes[0] = (size_t)(blank - merge->text);
        text[1] = blank + 1;
        bytes[1] = merge->bytes - bytes[0] - 1;
        return true;
    }
    const struct flo_tree_node *a = merge->kind == FLO_TREE_ARRAY ? merge->first : NULL;
    const struct flo_tree_node *b = a != NULL ? a->next : NULL;
    if (b == NULL || a->kind != FLO_TREE_STRING || b->kind != FLO_TREE_STRING) {
        return false;
    }
    text[0] = a->text;
    bytes[0] = a->bytes;
    text[1] = b->text;
    bytes[1] = b->bytes;
    return true;
}

/* Tells whether a token of several characters came from no merge. */
static bool is_out_of_reach(const struct flo_import_piece *piece)
{
    size_t characters = 0;
    for (uint32_t i = 0; piece->type == FLO_PIECE_NORMAL && i < piece->bytes; i++) {
        characters += ((uint8_t)piece->text[i] & 0xc0) != 0x80 ? 1 : 0;
    }
    return characters > 1 && piece->score == ADDED_SCORE;
}

bool flo_pieces_score_merges(const struct flo_tree_node *merges, struct flo_import_pieces *pieces)
{
    size_t slots = 1;
    while (slots < (size_t)pieces->count * 2) {
        slots *= 2;
    }
    uint32_t *table = calloc(slots, sizeof(*table)); /* index + 1 */
    if (table == NULL) {
        return false; /* scores stay equal */
    }
    for (uint32_t i = 0; i < pieces->count; i++) {
        const struct flo_import_piece *piece = &pieces->items[i];
        size_t at = piece->text == NULL ? 0 : flo_fnv1a(FLO_FNV_BASIS, piece->text, piece->bytes);
        for (at &= slots - 1; piece->text != NULL && table[at] != 0;) {
            at = (at + 1) & (slots - 1);
        }
        if (piece->text != NULL) {
            table[at] = i + 1;
        }
    }
    float rank = 0;
    for (const struct flo_tree_node *node = flo_tree_first(merges); node != NULL;
         node = node->next, rank++) {
        const char *text[2];
        size_t bytes[2];
        if (!parts_of(node, text, bytes)) {
            continue;
        }
        size_t at =
            flo_fnv1a(flo_fnv1a(FLO_FNV_BASIS, text[0], bytes[0]), text[1], bytes[1]) & (slots - 1);
        for (; table[at] != 0; at = (at + 1) & (slots - 1)) {
            struct flo_import_piece *piece = &pieces->items[table[at] - 1];
            if (piece->bytes == bytes[0] + bytes[1] &&
                memcmp(piece->text, text[0], bytes[0]) == 0 &&
                memcmp(piece->text + bytes[0], text[1], bytes[1]) == 0) {
                piece->score = piece->score == ADDED_SCORE ? -rank : piece->score;
                break;
            }
        }
    }
    free(table);
    for (uint32_t i = 0; i < pieces->count; i++) {
        if (is_out_of_reach(&pieces->items[i])) {
            return false;
        }
    }
    return true;
}
