/* Codes of the errors whose ids begin with `engine.`.
 * Made by `make docs` from `base/errors.def`; change the table, not this
 * file. */
#ifndef FLOTILLA_ERRORS_ENGINE_H
#define FLOTILLA_ERRORS_ENGINE_H

enum {
    FLO_E_ENGINE_KILLED = -1089, /* engine.killed */
    FLO_E_ENGINE_HANG = -1090,   /* engine.hang */
};

#endif
