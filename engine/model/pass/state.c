/* State: knows at which positions a session can go on.
 *
 * The state of recurrent layers cannot be cut as keys and values can.  So a few
 * copies are kept; after a cut the session continues from the nearest copy, and
 * computes the tokens behind it again.  Layers with a window keep the last
 * tokens in a ring.  After a longer cut than the ring allows, all tokens are
 * computed again.  A token's results have the same bits in any batch, so they
 * are the same as without the cut. */
#include <assert.h>
#include <string.h>

#include "engine/model/pass/pass.h"

static uint8_t *memory_of(const struct flo_session *session, uint32_t copy)
{
    const struct flo_sizes *sizes = &session->engine->sizes;

    return session->kv + sizes->cache_bytes + (uint64_t)copy * sizes->state_bytes;
}

static bool has_state(const struct flo_session *session)
{
    return session->engine->sizes.state_bytes > 0;
}

float *flo_state_of(const struct flo_session *session, uint32_t layer)
{
    return (float *)(void *)(memory_of(session, 0) + session->engine->sizes.places[layer].state_at);
}

static void keep(struct flo_session *session, enum flo_checkpoint which)
{
    memcpy(memory_of(session, 1 + which), memory_of(session, 0),
           (size_t)session->engine->sizes.state_bytes);
    session->checkpoints[which] = session->state_position;
}

/* The next pass sets the memory to zero: only whole pages of it were freed. */
void flo_state_drop(struct flo_session *session)
{
    session->state_position = FLO_NO_POSITION;
    session->was_prompt = false;
    session->window_first = session->window_end = 0;
    session->mark = 0;
    for (size_t i = 0; i < FLO_CHECKPOINTS; i++) {
        session->checkpoints[i] = FLO_NO_POSITION;
    }
}

/* ---- where a session can go on ---- */

/* Tells whether local places still have all that a token at the position
 * needs. */
static bool has_window(const struct flo_session *session, uint32_t position)
{
    const struct flo_sizes *sizes = &session->engine->sizes;

    return sizes->window == 0 || (flo_window_first(sizes, position) >= session->window_first &&
                                  position <= session->window_end);
}

uint32_t flo_state_held(const struct flo_session *session, uint32_t count)
{
    uint32_t best = 0;

    if (!has_state(session)) {
        return has_window(session, count) ? count : 0;
    }
    for (uint32_t i = 0; i <= FLO_CHECKPOINTS; i++) {
        uint32_t position =
            i == FLO_CHECKPOINTS ? session->state_position : session->checkpoints[i];

        if (position <= count && position > best && has_window(session, position)) {
            best = position;
        }
    }
    return best;
}

/* Restores the state as it was at a position, from a copy if need be.  The copies
 * of later positions are forgotten. */
static void restore(struct flo_session *session, uint32_t position)
{
    const uint8_t *copy = NULL;

    for (uint32_t i = 0; i < FLO_CHECKPOINTS; i++) {
        if (session->checkpoints[i] > session->position) {
            session->checkpoints[i] = FLO_NO_POSITION;
        } else if (session->checkpoints[i] == position) {
            copy = memory_of(session, 1 + i);
        }
    }
    if (session->state_position == position) {
        return;
    }
    if (copy != NULL) {
        memcpy(memory_of(session, 0), copy, (size_t)session->engine->sizes.state_bytes);
    } else {
        assert(position == 0);
        memset(memory_of(session, 0), 0, (size_t)session->engine->sizes.state_bytes);
    }
}

void flo_state_go_back(struct flo_session *session)
{
    uint32_t position = flo_state_held(session, session->position);

    if (position == 0) {
        session->window_first = session->window_end = 0;
    }
    if (has_state(session)) {
        restore(session, position);
    }
    session->state_position = position;
}

void flo_state_copy(struct flo_session *session, const struct flo_session *from, uint32_t count)
{
    size_t bytes = (size_t)session->engine->sizes.state_bytes;

    session->window_first = from->window_first;
    session->window_end = from->window_end < count ? from->window_end : count;
    if (!has_state(session)) {
        return;
    }
    session->was_prompt = false;
    session->state_position = FLO_NO_POSITION;
    if (from->state_position <= count) {
        memcpy(memory_of(session, 0), memory_of(from, 0), bytes);
        session->state_position = from->state_position;
    }
    for (uint32_t i = 0; i < FLO_CHECKPOINTS; i++) {
        session->checkpoints[i] = FLO_NO_POSITION;
        if (from->checkpoints[i] <= count) {
            memcpy(memory_of(session, 1 + i), memory_of(from, 1 + i), bytes);
            session->checkpoints[i] = from->checkpoints[i];
        }
    }
}

/* ---- files ---- */

const uint8_t *flo_state_at(const struct flo_session *session, uint32_t position)
{
    uint32_t copy = 0;

    for (uint32_t i = 0; session->state_position != position && i < FLO_CHECKPOINTS; i++) {
        copy = session->checkpoints[i] == position ? 1 + i : copy;
    }
    return memory_of(session, copy);
}

uint8_t *flo_state_replace(struct flo_session *session)
{
    flo_state_drop(session);
    return memory_of(session, 0);
}

void flo_state_replaced(struct flo_session *session, uint32_t count)
{
    session->window_first = flo_window_first(&session->engine->sizes, count);
    session->window_end = session->state_position = count;
    if (has_state(session)) {
        keep(session, FLO_CHECKPOINT_CHOSEN);
    }
}

/* ---- passes ---- */

/* The rows of a pass take the places of the first tokens in a ring. */
static void begin_window(struct flo_session *session, uint32_t count)
{
    uint32_t ring = session->engine->sizes.ring, end = session->position + count;

    session->window_end = session->position;
    if (ring > 0 && end > ring && end - ring > session->window_first) {
        session->window_first = end - ring;
    }
}

void flo_state_begin(struct flo_session *session, uint32_t count, bool is_draft)
{
    begin_window(session, count);
    if (!has_state(session)) {
        return;
    }
    if (is_draft) {
        /* Other sequences may still leave at the mark. */
        bool has_mark =
            session->mark > 0 && session->checkpoints[FLO_CHECKPOINT_CHOSEN] == session->mark;

        keep(session, has_mark ? FLO_CHECKPOINT_PROMPT : FLO_CHECKPOINT_CHOSEN);
    }
    if (count == 1 && session->was_prompt) {
        keep(session, FLO_CHECKPOINT_ANSWER);
    }
    session->was_prompt = count > 1 && !is_draft;
    session->state_position = FLO_NO_POSITION;
}

void flo_state_end(struct flo_session *session, uint32_t count)
{
    uint32_t before = session->position, after = before + count;

    if (count == 0) {
        return;
    }
    session->state_position = session->window_end = after;
    if (!has_state(session)) {
        return;
    }
    if (before / FLO_CHECKPOINT_TOKENS != after / FLO_CHECKPOINT_TOKENS) {
        keep(session, FLO_CHECKPOINT_PROMPT);
    }
    if (after == session->mark) {
        keep(session, FLO_CHECKPOINT_CHOSEN);
    }
}
