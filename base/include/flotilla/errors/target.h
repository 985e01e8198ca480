/* Codes of the errors whose ids begin with `target.`.
 * Made by `make docs` from `base/errors.def`; change the table, not this
 * file. */
#ifndef FLOTILLA_ERRORS_TARGET_H
#define FLOTILLA_ERRORS_TARGET_H

enum {
    FLO_E_TARGET_INCOMPATIBLE = -897, /* target.incompatible */
    FLO_E_TARGET_DENIED = -898,       /* target.denied */
    FLO_E_TARGET_REVOKED = -899,      /* target.revoked */
    FLO_E_TARGET_LIMIT = -900,        /* target.limit */
    FLO_E_TARGET_FLOOR = -901,        /* target.floor */
};

#endif
