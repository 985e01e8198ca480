/* Closing: the shortest end of an answer, by bytes. */
#ifndef FLOTILLA_GRAMMAR_CLOSING_H
#define FLOTILLA_GRAMMAR_CLOSING_H

#include "engine/grammar/matcher.h"

#define FLO_CLOSING_NEVER UINT32_MAX /* so many: there is no end */

/* Bytes from each node of a program to the end of its rule, [node_count], for
 * free(); NULL: no memory. */
uint32_t *flo_closing_distances(const struct flo_program *program);
/* Bytes to the nearest end from a state. */
uint32_t flo_closing_bytes(const struct flo_matcher *matcher, const uint32_t *distances,
                           uint32_t state);
/* The first byte of that end; false: the text may end here, or never. */
bool flo_closing_next(const struct flo_matcher *matcher, const uint32_t *distances, uint32_t state,
                      uint8_t *byte);

#endif
