/* Codes of the errors whose ids begin with `trust.`.
 * Made by `make docs` from `base/errors.def`; change the table, not this
 * file. */
#ifndef FLOTILLA_ERRORS_TRUST_H
#define FLOTILLA_ERRORS_TRUST_H

enum {
    FLO_E_TRUST_THRESHOLD = -801,  /* trust.threshold */
    FLO_E_TRUST_NUMBER = -802,     /* trust.number */
    FLO_E_TRUST_FIRST = -803,      /* trust.first */
    FLO_E_TRUST_NONE = -804,       /* trust.none */
    FLO_E_TRUST_AUTHORITY = -805,  /* trust.authority */
    FLO_E_TRUST_EPOCH = -806,      /* trust.epoch */
    FLO_E_TRUST_STALE = -807,      /* trust.stale */
    FLO_E_TRUST_NEWEST = -808,     /* trust.newest */
    FLO_E_TRUST_PUBLISHERS = -809, /* trust.publishers */
};

#endif
