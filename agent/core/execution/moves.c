/* Moves: looks up in moves.def which state a move leads to. */
#include <assert.h>

#include "agent/core/device/step.h"

static const struct {
    enum flo_move move;
    uint32_t from; /* states in which the move is possible, one bit for each */
    enum flo_execution to;
} moves[] = {
#define FLO_MOVES(move, from, to) {FLO_MOVE_##move, from, FLO_EXECUTION_##to},
#include "agent/core/execution/moves.def"
#undef FLO_MOVES
};

bool flo_move_find(enum flo_execution state, enum flo_move move, enum flo_execution *out)
{
    assert(state < FLO_EXECUTION_COUNT);
    assert(move < FLO_MOVE_COUNT);
    for (size_t i = 0; i < FLO_COUNT(moves); i++) {
        if (moves[i].move == move && flo_is_in(state, moves[i].from)) {
            *out = moves[i].to;
            return true;
        }
    }
    return false;
}
