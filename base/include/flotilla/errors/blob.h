/* Codes of the errors whose ids begin with `blob.`.
 * Made by `make docs` from `base/errors.def`; change the table, not this
 * file. */
#ifndef FLOTILLA_ERRORS_BLOB_H
#define FLOTILLA_ERRORS_BLOB_H

enum {
    FLO_E_BLOB_OFFER = -225, /* blob.not_offered */
};

#endif
