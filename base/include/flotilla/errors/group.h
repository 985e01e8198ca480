/* Codes of the errors whose ids begin with `group.`.
 * Made by `make docs` from `base/errors.def`; change the table, not this
 * file. */
#ifndef FLOTILLA_ERRORS_GROUP_H
#define FLOTILLA_ERRORS_GROUP_H

enum {
    FLO_E_GROUP_ABSENT = -129, /* group.absent */
};

#endif
