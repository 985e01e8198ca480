/* Codes of the errors whose ids begin with `patch.`.
 * Made by `make docs` from `base/errors.def`; change the table, not this
 * file. */
#ifndef FLOTILLA_ERRORS_PATCH_H
#define FLOTILLA_ERRORS_PATCH_H

enum {
    FLO_E_PATCH_FORMAT = -929,       /* patch.format */
    FLO_E_PATCH_TRUNCATED = -930,    /* patch.truncated */
    FLO_E_PATCH_BOUNDS = -931,       /* patch.bounds */
    FLO_E_PATCH_LIMIT = -932,        /* patch.limit */
    FLO_E_PATCH_STREAM = -933,       /* patch.stream */
    FLO_E_PATCH_BASE = -934,         /* patch.base_mismatch */
    FLO_E_PATCH_BASE_CORRUPT = -935, /* patch.base_corrupt */
};

#endif
