/* Pieces: sorts the tokens of a vocabulary by their bytes: by the first eight,
 * then by the rest. */
#include "engine/token/vocab/pieces.h"

#include <stdlib.h>
#include <string.h>

#include "engine/token/control.h"
#include "engine/token/vocab/vocab.h"

struct entry {
    uint64_t key; /* first eight bytes of the token, as a big-endian number */
    uint32_t id;
    uint32_t place;
    uint32_t bytes;
};

static int in_order(const void *a, const void *b, void *context)
{
    const struct entry *x = a, *y = b;
    const char *text = context;
    int order = (x->key > y->key) - (x->key < y->key);

    if (order == 0) {
        uint32_t least = x->bytes < y->bytes ? x->bytes : y->bytes;
        order = memcmp(text + x->place, text + y->place, least);
    }
    order = order != 0 ? order : (x->bytes > y->bytes) - (x->bytes < y->bytes);
    return order != 0 ? order : (x->id > y->id) - (x->id < y->id);
}

static uint64_t key_of(const char *text, uint32_t bytes)
{
    uint64_t key = 0;

    for (uint32_t i = 0; i < 8; i++) {
        key = key << 8 | (i < bytes ? (uint8_t)text[i] : 0);
    }
    return key;
}

/* Collects the tokens that have bytes.  Returns their number. */
static uint32_t collect(const struct flo_vocab *vocab, struct entry *entries, struct flo_buf *text)
{
    uint32_t count = 0;

    /* The memory stays within the plan, whatever the file contains. */
    text->bytes_max = (size_t)vocab->facts.count * 16 + 4096;
    for (int32_t id = 0; id < vocab->facts.count; id++) {
        size_t place = text->bytes;

        if (vocab->tokens[id].bytes > 4 * FLO_PIECE_BYTES_MAX) {
            continue;
        }
        flo_control_piece(vocab, id, text);
        uint32_t bytes = (uint32_t)(text->bytes - place);
        if (bytes == 0 || bytes > FLO_PIECE_BYTES_MAX) {
            text->bytes = place;
            continue;
        }
        entries[count++] = (struct entry){.key = key_of(text->data + place, bytes),
                                          .id = (uint32_t)id,
                                          .place = (uint32_t)place,
                                          .bytes = bytes};
    }
    return count;
}

static void store(struct flo_pieces *p, const struct entry *entries, const char *text)
{
    uint32_t place = 0;

    for (uint32_t i = 0; i < p->count; i++) {
        const struct entry *e = &entries[i];
        uint32_t same = 0;

        while (i > 0 && same < e->bytes && same < e[-1].bytes &&
               text[e->place + same] == text[e[-1].place + same]) {
            same++;
        }
        p->ids[i] = e->id;
        p->lengths[i] = (uint8_t)e->bytes;
        p->shared[i] = (uint8_t)same;
        p->places[i] = place;
        memcpy(p->text + place, text + e->place + same, e->bytes - same);
        place += e->bytes - same;
    }
    char *less = realloc(p->text, place + 1u);
    p->text = less != NULL ? less : p->text;
}

static struct flo_pieces *make(const struct flo_vocab *vocab)
{
    size_t count = (size_t)vocab->facts.count;
    FLO_CLEANUP(flo_free_cleanup) struct entry *entries = malloc(count * sizeof(*entries));
    struct flo_pieces *p = calloc(1, sizeof(*p));
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};

    if (entries != NULL && p != NULL) {
        p->count = collect(vocab, entries, &text);
        p->ids = malloc((p->count + 1u) * 2 * sizeof(*p->ids));
        p->lengths = malloc((p->count + 1u) * 2);
        p->text = malloc(text.bytes + 1);
    }
    if (p == NULL || p->ids == NULL || p->lengths == NULL || p->text == NULL || text.failed) {
        flo_pieces_free(p);
        p = NULL;
    } else {
        p->places = p->ids + p->count + 1;
        p->shared = p->lengths + p->count + 1;
        qsort_r(entries, p->count, sizeof(*entries), in_order, text.data);
        store(p, entries, text.data);
    }
    return p;
}

int flo_vocab_pieces(struct flo_vocab *vocab, const struct flo_pieces **out, struct flo_err *err)
{
    struct flo_pieces *there = atomic_load(&vocab->pieces), *made;

    if (there == NULL) {
        made = make(vocab);
        if (made == NULL) {
            return flo_fail(err, FLO_E_MEMORY, "the pieces of %d tokens", vocab->facts.count);
        }
        if (atomic_compare_exchange_strong(&vocab->pieces, &there, made)) {
            there = made;
        } else {
            flo_pieces_free(made); /* another thread was faster; its pieces are used */
        }
    }
    *out = there;
    return 0;
}

void flo_pieces_free(struct flo_pieces *p)
{
    if (p != NULL) {
        free(p->ids);
        free(p->lengths);
        free(p->text);
        free(p);
    }
}
