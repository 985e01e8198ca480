/* Codes of the errors whose ids begin with `soak.`.
 * Made by `make docs` from `base/errors.def`; change the table, not this
 * file. */
#ifndef FLOTILLA_ERRORS_SOAK_H
#define FLOTILLA_ERRORS_SOAK_H

enum {
    FLO_E_SOAK_HEALTH = -1185, /* soak.health */
    FLO_E_SOAK_FAILED = -1186, /* soak.failed */
};

#endif
