/* Codes of the errors whose ids begin with `keys.`.
 * Made by `make docs` from `base/errors.def`; change the table, not this
 * file. */
#ifndef FLOTILLA_ERRORS_KEYS_H
#define FLOTILLA_ERRORS_KEYS_H

enum {
    FLO_E_KEYS_ABSENT = -289, /* keys.absent */
};

#endif
