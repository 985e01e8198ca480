/* Codes of the errors whose ids begin with `local.`.
 * Made by `make docs` from `base/errors.def`; change the table, not this
 * file. */
#ifndef FLOTILLA_ERRORS_LOCAL_H
#define FLOTILLA_ERRORS_LOCAL_H

enum {
    FLO_E_LOCAL_ASSET = -449,  /* local.asset */
    FLO_E_LOCAL_ASSETS = -450, /* local.assets */
    FLO_E_LOCAL_AUTH = -451,   /* local.auth */
};

#endif
