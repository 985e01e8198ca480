/* Golden vectors: each line of a file is a test of its own.
 *
 * A line is {"id", "kind", "input", "want"}.  Each key of `want` is met:
 * numbers with a point within 1e-6 + 1e-6 |value|, all else exactly; null is
 * none or infinite. */
#ifndef TESTS_UNIT_SERVER_VECTORS_H
#define TESTS_UNIT_SERVER_VECTORS_H

#include <jansson.h>

/* An array of all lines; the program ends when one is no JSON. */
json_t *vectors_read(const char *path);
/* The answer of the product to an input; a new reference. */
typedef json_t *vectors_answer(const char *kind, const json_t *input);
/* How many lines are not met. */
int vectors_run(const json_t *rows, vectors_answer *answer);

#endif
