/* Codes of the errors whose ids begin with `worker.`.
 * Made by `make docs` from `base/errors.def`; change the table, not this
 * file. */
#ifndef FLOTILLA_ERRORS_WORKER_H
#define FLOTILLA_ERRORS_WORKER_H

enum {
    FLO_E_WORKER_PROTOCOL = -1121, /* worker.protocol */
};

#endif
