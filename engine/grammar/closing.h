/* Closing: finds the shortest valid end of an answer, in bytes. */
#ifndef FLOTILLA_GRAMMAR_CLOSING_H
#define FLOTILLA_GRAMMAR_CLOSING_H

#include "engine/grammar/matcher.h"

/* distance of a node from which no end can be reached */
#define FLO_CLOSING_NEVER UINT32_MAX

/* Returns for each node of a program the bytes to the end of its rule,
 * [node_count].  The caller frees them.  Returns NULL if there is no memory. */
uint32_t *flo_closing_distances(const struct flo_program *program);
/* Returns how many bytes the shortest valid end has from a state on. */
uint32_t flo_closing_bytes(const struct flo_matcher *matcher, const uint32_t *distances,
                           uint32_t state);
/* Writes the first byte of the shortest end to *byte.  Returns false if the
 * text may end here, or can reach no end. */
bool flo_closing_next(const struct flo_matcher *matcher, const uint32_t *distances, uint32_t state,
                      uint8_t *byte);

#endif
