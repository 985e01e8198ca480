/* Golden vectors of the slices: from a line's input to what the core says. */
#ifndef TESTS_UNIT_SERVER_SLICE_ANSWERS_H
#define TESTS_UNIT_SERVER_SLICE_ANSWERS_H

#include <stdbool.h>

#include <jansson.h>

/* {"error": "evidence"}: refused.  A new reference. */
json_t *slice_answer(const char *kind, const json_t *input);

/* The kinds of one file each, and what they share. */
struct slice_kind {
    const char *name;
    json_t *(*answer)(const json_t *input);
};
json_t *answer_scan(const json_t *input);
json_t *answer_scan_count(const json_t *input);

double member_number(const json_t *json, const char *key);
json_t *evidence_refused(void);
/* null where it is not known, or infinite. */
json_t *number_or_null(bool is_known, double value);
json_t *pct_or_null(bool is_known, double ln_ratio);
/* The numbers of an array without its nulls; the caller frees them. */
double *numbers_of(const json_t *array, size_t *count);

#endif
