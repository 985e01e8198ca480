/* Twice: what the files of a folder's tokenizer say more than once. */
#include <stdlib.h>
#include <string.h>

#include "engine/publish/import/family.h"
#include "engine/publish/import/tokens.h"

static bool is_piece(const struct flo_import_piece *piece, const struct flo_tree_node *text)
{
    return piece->text != NULL && piece->bytes == text->bytes &&
           memcmp(piece->text, text->text, text->bytes) == 0;
}

/* Compares a token of a file with the vocabulary's.  An id behind the vocabulary has no
 * embedding, and is none here. */
static int check_token(const struct flo_import_pieces *pieces, const char *file, int64_t id,
                       const struct flo_tree_node *text, struct flo_err *err)
{
    char wanted[80], found[80];

    if (text == NULL || text->kind != FLO_TREE_STRING || id >= pieces->count) {
        return 0;
    }
    const struct flo_import_piece *piece = &pieces->items[id];
    if (is_piece(piece, text)) {
        return 0;
    }
    flo_text_clean(text->text, text->bytes, wanted, sizeof(wanted));
    flo_text_clean(piece->text != NULL ? piece->text : "", piece->text != NULL ? piece->bytes : 0,
                   found, sizeof(found));
    return flo_folder_fail(err, "%s: token %lld is \"%s\", and \"%s\" in the vocabulary", file,
                           (long long)id, wanted, found);
}

static int check_decoder(const struct flo_import_pieces *pieces,
                         const struct flo_tree_node *settings, struct flo_err *err)
{
    const struct flo_tree_node *node =
        flo_tree_first(flo_tree_member(settings, "added_tokens_decoder"));
    for (; node != NULL; node = node->next) {
        FLO_TRY(check_token(pieces, "tokenizer_config.json: added_tokens_decoder",
                            strtol(node->key, NULL, 10), flo_tree_member(node, "content"), err));
    }
    return 0;
}

static int check_list(const struct flo_import *import, const struct flo_import_pieces *pieces,
                      struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    FLO_CLEANUP(flo_tree_deinit) struct flo_tree tree = {0};
    FLO_TRY(flo_family_json(import, "added_tokens.json", &text, &tree, err));
    const struct flo_tree_node *node = text != NULL ? flo_tree_first(tree.nodes) : NULL;
    for (; node != NULL; node = node->next) {
        const struct flo_tree_node name = {
            .kind = FLO_TREE_STRING, .text = node->key, .bytes = (uint32_t)strlen(node->key)};
        int64_t id;
        if (flo_tree_whole(node, 0, INT32_MAX, &id)) {
            FLO_TRY(check_token(pieces, "added_tokens.json", id, &name, err));
        }
    }
    return 0;
}

/* A begin or end that no token spells would get an id behind the embedding. */
static int check_names(const struct flo_import_pieces *pieces, const struct flo_tree_node *settings,
                       struct flo_err *err)
{
    static const char *const names[] = {"bos_token", "eos_token", "cls_token", "sep_token"};
    for (size_t i = 0; i < FLO_COUNT(names); i++) {
        const struct flo_tree_node *node = flo_tree_member(settings, names[i]);
        const struct flo_tree_node *inner = flo_tree_member(node, "content");
        bool is_there = false;
        node = inner != NULL ? inner : node;
        if (node == NULL || node->kind != FLO_TREE_STRING || node->bytes == 0) {
            continue;
        }
        for (uint32_t id = 0; id < pieces->count && !is_there; id++) {
            is_there = is_piece(&pieces->items[id], node);
        }
        if (!is_there) {
            char shown[80];
            flo_text_clean(node->text, node->bytes, shown, sizeof(shown));
            return flo_folder_fail(
                err, "tokenizer_config.json: \"%s\" is \"%s\", which is no token", names[i], shown);
        }
    }
    return 0;
}

static int by_text(const void *a, const void *b)
{
    const struct flo_import_piece *const *x = a, *const *y = b;
    uint32_t least = (*x)->bytes < (*y)->bytes ? (*x)->bytes : (*y)->bytes;
    int order = memcmp((*x)->text, (*y)->text, least);
    return order != 0 ? order : (*x)->bytes < (*y)->bytes ? -1 : (*x)->bytes > (*y)->bytes;
}

/* Two ids of one text: which one a text gets is chance. */
static int check_texts(const struct flo_import_pieces *pieces, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup)
    const struct flo_import_piece **all = calloc((size_t)pieces->count + 1, sizeof(*all));
    size_t count = 0;
    if (all == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "the tokens of a folder");
    }
    for (uint32_t id = 0; id < pieces->count; id++) {
        const struct flo_import_piece *piece = &pieces->items[id];
        if (piece->text != NULL && piece->type != FLO_PIECE_UNUSED) {
            all[count++] = piece;
        }
    }
    qsort(all, count, sizeof(*all), by_text);
    for (size_t i = 1; i < count; i++) {
        if (by_text(&all[i - 1], &all[i]) == 0) {
            char shown[80];
            flo_text_clean(all[i]->text, all[i]->bytes, shown, sizeof(shown));
            return flo_folder_fail(err, "the tokens %zu and %zu are both \"%s\"",
                                   (size_t)(all[i - 1] - pieces->items),
                                   (size_t)(all[i] - pieces->items), shown);
        }
    }
    return 0;
}

int flo_twice_check(const struct flo_import *import, const struct flo_import_pieces *pieces,
                    const struct flo_tree_node *settings, struct flo_err *err)
{
    FLO_TRY(check_texts(pieces, err));
    FLO_TRY(check_decoder(pieces, settings, err));
    FLO_TRY(check_list(import, pieces, err));
    return check_names(pieces, settings, err);
}
