/* Codes of the errors whose ids begin with `process.`.
 * Made by `make docs` from `base/errors.def`; change the table, not this
 * file. */
#ifndef FLOTILLA_ERRORS_PROCESS_H
#define FLOTILLA_ERRORS_PROCESS_H

enum {
    FLO_E_PROCESS = -1537, /* process.failed */
};

#endif
