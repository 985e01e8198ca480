/* Codes of the errors whose ids begin with `ca.`.
 * Made by `make docs` from `base/errors.def`; change the table, not this
 * file. */
#ifndef FLOTILLA_ERRORS_CA_H
#define FLOTILLA_ERRORS_CA_H

enum {
    FLO_E_CA_HELD = -577, /* ca.held */
};

#endif
