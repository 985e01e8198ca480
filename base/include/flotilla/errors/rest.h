/* Codes of the errors whose ids begin with `rest.`.
 * Made by `make docs` from `base/errors.def`; change the table, not this
 * file. */
#ifndef FLOTILLA_ERRORS_REST_H
#define FLOTILLA_ERRORS_REST_H

enum {
    FLO_E_REST_AUTH = -321,       /* rest.auth */
    FLO_E_REST_ROLE = -322,       /* rest.role */
    FLO_E_REST_TOO_LARGE = -323,  /* rest.too_large */
    FLO_E_REST_HEADER = -324,     /* rest.header */
    FLO_E_REST_STALE = -325,      /* rest.stale */
    FLO_E_REST_UNKNOWN = -326,    /* rest.unknown */
    FLO_E_REST_SELECTOR = -327,   /* rest.selector */
    FLO_E_REST_NOT_FOUND = -328,  /* rest.not_found */
    FLO_E_REST_METHOD = -329,     /* rest.method */
    FLO_E_REST_KEY_REUSED = -330, /* rest.key_reused */
};

#endif
