/* Declares how serving ends the score of a live engine; see
 * flo_serve_score(). */
#ifndef FLOTILLA_SERVE_SCORE_H
#define FLOTILLA_SERVE_SCORE_H

#include "agent/serve/state.h"

/* Ends the score, because something more important needs the engine.  is_told:
 * `done` is called.  `score` may be NULL. */
void flo_score_stop(struct score *score, bool is_told);

#endif
