/* Codes of the errors whose ids begin with `draft.`.
 * Made by `make docs` from `base/errors.def`; change the table, not this
 * file. */
#ifndef FLOTILLA_ERRORS_DRAFT_H
#define FLOTILLA_ERRORS_DRAFT_H

enum {
    FLO_E_DRAFT_UNFIT = -1633, /* draft.unfit */
};

#endif
