/* Codes of the errors whose ids begin with `lead.`.
 * Made by `make docs` from `base/errors.def`; change the table, not this
 * file. */
#ifndef FLOTILLA_ERRORS_LEAD_H
#define FLOTILLA_ERRORS_LEAD_H

enum {
    FLO_E_LEAD_NONE = -673, /* lead.none */
};

#endif
