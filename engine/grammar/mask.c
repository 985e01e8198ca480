/* Mask: computes the tokens that fit after a state.
 *
 * The vocabulary's pieces are sorted, so the states after the bytes that a
 * piece shares with the one before are known.  Pieces whose common beginning
 * does not fit are skipped together.
 *
 * If nearly each byte leads to a new state with many readings, the mask
 * would take seconds.  After FLO_MASK_WORK_MAX, tokens of one byte are still
 * tried, as they can spell any text.  Others are tried only until one fits.
 * Work is counted as if no state were cached: a mask does not depend on
 * earlier ones. */
#include "engine/grammar/matcher.h"

#include <string.h>

/* Fills the mask of the tokens that fit.  Returns false if there is no room or
 * too much work.  The caller must then drop all states but *state, and try
 * again with `is_alone`. */
static bool fill(struct flo_matcher *m, uint32_t *state, bool is_alone, uint64_t *mask)
{
    const struct flo_pieces *p = m->pieces;
    uint32_t path[FLO_PIECE_BYTES_MAX + 1];
    uint8_t bytes[FLO_PIECE_BYTES_MAX];
    uint64_t begin = m->forgotten;
    bool is_empty = true;

    path[0] = *state;
    for (uint32_t i = 0; i < p->count;) {
        uint32_t at = p->shared[i], count = p->lengths[i];
        bool has_room = false, is_late = m->work - begin > FLO_MASK_WORK_MAX;

        if (is_late && !is_alone) {
            return false;
        }
        if (is_late && count > 1 && !is_empty) {
            m->is_ambiguous = true;
            i++;
            continue;
        }
        memcpy(bytes + at, p->text + p->places[i], count - at);
        while (at < count) {
            uint32_t next = flo_matcher_step(m, path[at], bytes[at]);

            if (next == FLO_STATE_FULL && !is_alone) {
                return false;
            }
            if (next == FLO_STATE_FULL && !has_room) {
                /* States are dropped at most once per piece, which is then
                 * walked again. */
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
            is_empty = false;
            i++;
            continue;
        }
        do {
            i++;
        } while (i < p->count && p->shared[i] > at);
    }
    return true;
}

static uint64_t *take_slot(struct flo_matcher *m, uint32_t *slot)
{
    size_t words = flo_mask_words(m->n_vocab);
    uint64_t *mask;

    *slot = m->mask_next++ % FLO_MASKS_MAX;
    mask = m->masks + *slot * words;
    memset(mask, 0, words * sizeof(*mask));
    m->mask_states[*slot] = 0;
    return mask;
}

uint64_t *flo_matcher_blank_mask(struct flo_matcher *m)
{
    uint32_t slot;

    return take_slot(m, &slot);
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
    mask = take_slot(m, &slot);
    if (!fill(m, state, false, mask)) {
        *state = flo_matcher_drop(m, *state);
        memset(mask, 0, words * sizeof(*mask));
        (void)fill(m, state, true, mask);
    }
    m->mask_states[slot] = (uint16_t)*state;
    m->states[*state].mask = (uint16_t)slot;
    return mask;
}
