/* Codes of the errors whose ids begin with `state.`.
 * Made by `make docs` from `base/errors.def`; change the table, not this
 * file. */
#ifndef FLOTILLA_ERRORS_STATE_H
#define FLOTILLA_ERRORS_STATE_H

enum {
    FLO_E_STATE_LOCKED = -481,     /* state.locked */
    FLO_E_STATE_SUPERSEDED = -482, /* state.superseded */
    FLO_E_STATE_SLOT = -483,       /* state.slot */
};

#endif
