/* Closing: finds the shortest valid end of an answer, in bytes. */
#ifndef FLOTILLA_GRAMMAR_CLOSING_H
#define FLOTILLA_GRAMMAR_CLOSING_H

#include "engine/grammar/matcher.h"

#define FLO_CLOSING_NEVER UINT32_MAX /* distance if no end can be reached */

/* Returns for each node of a program the bytes to the end of its rule:
 * [node_count], for free().  NULL: no memory. */
uint32_t *flo_closing_distances(const struct flo_program *program);
/* Returns the bytes to the nearest end from a state. */
uint32_t flo_closing_bytes(const struct flo_matcher *matcher, const uint32_t *distances,
                           uint32_t state);
/* Gives the first byte of the nearest end; false: the text may end here, or has
 * no end. */
bool flo_closing_next(const struct flo_matcher *matcher, const uint32_t *distances, uint32_t state,
                      uint8_t *byte);

#endif
