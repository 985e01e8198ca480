/* Codes of the errors whose ids begin with `cli.`.
 * Made by `make docs` from `base/errors.def`; change the table, not this
 * file. */
#ifndef FLOTILLA_ERRORS_CLI_H
#define FLOTILLA_ERRORS_CLI_H

enum {
    FLO_E_STOPPED = -33, /* cli.stopped */
};

#endif
