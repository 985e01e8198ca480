/* Codes of the errors whose ids begin with `sandbox.`.
 * Made by `make docs` from `base/errors.def`; change the table, not this
 * file. */
#ifndef FLOTILLA_ERRORS_SANDBOX_H
#define FLOTILLA_ERRORS_SANDBOX_H

enum {
    FLO_E_SANDBOX = -1569, /* sandbox.missing */
};

#endif
