/* Codes of the errors whose ids begin with `memory.`.
 * Made by `make docs` from `base/errors.def`; change the table, not this
 * file. */
#ifndef FLOTILLA_ERRORS_MEMORY_H
#define FLOTILLA_ERRORS_MEMORY_H

enum {
    FLO_E_MEMORY_BUDGET = -1441, /* memory.budget */
};

#endif
