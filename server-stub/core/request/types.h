/* Types: types of the values in requests, the rows of types.def.  Pure. */
#ifndef FLOTILLA_SERVER_REQUEST_TYPES_H
#define FLOTILLA_SERVER_REQUEST_TYPES_H

#include <flotilla/base.h>

#include "base/host/json.h"

enum flo_rest_kind {
    FLO_REST_TEXT,
    FLO_REST_LINE,
    FLO_REST_NAME,
    FLO_REST_TITLE,
    FLO_REST_WORD,
    FLO_REST_METRIC,
    FLO_REST_GRANTS,
    FLO_REST_PAIR,
    FLO_REST_WHOLE,
    FLO_REST_REAL,
    FLO_REST_FLAG,
    FLO_REST_LIST,
    FLO_REST_ID,
    FLO_REST_OBJECT,
    FLO_REST_ANY
};
struct flo_rest_type {
    const char *word;
    enum flo_rest_kind kind;
    double least, most;
    const char *form;
};

/* Finds the row of a word of `chars` characters; NULL: there is none, so any
 * value is allowed. */
const struct flo_rest_type *flo_rest_type_find(const char *word, size_t chars);
/* Checks a value. FLO_E_REST_SCHEMA names the expected value at `where`
 * ("phases[0].name"). */
FLO_MUST_USE int flo_rest_type_check(const struct flo_rest_type *type, const char *where,
                                     const json_t *value, struct flo_err *err);
/* Checks the text of a query parameter against its type. */
FLO_MUST_USE int flo_rest_type_check_text(const struct flo_rest_type *type, const char *where,
                                          const char *value, struct flo_err *err);

#endif
