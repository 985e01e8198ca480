/* Score: measures a live engine's golden answers: see flo_serve_score(). */
#ifndef FLOTILLA_SERVE_SCORE_H
#define FLOTILLA_SERVE_SCORE_H

#include "agent/serve/state.h"

/* Stops the score, as something more important needs the engine or ends it;
 * NULL is fine.  is_told: calls `done`. */
void flo_score_stop(struct score *score, bool is_told);

#endif
