/* Codes of the errors whose ids begin with `outbox.`.
 * Made by `make docs` from `base/errors.def`; change the table, not this
 * file. */
#ifndef FLOTILLA_ERRORS_OUTBOX_H
#define FLOTILLA_ERRORS_OUTBOX_H

enum {
    FLO_E_OUTBOX_CORRUPT = -1345, /* outbox.corrupt */
    FLO_E_OUTBOX_BACK = -1346,    /* outbox.back */
};

#endif
