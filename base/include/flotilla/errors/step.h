/* Codes of the errors whose ids begin with `step.`.
 * Made by `make docs` from `base/errors.def`; change the table, not this
 * file. */
#ifndef FLOTILLA_ERRORS_STEP_H
#define FLOTILLA_ERRORS_STEP_H

enum {
    FLO_E_TIMED_OUT = -1281, /* step.timed_out */
};

#endif
