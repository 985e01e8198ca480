/* Codes of the errors whose ids begin with `batch.`.
 * Made by `make docs` from `base/errors.def`; change the table, not this
 * file. */
#ifndef FLOTILLA_ERRORS_BATCH_H
#define FLOTILLA_ERRORS_BATCH_H

enum {
    FLO_E_BATCH_TWICE = -1313,  /* batch.custom_id_twice */
    FLO_E_BATCH_PARTLY = -1314, /* batch.partly */
};

#endif
