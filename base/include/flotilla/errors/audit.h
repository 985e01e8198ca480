/* Codes of the errors whose ids begin with `audit.`.
 * Made by `make docs` from `base/errors.def`; change the table, not this
 * file. */
#ifndef FLOTILLA_ERRORS_AUDIT_H
#define FLOTILLA_ERRORS_AUDIT_H

enum {
    FLO_E_AUDIT_CHAIN = -1377, /* audit.chain */
    FLO_E_AUDIT_CUT = -1378,   /* audit.cut */
};

#endif
