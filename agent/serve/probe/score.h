/* The score of a live engine: see flo_serve_score(). */
#ifndef FLOTILLA_SERVE_SCORE_H
#define FLOTILLA_SERVE_SCORE_H

#include "agent/serve/state.h"

/* Something more important needs the engine, or ends it; NULL is fine.
 * is_told: `done` says so. */
void flo_score_stop(struct score *score, bool is_told);

#endif
