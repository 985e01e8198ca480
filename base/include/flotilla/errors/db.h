/* Codes of the errors whose ids begin with `db.`.
 * Made by `make docs` from `base/errors.def`; change the table, not this
 * file. */
#ifndef FLOTILLA_ERRORS_DB_H
#define FLOTILLA_ERRORS_DB_H

enum {
    FLO_E_DB_UNREACHABLE = -545, /* db.unreachable */
    FLO_E_DB_NEWER = -546,       /* db.newer */
    FLO_E_DB_SLOW = -547,        /* db.slow */
    FLO_E_DB_REPLACED = -548,    /* db.replaced */
    FLO_E_DB_DAMAGED = -549,     /* db.damaged */
};

#endif
