/* State: keeps the state of a session's recurrent layers at its position.
 *
 * A state cannot be cut as keys and values can.  So a few copies are kept; after
 * a cut the session continues from the nearest copy, and computes the tokens
 * behind it again.  A token's results have the same bits in any batch, so the
 * state is the same as without the cut. */
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
    for (size_t i = 0; i < FLO_CHECKPOINTS; i++) {
        session->checkpoints[i] = FLO_NO_POSITION;
    }
}

void flo_state_copy(struct flo_session *session, const struct flo_session *from, uint32_t count)
{
    size_t bytes = (size_t)session->engine->sizes.state_bytes;

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

void flo_state_go_back(struct flo_session *session)
{
    uint32_t best = FLO_CHECKPOINTS, position = session->position;

    if (!has_state(session)) {
        session->state_position = position;
        return;
    }
    for (uint32_t i = 0; i < FLO_CHECKPOINTS; i++) {
        if (session->checkpoints[i] > position) {
            session->checkpoints[i] = FLO_NO_POSITION;
        } else if (best == FLO_CHECKPOINTS ||
                   session->checkpoints[i] > session->checkpoints[best]) {
            best = i;
        }
    }
    if (session->state_position <= position &&
        (best == FLO_CHECKPOINTS || session->state_position >= session->checkpoints[best])) {
        return;
    }
    session->state_position = best == FLO_CHECKPOINTS ? 0 : session->checkpoints[best];
    if (best == FLO_CHECKPOINTS) {
        memset(memory_of(session, 0), 0, (size_t)session->engine->sizes.state_bytes);
    } else {
        memcpy(memory_of(session, 0), memory_of(session, 1 + best),
               (size_t)session->engine->sizes.state_bytes);
    }
}

void flo_state_begin(struct flo_session *session, uint32_t count, bool is_draft)
{
    if (!has_state(session)) {
        return;
    }
    if (is_draft) {
        keep(session, FLO_CHECKPOINT_DRAFT);
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

    if (!has_state(session) || count == 0) {
        return;
    }
    session->state_position = after;
    if (before / FLO_CHECKPOINT_TOKENS != after / FLO_CHECKPOINT_TOKENS) {
        keep(session, FLO_CHECKPOINT_PROMPT);
    }
}
