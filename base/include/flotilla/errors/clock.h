/* Codes of the errors whose ids begin with `clock.`.
 * Made by `make docs` from `base/errors.def`; change the table, not this
 * file. */
#ifndef FLOTILLA_ERRORS_CLOCK_H
#define FLOTILLA_ERRORS_CLOCK_H

enum {
    FLO_E_CLOCK_UNTRUSTED = -513, /* clock.untrusted */
    FLO_E_CLOCK_AHEAD = -514,     /* clock.ahead */
    FLO_E_CLOCK_BEHIND = -515,    /* clock.behind */
    FLO_E_CLOCK_LEAPT = -516,     /* clock.leapt */
};

#endif
