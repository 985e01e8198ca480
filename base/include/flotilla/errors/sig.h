/* Codes of the errors whose ids begin with `sig.`.
 * Made by `make docs` from `base/errors.def`; change the table, not this
 * file. */
#ifndef FLOTILLA_ERRORS_SIG_H
#define FLOTILLA_ERRORS_SIG_H

enum {
    FLO_E_SIG_MISSING = -769,     /* sig.missing */
    FLO_E_SIG_UNKNOWN_KEY = -770, /* sig.unknown_key */
    FLO_E_SIG_BAD = -771,         /* sig.bad */
    FLO_E_SIG_FORMAT = -772,      /* sig.format */
    FLO_E_SIG_REVOKED_KEY = -773, /* sig.revoked_key */
};

#endif
