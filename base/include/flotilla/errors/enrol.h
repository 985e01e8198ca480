/* Codes of the errors whose ids begin with `enrol.`.
 * Made by `make docs` from `base/errors.def`; change the table, not this
 * file. */
#ifndef FLOTILLA_ERRORS_ENROL_H
#define FLOTILLA_ERRORS_ENROL_H

enum {
    FLO_E_ENROL_GROUP = -353,   /* enrol.group */
    FLO_E_ENROL_TOKEN = -354,   /* enrol.token */
    FLO_E_ENROL_SERIAL = -355,  /* enrol.serial */
    FLO_E_ENROL_WAITS = -356,   /* enrol.waiting */
    FLO_E_ENROL_CLAIMED = -357, /* enrol.claimed */
};

#endif
