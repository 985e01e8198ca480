/* Codes of the errors whose ids begin with `cfg.`.
 * Made by `make docs` from `base/errors.def`; change the table, not this
 * file. */
#ifndef FLOTILLA_ERRORS_CFG_H
#define FLOTILLA_ERRORS_CFG_H

enum {
    FLO_E_CFG_PARSE = -65, /* cfg.parse */
    FLO_E_CFG_KEY = -66,   /* cfg.key */
    FLO_E_CFG_TYPE = -67,  /* cfg.type */
    FLO_E_CFG_PERM = -68,  /* cfg.perm */
};

#endif
