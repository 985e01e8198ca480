/* Codes of the errors whose ids begin with `login.`.
 * Made by `make docs` from `base/errors.def`; change the table, not this
 * file. */
#ifndef FLOTILLA_ERRORS_LOGIN_H
#define FLOTILLA_ERRORS_LOGIN_H

enum {
    FLO_E_LOGIN_OFF = -257,      /* login.off */
    FLO_E_LOGIN_STATE = -258,    /* login.state */
    FLO_E_LOGIN_TOKEN = -259,    /* login.token */
    FLO_E_LOGIN_DENIED = -260,   /* login.denied */
    FLO_E_LOGIN_ROLE = -261,     /* login.role */
    FLO_E_LOGIN_PROVIDER = -262, /* login.provider */
};

#endif
