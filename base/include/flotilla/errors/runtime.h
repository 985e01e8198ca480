/* Codes of the errors whose ids begin with `runtime.`.
 * Made by `make docs` from `base/errors.def`; change the table, not this
 * file. */
#ifndef FLOTILLA_ERRORS_RUNTIME_H
#define FLOTILLA_ERRORS_RUNTIME_H

enum {
    FLO_E_RUNTIME_ABSENT = -1249,  /* runtime.absent */
    FLO_E_RUNTIME_START = -1250,   /* runtime.start */
    FLO_E_RUNTIME_HEALTH = -1251,  /* runtime.health */
    FLO_E_RUNTIME_CRASH = -1252,   /* runtime.crash */
    FLO_E_RUNTIME_ANSWER = -1253,  /* runtime.answer */
    FLO_E_RUNTIME_REFUSED = -1254, /* runtime.refused */
    FLO_E_RUNTIME_MEMORY = -1255,  /* runtime.memory */
};

#endif
