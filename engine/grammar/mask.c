/* Mask: which tokens fit behind a state.
 *
 * The vocabulary's pieces stand in order, so that the states of the bytes that
 * a token shares with the one before are there already, and all that begin
 * with what does not fit are passed over together. */
#include "engine/grammar/matcher.h"

#include <string.h>

static void fill(struct flo_matcher *m, uint32_t *state, uint64_t *mask)
{
    const struct flo_pieces *p = m->pieces;
    uint32_t path[FLO_PIECE_BYTES_MAX + 1];
    uint8_t bytes[FLO_PIECE_BYTES_MAX];

    path[0] = *state;
    for (uint32_t i = 0; i < p->count;) {
        uint32_t at = p->shared[i], count = p->lengths[i];
        bool has_room = false;

        memcpy(bytes + at, p->text + p->places[i], count - at);
        while (at < count) {
            uint32_t next = flo_matcher_step(m, path[at], bytes[at]);

            if (next == FLO_STATE_FULL && !has_room) {
                /* Once for a piece, which then begins anew. */
                path[0] = *state = flo_matcher_drop(m, *state);
                has_room = true;
                at = 0;
                continue;
            }
            m->is_ambiguous = m->is_ambiguous || next == FLO_STATE_FULL;
            if (next == FLO_STATE_DEAD || next == FLO_STATE_FULL) {
                break;
            }
            path[++at] = next;
        }
        if (at == count) {
            mask[p->ids[i] / 64] |= 1ull << p->ids[i] % 64;
            i++;
            continue;
        }
        do {
            i++;
        } while (i < p->count && p->shared[i] > at);
    }
}

uint64_t *flo_matcher_mask(struct flo_matcher *m, uint32_t *state, bool *is_new)
{
    size_t words = flo_mask_words(m->n_vocab);
    uint32_t slot = m->states[*state].mask;
    uint64_t *mask;

    *is_new = m->mask_states[slot] != *state;
    if (!*is_new) {
        return m->masks + slot * words;
    }
    slot = m->mask_next++ % FLO_MASKS_MAX;
    mask = m->masks + slot * words;
    memset(mask, 0, words * sizeof(*mask));
    m->mask_states[slot] = 0;
    fill(m, state, mask);
    m->mask_states[slot] = (uint16_t)*state;
    m->states[*state].mask = (uint16_t)slot;
    return mask;
}
