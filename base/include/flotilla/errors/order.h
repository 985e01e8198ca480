/* Codes of the errors whose ids begin with `order.`.
 * Made by `make docs` from `base/errors.def`; change the table, not this
 * file. */
#ifndef FLOTILLA_ERRORS_ORDER_H
#define FLOTILLA_ERRORS_ORDER_H

enum {
    FLO_E_ORDER_NOBODY = -705,   /* order.nobody */
    FLO_E_ORDER_APPROVAL = -706, /* order.approval */
};

#endif
