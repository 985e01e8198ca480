/* Codes of the errors whose ids begin with `neighbour.`.
 * Made by `make docs` from `base/errors.def`; change the table, not this
 * file. */
#ifndef FLOTILLA_ERRORS_NEIGHBOUR_H
#define FLOTILLA_ERRORS_NEIGHBOUR_H

enum {
    FLO_E_NEIGHBOUR_FETCHES = -737, /* neighbour.fetches */
    FLO_E_NEIGHBOUR_BUSY = -738,    /* neighbour.busy */
    FLO_E_NEIGHBOUR_BUDGET = -739,  /* neighbour.budget */
};

#endif
