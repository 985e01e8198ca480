/* Slot rotation: the slots current, previous and candidate after a step of an
 * update.  The record on disk (updater/core/slots.c) and the agent's copy of it
 * (agent/core) both use this function. */
#include <assert.h>
#include <string.h>

#include <flotilla/proto.h>

void flo_slots_turn(enum flo_slot_turn turn, const struct flo_places *places)
{
    assert(turn < FLO_TURNS);
    assert(places->bytes > 0);
    switch (turn) {
    case FLO_TURN_COMMIT:
        memcpy(places->previous, places->current, places->bytes);
        memcpy(places->current, places->candidate, places->bytes);
        break;
    case FLO_TURN_BACK:
        memcpy(places->current, places->previous, places->bytes);
        memset(places->previous, 0, places->bytes);
        break;
    case FLO_TURN_CLEAR:
    case FLO_TURNS:
        break;
    }
    memset(places->candidate, 0, places->bytes);
}
