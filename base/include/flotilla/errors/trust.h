/* Codes of the errors whose ids begin with `trust.`.
 * Made by `make docs` from `base/errors.def`; change the table, not this
 * file. */
#ifndef FLOTILLA_ERRORS_TRUST_H
#define FLOTILLA_ERRORS_TRUST_H

enum {
    FLO_E_TRUST_PUBLISHERS = -801, /* trust.publishers */
    FLO_E_TRUST_THRESHOLD = -802,  /* trust.threshold */
    FLO_E_TRUST_NUMBER = -803,     /* trust.number */
    FLO_E_TRUST_FIRST = -804,      /* trust.first */
    FLO_E_TRUST_NONE = -805,       /* trust.none */
    FLO_E_TRUST_AUTHORITY = -806,  /* trust.authority */
    FLO_E_TRUST_EPOCH = -807,      /* trust.epoch */
    FLO_E_TRUST_STALE = -808,      /* trust.stale */
    FLO_E_TRUST_NEWEST = -809,     /* trust.newest */
};

#endif
